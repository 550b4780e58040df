"""How many weights each layer loses, so that a ratio of all weights goes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from explorer.compress.calibration import Calibration
from explorer.compress.criteria import by_weight, weight_array
from explorer.compress.masking import chooser, error_curve
from explorer.compress.need import need_of, original_weights
from explorer.compress.patterns import BLOCK, HISTOGRAM_BITS, piece_scores
from explorer.compress.regression import with_ridge
from explorer.model import Model
from explorer.network import Layer
from explorer.recipe import Recipe

LEVELS = (0.3, 0.5, 0.65, 0.8, 0.9, 0.95, 0.98)  # sparsities at which the error is found
FINE_STEPS = 200  # between none and the last level
PORTION = LEVELS[-1] / FINE_STEPS  # of a layer's pieces, in one step
FIRST_POWER = 3  # of the error by sparsity, up to the first level
SMALLEST = 1e-9

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class MaskShare:
    """How many of a layer's pieces go, and what a piece is."""

    layer: Layer
    pieces: int
    removed: int

    @property
    def sparsity(self) -> float:
        """Fraction of the layer's weights that become zero."""
        return self.removed / self.pieces


def allocate(
    model: Model,
    layers: tuple[Layer, ...],
    recipe: Recipe,
    overrides: Mapping[str, float],
    calibration: Calibration | None,
) -> list[MaskShare]:
    """Allocate a ratio to layers: alike, by one threshold on all scores, or by measured error.

    Layers with a ratio in `overrides` get that. Each layer keeps at least as many
    pieces as it has output channels (or blocks of them), so none is emptied.
    """
    pattern, ratio = recipe.pattern, recipe.ratio
    sizes = {layer.name: layer.weights // (BLOCK if pattern == "block" else 1) for layer in layers}
    removed = {
        layer.name: round(overrides.get(layer.name, ratio) * sizes[layer.name]) for layer in layers
    }
    shared = [layer for layer in layers if layer.name not in overrides]
    if recipe.scope == "global" and recipe.criterion != "random" and shared and ratio:
        if calibration is not None:
            removed.update(_by_need(model, shared, recipe, calibration, sizes))
        else:
            criterion = by_weight(recipe.criterion)
            removed.update(_by_threshold(model, shared, pattern, ratio, criterion))
    shares = []
    for layer in layers:
        pieces = sizes[layer.name]
        least = min(pieces, max(1, layer.channels // (BLOCK if pattern == "block" else 1)))
        shares.append(MaskShare(layer, pieces, min(removed[layer.name], pieces - least)))
    return shares


def _by_need(
    model: Model,
    layers: list[Layer],
    recipe: Recipe,
    calibration: Calibration,
    sizes: Mapping[str, int],
) -> dict[str, int]:
    """Take weights where the next one costs least error, until enough are gone."""
    owner = order_of_need(model, layers, recipe.pattern, calibration, sizes)
    count = np.array([sizes[layer.name] * PORTION for layer in layers])[owner]
    wanted = recipe.ratio * sum(sizes[layer.name] for layer in layers)
    before = np.concatenate([[0.0], np.cumsum(count)[:-1]])
    taken = np.clip(wanted - before, 0, count)  # the last portion goes in part
    removed = np.bincount(owner, taken, minlength=len(layers))
    beyond = wanted - removed.cumsum()[-1]  # more than the curves reach: the rest alike
    left = np.array([sizes[layer.name] for layer in layers]) - removed
    removed += max(beyond, 0) * left / max(left.cumsum()[-1], 1)
    return {layer.name: round(number) for layer, number in zip(layers, removed, strict=True)}


def order_of_need(
    model: Model,
    layers: Sequence[Layer],
    pattern: str,
    calibration: Calibration,
    sizes: Mapping[str, int],
) -> npt.NDArray[np.int64]:
    """The layer (its place) whose turn it is, portion after portion, the least error first.

    A portion is `PORTION` of a layer's pieces (`sizes`). The order of some layers is that of all,
    without the others.
    """
    fine = np.linspace(0, LEVELS[-1], FINE_STEPS + 1)
    costs = []
    for layer in layers:
        find = partial(_find_curve, model, layer, pattern, calibration)
        curve = calibration.memory.curve(("mask", pattern, layer.name), find)
        errors = np.exp(np.interp(fine, LEVELS, np.log(np.array(curve) + SMALLEST)))
        errors *= np.minimum(fine / LEVELS[0], 1) ** FIRST_POWER
        costs.append(np.maximum.accumulate(np.diff(errors)) / (sizes[layer.name] * PORTION))
    owners = np.repeat(np.arange(len(layers)), FINE_STEPS)
    return owners[np.argsort(np.concatenate(costs), kind="stable")]


def _find_curve(
    model: Model, layer: Layer, pattern: str, calibration: Calibration
) -> tuple[float, ...]:
    """Error of a layer at each level, relative to what it is part of."""
    weight = weight_array(model, layer.weight)
    statistics = calibration.layers.get(layer.name)
    if statistics is None:  # the share of the weights' power that goes
        power = np.sort(weight.astype(np.float64).ravel() ** 2)
        gone = np.cumsum(power) / max(float(power.sum()), SMALLEST)
        return tuple(float(gone[int(level * (power.size - 1))]) for level in LEVELS)
    matrix, form = original_weights(model, layer, statistics)
    need = need_of(model, layer, statistics)
    errors = error_curve(
        with_ridge(statistics.gram), matrix, LEVELS, lambda at: chooser(layer, form, pattern, at)
    )
    return tuple(need * error for error in errors)


def _by_threshold(
    model: Model, layers: list[Layer], pattern: str, ratio: float, criterion: str
) -> dict[str, int]:
    histograms = np.stack([score_histogram(model, layer, pattern, criterion) for layer in layers])
    total = np.cumsum(histograms.sum(axis=0))
    target = round(ratio * int(total[-1]))
    edge = int(np.searchsorted(total, target))  # the bin in which the threshold lies
    below = histograms[:, :edge].sum(axis=1)
    inside = histograms[:, edge]
    share = (target - below.sum()) / max(int(inside.sum()), 1)
    counts = below + np.floor(inside * share).astype(np.int64)
    return {layer.name: int(count) for layer, count in zip(layers, counts, strict=True)}


def score_histogram(
    model: Model, layer: Layer, pattern: str, criterion: str
) -> npt.NDArray[np.int64]:
    """Counts of a layer's scores by the top bits of their float32 form, which sort like floats."""
    kind = (pattern, criterion if pattern == "block" else "magnitude")
    key = ("score_histogram", layer.weight, *kind)
    if key not in model.cache:
        weight = weight_array(model, layer.weight)
        scores = piece_scores(weight, layer, pattern, criterion, np.random.default_rng(0))
        bits = scores.reshape(-1).view(np.uint32) >> (32 - HISTOGRAM_BITS)
        model.cache[key] = np.bincount(bits, minlength=2 ** (HISTOGRAM_BITS - 1))
    counts: npt.NDArray[np.int64] = model.cache[key]
    return counts
