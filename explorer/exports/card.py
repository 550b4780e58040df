"""A model card: what the file is, what was done to it, what it costs, and how to run it."""

from collections.abc import Iterator

from explorer.digits import interval
from explorer.exports.outcome import Outcome
from explorer.metrics import METRICS
from explorer.render.markdown import one_line
from explorer.render.templating import render
from explorer.render.text import counted_samples, format_quality, uncounted_sentence
from explorer.report import Quality

LABELLED = (
    "These are the numbers of one dataset on one machine. A small loss on average can hide a "
    "large one on rare classes or unusual inputs: score the file on your data before you rely on "
    "it."
)
UNLABELLED = (
    "Without labels, agreement with the original says how similar the two models are, and not how "
    "accurate either is."
)
MADE_UP = (
    "There were no samples: agreement was measured on random inputs, which are unlike real ones, "
    "and there was no weight reconstruction."
)
UNSCORED = "The file was not scored: there were no samples."


def card(outcome: Outcome) -> str:
    """Markdown, with the front matter that model hubs read; no name of a stranger's is in that."""
    compressed = outcome.compressed
    return render(
        "card.md.jinja",
        outcome=outcome,
        kinds=_kinds(outcome),
        work=_work(outcome),
        sentences=(
            quality_sentence(compressed.quality) if compressed.quality else "",
            uncounted_sentence(compressed.profile.uncounted_ops),
        ),
        code=render("inference.py.jinja", outcome=outcome).rstrip(),
        limits=tuple(_limits(outcome)),
        command=one_line(outcome.command),
    )


def _work(outcome: Outcome) -> str:
    done = [name for name in ("pruning", "quantization") if name in _kinds(outcome)]
    if not done:
        return "changing no layer"
    fine = "with" if outcome.not_reconstructed is None else "without"
    return f"{' and '.join(done)}, without training and {fine} weight reconstruction"


def _kinds(outcome: Outcome) -> list[str]:
    """What was done to any layer."""
    layers, kinds = outcome.plan.layers, []
    if any(layer.kept < layer.channels or layer.sparsity for layer in layers):
        kinds.append("pruning")
    if any(layer.weight_bits < 32 and not layer.closed for layer in layers):
        kinds.append("quantization")
    return kinds


def quality_sentence(quality: Quality) -> str:
    """The quality with its interval, its samples and the test against the original."""
    low, high = format_quality(quality, quality.low), format_quality(quality, quality.high)
    told = (
        f"{METRICS[quality.metric].title} {format_quality(quality)} on "
        f"{counted_samples(quality.samples)} (95 % interval {interval(low, high)})"
    )
    if quality.reference_value is not None:
        told += f"; original: {format_quality(quality, quality.reference_value)}"
    if quality.p_value is not None:
        told += f"; McNemar's test between the two: p = {quality.p_value:.2g}"
    return f"{told}."


def _limits(outcome: Outcome) -> Iterator[str]:
    quality = outcome.compressed.quality
    if outcome.is_made_up:
        yield MADE_UP
    elif quality is None:
        yield UNSCORED
    else:
        yield LABELLED if METRICS[quality.metric].is_labelled else UNLABELLED
    if outcome.not_reconstructed and not outcome.is_made_up:
        yield f"Without weight reconstruction: {outcome.not_reconstructed}."
    yield from outcome.remarks
