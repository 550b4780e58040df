"""Solving one layer of a compressed network: fit, mask, round, and fit the bias once more."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from explorer.compress.calibration import Calibration, LayerStatistics
from explorer.compress.cholesky import Matrix
from explorer.compress.equalisation import Scaled
from explorer.compress.estimate import (
    data_of,
    integer_biases,
    planned_dims,
    planned_grid,
    stored_forms,
)
from explorer.compress.masking import Mask, chooser, find_mask, fit_under_mask
from explorer.compress.planned import units_alive
from explorer.compress.prune import array_of, mask_of, replace_array
from explorer.compress.quantizers import Rounded, round_weights
from explorer.compress.ranges import step_of
from explorer.compress.regression import (
    ROUGH_STEPS,
    STEPS,
    Fit,
    LeastSquares,
    Regression,
    precision,
)
from explorer.compress.rounding import Cells, Rounding
from explorer.compress.rows import Array, Form, form_of, input_rows, output_rows
from explorer.compress.solutions import Solved
from explorer.compress.store import least_scale
from explorer.compress.targets import find_targets
from explorer.compress.versions import PLAIN_BITS
from explorer.compress.walk import Walk
from explorer.graph.channels import find_channels
from explorer.graph.layers import find_layers
from explorer.model import Model
from explorer.network import Layer
from explorer.recipe import RECONSTRUCTION
from explorer.report import LayerPlan, Plan

SPARSE = 0.03  # share of zeros from which sparse storage pays, so that they must stay

Range = tuple[float, float]


@dataclass(frozen=True, eq=False)
class _Problem:
    """A layer of the clone with its weight as it is, and what shall become of it."""

    layer: Layer
    choice: LayerPlan
    regression: LeastSquares
    form: Form
    weight: Array


class Refit:
    """The layers of a pruned clone, where pairs may be `scaled`.

    `ranges` are those of the activations rounded so far; `check` is called time and again while a
    layer is solved, and may raise to stop the work.
    """

    def __init__(
        self,
        model: Model,
        plan: Plan,
        graph_model: ir.Model,
        calibration: Calibration,
        scaled: Sequence[Scaled] = (),
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self.check = check
        self.model, self.plan, self.graph_model = model, plan, graph_model
        self.statistics = calibration.layers
        self.layers = {layer.node: layer for layer in find_layers(model)}
        self.ranges: dict[str, Range] = {}
        self._choices = {layer.name: layer for layer in plan.layers}
        self.targets = find_targets(model)
        self.alive = units_alive(model, plan.groups)
        dims = planned_dims(model, plan)
        self._integer_biases = integer_biases(model, plan, dims, stored_forms(model, plan, dims))
        self._factors = {each.layer: each.factors.astype(np.float32) for each in scaled}

    def solve(self, node: ir.Node, walk: Walk | None) -> Solved:
        """What a layer's weight and bias become; `node` is the clone's."""
        layer = self.layers[str(node.name)]
        weight = array_of(self._weight(node))
        return self._refitted(layer, node, walk, weight) or self._plain(layer, weight)

    def write(self, node: ir.Node, solved: Solved) -> None:
        """Give a layer of the clone its new content."""
        layer = self.layers[str(node.name)]
        replace_array(self._weight(node), solved.weight)
        if solved.bias is not None:
            replace_array(self._bias(layer), solved.bias)

    def _weight(self, node: ir.Node) -> ir.Value:
        name = self.layers[str(node.name)].weight
        return self.graph_model.graph.initializers[name]

    def _bias(self, layer: Layer) -> ir.Value:
        name = self.targets[layer.name].bias
        assert name is not None
        return self.graph_model.graph.initializers[name]

    def _plain(self, layer: Layer, weight: Array) -> Solved:
        """Masked and rounded, without a fit."""
        choice = self._choices[layer.name]
        mask = mask_of(self.model, self.plan.recipe, layer, choice.sparsity)
        weight = weight if mask is None else weight * mask
        if not choice.storage_type.is_integer:
            return Solved(weight, None, None)
        grid = planned_grid(self.model, layer, weight.shape, self.plan.recipe, choice.storage_type)
        rounded = round_weights(weight, choice.weight_bits, choice.storage_type, grid)
        return Solved(rounded.dequantize(grid).astype(weight.dtype), None, rounded)

    def _refitted(
        self, layer: Layer, node: ir.Node, walk: Walk | None, weight: Array
    ) -> Solved | None:
        """None where nothing is known of the layer, or numbers go beyond the type."""
        if layer.name not in self.statistics:
            return None
        with np.errstate(over="ignore", invalid="ignore"):
            try:
                regression = self.regression_of(layer, node, walk, self.statistics[layer.name])
                if regression is None:
                    return None
                self.check()
                choice, form = self._choices[layer.name], form_of(node, layer)
                solved = self._solved(_Problem(layer, choice, regression, form, weight))
            except np.linalg.LinAlgError:  # what enters the layer isn't finite
                return None
        arrays = (solved.weight, solved.bias) if solved.bias is not None else (solved.weight,)
        return solved if all(np.isfinite(array).all() for array in arrays) else None

    def _solved(self, problem: _Problem) -> Solved:
        regression, form, weight = problem.regression, problem.form, problem.weight
        bias = array_of(self._bias(problem.layer)) if regression.has_bias else None
        start = np.zeros(1) if bias is None else bias.astype(np.float64).reshape(-1)
        matrix = form.to_matrix(weight).astype(precision(regression.inputs))
        steps = ROUGH_STEPS if problem.choice.sparsity else STEPS
        fit = regression.solve(regression.start(matrix, start), steps)
        self.check()
        mask = self._mask(problem, fit)
        if not mask.all():
            fit = fit_under_mask(regression, fit, mask)
        rounded = None
        if problem.choice.storage_type.is_integer:
            fit, rounded = self._rounded(problem, fit, mask)
        if bias is not None:
            bias = regression.bias(fit).reshape(bias.shape).astype(bias.dtype)
        return Solved(form.to_tensor(fit.matrix).astype(weight.dtype), bias, rounded)

    def regression_of(
        self, layer: Layer, node: ir.Node, walk: Walk | None, statistics: LayerStatistics
    ) -> LeastSquares | None:
        """The layer's problem at the places of the calibration."""
        entering, target = node.inputs[0], self.targets[layer.name]
        assert entering is not None
        assert walk is not None
        pairs = list(zip(walk.values[str(entering.name)], statistics.places, strict=True))
        rows = input_rows(node, layer, pairs, statistics.sizes)
        kept = self.kept_outputs(layer)
        wanted = statistics.outputs[:, kept]
        if layer.name in self._factors:
            wanted = wanted / self._factors[layer.name]
        addend = statistics.others[:, kept]
        for name in target.addends:
            chunks = zip(walk.values[name], statistics.places, strict=True)
            addend = addend + np.concatenate(
                [output_rows(layer, data, places) for data, places in chunks]
            )
        return Regression.of(rows, wanted, addend, target.edges, target.bias is not None)

    def kept_outputs(self, layer: Layer) -> npt.NDArray[np.bool_]:
        """Which outputs of a layer stay, (channels,)."""
        units = find_channels(self.model).outputs.get(layer.name)
        if units is None:
            return np.ones(layer.channels, dtype=bool)
        return self.alive[units]

    def _mask(self, problem: _Problem, fit: Fit) -> Mask:
        """Weights that stay: those the pattern keeps, without zeros that the file has already."""
        layer, choice, form = problem.layer, problem.choice, problem.form
        old = form.to_matrix(problem.weight) != 0
        stays: Mask = old if (~old).mean() > SPARSE else np.ones_like(old)
        if not choice.sparsity:
            return stays
        if self.plan.recipe.criterion != RECONSTRUCTION:
            mask = mask_of(self.model, self.plan.recipe, layer, choice.sparsity)
            assert mask is not None
            return stays & form.to_matrix(mask)
        choose = chooser(layer, form, self.plan.recipe.pattern, choice.sparsity)

        def choose_anew(saliency: Matrix) -> Mask:
            self.check()
            return choose(saliency * stays)

        return find_mask(problem.regression.gram, fit.matrix, choose_anew)

    def _rounded(self, problem: _Problem, fit: Fit, mask: Mask) -> tuple[Fit, Rounded]:
        layer, choice, form = problem.layer, problem.choice, problem.form
        regression, weight = problem.regression, problem.weight
        grid = planned_grid(self.model, layer, weight.shape, self.plan.recipe, choice.storage_type)
        least: Array | float = 0.0
        entering = data_of(self.model)[layer.name]
        if layer.bias in self._integer_biases and entering in self.ranges:
            scale, _ = step_of(*self.ranges[entering])
            least = least_scale(regression.bias(fit), scale, grid)
        if choice.weight_bits >= PLAIN_BITS:
            tensor = form.to_tensor(fit.matrix * mask).astype(weight.dtype)
            rounded = round_weights(tensor, choice.weight_bits, choice.storage_type, grid, least)
            values = form.to_matrix(rounded.dequantize(grid))
        else:
            cells = Cells(grid, weight.shape, form)
            rounding = Rounding(choice.weight_bits, choice.storage_type, cells, weight.dtype, least)
            improves = not regression.is_quick
            levels, values = rounding.round(regression.gram, fit.matrix, mask, improves)
            rounded = rounding.stored(levels, form)
        return regression.recentre(replace(fit, matrix=values.astype(fit.matrix.dtype))), rounded
