"""Runs and their results as plotly figures: pure functions from plain values.

Colours, fonts and backgrounds not given here come from the theme that draws the figure. Every point
carries the key of its setting as `customdata`, so that a click can select it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from explorer.fronts import REACH, Estimate, front_line, quality_range, unbeaten
from explorer.render.axes import ticks
from explorer.render.charts import PALETTE, small_print
from explorer.render.labels import ORIGINAL, PARETO_FRONT, PATTERNS, QUANTIZATION_ONLY

# Each kind of run has its colour and its shape, whichever others there are.
LOOKS = {
    ORIGINAL: (PALETTE[6], "star"),
    PATTERNS["channel"]: (PALETTE[0], "circle"),
    PATTERNS["unstructured"]: (PALETTE[1], "square"),
    PATTERNS["block"]: (PALETTE[2], "diamond"),
    PATTERNS["2:4"]: (PALETTE[3], "triangle-up"),
    PATTERNS["4:8"]: (PALETTE[4], "triangle-down"),
    QUANTIZATION_ONLY: (PALETTE[5], "cross"),
}
OTHER = (PALETTE[7], "x")
FRONT = PALETTE[2]
CHOSEN = (PALETTE[7], PALETTE[8])  # the one looked at, the one beside it
SIZE, RING = 10, 20  # pixels
MARGIN = {"l": 8, "r": 12, "t": 8, "b": 8}
LEGEND = {"orientation": "h", "yanchor": "bottom", "y": 1.02, "x": 0, "title": {"text": ""}}
STILL = {"dragmode": False, "hovermode": "closest", "clickmode": "event+select"}
FEW = 4  # ticks
BAR, FAINT_BAR = 1.5, 0.8  # pixels of an interval


@dataclass(frozen=True)
class Axis:
    """A quantity: its `title` in plotly's markup, and how values and round ticks are written.

    `unit` is that of a quality, of which at least as much as `least` is shown around the values;
    of one that `falls`, less is better.
    """

    key: str
    title: str
    text: Callable[[float], str]
    tick: Callable[[float], str]
    unit: str = ""
    least: float = 0.0
    falls: bool = False


@dataclass(frozen=True)
class Mark:
    """One run; `name` and `label` are in plotly's markup, so what is anybody's is escaped.

    `values` and `intervals`, (low, high) each, are by the key of an axis; values on the axes that
    are `unsure` are not reliable, and drawn hollow.
    """

    key: str
    name: str
    label: str
    kind: str
    values: Mapping[str, float | None]
    intervals: Mapping[str, tuple[float, float]]
    unsure: frozenset[str] = frozenset()


def front_of(marks: Sequence[Mark], cost: Axis, quality: Axis) -> list[str]:
    """Keys of the runs that no other dominates beyond noise, the cheapest first."""
    known = drawable(marks, (cost, quality))
    runs = [(_estimate(mark, cost), _estimate(mark, quality)) for mark in known]
    kept = zip(known, runs, unbeaten(runs, quality.falls), strict=True)
    best = sorted((run[0].value, at) for at, (_, run, is_kept) in enumerate(kept) if is_kept)
    return [known[at].key for _, at in best]


def _estimate(mark: Mark, axis: Axis) -> Estimate:
    value = mark.values[axis.key]
    assert value is not None
    return Estimate.of(value, mark.intervals.get(axis.key))


def scatter(
    marks: Sequence[Mark], cost: Axis, quality: Axis, selected: Sequence[str] = ()
) -> go.Figure:
    """Cost across, quality up, all with their intervals, and the front as steps."""
    known = drawable(marks, (cost, quality))
    figure = go.Figure()
    ends = [_ends(known, axis) for axis in (cost, quality)]
    points = [_point(mark, cost, quality) for mark in known]
    best = front_line(points, REACH * ends[0][1], quality.falls)
    figure.add_trace(
        go.Scatter(
            x=[x for x, _ in best],
            y=[y for _, y in best],
            mode="lines",
            line={"shape": "hv", "width": 2, "color": FRONT},
            name=PARETO_FRONT,
            hoverinfo="skip",
        )
    )
    for kind, own in by_kind(known):
        figure.add_trace(_points(kind, own, cost, quality))
    for mark, colour in chosen(known, selected):
        figure.add_trace(_ring(mark, cost, quality, colour))
    named = [mark for mark in known if mark.name]
    x, y = ([mark.values[axis.key] for mark in named] for axis in (cost, quality))
    names = [f"{mark.name}<br> " for mark in named]  # clear of the point and its ring
    figure.add_trace(small_print(x, y, names, "top center"))
    figure.update_layout(margin=MARGIN, legend=LEGEND, **STILL)
    across, up = (0.0, REACH * ends[0][1]), _range(ends[1], quality)
    figure.update_xaxes(title=cost.title, fixedrange=True, **_scale(cost, *across))
    figure.update_yaxes(title=quality.title, fixedrange=True, **_scale(quality, *up))
    if quality.falls:
        figure.update_yaxes(range=up[::-1])  # better is up
    return figure


def _points(kind: str, marks: Sequence[Mark], cost: Axis, quality: Axis) -> go.Scatter:
    """The marks of one kind; hollow ones have a cost that is not reliable."""
    colour, symbol = LOOKS.get(kind, OTHER)
    symbols = [f"{symbol}-open" if cost.key in mark.unsure else symbol for mark in marks]
    return go.Scatter(
        **_places(marks, cost, quality),
        **_bars(marks, (cost, quality), colour, FAINT_BAR),
        mode="markers",
        cliponaxis=False,  # those at 100 % lie on the edge
        marker={"size": SIZE, "color": colour, "symbol": symbols, "opacity": 0.85},
        name=kind,
    )


def drawable(marks: Sequence[Mark], axes: Sequence[Axis]) -> list[Mark]:
    """Those with a value on every axis."""
    return [mark for mark in marks if all(mark.values.get(a.key) is not None for a in axes)]


def _point(mark: Mark, cost: Axis, quality: Axis) -> tuple[float, float]:
    x, y = mark.values[cost.key], mark.values[quality.key]
    assert x is not None
    assert y is not None
    return x, y


def by_kind(marks: Sequence[Mark]) -> list[tuple[str, list[Mark]]]:
    """Each kind that there is with its marks, in the order of `LOOKS`."""
    kinds = dict.fromkeys([*LOOKS, *(mark.kind for mark in marks)])
    found = [(kind, [mark for mark in marks if mark.kind == kind]) for kind in kinds]
    return [(kind, own) for kind, own in found if own]


def chosen(marks: Sequence[Mark], selected: Sequence[str]) -> list[tuple[Mark, str]]:
    """The selected ones, each with its colour."""
    by_key = {mark.key: mark for mark in marks}
    return [
        (by_key[key], colour)
        for key, colour in zip(selected, CHOSEN, strict=False)
        if key in by_key
    ]


def _places(marks: Sequence[Mark], cost: Axis, quality: Axis) -> dict[str, Any]:
    return {
        "x": [mark.values[cost.key] for mark in marks],
        "y": [mark.values[quality.key] for mark in marks],
        "customdata": [[mark.key] for mark in marks],
        "text": [mark.label for mark in marks],
        "hovertemplate": "%{text}<extra></extra>",
    }


def _ring(mark: Mark, cost: Axis, quality: Axis, colour: str) -> go.Scatter:
    return go.Scatter(
        **_places([mark], cost, quality),
        **_bars([mark], (cost, quality), colour, BAR),
        mode="markers",
        marker={"size": RING, "color": colour, "symbol": "circle-open", "line": {"width": 2.5}},
        showlegend=False,
    )


def _bars(
    marks: Sequence[Mark], axes: tuple[Axis, Axis], colour: str, thickness: float
) -> dict[str, Any]:
    """The intervals of marks on the axes on which any has one."""
    return {
        f"error_{side}": {
            "type": "data",
            "symmetric": False,
            "array": [each.high - each.value for each in estimates],
            "arrayminus": [each.value - each.low for each in estimates],
            "color": colour,
            "thickness": thickness,
            "width": 0,
        }
        for side, axis in zip("xy", axes, strict=True)
        if any(axis.key in mark.intervals for mark in marks)
        for estimates in [[_estimate(mark, axis) for mark in marks]]
    }


def span(marks: Sequence[Mark], axis: Axis) -> tuple[float, float]:
    """The least and the greatest value."""
    values = [value for mark in marks if (value := mark.values[axis.key]) is not None]
    return (min(values), max(values)) if values else (0.0, 0.0)


def _ends(marks: Sequence[Mark], axis: Axis) -> tuple[float, float]:
    """The least and the greatest value, with their intervals."""
    values = [*span(marks, axis)]
    for mark in marks:
        values += mark.intervals.get(axis.key, ())
    return min(values), max(values)


def _range(ends: tuple[float, float], quality: Axis) -> tuple[float, float]:
    return quality_range(ends, quality.unit, quality.least, quality.falls)


def _scale(axis: Axis, low: float, high: float) -> dict[str, Any]:
    shown = ticks(low, high, FEW)
    texts = [axis.tick(value) for value in shown]
    return {"range": [low, high], "tickvals": shown, "ticktext": texts, "zeroline": False}
