"""The least-squares problem of a layer, its mask and its rounding, against plain linear algebra."""

import itertools
from collections.abc import Callable

import numpy as np
import pytest

from explorer.compress.masking import error_curve, error_of, find_mask, solve_under_mask
from explorer.compress.quantizers import Grid, level_range, round_weights
from explorer.compress.ranges import Spread, round_to_levels
from explorer.compress.regression import Regression, with_ridge
from explorer.compress.rounding import Cells, Rounding
from explorer.compress.rows import Form
from explorer.compress.targets import NO_EDGES
from explorer.storage_types import INT2, holding

PLAIN_FORM = Form(lambda weight: weight.T[None], lambda matrix: matrix[0].T)  # (outputs, inputs)


def problem(inputs: int = 24, outputs: int = 8, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A Gram matrix of correlated inputs, and weights."""
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((400, inputs // 2)) @ rng.standard_normal((inputs // 2, inputs))
    rows += 0.3 * rng.standard_normal(rows.shape)
    gram = with_ridge((rows.T @ rows / len(rows))[None])
    return gram, rng.standard_normal((1, inputs, outputs))


def keep(count: int) -> Callable[[np.ndarray], np.ndarray]:
    """Keep the highest of all."""

    def choose(saliency: np.ndarray) -> np.ndarray:
        found: np.ndarray = saliency >= np.sort(saliency.ravel())[-count]
        return found

    return choose


@pytest.mark.parametrize("sparsity", [0.5, 0.8, 0.9])
def test_the_mask_beats_magnitude_and_single_saliency(sparsity: float) -> None:
    for seed in range(5):
        gram, matrix = problem(seed=seed)
        choose = keep(round((1 - sparsity) * matrix.size))
        inverse = np.linalg.inv(gram[0])
        masks = {
            "found": find_mask(gram, matrix, choose),
            "magnitude": choose(matrix**2),
            "saliency": choose(matrix**2 / np.diag(inverse)[None, :, None]),
        }
        errors = {name: exact_error(gram, matrix, mask) for name, mask in masks.items()}
        assert errors["found"] < errors["magnitude"]
        assert errors["found"] < 1.02 * errors["saliency"]
        assert masks["found"].sum() == round((1 - sparsity) * matrix.size)


def exact_error(gram: np.ndarray, matrix: np.ndarray, mask: np.ndarray) -> float:
    """Error of the best weights under a mask, each output solved by itself."""
    best = np.zeros_like(matrix)
    for output in range(matrix.shape[2]):
        kept = mask[0, :, output]
        slope = (gram[0] @ matrix[0, :, output])[kept]
        best[0, kept, output] = np.linalg.solve(gram[0][np.ix_(kept, kept)], slope)
    return error_of(gram, matrix - best)


def test_weights_under_a_mask_are_the_exact_ones() -> None:
    gram, matrix = problem()
    mask = np.random.default_rng(1).random(matrix.shape) < 0.4
    found = solve_under_mask(gram, gram @ matrix, mask, steps=200)
    assert (found[~mask] == 0).all()
    assert error_of(gram, matrix - found) == pytest.approx(
        exact_error(gram, matrix, mask), rel=1e-4
    )


def test_the_error_grows_with_the_sparsity() -> None:
    gram, matrix = problem()
    levels = (0.3, 0.5, 0.7, 0.9)
    errors = error_curve(gram, matrix, levels, lambda at: keep(round((1 - at) * matrix.size)))
    assert errors == sorted(errors)
    assert errors[0] > 0


@pytest.mark.parametrize("bits", [2, 3, 4, 5])
@pytest.mark.parametrize("grid", [Grid(None), Grid(0), Grid(1, 8)], ids=["one", "channel", "group"])
def test_rounding_beats_rounding_to_nearest(bits: int, grid: Grid) -> None:
    gram, matrix = problem()
    storage = holding(bits)
    mask = np.ones(matrix.shape, dtype=bool)
    mask[0, ::5] = False
    matrix = matrix * mask
    weight = PLAIN_FORM.to_tensor(matrix).astype(np.float32)
    rounding = Rounding(bits, storage, Cells(grid, weight.shape, PLAIN_FORM), weight.dtype)
    levels, values = rounding.round(gram, matrix, mask)
    stored = rounding.stored(levels, PLAIN_FORM)
    assert (values[~mask] == 0).all()
    low, high = level_range(bits, storage)
    assert stored.integers.astype(int).min() >= low
    assert stored.integers.astype(int).max() <= high
    np.testing.assert_allclose(
        PLAIN_FORM.to_matrix(stored.dequantize(grid)), values, rtol=1e-5, atol=1e-7
    )
    plain = round_weights(weight, bits, storage, grid)
    nearest = PLAIN_FORM.to_matrix(plain.dequantize(grid))
    assert error_of(gram, values - matrix) < 0.8 * error_of(gram, nearest - matrix)


def test_few_levels_come_near_the_best_of_all() -> None:
    """Against all assignments of four levels, at the scale that was found."""
    rng = np.random.default_rng(3)
    ratios = []
    for seed in range(8):
        gram, _ = problem(inputs=6, seed=seed)
        matrix = rng.standard_normal((1, 6, 1))
        weight = PLAIN_FORM.to_tensor(matrix).astype(np.float32)
        rounding = Rounding(2, INT2, Cells(Grid(0), weight.shape, PLAIN_FORM), weight.dtype)
        found, values = rounding.round(gram, matrix, np.ones(matrix.shape, dtype=bool))
        best = min(
            error_of(gram, (np.array(q) - found.zero[0]).reshape(1, 6, 1) * found.scale[0] - matrix)
            for q in itertools.product(range(-2, 2), repeat=6)
        )
        ratios.append(error_of(gram, values - matrix) / best)
    assert np.median(ratios) < 1.05
    assert max(ratios) < 2.5


def test_without_edges_the_fit_is_least_squares() -> None:
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((1, 5, 300)).astype(np.float32) + 2
    truth = rng.standard_normal((5, 3))
    wanted = (rows[0].T @ truth + 0.7).astype(np.float32)
    regression = Regression.of(rows, wanted, np.zeros((1, 1), np.float32), NO_EDGES, True)
    fit = regression.start(np.zeros((1, 5, 3)), np.zeros(3))
    for _ in range(20):  # the ridge pulls towards where a solve starts
        fit = regression.solve(fit)
    np.testing.assert_allclose(fit.matrix[0], truth, atol=1e-3)
    np.testing.assert_allclose(regression.bias(fit), 0.7, atol=1e-2)


def test_beyond_an_edge_nothing_is_asked_for() -> None:
    """A rectified target that few inputs can give: following the edge fits what is seen."""
    rng = np.random.default_rng(0)
    full = rng.standard_normal((2000, 6)).astype(np.float32)
    wanted = (full @ rng.standard_normal((6, 4)) - 0.5).astype(np.float32)
    rows = full.T[None, :4]  # two inputs are gone
    losses = {}
    for name, edges in (("plain", NO_EDGES), ("edge", (0.0, np.inf))):
        regression = Regression.of(rows, wanted, np.zeros((1, 1), np.float32), edges, True)
        fit = regression.solve(regression.start(np.zeros((1, 4, 4)), np.zeros(4)))
        given = rows[0].T @ fit.matrix[0] + regression.bias(fit)
        losses[name] = ((np.maximum(given, 0) - np.maximum(wanted, 0)) ** 2).mean()
    assert losses["edge"] < 0.97 * losses["plain"]


def test_the_best_range_loses_less_than_the_full_one() -> None:
    rng = np.random.default_rng(0)
    values = np.maximum(rng.standard_normal(200_000), 0).astype(np.float32)
    values[0] = 40.0
    spread = Spread.of([values])
    errors = {
        name: float(((round_to_levels(values, *ends) - values) ** 2).mean())
        for name, ends in (("full", spread.full_range()), ("best", spread.best_range()))
    }
    assert spread.full_range() == (0.0, 40.0)
    assert errors["best"] <= errors["full"]
    assert spread.best_range()[0] == 0.0


def test_a_range_of_nothing_has_one_level() -> None:
    spread = Spread.of([np.zeros((2, 3), dtype=np.float32)])
    assert spread.best_range() == (0.0, 0.0)
    assert (round_to_levels(np.zeros(3), 0.0, 0.0) == 0).all()
