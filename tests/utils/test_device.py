"""Networks of 8 bits, on whatever processor."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from dtbh.utils.device import session_options


def test_products_of_eight_bits_do_not_overflow() -> None:
    """Two of the largest pass 16 bits, in which processors with AVX2 and without VNNI sum them up."""
    weights = numpy_helper.from_array(np.full((64, 16), 127, np.int8), "weights")
    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["seen", "weights"], ["found"])],
        "products",
        [helper.make_tensor_value_info("seen", TensorProto.UINT8, [4, 64])],
        [helper.make_tensor_value_info("found", TensorProto.INT32, [4, 16])],
        [weights],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), session_options(1), providers=["CPUExecutionProvider"]
    )
    (found,) = session.run(None, {"seen": np.full((4, 64), 255, np.uint8)})
    assert (found == 64 * 255 * 127).all()


def test_every_session_is_opened_so() -> None:
    from pathlib import Path

    import dtbh

    root = Path(dtbh.__file__).parent
    assert [p.name for p in root.rglob("*.py") if "SessionOptions()" in p.read_text()] == ["device.py"]
