"""A model card: what the file is, what was done to it, what it costs, and how to run it."""

from collections.abc import Iterator

from explorer.digits import interval
from explorer.exports.markdown import escaped, fenced, one_line, table
from explorer.exports.outcome import Number, Outcome
from explorer.metrics import METRICS
from explorer.render.labels import LAYER_COLUMNS, REPRODUCE
from explorer.render.text import (
    command_line,
    counted_samples,
    format_quality,
    uncounted_sentence,
)
from explorer.report import LayerPlan, Quality

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
INHERITED = (
    "The errors of the original, and the limits of its licence and its training data, apply to "
    "this file too."
)
SOURCE = "source"  # the head of the column that says where a number comes from
COLUMNS = ("layer", "op", "channels", "kept", "zeros", "bits", "storage", "why")
KINDS = {
    "measured": "measured on this file",
    "computed": "computed from this file",
    "estimated": "estimated from the plan",
    "first": "measured on the first samples",
    "noisy": "measured, but the machine was busy",
    "made_up": "measured, on random inputs",
}


def card(outcome: Outcome) -> str:
    """Markdown, with the front matter that model hubs read."""
    return "\n\n".join(_parts(outcome)) + "\n"


def _parts(outcome: Outcome) -> Iterator[str]:
    original, small = outcome.original, outcome.compressed
    yield _front_matter(outcome)
    yield f"# {escaped(outcome.title)}, compressed"
    yield (
        f"An ONNX network made from {escaped(outcome.title)} by {_work(outcome)}: "
        f"**{escaped(outcome.setting)}**. Made with the compression explorer on {outcome.day}."
    )
    yield f"- original: `{original.model_id}` (SHA-256)\n- this file: `{small.model_id}`"
    yield "## Numbers"
    head = ("", "original", "this file", "difference", "interval", SOURCE)
    yield table(head, [_number_row(number) for number in outcome.numbers])
    yield "\n".join(f"- {sentence}" for sentence in _measured(outcome))
    yield "## How to run it"
    yield _running(outcome)
    yield "## Limits"
    yield "\n".join(f"- {escaped(sentence)}" for sentence in _limits(outcome))
    yield "## Layers"
    yield _layers(outcome)
    yield f"## {REPRODUCE}"
    line = command_line(outcome.recipe, *_names(outcome), outcome.metric, outcome.input_sizes)
    if "--recipe" in line:
        yield "With this recipe as `recipe.json`:"
        yield fenced(outcome.recipe.to_json(), "json")
    yield fenced(one_line(line), "shell")


def _front_matter(outcome: Outcome) -> str:
    """Of our own words alone: no name of a stranger's gets into YAML."""
    tags = ["onnx", "model-compression", *_kinds(outcome)]
    return "\n".join(["---", "library_name: onnx", "tags:", *[f"- {tag}" for tag in tags], "---"])


def _work(outcome: Outcome) -> str:
    done = [name for name in ("pruning", "quantization") if name in _kinds(outcome)]
    if not done:
        return "changing no layer"
    fine = "with" if outcome.not_compensated is None else "without"
    return f"{' and '.join(done)}, without training and {fine} weight reconstruction"


def _kinds(outcome: Outcome) -> list[str]:
    """What was done to any layer."""
    layers, kinds = outcome.plan.layers, []
    if any(layer.kept < layer.channels or layer.sparsity for layer in layers):
        kinds.append("pruning")
    if any(layer.weight_bits < 32 and not layer.closed for layer in layers):
        kinds.append("quantization")
    return kinds


def _number_row(number: Number) -> tuple[str, ...]:
    return (
        number.title,
        number.original,
        number.value,
        number.difference,
        number.interval,
        KINDS.get(number.kind, number.kind),
    )


def _measured(outcome: Outcome) -> Iterator[str]:
    for number in outcome.numbers:
        yield f"{escaped(number.title)}: {escaped(number.meaning)}"
    if outcome.clock:
        yield escaped(outcome.clock)
    if outcome.machine:
        yield f"Machine: {escaped(outcome.machine)}."
    if outcome.compressed.quality is not None:
        yield escaped(quality_sentence(outcome.compressed.quality))
    uncounted = outcome.compressed.profile.uncounted_ops
    if uncounted:
        yield escaped(uncounted_sentence(uncounted))


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


def _running(outcome: Outcome) -> str:
    """Code for ONNX Runtime, with what this file needs."""
    option = ['options.add_session_config_entry("session.disable_quant_qdq", "1")']
    option = option if outcome.is_weight_only else []
    feed = ", ".join(f"{name!r}: ..." for name, _, _ in outcome.inputs)
    file = f"{outcome.stem}_compressed.onnx"
    lines = [
        "import onnxruntime",
        "",
        "options = onnxruntime.SessionOptions()",
        *option,
        f"session = onnxruntime.InferenceSession({file!r}, options)",
        *[
            f"# {name!r}: {one_line(dtype)}, {one_line(shape)}"
            for name, dtype, shape in outcome.inputs
        ],
        f"outputs = session.run(None, {{{feed}}})",
    ]
    return "\n\n".join([*map(escaped, outcome.advice), fenced("\n".join(lines), "python")])


def _layers(outcome: Outcome) -> str:
    head = tuple(LAYER_COLUMNS[key] for key in COLUMNS)
    return table(head, [_layer_row(layer) for layer in outcome.plan.layers])


def _layer_row(layer: LayerPlan) -> tuple[str, ...]:
    return (
        layer.name,
        layer.op,
        str(layer.channels),
        str(layer.kept),
        f"{100 * layer.sparsity:.0f} %",
        str(layer.weight_bits),
        layer.storage,
        layer.skipped or layer.unprunable or "",
    )


def _limits(outcome: Outcome) -> Iterator[str]:
    quality = outcome.compressed.quality
    if outcome.is_made_up:
        yield MADE_UP
    elif quality is None:
        yield UNSCORED
    else:
        yield LABELLED if METRICS[quality.metric].is_labelled else UNLABELLED
    if outcome.not_compensated and not outcome.is_made_up:
        yield f"Without weight reconstruction: {outcome.not_compensated}."
    yield from outcome.remarks
    yield INHERITED


def _names(outcome: Outcome) -> tuple[str, str | None, str | None]:
    files = outcome.files
    return files.model, files.data, files.calibration
