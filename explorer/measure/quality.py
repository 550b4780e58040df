"""The only data: how well a model does on real samples, alone and against the original."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from explorer.errors import DataError
from explorer.formats.data import Array, Dataset, load_data
from explorer.measure.runtime import run_all
from explorer.model import Model
from explorer.report import Quality

Z_95 = 1.959964  # the normal distribution's two-sided 95 % point
CACHED_BYTES = 64 * 2**20  # outputs of a reference are kept up to this size
DIFFERENT_SHAPES = "The outputs of the two models have different shapes; they can't be compared."

Classes = npt.NDArray[np.int64]


def evaluate(
    model: Model,
    data: object,
    reference: Model | None = None,
    check: Callable[[], None] = lambda: None,
) -> Quality:
    """Accuracy where there are labels, else agreement with `reference`, else signal-to-noise.

    `data` is a path, the bytes of an `.npz`, a mapping of arrays, or a `Dataset`. `check` is called
    between batches and may raise to stop the evaluation.

    Raises:
        DataError: the samples or labels don't fit the model, or there is nothing to compare with.
        MeasurementError: the runtime can't run the model.
    """
    samples = load_data(data, model)  # type: ignore[arg-type]  # it names what it can't read
    outputs = model_outputs(model, samples, check)
    original = model_outputs(reference, samples, check) if reference is not None else None
    scores = class_scores(outputs)
    if samples.labels is not None:
        scores = _check_labels(scores, samples.labels)
        others = class_scores(original) if original is not None else None
        return _accuracy(scores, others, samples.labels)
    if original is None:
        raise DataError(
            "Without labels a model is scored by its agreement with the original; "
            "give labels 'y' in the data, or a reference model."
        )
    others = class_scores(original)
    if scores is not None and others is not None and scores.shape == others.shape:
        return _agreement(scores, others)
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
    scores = class_scores(model_outputs(model, data))
    others = class_scores(model_outputs(reference, data))
    if scores is None or others is None or scores.shape != others.shape:
        found = output_error(model, data, reference)
    else:
        wanted, given = _log_shares(others), _log_shares(scores)
        found = float((np.exp(wanted) * (wanted - given)).sum(axis=1).mean())
    return found if np.isfinite(found) else np.inf


def _log_shares(scores: Array) -> npt.NDArray[np.float64]:
    """Logarithm of the softmax of scores, or of the scores where they are shares already."""
    wide = scores.astype(np.float64)
    is_share = (wide >= 0).all() and np.allclose(wide.sum(axis=1), 1, atol=1e-3)
    logits = np.log(np.maximum(wide, np.finfo(np.float32).tiny)) if is_share else wide
    shifted = logits - logits.max(axis=1, keepdims=True)
    shares: npt.NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return shares


def check_labels(model: Model, data: Dataset) -> None:
    """Refuse labels for which a model has no class, by looking at one sample's output.

    Raises:
        DataError: there are such labels, or the model gives no class scores.
        MeasurementError: the runtime can't run the model.
    """
    if data.labels is not None:
        scores = class_scores(model_outputs(model, data.head(1)))
        _check_labels(scores, data.labels)


def model_outputs(
    model: Model, data: Dataset, check: Callable[[], None] = lambda: None
) -> list[Array]:
    """All outputs of all samples, each (samples, ...); kept with the model if they are small."""
    key = ("outputs", data.id)
    if key in model._cache:
        kept: list[Array] = model._cache[key]
        return kept
    batches = []
    for batch in run_all(model, data):
        check()
        batches.append(batch)
    outputs = [np.concatenate(parts) for parts in zip(*batches, strict=True)]
    if sum(output.nbytes for output in outputs) <= CACHED_BYTES:
        model._cache[key] = outputs
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


def class_scores(outputs: list[Array]) -> Array | None:
    """The first output where it is a row of scores for each sample, (samples, classes)."""
    first = outputs[0]
    is_scores = first.ndim == 2 and first.shape[1] > 1 and first.dtype.kind == "f"
    return first if is_scores else None


def _check_labels(scores: Array | None, labels: Classes) -> Array:
    if scores is None:
        raise DataError(
            "The data has labels, but the model's first output isn't a row of class scores."
        )
    if int(labels.max()) >= scores.shape[1]:
        raise DataError(
            f"The labels reach {labels.max()}, but the model has {scores.shape[1]} classes; "
            f"labels must lie in 0 to {scores.shape[1] - 1}."
        )
    return scores


def _accuracy(scores: Array, others: Array | None, labels: Classes) -> Quality:
    right = scores.argmax(axis=1) == labels
    hits, samples = int(right.sum()), len(labels)
    low, high = wilson_interval(hits, samples)
    if others is None:
        return Quality("accuracy", hits / samples, low, high, samples)
    other_right = others.argmax(axis=1) == labels
    p_value = mcnemar_p_value(int((right & ~other_right).sum()), int((other_right & ~right).sum()))
    other = float(other_right.mean())
    return Quality("accuracy", hits / samples, low, high, samples, other, p_value)


def _agreement(scores: Array, others: Array) -> Quality:
    hits = int((scores.argmax(axis=1) == others.argmax(axis=1)).sum())
    low, high = wilson_interval(hits, len(scores))
    return Quality("agreement", hits / len(scores), low, high, len(scores), 1.0)


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
