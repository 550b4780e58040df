"""What each activation of a compressed network depends on, known before anything runs."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import onnx_ir as ir

from explorer.compress.equalisation import Scaled
from explorer.compress.planned import removed_channels, rounded_activations, units_alive
from explorer.compress.solutions import Version
from explorer.compress.targets import find_targets
from explorer.graph.channels import find_channels
from explorer.graph.layers import find_layers
from explorer.model import Model
from explorer.report import LayerPlan, Plan
from explorer.storage_types import INT8

PLAIN_BITS = INT8.bits  # rounding weights to this many bits alone needs no refit


@dataclass(frozen=True)
class Step:
    """A node of the walk: the version of its layer's solution, and of its outputs unrounded."""

    solves: Version
    gives: Version


def find_versions(
    model: Model, plan: Plan, graph_model: ir.Model, scaled: Sequence[Scaled] = ()
) -> list[Step]:
    """The steps of a walk over a pruned clone in which pairs are `scaled`, in graph order.

    A version is empty where a node gives what the original's gives.
    """
    layers = {layer.node: layer for layer in find_layers(model)}
    choices = {layer.name: layer for layer in plan.layers}
    gone, targets = removed_channels(model, plan), find_targets(model)
    marks = _cut_marks(model, plan)
    for each in scaled:
        for side, name in enumerate(each.weights):
            marks[name] = _version(marks.get(name, ""), side, each.factors.tobytes())
    points = rounded_activations(model, plan)
    versions = {name: _version("rounded", name) for name in points}
    steps = []
    for node in graph_model.graph:
        names = [str(value.name) for value in node.inputs if value is not None]
        depends = [versions.get(name, "") + marks.get(name, "") for name in names]
        layer, solves = layers.get(str(node.name)), ""
        is_changed = any(depends)
        if layer is not None and (is_changed or _needs_solving(choices[layer.name])):
            choice = _choice(plan, choices[layer.name])
            addends = targets[layer.name].addends if layer.name in targets else ()
            added = [versions.get(name, "") for name in addends]
            solves = _version(str(node.name), *depends, added, choice, gone.get(layer.name, ()))
        gives = _version(str(node.name), *depends, solves) if is_changed or solves else ""
        steps.append(Step(solves, gives))
        for value in node.outputs:
            name = str(value.name)
            is_rounded = name in points
            versions[name] = _version("rounded", name, gives) if is_rounded else gives
    return steps


def _needs_solving(choice: LayerPlan) -> bool:
    return choice.sparsity > 0 or choice.weight_bits < PLAIN_BITS


def _choice(plan: Plan, choice: LayerPlan) -> str:
    """What of a plan decides on one layer's solution."""
    recipe = plan.recipe
    parts = [choice.weight_bits, choice.storage]
    if choice.sparsity:
        parts += [recipe.pattern, choice.sparsity, recipe.criterion, recipe.seed]
    if choice.weight_bits <= PLAIN_BITS:
        parts += [recipe.granularity, recipe.group_size]
    return repr(parts)


def _cut_marks(model: Model, plan: Plan) -> dict[str, Version]:
    """What is left of each initialiser that loses channels."""
    alive = units_alive(model, plan.groups)
    marks: dict[str, Version] = {}
    for (name, axis), units in find_channels(model).cuts.items():
        kept = alive[units]
        if not kept.all():
            marks[name] = _version(marks.get(name, ""), axis, kept.tobytes())
    return marks


def _version(*parts: object) -> Version:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]
