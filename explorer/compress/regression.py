"""The least-squares problem of one layer, on the compressed network's inputs.

    min over W, c of  mean over rows of |a(X W + c + addend) - a(Y)|^2 + ridge |W - W0|^2

with X the centred inputs, Y what the original gives, and a the activation function, of which only
its constant parts count: where Y lies beyond an edge, all that lies beyond it is as good. That is
solved by majorisation (de Leeuw 1977): targets beyond an edge follow what the layer gives, and the
rest is plain ridge regression, with the same matrix at each step.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar, Protocol

import numpy as np

from explorer.compress.cholesky import Factor, Matrix
from explorer.compress.rows import Floats
from explorer.compress.targets import NO_EDGES, Edges

RIDGE = 0.01  # relative to the mean squared input
RIDGE_OF_FEW = 0.1  # the same per (inputs / rows): few rows say little, so old weights count more
STEPS = 3  # of majorisation
ROUGH_STEPS = 1  # before a fit under a mask, and for the bias alone
FEW_STEPS = 2  # where each one is dear
STEADY = 1e-6  # least ridge relative to the squared mean input: what varies less is rounding
CHEAP_SIZE = 2**16  # inputs times outputs up to which all steps are affordable
WIDE = 1024  # inputs from which solves are done in single precision
SMALLEST = 1e-12


@dataclass(frozen=True, eq=False)
class Fit:
    """Weights (groups, inputs, outputs of a group), and what they give on average, (outputs,)."""

    matrix: Matrix
    centre: Matrix


class LeastSquares(Protocol):
    """What a layer is solved by; see `Regression`.

    `is_quick`: what takes long, for a little gain, is left out.
    """

    is_quick: ClassVar[bool]

    @property
    def has_bias(self) -> bool:
        """Whether there is a bias to fit."""

    @property
    def gram(self) -> Matrix:
        """Mean of x x', with the ridge, (groups, inputs, inputs)."""

    @property
    def inputs(self) -> int:
        """How many enter an output."""

    def start(self, matrix: Matrix, bias: Matrix) -> Fit:
        """The layer as it is."""

    def solve(self, fit: Fit, most: int = STEPS) -> Fit:
        """The best dense weights."""

    def improve(self, fit: Fit, step_of: Callable[[Matrix], Matrix], most: int = STEPS) -> Fit:
        """Weights and bias after all steps; `step_of` makes a slope a change of the weights."""

    def recentre(self, fit: Fit) -> Fit:
        """The best bias alone."""

    def bias(self, fit: Fit) -> Matrix:
        """The bias that belongs to a fit."""


@dataclass(frozen=True, eq=False)
class Regression:
    """`rows` are centred inputs (groups, inputs, n), `mean` what was taken off; 0 without a bias.

    `wanted` (n, outputs) is what the original gives, `addend` what is added behind the layer.
    """

    rows: Floats = field(repr=False)
    mean: Floats = field(repr=False)
    wanted: Floats = field(repr=False)
    addend: Floats = field(repr=False)
    edges: Edges
    has_bias: bool
    is_quick: ClassVar[bool] = False

    @classmethod
    def of(
        cls, rows: Floats, wanted: Floats, addend: Floats, edges: Edges, has_bias: bool
    ) -> "Regression":
        """From inputs as they are, which are centred in place."""
        mean = rows.mean(axis=2, keepdims=True) if has_bias else np.zeros_like(rows[:, :, :1])
        rows -= mean
        return cls(rows, mean, wanted, addend, edges, has_bias)

    @cached_property
    def gram(self) -> Matrix:
        """Mean of x x', with the ridge, (groups, inputs, inputs)."""
        ridge = ridge_for(self.inputs, self.rows.shape[2])
        least = STEADY * (self.mean.astype(np.float64) ** 2).mean(axis=(1, 2))
        return with_ridge(second_moment(self.rows), ridge, least)

    @property
    def inputs(self) -> int:
        """How many enter an output."""
        return int(self.rows.shape[1])

    @cached_property
    def factor(self) -> Factor:
        """Of the Gram matrix."""
        return Factor.of(self.gram)

    def start(self, matrix: Matrix, bias: Matrix) -> Fit:
        """The layer as it is."""
        return Fit(matrix, bias + self._at_mean(matrix))

    def bias(self, fit: Fit) -> Matrix:
        """The bias that belongs to a fit."""
        return fit.centre - self._at_mean(fit.matrix)

    def given(self, fit: Fit) -> Floats:
        """What a fit gives at each row."""
        given = predict(self.rows, fit.matrix)
        given += self.addend
        given += fit.centre.astype(np.float32)
        return given

    def missing(self, given: Floats, follow: bool) -> Floats:
        """What must still be added, (n, outputs); nothing beyond an edge if that is followed."""
        missing: Floats = (self._nearest if follow else self.wanted) - given
        low, high = self.edges
        if follow and low > -np.inf:
            np.minimum(missing, self._most, out=missing)
        if follow and high < np.inf:
            np.maximum(missing, self._least, out=missing)
        return missing

    @cached_property
    def _nearest(self) -> Floats:
        """What is wanted, or the edge where that lies beyond it."""
        low, high = np.array(self.edges, dtype=np.float32)
        nearest: Floats = np.clip(self.wanted, low, high)
        return nearest

    @cached_property
    def _most(self) -> Floats:
        """Most that can be missing: nothing where less than the low edge is wanted."""
        return np.where(self.wanted <= self.edges[0], np.float32(0), np.float32(np.inf))

    @cached_property
    def _least(self) -> Floats:
        """Least that can be missing: nothing where more than the high edge is wanted."""
        return np.where(self.wanted >= self.edges[1], np.float32(0), np.float32(-np.inf))

    def slope(self, missing: Floats) -> Matrix:
        """Mean of x times what is missing, (groups, inputs, outputs of a group)."""
        groups, _, count = self.rows.shape
        split = missing.reshape(count, groups, -1).transpose(1, 0, 2)
        product: Matrix = (self.rows @ split) / count
        return product

    def steps(self, most: int = STEPS) -> range:
        """How often to follow the edges; the first time is without."""
        is_cheap = self.inputs * self.wanted.shape[1] <= CHEAP_SIZE
        follows = most if is_cheap else min(most, FEW_STEPS)
        return range(1 if self.edges == NO_EDGES else 1 + follows)

    def solve(self, fit: Fit, most: int = STEPS) -> Fit:
        """The best dense weights."""
        return self.improve(fit, self.factor.solve, most)

    def improve(self, fit: Fit, step_of: Callable[[Matrix], Matrix], most: int = STEPS) -> Fit:
        """Weights and bias after all steps; `step_of` makes a slope a change of the weights."""
        for step in self.steps(most):
            missing = self.missing(self.given(fit), follow=step > 0)
            change = step_of(self.slope(missing))
            fit = Fit(fit.matrix + change, self._recentred(fit.centre, missing))
        return fit

    def recentre(self, fit: Fit) -> Fit:
        """The best bias alone."""
        if not self.has_bias:
            return fit
        given, centre = self.given(fit), fit.centre
        for step in self.steps(ROUGH_STEPS):
            shifted = given + (centre - fit.centre).astype(np.float32)
            centre = self._recentred(centre, self.missing(shifted, follow=step > 0))
        return Fit(fit.matrix, centre)

    def _at_mean(self, matrix: Matrix) -> Matrix:
        """What weights give for the mean input, (outputs,)."""
        found: Matrix = (self.mean.transpose(0, 2, 1) @ matrix).reshape(-1)
        return found

    def _recentred(self, centre: Matrix, missing: Floats) -> Matrix:
        return centre + missing.mean(axis=0) if self.has_bias else centre


def predict(rows: Floats, matrix: Matrix) -> Floats:
    """Outputs without the bias, (n, outputs)."""
    product = rows.transpose(0, 2, 1) @ matrix.astype(np.float32, copy=False)
    outputs: Floats = product.transpose(1, 0, 2).reshape(rows.shape[2], -1)
    return outputs


def second_moment(rows: Floats) -> Matrix:
    """Mean of x x' over rows, (groups, inputs, inputs), in the precision to solve in."""
    product = rows @ rows.transpose(0, 2, 1)
    moment: Matrix = product.astype(precision(rows.shape[1])) / rows.shape[2]
    return moment


def precision(inputs: int) -> type[np.floating]:
    """The type to solve in."""
    return np.float32 if inputs >= WIDE else np.float64


def ridge_for(inputs: int, rows: int) -> float:
    """The ridge of a regression of so many inputs from so many rows."""
    return max(RIDGE, RIDGE_OF_FEW * inputs / rows)


def with_ridge(gram: Matrix, ridge: float = RIDGE, least: Matrix | float = 0.0) -> Matrix:
    """A Gram matrix (..., n, n) that can be inverted: plus `ridge` times its mean diagonal.

    `least` (...) is the least that is added, for inputs whose variance is all rounding.
    """
    size = gram.shape[-1]
    strength = ridge * np.trace(gram, axis1=-2, axis2=-1) / size + SMALLEST
    strength = np.maximum(strength, least).astype(gram.dtype)
    regular: Matrix = gram + strength[..., None, None] * np.eye(size, dtype=gram.dtype)
    return regular
