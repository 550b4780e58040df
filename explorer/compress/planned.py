"""What a plan means for the graph: which units stay, and which opset its tensors need."""

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from explorer.compress.quantizers import grid_for
from explorer.compress.storage import activation_points
from explorer.errors import CompressionError
from explorer.graph.channels import find_channels
from explorer.graph.layers import find_layers
from explorer.graph.shapes import element_count, infer_shapes
from explorer.model import Model
from explorer.network import Layer
from explorer.recipe import Recipe
from explorer.report import GroupPlan, Plan
from explorer.storage_types import BLOCKS_OPSET, FLOAT16, HALF_SCALES_OPSET, UINT8, StorageType

ACTIVATIONS = UINT8  # what they are rounded to


def check_plan(model: Model, plan: Plan) -> None:
    """Refuse a plan that was made for another model.

    Raises:
        CompressionError: it was.
    """
    if plan.model_id != model.id:
        raise CompressionError("The plan was made for another model; plan again for this one.")


def units_alive(model: Model, groups: tuple[GroupPlan, ...]) -> npt.NDArray[np.bool_]:
    """Which units of coupled channels stay, (units + 1,); unit 0 always does."""
    channels = find_channels(model)
    alive = np.ones(channels.unit_count + 1, dtype=bool)
    for planned, group in zip(groups, channels.groups, strict=True):
        alive[group.units[list(planned.removed)]] = False
    return alive


def weights_left(model: Model, groups: tuple[GroupPlan, ...]) -> dict[str, int]:
    """How many weights each layer keeps, by layer name."""
    cuts, alive = find_channels(model).cuts, units_alive(model, groups)
    left = {}
    for layer in find_layers(model):
        shape = list(layer.weight_shape)
        for axis in range(len(shape)):
            units = cuts.get((layer.weight, axis))
            if units is not None:
                shape[axis] = int(np.count_nonzero(alive[units]))
        left[layer.name] = element_count(tuple(shape))
    return left


def removed_channels(model: Model, plan_: Plan) -> dict[str, tuple[int, ...]]:
    """Output channels that each layer loses, by layer name; layers that lose none aren't listed."""
    alive = units_alive(model, plan_.groups)
    gone = {
        name: tuple(int(index) for index in np.flatnonzero(~alive[units]))
        for name, units in find_channels(model).outputs.items()
    }
    return {name: indices for name, indices in gone.items() if indices}


def rounded_activations(model: Model, plan_: Plan) -> frozenset[str]:
    """Names of the activations that the plan rounds to 8 bits."""
    rounds = plan_.recipe.rounds_activations
    return frozenset(activation_points(model)) if rounds else frozenset()


def storage_opset(layer: Layer, storage: StorageType, recipe: Recipe) -> int:
    """Smallest opset in which a layer's weight can stand in a storage type."""
    if not storage.is_integer:
        return 0
    opset = storage.opset
    if layer.dtype == FLOAT16.name:
        opset = max(opset, HALF_SCALES_OPSET)
    grid = grid_for(layer, layer.weight_shape, recipe.granularity, recipe.group_size, storage)
    return max(opset, BLOCKS_OPSET) if grid.block is not None else opset


def activation_opset(model: Model) -> int:
    """Smallest opset in which the activations can be rounded."""
    dtypes = infer_shapes(model).dtypes
    half = any(dtypes[name] == ir.DataType.FLOAT16 for name in activation_points(model))
    return HALF_SCALES_OPSET if half else ACTIVATIONS.opset


def needed_opset(model: Model, plan_: Plan) -> int:
    """Smallest opset in which everything that the plan stores can stand."""
    layers = {layer.name: layer for layer in find_layers(model)}
    opset = activation_opset(model) if plan_.recipe.rounds_activations else 0
    for planned in plan_.layers:
        layer = layers.get(planned.name)
        if layer is not None and planned.storage != layer.dtype:
            opset = max(opset, storage_opset(layer, planned.storage_type, plan_.recipe))
    return opset
