"""Labels in another order than the model's outputs: found by what the model chooses instead."""

import numpy as np
import numpy.typing as npt

from explorer.description import Relabelling

FEWEST = 20  # samples
MOST_CLASSES = 2000
LEAST_GAIN = 0.1  # of the accuracy
MOST_CERTAIN = 1e-4  # chance that a coin has decided which numbering is right
FEW_RIGHT, MANY_RIGHT = 0.25, 0.6  # of the moved classes, as numbered and as reassigned

Classes = npt.NDArray[np.int64]


def find_relabelling(choices: Classes, labels: Classes, classes: int) -> Relabelling | None:
    """A permutation of labels under which a model is right far more often; None where none is.

    The assignment of labels to choices with the most hits (Kuhn 1955) is found on every second
    sample and judged on the others, as with many classes some assignment fits by chance: it must
    be right on most of what it moves, where the model is now nearly always wrong, and ahead by an
    exact sign test. So a model that is merely bad is left alone.
    """
    if len(labels) < FEWEST or not 2 <= classes <= MOST_CLASSES:
        return None
    order = np.random.default_rng(0).permutation(len(labels))
    choices, labels = choices[order], labels[order]
    half = _assignment(choices[::2], labels[::2], classes)
    if not _is_clear(half, choices[1::2], labels[1::2]):
        return None
    numbers = _assignment(choices, labels, classes)
    before, after = (choices == labels).mean(), (choices == numbers[labels]).mean()
    return Relabelling(tuple(numbers.tolist()), float(before), float(after))


def _assignment(choices: Classes, labels: Classes, classes: int) -> Classes:
    """The number of each label with which most are right; what makes no difference stays."""
    from scipy.optimize import linear_sum_assignment  # noqa: PLC0415 - slow to import

    hits = np.zeros((classes, classes))
    np.add.at(hits, (labels, choices), 1.0)
    hits += np.eye(classes) / 2
    return np.asarray(linear_sum_assignment(hits, maximize=True)[1], np.int64)


def _is_clear(numbers: Classes, choices: Classes, labels: Classes) -> bool:
    from scipy.special import bdtr  # noqa: PLC0415 - slow to import

    right, again = choices == labels, choices == numbers[labels]
    moved = numbers[labels] != labels
    if not moved.any() or again.mean() - right.mean() < LEAST_GAIN:
        return False
    if right[moved].mean() > FEW_RIGHT or again[moved].mean() < MANY_RIGHT:
        return False
    lost, won = int((right & ~again).sum()), int((again & ~right).sum())
    return bool(2 * bdtr(lost, lost + won, 0.5) < MOST_CERTAIN)
