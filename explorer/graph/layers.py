"""Which nodes are layers, and what they are called."""

import numpy as np
import onnx_ir as ir

from explorer.model import Layer, Model, per_model

WEIGHT_OPS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
WEIGHT_SUFFIXES = (".weight", "_weight", ".kernel", ".w")
WEIGHT_DTYPES = {ir.DataType.FLOAT: "float32", ir.DataType.FLOAT16: "float16"}


@per_model
def find_layers(model: Model) -> tuple[Layer, ...]:
    """All layers with constant floating-point weights, in graph order, each with its own name."""
    layers: list[Layer] = []
    taken: set[str] = set()
    for node in model.graph_model.graph:
        weight = weight_of(node)
        if weight is None:
            continue
        name = _layer_name(node, weight, taken)
        taken.add(name)
        layers.append(_describe(node, weight, name))
    return tuple(layers)


def weight_of(node: ir.Node) -> ir.Value | None:
    """The constant weight of a layer node, or None where the node is no layer."""
    if node.domain not in ("", "ai.onnx") or node.op_type not in WEIGHT_OPS or len(node.inputs) < 2:
        return None
    weight = node.inputs[1]
    if weight is None or weight.const_value is None or weight.dtype not in WEIGHT_DTYPES:
        return None
    shape = [int(size) for size in weight.const_value.shape.numpy()]
    if 0 in shape or weight.is_graph_output():
        return None
    if node.op_type in ("Gemm", "MatMul"):
        return weight if len(shape) == 2 else None
    groups = int_attribute(node, "group", 1)
    return weight if groups >= 1 and shape[0] % groups == 0 else None


def is_flag_set(node: ir.Node, name: str) -> bool:
    """True where an integer attribute is there and isn't zero (as Gemm's `transB`)."""
    return name in node.attributes and node.attributes[name].as_int() != 0


def int_attribute(node: ir.Node, name: str, default: int) -> int:
    """An integer attribute, or its default."""
    return node.attributes[name].as_int() if name in node.attributes else default


def _layer_name(node: ir.Node, weight: ir.Value, taken: set[str]) -> str:
    name = weight.name or ""
    for suffix in WEIGHT_SUFFIXES:
        if name.endswith(suffix) and len(name) > len(suffix):
            shortened = name.removesuffix(suffix)
            return shortened if shortened not in taken else str(node.name)
    return str(node.name)


def _describe(node: ir.Node, weight: ir.Value, name: str) -> Layer:
    assert weight.const_value is not None
    shape = tuple(int(dim) for dim in np.asarray(weight.const_value.shape))
    group = int_attribute(node, "group", 1)
    if node.op_type == "Conv":
        out_axis, in_axis, channels = 0, 1, shape[0]
    elif node.op_type == "ConvTranspose":
        out_axis, in_axis, channels = 1, 0, shape[1] * group
    elif node.op_type == "Gemm" and is_flag_set(node, "transB"):
        out_axis, in_axis, channels = 0, 1, shape[0]
    else:
        out_axis, in_axis, channels = 1, 0, shape[1]
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    constant_bias = bias is not None and bias.const_value is not None
    return Layer(
        name=name,
        op=node.op_type,
        node=str(node.name),
        weight=str(weight.name),
        bias=str(bias.name) if bias is not None and constant_bias else None,
        weight_shape=shape,
        dtype=WEIGHT_DTYPES[weight.dtype],  # type: ignore[index]  # weight_of has checked it
        channels=channels,
        out_axis=out_axis,
        in_axis=in_axis,
        depthwise=node.op_type == "Conv" and group > 1 and shape[1] == 1,
    )
