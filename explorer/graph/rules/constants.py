"""Constants that must lose slices with the channels, also where they are moved before their use.

A weight may stand behind Transpose, Reshape, Gather, Expand or a sum with a mask (as a position
bias, or a class token repeated for each sample); the labels of the use are then carried back to the
initialiser.
"""

from collections.abc import Callable

import numpy as np
import onnx_ir as ir

from explorer.graph.channel_labels import Labels, aligned
from explorer.graph.operators import is_standard, permutation
from explorer.graph.rules.registry import axis_of, where
from explorer.graph.tracer import Tracer
from explorer.network import Shape

UNCHANGED = frozenset({"Cast", "Exp", "Identity", "Neg", "Relu", "Sigmoid", "Softplus", "Tanh"})
COMBINED = frozenset({"Add", "Div", "Mul", "Sub", "Where"})
REGROUPED = frozenset({"Flatten", "Reshape", "Squeeze", "Unsqueeze"})

Steps = list[Callable[[], None]]


class _NotConstantError(Exception):
    """A value depends on more than constants, or is read where its labels would come too late."""


def follow_unlabelled(
    tracer: Tracer, node: ir.Node, value: ir.Value, dims: Shape, labels: Labels
) -> None:
    """An operand without channels, broadcast to a labelled result, must lose the same slices."""
    shift = len(labels.shape) - len(dims)
    axes = [axis for axis in labels.axes if axis >= shift and dims[axis - shift] != 1]
    if not axes:
        return
    if value.const_value is not None:
        for axis in axes:
            tracer.cut(value, axis - shift, labels.rows(axis), node)
        return
    reason = f"is combined by {where(node)} with {value.name!r}, whose channels can't be pruned"
    steps: Steps = []
    try:
        _carry_back(tracer, value, _restricted(tracer, labels, dims, reason, steps), node, steps)
    except _NotConstantError:
        if set(axes) == set(labels.axes):
            tracer.keep(labels.ids, reason)
        for axis in axes:  # whole indices of another axis (as heads) may go all the same
            tracer.fix(node.outputs[0], axis, reason)
        return
    for step in steps:
        step()


def _restricted(tracer: Tracer, labels: Labels, dims: Shape, reason: str, steps: Steps) -> Labels:
    """Labels of an operand of shape `dims` that is broadcast to what the labels are of."""
    shift = len(labels.shape) - len(dims)
    others = [a for a in range(len(labels.shape)) if a < shift or dims[a - shift] == 1]
    own = _uniform(tracer, labels, others, reason, steps)
    for axis in others:
        own = own.resized(axis, 1)
    for _ in range(shift):
        own = own.without(0)
    return own


def _uniform(tracer: Tracer, labels: Labels, axes: list[int], reason: str, steps: Steps) -> Labels:
    """As `Tracer.uniform`, with the pairing left for later."""
    varying = [axis for axis in axes if axis in labels.axes]
    if not varying:
        return labels
    first, everywhere = labels.first_of(varying)
    steps.append(lambda: tracer.pair(first.ids, everywhere.ids, reason))
    return first


def _carry_back(
    tracer: Tracer, value: ir.Value, labels: Labels, reader: ir.Node, steps: Steps
) -> None:
    """Steps that label a value and all that it is made from, and cut the initialisers.

    Raises:
        _NotConstantError: that can't be done; nothing has happened then.
    """
    if value.const_value is not None:
        for axis in labels.axes:
            rows = labels.rows(axis)
            steps.append(lambda axis=axis, rows=rows: tracer.cut(value, axis, rows, reader))  # type: ignore[misc]
        return
    node, there = value.producer(), tracer.labels_of(value)
    if there is not None:  # another reader has come this way
        left, right = aligned([there, labels])
        steps.append(lambda: tracer.pair(left.ids, right.ids, f"is read by {where(reader)}"))
        return
    if node is None or not is_standard(node) or not _read_in_time(tracer, value, reader):
        raise _NotConstantError
    steps.append(lambda: tracer.label(value, labels))
    if node.op_type in COMBINED:
        _carry_to_operands(tracer, node, labels, steps)
        return
    source = node.inputs[0] if node.inputs else None
    shape = tracer.shape_of(source)
    if source is None or shape is None:
        raise _NotConstantError
    _carry_back(tracer, source, _before(tracer, node, shape, labels, steps), node, steps)


def _read_in_time(tracer: Tracer, value: ir.Value, reader: ir.Node) -> bool:
    """True where nobody has read a value before it got its labels, save who asks for them."""
    if value.is_graph_output():
        return False
    now = tracer.order[str(tracer.node_name)]
    places = [tracer.order.get(str(use.node.name), 0) for use in value.uses()]
    return all(
        use.node is reader or place >= now for use, place in zip(value.uses(), places, strict=True)
    )


def _carry_to_operands(tracer: Tracer, node: ir.Node, labels: Labels, steps: Steps) -> None:
    for operand in node.inputs:
        dims = tracer.shape_of(operand)
        if operand is None or dims is None:
            raise _NotConstantError
        shift = len(labels.shape) - len(dims)
        if any(axis >= shift and dims[axis - shift] != 1 for axis in labels.axes):
            reason = f"is combined by {where(node)}"
            own = _restricted(tracer, labels, dims, reason, steps)
            _carry_back(tracer, operand, own, node, steps)


def _before(tracer: Tracer, node: ir.Node, shape: Shape, labels: Labels, steps: Steps) -> Labels:
    """Labels of a moving node's first input, of this shape, from those of its output."""
    if node.op_type in UNCHANGED:
        return labels
    if node.op_type in REGROUPED:
        target = node.inputs[1] if len(node.inputs) > 1 else None
        if node.op_type == "Reshape":
            if target is None or target.const_value is None:
                raise _NotConstantError
            steps.append(lambda: tracer.sized.add(str(node.name)))
        return labels.reshaped(shape)
    if node.op_type == "Transpose":
        return labels.transposed(np.argsort(permutation(node, len(shape))).tolist())
    if node.op_type == "Gather":
        return _before_gather(tracer, node, shape, labels, steps)
    if node.op_type == "Expand" and expand_keeps(tracer, node, list(labels.axes)):
        return _restricted(tracer, labels, shape, f"is repeated by {where(node)}", steps)
    raise _NotConstantError


def _before_gather(
    tracer: Tracer, node: ir.Node, shape: Shape, labels: Labels, steps: Steps
) -> Labels:
    """The axes of the indices go, the one that is looked up comes."""
    axis = axis_of(tracer, node, "axis", 0)
    count = len(labels.shape) - len(shape) + 1
    looked_up = list(range(axis, axis + count))
    own = _uniform(tracer, labels, looked_up, f"is looked up by {where(node)}", steps)
    for _ in range(count):
        own = own.resized(axis, 1).without(axis)
    opened = Labels((*own.factors[:axis], (), *own.factors[axis:]), own.ids)
    return opened.resized(axis, shape[axis])


def expand_keeps(tracer: Tracer, node: ir.Node, axes: list[int]) -> bool:
    """True where an Expand's target doesn't name the size of any of these axes of its output."""
    target, rank = node.inputs[1], len(tracer.shape_of(node.outputs[0]) or ())
    if target is None:
        return False
    if target.const_value is not None:
        sizes = target.const_value.numpy()
    elif str(target.name) in tracer.shapes.integers:
        sizes = tracer.shapes.integers[str(target.name)]
    else:
        return False
    shift = rank - len(sizes)
    return all(axis < shift or sizes[axis - shift] == 1 for axis in axes)
