"""A quick reconstruction, from the statistics of the calibration alone.

Nothing runs: each layer is solved on the *original's* inputs, of which the calibration has the Gram
matrix A and the mean. With S the inputs that stay and W the original weights, the best ones are

    W' = A_SS^-1 A_S: W

(least squares); masks and rounding then work on A_SS as they do in the full reconstruction, whose
place this takes until it is done; levels are not improved by turns. What earlier layers do
otherwise is not made up for, so errors pile up where much is removed.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from explorer.compress.calibration import Calibration, LayerStatistics
from explorer.compress.cholesky import Factor, Matrix
from explorer.compress.need import original_weights
from explorer.compress.quantizers import Rounded
from explorer.compress.refit import Refit
from explorer.compress.regression import STEADY, STEPS, Fit, ridge_for, with_ridge
from explorer.compress.rows import kernel_size
from explorer.compress.versions import find_versions
from explorer.compress.walk import Walk
from explorer.graph.channels import find_channels
from explorer.model import Model
from explorer.network import Layer
from explorer.report import Plan

Kept = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class QuickRegression:
    """The problem of one layer on the original's inputs, as `regression.LeastSquares`.

    `gram` is that of the inputs that stay, with its ridge, `mean` theirs, (groups, inputs);
    `wanted` are the best dense weights, `given` what the original ones give on average without the
    bias, (outputs,).
    """

    gram: Matrix = field(repr=False)
    mean: Matrix = field(repr=False)
    wanted: Matrix = field(repr=False)
    given: Matrix = field(repr=False)
    has_bias: bool
    is_quick: ClassVar[bool] = True

    @classmethod
    def of(
        cls,
        statistics: LayerStatistics,
        weights: Matrix,
        inputs: Kept,
        outputs: Kept,
        has_bias: bool,
    ) -> "QuickRegression | None":
        """From the original `weights`, of which these `inputs` and `outputs` stay.

        None where inputs of several groups go: the groups are others then.
        """
        gram, mean = statistics.gram, statistics.mean
        least = STEADY * (mean**2).mean(axis=1)
        whole = with_ridge(gram, ridge_for(gram.shape[-1], len(statistics.outputs)), least)
        if len(gram) == 1:
            weights = weights[:, :, outputs]
        elif weights.shape[2] == 1 and inputs.all():  # a filter for each channel goes with it
            gram, mean, whole, weights = (x[outputs] for x in (gram, mean, whole, weights))
        elif not (inputs.all() and outputs.all()):
            return None
        given, wanted = _given(mean, weights), weights[:, inputs]
        own = whole[:, inputs][:, :, inputs]
        if not inputs.all():
            taken_over = gram[:, inputs][:, :, ~inputs] @ weights[:, ~inputs]
            wanted = wanted + Factor.of(own).solve(taken_over)
        return cls(own, mean[:, inputs], wanted, given, has_bias)

    @property
    def inputs(self) -> int:
        """How many enter an output."""
        return int(self.gram.shape[-1])

    def start(self, matrix: Matrix, bias: Matrix) -> Fit:
        """The layer as it is."""
        return Fit(matrix, bias + self.given)

    def solve(self, fit: Fit, most: int = STEPS) -> Fit:
        """The best dense weights."""
        return replace(fit, matrix=self.wanted)

    def improve(self, fit: Fit, step_of: Callable[[Matrix], Matrix], most: int = STEPS) -> Fit:
        """The weights after one step; `step_of` makes a slope a change of them."""
        slope = self.gram @ (self.wanted - fit.matrix)
        return replace(fit, matrix=fit.matrix + step_of(slope))

    def recentre(self, fit: Fit) -> Fit:
        """The best bias alone: inputs are centred, so it stays."""
        return fit

    def bias(self, fit: Fit) -> Matrix:
        """The bias that belongs to a fit."""
        return fit.centre - _given(self.mean, fit.matrix)


class QuickRefit(Refit):
    """Layers that are solved on the original's inputs."""

    def regression_of(
        self, layer: Layer, node: ir.Node, walk: Walk | None, statistics: LayerStatistics
    ) -> QuickRegression | None:
        """The layer's problem; None where it has none on the original's inputs."""
        weights, _ = original_weights(self.model, layer, statistics)
        units = find_channels(self.model).cuts.get((layer.weight, layer.in_axis))
        inputs = np.ones(weights.shape[1], dtype=bool)
        if units is not None and len(weights) == 1:
            inputs = np.repeat(self.alive[units], kernel_size(layer))
        elif units is not None and not self.alive[units].all():
            return None
        has_bias = self.targets[layer.name].bias is not None
        return QuickRegression.of(statistics, weights, inputs, self.kept_outputs(layer), has_bias)


def reconstruct_quickly(
    model: Model,
    plan: Plan,
    graph_model: ir.Model,
    calibration: Calibration,
    check: Callable[[], None] = lambda: None,
) -> dict[str, Rounded]:
    """Solve a pruned clone's layers, in place; the weights as they are stored, by name.

    `check` is called before each layer and while it is solved, and may raise to stop the work.
    """
    refit = QuickRefit(model, plan, graph_model, calibration, check=check)
    rounded = {}
    for node, step in zip(graph_model.graph, find_versions(model, plan, graph_model), strict=True):
        if step.solves:
            check()
            solved = refit.solve(node, None)
            refit.write(node, solved)
            if solved.rounded is not None:
                rounded[refit.layers[str(node.name)].weight] = solved.rounded
    return rounded


def _given(mean: Matrix, weights: Matrix) -> Matrix:
    """What weights give for the mean input, (outputs,)."""
    found: Matrix = (mean[:, None, :] @ weights).reshape(-1)
    return found
