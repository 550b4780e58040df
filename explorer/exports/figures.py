"""The report's charts as SVG, coloured by its style sheet."""

import math
from collections.abc import Iterator, Sequence

from explorer.exports.outcome import Outcome, Point
from explorer.fronts import REACH, front_line, quality_range
from explorer.metrics import DECIBELS, PERCENT, PLAIN
from explorer.render.axes import Scale, cost_text, quality_text, scale, ticks
from explorer.render.labels import NUMBERS
from explorer.render.templating import render
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


def tradeoff(outcome: Outcome, cost: str) -> str | None:
    """Quality against one cost for every run; None where no point has that cost."""
    known = [
        (value, point) for point in outcome.points if (value := point.costs.get(cost)) is not None
    ]
    if not known:
        return None
    qualities = [q for _, p in known for q in (p.quality, p.low, p.high) if q is not None]
    low, high = quality_range(qualities, outcome.unit, LEAST_ROOM[outcome.unit], outcome.falls)
    end = REACH * max(value for value, _ in known)
    most = end or 1.0
    x = scale(0, most, LEFT, WIDTH - RIGHT)
    ends = (TOP, HEIGHT - BOTTOM) if outcome.falls else (HEIGHT - BOTTOM, TOP)
    y = scale(low, high, *ends)  # better is up
    front = front_line([(value, point.quality) for value, point in known], end, outcome.falls)
    return render(
        "tradeoff.html.jinja",
        title=COST_TITLES[cost],
        width=WIDTH,
        height=HEIGHT,
        left=LEFT,
        right=WIDTH - RIGHT,
        columns=[(_n(x(value)), cost_text(cost, value)) for value in ticks(0, most, FEW_X)],
        rows=[
            (_n(y(value)), _n(y(value) + 4), quality_text(outcome.unit, value))
            for value in ticks(low, high, FEW_Y)
        ],
        front=_front(front, x, y),
        points=[
            _mark(point, cost, value, x, y)
            for value, point in sorted(known, key=lambda each: each[1].is_current)
        ],
    )


def _front(front: Sequence[tuple[float, float]], x: Scale, y: Scale) -> str:
    """As steps: each run of the front holds up to the next better one."""
    path = [f"M{_n(x(front[0][0]))},{_n(y(front[0][1]))}"]
    path += [f"H{_n(x(cost))}V{_n(y(quality))}" for cost, quality in front[1:]]
    return "".join(path)


def _mark(point: Point, cost: str, value: float, x: Scale, y: Scale) -> dict[str, object]:
    is_unsure = cost == "latency" and not point.is_reliable
    doubt = f", {NOT_RELIABLE}" if is_unsure else ""
    ends = [_n(y(end)) for end in (point.low, point.high) if end is not None]
    return {
        "kind": "current" if point.is_current else "original" if point.is_original else "tried",
        "is_unsure": is_unsure,
        "text": f"{point.label}: {point.text}, {cost_text(cost, value)}{doubt}",
        "x": _n(x(value)),
        "y": _n(y(point.quality)),
        "interval": ends if len(ends) == 2 else None,
        "star": _star(x(value), y(point.quality), 8) if point.is_original else None,
    }


def _star(x: float, y: float, size: float) -> str:
    corners = []
    for at in range(10):
        radius, angle = size * (0.42 if at % 2 else 1.0), math.pi * (at - 2.5) / 5
        corners.append(f"{_n(x + radius * math.cos(angle))},{_n(y + radius * math.sin(angle))}")
    return f"M{'L'.join(corners)}Z"


def strip(layers: Sequence[LayerPlan]) -> str:
    """A column for each layer: as high as the root of its channels, filled as far as they stay.

    It is as wide as its place, whatever the number of layers; so there is no text in it.
    """
    most = max(layer.channels for layer in layers)
    return render(
        "strip.html.jinja",
        width=PITCH * len(layers) - PITCH + BODY,
        height=STRIP_HEIGHT,
        pitch=PITCH,
        body=BODY,
        columns=[(each, tuple(_boxes(each, at * PITCH, most))) for at, each in enumerate(layers)],
    )


def _boxes(layer: LayerPlan, left: int, most: int) -> Iterator[dict[str, object]]:
    """All channels, those that remain, and the share of these that is zero."""
    height = (STRIP_HEIGHT - 2) * max(LEAST, math.sqrt(layer.channels / most))  # as on the page
    kept = height * layer.kept / layer.channels
    boxes = {"whole": height, f"kept bits-{level(layer)}": kept, "zeros": kept * layer.sparsity}
    for kind, tall in boxes.items():
        if kind != "zeros" or layer.sparsity:
            y = _n(STRIP_HEIGHT - 1 - tall)
            yield {"kind": kind, "x": left, "y": y, "height": _n(tall)}


def level(layer: LayerPlan) -> int:
    """Whose shade shows the layer's bits."""
    return next((each for each in LEVELS if layer.weight_bits <= each), LEVELS[-1])


def costs_text(point: Point) -> tuple[str, str, str]:
    """File size, MACs and latency ratio of a run, for the table."""
    doubt = "" if point.is_reliable else f", {NOT_RELIABLE}"
    size, macs, latency = (point.costs.get(cost) for cost in COST_TITLES)
    return (
        "–" if size is None else format_bytes(size),
        "–" if macs is None else format_count(macs),
        "–" if latency is None else f"{latency:.2f}{doubt}",
    )


def legend(layers: Sequence[LayerPlan]) -> str:
    """What the shades and the heights of the strip mean."""
    most = max(layer.channels for layer in layers)
    return render("legend.html.jinja", levels=LEVELS[::-1], most=most)


def _n(value: float) -> str:
    """A coordinate without needless digits."""
    return f"{value:.1f}".removesuffix(".0")
