"""Masks: which single weights become zero, and how many of them in each layer.

Every masked pattern scores small pieces of a weight matrix, removes the lowest, and differs only in
what a piece is: one weight (`unstructured`), one of M neighbours (`2:4`, `4:8`), or `BLOCK` output
channels at one input position (`block`).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from explorer.compress.criteria import REGISTRY, weight_array
from explorer.model import Layer, Model

N_OF_M = {"2:4": (2, 4), "4:8": (4, 8)}
BLOCK = 4  # output channels; the register block of the sparse kernels in XNNPACK and MNN
HISTOGRAM_BITS = 16  # of a score's 32, from the top: steps of 1/128

Scores = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


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


def unsuited(layer: Layer, pattern: str) -> str | None:
    """Why a pattern can't be laid over a layer, or None where it can."""
    if pattern in N_OF_M:
        width = N_OF_M[pattern][1]
        inputs = layer.weight_shape[layer.in_axis]
        if inputs % width:
            noun = "channel" if inputs == 1 else "channels"
            return f"{inputs} input {noun} can't be divided into groups of {width}"
    outputs = layer.weight_shape[layer.out_axis]
    if pattern == "block" and outputs % BLOCK:
        return f"{outputs} output channels can't be divided into blocks of {BLOCK}"
    return None


def fixed_sparsity(pattern: str) -> float:
    """Fraction of zeros that an N:M pattern always has."""
    zeros, width = N_OF_M[pattern]
    return (width - zeros) / width


def allocate(
    model: Model,
    layers: tuple[Layer, ...],
    pattern: str,
    ratio: float,
    criterion: str,
    scope: str,
    overrides: Mapping[str, float],
) -> list[MaskShare]:
    """Spread a ratio over layers: alike, or by one threshold on all scores (`global`).

    Layers with a ratio of their own get that. Each layer keeps at least as many pieces as it has
    output channels (or blocks of them), so none is emptied.
    """
    sizes = {layer.name: layer.weights // (BLOCK if pattern == "block" else 1) for layer in layers}
    removed = {
        layer.name: round(overrides.get(layer.name, ratio) * sizes[layer.name]) for layer in layers
    }
    shared = [layer for layer in layers if layer.name not in overrides]
    if scope == "global" and criterion != "random" and shared:
        removed.update(_by_threshold(model, shared, pattern, ratio, criterion))
    shares = []
    for layer in layers:
        pieces = sizes[layer.name]
        least = min(pieces, max(1, layer.channels // (BLOCK if pattern == "block" else 1)))
        shares.append(MaskShare(layer, pieces, min(removed[layer.name], pieces - least)))
    return shares


def _by_threshold(
    model: Model, layers: list[Layer], pattern: str, ratio: float, criterion: str
) -> dict[str, int]:
    histograms = np.stack([_histogram(model, layer, pattern, criterion) for layer in layers])
    total = np.cumsum(histograms.sum(axis=0))
    target = round(ratio * int(total[-1]))
    edge = int(np.searchsorted(total, target))  # the bin in which the threshold lies
    below = histograms[:, :edge].sum(axis=1)
    inside = histograms[:, edge]
    share = (target - below.sum()) / max(int(inside.sum()), 1)
    counts = below + np.floor(inside * share).astype(np.int64)
    return {layer.name: int(count) for layer, count in zip(layers, counts, strict=True)}


def _histogram(model: Model, layer: Layer, pattern: str, criterion: str) -> npt.NDArray[np.int64]:
    """Counts of a layer's scores by the top bits of their float32 form, which sort like floats."""
    kind = (pattern, criterion if pattern == "block" else "magnitude")
    key = ("score_histogram", layer.weight, *kind)
    if key not in model._cache:
        weight = weight_array(model, layer.weight)
        scores = piece_scores(weight, layer, pattern, criterion, np.random.default_rng(0))
        bits = scores.reshape(-1).view(np.uint32) >> (32 - HISTOGRAM_BITS)
        model._cache[key] = np.bincount(bits, minlength=2 ** (HISTOGRAM_BITS - 1))
    counts: npt.NDArray[np.int64] = model._cache[key]
    return counts


def piece_scores(
    weight: npt.NDArray[np.floating],
    layer: Layer,
    pattern: str,
    criterion: str,
    rng: np.random.Generator,
) -> Scores:
    """Score of every piece.

    Single weights: the shape of the weight. Blocks: (outputs / BLOCK, everything else).
    """
    if pattern == "block":
        outputs = np.moveaxis(weight, layer.out_axis, 0)
        blocks = outputs.reshape(len(outputs) // BLOCK, BLOCK, -1)  # (rows, BLOCK, positions)
        pieces = blocks.transpose(0, 2, 1).reshape(-1, BLOCK)
        return REGISTRY[criterion](pieces, rng).reshape(len(blocks), -1)
    if criterion == "random":
        return rng.random(weight.shape, dtype=np.float32)
    magnitudes: Scores = np.abs(weight).astype(np.float32, copy=False)
    return magnitudes


def keep_mask(
    weight: npt.NDArray[np.floating],
    layer: Layer,
    pattern: str,
    sparsity: float,
    criterion: str,
    rng: np.random.Generator,
) -> Mask:
    """True where a weight stays; the shape of the weight."""
    scores = piece_scores(weight, layer, pattern, criterion, rng)
    if pattern in N_OF_M:
        return _keep_n_of_m(scores, layer.in_axis, *N_OF_M[pattern])
    kept = _keep_highest(scores, round(sparsity * scores.size))
    if pattern == "block":
        outputs = np.moveaxis(weight, layer.out_axis, 0)
        full = np.repeat(kept, BLOCK, axis=0).reshape(outputs.shape)
        mask: Mask = np.moveaxis(full, 0, layer.out_axis)
        return mask
    return kept


def _keep_highest(scores: Scores, removed: int) -> Mask:
    if removed == 0:
        return np.ones(scores.shape, dtype=bool)
    flat = scores.reshape(-1)
    threshold = np.partition(flat, removed - 1)[removed - 1]
    keep = flat > threshold
    excess = flat.size - removed - int(np.count_nonzero(keep))
    if excess:  # of several weights on the threshold, the last ones stay
        keep[np.flatnonzero(flat == threshold)[-excess:]] = True
    mask: Mask = keep.reshape(scores.shape)
    return mask


def _keep_n_of_m(scores: Scores, axis: int, kept: int, width: int) -> Mask:
    moved = np.moveaxis(scores, axis, -1)
    groups = moved.reshape(-1, width)
    order = np.argpartition(groups, width - kept, axis=1)[:, width - kept :]
    keep = np.zeros(groups.shape, dtype=bool)
    np.put_along_axis(keep, order, True, axis=1)
    mask: Mask = np.moveaxis(keep.reshape(moved.shape), -1, axis)
    return mask
