"""The heads by way of the sentence space within an exported model's networks: read, and put back changed.

Export names a head's weights; what comes after the backbone's output is small, and the same for every model. Matrices
may stand transposed, and in 8 bits with a scale a column.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dtbh.errors import RunError
from dtbh.models.quantize import HEAD

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto

NAMES = ("sentence.weight", "sentence.bias", "evidence.weight", "evidence.bias", "concepts", "hash.0.weight",
         "hash.0.bias")  # fmt: skip
PAIR = ("pair.weight", "pair.bias")
ANCHORS = "anchors"
OUTPUT = "backbone"
"""What the head's input is called where it is asked for."""
_PRODUCTS = ("MatMul", "MatMulInteger", "Gemm")
Array = NDArray[Any]


def read_head(network: ModelProto) -> dict[str, NDArray[np.float32]]:
    """The parameters of a head, by the names of its state dict.

    Raises:
        RunError: The network has no such head.
    """
    weights = {one.name: one for one in network.graph.initializer}
    pair = PAIR if any(name.startswith(f"{HEAD}pair.") for name in weights) else ()
    texts = (ANCHORS,) if any(out.name == "familiarity" for out in network.graph.output) else ()
    return {name: _read(network.graph, name) for name in (*NAMES, *pair, *texts)}


def put_head(network: ModelProto, head: Mapping[str, Array]) -> None:
    """Put parameters in the place of those that are there; there may be more concepts, or fewer."""
    for name, values in head.items():
        _put(network.graph, name, values)
    del network.graph.value_info[:]  # shapes that may hold no more


def with_backbone(network: ModelProto) -> bytes:
    """The network with one more output, `OUTPUT`: what the head sees, float [n, d]."""
    from onnx import TensorProto, helper

    graph = network.graph
    first = _product_with(graph, _place(graph, "sentence.weight")[0])
    source = first.input[0]
    makers = {name: node for node in graph.node for name in node.output}
    if first.op_type == "MatMulInteger":  # its input was brought to 8 bits just before
        source = makers[source].input[0]
    whole = type(network)()
    whole.CopyFrom(network)
    whole.graph.node.append(helper.make_node("Identity", [source], [OUTPUT]))
    whole.graph.output.append(helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, None))
    return bytes(whole.SerializeToString())


def _read(graph: GraphProto, name: str) -> NDArray[np.float32]:
    """One parameter."""
    from onnx import numpy_helper

    place, turned = _place(graph, name)
    weights = {one.name: one for one in graph.initializer}
    values = numpy_helper.to_array(weights[place])
    if place.endswith("_quantized"):
        stem = place.removesuffix("_quantized")
        scale, zero = (numpy_helper.to_array(weights[stem + end]) for end in ("_scale", "_zero_point"))
        values = (values.astype(np.float32) - zero.astype(np.float32)) * scale
    return np.array(values.T if turned else values, dtype=np.float32)


def _put(graph: GraphProto, name: str, values: Array) -> None:
    """One parameter, as the old one stands."""
    place, turned = _place(graph, name)
    values = np.ascontiguousarray(values.T if turned else values, dtype=np.float32)
    if not place.endswith("_quantized"):
        _replace(graph, place, values)
        return
    stem = place.removesuffix("_quantized")
    scale = (np.abs(values).max(axis=0).clip(1e-12) / 127).astype(np.float32)
    _replace(graph, f"{stem}_scale", scale)
    _replace(graph, f"{stem}_zero_point", np.zeros(len(scale), dtype=np.int8))
    _replace(graph, place, np.round(values / scale).astype(np.int8))


def _replace(graph: GraphProto, name: str, values: Array) -> None:
    from onnx import numpy_helper

    (weights,) = (one for one in graph.initializer if one.name == name)
    weights.CopyFrom(numpy_helper.from_array(values, name))


def _place(graph: GraphProto, name: str) -> tuple[str, bool]:
    """The name of a parameter's numbers, and whether they stand transposed."""
    known = {one.name for one in graph.initializer}
    plain = f"{HEAD}{name}"
    for place, turned in ((plain, False), (f"{plain}_Transposed", True), (f"{plain}_Transposed_quantized", True)):
        if place in known:
            return place, turned
    if name == ANCHORS and (place := _anchors(graph)) in known:
        return place, True
    raise RunError(f"its network has no weights {name} of a head by way of the sentence space")


def _anchors(graph: GraphProto) -> str:
    """The matrix whose product with a text gives how familiar it is."""
    makers = {name: node for node in graph.node for name in node.output}
    left = ["familiarity"]
    while left:
        node = makers.get(left.pop(0))
        if node is not None and node.op_type in _PRODUCTS:
            return str(node.input[1])
        left += [] if node is None else [*node.input]
    return ""


def _product_with(graph: GraphProto, weights: str) -> Any:
    """The node that multiplies by a matrix."""
    return next(node for node in graph.node if node.op_type in _PRODUCTS and weights in node.input)
