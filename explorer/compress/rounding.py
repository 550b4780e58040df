"""Rounding a layer's weights so that its output changes least.

With W the dense fit and A the Gram matrix of its inputs, the levels q and the scales s shall make
tr (V - W)' A (V - W) small, V = s (q - zero). Ranges are chosen by the error weighted with the
inputs' power; then each input is rounded in turn and what that loses is made up for by the inputs
still to come (GPTQ; Frantar et al., arXiv 2210.17323); then levels and scales are improved by
turns, each level given all others (coordinate descent as in QuantEase; Behdin et al., arXiv
2309.01885), each scale by least squares.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from explorer.compress.cholesky import Factor, Matrix
from explorer.compress.masking import Mask
from explorer.compress.quantizers import (
    Grid,
    Rounded,
    fit_to_file,
    is_asymmetric,
    level_range,
    spread,
)
from explorer.compress.rows import Form
from explorer.storage_types import INT2, StorageType

SHARES_OF_FEW = np.linspace(0.4, 1.0, 13)  # of the full range, tried one by one
SHARES = np.linspace(0.7, 1.0, 7)
FINE_BITS = 5  # from here on the range's ends matter little
ROUNDS = 2  # of levels and scales by turns
SWEEPS = 2  # over all levels in a round
HALF_LEVEL = 0.5  # how far weights may lie beyond a range that ends at zero
BLOCK = 128  # inputs whose errors are passed on together
MOST_WORK = 2**25  # multiplications of a sweep that may be spent on improving levels
SMALLEST = 1e-30

Reals = npt.NDArray[np.floating]


class Cells:
    """Which weights share a scale: a number for each, in the form of the regression's weights."""

    def __init__(self, grid: Grid, shape: tuple[int, ...], form: Form) -> None:
        self.scale_shape = grid.scale_shape(shape)
        self.count = int(np.prod(self.scale_shape, dtype=np.int64))
        numbers = np.arange(self.count).reshape(self.scale_shape)
        index = form.to_matrix(np.broadcast_to(spread(numbers, grid, shape), shape))
        alike = bool((index == index[:, :1]).all())
        self.index = index[:, :1] if alike else index  # (groups, 1 or inputs, outputs)
        self.shape = index.shape
        self.can_refit = grid.block is None  # the scales of an output don't depend on each other

    def spread(self, values: Reals) -> Reals:
        """What each weight gets of one value a scale, (groups, inputs, outputs)."""
        return np.broadcast_to(values[self.index], self.shape)

    def sum(self, values: Reals) -> Reals:
        """Sum over the weights of each scale."""
        if self.index.shape[1] == 1:
            values = values.sum(axis=1, keepdims=True)
        sums = np.bincount(self.index.ravel(), values.ravel(), minlength=self.count)
        return sums.astype(np.float64)

    def largest(self, values: Reals) -> Reals:
        """Largest value of each scale, at least 0."""
        found: Reals = np.zeros(self.count)
        if self.index.shape[1] == 1:
            values = values.max(axis=1, keepdims=True)
        np.maximum.at(found, self.index.ravel(), values.ravel())
        return found


@dataclass(frozen=True, eq=False)
class _Levels:
    """Scales and zero points (one a cell), and the levels of all weights."""

    scale: Reals
    zero: Reals
    levels: Reals


@dataclass(frozen=True, eq=False)
class Rounding:
    """How the weights of one layer are stored: `bits` in `storage`, scales of type `dtype`."""

    bits: int
    storage: StorageType
    cells: Cells
    dtype: "np.dtype[np.floating]"
    least_scale: Reals | float = 0.0

    def round(
        self, gram: Matrix, matrix: Matrix, mask: Mask, improves: bool = True
    ) -> tuple[_Levels, Matrix]:
        """Levels for weights under a mask, and the weights that they stand for.

        Levels are improved by turns if asked for, where that is affordable.
        """
        scale, zero = self._find_range(gram, matrix * mask)
        found = self._pass_on(gram, matrix, mask, scale, zero)
        groups, inputs, outputs = matrix.shape
        if improves and groups * inputs**2 * outputs <= MOST_WORK:
            found = self._improve(gram, matrix, mask, found)
        return found, self._values(found)

    def draft(self, gram: Matrix, matrix: Matrix) -> Matrix:
        """About what `round` comes to, in less time: levels are not improved by turns."""
        mask = np.ones(matrix.shape, dtype=bool)
        found = self._pass_on(gram, matrix, mask, *self._find_range(gram, matrix))
        return self._values(found).astype(matrix.dtype)

    def stored(self, found: _Levels, form: Form) -> Rounded:
        """The result in the form of the file."""
        shape = self.cells.scale_shape
        scale, zero = found.scale.reshape(shape).astype(self.dtype), found.zero.reshape(shape)
        return Rounded.of(form.to_tensor(found.levels), scale, zero, self.bits, self.storage)

    def _values(self, found: _Levels) -> Matrix:
        index = self.cells.index
        return (found.levels - found.zero[index]) * found.scale[index]

    def _stored_scale(self, scale: Reals) -> Reals:
        least = self.least_scale
        flat = np.reshape(least, -1) if np.ndim(least) else least
        return fit_to_file(scale, self.dtype, flat).astype(np.float64)

    def _nearest(self, values: Reals, scale: Reals, zero: Reals) -> Reals:
        low, high = level_range(self.bits, self.storage)
        nearest: Reals = np.rint(values / scale) + zero
        return np.minimum(np.maximum(nearest, low), high)  # in small loops faster than clip

    def _find_range(self, gram: Matrix, matrix: Matrix) -> tuple[Reals, Reals]:
        """Scale and zero point of each cell with the least weighted error."""
        power = np.diagonal(gram, axis1=1, axis2=2)[:, :, None]
        low, high = level_range(self.bits, self.storage)
        cells = self.cells
        above, below = cells.largest(matrix), cells.largest(-matrix)
        largest = np.maximum(above, below)
        stand_in = largest.max(initial=0) or 1.0
        best = np.full(cells.count, np.inf)
        scale, zero = np.full(cells.count, stand_in / high), np.zeros(cells.count)
        shares = SHARES_OF_FEW if self.bits < FINE_BITS else SHARES
        for tried_zero in self._zeros(above, below):
            reach = np.maximum(
                above / np.maximum(high - tried_zero, HALF_LEVEL),
                below / np.maximum(tried_zero - low, HALF_LEVEL),
            )
            point = tried_zero[cells.index].astype(matrix.dtype)
            for share in shares:
                tried = self._stored_scale(np.where(reach > 0, reach, stand_in) * share)
                each = tried[cells.index].astype(matrix.dtype)
                levels = self._nearest(matrix, each, point)
                error = cells.sum(power * ((levels - point) * each - matrix) ** 2)
                better = error < best
                best = np.where(better, error, best)
                scale, zero = np.where(better, tried, scale), np.where(better, tried_zero, zero)
        return scale, zero

    def _zeros(self, above: Reals, below: Reals) -> list[Reals]:
        """Zero points to try: with four levels all of them, else where the range puts it."""
        low, high = level_range(self.bits, self.storage)
        if not is_asymmetric(self.bits):
            return [np.zeros(self.cells.count)]
        if self.bits == INT2.bits:
            return [np.full(self.cells.count, float(zero)) for zero in range(low, high + 1)]
        share = below / np.maximum(above + below, SMALLEST)
        return [np.rint(low + share * (high - low))]

    def _pass_on(
        self,
        gram: Matrix,
        matrix: Matrix,
        mask: Mask,
        scale: Reals,
        zero: Reals,
    ) -> _Levels:
        """Round one input after the other, those with the most power first."""
        order = np.argsort(-np.diagonal(gram, axis1=1, axis2=2), axis=1, kind="stable")
        rows = order[:, :, None]
        upper = _root_in_order(gram, order)
        left = np.take_along_axis(matrix, rows, axis=1).copy()
        stays = np.take_along_axis(mask, rows, axis=1)
        steps, points = (
            np.take_along_axis(self.cells.spread(values.astype(left.dtype)), rows, axis=1)
            for values in (scale, zero)
        )
        levels = np.empty_like(left)
        for start in range(0, left.shape[1], BLOCK):
            end = min(start + BLOCK, left.shape[1])
            errors = np.empty_like(left[:, start:end])
            for j in range(start, end):
                each, point = steps[:, j], points[:, j]
                levels[:, j] = np.where(stays[:, j], self._nearest(left[:, j], each, point), point)
                lost = left[:, j] - (levels[:, j] - point) * each
                errors[:, j - start] = lost / upper[:, j, j, None]
                left[:, j + 1 : end] -= (
                    upper[:, j, j + 1 : end, None] * errors[:, j - start, None, :]
                )
            left[:, end:] -= upper[:, start:end, end:].transpose(0, 2, 1) @ errors
        unsorted = np.empty_like(levels)
        np.put_along_axis(unsorted, rows, levels, axis=1)
        return _Levels(scale, zero, unsorted)

    def _improve(self, gram: Matrix, matrix: Matrix, mask: Mask, found: _Levels) -> _Levels:
        for _ in range(ROUNDS):
            found = self._sweep(gram, matrix, mask, found)
            if not self.cells.can_refit:
                return found
            found = self._refit_scales(gram, matrix, found)
        return self._sweep(gram, matrix, mask, found)

    def _sweep(self, gram: Matrix, matrix: Matrix, mask: Mask, found: _Levels) -> _Levels:
        """Set each level to the best one, given all others."""
        levels = found.levels.copy()
        scale, zero = self.cells.spread(found.scale), self.cells.spread(found.zero)
        slope = gram @ (matrix - self._values(found))
        power = np.diagonal(gram, axis1=1, axis2=2)
        for _ in range(SWEEPS):
            changed = False
            for j in range(levels.shape[1]):
                each, point = scale[:, j], zero[:, j]
                best = (levels[:, j] - point) * each + slope[:, j] / power[:, j, None]
                level = np.where(mask[:, j], self._nearest(best, each, point), point)
                change = (level - levels[:, j]) * each
                if np.count_nonzero(change):
                    slope -= gram[:, :, j, None] * change[:, None, :]
                    levels[:, j] = level
                    changed = True
            if not changed:
                break
        return _Levels(found.scale, found.zero, levels)

    def _refit_scales(self, gram: Matrix, matrix: Matrix, found: _Levels) -> _Levels:
        """The least-squares scale of each cell; levels stay."""
        steps = found.levels - found.zero[self.cells.index]
        bent = gram @ steps
        power, along = self.cells.sum(steps * bent), self.cells.sum(bent * matrix)
        fits = (power > SMALLEST) & (along > 0)
        scale = np.where(fits, along / np.maximum(power, SMALLEST), found.scale)
        return _Levels(self._stored_scale(scale), found.zero, found.levels)


def _root_in_order(gram: Matrix, order: npt.NDArray[np.int64]) -> Matrix:
    """Upper triangular U with U' U the inverse of the Gram matrix, its inputs put in an order.

    That is the root of the turned around matrix, turned around.
    """
    turned = np.stack([group[np.ix_(o, o)] for group, o in zip(gram, order[:, ::-1], strict=True)])
    return Factor.of(turned).root[:, ::-1, ::-1]
