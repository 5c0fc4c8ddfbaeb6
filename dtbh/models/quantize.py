"""An exported network with 8-bit weights and activations; heads, which make the bits, stay as they are."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from dtbh.utils.device import session_options
from dtbh.utils.progress import quiet_loggers

KINDS = ("Conv", "Gemm", "Clip", "Relu", "Add", "ReduceMean")
"""Left alone are the matrix products, which make features of sounds."""
TEXT_KINDS = ("MatMul", "Gather")
GEMM = "_MatMul"  # what onnxruntime adds to the name of a Gemm whose product it makes a node of its own
HEAD = "tower.head."
"""How the names of a head's weights begin."""
ROUNDS = 5
"""Times that each network is run where both are timed."""


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
            nodes_to_exclude=sorted(name + part for name in _heads(model.graph) for part in ("", GEMM)),
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


def times_as_fast(before: bytes, after: bytes, media: Sequence[NDArray[Any]]) -> float:
    """How many times as fast as the network before the one after is, on this machine; the best of some runs of each.

    Args:
        before: ONNX.
        after: ONNX, of the same inputs and outputs.
        media: The inputs, in order, as for all networks of a tower.
    """
    import onnxruntime  # type: ignore[import-untyped]

    options = session_options()
    both = [onnxruntime.InferenceSession(one, options, providers=["CPUExecutionProvider"]) for one in (before, after)]
    best = [math.inf, math.inf]
    for _ in range(1 + ROUNDS):  # in turns, as other work on the machine comes and goes; the first is no better
        for place, session in enumerate(both):
            feed = {wanted.name: array for wanted, array in zip(session.get_inputs(), media, strict=True)}
            began = time.perf_counter()
            session.run(None, feed)
            best[place] = min(best[place], time.perf_counter() - began)
    return best[0] / best[1]


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
