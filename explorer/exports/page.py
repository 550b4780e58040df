"""A report as one HTML file: no script, no server, nothing from anywhere else."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from explorer.exports import figures
from explorer.exports.card import KINDS, MADE_UP, SOURCE, quality_sentence
from explorer.exports.markup import Markup, block, joined, tag
from explorer.exports.outcome import COSTS, Number, Outcome, Point
from explorer.render.labels import (
    INSIGHTS,
    LAYER_COLUMNS,
    NUMBERS,
    PARETO_FRONT,
    RECIPE,
    REPRODUCE,
    RUNS,
    TRADE_OFF,
)
from explorer.render.text import command_line, uncounted_sentence
from explorer.report import LayerPlan

STYLE = Path(__file__).with_name("page.css").read_text(encoding="utf-8")
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
QUIET = "Nothing about these numbers is unexpected."
NO_POINTS = "There were no samples to score runs on, so there is no trade-off to show."
NUMBERS_HEAD = ("", "original", "compressed", "difference", "interval", SOURCE)
POINTS_HEAD = ("run", "quality", *(NUMBERS[key] for key in ("file_bytes", "macs", "latency_ratio")))
TEXT_COLUMNS = [LAYER_COLUMNS[key] for key in ("op", "storage", "why")]
LAYERS_HEAD = tuple(
    LAYER_COLUMNS[key] for key in ("layer", "op", "kept", "zeros", "bits", "storage", "why")
)
WORDS = frozenset({*TEXT_COLUMNS, SOURCE})  # columns of text

Row = tuple[str | None, tuple[object, ...]]  # class and cells; the first cell names the row


def page(outcome: Outcome) -> str:
    """The report; it prints, fits a phone, and follows the reader's light or dark."""
    head = joined(
        Markup('<meta charset="utf-8">'),
        Markup(f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'),
        Markup('<meta name="viewport" content="width=device-width, initial-scale=1">'),
        Markup('<link rel="icon" href="data:,">'),
        tag("title", f"{outcome.title}: {outcome.setting}"),
        tag("style", Markup(STYLE)),
    )
    body = tag("body", tag("main", *_sections(outcome)))
    return f"<!DOCTYPE html>\n{tag('html', tag('head', head), body, lang='en')}\n"


def _sections(outcome: Outcome) -> Iterator[Markup]:
    yield _header(outcome)
    yield tag("div", *map(_number, outcome.headlines), class_="numbers")
    yield tag("h2", INSIGHTS)
    yield tag("ul", *[tag("li", each) for each in outcome.remarks or (QUIET,)], class_="remarks")
    yield tag("h2", TRADE_OFF)
    yield from _tradeoff(outcome)
    yield tag("h2", "Layers")
    yield from _layers(outcome)
    yield tag("h2", "All numbers")
    yield _table("Numbers", NUMBERS_HEAD, [_number_row(each) for each in outcome.numbers])
    yield tag("dl", *_measured(outcome), style="margin-top: 1rem")
    yield tag("h2", REPRODUCE)
    yield from _again(outcome)


def _header(outcome: Outcome) -> Markup:
    bars = tag("span", tag("i"), tag("i"), tag("i"), class_="bars", aria_hidden="true")
    machine = f", measured on {outcome.machine}" if outcome.machine else ""
    return tag(
        "header",
        tag("div", bars, tag("span", "Compression explorer"), class_="brand"),
        tag("h1", outcome.title),
        tag("p", outcome.setting, class_="setting"),
        tag("p", f"{outcome.day}{machine}", class_="faint"),
    )


def _number(number: Number) -> Markup:
    """A headline number above a bar of what is left of the original."""
    is_plain = number.kind in ("measured", "computed")
    kind = "" if is_plain else KINDS.get(number.kind, number.kind)
    return tag(
        "section",
        tag("h3", number.title),
        tag("p", number.value, class_="value"),
        None if number.share is None else _bar(number.share, "left"),
        tag(
            "p",
            tag("span", "of ", number.original, class_="faint"),
            tag("span", number.difference, class_=number.tone),
            class_="pair",
        ),
        _pair(number.interval, kind),
        tag("p", number.note, class_="faint") if number.note else None,
        class_="number",
    )


def _pair(*words: str) -> Markup | None:
    shown = [tag("span", word, class_="faint") for word in words if word]
    return tag("p", *shown, class_="pair") if shown else None


def _bar(share: float, kind: str) -> Markup:
    """How much of a whole; more than the whole fills it."""
    width = f"{100 * min(1.0, max(0.0, share)):.1f}"
    full = tag("rect", width=100, height=6, class_="all")
    part = tag("rect", width=width, height=6, class_=kind)
    size = {"viewBox": "0 0 100 6", "preserveAspectRatio": "none"}
    return tag("svg", full, part, **size, class_="bar", aria_hidden="true")


def _tradeoff(outcome: Outcome) -> Iterator[Markup]:
    drawn = [
        tag("figure", tag("figcaption", figures.COST_TITLES[cost]), chart)
        for cost in COSTS
        if (chart := figures.tradeoff(outcome, cost)) is not None
    ]
    if not drawn:
        yield tag("p", NO_POINTS, class_="faint")
        return
    yield tag("div", *drawn, class_="charts")
    yield tag(
        "p",
        tag("span", tag("i", class_="swatch round now"), "this run"),
        tag("span", tag("i", class_="swatch round"), "other runs"),
        tag("span", "★ original"),
        tag("span", tag("i", class_="swatch front-line"), PARETO_FRONT),
        tag("span", "vertical lines: 95 % intervals"),
        class_="legend",
        aria_hidden="true",
    )
    yield _table(RUNS, POINTS_HEAD, [_point_row(each) for each in outcome.points])


def _point_row(point: Point) -> Row:
    kind = "current" if point.is_current else None
    return kind, (point.label, point.text, *figures.costs_text(point))


def _number_row(number: Number) -> Row:
    texts = (number.original, number.value, number.difference, number.interval)
    return None, (number.title, *texts, KINDS.get(number.kind, number.kind))


def _layers(outcome: Outcome) -> Iterator[Markup]:
    layers = outcome.plan.layers
    if not layers:
        return
    yield figures.strip(layers)
    yield figures.legend(layers)
    yield _table("Layers", LAYERS_HEAD, [(None, _layer_cells(layer)) for layer in layers])


def _layer_cells(layer: LayerPlan) -> tuple[object, ...]:
    kept = f"{layer.kept} of {layer.channels}"
    bar = _bar(layer.kept / layer.channels, f"kept bits-{figures.level(layer)}")
    return (
        layer.name,
        layer.op,
        joined(kept, bar),
        f"{100 * layer.sparsity:.0f} %" if layer.sparsity else "–",
        layer.weight_bits,
        layer.storage,
        layer.skipped or layer.unprunable or "",
    )


def _table(label: str, head: Sequence[str], rows: Sequence[Row]) -> Markup:
    """A table that is moved sideways by hand or key where it is too wide."""
    kinds = ["words" if name in WORDS else None for name in head]
    titles = [
        tag("th", name, scope="col", class_=kind) for name, kind in zip(head, kinds, strict=True)
    ]
    lines = []
    for row_kind, (first, *rest) in rows:
        cells = [tag("td", cell, class_=kind) for cell, kind in zip(rest, kinds[1:], strict=True)]
        lines.append(tag("tr", tag("th", first, scope="row"), *cells, class_=row_kind))
    table = tag("table", tag("thead", tag("tr", *titles)), tag("tbody", *lines))
    return tag("div", table, class_="scroller", role="region", tabindex="0", aria_label=label)


def _measured(outcome: Outcome) -> Iterator[Markup]:
    quality = outcome.compressed.quality
    told = [(number.title, number.meaning) for number in outcome.numbers]
    told.append(("Clock", outcome.clock))
    told.append(("Samples", MADE_UP if outcome.is_made_up else ""))
    told.append(("Score", quality_sentence(quality) if quality else ""))
    reason = outcome.not_compensated
    told.append((RECIPE["compensate"], f"Off: {reason}." if reason else ""))
    told.append(("MACs", uncounted_sentence(outcome.compressed.profile.uncounted_ops)))
    for name, text in told:
        if text:
            yield joined(tag("dt", name), tag("dd", text))


def _again(outcome: Outcome) -> Iterator[Markup]:
    for sentence in outcome.advice:
        yield tag("p", sentence, style="margin-bottom: 0.6rem; max-width: 75ch")
    files = outcome.files
    paths = (files.model, files.data, files.calibration)
    line = command_line(outcome.recipe, *paths, outcome.metric, outcome.input_sizes)
    recipe = json.dumps(json.loads(outcome.recipe.to_json()), indent=2)
    yield tag("p", "In a shell, in the folder of these files:", class_="faint")
    yield tag("pre", tag("code", block(line)))
    yield tag("p", "The recipe, as recipe.json:", class_="faint", style="margin-top: 1rem")
    yield tag("pre", tag("code", block(recipe)))
    ids = ((outcome.original, "original"), (outcome.compressed, "compressed"))
    names = [tag("span", f"{what}: SHA-256 {report.model_id}. ") for report, what in ids]
    yield tag("footer", tag("p", *names, class_="faint", style="overflow-wrap: anywhere"))
