"""Weights that are stored as integers already: recognised and counted, but left alone.

Quantized models come in four kinds: float operators behind DequantizeLinear (QDQ), integer
operators (QLinearConv, MatMulInteger, ...), operators of ONNX Runtime's own, and weights packed for
one operator (MatMulNBits).
"""

from dataclasses import dataclass

import onnx_ir as ir

from explorer.graph.memory import DEQUANTIZE
from explorer.graph.operators import (
    CONTRIB,
    EMBEDDING,
    GATES,
    PRODUCTS,
    RECURRENT_SUFFIX,
    int_attribute,
    is_standard,
)


@dataclass(frozen=True)
class QuantizedOp:
    """Positions of the inputs of an operator that computes with integers.

    `weights` make a layer; `others` may be constants too (a bias, an operand of a sum).
    """

    weights: tuple[int, ...]
    scales: tuple[int, ...]
    others: tuple[int, ...] = ()


_SUM = QuantizedOp((), (1, 2, 4, 5, 6, 7), (0, 3))
_UNARY = QuantizedOp((), (1, 2, 3, 4))
QUANTIZED_OPS = {
    ("", "QLinearConv"): QuantizedOp((3,), (1, 2, 4, 5, 6, 7), (8,)),
    ("", "QLinearMatMul"): QuantizedOp((3,), (1, 2, 4, 5, 6, 7)),
    ("", "ConvInteger"): QuantizedOp((1,), (2, 3)),
    ("", "MatMulInteger"): QuantizedOp((1,), (2, 3)),
    (CONTRIB, "MatMulNBits"): QuantizedOp((1,), (2, 3), (5,)),
    (CONTRIB, "QGemm"): QuantizedOp((3,), (1, 2, 4, 5, 7, 8), (6,)),
    (CONTRIB, "DynamicQuantizeMatMul"): QuantizedOp((1,), (2, 3), (4,)),
    (CONTRIB, "MatMulIntegerToFloat"): QuantizedOp((1,), (2, 3, 4, 5), (6,)),
    (CONTRIB, "QAttention"): QuantizedOp((1,), (3, 4, 6, 7), (2,)),
    (CONTRIB, "DynamicQuantizeLSTM"): QuantizedOp((1, 2), (8, 9, 10, 11), (3,)),
    (CONTRIB, "QLinearAdd"): _SUM,
    (CONTRIB, "QLinearMul"): _SUM,
    (CONTRIB, "QLinearGlobalAveragePool"): _UNARY,
    (CONTRIB, "QLinearAveragePool"): _UNARY,
    (CONTRIB, "QLinearSigmoid"): _UNARY,
    (CONTRIB, "QLinearLeakyRelu"): _UNARY,
    (CONTRIB, "QLinearSoftmax"): _UNARY,
}
# Operators of ONNX Runtime's own with weights in floating point, which no rule knows.
FUSED_WEIGHTS = {
    (CONTRIB, "Attention"): (1,),
    (CONTRIB, "EmbedLayerNormalization"): (2,),
    (CONTRIB, "FusedMatMul"): (1,),
}
WEIGHT_POSITIONS = dict.fromkeys(PRODUCTS, (1,)) | dict.fromkeys(GATES, (1, 2)) | {EMBEDDING: (0,)}
FIRST_PART = 2  # the first operand of QLinearConcat
FLOAT_SOURCES = (DEQUANTIZE, "Cast")  # what turns stored weights into floats


def quantized_op(node: ir.Node) -> QuantizedOp | None:
    """Where an operator with integer weights has them; None for any other."""
    domain = "" if is_standard(node) else node.domain
    if (domain, node.op_type) == (
        CONTRIB,
        "QLinearConcat",
    ):  # a scale and a zero point, then threes
        places = range(len(node.inputs))
        scales = tuple(place for place in places if place < FIRST_PART or place % 3 != FIRST_PART)
        return QuantizedOp((), scales, tuple(places[FIRST_PART::3]))
    return QUANTIZED_OPS.get((domain, node.op_type))


def packed_shape(node: ir.Node) -> tuple[int, int] | None:
    """(inputs, outputs) of the weight that MatMulNBits holds packed; None for other operators."""
    if node.domain != CONTRIB or node.op_type != "MatMulNBits":
        return None
    return int_attribute(node, "K", 0), int_attribute(node, "N", 0)


def closed_weights(node: ir.Node) -> list[tuple[ir.Value, str]]:
    """Weights of a node that aren't floats in the file, with what tells their names apart."""
    quantized = quantized_op(node)
    positions = quantized.weights if quantized else ()
    fused = FUSED_WEIGHTS.get((node.domain, node.op_type), ())
    if is_standard(node) and not quantized:
        positions = WEIGHT_POSITIONS.get(node.op_type, ())
    positions = positions or fused
    found = []
    for position, suffix in zip(positions, ("", RECURRENT_SUFFIX), strict=False):
        value = node.inputs[position] if position < len(node.inputs) else None
        if not quantized and not fused:
            value = _stored(value)
            if value is None and node.op_type == "MatMul":
                value = _stored(node.inputs[0])  # a weight on the left
        if value is not None and value.const_value is not None and len(value.const_value.shape) > 1:
            found.append((value, suffix))
    return found


def _stored(value: ir.Value | None) -> ir.Value | None:
    """What is turned into floats to give a value: dequantized, cast, or one after the other."""
    source = value.producer() if value is not None else None
    if source is None or source.op_type not in FLOAT_SOURCES:
        return None
    stored = source.inputs[0]
    inner = stored.producer() if stored is not None else None
    if source.op_type == "Cast" and inner is not None and inner.op_type == DEQUANTIZE:
        return inner.inputs[0]
    return stored
