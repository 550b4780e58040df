"""Which metric fits a model's outputs and the labels, and what one output means."""

from typing import Any

import numpy as np
import numpy.typing as npt

from explorer.description import PROBABILITY, Scoring
from explorer.errors import DataError
from explorer.formats.data import Array, Labels
from explorer.graph.scored import PROBABILITIES, last_operator, scored_output
from explorer.metrics import CHOICES, METRICS
from explorer.model import Model
from explorer.names import cleaned

Scores = npt.NDArray[Any]  # floats
TOP = 5
LOGIT = 0.0  # the threshold of a number that is no probability
# What ends in one of these gives any number, whatever the first few samples come to.
LINEAR = frozenset("Add Conv Gemm MatMul".split())


def scoring_of(
    model: Model, outputs: list[Array], labels: Labels | None, asked: str | None = None
) -> Scoring:
    """The metric that is `asked` for, else the one that fits best.

    `outputs` are those of the original for these labels, or for the first few of them.

    Raises:
        DataError: no metric fits, or not the one that was asked for.
    """
    check_metric(asked)
    place = scored_output(model, [each.shape for each in outputs], _wanted(labels))
    output = outputs[place]
    threshold, meaning = _threshold(last_operator(model, place), output)
    possible = _possible(output, labels)
    fits = asked in possible or any(METRICS[name].is_labelled for name in possible)
    if labels is not None and not fits:
        raise _misfit(output, labels)
    if asked is not None and asked not in possible:
        fitting = ", ".join(name for name in possible if name in CHOICES) or "none"
        raise DataError(
            f"The metric {asked!r} doesn't fit these outputs and labels; it can be: {fitting}."
        )
    metric = asked or possible[0]
    reason = "as chosen" if asked else _reason(metric, labels)
    is_single = row_of_scores(output) is None and not is_whole(output)
    if metric == "binary" or (metric == "agreement" and is_single):
        reason += f"; {meaning}"
    if place and metric != "snr_db":  # which is of all outputs
        reason += f" (output {cleaned(model.outputs[place].name)!r})"
    return Scoring(metric, reason, possible, place, threshold)


def check_metric(asked: str | None) -> None:
    """Whether there is such a metric; None leaves the choice to the samples.

    Raises:
        DataError: there is none.
    """
    if asked is not None and asked not in METRICS:
        raise DataError(
            f"The metric is {cleaned(str(asked), '')!r}; it must be one of {', '.join(CHOICES)}."
        )


def row_of_scores(output: Array) -> Scores | None:
    """An output where it is a row of scores for each sample, (samples, classes)."""
    is_scores = output.ndim == 2 and output.shape[1] > 1 and output.dtype.kind == "f"
    return output if is_scores else None


def is_whole(output: Array) -> bool:
    """True of an output of whole numbers, such as the chosen class: two of them agree or don't."""
    return output.dtype.kind in "iub"


def class_scores(outputs: list[Array], scoring: Scoring) -> Scores | None:
    """Scores (samples, classes); of a single number, how far it is beyond its threshold."""
    output = outputs[scoring.output]
    scores = row_of_scores(output)
    values = single_output(output)
    if scores is not None or values is None or scoring.metric not in ("binary", "agreement"):
        return scores
    above = values.astype(np.float64) - scoring.threshold
    return np.stack([-above, above], axis=1)


def single_output(output: Array) -> Scores | None:
    """An output where it is one number for each sample, (samples,)."""
    is_single = output.ndim >= 1 and output.dtype.kind == "f" and output.size == len(output)
    return output.reshape(-1) if is_single and len(output) else None


def values_of(output: Array, targets: int) -> Scores | None:
    """An output as `targets` numbers for each sample, (samples, targets); None otherwise."""
    fits = output.ndim >= 1 and output.dtype.kind == "f" and output.size == len(output) * targets
    return output.reshape(len(output), targets) if fits and len(output) else None


def _is_class(labels: Labels) -> bool:
    return labels.ndim == 1 and labels.dtype.kind == "i" and int(labels.min()) >= 0


def _targets(labels: Labels) -> int:
    return labels.reshape(len(labels), -1).shape[1]


def _wanted(labels: Labels | None) -> int | None:
    """How many numbers of a sample the labels ask for: one for each class, or for each target."""
    if labels is None:
        return None
    return int(labels.max()) + 1 if _is_class(labels) else _targets(labels)


def _possible(output: Array, labels: Labels | None) -> tuple[str, ...]:
    """What fits, the likeliest first."""
    scores, found = row_of_scores(output), []
    if labels is not None:
        is_class = _is_class(labels)
        if scores is not None and is_class and int(labels.max()) < scores.shape[1]:
            found += ["accuracy", "top5"] if scores.shape[1] > TOP else ["accuracy"]
        if single_output(output) is not None and is_class and int(labels.max()) <= 1:
            found.append("binary")
        if values_of(output, _targets(labels)) is not None:
            found += ["r2", "mae"]
    if scores is not None or is_whole(output):
        found.append("agreement")
    found.append("snr_db")
    if scores is None and single_output(output) is not None:
        found.append("agreement")
    return tuple(found)


def _reason(metric: str, labels: Labels | None) -> str:
    if labels is None:
        return "as there are no labels"
    if metric in ("r2", "mae"):
        kind = "are real numbers" if labels.dtype.kind == "f" else "aren't class numbers"
        return f"because the outputs aren't class scores and the labels {kind}"
    if metric == "binary":
        return "as the model gives one number and the labels are 0 and 1"
    return "as the model gives a score for each class"


def _misfit(output: Array, labels: Labels) -> DataError:
    """Why labels fit no metric."""
    scores = row_of_scores(output)
    if scores is None:
        return DataError(
            "The data has labels, but no output of the model is a row of class scores "
            "nor as many numbers as a label has."
        )
    if labels.ndim != 1:
        return DataError(
            f"The labels have {labels.shape[1]} numbers for each sample, but the model gives "
            f"{scores.shape[1]}."
        )
    fractions = labels[labels % 1 != 0]
    if len(fractions):
        return DataError(
            f"The labels are real numbers such as {float(fractions[0]):g}, but the model gives "
            f"{scores.shape[1]} scores for a sample; give a whole number, the class, for each."
        )
    if labels.min() < 0:
        return DataError(f"The labels reach from {labels.min():.0f}; they must start at 0.")
    return DataError(
        f"The labels reach {labels.max():.0f}, but the model has {scores.shape[1]} classes; labels "
        f"must lie in 0 to {scores.shape[1] - 1}."
    )


def _threshold(op: str | None, output: Array) -> tuple[float, str]:
    """Where the classes of a single number part, and a word on it: by its operator, or the values.

    A probability is at least 0.5 where its logit is at least 0.
    """
    if op in PROBABILITIES:
        return PROBABILITY, f"the output is a probability ({op}); class 1 at 0.5 or above"
    if op in LINEAR:
        return LOGIT, f"the output is a logit ({op}); class 1 at 0 or above"
    values = single_output(output)
    if values is not None and ((values >= 0) & (values <= 1)).all():
        return PROBABILITY, "the outputs lie in 0 to 1 like probabilities; class 1 at 0.5 or above"
    return LOGIT, "the outputs are read as logits; class 1 at 0 or above"
