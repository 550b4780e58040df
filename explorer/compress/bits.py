"""How many bits the weights of each layer get, so that they have a given width on average.

Rounding a layer costs about a quarter of the error with each further bit, but how large that error
is differs by orders of magnitude. Bits go, step by step, to the layer where they take away most
error for the space that they need: the greedy way along the convex hulls of Shoham & Gersho (1988).
Widths are those of the integer types; beside 8-bit activations, where 2-bit weights are stored in
4, the average is one of widths and not of space.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from explorer.compress.calibration import Calibration
from explorer.compress.criteria import weight_array
from explorer.compress.masking import error_of
from explorer.compress.need import SMALLEST, need_of, original_weights
from explorer.compress.quantizers import grid_for, round_weights
from explorer.compress.regression import with_ridge
from explorer.compress.rounding import Cells, Rounding
from explorer.model import Model
from explorer.network import Layer
from explorer.recipe import Recipe
from explorer.storage_types import INT2, INT4, INT8

WIDTHS = (INT2.bits, INT4.bits, INT8.bits)
ANY_STORAGE = INT8  # the error is the same in all

Step = tuple[float, str, int, int]  # error taken away for each bit, layer, width before and after


def allocate_bits(
    model: Model,
    layers: Sequence[Layer],
    sizes: Mapping[str, int],
    recipe: Recipe,
    calibration: Calibration | None,
) -> dict[str, int]:
    """Weight bits by layer name; on average over all weights at most those of the recipe.

    `sizes` says how many weights each layer keeps. Without a calibration the error is that of the
    weights, relative to their power.
    """
    bits = dict.fromkeys((layer.name for layer in layers), WIDTHS[0])
    left = sum((recipe.weight_bits - WIDTHS[0]) * sizes[name] for name in bits)
    steps: list[Step] = []
    for layer in layers:
        errors = errors_by_width(model, layer, recipe, calibration)
        steps += _steps(layer.name, errors, max(sizes[layer.name], 1))
    for _, name, narrow, wide in sorted(steps, key=lambda step: -step[0]):
        price = (wide - narrow) * sizes[name]
        if bits[name] == narrow and price <= left:
            bits[name], left = wide, left - price
    return bits


def _steps(name: str, errors: Sequence[float], size: int) -> list[Step]:
    """From each width to the next on the lower convex hull of error by bits."""
    steps: list[Step] = []
    for place in range(1, len(WIDTHS)):
        start = place - 1
        while True:
            span = WIDTHS[place] - WIDTHS[start]
            gain = (errors[start] - errors[place]) / (span * size)
            if not steps or gain <= steps[-1][0]:
                break
            start = WIDTHS.index(steps.pop()[2])
        steps.append((gain, name, WIDTHS[start], WIDTHS[place]))
    return steps


def errors_by_width(
    model: Model, layer: Layer, recipe: Recipe, calibration: Calibration | None
) -> tuple[float, ...]:
    """Error of a layer at each width, relative to what it is part of."""
    if calibration is None:
        return _error_of_weights(model, layer, recipe)
    key = ("bits", recipe.granularity, recipe.group_size, layer.name)
    return calibration.memory.curve(key, lambda: _find_errors(model, layer, recipe, calibration))


def _find_errors(
    model: Model, layer: Layer, recipe: Recipe, calibration: Calibration
) -> tuple[float, ...]:
    statistics = calibration.layers.get(layer.name)
    if statistics is None:
        return _error_of_weights(model, layer, recipe)
    matrix, form = original_weights(model, layer, statistics)
    gram, need = with_ridge(statistics.gram), need_of(model, layer, statistics)
    shape = layer.weight_shape
    cells = Cells(grid_for(layer, shape, recipe.granularity, recipe.group_size), shape, form)
    dtype = np.dtype(layer.dtype)
    errors = []
    for bits in WIDTHS:
        rounding = Rounding(bits, ANY_STORAGE, cells, dtype)
        errors.append(need * error_of(gram, rounding.draft(gram, matrix) - matrix))
    return tuple(errors)


def _error_of_weights(model: Model, layer: Layer, recipe: Recipe) -> tuple[float, ...]:
    weight = weight_array(model, layer.weight)
    grid = grid_for(layer, weight.shape, recipe.granularity, recipe.group_size)
    power = max(float((weight.astype(np.float64) ** 2).sum()), SMALLEST)
    errors = []
    for bits in WIDTHS:
        rounded = round_weights(weight, bits, ANY_STORAGE, grid).dequantize(grid)
        errors.append(float(((rounded - weight.astype(np.float32)) ** 2).sum()) / power)
    return tuple(errors)
