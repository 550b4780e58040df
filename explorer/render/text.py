"""Numbers and reports as plain text, the same in the shell and on the page."""

import shlex
from collections.abc import Mapping, Sequence

from explorer.description import Host, Relabelling
from explorer.digits import MINUS, fixed, interval, signed, three_digits
from explorer.findings import Sensitivity, Spent
from explorer.metrics import METRICS
from explorer.names import cleaned
from explorer.reasons import Uncounted
from explorer.recipe import Recipe
from explorer.render.explain import few, group_sentences
from explorer.render.labels import LAYER_COLUMNS, NUMBERS, precision
from explorer.report import Latency, Plan, Profile, Quality, Report

METRIC_NAMES = {name: metric.noun for name, metric in METRICS.items()}
MOVES_SHOWN = 4
INPUTS_SHOWN = 4
NOT_RELIABLE = "not reliable"
AIM_NAMES = {"size": "the file size", "macs": "the MACs", "time": "the latency"}
WENT_BACK = "Reverted to the previous setting."
NOTES = "  of which exporter metadata"
NOTHING_TO_COMPRESS = "No layer of this network can be quantized, and no channel removed."
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
    return f"{NOT_RELIABLE}: the machine was busy, and no quiet moment came"


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


def report_table(reports: Sequence[Report]) -> str:
    """Reports side by side, one quantity a line."""
    return _aligned(report_rows(reports))


def report_rows(reports: Sequence[Report]) -> list[list[str]]:
    """The cells of `report_table`; the first row has the names, the first column the quantities."""
    rows = [["", *[report.name for report in reports]]]
    rows += [
        [label, *[text(report.profile) for report in reports]]
        for label, text in _PROFILE_ROWS
        if label != NOTES or any(report.profile.annotation_bytes for report in reports)
    ]
    rows.append(["input sizes", *[format_sizes(report.profile.input_sizes) for report in reports]])
    if any(report.profile.uncounted_ops for report in reports):
        texts = [", ".join(report.profile.uncounted_ops) or "none" for report in reports]
        rows.append(["operators not in the MACs", *texts])
    if any(report.latency for report in reports):
        rows.append(
            ["latency, fastest run", *[_latency_cell(report.latency) for report in reports]]
        )
    for report in reports:
        if report.quality is not None:
            name = METRIC_NAMES[report.quality.metric]
            rows.append([f"{name}, measured", *[_quality_cell(r.quality) for r in reports]])
            break
    return rows


def plan_table(plan: Plan) -> str:
    """What happens to each layer, one a line, and below it why layers are coupled."""
    ties = "\n".join(group_sentences(plan.groups))
    return "\n\n".join(part for part in (_aligned(plan_rows(plan)), plan.others, ties) if part)


def plan_rows(plan: Plan) -> list[list[str]]:
    """The cells of `plan_table`; the first row says what stands in each column."""
    return [[*LAYER_COLUMNS.values()]] + [
        [
            layer.name,
            layer.op,
            str(layer.channels),
            str(layer.removable),
            str(layer.kept),
            f"{100 * layer.sparsity:.0f} %",
            str(layer.weight_bits),
            layer.storage,
            few(layer.shrinks_with),
            layer.skipped or layer.unprunable or "",
        ]
        for layer in plan.layers
    ]


def sensitivity_table(report: Report, found: Sequence[Sensitivity]) -> str:
    """What each place costs alone: groups by ratio, layers by bits, one place a line.

    All that was `found` has the same metric.
    """
    tables = [f"{report.name}: change of {_quality_name(report)} when only one place is compressed"]
    tables.append(f"input sizes: {format_sizes(report.profile.input_sizes)}")
    for setting, text in (("ratio", "{:.0%} pruned".format), ("weight_bits", precision)):
        own = [each for each in found if getattr(each.probe, setting) is not None]
        values = list(dict.fromkeys(getattr(each.probe, setting) for each in own))
        rows = [["", *[text(value) for value in values]]]
        for place in dict.fromkeys(each.probe.place for each in own):
            cells = {getattr(e.probe, setting): e.quality for e in own if e.probe.place == place}
            rows.append([place, *[_change(cells.get(value)) for value in values]])
        if own:
            tables.append(_aligned(rows))
    return "\n\n".join(tables if found else [*tables, NOTHING_TO_COMPRESS])


def spent_table(spent: Spent) -> str:
    """The result of an accuracy budget: a sentence, and a line for each override of the recipe."""
    rows = [["", "channels pruned", "weights"]]
    shared = spent.recipe.ratio
    if shared:
        rows.append(["global ratio", f"{100 * shared:.0f} %", ""])
    for choice in spent.recipe.layers:
        ratio, bits = choice.ratio, choice.weight_bits
        pruned = "" if ratio is None else f"{100 * ratio:.0f} %"
        rows.append([choice.name, pruned, "" if bits is None else precision(bits)])
    table = f"\n\n{_aligned(rows)}" if len(rows) > 1 else ""
    return f"{spent_sentence(spent)}{table}"


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
        return f"Saves none of {what} for {_price(spent.points, metric)}, {scored}."
    latency, saved = spent.latency, f"Saves {fixed(100 * spent.saved)} % of {what}"
    if latency is not None and not latency.changed:
        saved = f"No measurable change of {what}"
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


def _quality_name(report: Report) -> str:
    return METRIC_NAMES[report.quality.metric] if report.quality is not None else "quality"


def _change(quality: Quality | None) -> str:
    if quality is None:
        return ""
    change, metric = quality.value - (quality.reference_value or 0.0), quality.metric
    if metric == "snr_db":
        return f"{fixed(change, 1)} dB"
    if METRICS[metric].is_share:
        return signed(100 * change, 2)
    return f"{change:+.3g}".replace("-", MINUS)


def _label(number: str) -> str:
    """As a line of a table begins: file size."""
    return NUMBERS[number][:1].lower() + NUMBERS[number][1:]


def _optional(value: int | None, text: str) -> str:
    return "not known" if value is None else text


def _nonzero(profile: Profile) -> str:
    return _optional(profile.nonzero_params, format_count(profile.nonzero_params or 0))


def _gzip(profile: Profile) -> str:
    return _optional(profile.gzip_bytes, format_bytes(profile.gzip_bytes or 0))


_PROFILE_ROWS = (
    ("parameters", lambda p: format_count(p.params)),
    ("  nonzero", _nonzero),
    ("MACs (FLOPs = 2 x MACs)", lambda p: format_count(p.macs)),
    (_label("file_bytes"), lambda p: format_bytes(p.file_bytes)),
    (NOTES, lambda p: format_bytes(p.annotation_bytes)),
    (_label("gzip_bytes"), _gzip),
    (_label("packed_bytes"), lambda p: format_bytes(p.packed_bytes)),
    (_label("peak_activation_bytes"), lambda p: format_bytes(p.peak_activation_bytes)),
)


def _latency_cell(latency: Latency | None) -> str:
    if latency is None:
        return ""
    doubt, seconds = doubt_text(latency), format_seconds(latency.min_s)
    times = [seconds] if latency.reference_median_s is None else [seconds, format_ratio(latency)]
    return ", ".join([*times, doubt] if doubt else times)


def _quality_cell(quality: Quality | None) -> str:
    if quality is None:
        return ""
    low, high = (format_quality(quality, value) for value in (quality.low, quality.high))
    samples = counted_samples(quality.samples)
    return f"{format_quality(quality)} ({interval(low, high)}, {samples})"


def counted_samples(count: int) -> str:
    """1 sample, or 2,000 samples."""
    return "1 sample" if count == 1 else f"{count:,} samples"


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    ]
    return "\n".join(line.rstrip() for line in lines)


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
    default = Recipe()
    beyond_flags = ("layers", "granularity", "group_size")
    if any(getattr(recipe, name) != getattr(default, name) for name in beyond_flags):
        words += ["--recipe", "recipe.json"]
    else:
        for name in FLAG_NAMES:
            is_idle = name == "ratio" and not recipe.prunes_by_ratio
            if getattr(recipe, name) != getattr(default, name) and not is_idle:
                words += [f"--{name.replace('_', '-')}", str(getattr(recipe, name))]
        if recipe.widths:
            words.append("--widths")
        if not recipe.compensate:
            words.append("--no-compensate")
        if recipe.keep_metadata:
            words.append("--keep-metadata")
        if recipe.short_names:
            words.append("--short-names")
    for name, shape in (input_sizes or {}).items():
        words += ["--input-size", f"{name}={','.join(map(str, shape))}"]
    if calibration:
        words += ["--calibration", calibration]
    if data:
        words += ["--data", data, *(["--metric", metric] if metric else [])]
    return shlex.join([*words, "--latency"])
