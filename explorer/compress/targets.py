"""Where the work of a layer is compared with the original's.

What a layer gives matters only behind the sums that follow it: the last convolution of a residual
block can make up for what the rest of the sum misses. And where an activation function is constant,
it doesn't matter at all how far beyond its edge the sum lies.
"""

from dataclasses import dataclass

import onnx_ir as ir

from explorer.compress.rows import CONVOLUTIONS, is_regression
from explorer.graph.layers import find_layers, find_nodes
from explorer.graph.operators import is_standard, weights_of
from explorer.graph.shapes import infer_shapes
from explorer.model import Model
from explorer.network import Layer, Shape, per_model

INFINITY = float("inf")
Edges = tuple[float, float]
NO_EDGES = (-INFINITY, INFINITY)
# Inputs beyond which an activation function is constant; within 0.02 for the smooth ones.
EDGES: dict[str, Edges] = {
    "Relu": (0.0, INFINITY),
    "Gelu": (-3.0, INFINITY),
    "HardSwish": (-3.0, INFINITY),
    "Swish": (-6.0, INFINITY),
    "HardSigmoid": (-3.0, 3.0),
    "Sigmoid": (-4.0, 4.0),
    "Tanh": (-2.5, 2.5),
}


@dataclass(frozen=True)
class Target:
    """What a layer is fitted to.

    `tensor` is compared, which is the layer's output plus the `addends` and what comes `later`: the
    graph computes those before the layer's turn, and these after it, so the original's stand in
    for them. `bias` is a constant that can be fitted with the weights. `edges` are
    the values of the tensor beyond which nothing changes any more. `is_last` marks a layer whose
    tensor leaves the graph: no later layer can make up for its errors.
    """

    tensor: str
    addends: tuple[str, ...]
    later: tuple[str, ...]
    bias: str | None
    edges: Edges
    is_last: bool


@per_model
def find_targets(model: Model) -> dict[str, Target]:
    """The target of every layer that can be fitted, by the layer's name.

    These are regressions (see `rows`) whose weight and bias no other node reads.
    """
    graph = model.graph_model.graph
    order = {str(node.name): place for place, node in enumerate(graph)}
    nodes = find_nodes(model)
    dims = infer_shapes(model).dims
    targets = {}
    for layer in find_layers(model):
        node = nodes[layer.node]
        bias = node.inputs[2] if len(node.inputs) > 2 else None
        own = bias is None or _is_own(bias, layer, 1)
        if own and len(node.inputs[1].uses()) == 1 and is_regression(node, layer):  # type: ignore[union-attr]
            targets[layer.name] = _follow(node, layer, order, dims)
    return targets


def _follow(node: ir.Node, layer: Layer, order: dict[str, int], dims: dict[str, Shape]) -> Target:
    """Follow the sums behind a layer."""
    value = node.outputs[0]
    addends: list[str] = []
    later: list[str] = []
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    while not value.is_graph_output() and len(value.uses()) == 1:
        use = next(iter(value.uses()))
        other = use.node.inputs[1 - use.idx] if use.node.op_type == "Add" else None
        shape = dims.get(str(value.name))
        if other is None or other is value or not is_standard(use.node) or shape is None:
            break
        if other.const_value is not None:
            axis_from_end = len(shape) - 1 if layer.op in CONVOLUTIONS else 1
            if bias is not None or addends or later or not _is_own(other, layer, axis_from_end):
                break
            bias = other
        else:
            producer = other.producer()
            is_known = producer is None or order[str(producer.name)] < order[str(node.name)]
            if dims.get(str(other.name)) != shape:
                break
            (addends if is_known else later).append(str(other.name))
        value = use.node.outputs[0]
    return Target(
        tensor=str(value.name),
        addends=tuple(addends),
        later=tuple(later),
        bias=str(bias.name) if bias is not None else None,
        edges=_edges(value),
        is_last=_leaves_the_graph(value),
    )


def _is_own(bias: ir.Value, layer: Layer, axis_from_end: int) -> bool:
    """True for a constant with a number for each channel, that one node alone reads."""
    if bias.const_value is None or len(bias.uses()) > 1 or bias.is_graph_output():
        return False
    shape = bias.const_value.shape.numpy()
    at_axis = len(shape) >= axis_from_end and shape[-axis_from_end] == layer.channels
    return at_axis and bias.const_value.size == layer.channels


def _edges(value: ir.Value) -> Edges:
    """Where the activation function behind a tensor is constant."""
    readers = value.consumers()
    if value.is_graph_output() or len(readers) != 1:
        return NO_EDGES
    node = readers[0]
    if node.op_type == "Clip" and is_standard(node):
        limits = [node.inputs[place] if place < len(node.inputs) else None for place in (1, 2)]
        numbers = [_number(limit) for limit in limits]
        low, high = numbers
        return (-INFINITY if low is None else low, INFINITY if high is None else high)
    return EDGES.get(node.op_type, NO_EDGES) if is_standard(node) else NO_EDGES


def _number(value: ir.Value | None) -> float | None:
    if value is None or value.const_value is None or value.const_value.size != 1:
        return None
    return float(value.const_value.numpy().reshape(()))


def _leaves_the_graph(value: ir.Value) -> bool:
    """True where no layer comes behind a tensor."""
    seen, ahead = set(), [value]
    while ahead:
        current = ahead.pop()
        for node in current.consumers():
            if weights_of(node):
                return False
            if node not in seen:
                seen.add(node)
                ahead.extend(node.outputs)
    return True
