"""Two results side by side, as HTML: what was asked, what came out, and where layers differ.

Names are anybody's, so all are escaped. No Streamlit here.
"""

from collections.abc import Iterator, Sequence
from dataclasses import fields
from html import escape
from typing import Any

from explorer.metrics import METRICS
from explorer.recipe import LayerChoice, Recipe
from explorer.render.cards import NOT_MEASURABLE, SAME, UNKNOWN, relative, size_cells
from explorer.render.labels import NUMBERS, RECIPE, VALUES, precision
from explorer.render.text import format_seconds
from explorer.render.words import choice_in_words, percent
from explorer.ui.tried import Kept, Result, latency_text, quality_text

Row = tuple[str, str, str, str]  # what, one, the other, the difference

SIZES = ("file_bytes", "gzip_bytes", "packed_bytes", "params", "macs", "peak_activation_bytes")
SAME_SETTINGS = "Both runs have the same setting."
SAME_LAYERS = "No layer differs in channels, sparsity or bits."


def settings_html(one: Result, other: Result) -> str:
    """What was asked differently."""
    rows = list(_settings(one.recipe, other.recipe))
    return _table("Setting", one, other, rows) if rows else f"<p>{SAME_SETTINGS}</p>"


def numbers_html(one: Result, other: Result) -> str:
    """All sizes, time and quality, with what the second has more or less."""
    sizes = size_cells(SIZES, one.profile, other.profile)
    rows = [(NUMBERS[key], *cells) for key, cells in sizes.items()]
    return _table("Quantity", one, other, [*rows, *_measured(one, other)])


def layers_html(one: Result, other: Result) -> str:
    """The layers that differ in channels, sparsity or bits."""
    rows = list(_layers(one.layers, other.layers))
    return _table("Layer", one, other, rows) if rows else f"<p>{SAME_LAYERS}</p>"


def _table(head: str, one: Result, other: Result, rows: Sequence[Row]) -> str:
    """The column of differences only where there are any."""
    count = 4 if any(row[-1] for row in rows) else 3
    heads = (head, one.name or one.setting, other.name or other.setting, "Difference")[:count]
    titles = "".join(f'<th scope="col">{escape(text)}</th>' for text in heads)
    lines = "".join(
        f'<tr><th scope="row">{escape(what)}</th>'
        f"{''.join(f'<td>{escape(cell)}</td>' for cell in cells[: count - 1])}</tr>"
        for what, *cells in rows
    )
    return (
        f'<div class="ce-scroll" tabindex="0" role="region" aria-label="{escape(head)} compared">'
        f'<table class="ce-compare"><thead><tr>{titles}</tr></thead><tbody>{lines}</tbody></table>'
        "</div>"
    )


def _settings(one: Recipe, other: Recipe) -> Iterator[Row]:
    for field in fields(Recipe):
        values = [getattr(recipe, field.name) for recipe in (one, other)]
        if values[0] != values[1]:
            before, after = (_value(field.name, value) for value in values)
            yield RECIPE[field.name], before, after, ""


def _value(name: str, value: Any) -> str:
    if name == "layers":
        choices: tuple[LayerChoice, ...] = value
        return "; ".join(map(choice_in_words, choices)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{percent(value)} %" if name == "ratio" else VALUES.get(name, {}).get(value, str(value))


def _measured(one: Result, other: Result) -> Iterator[Row]:
    """Times were taken beside the original's, so only their ratios to it can be compared."""
    times = [format_seconds(each.latency.min_s) if each.latency else UNKNOWN
             for each in (one, other)]  # fmt: skip
    yield NUMBERS["latency"], times[0], times[1], ""
    ratios = [latency_text(each.latency) for each in (one, other)]
    yield NUMBERS["latency_ratio"], ratios[0], ratios[1], _faster(one, other)
    if one.quality or other.quality:
        metric = METRICS[(one.quality or other.quality).metric].title  # type: ignore[union-attr]
        cells = [quality_text(each.quality) if each.quality else UNKNOWN for each in (one, other)]
        yield metric, cells[0], cells[1], _gained(one, other)


def _faster(one: Result, other: Result) -> str:
    """The change, where the intervals lie apart."""
    if one.latency is None or other.latency is None:
        return UNKNOWN
    low, high = sorted([one.latency, other.latency], key=lambda each: each.ratio)
    if low.ratio_high >= high.ratio_low:
        return NOT_MEASURABLE
    return relative(one.latency.ratio, other.latency.ratio)


def _gained(one: Result, other: Result) -> str:
    if one.quality is None or other.quality is None or one.quality.metric != other.quality.metric:
        return UNKNOWN
    change = other.quality.value - one.quality.value
    if change == 0:
        return SAME
    return METRICS[one.quality.metric].change_text(change)


def _layers(one: Sequence[Kept], other: Sequence[Kept]) -> Iterator[Row]:
    others = {layer.name: layer for layer in other}
    for layer in one:
        against = others.get(layer.name)
        if against is None or layer.closed:
            continue
        before, after = _layer(layer), _layer(against)
        if before != after:
            is_even = layer.channels == against.channels
            change = "" if is_even else f"{relative(layer.channels, against.channels)} channels"
            yield layer.name, before, after, change


def _layer(layer: Kept) -> str:
    bits = "" if layer.weight_bits is None else f", {precision(layer.weight_bits)}"
    sparsity = f", {percent(layer.sparsity)} % sparsity" if layer.sparsity else ""
    return f"{layer.channels} channels{sparsity}{bits}"
