"""The only data: how well a model does on real samples, alone and against the original."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from explorer.description import Relabelling, Scoring
from explorer.errors import DataError, MeasurementError
from explorer.formats.data import Array, Dataset, Labels, load_data
from explorer.measure.real_values import score_values
from explorer.measure.relabelling import find_relabelling
from explorer.measure.runtime import run_all
from explorer.measure.scoring import (
    TOP,
    class_scores,
    is_whole,
    row_of_scores,
    scoring_of,
    values_of,
)
from explorer.metrics import METRICS
from explorer.model import Model
from explorer.report import Quality

Z_95 = 1.959964  # the normal distribution's two-sided 95 % point
CACHED_BYTES = 64 * 2**20  # outputs of a reference are kept up to this size
DIFFERENT_SHAPES = "The outputs of the two models have different shapes; they can't be compared."

BY_VALUE = ("binary", "mae", "r2")  # metrics that look at numbers, and not which is largest
FEW = 8  # samples that tell what outputs look like

Hits = npt.NDArray[np.bool_]


def evaluate(
    model: Model,
    data: object,
    reference: Model | None = None,
    check: Callable[[], None] = lambda: None,
    metric: str | None = None,
) -> Quality:
    """How well a model does, by the `metric` that is asked for or by the one that fits.

    With labels that is the accuracy where the model gives a score for each class or one number for
    two classes, else R²; without labels the agreement with `reference`, or the signal-to-noise
    ratio where there are no classes (see `metrics.METRICS`). `data` is a path, the bytes of an
    `.npz`, a mapping of arrays, or a `Dataset`. `check` is called between batches and may raise to
    stop the evaluation.

    Raises:
        DataError: samples, labels or the metric don't fit the model, or there is nothing to compare
            with.
        MeasurementError: the runtime can't run the model.
    """
    samples = load_data(data, model)  # type: ignore[arg-type]  # it names what it can't read
    outputs = model_outputs(model, samples, check)
    original = model_outputs(reference, samples, check) if reference is not None else None
    scoring = scoring_of(reference or model, original or outputs, samples.labels, metric)
    if METRICS[scoring.metric].is_labelled:
        assert samples.labels is not None
        return _labelled(scoring, outputs, original, samples.labels)
    if original is None:
        raise DataError(
            "Agreement is with the original; give a reference model."
            if samples.labels is not None
            else "Without labels a model is scored by its agreement with the original; "
            "give labels 'y' in the data, or a reference model."
        )
    if scoring.metric == "agreement":
        scores, others = (class_scores(each, scoring) for each in (outputs, original))
        if scores is not None and others is not None and scores.shape == others.shape:
            return _agreement(scores.argmax(axis=1) == others.argmax(axis=1))
        given, wanted = outputs[scoring.output], original[scoring.output]
        if is_whole(wanted) and given.shape == wanted.shape:
            return _agreement((given == wanted).reshape(len(wanted), -1).all(axis=1))
    return _signal_to_noise(outputs, original)


def output_error(
    model: Model,
    data: Dataset,
    reference: Model,
    check: Callable[[], None] = lambda: None,
) -> float:
    """Squared error of all outputs against the reference's, relative to the variance of these.

    The variance is that over samples, of each output number by itself.

    Raises:
        DataError: the outputs of the two models have different shapes.
        MeasurementError: the runtime can't run a model.
    """
    error, variance = 0.0, 0.0
    outputs = model_outputs(model, data, check)
    originals = model_outputs(reference, data, check)
    for output, other in zip(outputs, originals, strict=True):
        if output.shape != other.shape:
            raise DataError(DIFFERENT_SHAPES)
        if other.dtype.kind == "f":
            wide = other.astype(np.float64)
            error += float(((output.astype(np.float64) - wide) ** 2).sum())
            variance += float(((wide - wide.mean(axis=0)) ** 2).sum())
    return error / max(variance, float(np.finfo(np.float64).tiny))


def deviation(model: Model, reference: Model, data: Dataset) -> float:
    """How far outputs lie from the reference's on some samples; infinite where they aren't numbers.

    Of class scores the mean Kullback-Leibler divergence of the two distributions, as agreement and
    accuracy follow it; of other outputs their squared error relative to the variance.

    Raises:
        MeasurementError: the runtime can't run a model.
    """
    outputs, originals = model_outputs(model, data), model_outputs(reference, data)
    scoring = scoring_of(reference, originals, None, None)
    scores, others = (row_of_scores(each[scoring.output]) for each in (outputs, originals))
    is_class = scoring.metric == "agreement"
    if not is_class or scores is None or others is None or scores.shape != others.shape:
        found = output_error(model, data, reference)
    else:
        wanted, given = _log_shares(others), _log_shares(scores)
        found = float((np.exp(wanted) * (wanted - given)).sum(axis=1).mean())
    return found if np.isfinite(found) else np.inf


def _log_shares(scores: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Logarithm of the softmax of scores, or of the scores where they are shares already."""
    wide = scores.astype(np.float64)
    is_share = (wide >= 0).all() and np.allclose(wide.sum(axis=1), 1, atol=1e-3)
    logits = np.log(np.maximum(wide, np.finfo(np.float32).tiny)) if is_share else wide
    shifted = logits - logits.max(axis=1, keepdims=True)
    shares: npt.NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return shares


def check_labels(model: Model, data: Dataset, metric: str | None = None) -> Scoring:
    """How these samples can be scored, found out by looking at the outputs of the first few.

    Raises:
        DataError: the labels or the metric don't fit the model.
        MeasurementError: the runtime can't run the model.
    """
    outputs = model_outputs(model, data.head(FEW))
    return scoring_of(model, outputs, data.labels, metric)


def count_answers(model: Model, data: Dataset) -> int | None:
    """How many classes a model chooses on some samples; None where it gives no class scores.

    Raises:
        MeasurementError: the runtime can't run the model.
    """
    outputs = model_outputs(model, data)
    scores = class_scores(outputs, scoring_of(model, outputs, None))
    return None if scores is None else len(np.unique(scores.argmax(axis=1)))


def suggest_relabelling(
    model: Model,
    data: Dataset,
    metric: str | None = None,
    check: Callable[[], None] = lambda: None,
) -> Relabelling | None:
    """A permutation of the labels under which the model is right far more often, or None.

    Raises:
        DataError: labels or metric don't fit the model.
        MeasurementError: the runtime can't run the model.
    """
    if data.labels is None:
        return None
    outputs = model_outputs(model, data, check)
    scoring = scoring_of(model, outputs, data.labels, metric)
    scores = class_scores(outputs, scoring)
    if scores is None or scoring.possible[0] not in ("accuracy", "binary"):
        return None
    return find_relabelling(scores.argmax(axis=1), data.labels, scores.shape[1])


def model_outputs(
    model: Model, data: Dataset, check: Callable[[], None] = lambda: None
) -> list[Array]:
    """All outputs of all samples, each (samples, ...); kept with the model if they are small."""
    key = ("outputs", data.id)
    if key in model.cache:
        kept: list[Array] = model.cache[key]
        return kept
    batches = []
    for batch in run_all(model, data):
        check()
        batches.append(batch)
    outputs = [np.concatenate(parts) for parts in zip(*batches, strict=True)]
    if sum(output.nbytes for output in outputs) <= CACHED_BYTES:
        model.cache[key] = outputs
    return outputs


def wilson_interval(hits: int, samples: int) -> tuple[float, float]:
    """95 % interval of a proportion (Wilson 1927, as given by Agresti & Coull 1998)."""
    share, spread = hits / samples, Z_95**2 / samples
    centre = share + spread / 2
    half = Z_95 * float(np.sqrt(share * (1 - share) / samples + spread / (4 * samples)))
    return max(0.0, (centre - half) / (1 + spread)), min(1.0, (centre + half) / (1 + spread))


def mcnemar_p_value(only_first: int, only_second: int) -> float:
    """Exact two-sided McNemar test: may a coin have decided which model alone got each right."""
    from scipy.special import bdtr  # noqa: PLC0415 - slow to import, and seldom needed

    discordant = only_first + only_second
    if discordant == 0:
        return 1.0
    return float(min(1.0, 2 * bdtr(min(only_first, only_second), discordant, 0.5)))


def _labelled(
    scoring: Scoring, outputs: list[Array], original: list[Array] | None, labels: Labels
) -> Quality:
    if scoring.metric in BY_VALUE:
        _check_finite(scoring, outputs, original)
    if scoring.metric in ("r2", "mae"):
        wanted = labels.reshape(len(labels), -1).astype(np.float64)
        values, others = (_values(scoring, each, wanted.shape[1]) for each in (outputs, original))
        if values is None or (others is None and original is not None):
            raise DataError(DIFFERENT_SHAPES)
        return score_values(scoring.metric, values, wanted, others)
    right, other_right = (_right(scoring, each, labels) for each in (outputs, original))
    if right is None:
        raise DataError(DIFFERENT_SHAPES)
    return _accuracy(scoring.metric, right, other_right)


def _check_finite(scoring: Scoring, outputs: list[Array], original: list[Array] | None) -> None:
    for each in (outputs, original or outputs):
        if not np.isfinite(each[scoring.output].astype(np.float64)).all():
            raise MeasurementError(
                "Some outputs are not finite numbers (NaN or infinity), so they can't be scored; "
                "compress less, or check the samples."
            )


def _values(
    scoring: Scoring, outputs: list[Array] | None, targets: int
) -> npt.NDArray[np.float64] | None:
    values = values_of(outputs[scoring.output], targets) if outputs is not None else None
    return None if values is None else values.astype(np.float64)


def _right(scoring: Scoring, outputs: list[Array] | None, labels: Labels) -> Hits | None:
    """Which samples are right; None where there are no scores of their classes."""
    scores = class_scores(outputs, scoring) if outputs is not None else None
    if scores is None or int(labels.max()) >= scores.shape[1]:
        return None
    if scoring.metric == "binary":
        return np.asarray((scores[:, 1] >= 0) == (labels == 1))
    if scoring.metric != "top5":
        return np.asarray(scores.argmax(axis=1) == labels)
    best = np.argsort(-scores, axis=1, kind="stable")[:, :TOP]
    return np.asarray((best == labels[:, None]).any(axis=1))


def _accuracy(metric: str, right: Hits, other_right: Hits | None) -> Quality:
    hits, samples = int(right.sum()), len(right)
    low, high = wilson_interval(hits, samples)
    if other_right is None:
        return Quality(metric, hits / samples, low, high, samples)
    p_value = mcnemar_p_value(int((right & ~other_right).sum()), int((other_right & ~right).sum()))
    other = float(other_right.mean())
    return Quality(metric, hits / samples, low, high, samples, other, p_value)


def _agreement(same: Hits) -> Quality:
    hits = int(same.sum())
    low, high = wilson_interval(hits, len(same))
    return Quality("agreement", hits / len(same), low, high, len(same), 1.0)


def _signal_to_noise(outputs: list[Array], original: list[Array]) -> Quality:
    """10 log10(signal / noise) of each sample; the mean with its normal 95 % interval, in dB."""
    samples = len(original[0])
    signal, noise = np.zeros(samples), np.zeros(samples)
    for output, other in zip(outputs, original, strict=True):
        if output.shape != other.shape:
            raise DataError(DIFFERENT_SHAPES)
        if other.dtype.kind == "f":
            wide = other.reshape(samples, -1).astype(np.float64)
            signal += (wide**2).sum(axis=1)
            difference = output.reshape(samples, -1).astype(np.float64) - wide
            noise += (difference**2).sum(axis=1)
    floor = np.finfo(np.float32).tiny
    ratio_db = 10 * np.log10(np.maximum(signal, floor) / np.maximum(noise, floor))
    half = Z_95 * float(ratio_db.std(ddof=1)) / np.sqrt(samples) if samples > 1 else 0.0
    mean = float(ratio_db.mean())
    return Quality("snr_db", mean, mean - float(half), mean + float(half), samples)
