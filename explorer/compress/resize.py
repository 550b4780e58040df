"""Constants that name sizes or places along the channels, and must follow them.

These are Reshape's target, Split's sizes, and Slice's starts and ends: inputs in newer opsets,
attributes in older ones.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from explorer.compress.plan import units_alive
from explorer.compress.storage import name_mark
from explorer.graph.channels import find_channels
from explorer.graph.opset import opset_of
from explorer.graph.rules import constant_slice
from explorer.graph.shapes import infer_shapes
from explorer.model import Model, Shape
from explorer.report import Plan

SPLIT_INPUT_OPSET = 13  # from here on the sizes of Split are an input
POSITIONS = {"shape": 1, "split": 1, "starts": 1, "ends": 2}

Integers = npt.NDArray[np.int64]


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
        axis = channels.sized.get(str(node.name))
        touched = [v.name for v in (*node.inputs[:1], *node.outputs) if v is not None]
        if axis is None or all(dims.get(str(n)) == old.get(str(n)) for n in touched):
            continue
        if node.op_type == "Reshape":
            arguments = _target(node, axis, dims)
        elif node.op_type == "Split":
            arguments = {"split": [dims[str(output.name)][axis] for output in node.outputs]}
        else:
            _, units = channels.activations[str(touched[0])]
            arguments = _places(node, axis, alive[units], len(old[str(touched[0])]))
        for argument, integers in arguments.items():
            found.append(_constant(model, node, argument, np.array(integers, dtype=np.int64)))
    return found


def _target(node: ir.Node, axis: int, dims: dict[str, Shape]) -> dict[str, list[int]]:
    target, output = node.inputs[1], dims[str(node.outputs[0].name)]
    assert target is not None
    if target.const_value is None:  # computed, and nothing but the batch is open
        return {"shape": [-1, *output[1:]]}
    shape = [int(size) for size in target.const_value.numpy()]
    if shape[axis] in (0, -1, output[axis]):
        return {}
    shape[axis] = output[axis]
    return {"shape": shape}


def _places(
    node: ir.Node, axis: int, stays: npt.NDArray[np.bool_], rank: int
) -> dict[str, list[int]]:
    starts: list[int] = []
    ends: list[int] = []
    for sliced, place in constant_slice(node, rank).items():
        if sliced != axis:
            starts.append(place.start)
            ends.append(place.stop)
            continue
        first, last, _ = place.indices(len(stays))
        starts.append(int(stays[:first].sum()))
        ends.append(int(stays[:last].sum()))
    return {"starts": starts, "ends": ends}


def _constant(model: Model, node: ir.Node, argument: str, integers: Integers) -> NewConstant:
    position = POSITIONS[argument]
    name = f"{node.name}{name_mark(model)}{argument}"
    value = node.inputs[position] if len(node.inputs) > position else None
    old_split = argument == "split" and opset_of(model.graph_model) < SPLIT_INPUT_OPSET
    if argument in node.attributes or old_split:
        return NewConstant(str(node.name), argument, integers, None, True, name)
    alone = value is not None and value.const_value is not None and len(value.uses()) == 1
    return NewConstant(str(node.name), argument, integers, position, alone, name)
