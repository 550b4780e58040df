"""Normalisations and reductions: what averages over channels lets them go only on request."""

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from explorer.graph.channel_labels import Labels
from explorer.graph.operators import CONTRIB, constant_ints, int_attribute
from explorer.graph.rules.registry import axis_of, rule, where
from explorer.graph.tracer import Tracer

POOLING = """
    AveragePool GlobalAveragePool GlobalLpPool GlobalMaxPool LpPool MaxPool
"""
REDUCTIONS = """
    ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd
    ReduceSum ReduceSumSquare
"""
INDICES = "ArgMax ArgMin"


@rule(POOLING)
def pooling(tracer: Tracer, node: ir.Node) -> None:
    """Channels stay on axis 1; pooling across labelled positions keeps them."""
    labels, shape = tracer.labels_of(node.inputs[0]), tracer.shape_of(node.outputs[0])
    if labels is None or shape is None:
        return
    spatial = list(range(2, len(shape)))
    if set(labels.axes) <= set(spatial) and labels.axes:
        tracer.keep(labels.ids, f"is pooled over by {where(node)}")
        return
    pooled = tracer.uniform(labels, spatial, f"is pooled over by {where(node)}")
    for axis in spatial:
        pooled = pooled.resized(axis, shape[axis])
    tracer.label(node.outputs[0], pooled)


@rule("BatchNormalization")
def batch_normalization(tracer: Tracer, node: ir.Node) -> None:
    """One scale, shift, mean and variance per channel: they go with their channel."""
    labels = tracer.labels_of(node.inputs[0])
    if labels is None or not _are_constant(tracer, node, labels):
        return
    _cut_parameters(tracer, node, labels, {1: 0})
    tracer.label(node.outputs[0], labels)


@rule("InstanceNormalization")
def instance_normalization(tracer: Tracer, node: ir.Node) -> None:
    """Normalises each channel over its positions, with one scale and shift per channel."""
    labels = tracer.labels_of(node.inputs[0])
    if labels is None or not _are_constant(tracer, node, labels):
        return
    normalised = _normalised(tracer, node, labels, range(2, len(labels.shape)))
    _cut_parameters(tracer, node, normalised, {1: 0})
    tracer.label(node.outputs[0], normalised)


@rule("GroupNormalization")
def group_normalization(tracer: Tracer, node: ir.Node) -> None:
    """Normalises groups of channels: a group goes as a whole."""
    labels = tracer.labels_of(node.inputs[0])
    if labels is None or not _are_constant(tracer, node, labels):
        return
    if 1 not in labels.axes:
        tracer.keep(labels.ids, f"is normalised over by {where(node)}")
        return
    groups = int_attribute(node, "num_groups", 1)
    ids = tracer.channels_on(labels, 1, f"is normalised over by {where(node)}").reshape(groups, -1)
    tracer.pair(
        ids[:, :1], ids, f"is normalised by {where(node)} with channels that can't be pruned"
    )
    tracer.counted[str(node.name), "num_groups"] = ids[:, 0]
    for value in node.inputs[1:]:
        if value is not None and value.const_value is not None:
            tracer.cut(value, 0, ids.reshape(-1), node)
    out = np.repeat(ids[:, 0], ids.shape[1])
    tracer.label(node.outputs[0], Labels.on_axis(labels.shape, 1, out))


@rule("LayerNormalization RMSNormalization SimplifiedLayerNormalization")
@rule("SimplifiedLayerNormalization", CONTRIB)
def layer_normalization(tracer: Tracer, node: ir.Node) -> None:
    """Normalises over the last axes, with a scale and a shift of their shape."""
    labels = tracer.labels_of(node.inputs[0])
    if labels is None or not _are_constant(tracer, node, labels):
        return
    first, rank = axis_of(tracer, node, "axis", -1), len(labels.shape)
    normalised = _normalised(tracer, node, labels, range(first, rank))
    _cut_parameters(tracer, node, normalised, {axis: axis - first for axis in range(first, rank)})
    tracer.label(node.outputs[0], normalised)


def _normalised(tracer: Tracer, node: ir.Node, labels: Labels, axes: Sequence[int]) -> Labels:
    """Channels beside the normalised axes go as a whole; those along them only on request."""
    reason = f"is normalised over by {where(node)}"
    if set(labels.axes) <= set(axes):
        if labels.axes:
            tracer.guard(labels.ids, reason)
        return labels
    return tracer.uniform(labels, axes, reason)


def _are_constant(tracer: Tracer, node: ir.Node, labels: Labels) -> bool:
    """False, and everything kept, where a parameter is computed."""
    parameters = [value for value in node.inputs[1:] if value is not None]
    if all(value.const_value is not None for value in parameters):
        return True
    tracer.keep(labels.ids, f"feeds {where(node)}, whose parameters aren't constant")
    return False


def _cut_parameters(tracer: Tracer, node: ir.Node, labels: Labels, axes: dict[int, int]) -> None:
    """Cut all parameters along their axes; `axes` says which axis of the data each one is."""
    for value in node.inputs[1:]:
        if value is None or value.const_value is None:
            continue
        dims = tracer.shapes.dims[str(value.name)]
        missing = max(axes.values(), default=0) + 1 - len(dims)  # a scale that broadcasts
        for axis in labels.axes:
            own = axes.get(axis, -1) - missing
            if own >= 0 and dims[own] == labels.shape[axis]:
                tracer.cut(value, own, labels.rows(axis), node)


@rule(REDUCTIONS)
def reduction(tracer: Tracer, node: ir.Node) -> None:
    """Axes without channels go; channels that are summed over go only on request."""
    axes = constant_ints(node, 1, "axes")
    labels = tracer.labels_of(node.inputs[0])
    if labels is None:
        return
    if axes is None:
        tracer.keep(labels.ids, f"is reduced by {where(node)} over axes that aren't constant")
        return
    if not axes and int_attribute(node, "noop_with_empty_axes", 0):
        tracer.label(node.outputs[0], labels)
        return
    rank = len(labels.shape)
    _reduce(tracer, node, labels, sorted({axis % rank for axis in axes} or set(range(rank))))


@rule(INDICES)
def index_of_extreme(tracer: Tracer, node: ir.Node) -> None:
    """As a reduction; an index into the channels would change its meaning."""
    labels, axis = tracer.labels_of(node.inputs[0]), axis_of(tracer, node, "axis", 0)
    if labels is None:
        return
    if axis in labels.axes:
        tracer.keep(labels.ids, f"is searched by {where(node)}")
    else:
        _reduce(tracer, node, labels, [axis])


def _reduce(tracer: Tracer, node: ir.Node, labels: Labels, axes: list[int]) -> None:
    reason = f"is averaged over by {where(node)}"
    if labels.axes and set(labels.axes) <= set(axes):
        tracer.guard(labels.ids, reason)
        return
    left = tracer.uniform(labels, axes, reason)
    for axis in reversed(axes):
        left = left.resized(axis, 1)
        if not int_attribute(node, "keepdims", 1):
            left = left.without(axis)
    tracer.label(node.outputs[0], left)
