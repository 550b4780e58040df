"""Masks: which weights become zero, and how many of them in each layer.

Every masked pattern scores small pieces of a weight matrix, removes the lowest, and differs only in
what a piece is: one weight (`unstructured`), one of M neighbours (`2:4`, `4:8`), or `BLOCK` output
channels at one input position (`block`).
"""

import numpy as np
import numpy.typing as npt

from explorer.compress.criteria import REGISTRY
from explorer.network import Layer, Shape
from explorer.reasons import Reason, indivisible

N_OF_M = {"2:4": (2, 4), "4:8": (4, 8)}
BLOCK = 4  # output channels; the register block of the sparse kernels in XNNPACK and MNN
HISTOGRAM_BITS = 16  # of a score's 32, from the top: steps of 1/128

Scores = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


def unsuited(layer: Layer, pattern: str) -> Reason | None:
    """Why a pattern can't be laid over a layer, or None where it can."""
    if pattern in N_OF_M:
        width = N_OF_M[pattern][1]
        inputs = layer.weight_shape[layer.in_axis]
        if inputs % width:
            return indivisible(inputs, "input", f"groups of {width}")
    outputs = layer.weight_shape[layer.out_axis]
    if pattern == "block" and outputs % BLOCK:
        return indivisible(outputs, "output", f"blocks of {BLOCK}")
    return None


def fixed_sparsity(pattern: str) -> float:
    """Fraction of zeros that an N:M pattern always has."""
    zeros, width = N_OF_M[pattern]
    return (width - zeros) / width


def piece_scores(
    weight: npt.NDArray[np.floating],
    layer: Layer,
    pattern: str,
    criterion: str,
    rng: np.random.Generator,
) -> Scores:
    """Score of every piece.

    Unstructured: the shape of the weight. Blocks: (outputs / BLOCK, everything else).
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
    return _keep_pieces(scores, weight.shape, layer, pattern, sparsity)


def keep_salient(
    saliency: npt.NDArray[np.floating], layer: Layer, pattern: str, sparsity: float
) -> Mask:
    """True where a weight stays, by what each one is worth; both have the weight's shape."""
    scores: Scores = saliency.astype(np.float32)
    if pattern == "block":
        outputs = np.moveaxis(scores, layer.out_axis, 0)
        scores = outputs.reshape(len(outputs) // BLOCK, BLOCK, -1).sum(axis=1)
    return _keep_pieces(scores, saliency.shape, layer, pattern, sparsity)


def _keep_pieces(scores: Scores, shape: Shape, layer: Layer, pattern: str, sparsity: float) -> Mask:
    if pattern in N_OF_M:
        return _keep_n_of_m(scores, layer.in_axis, *N_OF_M[pattern])
    kept = _keep_highest(scores, round(sparsity * scores.size))
    if pattern == "block":
        outputs = np.moveaxis(np.empty(shape, dtype=bool), layer.out_axis, 0)
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
