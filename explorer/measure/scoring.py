"""Which metric fits a model's outputs and the labels, and what one output means."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from explorer.errors import DataError
from explorer.formats.data import Array, Labels
from explorer.formats.names import cleaned
from explorer.metrics import CHOICES, METRICS
from explorer.model import Model

Scores = npt.NDArray[Any]  # floats
TOP = 5
PROBABILITY, LOGIT = 0.5, 0.0  # thresholds
# Operators behind a last one that don't change which side of a threshold a value is on.
PASSING = frozenset(
    "Identity Reshape Squeeze Unsqueeze Flatten Cast Clip QuantizeLinear DequantizeLinear".split()
)
# What ends in one of these gives any number, whatever the first few samples come to.
LINEAR = frozenset("Add Conv Gemm MatMul".split())


@dataclass(frozen=True)
class Scoring:
    """A metric, the `reason` why it was chosen as part of a sentence, and what else fits.

    `threshold` is that of one output between two classes, where it has one.
    """

    metric: str
    reason: str
    possible: tuple[str, ...]
    threshold: float = PROBABILITY


def scoring_of(
    model: Model, outputs: list[Array], labels: Labels | None, asked: str | None = None
) -> Scoring:
    """The metric that is `asked` for, else the one that fits best.

    `outputs` are those of the original for these labels, or for the first few of them.

    Raises:
        DataError: no metric fits, or not the one that was asked for.
    """
    if asked is not None and asked not in METRICS:
        raise DataError(
            f"The metric is {cleaned(str(asked))!r}; it must be one of {', '.join(CHOICES)}."
        )
    threshold, meaning = _threshold(model, outputs)
    possible = _possible(outputs, labels)
    fits = asked in possible or any(METRICS[name].is_labelled for name in possible)
    if labels is not None and not fits:
        raise _misfit(outputs, labels)
    if asked is not None and asked not in possible:
        fitting = ", ".join(name for name in possible if name in CHOICES) or "none"
        raise DataError(
            f"The metric {asked!r} doesn't fit these outputs and labels; it can be: {fitting}."
        )
    metric = asked or possible[0]
    reason = "as chosen" if asked else _reason(metric, labels)
    if metric == "binary" or (metric == "agreement" and row_of_scores(outputs) is None):
        reason += f"; {meaning}"
    return Scoring(metric, reason, possible, threshold)


def row_of_scores(outputs: list[Array]) -> Scores | None:
    """The first output where it is a row of scores for each sample, (samples, classes).

    Classifiers that give the chosen class first, as a whole number, are read by their second.
    """
    first = outputs[0]
    if first.dtype.kind in "iu" and first.ndim == 1 and len(outputs) > 1:
        first = outputs[1]
    is_scores = first.ndim == 2 and first.shape[1] > 1 and first.dtype.kind == "f"
    return first if is_scores else None


def class_scores(outputs: list[Array], scoring: Scoring) -> Scores | None:
    """Scores (samples, classes); of one output, how far it is on either side of its threshold."""
    scores = row_of_scores(outputs)
    values = single_output(outputs)
    if scores is not None or values is None or scoring.metric not in ("binary", "agreement"):
        return scores
    above = values.astype(np.float64) - scoring.threshold
    return np.stack([-above, above], axis=1)


def single_output(outputs: list[Array]) -> Scores | None:
    """The first output where it is one number for each sample, (samples,)."""
    first = outputs[0]
    is_single = first.ndim >= 1 and first.dtype.kind == "f" and first.size == len(first)
    return first.reshape(-1) if is_single and len(first) else None


def values_of(outputs: list[Array], targets: int) -> Scores | None:
    """The first output as `targets` numbers for each sample, (samples, targets); None otherwise."""
    first = outputs[0]
    fits = first.ndim >= 1 and first.dtype.kind == "f" and first.size == len(first) * targets
    return first.reshape(len(first), targets) if fits and len(first) else None


def _possible(outputs: list[Array], labels: Labels | None) -> tuple[str, ...]:
    """What fits, the likeliest first."""
    scores, found = row_of_scores(outputs), []
    if labels is not None:
        is_class = labels.ndim == 1 and labels.dtype.kind == "i" and int(labels.min()) >= 0
        if scores is not None and is_class and int(labels.max()) < scores.shape[1]:
            found += ["accuracy", "top5"] if scores.shape[1] > TOP else ["accuracy"]
        if single_output(outputs) is not None and is_class and int(labels.max()) <= 1:
            found.append("binary")
        if values_of(outputs, labels.reshape(len(labels), -1).shape[1]) is not None:
            found += ["r2", "mae"]
    if scores is not None:
        found.append("agreement")
    found.append("snr_db")
    if scores is None and single_output(outputs) is not None:
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


def _misfit(outputs: list[Array], labels: Labels) -> DataError:
    """Why labels fit no metric."""
    scores = row_of_scores(outputs)
    if scores is None:
        return DataError(
            "The data has labels, but the model's first output is neither a row of class scores "
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


def _threshold(model: Model, outputs: list[Array]) -> tuple[float, str]:
    """Where the classes of one output part, and a word on it: by the last operator, or the values.

    A probability is at least 0.5 where its logit is at least 0.
    """
    value = model.graph_model.graph.outputs[0]
    node: ir.Node | None = value.producer()
    while node is not None and node.op_type in PASSING and node.inputs[0] is not None:
        node = node.inputs[0].producer()
    if node is not None and node.op_type in ("Sigmoid", "HardSigmoid"):
        return PROBABILITY, f"the output is a probability ({node.op_type}); class 1 at 0.5 or above"
    if node is not None and node.op_type in LINEAR:
        return LOGIT, f"the output is a logit ({node.op_type}); class 1 at 0 or above"
    values = single_output(outputs)
    if values is not None and ((values >= 0) & (values <= 1)).all():
        return PROBABILITY, "the outputs lie in 0 to 1 like probabilities; class 1 at 0.5 or above"
    return LOGIT, "the outputs are read as logits; class 1 at 0 or above"
