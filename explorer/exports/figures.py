"""The report's charts as SVG, coloured by its style sheet."""

import math
from collections.abc import Iterator, Sequence

from explorer.exports.markup import Markup, joined, tag
from explorer.exports.outcome import Outcome, Point
from explorer.fronts import REACH, front_line, quality_range
from explorer.metrics import DECIBELS, PERCENT, PLAIN
from explorer.render.axes import Scale, cost_text, quality_text, scale, ticks
from explorer.render.labels import NUMBERS, precision
from explorer.render.text import NOT_RELIABLE, format_bytes, format_count
from explorer.report import LayerPlan
from explorer.storage_types import BY_WIDTH

COST_TITLES = {
    "file_bytes": NUMBERS["file_bytes"],
    "macs": NUMBERS["macs"],
    "latency": f"{NUMBERS['latency_ratio']} (compressed / original)",
}
WIDTH, HEIGHT = 360, 250
LEFT, RIGHT, TOP, BOTTOM = 50, 12, 12, 26
FEW_X, FEW_Y = 4, 5  # ticks
LEAST_ROOM = {PERCENT: 0.005, DECIBELS: 1.0, PLAIN: 0.0}  # around qualities, that a chart shows
STRIP_HEIGHT, PITCH, BODY, LEAST = 150, 100, 82, 0.14  # of the chart of layers
LEVELS = tuple(kind.bits for kind in BY_WIDTH)  # bits with a shade of their own


def tradeoff(outcome: Outcome, cost: str) -> Markup | None:
    """Quality against one cost for every run; None where no point has that cost."""
    known = [
        (value, point) for point in outcome.points if (value := point.costs.get(cost)) is not None
    ]
    if not known:
        return None
    x, y, axes = _axes(cost, outcome, known)
    places = [(value, point.quality) for value, point in known]
    end = REACH * max(value for value, _ in known)
    parts = [*axes, _front(front_line(places, end, outcome.falls), x, y)]
    for value, point in sorted(known, key=lambda each: each[1].is_current):
        parts.append(_point(point, cost, value, x, y))
    label = f"{COST_TITLES[cost]} and quality of {len(known)} runs; the table below lists them."
    return tag(
        "svg",
        *parts,
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        role="img",
        aria_label=label,
        class_="chart",
    )


def _axes(
    cost: str, outcome: Outcome, known: Sequence[tuple[float, Point]]
) -> tuple[Scale, Scale, list[Markup]]:
    shown = [v for _, p in known for v in (p.quality, p.low, p.high) if v is not None]
    low, high = quality_range(shown, outcome.unit, LEAST_ROOM[outcome.unit], outcome.falls)
    most = REACH * max(value for value, _ in known) or 1.0
    x = scale(0, most, LEFT, WIDTH - RIGHT)
    ends = (TOP, HEIGHT - BOTTOM) if outcome.falls else (HEIGHT - BOTTOM, TOP)
    y = scale(low, high, *ends)  # better is up
    parts = []
    for value in ticks(0, most, FEW_X):
        at = {"x": _n(x(value)), "y": HEIGHT - 8, "class_": "tick middle"}
        parts.append(tag("text", cost_text(cost, value), **at))
    for value in ticks(low, high, FEW_Y):
        line = {"x1": LEFT, "x2": WIDTH - RIGHT, "y1": _n(y(value)), "y2": _n(y(value))}
        at = {"x": LEFT - 6, "y": _n(y(value) + 4), "class_": "tick end"}
        parts += [
            tag("line", **line, class_="grid"),
            tag("text", quality_text(outcome.unit, value), **at),
        ]
    return x, y, parts


def _front(front: Sequence[tuple[float, float]], x: Scale, y: Scale) -> Markup:
    """As steps: each run of the front holds up to the next better one."""
    path = [f"M{_n(x(front[0][0]))},{_n(y(front[0][1]))}"]
    path += [f"H{_n(x(cost))}V{_n(y(quality))}" for cost, quality in front[1:]]
    return tag("path", d="".join(path), class_="front")


def _point(point: Point, cost: str, value: float, x: Scale, y: Scale) -> Markup:
    kind = "current" if point.is_current else "original" if point.is_original else "tried"
    at, up = _n(x(value)), _n(y(point.quality))
    is_unsure = cost == "latency" and not point.is_reliable
    doubt = f", {NOT_RELIABLE}" if is_unsure else ""
    parts = [tag("title", f"{point.label}: {point.text}, {cost_text(cost, value)}{doubt}")]
    if point.low is not None and point.high is not None:
        ends = {"y1": _n(y(point.low)), "y2": _n(y(point.high))}
        parts.append(tag("line", x1=at, x2=at, **ends, class_="interval"))
    if point.is_original:
        parts.append(tag("path", d=_star(x(value), y(point.quality), 8), class_="mark"))
    else:
        parts.append(tag("circle", cx=at, cy=up, r=6 if point.is_current else 4, class_="mark"))
    return tag("g", *parts, class_=f"point {kind}{' unsure' if is_unsure else ''}")


def _star(x: float, y: float, size: float) -> str:
    corners = []
    for at in range(10):
        radius, angle = size * (0.42 if at % 2 else 1.0), math.pi * (at - 2.5) / 5
        corners.append(f"{_n(x + radius * math.cos(angle))},{_n(y + radius * math.sin(angle))}")
    return f"M{'L'.join(corners)}Z"


def strip(layers: Sequence[LayerPlan]) -> Markup:
    """A column for each layer: as high as the root of its channels, filled as far as they stay.

    It is as wide as its place, whatever the number of layers; so there is no text in it.
    """
    most = max(layer.channels for layer in layers)
    columns = [_column(layer, at * PITCH, most) for at, layer in enumerate(layers)]
    line = tag("rect", width=PITCH, height=2, class_="stripe")
    zeros = tag("pattern", line, id="zeros", width=PITCH, height=5, patternUnits="userSpaceOnUse")
    return tag(
        "svg",
        tag("defs", zeros),
        *columns,
        viewBox=f"0 0 {PITCH * len(layers) - PITCH + BODY} {STRIP_HEIGHT}",
        preserveAspectRatio="none",
        role="img",
        aria_label=f"Channels and precision of {len(layers)} layers; the table below lists them.",
        class_="strip",
    )


def _column(layer: LayerPlan, left: int, most: int) -> Markup:
    height = (STRIP_HEIGHT - 2) * max(LEAST, math.sqrt(layer.channels / most))  # as on the page
    kept = height * layer.kept / layer.channels
    parts = list(_bars(left, height, kept, layer))
    return tag("g", tag("title", layer_text(layer)), *parts)


def _bars(left: int, height: float, kept: float, layer: LayerPlan) -> Iterator[Markup]:
    bottom = STRIP_HEIGHT - 1
    for kind, tall in (("whole", height), (f"kept bits-{level(layer)}", kept)):
        yield tag("rect", **_box(left, bottom - tall, tall), class_=kind)
    if layer.sparsity:
        tall = kept * layer.sparsity
        yield tag("rect", **_box(left, bottom - tall, tall), fill="url(#zeros)")


def _box(left: int, top: float, tall: float) -> dict[str, object]:
    return {"x": left, "y": _n(top), "width": BODY, "height": _n(tall)}


def level(layer: LayerPlan) -> int:
    """Whose shade shows the layer's bits."""
    return next((each for each in LEVELS if layer.weight_bits <= each), LEVELS[-1])


def layer_text(layer: LayerPlan) -> str:
    """A layer in a line: `stem · Conv · 8 of 16 channels · INT8`."""
    whole = layer.kept == layer.channels
    channels = f"{layer.kept} channels" if whole else f"{layer.kept} of {layer.channels} channels"
    words = [layer.name, layer.op, channels, precision(layer.weight_bits)]
    if layer.sparsity:
        words.append(f"{100 * layer.sparsity:.0f} % sparsity")
    return " · ".join(words)


def costs_text(point: Point) -> tuple[str, str, str]:
    """File size, MACs and latency ratio of a run, for the table."""
    doubt = "" if point.is_reliable else f", {NOT_RELIABLE}"
    size, macs, latency = (point.costs.get(cost) for cost in COST_TITLES)
    return (
        "–" if size is None else format_bytes(size),
        "–" if macs is None else format_count(macs),
        "–" if latency is None else f"{latency:.2f}{doubt}",
    )


def legend(layers: Sequence[LayerPlan]) -> Markup:
    """What the shades and the heights of the strip mean."""
    items = [
        tag("span", tag("i", class_=f"swatch bits-{bits}"), precision(bits))
        for bits in reversed(LEVELS)
    ]
    zeros = tag("span", tag("i", class_="swatch striped"), "zeros")
    gone = tag("span", tag("i", class_="swatch hollow"), "pruned")
    most = max(layer.channels for layer in layers)
    scale = tag("span", f"height: √channels (max {most}); filled part: remaining channels")
    return tag("p", joined(*items), zeros, gone, scale, class_="legend", aria_hidden="true")


def _n(value: float) -> str:
    """A coordinate without needless digits."""
    return f"{value:.1f}".removesuffix(".0")
