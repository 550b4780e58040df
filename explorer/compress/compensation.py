"""Weight reconstruction of a compressed network, without training and without labels.

The graph is walked once, in order, on the calibration samples and blends of them. Each layer whose
inputs or weights have changed gets the weights and the bias that, on the *compressed* network's
inputs, come nearest to the *original* network's outputs (see `regression`); these are then masked
(`masking`) and rounded (`rounding`) so that the outputs change least, and the bias is fitted once
more. Activations that will be rounded are rounded on the way. Later layers see what earlier ones
really give, so errors don't pile up: the layer-wise reconstruction of He et al. (arXiv 1707.06168),
with the original network's outputs as target.

What was solved is remembered, under a key that names all it depends on: a recipe that changes a
layer solves that one and the later ones again, and no others.
"""

import json
from collections.abc import Callable, Container
from dataclasses import dataclass, field

import onnx_ir as ir

from explorer.compress.calibration import Calibration
from explorer.compress.equalisation import equalise
from explorer.compress.planned import rounded_activations
from explorer.compress.quantizers import Rounded
from explorer.compress.ranges import Spread, round_to_levels
from explorer.compress.refit import Range, Refit
from explorer.compress.versions import PLAIN_BITS, Step, find_versions
from explorer.compress.walk import Walk
from explorer.graph.layers import find_layers
from explorer.graph.memory import captured
from explorer.model import Model
from explorer.reasons import (
    BRANCHES,
    MADE_WORSE,
    NO_SAMPLES,
    NOTHING_LOST,
    SWITCHED_OFF,
    Reason,
)
from explorer.report import Plan

START = Step(solves="", gives="")  # what enters the graph
Placed = tuple[ir.Node, Step]


@dataclass(frozen=True, eq=False)
class Compensated:
    """What reconstruction found: weights in their storage type, and ranges of activations."""

    rounded: dict[str, Rounded] = field(default_factory=dict)
    ranges: dict[str, Range] = field(default_factory=dict)


def why_not_reconstructed(
    model: Model, plan: Plan, calibration: Calibration | None
) -> Reason | None:
    """Why `apply` doesn't reconstruct the remaining weights; None where it does."""
    if not plan.recipe.compensate:
        return SWITCHED_OFF
    if calibration is None:
        return NO_SAMPLES
    if not _needs_refit(model, plan):
        return NOTHING_LOST
    if any(captured(node) for node in model.graph_model.graph):
        return BRANCHES
    if plan_key(plan) in calibration.memory.worse:
        return MADE_WORSE
    return None


def plan_key(plan: Plan) -> str:
    """Names a plan, for what is remembered about it."""
    return json.dumps([plan.model_id, plan.recipe.to_json(), [g.removed for g in plan.groups]])


def _needs_refit(model: Model, plan: Plan) -> bool:
    open_ = {layer.name for layer in find_layers(model)}
    narrow = any(x.weight_bits < PLAIN_BITS for x in plan.layers if x.name in open_)
    cut = any(group.removed for group in plan.groups)
    masked = any(layer.sparsity for layer in plan.layers)
    return narrow or cut or masked


def compensate(
    model: Model,
    plan: Plan,
    graph_model: ir.Model,
    calibration: Calibration,
    check: Callable[[], None] = lambda: None,
) -> Compensated:
    """Reconstruct a pruned clone's layers, in place; its nodes are still those of the original.

    `check` is called before each layer and while it is solved, and may raise to stop the work.
    """
    points = rounded_activations(model, plan)
    scaled = equalise(model, plan, graph_model, calibration)
    versions = find_versions(model, plan, graph_model, scaled)
    steps = list(zip(graph_model.graph, versions, strict=True))
    refit = Refit(model, plan, graph_model, calibration, scaled, check)
    stretches = _stretches(steps, set(refit.layers), points)
    activations = _Activations(points, calibration, refit.ranges)
    memory, rounded = calibration.memory, {}
    known = {
        step.solves: memory.get(step.solves) for _, step in steps if step.solves in memory.solved
    }
    last = _last_unknown(stretches, known, activations)
    walk = None
    if last >= 0:
        walk = Walk(graph_model, calibration.fitted, model, calibration.chunk)
    for spec in model.inputs:
        activations.round(spec.name, START, walk)
    for place, stretch in enumerate(stretches):
        check()
        node, step = stretch[0]
        if step.solves:
            if step.solves not in known:
                assert walk is not None
                known[step.solves] = refit.solve(node, walk)
                memory.add(step.solves, known[step.solves])
            solved = known[step.solves]
            refit.write(node, solved)
            if solved.rounded is not None:
                rounded[refit.layers[str(node.name)].weight] = solved.rounded
        if walk is not None and place <= last:
            walk.run([node for node, _ in stretch])
        else:
            walk = None
        node, step = stretch[-1]
        for name in _given(node):
            activations.round(name, step, walk)
    return Compensated(rounded, refit.ranges)


def _last_unknown(
    stretches: list[list[Placed]], solved: Container[str], activations: "_Activations"
) -> int:
    """The place of the last stretch that only a walk can settle; -1 where there is none."""
    return max(
        (
            place
            for place, stretch in enumerate(stretches)
            for node, step in stretch
            if (step.solves and step.solves not in solved)
            or any(activations.is_unknown(name, step) for name in _given(node))
        ),
        default=-1,
    )


def _stretches(steps: list[Placed], layers: set[str], points: frozenset[str]) -> list[list[Placed]]:
    """The steps cut before every layer and behind every activation that is rounded."""
    stretches: list[list[Placed]] = []
    is_cut = True
    for node, step in steps:
        if is_cut or str(node.name) in layers:
            stretches.append([])
        stretches[-1].append((node, step))
        is_cut = not points.isdisjoint(_given(node))
    return stretches


def _given(node: ir.Node) -> list[str]:
    return [str(value.name) for value in node.outputs]


@dataclass(frozen=True, eq=False)
class _Activations:
    """Which activations are rounded, and over which ranges."""

    points: frozenset[str]
    calibration: Calibration
    ranges: dict[str, Range]

    def is_unknown(self, name: str, step: Step) -> bool:
        """True where only a walk can tell the range."""
        return bool(step.gives) and name in self.points and not self._recall(name, step)

    def round(self, name: str, step: Step, walk: Walk | None) -> None:
        """Settle an activation's range, and round it for the rest of the walk."""
        if name not in self.points or (walk is not None and name not in walk.values):
            return
        found = self._recall(name, step)
        if found is None:
            assert walk is not None
            found = Spread.of(walk.values[name]).best_range()
            self.calibration.memory.ranges[self._key(name, step)] = found
        self.ranges[name] = found
        if walk is not None:
            low, high = found
            walk.replace(name, lambda chunk: round_to_levels(chunk, low, high).astype(chunk.dtype))

    def _recall(self, name: str, step: Step) -> Range | None:
        if not step.gives:
            return self.calibration.spreads[name].best_range()
        return self.calibration.memory.ranges.get(self._key(name, step))

    def _key(self, name: str, step: Step) -> str:
        return f"{name}:{step.gives}"
