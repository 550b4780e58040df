"""Solving with Gram matrices, (groups, inputs, inputs), by their Cholesky factors.

An inverse takes eight times the operations of a factor. All is done by NumPy alone, which factors
in double precision whatever it is given. SciPy's factor is quicker on one thread, but it is a
second linear algebra library with threads of its own, and the two wait for each other (decision
25).
"""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

BLOCK = 64  # size of triangles that are inverted at once
COLUMNS = 512  # of a product at once

Matrix = npt.NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class Factor:
    """Lower triangular R of each group, R' R being the inverse of its Gram matrix."""

    root: Matrix = field(repr=False)

    @classmethod
    def of(cls, gram: Matrix) -> "Factor":
        """Of positive definite matrices.

        Raises:
            numpy.linalg.LinAlgError: one is not, or holds numbers that are not finite.
        """
        if not np.isfinite(gram).all():
            raise np.linalg.LinAlgError("the matrix is not finite")
        return cls(_inverse_of_lower(np.linalg.cholesky(gram)))

    def solve(self, right: Matrix) -> Matrix:
        """X in A X = right, (groups, inputs, any)."""
        found: Matrix = self.root.transpose(0, 2, 1) @ (self.root @ right)
        return found

    def inverse_diagonal(self) -> Matrix:
        """Of the inverse of each Gram matrix, (groups, inputs)."""
        diagonal: Matrix = (self.root**2).sum(axis=1)
        return diagonal

    def inverse(self) -> Matrix:
        """Of each Gram matrix, (groups, inputs, inputs)."""
        root, size = self.root, self.root.shape[-1]
        found = np.empty_like(root)
        for start in range(0, size, COLUMNS):  # what is above the diagonal is zero
            own = slice(start, start + COLUMNS)
            found[:, own, : own.stop] = (
                root[:, start:, own].transpose(0, 2, 1) @ root[:, start:, : own.stop]
            )
            found[:, :start, own] = found[:, own, :start].transpose(0, 2, 1)
        return found


def _inverse_of_lower(lower: Matrix) -> Matrix:
    """By halves: the corner of the inverse follows from the inverses on the diagonal."""
    size = lower.shape[-1]
    if size <= BLOCK:
        return np.tril(np.linalg.inv(lower))
    half = size // 2
    found = np.zeros_like(lower)
    first, last = slice(None, half), slice(half, None)
    found[:, first, first] = _inverse_of_lower(lower[:, first, first])
    found[:, last, last] = _inverse_of_lower(lower[:, last, last])
    across = found[:, last, last] @ lower[:, last, first]
    found[:, last, first] = -(across @ found[:, first, first])
    return found
