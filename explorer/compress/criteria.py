"""Which weights matter least: one scoring function per criterion, behind one registry.

A criterion scores the rows of a matrix; the smaller the score, the sooner the row goes. The same
function ranks channels and blocks; unstructured pruning ranks by magnitude (see `patterns`).
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from explorer.graph.channels import Channels, find_channels
from explorer.graph.layers import find_layers
from explorer.model import Model
from explorer.recipe import CRITERIA, RECONSTRUCTION

Floats = npt.NDArray[np.floating]
Criterion = Callable[[Floats, np.random.Generator], npt.NDArray[np.float32]]

REGISTRY: dict[str, Criterion] = {}


def criterion(name: str) -> Callable[[Criterion], Criterion]:
    """Register a criterion under a name that a recipe may use."""

    def register(function: Criterion) -> Criterion:
        if name in REGISTRY or name not in CRITERIA:
            raise ValueError(f"{name} is registered already, or missing from recipe.CRITERIA")
        REGISTRY[name] = function
        return function

    return register


def by_weight(name: str) -> str:
    """The criterion that judges weights alone, in place of one that needs samples."""
    return "l2" if name == RECONSTRUCTION else name


@criterion("l1")
def l1(rows: Floats, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Mean absolute weight (Li et al., arXiv 1608.08710)."""
    scores: npt.NDArray[np.float32] = np.abs(rows).mean(axis=1, dtype=np.float32)
    return scores


@criterion("l2")
def l2(rows: Floats, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Root mean square weight (He et al., arXiv 1808.06866)."""
    wide = rows.astype(np.float32, copy=False)
    scores: npt.NDArray[np.float32] = np.sqrt(np.einsum("ij,ij->i", wide, wide) / rows.shape[1])
    return scores


@criterion("random")
def random(rows: Floats, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """No criterion at all: the control that every other one must beat."""
    return rng.random(len(rows), dtype=np.float32)


def weight_array(model: Model, name: str) -> npt.NDArray[np.floating]:
    """An initialiser as an array; a view into the file where its type allows it."""
    tensor = model.graph_model.graph.initializers[name].const_value
    assert tensor is not None
    array: npt.NDArray[np.floating] = tensor.numpy()
    return array


def unit_scores(model: Model, name: str, seed: int) -> npt.NDArray[np.float64]:
    """Score of every unit of coupled channels, (units + 1,); index 0 (what stays) is infinite.

    A unit's score is the mean over all weight slices that go with it, outputs of its own layers and
    inputs of the next ones alike, each relative to the mean slice of that weight: a unit of 1 is as
    important as the average channel of its layers (group norm of DepGraph, arXiv 2301.12900).
    """
    key = ("unit_scores", name, seed if name == "random" else 0)
    if key not in model.cache:
        model.cache[key] = _score_units(model, find_channels(model), name, seed)
    scores: npt.NDArray[np.float64] = model.cache[key]
    return scores


def _score_units(model: Model, channels: Channels, name: str, seed: int) -> npt.NDArray[np.float64]:
    total = np.zeros(channels.unit_count + 1)
    slices = np.zeros(channels.unit_count + 1)
    layer_weights = {layer.weight for layer in find_layers(model)}
    rng = np.random.default_rng(seed)
    for (weight, axis), units in channels.cuts.items():
        if weight not in layer_weights:
            continue
        rows = np.moveaxis(weight_array(model, weight), axis, 0).reshape(len(units), -1)
        scores = REGISTRY[name](rows, rng).astype(np.float64)
        np.add.at(total, units, scores / max(scores.mean(), np.finfo(np.float64).tiny))
        np.add.at(slices, units, 1)
    mean = total / np.maximum(slices, 1)
    mean[0] = np.inf
    return mean
