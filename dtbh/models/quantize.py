"""An exported network with 8-bit weights and activations; heads, which make the bits, stay as they are."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from dtbh.utils.progress import quiet_loggers

KINDS = ("Conv", "Gemm", "Clip", "Relu", "Add", "ReduceMean")
"""Left alone are the matrix products, which make features of sounds."""
TEXT_KINDS = ("MatMul", "Gather")
HEAD = "tower.head."
"""How the names of a head's weights begin."""


def quantized(network: bytes, batches: Iterable[dict[str, NDArray[Any]]]) -> bytes:
    """The network with unsigned 8-bit activations and signed weights of 7 bits and 8, one scale a channel.

    Of eight, products overflow on processors without VNNI, and half as many codes again differ.

    What comes before a logarithm stays as it is, too: those are spectra, whose range 8 bits don't hold.

    Args:
        network: ONNX.
        batches: Inputs by name, as the network will meet them.
    """
    import onnx
    from onnxruntime.quantization import (  # type: ignore[import-untyped]
        QuantFormat,
        QuantType,
        quantize_static,
    )

    model = onnx.load_from_string(network)
    with tempfile.TemporaryDirectory(prefix="dtbh-") as folder, quiet_loggers():
        out = Path(folder) / "quantized.onnx"
        quantize_static(
            model, out, _calibration(iter(batches)), quant_format=QuantFormat.QDQ, per_channel=True, reduce_range=True,
            activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8, op_types_to_quantize=list(KINDS),
            nodes_to_exclude=sorted(_before_logarithms(model.graph) | _heads(model.graph)),
        )  # fmt: skip
        return out.read_bytes()


def lighter(network: bytes) -> bytes:
    """A text tower with tables and matrices of signed 8-bit weights; the range of what they meet is found as they run.

    Args:
        network: ONNX.
    """
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    model = onnx.load_from_string(network)
    with tempfile.TemporaryDirectory(prefix="dtbh-") as folder, quiet_loggers():
        out = Path(folder) / "quantized.onnx"
        quantize_dynamic(
            model, out, per_channel=True, weight_type=QuantType.QInt8, op_types_to_quantize=list(TEXT_KINDS),
            nodes_to_exclude=sorted(_heads(model.graph)),
        )  # fmt: skip
        return out.read_bytes()


def _heads(graph: Any) -> set[str]:
    """Names of the nodes that a head's weights go into, and of all that come after them."""
    reached = {weights.name for weights in graph.initializer if weights.name.startswith(HEAD)}
    found: set[str] = set()
    for node in graph.node:  # in the order in which they are computed
        if reached & {*node.input}:
            found.add(node.name)
            reached |= {*node.output}
    return found


def _before_logarithms(graph: Any) -> set[str]:
    """Names of the nodes whose outputs reach a logarithm."""
    makers = {name: node for node in graph.node for name in node.output}
    left = [node for node in graph.node if node.op_type == "Log"]
    found: set[str] = set()
    while left:
        node = left.pop()
        if node.name not in found:
            found.add(node.name)
            left += [makers[name] for name in node.input if name in makers]
    return found


def _calibration(batches: Iterator[dict[str, NDArray[Any]]]) -> Any:
    """The batches as onnxruntime wants them."""
    from onnxruntime.quantization import CalibrationDataReader

    class Batches(CalibrationDataReader):  # type: ignore[misc]
        def get_next(self) -> dict[str, NDArray[Any]] | None:
            return next(batches, None)

    return Batches()
