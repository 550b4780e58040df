"""Operators that treat each element by itself, or combine those in the same place."""

import onnx_ir as ir

from explorer.graph.channel_labels import aligned
from explorer.graph.operators import CONTRIB, int_attribute, opset_of
from explorer.graph.rules.constants import follow_unlabelled
from explorer.graph.rules.registry import ALL, hold, rule, where
from explorer.graph.tracer import Tracer

SAME_CHANNELS = """
    Abs Acos Acosh Asin Asinh Atan Atanh Cast CastLike Ceil Celu Clip Cos Cosh Dropout Elu Erf Exp
    Floor Gelu HardSigmoid HardSwish Identity IsInf IsNaN LeakyRelu Log Mish Neg Not Reciprocal Relu
    Round Selu Shrink Sigmoid Sign Sin Sinh Softplus Softsign Sqrt Swish Tan Tanh ThresholdedRelu
"""
BROADCASTING = """
    Add And Div Equal Greater GreaterOrEqual Less LessOrEqual Max Mean Min Mod Mul Or PRelu Pow Sub
    Sum Where Xor
"""


@rule(SAME_CHANNELS)
@rule("Gelu QuickGelu", CONTRIB)
def same_channels(tracer: Tracer, node: ir.Node) -> None:
    """Each element depends on the same element of the first input alone."""
    tracer.label(node.outputs[0], tracer.labels_of(node.inputs[0]))


@rule("Softmax LogSoftmax Hardmax CumSum LpNormalization")
def along_an_axis(tracer: Tracer, node: ir.Node) -> None:
    """Elements along one axis depend on one another (Softmax before opset 13: from there on)."""
    labels = tracer.labels_of(node.inputs[0])
    if labels is None:
        return
    rank = len(labels.shape)
    if node.op_type == "CumSum":
        hold(tracer, node, list(range(rank)), "is summed over by")
        return
    alone = node.op_type == "LpNormalization" or opset_of(tracer.model.graph_model) >= 13
    axis = int_attribute(node, "axis", -1 if alone else 1) % rank
    hold(tracer, node, [axis] if alone else list(range(axis, rank)), "is normalised over by")


@rule(BROADCASTING, follows=ALL)
@rule("BiasGelu FastGelu", CONTRIB, follows=ALL)
def broadcasting(tracer: Tracer, node: ir.Node) -> None:
    """Pairs the ids of all operands; constants along the channels are cut with them."""
    shape = tracer.shape_of(node.outputs[0])
    operands = [value for value in node.inputs if value is not None]
    labelled = [value for value in operands if tracer.labels_of(value) is not None]
    if not labelled:
        return
    shapes = [tracer.shape_of(value) for value in operands]
    if shape is None or 0 in shape or any(dims is None for dims in shapes):
        tracer.keep_inputs(node, f"feeds {where(node)}, whose shape isn't known, or holds nothing")
        return
    fitting = aligned([tracer.labels[str(value.name)].expanded(shape) for value in labelled])
    first = max(fitting, key=lambda labels: labels.ids.size)
    for labels in fitting:
        if labels is not first:
            reason = f"is combined by {where(node)} with channels that can't be pruned"
            tracer.pair(first.ids, labels.ids, reason)
    for value, dims in zip(operands, shapes, strict=True):
        if value not in labelled:
            follow_unlabelled(tracer, node, value, dims or (), first)
    tracer.label(node.outputs[0], first)
