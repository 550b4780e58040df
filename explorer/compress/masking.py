"""Which weights a mask removes so that the layer's output changes least.

With W the dense fit and A the Gram matrix of its inputs, a mask and weights V under it shall make
tr (V - W)' A (V - W) small. The mask is searched for by the alternating direction method of
multipliers (ADMM; Boza, arXiv 2401.02938, and Meng et al., arXiv 2406.07831): a quadratic step that
knows how inputs stand in for each other, and a projection on the pattern, more and more in
agreement. Layers too wide for that take the saliency of the optimal brain surgeon, w^2 / [A^-1]_jj
(Hassibi & Stork 1993). Weights under a mask are then fitted by conjugate gradients.
"""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from explorer.compress.cholesky import Factor, Matrix
from explorer.compress.patterns import keep_salient
from explorer.compress.regression import Fit, LeastSquares
from explorer.compress.rows import Form
from explorer.network import Layer

ROUNDS = 24  # of the search for a mask
ROUNDS_OF_CURVE = 4
FIRST_PENALTY = 0.1  # relative to the variance of an input
PENALTY_GROWTH = 1.1
WIDEST = 1200  # inputs up to which an eigendecomposition is affordable
CG_STEPS = 12
CG_STEPS_OF_CURVE = 3
SMALLEST = 1e-30

Mask = npt.NDArray[np.bool_]
Choose = Callable[[Matrix], Mask]  # from a saliency for each weight, (groups, inputs, outputs)


def chooser(layer: Layer, form: Form, pattern: str, sparsity: float) -> Choose:
    """What lays a pattern over the saliencies of a layer's weights."""

    def choose(saliency: Matrix) -> Mask:
        kept = keep_salient(form.to_tensor(saliency), layer, pattern, sparsity)
        found: Mask = form.to_matrix(kept)
        return found

    return choose


def find_mask(gram: Matrix, matrix: Matrix, choose: Choose) -> Mask:
    """The weights that stay, True; `choose` lays the pattern over a saliency."""
    if len(gram) == 1 and gram.shape[-1] <= WIDEST:
        return _Admm(gram[0], matrix[0]).find_mask(choose, ROUNDS)
    return choose(saliency(gram, matrix))


def saliency(gram: Matrix, matrix: Matrix) -> Matrix:
    """Error that the loss of each weight alone adds."""
    if len(gram) > 1:  # the few inputs of one group can hardly stand in for each other
        return matrix**2 * np.diagonal(gram, axis1=1, axis2=2)[:, :, None]
    return matrix**2 / Factor.of(gram).inverse_diagonal()[:, :, None]


def error_curve(
    gram: Matrix, matrix: Matrix, levels: Sequence[float], choose_at: Callable[[float], Choose]
) -> list[float]:
    """About the error of the layer's outputs at each sparsity, the weights under the mask fitted.

    A layer too wide for that gives the sum of what its weights lose alone, which is less.
    """
    if len(gram) > 1 or gram.shape[-1] > WIDEST:
        scores = saliency(gram, matrix)
        return [float((scores * ~choose_at(level)(scores)).sum()) for level in levels]
    admm = _Admm(gram[0], matrix[0])
    errors = []
    for level in levels:
        mask = admm.find_mask(choose_at(level), ROUNDS_OF_CURVE)
        rest = matrix * mask
        slope = gram @ (matrix - rest)
        rest = rest + solve_under_mask(gram, slope, mask, CG_STEPS_OF_CURVE)
        errors.append(error_of(gram, matrix - rest))
    return errors


class _Admm:
    """The search for a mask of one layer, in units in which each input has variance 1.

    Single precision is enough to tell weights apart.
    """

    def __init__(self, gram: Matrix, matrix: Matrix) -> None:
        scale = np.sqrt(np.diagonal(gram))[:, None]
        values, vectors = np.linalg.eigh(gram / scale / scale.T)
        pulled = vectors.T @ (gram / scale @ matrix)
        self.values, self.vectors, self.wanted, self.pulled = (
            array.astype(np.float32) for array in (values, vectors, matrix * scale, pulled)
        )

    def find_mask(self, choose: Choose, rounds: int) -> Mask:
        """The mask after so many rounds."""
        dual, sparse = np.zeros_like(self.wanted), self.wanted
        penalty = FIRST_PENALTY
        mask: Mask = np.ones(self.wanted.shape, dtype=bool)
        for _ in range(rounds):
            inner = self.pulled + penalty * (self.vectors.T @ (sparse - dual))
            dense = self.vectors @ (inner / (self.values[:, None] + penalty))
            mask = choose(((dense + dual) ** 2)[None])[0]
            sparse = (dense + dual) * mask
            dual = dual + dense - sparse
            penalty *= PENALTY_GROWTH
        return mask[None]


def fit_under_mask(regression: LeastSquares, fit: Fit, mask: Mask) -> Fit:
    """The best weights that are zero outside a mask, and the bias that goes with them."""
    start = Fit(fit.matrix * mask, fit.centre)
    return regression.improve(start, lambda slope: solve_under_mask(regression.gram, slope, mask))


def solve_under_mask(gram: Matrix, slope: Matrix, mask: Mask, steps: int = CG_STEPS) -> Matrix:
    """Change of the weights, zero outside the mask, that takes A X = slope as far as it can.

    Conjugate gradients with the diagonal as preconditioner, for all outputs at once.
    """
    diagonal = np.diagonal(gram, axis1=1, axis2=2)[:, :, None]
    change = np.zeros_like(slope)
    left = slope * mask
    ahead = left / diagonal
    along, size = ahead, (left * ahead).sum(axis=1, keepdims=True)
    for _ in range(steps):
        bent = (gram @ along) * mask
        length = size / np.maximum((along * bent).sum(axis=1, keepdims=True), SMALLEST)
        change = change + length * along
        left = left - length * bent
        ahead = left / diagonal
        new = (left * ahead).sum(axis=1, keepdims=True)
        along = ahead + new / np.maximum(size, SMALLEST) * along
        size = new
    return change


def error_of(gram: Matrix, change: Matrix) -> float:
    """Mean squared error of a layer's outputs, summed over them, when its weights change."""
    return float((change * (gram @ change)).sum())
