"""Constants that name sizes or places along the channels, and must follow them.

These are the targets of Reshape, the sizes of Split and Resize, Slice's starts and ends, and the
channels that a Gather chooses: inputs in newer opsets, some of them attributes in older ones.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from explorer.compress.planned import units_alive
from explorer.compress.storage import name_mark
from explorer.graph.channels import Shrinking, find_channels
from explorer.graph.operators import (
    SPLIT_INPUT_OPSET,
    constant_slice,
    int_attribute,
    opset_of,
)
from explorer.graph.reshape_targets import reshape_target
from explorer.graph.shapes import infer_shapes
from explorer.model import Model
from explorer.network import Shape
from explorer.report import Plan

POSITIONS = {"shape": 1, "split": 1, "starts": 1, "ends": 2, "indices": 1, "sizes": 3}

FAR = 2**62  # a backward slice ends before the first index

Integers = npt.NDArray[np.signedinteger]


@dataclass(frozen=True)
class NewConstant:
    """New integers for a node; `position` is the input that they replace, None an attribute.

    `in_place`: nobody else reads the old ones, so they are overwritten; else a constant called
    `name` is made.
    """

    node: str
    argument: str
    integers: Integers
    position: int | None
    in_place: bool
    name: str


def new_constants(model: Model, plan: Plan, dims: dict[str, Shape]) -> list[NewConstant]:
    """All constants that change; `dims` are the planned shapes."""
    channels, alive = find_channels(model), units_alive(model, plan.groups)
    old = infer_shapes(model).dims
    found: list[NewConstant] = []
    for node in model.graph_model.graph:
        if str(node.name) not in channels.sized:
            continue
        touched = [v.name for v in (*node.inputs[:1], *node.outputs) if v is not None]
        if all(dims.get(str(n)) == old.get(str(n)) for n in touched):
            continue
        source = channels.activations.get(str(touched[0]))
        output = dims[str(node.outputs[0].name)]
        if node.op_type == "Split":
            axis = _axis(node, len(output))
            arguments = {"split": [dims[str(part.name)][axis] for part in node.outputs]}
        elif node.op_type == "Slice":
            arguments = _places(node, source, alive, len(output))
        elif node.op_type == "Gather":
            arguments = _indices(node, source, alive, len(old[str(touched[0])]))
        elif node.op_type == "Resize":
            arguments = {"sizes": list(output)}
        else:
            before = old[str(node.outputs[0].name)]
            arguments = _target(model, node, before, output, dims)
        for argument, integers in arguments.items():
            found.append(_constant(model, node, argument, np.array(integers, dtype=np.int64)))
    return found


def _axis(node: ir.Node, rank: int) -> int:
    return int_attribute(node, "axis", 0) % rank


def _target(
    model: Model, node: ir.Node, before: Shape, after: Shape, dims: dict[str, Shape]
) -> dict[str, list[int]]:
    """Target of a Reshape: where the output shrinks, its size is named anew.

    A size of 0 is copied from the input, where another one may stand by now.
    """
    source, target = node.inputs[:2]
    assert source is not None and target is not None
    if target.const_value is None:
        computed = reshape_target(model, node, dims)
        assert computed is not None  # the rule has let no other pass
        return {"shape": computed}
    shape = [int(size) for size in target.const_value.numpy()]
    changed = False
    for axis, (old, new) in enumerate(zip(before, after, strict=True)):
        copied = shape[axis] == 0 and dims[str(source.name)][axis] == new
        if shape[axis] != -1 and not copied and (old != new or shape[axis] == 0):
            shape[axis] = new
            changed = True
    return {"shape": shape} if changed else {}


def _places(
    node: ir.Node, source: Shrinking | None, alive: npt.NDArray[np.bool_], rank: int
) -> dict[str, list[int]]:
    """Starts and ends of a Slice, counted among the channels that stay."""
    starts: list[int] = []
    ends: list[int] = []
    places = constant_slice(node, rank)
    if source is None or source.axis not in places:
        return {}
    stays = alive[source.units].repeat(source.repeat)
    for sliced, place in places.items():
        if sliced != source.axis:
            starts.append(place.start)
            ends.append(-FAR if place.stop is None else place.stop)
            continue
        first, last, _ = place.indices(len(stays))
        starts.append(int(stays[:first].sum()))
        ends.append(int(stays[:last].sum()))
    return {"starts": starts, "ends": ends}


def _indices(
    node: ir.Node, source: Shrinking | None, alive: npt.NDArray[np.bool_], rank: int
) -> dict[str, list[int]]:
    """Indices of a Gather, counted among the channels that stay."""
    value = node.inputs[1]
    if source is None or source.axis != _axis(node, rank) or value is None or not value.const_value:
        return {}
    stays = alive[source.units].repeat(source.repeat)
    place = np.cumsum(stays) - 1
    chosen = value.const_value.numpy().reshape(-1) % len(stays)
    return {"indices": [int(place[index]) for index in chosen if stays[index]]}


def _in_range(integers: Integers, dtype: ir.DataType) -> Integers:
    """In the type of the integers that they replace, which an operator may want all alike."""
    kind = np.int32 if dtype == ir.DataType.INT32 else np.int64
    return integers.clip(np.iinfo(kind).min, np.iinfo(kind).max).astype(kind)


def _constant(model: Model, node: ir.Node, argument: str, integers: Integers) -> NewConstant:
    position = POSITIONS[argument]
    name = f"{node.name}{name_mark(model)}{argument}"
    value = node.inputs[position] if len(node.inputs) > position else None
    old_split = argument == "split" and opset_of(model.graph_model) < SPLIT_INPUT_OPSET
    if value is not None and value.const_value is not None:
        integers = _in_range(integers, value.const_value.dtype)
    if argument in node.attributes or old_split:
        return NewConstant(str(node.name), argument, integers, None, True, name)
    alone = value is not None and value.const_value is not None and len(value.uses()) == 1
    return NewConstant(str(node.name), argument, integers, position, alone, name)
