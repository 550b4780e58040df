"""Which nodes are layers, and what they are called."""

from collections.abc import Iterator
from dataclasses import replace

import onnx_ir as ir

from explorer.graph.operators import (
    GATES,
    PRODUCTS,
    WEIGHT_DTYPES,
    WEIGHT_SUFFIXES,
    dims_of,
    int_attribute,
    is_flag_set,
    is_standard,
    stands_left,
    weights_of,
)
from explorer.graph.quantized import closed_weights, packed_shape
from explorer.graph.weights import find_weights
from explorer.network import Layer, Network, Shape, per_model
from explorer.reasons import Reason, fused, inside, quantized
from explorer.storage_types import type_name

BIASED = PRODUCTS | {"FusedConv", "FusedGemm"}  # with a bias as their third input
CONVOLUTIONS = frozenset({"Conv", "FusedConv", "QLinearConv", "ConvInteger"})


@per_model
def find_nodes(model: Network) -> dict[str, ir.Node]:
    """The nodes of the main graph by their names, of which no two are alike."""
    return {str(node.name): node for node in model.graph_model.graph}


@per_model
def find_all_layers(model: Network) -> tuple[Layer, ...]:
    """All layers with constant weights, in graph order, each with a name of its own.

    Those that compressing leaves alone say why in `closed`.
    """
    layers: list[Layer] = []
    taken: set[str] = set()
    bits = {weight.name: weight.bits for weight in find_weights(model)}

    def add(node: ir.Node, weight: ir.Value, suffix: str, closed: Reason | None) -> None:
        layer = _describe(node, weight, _layer_name(node, weight, suffix, taken))
        taken.add(layer.name)
        layers.append(replace(layer, closed=closed))

    for node in model.graph_model.graph:
        for weight, suffix in weights_of(node):
            add(node, weight, suffix, None)
        for weight, suffix in closed_weights(node):
            add(node, weight, suffix, _why_closed(bits, node, weight))
        for inner in _inside(node):
            for weight, suffix in (*weights_of(inner), *closed_weights(inner)):
                add(inner, weight, suffix, inside(node.op_type, str(node.name)))
    return tuple(layers)


@per_model
def find_layers(model: Network) -> tuple[Layer, ...]:
    """The layers that can be compressed: those with floating-point weights in the main graph."""
    return tuple(layer for layer in find_all_layers(model) if layer.closed is None)


def _why_closed(bits: dict[str, int], node: ir.Node, weight: ir.Value) -> Reason:
    if weight.dtype in WEIGHT_DTYPES and not is_standard(node):
        return fused(node.op_type, str(node.name))
    return quantized(bits[str(weight.name)])


def _inside(node: ir.Node) -> Iterator[ir.Node]:
    for attribute in node.attributes.values():
        if attribute.type == ir.AttributeType.GRAPH:
            yield from ir.traversal.RecursiveGraphIterator(attribute.as_graph())


def _layer_name(node: ir.Node, weight: ir.Value, suffix: str, taken: set[str]) -> str:
    name = weight.name or ""
    for ending in WEIGHT_SUFFIXES:
        if name.endswith(ending) and len(name) > len(ending):
            shortened = name.removesuffix(ending)
            if shortened not in taken:
                return shortened
    name = f"{node.name or name}{suffix}"
    while name in taken:  # a subgraph may use the names of the main graph
        name += "_"
    return name


def _describe(node: ir.Node, weight: ir.Value, name: str) -> Layer:
    shape: Shape = packed_shape(node) or dims_of(weight)
    group = int_attribute(node, "group", 1)
    depthwise = False
    if node.op_type in CONVOLUTIONS:
        out_axis, in_axis, channels = 0, 1, shape[0]
        depthwise = group > 1 and shape[1] == 1
    elif node.op_type == "ConvTranspose":
        out_axis, in_axis, channels = 1, 0, shape[1] * group
    elif node.op_type in ("FusedGemm", "Gemm", "QGemm") and is_flag_set(node, "transB"):
        out_axis, in_axis, channels = 0, 1, shape[0]
    elif node.op_type in GATES and len(shape) == 3:
        out_axis, in_axis, channels = 1, 2, shape[1] // GATES[node.op_type]
    elif stands_left(node, weight):
        out_axis, in_axis, channels = len(shape) - 2, len(shape) - 1, shape[-2]
    else:
        out_axis, in_axis, channels = len(shape) - 1, len(shape) - 2, shape[-1]
    bias = node.inputs[2] if node.op_type in BIASED and len(node.inputs) > 2 else None
    constant_bias = bias is not None and bias.const_value is not None
    assert weight.dtype is not None  # every initialiser has one
    return Layer(
        name=name,
        op=node.op_type,
        node=str(node.name),
        weight=str(weight.name),
        bias=str(bias.name) if bias is not None and constant_bias else None,
        weight_shape=shape,
        dtype=type_name(weight.dtype.name),
        channels=channels,
        out_axis=out_axis,
        in_axis=in_axis,
        depthwise=depthwise,
    )
