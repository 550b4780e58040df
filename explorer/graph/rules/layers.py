"""Layers: they consume ids on the input side of their weight and make new ones on the other."""

import numpy as np
import onnx_ir as ir

from explorer.graph.channel_labels import Ids, Labels
from explorer.graph.operators import CONTRIB, int_attribute, is_flag_set
from explorer.graph.rules.moves import look_up
from explorer.graph.rules.products import matmul_of_activations
from explorer.graph.rules.registry import constant_value, rule, where
from explorer.graph.tracer import Tracer


@rule("Conv")
@rule("FusedConv", CONTRIB)
def conv(tracer: Tracer, node: ir.Node) -> None:
    """Consumes ids on the input channels, makes new ones; depthwise hands its inputs' on."""
    shape = tracer.shape_of(node.inputs[1])
    if not tracer.is_layer(node) or shape is None:
        tracer.keep_inputs(node, f"feeds {where(node)}, whose weight isn't a constant of floats")
        return
    if len(node.inputs) > 3 and node.inputs[3] is not None:  # FusedConv adds a tensor
        tracer.keep_inputs(node, f"is added inside {where(node)}")
        tracer.leave(node, "adds a tensor inside its own node")
        return
    weight, groups = constant_value(node.inputs[1]), int_attribute(node, "group", 1)
    ids = _inputs(tracer, node, axis=1)
    if groups == 1:
        if ids is not None:
            tracer.cut(weight, 1, ids, node)
        _make(tracer, node, weight, 0, shape[0], out_axis=1)
    elif shape[1] == 1:
        _depthwise(tracer, node, weight, ids, shape[0] // groups)
    else:
        _grouped(tracer, node, weight, ids, groups, out_axis=0)


def _depthwise(
    tracer: Tracer, node: ir.Node, weight: ir.Value, ids: Ids | None, multiplier: int
) -> None:
    if ids is None:
        tracer.leave(node, "filters a tensor whose channels can't be pruned, one by one")
        return
    out = np.repeat(ids, multiplier)
    tracer.cut(weight, 0, out, node)
    tracer.counted[str(node.name), "group"] = ids
    _give(tracer, node, out, out_axis=1)


def _grouped(
    tracer: Tracer, node: ir.Node, weight: ir.Value, ids: Ids | None, groups: int, out_axis: int
) -> None:
    """Every group loses the same of its channels, on both sides, so that all stay alike."""
    in_axis = 1 - out_axis
    if ids is not None:
        first = ids.reshape(groups, -1)[0]
        reason = f"feeds the grouped convolution {where(node)} beside channels that can't be pruned"
        tracer.pair(np.tile(first, groups), ids, reason)
        tracer.cut(weight, in_axis, first if in_axis else ids, node)
    outputs = tracer.layers[str(node.name)][0].channels
    if outputs == groups:
        tracer.leave(node, "has only one channel in each group")
        return
    out = np.tile(tracer.fresh(outputs // groups), groups)
    tracer.cut(weight, out_axis, out[: outputs // groups] if out_axis else out, node)
    _give(tracer, node, out, out_axis=1)


@rule("ConvTranspose")
def conv_transpose(tracer: Tracer, node: ir.Node) -> None:
    """As Conv, with the weight's axes the other way round: (in, out / groups, *kernel)."""
    shape = tracer.shape_of(node.inputs[1])
    if not tracer.is_layer(node) or shape is None:
        tracer.keep_inputs(node, f"feeds {where(node)}, whose weight isn't a constant of floats")
        return
    weight, groups = constant_value(node.inputs[1]), int_attribute(node, "group", 1)
    ids = _inputs(tracer, node, axis=1)
    if groups > 1 and shape == (groups, 1, *shape[2:]):
        if ids is None:
            tracer.leave(node, "filters a tensor whose channels can't be pruned, one by one")
            return
        tracer.cut(weight, 0, ids, node)
        tracer.counted[str(node.name), "group"] = ids
        _give(tracer, node, ids, out_axis=1)
    elif groups > 1:
        _grouped(tracer, node, weight, ids, groups, out_axis=1)
    else:
        if ids is not None:
            tracer.cut(weight, 0, ids, node)
        _make(tracer, node, weight, 1, shape[1], out_axis=1)


@rule("Gemm MatMul", follows=2)
@rule("FusedGemm", CONTRIB)
def matrix_product(tracer: Tracer, node: ir.Node) -> None:
    """Consumes ids on the inner dimension, makes new ones on the last axis."""
    shape, output = tracer.shape_of(node.inputs[1]), tracer.shape_of(node.outputs[0])
    if not tracer.is_layer(node) or shape is None or output is None:
        matmul_of_activations(tracer, node)
        return
    if not tracer.layers[str(node.name)][0].is_linear:
        _product_of_another_form(tracer, node)
        return
    weight = constant_value(node.inputs[1])
    out_axis = 0 if "Gemm" in node.op_type and is_flag_set(node, "transB") else 1
    ids = None
    if "Gemm" in node.op_type and is_flag_set(node, "transA"):
        tracer.keep_inputs(node, f"is transposed inside {where(node)}")
    else:
        left = tracer.shape_of(node.inputs[0])
        ids = _inputs(tracer, node, axis=len(left) - 1 if left else -1)
    if ids is not None:
        tracer.cut(weight, 1 - out_axis, ids, node)
    _make(tracer, node, weight, out_axis, shape[out_axis], out_axis=len(output) - 1)


def _product_of_another_form(tracer: Tracer, node: ir.Node) -> None:
    """A weight on the left sums over the last axis but one, and makes new ids there.

    Where there is another weight in each batch, channels only pass.
    """
    layer = tracer.layers[str(node.name)][0]
    left, data, output = node.inputs[0], node.inputs[1], tracer.shape_of(node.outputs[0])
    shape, entering = layer.weight_shape, tracer.shape_of(data)
    if str(left.name if left is not None else "") != layer.weight or len(shape) > 2:
        tracer.leave(node, "has a different weight for each batch index")
        matmul_of_activations(tracer, node)
        return
    if entering is None or output is None or len(entering) < 2:
        tracer.leave(node, "multiplies a vector from the left")
        tracer.keep_inputs(node, f"is multiplied from the left by {where(node)}")
        return
    ids = _entering(tracer, node, data, axis=len(entering) - 2)
    weight = constant_value(left)
    if ids is not None:
        tracer.cut(weight, 1, ids, node)
    _make(tracer, node, weight, 0, shape[0], out_axis=len(output) - 2)


@rule("Gather")
def gather(tracer: Tracer, node: ir.Node) -> None:
    """An embedding makes new ids on the columns of its table; other lookups move ids."""
    if not tracer.is_layer(node):
        look_up(tracer, node)
        return
    tracer.keep_inputs(node, f"chooses what {where(node)} looks up")
    table = constant_value(node.inputs[0])
    shape = tracer.shape_of(node.outputs[0])
    width = tracer.layers[str(node.name)][0].channels
    _make(tracer, node, table, 1, width, out_axis=len(shape or ()) - 1)


def _inputs(tracer: Tracer, node: ir.Node, axis: int) -> Ids | None:
    """Ids of the first input along the axis that the node sums over."""
    return _entering(tracer, node, node.inputs[0], axis)


def _entering(tracer: Tracer, node: ir.Node, data: ir.Value | None, axis: int) -> Ids | None:
    labels = tracer.labels_of(data)
    if labels is None:
        return None
    if axis not in labels.axes and labels.shape[axis] != 1:
        tracer.keep(labels.ids, f"enters {where(node)} on an axis that it doesn't sum over")
        return None
    return tracer.channels_on(
        labels, axis, f"is mixed by {where(node)} with others that can't be pruned"
    )


def _make(
    tracer: Tracer, node: ir.Node, weight: ir.Value, weight_axis: int, count: int, out_axis: int
) -> None:
    """New ids for the outputs of a layer."""
    if count == 1:
        tracer.leave(node, "has only one channel")
        return
    ids = tracer.fresh(count)
    tracer.cut(weight, weight_axis, ids, node)
    _give(tracer, node, ids, out_axis)


def _give(tracer: Tracer, node: ir.Node, ids: Ids, out_axis: int) -> None:
    """Label the output of a layer; its bias goes along."""
    shape = tracer.shape_of(node.outputs[0])
    assert shape is not None  # the walk passes over nodes whose shape isn't known
    tracer.produce(node, ids)
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    dims = tracer.shape_of(bias)
    if bias is not None and bias.const_value is None:
        tracer.keep(ids, f"gets its bias from the tensor {bias.name!r}")
    elif bias is not None and dims and dims[-1] == len(ids):
        tracer.cut(bias, len(dims) - 1, ids, node)
    tracer.label(node.outputs[0], Labels.on_axis(shape, out_axis, ids))
