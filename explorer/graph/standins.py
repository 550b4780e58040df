"""Standard operators that have the output shapes of those that ONNX's inference doesn't know.

ONNX Runtime runs operators of its own (`com.microsoft`), which optimised and quantized files are
made of. Only for finding shapes, each is replaced by a standard node with the same output shape.
"""

from collections.abc import Callable, Sequence
from typing import Any

import onnx
from onnx import TensorProto, helper

from explorer.graph.operators import CONTRIB, STANDARD_DOMAINS

Nodes = list[onnx.NodeProto]
Dims = dict[str, Sequence[int]]  # of initialisers
StandIn = Callable[[onnx.NodeProto, onnx.GraphProto, Dims], Nodes]

STAND_INS: dict[tuple[str, str], StandIn] = {}

SAME_SHAPE = """
    BiasGelu DequantizeWithOrder FastGelu Gelu GroupQueryAttention MultiHeadAttention
    QLinearLeakyRelu QLinearSigmoid QLinearSoftmax QuickGelu RotaryEmbedding
    SimplifiedLayerNormalization SkipLayerNormalization SkipSimplifiedLayerNormalization
"""
SUM_OUTPUT = 3  # of SkipLayerNormalization: the sum before normalising


def with_stand_ins(graph: onnx.GraphProto) -> onnx.GraphProto:
    """The graph with stand-ins where ONNX's inference would stop; itself if there are none."""
    keys = [_key(node) for node in graph.node]
    if not any(key in STAND_INS for key in keys):
        return graph
    dims: Dims = {t.name: list(t.dims) for t in graph.initializer}
    for value in graph.input:
        dims[value.name] = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
    nodes: Nodes = []
    for node, key in zip(graph.node, keys, strict=True):
        nodes += STAND_INS[key](node, graph, dims) if key in STAND_INS else [node]
    replaced = onnx.GraphProto()
    replaced.CopyFrom(graph)
    del replaced.node[:]
    replaced.node.extend(nodes)
    return replaced


def _key(node: onnx.NodeProto) -> tuple[str, str]:
    return ("" if node.domain in STANDARD_DOMAINS else node.domain, node.op_type)


def _stand_in(ops: str, domain: str = CONTRIB) -> Callable[[StandIn], StandIn]:
    def register(function: StandIn) -> StandIn:
        for op in ops.split():
            if (domain, op) in STAND_INS:
                raise ValueError(f"{op} already has a stand-in")
            STAND_INS[domain, op] = function
        return function

    return register


@_stand_in("GroupNormalization", domain="")
@_stand_in(SAME_SHAPE)
def _same_shape(node: onnx.NodeProto, graph: onnx.GraphProto, dims: Dims) -> Nodes:
    outputs = [node.output[0], *node.output[SUM_OUTPUT : SUM_OUTPUT + 1]]
    if node.op_type == "GroupNormalization" or not node.op_type.startswith("Skip"):
        outputs = outputs[:1]
    return [helper.make_node("Identity", node.input[:1], [name]) for name in outputs if name]


@_stand_in("QuantizeLinear DequantizeLinear")
def _standard_form(node: onnx.NodeProto, graph: onnx.GraphProto, dims: Dims) -> Nodes:
    return [helper.make_node(node.op_type, list(node.input), list(node.output), **_given(node))]


@_stand_in("FusedConv FusedGemm")
def _without_activation(node: onnx.NodeProto, graph: onnx.GraphProto, dims: Dims) -> Nodes:
    given = {name: x for name, x in _given(node).items() if not name.startswith("activation")}
    op = node.op_type.removeprefix("Fused")
    return [helper.make_node(op, node.input[:3], list(node.output), **given)]


@_stand_in("FusedMatMul")
def _transposing_product(node: onnx.NodeProto, graph: onnx.GraphProto, dims: Dims) -> Nodes:
    given = _given(node)
    left, right = "ji" if given.get("transA") else "ij", "kj" if given.get("transB") else "jk"
    equation = f"...{left},...{right}->...ik"
    return [helper.make_node("Einsum", node.input[:2], list(node.output), equation=equation)]


@_stand_in("QGemm")
def _integer_gemm(node: onnx.NodeProto, graph: onnx.GraphProto, dims: Dims) -> Nodes:
    given = {name: x for name, x in _given(node).items() if name.startswith("trans")}
    return _cast("Gemm", [node.input[0], node.input[3]], node, given)


@_stand_in("MatMulIntegerToFloat DynamicQuantizeMatMul")
def _float_product(node: onnx.NodeProto, graph: onnx.GraphProto, dims: Dims) -> Nodes:
    return _cast("MatMul", node.input[:2], node, {})


@_stand_in("MatMulNBits")
def _narrow_product(node: onnx.NodeProto, graph: onnx.GraphProto, dims: Dims) -> Nodes:
    given = _given(node)
    weight = _placeholder(graph, node, (int(given["K"]), int(given["N"])))
    return [helper.make_node("MatMul", [node.input[0], weight], list(node.output))]


@_stand_in("Attention QAttention")
def _packed_attention(node: onnx.NodeProto, graph: onnx.GraphProto, dims: Dims) -> Nodes:
    rows, columns = dims.get(node.input[1], (0, 0))
    sizes = _given(node).get("qkv_hidden_sizes") or [columns // 3] * 3
    weight = _placeholder(graph, node, (rows, int(sizes[2])))
    return _cast("MatMul", [node.input[0], weight], node, {})


@_stand_in("EmbedLayerNormalization")
def _embedding(node: onnx.NodeProto, graph: onnx.GraphProto, dims: Dims) -> Nodes:
    return [helper.make_node("Gather", [node.input[2], node.input[0]], node.output[:1])]


@_stand_in("QLinearAdd QLinearMul")
def _elementwise(node: onnx.NodeProto, graph: onnx.GraphProto, dims: Dims) -> Nodes:
    return [helper.make_node("Add", [node.input[0], node.input[3]], list(node.output))]


@_stand_in("QLinearConcat")
def _concat(node: onnx.NodeProto, graph: onnx.GraphProto, dims: Dims) -> Nodes:
    return [helper.make_node("Concat", node.input[2::3], list(node.output), **_given(node))]


@_stand_in("QLinearAveragePool QLinearGlobalAveragePool")
def _pool(node: onnx.NodeProto, graph: onnx.GraphProto, dims: Dims) -> Nodes:
    given = {name: x for name, x in _given(node).items() if name != "channels_last"}
    op = node.op_type.removeprefix("QLinear")
    return [helper.make_node(op, node.input[:1], list(node.output), **given)]


def _given(node: onnx.NodeProto) -> dict[str, Any]:
    return {a.name: helper.get_attribute_value(a) for a in node.attribute}


def _cast(op: str, inputs: Sequence[str], node: onnx.NodeProto, given: dict[str, Any]) -> Nodes:
    """A product of integers whose result is float32."""
    between = f"{node.output[0]}/integers"
    return [
        helper.make_node(op, list(inputs), [between], **given),
        helper.make_node("Cast", [between], node.output[:1], to=TensorProto.FLOAT),
    ]


def _placeholder(graph: onnx.GraphProto, node: onnx.NodeProto, shape: Sequence[int]) -> str:
    """A weight of the shape that the node's packed one stands for; the name of an extra input."""
    name = f"{node.output[0]}/weight"
    graph.input.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape)))
    return name
