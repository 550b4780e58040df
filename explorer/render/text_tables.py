"""Reports, plans and findings as tables of plain text."""

from collections.abc import Sequence

from explorer.digits import MINUS, fixed, interval, signed
from explorer.findings import Sensitivity, Spent
from explorer.metrics import METRICS
from explorer.render.explain import few, group_sentences
from explorer.render.labels import LAYER_COLUMNS, NUMBERS, precision
from explorer.render.text import (
    METRIC_NAMES,
    counted_samples,
    doubt_text,
    format_bytes,
    format_count,
    format_quality,
    format_ratio,
    format_seconds,
    format_sizes,
    spent_sentence,
)
from explorer.report import Latency, Plan, Profile, Quality, Report
from explorer.storage_types import element_name

NOTES = "  of which exporter metadata"
NOTHING_TO_COMPRESS = "No layer of this network can be quantized, and no channel removed."


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
            element_name(layer.storage),
            few(layer.shrinks_with),
            layer.constraint,
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


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    ]
    return "\n".join(line.rstrip() for line in lines)
