"""How channel ids pass each operator: one small rule per family of operators.

A rule reads the labels of a node's inputs and either labels its outputs, pairs ids, or keeps them
with a reason. An operator without a rule keeps everything that enters it.
"""

from collections.abc import Callable

import numpy as np
import onnx_ir as ir

from explorer.graph.layers import int_attribute, is_flag_set
from explorer.graph.memory import captured
from explorer.graph.shapes import infer_shapes, infer_shapes_of_two
from explorer.graph.tracer import NO_CHANNEL, Ids, Labels, Tracer
from explorer.model import Shape

Rule = Callable[[Tracer, ir.Node], None]

RULES: dict[str, Rule] = {}

SAME_CHANNELS = """
    Abs Cast Ceil Celu Clip Cos Dropout Elu Erf Exp Floor Gelu HardSigmoid HardSwish Identity IsNaN
    LeakyRelu Log Mish Neg Not Reciprocal Relu Round Selu Shrink Sigmoid Sign Sin Softplus Softsign
    Sqrt Swish Tanh ThresholdedRelu
"""
BROADCASTING = """
    Add And Div Equal Greater GreaterOrEqual Less LessOrEqual Max Mean Min Mod Mul Or PRelu Pow Sub
    Sum Where Xor
"""
POOLING = """
    AveragePool GlobalAveragePool GlobalLpPool GlobalMaxPool LpPool MaxPool
"""
REDUCTIONS = """
    ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd
    ReduceSum ReduceSumSquare
"""


def rule(ops: str) -> Callable[[Rule], Rule]:
    """Register a rule for one or more operators; a second rule for the same op is a mistake."""

    def register(function: Rule) -> Rule:
        for op in ops.split():
            if op in RULES:
                raise ValueError(f"{op} already has a rule")
            RULES[op] = function
        return function

    return register


def trace(tracer: Tracer) -> None:
    """Let the ids flow through the whole graph, in its order."""
    graph = tracer.model.graph_model.graph
    for node in graph:
        tracer.node = str(node.name)
        function = RULES.get(node.op_type) if node.domain in ("", "ai.onnx") else None
        if function is None:
            tracer.keep_inputs(node, f"feeds {where(node)}, an operator without a pruning rule")
        elif not _shapes_are_known(tracer, node):
            _leave_unknown(tracer, node)
        else:
            function(tracer, node)
            _keep_side_outputs(tracer, node)
        _keep_captured(tracer, node)
    for value in graph.outputs:
        labels = tracer.labels_of(value)
        if labels is not None:
            tracer.keep(labels.ids, f"feeds graph output {value.name!r}")
    tracer.keep_shared()


def where(node: ir.Node) -> str:
    """A node as a reader can find it: operator and name."""
    return f"{node.op_type} {node.name!r}"


def _shapes_are_known(tracer: Tracer, node: ir.Node) -> bool:
    labelled = [value for value in node.inputs if tracer.labels_of(value) is not None]
    return all(tracer.shape_of(value) is not None for value in (*labelled, node.outputs[0]))


def _leave_unknown(tracer: Tracer, node: ir.Node) -> None:
    tracer.keep_inputs(node, f"feeds {where(node)}, whose shape depends on the data")
    if str(node.name) in tracer.layers:
        tracer.unlabelled[tracer.layers[str(node.name)].name] = (
            "has a shape that depends on the data"
        )


def _keep_side_outputs(tracer: Tracer, node: ir.Node) -> None:
    """Where no rule labels a second output (as MaxPool's indices) that is used, all must stay."""
    if node.op_type == "Split":
        return  # has labelled all that can lose channels
    labels = tracer.labels_of(node.outputs[0])
    used = [value for value in node.outputs[1:] if value.uses() or value.is_graph_output()]
    if labels is not None and any(tracer.labels_of(value) is None for value in used):
        tracer.keep(labels.ids, f"leaves {where(node)} through a second output")


def _keep_captured(tracer: Tracer, node: ir.Node) -> None:
    for value in captured(node):
        labels = tracer.labels_of(value)
        if labels is not None:
            tracer.keep(labels.ids, f"is used inside the subgraph of {where(node)}")


@rule("Conv")
def conv(tracer: Tracer, node: ir.Node) -> None:
    """Consumes ids on the input channels, makes new ones; depthwise hands its inputs' on."""
    shape = tracer.shape_of(node.inputs[1])
    if str(node.name) not in tracer.layers or shape is None:
        tracer.keep_inputs(node, f"feeds {where(node)}, whose weight isn't constant")
        return
    weight, groups = _value(node.inputs[1]), int_attribute(node, "group", 1)
    ids = _channel_ids(tracer, node, axis=1)
    if groups == 1:
        if ids is not None:
            tracer.cut(weight, 1, ids)
        _make(tracer, node, weight, 0, shape[0], out_axis=1)
    elif shape[1] == 1:
        _depthwise(tracer, node, weight, ids, shape[0] // groups)
    else:
        _grouped(tracer, node, weight, ids, groups)


def _depthwise(
    tracer: Tracer, node: ir.Node, weight: ir.Value, ids: Ids | None, multiplier: int
) -> None:
    layer = tracer.layers[str(node.name)].name
    if ids is None:
        tracer.unlabelled[layer] = "filters a tensor whose channels can't go, one by one"
        return
    out = np.repeat(ids, multiplier)
    tracer.cut(weight, 0, out)
    tracer.produce(node, out)
    tracer.regrouped[str(node.name)] = ids
    tracer.label(node.outputs[0], Labels(1, out))


def _grouped(tracer: Tracer, node: ir.Node, weight: ir.Value, ids: Ids | None, groups: int) -> None:
    """Every group loses the same of its channels, on both sides, so that all stay alike."""
    if ids is not None:
        first = ids.reshape(groups, -1)[0]
        reason = f"feeds the grouped convolution {where(node)} beside channels that can't go"
        tracer.pair(np.tile(first, groups), ids, reason)
        tracer.cut(weight, 1, first)
    outputs = tracer.layers[str(node.name)].channels
    out = np.tile(tracer.fresh(outputs // groups), groups)
    tracer.cut(weight, 0, out)
    tracer.produce(node, out)
    tracer.label(node.outputs[0], Labels(1, out))


@rule("ConvTranspose")
def conv_transpose(tracer: Tracer, node: ir.Node) -> None:
    """As Conv, with the weight's axes the other way round."""
    shape = tracer.shape_of(node.inputs[1])
    if str(node.name) not in tracer.layers or shape is None:
        tracer.keep_inputs(node, f"feeds {where(node)}, whose weight isn't constant")
        return
    if int_attribute(node, "group", 1) > 1:
        tracer.keep_inputs(node, f"feeds the grouped convolution {where(node)}")
        tracer.unlabelled[tracer.layers[str(node.name)].name] = "is a grouped convolution"
        return
    weight = _value(node.inputs[1])
    ids = _channel_ids(tracer, node, axis=1)
    if ids is not None:
        tracer.cut(weight, 0, ids)
    _make(tracer, node, weight, 1, shape[1], out_axis=1)


@rule("Gemm MatMul")
def matrix_product(tracer: Tracer, node: ir.Node) -> None:
    """Consumes ids on the inner dimension, makes new ones on the last axis."""
    shape, output = tracer.shape_of(node.inputs[1]), tracer.shape_of(node.outputs[0])
    if str(node.name) not in tracer.layers or shape is None or output is None:
        _activation_product(tracer, node)
        return
    weight = _value(node.inputs[1])
    out_axis = 0 if node.op_type == "Gemm" and is_flag_set(node, "transB") else 1
    if node.op_type == "Gemm" and is_flag_set(node, "transA"):
        tracer.keep_inputs(node, f"is transposed inside {where(node)}")
        ids = None
    else:
        left = tracer.shape_of(node.inputs[0])
        ids = _channel_ids(tracer, node, axis=len(left) - 1 if left else -1)
    if ids is not None:
        tracer.cut(weight, 1 - out_axis, ids)
    _make(tracer, node, weight, out_axis, shape[out_axis], out_axis=len(output) - 1)


def _activation_product(tracer: Tracer, node: ir.Node) -> None:
    """Two activations: rows and columns pass, the inner dimension is paired, and so are stacks.

    The stacked axes in front (as attention's heads) must be labelled on both sides.
    """
    pair = [_from_behind(tracer, value) for value in node.inputs[:2]]
    reason = f"enters {where(node)}, a product of two activations"
    if node.op_type != "MatMul" or any(rank < 2 for _, rank in pair):
        tracer.keep_inputs(node, reason)
        return
    (left, _), (right, _) = pair
    passing = [x for x, inner in ((left, -1), (right, -2)) if x is not None and x.axis != inner]
    summed = [x for x, inner in ((left, -1), (right, -2)) if x is not None and x.axis == inner]
    if len(summed) == 1:
        tracer.keep(summed[0].ids, reason)
    elif len(summed) == 2:
        tracer.pair(summed[0].ids, summed[1].ids, reason)
    rank = len(tracer.shapes.dims[str(node.outputs[0].name)])
    stacked = [x for x in passing if x.axis < -2]
    if len({x.axis for x in passing}) > 1 or len(stacked) == 1:
        for labels in passing:
            tracer.keep(labels.ids, reason)
    elif passing:
        if len(passing) == 2:
            tracer.pair(passing[0].ids, passing[1].ids, reason)
        tracer.label(node.outputs[0], Labels(rank + passing[0].axis, passing[0].ids))


def _from_behind(tracer: Tracer, value: ir.Value | None) -> tuple[Labels | None, int]:
    """Labels with their axis counted from the last one (-1), and the rank of the tensor."""
    shape, labels = tracer.shape_of(value), tracer.labels_of(value)
    if shape is None or labels is None:
        return None, len(shape or ())
    return Labels(labels.axis - len(shape), labels.ids), len(shape)


def _make(
    tracer: Tracer, node: ir.Node, weight: ir.Value, weight_axis: int, count: int, out_axis: int
) -> None:
    """New ids for the outputs of a layer."""
    if count == 1:
        tracer.unlabelled[tracer.layers[str(node.name)].name] = "has only one channel"
        return
    ids = tracer.fresh(count)
    tracer.cut(weight, weight_axis, ids)
    tracer.produce(node, ids)
    tracer.label(node.outputs[0], Labels(out_axis, ids))


def _channel_ids(tracer: Tracer, node: ir.Node, axis: int) -> Ids | None:
    """Ids of the first input where they lie on the axis that the node sums over."""
    labels = tracer.labels_of(node.inputs[0])
    if labels is None:
        return None
    if labels.axis != axis:
        tracer.keep(labels.ids, f"enters {where(node)} on an axis that it doesn't sum over")
        return None
    return labels.ids


def _value(value: ir.Value | None) -> ir.Value:
    assert value is not None  # the caller has seen its shape
    return value


@rule(SAME_CHANNELS)
def same_channels(tracer: Tracer, node: ir.Node) -> None:
    """Each element depends on the same element of the first input alone."""
    tracer.label(node.outputs[0], tracer.labels_of(node.inputs[0]))


@rule(POOLING)
def pooling(tracer: Tracer, node: ir.Node) -> None:
    """Channels stay on axis 1; pooling across labelled positions keeps them."""
    _pass_unless(tracer, node, lambda axis: axis > 1, "is pooled over by")


def _pass_unless(tracer: Tracer, node: ir.Node, mixes: Callable[[int], bool], verb: str) -> None:
    labels = tracer.labels_of(node.inputs[0])
    if labels is None:
        return
    if mixes(labels.axis):
        tracer.keep(labels.ids, f"{verb} {where(node)}")
    else:
        tracer.label(node.outputs[0], labels)


@rule("BatchNormalization InstanceNormalization")
def channel_normalization(tracer: Tracer, node: ir.Node) -> None:
    """One scale, shift (and mean and variance) per channel: they go with their channel."""
    labels = tracer.labels_of(node.inputs[0])
    if labels is None:
        return
    parameters = [value for value in node.inputs[1:] if value is not None]
    if labels.axis != 1 or any(value.const_value is None for value in parameters):
        tracer.keep(labels.ids, f"feeds {where(node)}, whose parameters aren't constant")
        return
    for value in parameters:
        tracer.cut(value, 0, labels.ids)
    tracer.label(node.outputs[0], labels)


@rule("LayerNormalization RMSNormalization")
def layer_normalization(tracer: Tracer, node: ir.Node) -> None:
    """Normalises over the last axes: labelled ones must stay."""
    first = _axis(tracer, node, "axis", -1)
    _pass_unless(tracer, node, lambda axis: axis >= first, "is normalised over by")


@rule("Softmax LogSoftmax")
def softmax(tracer: Tracer, node: ir.Node) -> None:
    """Normalises over one axis (before opset 13: over all from there on)."""
    first = _axis(tracer, node, "axis", -1)
    modern = tracer.model.graph_model.opset_imports.get("", 13) >= 13
    mixed = (lambda axis: axis == first) if modern else (lambda axis: True)
    _pass_unless(tracer, node, mixed, "is normalised over by")


@rule(BROADCASTING)
def broadcasting(tracer: Tracer, node: ir.Node) -> None:
    """Pairs the ids of all operands; constants along the channels are cut with them."""
    output = node.outputs[0]
    shape = tracer.shape_of(output)
    labelled = [value for value in node.inputs if tracer.labels_of(value) is not None]
    if not labelled:
        return
    shapes = {value: tracer.shape_of(value) for value in node.inputs if value is not None}
    if shape is None or any(dims is None for dims in shapes.values()):
        tracer.keep_inputs(node, f"feeds {where(node)}, whose shape isn't known")
        return
    operands = [_aligned(tracer, value, shape) for value in labelled if value is not None]
    axis, ids = operands[0].axis, operands[0].ids
    if any(labels.axis != axis or len(labels.ids) != shape[axis] for labels in operands):
        tracer.keep_inputs(node, f"is combined along different axes by {where(node)}")
        return
    for labels in operands[1:]:
        tracer.pair(ids, labels.ids, f"is combined by {where(node)} with channels that can't go")
    for value, dims in shapes.items():
        if value not in labelled:
            _combine_unlabelled(tracer, node, value, dims or (), Labels(axis, ids), len(shape))
    tracer.label(output, Labels(axis, ids))


def _aligned(tracer: Tracer, value: ir.Value, shape: Shape) -> Labels:
    labels = tracer.labels[str(value.name)]
    return Labels(labels.axis + len(shape) - len(tracer.shapes.dims[str(value.name)]), labels.ids)


def _combine_unlabelled(
    tracer: Tracer, node: ir.Node, value: ir.Value, dims: Shape, labels: Labels, rank: int
) -> None:
    axis = labels.axis - (rank - len(dims))  # the same axis, counted in this operand
    if axis < 0 or dims[axis] == 1:
        return  # broadcast along the channels
    if value.const_value is not None:
        tracer.cut(value, axis, labels.ids)
    else:
        tracer.keep(
            labels.ids, f"is combined by {where(node)} with {value.name!r}, whose channels can't go"
        )


@rule("Concat")
def concat(tracer: Tracer, node: ir.Node) -> None:
    """Along the channels: the ids one after the other; along another axis: paired."""
    axis = _axis(tracer, node, "axis", 0)
    labelled = [labels for value in node.inputs if (labels := tracer.labels_of(value)) is not None]
    if not labelled:
        return
    shapes = [tracer.shape_of(value) for value in node.inputs]
    if len({labels.axis for labels in labelled}) > 1 or any(dims is None for dims in shapes):
        tracer.keep_inputs(node, f"is concatenated along different axes by {where(node)}")
        return
    first = labelled[0]
    if first.axis != axis:
        _concat_beside(tracer, node, first)
        return
    pieces = []
    for value, dims in zip(node.inputs, shapes, strict=True):
        labels = tracer.labels_of(value)
        width = dims[axis] if dims else 0
        pieces.append(labels.ids if labels else np.full(width, NO_CHANNEL, dtype=np.int64))
    tracer.label(node.outputs[0], Labels(axis, np.concatenate(pieces)))


def _concat_beside(tracer: Tracer, node: ir.Node, first: Labels) -> None:
    reason = f"is concatenated by {where(node)} with a tensor whose channels can't go"
    for value in node.inputs:
        labels = tracer.labels_of(value)
        if labels is not None:
            tracer.pair(first.ids, labels.ids, reason)
        elif value is not None and value.const_value is not None:
            tracer.cut(value, first.axis, first.ids)
        else:
            tracer.keep(first.ids, reason)
    tracer.label(node.outputs[0], first)


@rule("Transpose")
def transpose(tracer: Tracer, node: ir.Node) -> None:
    """The labelled axis moves."""
    labels, shape = tracer.labels_of(node.inputs[0]), tracer.shape_of(node.inputs[0])
    if labels is None or shape is None:
        return
    default = list(reversed(range(len(shape))))
    order = list(node.attributes["perm"].as_ints()) if "perm" in node.attributes else default
    tracer.label(node.outputs[0], Labels(order.index(labels.axis), labels.ids))


@rule("Flatten Squeeze Unsqueeze")
def regroup_axes(tracer: Tracer, node: ir.Node) -> None:
    """A reshape that adapts to its input by itself.

    A Squeeze that names no axes would also drop channels of which a single one is left.
    """
    if node.op_type == "Squeeze" and not _constant_ints(node, 1, "axes"):
        tracer.keep_inputs(node, f"feeds {where(node)}, which names no axes")
        return
    tracer.label(node.outputs[0], _reshaped(tracer, node))


@rule("Reshape")
def reshape(tracer: Tracer, node: ir.Node) -> None:
    """A reshape whose target must follow the channels.

    A target that the graph computes is replaced by a constant one, where nothing but the batch is
    open.
    """
    target = node.inputs[1]
    constant = target is not None and target.const_value is not None
    if not constant and not _follows_the_batch_alone(tracer, node):
        tracer.keep_inputs(node, f"is reshaped to a computed shape by {where(node)}")
        return
    labels = _reshaped(tracer, node)
    if labels is not None:
        tracer.sized[str(node.name)] = labels.axis
        tracer.label(node.outputs[0], labels)


def _follows_the_batch_alone(tracer: Tracer, node: ir.Node) -> bool:
    """True where only the first dimension of a node's output changes, and with the batch."""
    one, two = infer_shapes(tracer.model), infer_shapes_of_two(tracer.model)
    name = str(node.outputs[0].name)
    if any(size != 1 for size in one.assumed.values()) or name not in one.dims:
        return False
    return one.dims[name][1:] == two.dims.get(name, ())[1:] and len(one.dims[name]) > 1


def _reshaped(tracer: Tracer, node: ir.Node) -> Labels | None:
    labels = tracer.labels_of(node.inputs[0])
    before, after = tracer.shape_of(node.inputs[0]), tracer.shape_of(node.outputs[0])
    if labels is None:
        return None
    if before is None or after is None or 0 in before:
        tracer.keep(labels.ids, f"is reshaped by {where(node)} to a shape that depends on the data")
        return None
    in_axes, out_axes = _block(before, after, labels.axis)
    ahead = int(np.prod([before[a] for a in in_axes if a < labels.axis]))
    behind = int(np.prod([before[a] for a in in_axes if a > labels.axis]))
    spread = np.broadcast_to(labels.ids[None, :, None], (ahead, len(labels.ids), behind))
    ids = spread.reshape([after[a] for a in out_axes])  # ids of the new axes of this block
    return _on_one_axis(tracer, node, ids, out_axes, in_front=labels.axis < len(before) - 1)


def _on_one_axis(
    tracer: Tracer, node: ir.Node, ids: Ids, axes: list[int], in_front: bool
) -> Labels | None:
    """Where a channel axis is split, whole rows of one new axis go together.

    The features of a token (the last axis) are split into heads and their width, or into query, key
    and value, heads and width: heads go as a whole. Channels in front of an image's pixels are
    split into groups: each group loses the same.
    """
    varying = [k for k in range(ids.ndim) if (ids != ids.take([0], axis=k)).any()]
    if not varying:
        tracer.keep(ids.reshape(-1), f"loses its axis in {where(node)}")
        return None
    chosen = varying[-1] if in_front else varying[(len(varying) - 1) // 2]
    rows = np.moveaxis(ids, chosen, 0).reshape(ids.shape[chosen], -1)
    if len(varying) > 1:
        rest = np.broadcast_to(rows[:, :1], rows.shape)
        reason = f"is split by {where(node)} into parts with channels that can't go"
        tracer.pair(rest.reshape(-1), rows.reshape(-1), reason)
    return Labels(axes[chosen], rows[:, 0])


def _block(before: Shape, after: Shape, axis: int) -> tuple[list[int], list[int]]:
    """The smallest run of axes around `axis` that a reshape maps to a run of new axes."""
    i = j = 0
    while True:
        in_axes, out_axes = [i], [j]
        left, right = before[i], after[j]
        i, j = i + 1, j + 1
        while left != right:
            if left < right:
                left, in_axes, i = left * before[i], [*in_axes, i], i + 1
            else:
                right, out_axes, j = right * after[j], [*out_axes, j], j + 1
        if axis in in_axes:
            return in_axes, out_axes


@rule(REDUCTIONS)
def reduction(tracer: Tracer, node: ir.Node) -> None:
    """Axes without labels go; a labelled one that is summed over stays as it is."""
    labels, shape = tracer.labels_of(node.inputs[0]), tracer.shape_of(node.inputs[0])
    if labels is None or shape is None:
        return
    axes = _constant_ints(node, 1, "axes")
    if axes is None:
        tracer.keep(labels.ids, f"is reduced by {where(node)} over axes that aren't constant")
        return
    reduced = {axis % len(shape) for axis in axes} or set(range(len(shape)))
    if labels.axis in reduced:
        tracer.keep(labels.ids, f"is summed over by {where(node)}")
        return
    gone = 0 if int_attribute(node, "keepdims", 1) else sum(a < labels.axis for a in reduced)
    tracer.label(node.outputs[0], Labels(labels.axis - gone, labels.ids))


@rule("Pad")
def pad(tracer: Tracer, node: ir.Node) -> None:
    """Passes where nothing is added along the channels."""
    shape, pads = tracer.shape_of(node.inputs[0]), _constant_ints(node, 1, "pads")
    explicit_axes = len(node.inputs) > 3 and node.inputs[3] is not None

    def pads_channels(axis: int) -> bool:
        if shape is None or pads is None or explicit_axes:
            return True
        return bool(pads[axis] or pads[axis + len(shape)])

    _pass_unless(tracer, node, pads_channels, "is padded by")


@rule("Resize Upsample")
def resize(tracer: Tracer, node: ir.Node) -> None:
    """Passes where the channels keep their number and no constant names it."""
    before, after = tracer.shape_of(node.inputs[0]), tracer.shape_of(node.outputs[0])
    sized = len(node.inputs) > 3 and node.inputs[3] is not None

    def changes(axis: int) -> bool:
        return sized or before is None or after is None or before[axis] != after[axis]

    _pass_unless(tracer, node, changes, "is resized to a fixed shape by")


@rule("Slice")
def slice_(tracer: Tracer, node: ir.Node) -> None:
    """Along the channels: the ids of the slice; else passes."""
    labels, shape = tracer.labels_of(node.inputs[0]), tracer.shape_of(node.inputs[0])
    if labels is None or shape is None:
        return
    if not constant_slice(node, len(shape)):
        tracer.keep(labels.ids, f"is sliced at computed places by {where(node)}")
        return
    place = constant_slice(node, len(shape)).get(labels.axis)
    if place is None:
        tracer.label(node.outputs[0], labels)
    elif place.step != 1:
        tracer.keep(labels.ids, f"is sliced with a step by {where(node)}")
    else:
        tracer.sized[str(node.name)] = labels.axis
        tracer.label(node.outputs[0], Labels(labels.axis, labels.ids[place]))


def constant_slice(node: ir.Node, rank: int) -> dict[int, slice]:
    """The places of a Slice by axis; empty where they are computed."""
    starts, ends = _constant_ints(node, 1, "starts"), _constant_ints(node, 2, "ends")
    axes, steps = _constant_ints(node, 3, "axes"), _constant_ints(node, 4, "steps")
    if not starts or not ends or axes is None or steps is None:
        return {}
    axes, steps = axes or list(range(len(starts))), steps or [1] * len(starts)
    parts = zip(axes, starts, ends, steps, strict=True)
    return {axis % rank: slice(start, end, step) for axis, start, end, step in parts}


@rule("Split")
def split(tracer: Tracer, node: ir.Node) -> None:
    """Along the channels: each part gets its ids; else passes to every part."""
    labels, axis = tracer.labels_of(node.inputs[0]), _axis(tracer, node, "axis", 0)
    shapes = [tracer.shape_of(output) for output in node.outputs]
    if labels is None:
        return
    if labels.axis != axis:
        for output in node.outputs:
            tracer.label(output, labels)
        return
    if any(shape is None for shape in shapes) or _constant_ints(node, 1, "split") is None:
        tracer.keep(labels.ids, f"is split at computed places by {where(node)}")
        return
    tracer.sized[str(node.name)] = axis
    ends = np.cumsum([shape[axis] for shape in shapes if shape])
    for output, ids in zip(node.outputs, np.split(labels.ids, ends[:-1]), strict=True):
        tracer.label(output, Labels(axis, ids))


@rule("Gather")
def gather(tracer: Tracer, node: ir.Node) -> None:
    """Passes where something else than the channels is looked up."""
    labels, axis = tracer.labels_of(node.inputs[0]), _axis(tracer, node, "axis", 0)
    indices = tracer.shape_of(node.inputs[1])
    if labels is None:
        tracer.keep_inputs(node, f"chooses what {where(node)} looks up")
    elif labels.axis == axis or indices is None:
        tracer.keep_inputs(node, f"is looked up by {where(node)}")
    else:
        shift = len(indices) - 1 if labels.axis > axis else 0
        tracer.label(node.outputs[0], Labels(labels.axis + shift, labels.ids))


@rule("Shape Size")
def only_shape(tracer: Tracer, node: ir.Node) -> None:
    """Looks at the dimensions, which follow the channels by themselves."""


def _axis(tracer: Tracer, node: ir.Node, name: str, default: int) -> int:
    axis = int_attribute(node, name, default)
    shape = tracer.shape_of(node.inputs[0])
    return axis % len(shape) if shape else axis


def _constant_ints(node: ir.Node, position: int, attribute: str) -> list[int] | None:
    """A list that is an input in newer opsets and an attribute in older ones.

    Empty where it isn't given at all, None where it is computed.
    """
    if attribute in node.attributes:
        return list(node.attributes[attribute].as_ints())
    value = node.inputs[position] if len(node.inputs) > position else None
    if value is None:
        return []
    return [int(x) for x in value.const_value.numpy()] if value.const_value is not None else None
