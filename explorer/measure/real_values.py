"""How close real-valued outputs come to their labels: R² and mean absolute error."""

import numpy as np
import numpy.typing as npt

from explorer.report import Quality

Values = npt.NDArray[np.float64]  # (samples, targets)
RESAMPLES, MOST_DRAWN = 1000, 2 * 10**7  # of the bootstrap, and numbers that it draws at most
FEWEST_RESAMPLES, CHUNK = 100, 50
SEED = 0
MIDDLE = (2.5, 97.5)  # percentiles around 95 %


def score_values(metric: str, values: Values, labels: Values, others: Values | None) -> Quality:
    """`r2` or `mae` of `values`, with a bootstrap interval; `others` are the reference's values.

    R² is 1 - sum (y - f)² / sum (y - mean y)², of several targets the mean of theirs; where the
    labels are all alike it is 1 if all values are right, else 0. The interval holds the middle 95 %
    of the metric over samples drawn with replacement (the percentile bootstrap, Efron 1979).
    """
    samples = len(labels)
    parts = _parts(metric, values, labels)
    value = float(_metric(metric, np.ones((1, samples)), parts, samples)[0])
    low, high = np.percentile(_resampled(metric, parts, samples), MIDDLE)
    reference = None
    if others is not None:
        other = _parts(metric, others, labels)
        reference = float(_metric(metric, np.ones((1, samples)), other, samples)[0])
    return Quality(
        metric, value, min(float(low), value), max(float(high), value), samples, reference
    )


def _parts(metric: str, values: Values, labels: Values) -> list[Values]:
    """What is summed over samples, each (samples, targets)."""
    error = values - labels
    if metric == "mae":
        return [np.abs(error)]
    centred = labels - labels.mean(axis=0)
    return [error**2, centred, centred**2]


def _metric(metric: str, weights: Values, parts: list[Values], samples: int) -> Values:
    """The metric for rows of weights (rows, samples), how often each sample counts."""
    sums = [weights @ part for part in parts]  # (rows, targets)
    if metric == "mae":
        return np.asarray(sums[0].mean(axis=1) / samples, np.float64)
    error, total, squares = sums
    spread = squares - total**2 / samples
    is_flat = spread <= 1e-12 * np.maximum(squares, np.finfo(np.float64).tiny)
    with np.errstate(divide="ignore", invalid="ignore"):
        explained = np.where(is_flat, (error == 0).astype(np.float64), 1 - error / spread)
    return np.asarray(explained.mean(axis=1), np.float64)


def _resampled(metric: str, parts: list[Values], samples: int) -> Values:
    """The metric of samples drawn with replacement, once for each resample."""
    rng = np.random.default_rng(SEED)
    count = min(RESAMPLES, max(FEWEST_RESAMPLES, MOST_DRAWN // samples))
    found = []
    for _ in range(0, count, CHUNK):
        drawn = rng.integers(0, samples, (CHUNK, samples))
        weights = np.stack([np.bincount(row, minlength=samples) for row in drawn])
        found.append(_metric(metric, weights.astype(np.float64), parts, samples))
    return np.concatenate(found)
