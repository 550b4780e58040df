"""Rules about the original and its samples."""

from collections.abc import Iterator, Sequence

from explorer.description import Description
from explorer.metrics import METRICS
from explorer.render.insight_rules import Case, Insight, percent, rule
from explorer.render.text import counted_samples, relabelling_sentence
from explorer.report import Quality

FEWEST_TO_TELL = 20  # samples, before an accuracy may be called chance


@rule
def original_guesses(case: Case) -> Iterator[str | Insight]:
    quality, classes = case.original.quality, _classes(case.original.description)
    if quality is not None and case.original.relabelling is None:  # which says more
        yield from guessing(quality, classes, f"; see {case.reading!r}" if case.reading else "")


def guessing(quality: Quality, classes: int | None, more: str = "") -> Iterator[str]:
    """That an original does no better than guessing, where its quality says so.

    `classes` is how many it tells apart, where that is known; `more` ends the sentence.
    """
    metric = quality.metric
    if metric == "r2" and quality.high <= 0:
        yield (
            f"The original model has an R² of {METRICS['r2'].text(quality.value)}, no better "
            "than the mean of the labels: probably the samples, their preprocessing, or the "
            f"labels' unit don't fit this model{more}."
        )
    classes = 2 if metric == "binary" else classes
    if metric not in ("accuracy", "binary") or classes is None:
        return
    if quality.samples >= FEWEST_TO_TELL and quality.low <= 1 / classes:
        yield (
            f"The original model is right on {percent(quality.value)} of "
            f"{counted_samples(quality.samples)}, no better than guessing among {classes} "
            "classes: probably the samples, their preprocessing, or the order of the labels don't "
            f"fit this model{more}."
        )


@rule
def agreement_says_nothing(case: Case) -> Iterator[str | Insight]:
    quality = case.original.quality
    if quality and quality.metric == "agreement" and case.original.answers == 1:
        yield (
            "The original predicts the same class for all "
            f"{counted_samples(quality.samples)}, so agreement says little about the compressed "
            "model; add samples of several classes."
        )


@rule
def not_done_on_opening(case: Case) -> Iterator[str | Insight]:
    if case.original.description is not None:
        yield from case.original.description.remarks


@rule
def labels_in_another_order(case: Case) -> Iterator[str | Insight]:
    found = case.original.relabelling
    if found is not None:
        yield relabelling_sentence(found, case.classes)


def _classes(described: Description | None) -> int | None:
    """How many scores the scored output holds for a sample, where that is known."""
    if described is None or not described.outputs:
        return None
    place = described.scoring.output if described.scoring is not None else 0
    return class_count(described.outputs[place].shape)


def class_count(shape: Sequence[int | str | None]) -> int | None:
    """How many scores an output of this shape holds for a sample; None where it isn't known."""
    last = shape[-1] if shape else None
    return last if isinstance(last, int) and last > 1 else None
