"""Operators that only move elements: their labels are moved in the same way."""

import numpy as np
import onnx_ir as ir

from explorer.graph.channel_labels import NO_CHANNEL, Labels, aligned, stacked
from explorer.graph.operators import (
    WEIGHT_DTYPES,
    constant_ints,
    constant_slice,
    int_attribute,
    permutation,
)
from explorer.graph.reshape_targets import names_all_sizes, reshape_target
from explorer.graph.rules.constants import expand_keeps, follow_unlabelled
from explorer.graph.rules.registry import ALL, axis_of, is_open, rule, where
from explorer.graph.shapes import SHAPE_OPS, element_count
from explorer.graph.tracer import Tracer

FLOAT_CODES = frozenset(int(dtype) for dtype in WEIGHT_DTYPES)


@rule("Concat", follows=ALL)
def concat(tracer: Tracer, node: ir.Node) -> None:
    """Along the channels: the ids one after the other; along another axis: paired."""
    axis = axis_of(tracer, node, "axis", 0)
    shape = tracer.shape_of(node.outputs[0])
    labelled = [labels for value in node.inputs if (labels := tracer.labels_of(value)) is not None]
    if not labelled or shape is None:
        return
    shapes = [tracer.shape_of(value) for value in node.inputs]
    if any(dims is None for dims in shapes):
        tracer.keep_inputs(node, f"is concatenated by {where(node)} with a tensor of unknown shape")
        return
    if any(axis in labels.axes for labels in labelled):
        nothing = np.array([NO_CHANNEL])
        parts = []
        for value, dims in zip(node.inputs, shapes, strict=True):
            labels = tracer.labels_of(value)
            blank = Labels(tuple((n,) if n != 1 else () for n in dims or ()), nothing)
            dense = blank.ids.reshape([1] * sum(len(group) for group in blank.factors))
            parts.append(labels or Labels(blank.factors, dense))
        tracer.label(node.outputs[0], stacked(parts, axis))
        return
    reason = f"is concatenated by {where(node)} with a tensor whose channels can't be pruned"
    resized = aligned([labels.resized(axis, shape[axis]) for labels in labelled])
    for labels in resized[1:]:
        tracer.pair(resized[0].ids, labels.ids, reason)
    for value, dims in zip(node.inputs, shapes, strict=True):
        if value is not None and tracer.labels_of(value) is None and dims is not None:
            own = resized[0].resized(axis, dims[axis])
            follow_unlabelled(tracer, node, value, dims, own)
    tracer.label(node.outputs[0], resized[0])


@rule("Transpose")
def transpose(tracer: Tracer, node: ir.Node) -> None:
    """The axes move."""
    labels = tracer.labels_of(node.inputs[0])
    if labels is not None:
        tracer.label(node.outputs[0], labels.transposed(permutation(node, len(labels.shape))))


@rule("Flatten Squeeze Unsqueeze")
def regroup_axes(tracer: Tracer, node: ir.Node) -> None:
    """A reshape that adapts to its input by itself.

    A Squeeze that names no axes would also drop channels of which a single one is left.
    """
    if node.op_type == "Squeeze" and not constant_ints(node, 1, "axes"):
        tracer.keep_inputs(node, f"feeds {where(node)}, which names no axes")
        return
    _reshape(tracer, node)


@rule("Reshape")
def reshape(tracer: Tracer, node: ir.Node) -> None:
    """A reshape whose target must follow the channels.

    A target that the graph computes is replaced by a constant one where that says the same.
    """
    if reshape_target(tracer.model, node, tracer.shapes.dims) is None:
        reason = f"is reshaped into a dimension that depends on the data at {where(node)}"
        tracer.keep_inputs(node, reason)
        return
    _reshape(tracer, node)
    tracer.sized.add(str(node.name))


def _reshape(tracer: Tracer, node: ir.Node) -> None:
    labels, shape = tracer.labels_of(node.inputs[0]), tracer.shape_of(node.outputs[0])
    if labels is None:
        return
    if shape is None or 0 in shape or element_count(shape) != element_count(labels.shape):
        tracer.keep(labels.ids, f"can't be reshaped at the assumed sizes by {where(node)}")
        return
    tracer.label(node.outputs[0], labels.reshaped(shape))


@rule("Expand")
def expand(tracer: Tracer, node: ir.Node) -> None:
    """Axes of size 1 are repeated; the target must not name the size of the others."""
    labels, shape = tracer.labels_of(node.inputs[0]), tracer.shape_of(node.outputs[0])
    if labels is None or shape is None:
        return
    grown = labels.expanded(shape)
    if not expand_keeps(tracer, node, list(grown.axes)):
        tracer.keep(labels.ids, f"is repeated to a fixed size by {where(node)}")
        return
    tracer.label(node.outputs[0], grown)


@rule("Tile")
def tile(tracer: Tracer, node: ir.Node) -> None:
    """Every axis as often as said, one copy after the other."""
    labels, times = tracer.labels_of(node.inputs[0]), constant_ints(node, 1, "repeats")
    if labels is None:
        return
    if times is None:
        tracer.keep(labels.ids, f"is repeated a computed number of times by {where(node)}")
        return
    for axis, count in enumerate(times):
        labels = labels.repeated(axis, count)
    tracer.label(node.outputs[0], labels)


@rule("DepthToSpace")
def depth_to_space(tracer: Tracer, node: ir.Node) -> None:
    """Squares of channels become squares of pixels (as PixelShuffle)."""
    labels, size = tracer.labels_of(node.inputs[0]), int_attribute(node, "blocksize", 1)
    if labels is None:
        return
    batch, channels, height, width = labels.shape
    left = channels // size**2
    column_first = "mode" in node.attributes and node.attributes["mode"].as_string() == "CRD"
    if column_first:
        split = labels.reshaped((batch, left, size, size, height, width))
        moved = split.transposed((0, 1, 4, 2, 5, 3))
    else:
        split = labels.reshaped((batch, size, size, left, height, width))
        moved = split.transposed((0, 3, 4, 1, 5, 2))
    for axis in (2, 3):
        tracer.fix(node.outputs[0], axis, f"is turned into pixels by {where(node)}")
    tracer.label(node.outputs[0], moved.reshaped((batch, left, height * size, width * size)))


@rule("SpaceToDepth")
def space_to_depth(tracer: Tracer, node: ir.Node) -> None:
    """Squares of pixels become channels."""
    labels, size = tracer.labels_of(node.inputs[0]), int_attribute(node, "blocksize", 1)
    if labels is None:
        return
    for axis in (2, 3):
        tracer.fix(node.inputs[0], axis, f"is turned into channels by {where(node)}")
    batch, channels, height, width = labels.shape
    split = labels.reshaped((batch, channels, height // size, size, width // size, size))
    moved = split.transposed((0, 3, 5, 1, 2, 4))
    shape = (batch, channels * size**2, height // size, width // size)
    tracer.label(node.outputs[0], moved.reshaped(shape))


@rule("GridSample MaxRoiPool RoiAlign")
def sampled(tracer: Tracer, node: ir.Node) -> None:
    """Channels stay on axis 1; places that other inputs name are read from every channel alike."""
    labels, shape = tracer.labels_of(node.inputs[0]), tracer.shape_of(node.outputs[0])
    for value in node.inputs[1:]:
        chosen = tracer.labels_of(value)
        if chosen is not None:
            tracer.keep(chosen.ids, f"chooses where {where(node)} looks")
    if labels is None or shape is None:
        return
    if 1 not in labels.axes:
        tracer.keep(labels.ids, f"is sampled by {where(node)}")
        return
    ids = tracer.channels_on(labels, 1, f"is sampled by {where(node)}")
    tracer.label(node.outputs[0], Labels.on_axis(shape, 1, ids))


@rule("Pad")
def pad(tracer: Tracer, node: ir.Node) -> None:
    """Passes where nothing is added along the channels."""
    labels, shape = tracer.labels_of(node.inputs[0]), tracer.shape_of(node.outputs[0])
    if labels is None or shape is None:
        return
    named = len(node.inputs) > 3 and node.inputs[3] is not None
    pads = constant_ints(node, 1, "pads")
    if named or not pads:
        tracer.keep(labels.ids, f"is padded along computed axes by {where(node)}")
        return
    rank = len(labels.shape)
    changed = [axis for axis in range(rank) if pads[axis] or pads[rank + axis]]
    if set(changed) & set(labels.axes):
        tracer.keep(labels.ids, f"is padded by {where(node)}")
        return
    for axis in changed:
        labels = labels.resized(axis, shape[axis])
    tracer.label(node.outputs[0], labels)


@rule("Resize Upsample")
def resize(tracer: Tracer, node: ir.Node) -> None:
    """Passes where the channels keep their number; constant sizes follow them."""
    labels, shape = tracer.labels_of(node.inputs[0]), tracer.shape_of(node.outputs[0])
    if labels is None or shape is None:
        return
    changed = [axis for axis, size in enumerate(labels.shape) if size != shape[axis]]
    sizes = node.inputs[3] if node.op_type == "Resize" and len(node.inputs) > 3 else None
    computed = sizes if sizes is not None and sizes.const_value is None else None
    named = node.attributes["axes"].as_ints() if "axes" in node.attributes else None
    rank = len(labels.shape)
    if named is not None:
        resized = {axis % rank for axis in named}
        follows = not resized & set(labels.axes)  # sizes, if there are any, are those of `axes`
    else:
        follows = computed is None or all(
            _follows(tracer, computed, axis, labels) for axis in labels.axes
        )
    if not follows or set(changed) & set(labels.axes):
        tracer.keep(labels.ids, f"is resized to a fixed shape by {where(node)}")
        return
    if sizes is not None and sizes.const_value is not None and names_all_sizes(node, len(shape)):
        tracer.sized.add(str(node.name))
    for axis in changed:
        labels = labels.resized(axis, shape[axis])
    tracer.label(node.outputs[0], labels)


def _follows(tracer: Tracer, value: ir.Value, index: int, labels: Labels) -> bool:
    """True where one of some computed sizes is that of a tensor with the same channels there."""
    axis = index
    while (node := value.producer()) is not None and node.op_type != "Shape":
        origin = _origin(tracer, node, index)
        if origin is None:
            return False
        value, index = origin
    if node is None:
        return False
    own, place = tracer.labels_of(node.inputs[0]), index + int_attribute(node, "start", 0)
    if own is None:
        return False
    return np.array_equal(labels.rows(axis), own.rows(place % len(own.shape)))


def _origin(tracer: Tracer, node: ir.Node, index: int) -> tuple[ir.Value, int] | None:
    """Where a node takes one of its integers from, unchanged; None where it computes it."""
    if node.op_type in ("Cast", "Identity", "Squeeze", "Unsqueeze"):
        return _input(node), index
    if node.op_type == "Slice" and 0 in (places := constant_slice(node, 1)):
        length = (tracer.shape_of(node.inputs[0]) or (0,))[0]
        return _input(node), range(length)[places[0]][index]
    chosen = constant_ints(node, 1, "indices") if node.op_type == "Gather" else None
    if chosen and index < len(chosen):
        return _input(node), chosen[index] % (tracer.shape_of(node.inputs[0]) or (1,))[0]
    for part in node.inputs if node.op_type == "Concat" else ():
        size = (tracer.shape_of(part) or (0,))[0]
        if part is not None and index < size:
            return part, index
        index -= size
    return None


@rule("Slice")
def slice_(tracer: Tracer, node: ir.Node) -> None:
    """Along the channels: the ids of the slice; else passes."""
    labels, shape = tracer.labels_of(node.inputs[0]), tracer.shape_of(node.outputs[0])
    if labels is None or shape is None:
        return
    places = constant_slice(node, len(labels.shape))
    changed = [axis for axis, size in enumerate(labels.shape) if size != shape[axis]]
    named = [axis % len(labels.shape) for axis in constant_ints(node, 3, "axes") or []]
    touched = set(places or named) & set(labels.axes)
    if not places and (touched or not named):
        tracer.keep(labels.ids, f"is sliced at computed places by {where(node)}")
        return
    if any(is_open(tracer, node.inputs[0], axis) for axis in touched):
        tracer.keep(labels.ids, f"is sliced along an open dimension by {where(node)}")
        return
    for axis in {*places, *changed}:
        if axis not in touched:
            labels = labels.resized(axis, shape[axis])
            continue
        place = places[axis]
        if place.step == 1:
            tracer.labels[str(_input(node).name)] = tracer.labels[str(_input(node).name)].merged(
                axis
            )
            tracer.sized.add(str(node.name))
        else:
            tracer.fix(node.inputs[0], axis, f"is sliced with a step by {where(node)}")
        labels = labels.taken(axis, np.arange(labels.shape[axis])[place])
    tracer.label(node.outputs[0], labels)


@rule("Split")
def split(tracer: Tracer, node: ir.Node) -> None:
    """Along the channels: each part gets its ids; else passes to every part."""
    labels, axis = tracer.labels_of(node.inputs[0]), axis_of(tracer, node, "axis", 0)
    shapes = [tracer.shape_of(output) for output in node.outputs]
    if labels is None:
        return
    if any(shape is None for shape in shapes) or constant_ints(node, 1, "split") is None:
        tracer.keep(labels.ids, f"is split at computed places by {where(node)}")
        return
    if axis in labels.axes and is_open(tracer, node.inputs[0], axis):
        tracer.keep(labels.ids, f"is split along an open dimension by {where(node)}")
        return
    ends = np.cumsum([shape[axis] for shape in shapes if shape])
    if axis in labels.axes:
        tracer.sized.add(str(node.name))
    for output, end, shape in zip(node.outputs, ends, shapes, strict=True):
        size = shape[axis] if shape else 0
        tracer.label(output, labels.taken(axis, np.arange(end - size, end)))


def look_up(tracer: Tracer, node: ir.Node) -> None:
    """Gather from a tensor with channels: along them, the ids of what is chosen."""
    labels, axis = tracer.labels_of(node.inputs[0]), axis_of(tracer, node, "axis", 0)
    indices, shape = tracer.shape_of(node.inputs[1]), tracer.shape_of(node.outputs[0])
    if tracer.labels_of(node.inputs[1]) is not None:
        tracer.keep_inputs(node, f"chooses what {where(node)} looks up")
    if labels is None or shape is None:
        return
    chosen = constant_ints(node, 1, "indices")
    along = axis in labels.axes
    unknown = chosen is None or is_open(tracer, node.inputs[0], axis)
    if indices is None or (along and (unknown or len(indices) > 1)):
        tracer.keep(labels.ids, f"is looked up by {where(node)}")
        return
    count = shape[axis] if indices else 1
    if along:
        assert chosen is not None  # seen above
        places = np.array(chosen, dtype=np.int64) % labels.shape[axis]
        if indices:
            tracer.labels[str(_input(node).name)] = labels.merged(axis)
            tracer.sized.add(str(node.name))
        else:
            tracer.fix(node.inputs[0], axis, f"is looked up one by one by {where(node)}")
        labels = labels.taken(axis, places)
    else:
        labels = labels.resized(axis, count)
    if not indices:
        labels = labels.without(axis)
    elif len(indices) > 1:
        front, back = labels.shape[:axis], labels.shape[axis + 1 :]
        single = labels.resized(axis, 1)
        labels = single.reshaped((*front, *(1 for _ in indices), *back))
        for place, size in enumerate(indices):
            labels = labels.resized(axis + place, size)
    tracer.label(node.outputs[0], labels)


@rule("Shape")
def only_shape(tracer: Tracer, node: ir.Node) -> None:
    """Looks at the dimensions, which follow the channels by themselves; as numbers they may not."""
    labels = tracer.labels_of(node.inputs[0])
    if labels is not None and _becomes_a_number(node, set(labels.axes), len(labels.shape)):
        tracer.keep(labels.ids, f"is counted by {where(node)}")


def _becomes_a_number(shape: ir.Node, axes: set[int], rank: int) -> bool:
    """True where a size on one of these axes may be cast to a float that is computed with."""
    first = int_attribute(shape, "start", 0) % max(rank, 1)
    left: list[tuple[ir.Node, ir.Value]] = [
        (use.node, v) for v in shape.outputs for use in v.uses()
    ]
    seen: set[int] = set()
    while left:
        node, value = left.pop()
        chosen = constant_ints(node, 1, "indices") if node.op_type == "Gather" else None
        from_shape = value.producer() is shape
        if chosen and from_shape and not {(i + first) % rank for i in chosen} & axes:
            continue
        if node.op_type == "Cast" and node.attributes["to"].as_int() in FLOAT_CODES:
            return True
        if node.op_type in SHAPE_OPS and id(node) not in seen:
            seen.add(id(node))
            left += [(use.node, v) for v in node.outputs for use in v.uses()]
    return False


@rule("Size")
def size(tracer: Tracer, node: ir.Node) -> None:
    """A number that counts channels too, and may be used as any other number."""
    tracer.keep_inputs(node, f"is counted by {where(node)}")


def _input(node: ir.Node) -> ir.Value:
    value = node.inputs[0]
    assert value is not None  # it has labels
    return value
