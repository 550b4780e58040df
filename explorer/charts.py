"""Results as plotly figures: pure functions from plain values.

Colours, fonts and backgrounds not given here come from the theme that draws the figure.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

PALETTE = (
    "#3b7dd8",
    "#d9661f",
    "#12917b",
    "#c0559b",
    "#8a7a1f",
    "#7a6fd0",
    "#7d8590",
    "#c8483c",
    "#3a92b5",
    "#6d8f2f",
)
BLUE, ORANGE, GREEN, GREY = PALETTE[0], PALETTE[1], PALETTE[2], PALETTE[6]


@dataclass(frozen=True)
class Axis:
    """What an axis shows: `tick_format` in d3's notation, `suffix` after each tick."""

    title: str
    tick_format: str = "~s"
    suffix: str = ""


@dataclass(frozen=True)
class Point:
    """One setting: x costs, y is quality with its interval, `label` says what it is."""

    x: float
    y: float
    low: float
    high: float
    label: str
    key: str = ""


def pareto_front(points: Sequence[Point]) -> list[Point]:
    """The points that no other beats in both x (less is better) and y (more is better)."""
    front: list[Point] = []
    for point in sorted(points, key=lambda point: (point.x, -point.y)):
        if not front or point.y > front[-1].y:
            front.append(point)
    return front


def trade_off(
    original: Point | None, tried: Sequence[Point], current: Point | None, x: Axis, y: Axis
) -> go.Figure:
    """Quality against cost: a star for the original, a point for every setting, the front a line.

    Each point's `key` is its customdata, so that a click can tell which setting it was.
    """
    figure = go.Figure()
    front = pareto_front([point for point in (original, *tried, current) if point is not None])
    line = {"color": GREEN, "width": 2, "shape": "hv"}
    _add(figure, "Pareto front", front, mode="lines", line=line, hoverinfo="skip")
    _add(figure, "Tried", tried, marker={"color": BLUE, "size": 9, "opacity": 0.75})
    if current is not None:
        ring = {"color": ORANGE, "size": 14, "line": {"width": 2, "color": ORANGE}}
        _add(figure, "This setting", [current], marker=ring, error_y=_interval(current))
    star = {"symbol": "star", "color": GREY, "size": 16}
    if original is not None:
        _add(figure, "Original", [original], marker=star)
    _lay_out(figure, x, y)
    return figure


def _add(figure: go.Figure, name: str, points: Sequence[Point], **style: object) -> None:
    figure.add_trace(
        go.Scatter(
            name=name,
            x=[point.x for point in points],
            y=[point.y for point in points],
            customdata=[[point.key] for point in points],
            text=[point.label for point in points],
            **{"mode": "markers", "hovertemplate": "%{text}<extra></extra>", **style},
        )
    )


def _interval(point: Point) -> dict[str, object]:
    return {
        "type": "data",
        "symmetric": False,
        "array": [point.high - point.y],
        "arrayminus": [point.y - point.low],
        "thickness": 1.5,
        "width": 5,
        "color": ORANGE,
    }


def _lay_out(figure: go.Figure, x: Axis, y: Axis) -> None:
    figure.update_layout(
        margin={"l": 8, "r": 8, "t": 28, "b": 8},
        legend={
            "orientation": "h",
            "x": 0,
            "y": 1.02,
            "yanchor": "bottom",
            "itemsizing": "constant",
        },
        hoverlabel={"align": "left"},
        dragmode=False,  # a finger on the chart scrolls the page
    )
    for axis, update in ((x, figure.update_xaxes), (y, figure.update_yaxes)):
        update(
            title={"text": axis.title},
            tickformat=axis.tick_format,
            ticksuffix=axis.suffix,
            automargin=True,
            zeroline=False,
        )
    figure.update_xaxes(rangemode="tozero")
