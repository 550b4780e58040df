"""Refitting a compressed network, without training and without labels.

The graph is walked once, in order, on the calibration samples. Each layer whose inputs or weights
have changed gets the weights and the bias that, on the *compressed* network's inputs, come nearest
to the *original* network's outputs:

    min over W, b of  |X W + b - Y|^2 + ridge |W - W0|^2

with X the compressed network's inputs (for convolutions the patches under the kernel) and Y the
original's outputs, at random positions of all samples. Later layers see what earlier ones really
give, so errors don't pile up. This is the layer-wise reconstruction of He et al. (arXiv 1707.06168)
with the original network's outputs as target. A masked layer keeps its zeros, and gets the best
scale and bias per output channel instead; a layer that will be rounded has its bias corrected for
what the rounding shifts.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from explorer.compress.calibration import Calibration
from explorer.compress.estimate import planned_grid
from explorer.compress.plan import units_alive
from explorer.compress.prune import array_of, replace_array
from explorer.compress.quantizers import round_weights
from explorer.compress.rows import (
    Floats,
    Positions,
    form_of,
    input_rows,
    is_regression,
    output_rows,
    pick_positions,
    predict,
)
from explorer.compress.walk import Walk
from explorer.formats.data import Dataset, fixed_batch
from explorer.graph.channels import find_channels
from explorer.graph.layers import find_layers
from explorer.graph.memory import captured
from explorer.graph.shapes import element_count, infer_shapes
from explorer.model import Layer, Model
from explorer.report import LayerPlan, Plan

RIDGE = 0.01  # relative to the mean squared input
MOST_SAMPLES = 256
BUDGET_BYTES = 2**28  # for the largest activation, of all samples together
FEWEST_SAMPLES = 16
WIDE_ENOUGH_BITS = 8  # rounding to this many bits alone needs no refit
SPARSE = 0.03  # share of zeros from which sparse storage pays, so that they must stay
SMALLEST = float(np.finfo(np.float32).tiny)


def why_not_compensated(model: Model, plan: Plan, calibration: Calibration | None) -> str | None:
    """Why `apply` leaves the weights that stay as they are; None where it refits them."""
    if not plan.recipe.compensate:
        return "it is switched off"
    if calibration is None:
        return "there are no calibration samples"
    if not _needs_refit(model, plan):
        return "nothing was removed, and rounding to 8 bits or more needs none"
    if fixed_batch(model) is not None:
        return "the model takes a fixed number of samples at a time"
    if any(captured(node) for node in model.graph_model.graph):
        return "the graph has branches or loops"
    return None


def compensate(
    model: Model,
    plan: Plan,
    graph_model: ir.Model,
    samples: Dataset,
    check: Callable[[], None] = lambda: None,
) -> None:
    """Refit the layers of a pruned clone, in place; its nodes are still those of the original.

    `check` is called before each node and may raise to stop the work.
    """
    samples = samples.head(_sample_count(model))
    wanted = _original_outputs(model, samples, check)
    layers = {layer.node: layer for layer in find_layers(model)}
    plans = {layer.name: layer for layer in plan.layers}
    last = max(index for index, node in enumerate(graph_model.graph) if node.name in layers)
    changed: set[str] = set()
    walk = Walk(graph_model, samples, model)
    pairs = zip(model.graph_model.graph, walk.nodes, strict=True)
    for index, (before, node) in enumerate(pairs):
        check()
        layer = layers.get(str(node.name))
        is_changed = _is_changed(before, node, changed)
        if layer is not None and layer.name in wanted:
            task = _Refit(model, plan, layer, plans[layer.name], node)
            if is_changed or task.is_rounded:
                task.solve(walk.input_of(node), *wanted[layer.name])
                is_changed = True
        if index == last:
            return
        if is_changed:
            changed.update(str(value.name) for value in node.outputs)
        walk.run(node)
        walk.leave(node)


def _needs_refit(model: Model, plan: Plan) -> bool:
    open_ = {layer.name for layer in find_layers(model)}
    narrow = any(x.weight_bits < WIDE_ENOUGH_BITS for x in plan.layers if x.name in open_)
    cut = any(group.removed for group in plan.groups)
    return narrow or cut or any(layer.sparsity for layer in plan.layers)


def _sample_count(model: Model) -> int:
    dims = infer_shapes(model).dims
    activations = [
        dims[str(v.name)] for n in model.graph_model.graph for v in n.outputs if v.name in dims
    ]
    largest = max((element_count(shape) for shape in activations), default=1)
    return min(MOST_SAMPLES, max(FEWEST_SAMPLES, BUDGET_BYTES // (4 * largest)))


def _original_outputs(
    model: Model, samples: Dataset, check: Callable[[], None]
) -> dict[str, tuple[Positions, Floats]]:
    """Positions, and the original's outputs there, of each layer that can be refitted."""
    key = ("original_outputs", samples.id)
    if key not in model._cache:
        model._cache[key] = _run_original(model, samples, check)
    outputs: dict[str, tuple[Positions, Floats]] = model._cache[key]
    return outputs


def _run_original(
    model: Model, samples: Dataset, check: Callable[[], None]
) -> dict[str, tuple[Positions, Floats]]:
    layers = {layer.node: layer for layer in find_layers(model)}
    walk = Walk(model.graph_model, samples, model)
    rng = np.random.default_rng(0)
    outputs = {}
    for node in walk.nodes:
        check()
        walk.run(node)
        layer = layers.get(str(node.name))
        is_read = str(node.outputs[0].name) in walk.values
        if layer is not None and is_read and is_regression(node, layer):
            output = walk.output_of(node)
            positions = pick_positions(layer, output, rng)
            outputs[layer.name] = (positions, output_rows(layer, output, positions))
        walk.leave(node)
    return outputs


def _is_changed(before: ir.Node, after: ir.Node, changed: set[str]) -> bool:
    """True where a node of the clone gives something else than the original's."""
    for old, new in zip(before.inputs, after.inputs, strict=True):
        if old is None or new is None:
            continue
        if old.const_value is not new.const_value or str(new.name) in changed:
            return True
    return False


@dataclass(frozen=True)
class _Refit:
    """One layer and what to do to it; `node` is the clone's."""

    model: Model
    plan: Plan
    layer: Layer
    choice: LayerPlan
    node: ir.Node

    @property
    def is_rounded(self) -> bool:
        return self.choice.weight_bits < WIDE_ENOUGH_BITS

    def solve(self, data: npt.NDArray[np.generic], positions: Positions, outputs: Floats) -> None:
        """Write the best weights and bias into the clone.

        `data` enters the node; the original gives `outputs` at `positions`.
        """
        weight_value, bias_value = self.node.inputs[1], _bias(self.node)
        assert weight_value is not None
        has_other_bias = len(self.node.inputs) > 2 and self.node.inputs[2] and bias_value is None
        if len(weight_value.uses()) > 1 or has_other_bias:
            return  # shared tensors can't serve two fits
        form, rows = (
            form_of(self.node, self.layer),
            input_rows(self.node, self.layer, data, positions),
        )
        tensor = array_of(weight_value)
        matrix = form.to_matrix(tensor)
        bias = np.zeros(1, dtype=np.float32)
        if bias_value is not None:
            bias = array_of(bias_value).astype(np.float32).reshape(-1)
        sparse = self.choice.sparsity > 0 or (matrix == 0).mean() > SPARSE
        fit = _rescale if sparse else _least_squares
        wanted = outputs[:, self._kept_outputs()]
        with np.errstate(over="ignore", invalid="ignore"):
            matrix, bias = fit(rows, matrix, bias, wanted, bias_value is not None)
        if not (np.isfinite(matrix).all() and np.isfinite(bias).all()):
            return  # numbers beyond float32; the plain weights are better than none
        rounded = self._rounded(form.to_tensor(matrix).astype(tensor.dtype))
        replace_array(weight_value, rounded)
        if bias_value is not None:
            shift = (rows.mean(axis=1, keepdims=True) @ (matrix - form.to_matrix(rounded))).reshape(
                -1
            )
            shape = array_of(bias_value).shape
            replace_array(bias_value, (bias + shift).reshape(shape).astype(tensor.dtype))

    def _kept_outputs(self) -> npt.NDArray[np.bool_]:
        units = find_channels(self.model).outputs.get(self.layer.name)
        if units is None:
            return np.ones(self.layer.channels, dtype=bool)
        return units_alive(self.model, self.plan.groups)[units]

    def _rounded(self, weight: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
        """The weights as they will be after rounding; rounding these again changes nothing."""
        if not self.choice.storage.startswith(("int", "uint")):
            return weight
        grid = planned_grid(self.model, self.layer, weight.shape, self.plan)
        rounded = round_weights(weight, self.choice.weight_bits, self.choice.storage, grid)
        return rounded.dequantize(grid).astype(weight.dtype)


def _bias(node: ir.Node) -> ir.Value | None:
    """A bias with a number for each output, that this node alone reads."""
    value = node.inputs[2] if len(node.inputs) > 2 else None
    if value is None or value.const_value is None or len(value.uses()) > 1:
        return None
    shape = value.const_value.shape.numpy()
    full = len(shape) > 0 and shape[-1] == value.const_value.size > 1
    return value if full and not value.is_graph_output() else None


def _least_squares(
    rows: Floats, matrix: Floats, bias: Floats, wanted: Floats, with_bias: bool
) -> tuple[Floats, Floats]:
    """Ridge regression of what the weights miss; the channels of a depthwise layer apart."""
    missing = wanted - (predict(rows, matrix) + bias)
    mean = rows.mean(axis=1, keepdims=True)  # (channels, 1, inputs)
    shift = missing.mean(axis=0)
    if with_bias:
        rows, missing = rows - mean, missing - shift
    gram = (rows.transpose(0, 2, 1) @ rows).astype(np.float64)
    size = gram.shape[1]
    strength = RIDGE * np.trace(gram, axis1=1, axis2=2) / size
    gram += np.maximum(strength, SMALLEST)[:, None, None] * np.eye(size)
    split = missing.reshape(rows.shape[1], len(rows), -1).transpose(1, 0, 2)
    change = np.linalg.solve(gram, (rows.transpose(0, 2, 1) @ split).astype(np.float64))
    change = change.astype(np.float32)  # (channels, inputs, outputs of a channel)
    if with_bias:
        bias = bias + shift - (mean @ change).reshape(-1)
    return matrix + change, bias


def _rescale(
    rows: Floats, matrix: Floats, bias: Floats, wanted: Floats, with_bias: bool
) -> tuple[Floats, Floats]:
    """The best scale, and bias, of each output channel; zeros stay zeros."""
    given, target = predict(rows, matrix), wanted - (0 if with_bias else bias)
    centre, middle = given.mean(axis=0), target.mean(axis=0)
    if not with_bias:
        centre, middle = np.zeros_like(centre), np.zeros_like(middle)
    power = ((given - centre) ** 2).sum(axis=0)
    along = ((given - centre) * (target - middle)).sum(axis=0)
    scale = np.where(power > 0, along / np.maximum(power, SMALLEST), 1).astype(np.float32)
    if with_bias:
        bias = middle - scale * centre
    return matrix * scale.reshape(len(matrix), 1, -1), bias
