"""Numbers and reports as plain text, the same in the shell and on the page."""

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from explorer.description import Host, Relabelling
from explorer.digits import fixed, interval, three_digits
from explorer.findings import Spent
from explorer.metrics import METRICS
from explorer.names import cleaned
from explorer.reasons import Uncounted
from explorer.recipe import Recipe
from explorer.render.explain import few
from explorer.report import Latency, Quality

METRIC_NAMES = {name: metric.noun for name, metric in METRICS.items()}
MOVES_SHOWN = 4
INPUTS_SHOWN = 4
NOT_RELIABLE = "not reliable"
AIM_NAMES = {"size": "the file size", "macs": "the MACs", "time": "the latency"}
WENT_BACK = "Reverted to the previous setting."
# Fields of a recipe with a flag of their own in the shell.
FLAG_NAMES = (
    "pattern",
    "ratio",
    "scope",
    "criterion",
    "round_to",
    "weight_bits",
    "bits_scope",
    "activation_bits",
    "int8_range",
    "seed",
)


def format_bytes(size: float) -> str:
    """Decimal units, three significant digits: 356 kB, 1.42 MB."""
    return _scaled(size, ("B", "kB", "MB", "GB"))


def format_count(count: float) -> str:
    """Three significant digits: 77.8 k, 9.11 M."""
    return _scaled(count, ("", "k", "M", "G"))


def format_seconds(seconds: float) -> str:
    """Three significant digits: 152 µs, 1.30 ms."""
    for unit, scale in (("µs", 1e-6), ("ms", 1e-3)):
        digits = three_digits(seconds / scale)
        if float(digits) < 1000:  # as it is written, so that 999.7 µs are 1.00 ms
            return f"{digits} {unit}"
    return f"{three_digits(seconds)} s"


def format_quality(quality: Quality, value: float | None = None) -> str:
    """A percentage, decibels, or a bare number; of the measured value, or of another like it."""
    return METRICS[quality.metric].text(quality.value if value is None else value)


def format_shape(shape: Sequence[int | str]) -> str:
    """1 x 3 x 224 x 224."""
    return " x ".join(str(size) for size in shape) or "a number"


def format_sizes(sizes: Mapping[str, Sequence[int]]) -> str:
    """The shapes of the first few inputs, by name: image 1 x 3 x 224 x 224."""
    texts = [f"{cleaned(name)} {format_shape(shape)}" for name, shape in sizes.items()]
    more = len(texts) - INPUTS_SHOWN
    return ", ".join(texts[:INPUTS_SHOWN]) + (f" and {more} more" if more > 0 else "")


def machine_text(host: Host) -> str:
    """Where latency was measured: processor, threads and runtime."""
    return f"{host.cpu}, 1 thread, {host.runtime}"


def format_ratio(latency: Latency) -> str:
    """The ratio of two latencies with its interval, or that there is no difference."""
    ends = interval(fixed(latency.ratio_low, 2), fixed(latency.ratio_high, 2))
    if not latency.changed:
        return f"no measurable change ({ends})"
    return f"ratio {fixed(latency.ratio, 2)} ({ends})"


def doubt_text(latency: Latency) -> str:
    """Why a latency can't be trusted; empty where it can."""
    if latency.reliable:
        return ""
    if latency.quiet:
        return f"{NOT_RELIABLE}: the machine was busy"
    return f"{NOT_RELIABLE}: the machine stayed busy"


def _scaled(value: float, units: Sequence[str]) -> str:
    for power, unit in enumerate(units[:-1]):
        digits = three_digits(value / 1000**power) if power else f"{value:.0f}"
        if float(digits) < 1000:  # as it is written, so that 999,600 are 1.00 M
            return f"{digits} {unit}".strip()
    return f"{three_digits(value / 1000 ** (len(units) - 1))} {units[-1]}"


def uncounted_sentence(operators: Sequence[str]) -> str:
    """Which operators the MACs leave out, and why; empty where there are none."""
    uncounted = [Uncounted.from_text(text) for text in operators]
    unknown = [each.operator for each in uncounted if each.lacks_shape]
    others = [each.operator for each in uncounted if not each.lacks_shape]
    parts = []
    if others:
        parts.append(f"{', '.join(others)} (no formula is known)")
    if unknown:
        parts.append(f"{', '.join(unknown)} (a shape is only known when the graph runs)")
    return f"Not in the MACs: {'; '.join(parts)}." if parts else ""


def relabelling_sentence(found: Relabelling, classes: Sequence[str] = ()) -> str:
    """That labels seem to be in another order than the outputs.

    `classes` are the names of the labels, where they are known.
    """
    numbers, moved = found.numbers, found.moved

    def shown(label: int) -> str:
        return repr(classes[label]) if label < len(classes) else f"label {label}"

    moves = ", ".join(f"{shown(label)} as class {numbers[label]}" for label in moved[:MOVES_SHOWN])
    more = f" and {len(moved) - MOVES_SHOWN} more" if len(moved) > MOVES_SHOWN else ""
    return (
        f"The labels seem to be in another order than the model's outputs: it is right on "
        f"{100 * found.accuracy:.1f} % of the samples, and on {100 * found.reassigned:.1f} % "
        f"if {len(moved)} labels are renumbered ({moves}{more})."
    )


def spent_sentence(spent: Spent) -> str:
    """The result of a `Spent`: saves 71 % of the size for 0.8 pp of accuracy."""
    metric, what = spent.quality.metric, AIM_NAMES[spent.on]
    scored = f"measured on the {counted_samples(spent.quality.samples)} it was chosen on"
    if not spent.recipe.layers and not spent.recipe.ratio:
        return f"No recipe within {_price(spent.points, metric)} saves any of {what}, {scored}."
    latency, saved = spent.latency, f"Saves {fixed(100 * spent.saved)} % of {what}"
    if latency is not None and not latency.changed:
        saved = f"No measurable change in {what}"
    return f"{saved} for {_price(max(0.0, spent.lost), metric)}, {scored}."


def _price(points: float, metric: str) -> str:
    number = _short(points)
    if metric == "snr_db":
        return f"{number} % of output error"
    if METRICS[metric].falls:
        return f"{number} % more {METRIC_NAMES[metric]}"
    return f"{number} pp of {METRIC_NAMES[metric]}"


def _short(points: float) -> str:
    """Two significant digits, and none below a hundredth of a percentage point."""
    return f"{points:.0f}" if points >= 9.95 else f"{round(points, 4):.2g}"


def counted_samples(count: int) -> str:
    """1 sample, or 2,000 samples."""
    return "1 sample" if count == 1 else f"{count:,} samples"


def command_line(
    recipe: Recipe,
    model: str,
    data: str | None = None,
    calibration: str | None = None,
    metric: str | None = None,
    input_sizes: Mapping[str, Sequence[int]] | None = None,
) -> str:
    """The shell command that gives the same result as a recipe on a page, from the named files.

    `input_sizes` are those that were set.

    What flags can't say (choices for single layers, where scales lie) goes through `recipe.json`.
    A name that looks like a flag is led by the folder that it stands in.
    """
    model = f"./{model}" if model.startswith("-") else model
    words = ["python", "-m", "explorer", "compress", model, "--out", "compressed.onnx"]
    words += _recipe_flags(recipe)
    for name, shape in (input_sizes or {}).items():
        words += ["--input-size", f"{name}={','.join(map(str, shape))}"]
    if calibration:
        words += ["--calibration", calibration]
    if data:
        words += ["--data", data, *(["--metric", metric] if metric else [])]
    return shlex.join([*words, "--latency"])


def _recipe_flags(recipe: Recipe) -> list[str]:
    default = Recipe()
    beyond_flags = ("layers", "granularity", "group_size")
    if any(getattr(recipe, name) != getattr(default, name) for name in beyond_flags):
        return ["--recipe", "recipe.json"]
    flags: list[str] = []
    for name in FLAG_NAMES:
        is_idle = name == "ratio" and not recipe.prunes_by_ratio
        if getattr(recipe, name) != getattr(default, name) and not is_idle:
            flags += [f"--{name.replace('_', '-')}", str(getattr(recipe, name))]
    switches = {
        "--widths": recipe.widths,
        "--no-compensate": not recipe.compensate,
        "--keep-metadata": recipe.keep_metadata,
        "--short-names": recipe.short_names,
    }
    return [*flags, *(name for name, is_on in switches.items() if is_on)]


def kernels_text(original: Sequence[Mapping[str, Any]], small: Sequence[Mapping[str, Any]]) -> str:
    """How many products of a compressed file integer kernels run, and why not the others.

    Empty where none is. The rows are those of `measure.roofline.node_rows`.
    """
    run = {row["name"]: row["integer"] for row in small if row["integer"] is not None}
    integers = sum(run.values())
    if not integers:
        return ""
    weighted = {row["name"] for row in original if row["weighted"]}
    floats = [name for name, is_integer in run.items() if not is_integer]
    without = [name for name in floats if name not in weighted]
    others = [name for name in floats if name in weighted]
    told = f"Integer kernels run {integers} of {len(run)} products."
    if without:
        told += f" Products of two activations stay in FP32 ({len(without)}): they have no weights."
    if others:
        told += f" In FP32 although they have weights: {few(others)}."
    return told
