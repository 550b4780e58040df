"""What a compressed model does otherwise than the original: by class, and sample by sample."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from explorer.formats.data import Array, Dataset
from explorer.measure.quality import model_outputs
from explorer.measure.scoring import class_scores, scoring_of
from explorer.model import Model

MOST_CLASSES = 64  # of a confusion matrix that is told in full
MOST_FLIPS = 24
LOST, WON, MOVED = "lost", "won", "moved"  # right before, right now, wrong both times

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Flip:
    """A sample that the two models put into different classes.

    `label` is None without labels. `margin` is how far the compressed model's class leads over the
    original's, in units of the spread of its scores of this sample.
    """

    index: int
    label: int | None
    before: int
    after: int
    kind: str
    margin: float


@dataclass(frozen=True)
class Changes:
    """What changed on all samples.

    Of each class, by its label or without labels by the original's choice: how many samples there
    are, and how many are right `before` and `after` (without labels: where the two agree).
    `confusion` has what the compressed model chooses more often than the original, (classes,
    classes) by the samples' class and the choice; None where there are too many classes. `flips`
    are those with the largest margins, `flipped` how many there are of each kind.
    """

    labelled: bool
    samples: tuple[int, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]
    confusion: tuple[tuple[int, ...], ...] | None
    flipped: dict[str, int]
    flips: tuple[Flip, ...]


def find_changes(
    model: Model,
    data: Dataset,
    original: Model,
    check: Callable[[], None] = lambda: None,
    metric: str | None = None,
) -> Changes | None:
    """Compare a model with the original on all samples; None where they give no class scores.

    `metric` is the one that quality is measured by, if one was chosen.

    Raises:
        MeasurementError: the runtime can't run a model.
    """
    outputs, references = (model_outputs(each, data, check) for each in (model, original))
    scoring = scoring_of(original, references, data.labels, metric)
    scores, others = (class_scores(each, scoring) for each in (outputs, references))
    if scores is None or others is None or scores.shape != others.shape:
        return None
    before, after = others.argmax(axis=1), scores.argmax(axis=1)
    known = data.labels if scoring.possible[0] in ("accuracy", "binary") else None
    labels = before if known is None else known
    classes = scores.shape[1]
    flips = _flips(scores, before, after, known)
    return Changes(
        labelled=known is not None,
        samples=_counts(labels, classes),
        before=_counts(labels[before == labels], classes),
        after=_counts(labels[after == labels], classes),
        confusion=_confusion(labels, before, after, classes),
        flipped={kind: sum(flip.kind == kind for flip in flips) for kind in (LOST, WON, MOVED)},
        flips=tuple(sorted(flips, key=lambda flip: -flip.margin)[:MOST_FLIPS]),
    )


def _counts(labels: Counts, classes: int) -> tuple[int, ...]:
    return tuple(np.bincount(labels, minlength=classes).tolist())


def _confusion(
    labels: Counts, before: Counts, after: Counts, classes: int
) -> tuple[tuple[int, ...], ...] | None:
    if classes > MOST_CLASSES:
        return None
    change = np.zeros((classes, classes), np.int64)
    np.add.at(change, (labels, after), 1)
    np.subtract.at(change, (labels, before), 1)
    return tuple(tuple(row) for row in change.tolist())


def _flips(scores: Array, before: Counts, after: Counts, labels: Counts | None) -> list[Flip]:
    found = []
    for index in np.flatnonzero(before != after).tolist():
        row = scores[index].astype(np.float64)
        spread = float(row.std()) or 1.0
        label = None if labels is None else int(labels[index])
        was, now = int(before[index]), int(after[index])
        kind = WON if label == now else LOST if label in (was, None) else MOVED
        found.append(Flip(index, label, was, now, kind, float(row[now] - row[was]) / spread))
    return found
