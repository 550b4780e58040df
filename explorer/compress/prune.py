"""Taking channels out of a graph, and laying masks over its weights."""

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from explorer.compress.criteria import by_weight, weight_array
from explorer.compress.estimate import planned_dims
from explorer.compress.patterns import Mask, keep_mask
from explorer.compress.planned import units_alive
from explorer.compress.resize import NewConstant, new_constants
from explorer.graph.channels import find_channels
from explorer.graph.initializers import add_initializer, tensor_of
from explorer.graph.layers import find_layers
from explorer.model import Model
from explorer.network import Layer, per_model
from explorer.recipe import Recipe
from explorer.report import Plan

Array = npt.NDArray[Any]


def cut_channels(model: Model, plan: Plan, graph_model: ir.Model) -> bool:
    """Take the removed slices out of every tensor of a clone; True where there were any."""
    channels, alive = find_channels(model), units_alive(model, plan.groups)
    if alive.all():
        return False
    initializers = graph_model.graph.initializers
    for (name, axis), units in channels.cuts.items():
        if not alive[units].all():
            kept = np.compress(alive[units], array_of(initializers[name]), axis=axis)
            replace_array(initializers[name], kept)
    nodes = {node.name: node for node in graph_model.graph}
    for (name, attribute), units in channels.counted.items():
        count = int(alive[units].sum())
        nodes[name].attributes[attribute] = ir.AttrInt64(attribute, count)
    for constant in new_constants(model, plan, planned_dims(model, plan)):
        _write_constant(graph_model.graph, nodes[constant.node], constant)
    return True


def lay_masks(model: Model, plan: Plan, graph_model: ir.Model) -> bool:
    """Zero the weights of a clone that the plan's pattern removes; True where there were any."""
    planned = {layer.name: layer for layer in plan.layers}
    masked = set()
    for layer in find_layers(model):
        mask = mask_of(model, plan.recipe, layer, planned[layer.name].sparsity)
        if mask is not None and layer.weight not in masked:
            masked.add(layer.weight)
            weight = weight_array(model, layer.weight)
            replace_array(graph_model.graph.initializers[layer.weight], weight * mask)
    return bool(masked)


def mask_of(model: Model, recipe: Recipe, layer: Layer, sparsity: float) -> Mask | None:
    """The mask that a recipe's criterion lays over a layer by its weights alone; None for none."""
    if not sparsity:
        return None
    rng = np.random.default_rng([recipe.seed, _layer_places(model)[layer.name]])
    weight = weight_array(model, layer.weight)
    return keep_mask(weight, layer, recipe.pattern, sparsity, by_weight(recipe.criterion), rng)


@per_model
def _layer_places(model: Model) -> dict[str, int]:
    return {layer.name: place for place, layer in enumerate(find_layers(model))}


def array_of(value: ir.Value) -> Array:
    """The content of an initialiser."""
    assert value.const_value is not None
    array: Array = value.const_value.numpy()
    return array


def replace_array(value: ir.Value, array: Array, dtype: ir.DataType | None = None) -> None:
    """Give an initialiser another content."""
    tensor = tensor_of(array, str(value.name), dtype)
    value.const_value, value.shape = tensor, tensor.shape
    value.type = ir.TensorType(tensor.dtype)


def _write_constant(graph: ir.Graph, node: ir.Node, new: NewConstant) -> None:
    """Give a node its new sizes or places."""
    if new.position is None:
        node.attributes[new.argument] = ir.AttrInt64s(new.argument, new.integers.tolist())
        return
    node.attributes.pop("num_outputs", None)  # Split takes this or its sizes
    value = node.inputs[new.position] if len(node.inputs) > new.position else None
    if new.in_place and value is not None:
        replace_array(value, new.integers)
        return
    if len(node.inputs) <= new.position:
        node.resize_inputs(new.position + 1)
    node.replace_input_with(new.position, add_initializer(graph, new.name, new.integers))
