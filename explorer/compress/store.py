"""Writing weights, biases and activations of a graph in their storage types."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import onnx_ir as ir

from explorer.compress.calibration import Ranges
from explorer.compress.estimate import (
    data_of,
    integer_biases,
    planned_dims,
    planned_grid,
    record_of,
    stored_forms,
)
from explorer.compress.prune import (
    Array,
    array_of,
    replace_array,
)
from explorer.compress.quantizers import Grid, Rounded, round_weights
from explorer.compress.ranges import step_of
from explorer.compress.storage import StoredForm, activation_form, activation_points, name_mark
from explorer.graph.initializers import add_initializer
from explorer.graph.layers import find_layers
from explorer.graph.shapes import infer_shapes
from explorer.graph.weights import RECORD_KEY
from explorer.model import Model
from explorer.report import Plan
from explorer.storage_types import FLOAT16

BIAS_LEVELS = 2**30  # half of int32's, so that products can still be added


def store(
    model: Model,
    plan: Plan,
    graph_model: ir.Model,
    ranges: Ranges,
    solved: Mapping[str, Rounded] = MappingProxyType({}),
) -> None:
    """Turn the tensors of a pruned clone into what the plan stores.

    `ranges` are those of the activations that are rounded; none where they stay as they are.
    `solved` are weights that are rounded already, by name.
    """
    graph = graph_model.graph
    dims = planned_dims(model, plan)
    forms = stored_forms(model, plan, dims)
    biases = integer_biases(model, plan, dims, forms)
    steps = _activation_steps(model, ranges) if plan.recipe.rounds_activations else {}
    scales = _store_weights(model, plan, graph, forms, biases, steps, solved)
    _store_biases(model, graph, biases, scales, steps)
    activations = {str(value.name): value for value in _activations(graph)}
    for step in steps.values():
        _round_activation(graph, activations[step.name], step, name_mark(model))
    graph_model.metadata_props.pop(RECORD_KEY, None)
    record = record_of(model, plan, forms)
    if record:
        graph_model.metadata_props[RECORD_KEY] = record


@dataclass(frozen=True)
class _Step:
    """The levels of an 8-bit activation: x = (q - zero_point) x scale, q in 0 to 255."""

    name: str
    dtype: ir.DataType
    scale: float
    zero_point: int


def _activation_steps(model: Model, ranges: Ranges) -> dict[str, _Step]:
    """Levels over each activation's range, widened so that zero (padding, ReLU) is one of them."""
    dtypes = infer_shapes(model).dtypes
    steps = {}
    for name in activation_points(model):
        low, high = ranges[name]
        steps[name] = _Step(name, dtypes[name], *step_of(min(0.0, low), max(0.0, high)))
    return steps


def _store_weights(
    model: Model,
    plan: Plan,
    graph: ir.Graph,
    forms: dict[str, StoredForm],
    biases: dict[str, StoredForm],
    steps: dict[str, _Step],
    solved: Mapping[str, Rounded],
) -> dict[str, Array]:
    """Write every weight; the scales by weight name."""
    planned = {layer.name: layer for layer in plan.layers}
    scales: dict[str, Array] = {}
    for layer in find_layers(model):
        form, choice = forms[layer.weight], planned[layer.name]
        if form.node is None or layer.weight in scales:
            continue
        weight = array_of(graph.initializers[layer.weight])
        if choice.storage_type == FLOAT16:
            scales[layer.weight] = np.ones((), dtype=np.float32)
            _write(graph, form, _to_float16(weight))
            continue
        grid = planned_grid(model, layer, form.weight.dims, plan.recipe, choice.storage_type)
        rounded = solved.get(layer.weight)
        if rounded is None:
            least: Array | float = 0.0
            if layer.bias is not None and layer.bias in biases:
                bias = array_of(graph.initializers[layer.bias])
                least = least_scale(bias, steps[data_of(model)[layer.name]].scale, grid)
            rounded = round_weights(weight, choice.weight_bits, choice.storage_type, grid, least)
        scales[layer.weight] = rounded.scale
        _write(graph, form, rounded.integers, rounded.scale, rounded.zero_point)
    return scales


def least_scale(bias: Array, step_scale: float, grid: Grid) -> Array | float:
    """Weight scales below this would push the int32 bias, at input times weight scale, over."""
    least: Array = np.abs(bias.astype(np.float64)) / (BIAS_LEVELS * step_scale)
    return least if grid.axis is not None else float(least.max(initial=0))


def _to_float16(weight: Array) -> Array:
    """Rounded to float16; what is larger than its largest number becomes that number."""
    limit = float(np.finfo(np.float16).max)
    return np.clip(weight, -limit, limit).astype(np.float16)


def _store_biases(
    model: Model,
    graph: ir.Graph,
    biases: dict[str, StoredForm],
    scales: dict[str, Array],
    steps: dict[str, _Step],
) -> None:
    """Round the biases of integer kernels to int32 at the scale of input times weight."""
    limits = np.iinfo(np.int32)
    for layer in find_layers(model):
        if layer.bias not in biases:
            continue
        weight_scale = scales[layer.weight].astype(np.float64)
        step = weight_scale * np.float32(steps[data_of(model)[layer.name]].scale)
        levels = np.rint(array_of(graph.initializers[layer.bias]).astype(np.float64) / step)
        integers = np.clip(levels, limits.min, limits.max).astype(np.int32)
        _write(graph, biases[layer.bias], integers, step)


def _write(
    graph: ir.Graph,
    form: StoredForm,
    content: Array,
    scale: Array | None = None,
    zero_point: Array | None = None,
) -> None:
    """Put a stored tensor in the place of a float one, and behind it what turns it back."""
    assert form.node is not None
    value = graph.initializers[form.weight.name]
    readers = list(value.uses())
    replace_array(value, content, form.weight.dtype)
    values = {form.weight.name: value}
    for part, array in ((form.scale, scale), (form.zero_point, zero_point)):
        if part is not None and array is not None:
            typed = array.astype(part.dtype.numpy())
            values[part.name] = add_initializer(graph, part.name, typed, part.dtype)
    node = form.node.build(values)
    nodes = [node]
    if form.cast is not None:
        values[form.node.output] = node.outputs[0]
        nodes.append(form.cast.build(values))
    graph.insert_before(graph[0], nodes)
    for reader, position in readers:
        reader.replace_input_with(position, nodes[-1].outputs[0])


def _round_activation(graph: ir.Graph, value: ir.Value, step: _Step, mark: str) -> None:
    """Put a QuantizeLinear and a DequantizeLinear between an activation and its readers."""
    form = activation_form(step.name, step.dtype, mark)
    readers, producer = list(value.uses()), value.producer()
    scale = np.array(step.scale, dtype=step.dtype.numpy())
    point = np.array(step.zero_point, dtype=np.uint8)
    values = {
        step.name: value,
        form.scale.name: add_initializer(graph, form.scale.name, scale),
        form.zero_point.name: add_initializer(graph, form.zero_point.name, point),
    }
    quantize = form.quantize.build(values)
    values[form.quantize.output] = quantize.outputs[0]
    dequantize = form.dequantize.build(values)
    if producer is None:
        graph.insert_before(graph[0], (quantize, dequantize))
    else:
        graph.insert_after(producer, (quantize, dequantize))
    for reader, position in readers:
        reader.replace_input_with(position, dequantize.outputs[0])


def _activations(graph: ir.Graph) -> list[ir.Value]:
    return [*graph.inputs, *(value for node in graph for value in node.outputs)]
