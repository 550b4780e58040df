"""Results as plotly figures: pure functions from plain values.

Colours, fonts and backgrounds not given here come from the theme that draws the figure.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

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
LOSS_SCALE = ((0.0, "rgba(217, 102, 31, 0.07)"), (1.0, "rgba(217, 102, 31, 0.75)"))
FULL_LOSS = 10.0  # at least this much is lost where the colour is strongest
LONGEST_NAME = 22  # characters of a row's name that are shown
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


@dataclass(frozen=True)
class Cell:
    """One field of a heat map: `label`, in plotly's markup, is shown where one points at it."""

    row: int
    column: int
    loss: float
    label: str


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
    front = pareto_front([point for point in (original, *tried, current) if point is not None])
    line = {"color": GREEN, "width": 2, "shape": "hv"}
    traces = [
        _trace("Pareto front", front, mode="lines", line=line, hoverinfo="skip"),
        _trace("Tried", tried, marker={"color": BLUE, "size": 9, "opacity": 0.75}),
    ]
    if current is not None:
        ring = {"color": ORANGE, "size": 14, "line": {"width": 2, "color": ORANGE}}
        traces.append(_trace("This setting", [current], marker=ring, error_y=_interval(current)))
    if original is not None:
        star = {"symbol": "star", "color": GREY, "size": 16}
        traces.append(_trace("Original", [original], marker=star))
    # In one piece: adding traces and axes one by one takes six times as long.
    return go.Figure(traces, _layout(x, y))


def heat_map(rows: Sequence[str], columns: Sequence[str], cells: Sequence[Cell]) -> go.Figure:
    """Losses as numbers on a colour that grows stronger with the root of the loss.

    The colour is one hue over the page's background, so that it serves light and dark pages and
    any eye. `rows` are plain text, the first at the top; `columns` may have line breaks.
    """
    grid = [[Cell(row, column, float("nan"), "") for column in range(len(columns))]
            for row in range(len(rows))]  # fmt: skip
    for cell in cells:
        grid[cell.row][cell.column] = cell
    strength = [[_root(cell.loss) if cell.label else None for cell in line] for line in grid]
    figure = go.Figure()
    figure.add_trace(
        go.Heatmap(
            z=strength,
            zmin=0.0,
            zmax=max([FULL_LOSS**0.5, *(_root(cell.loss) for cell in cells)]),
            colorscale=LOSS_SCALE,
            showscale=False,
            xgap=2,
            ygap=2,
            hoverongaps=False,
            text=[[cell.label for cell in line] for line in grid],
            hovertemplate="%{text}<extra></extra>",
        )
    )
    figure.add_trace(  # in a colour that a page can set, unlike text of the heat map itself
        go.Scatter(
            x=[cell.column for cell in cells],
            y=[cell.row for cell in cells],
            text=[loss_text(cell.loss) for cell in cells],
            mode="text",
            textfont={"size": 11},
            hoverinfo="skip",
            showlegend=False,
        )
    )
    figure.update_layout(margin={"l": 8, "r": 8, "t": 8, "b": 8}, dragmode=False)
    figure.update_xaxes(side="top", **_ticks([*columns], len(columns)), tickangle=0)
    figure.update_yaxes(
        **_ticks([escape(short_name(name)) for name in rows], len(rows)), automargin=True
    )
    figure.update_yaxes(range=[len(rows) - 0.5, -0.5])
    return figure


def loss_text(loss: float) -> str:
    """With one decimal: 12.3, −0.1; never −0.0."""
    return f"{loss:.1f}".replace("-0.0", "0.0").replace("-", "−")


def _root(loss: float) -> float:
    return float(max(loss, 0.0) ** 0.5)


def short_name(name: str) -> str:
    """A name in few characters: without its first words, but with the numbers among them.

    `encoder.layer.10.attention.output.dense` is `…10…output.dense`.
    """
    parts = re.findall(r"[./]*[^./]+", name)
    shown, place = name, 0
    while len(shown) > LONGEST_NAME and place < len(parts) - 1:
        if not re.search(r"\d", parts[place]):
            parts[place] = "…"
            shown = re.sub(r"…+[./]*", "…", "".join(parts))
        place += 1
    return shown if len(shown) <= LONGEST_NAME else f"…{shown[1 - LONGEST_NAME :]}"


def _ticks(texts: Sequence[str], count: int) -> dict[str, object]:
    return {
        "tickmode": "array",
        "tickvals": list(range(count)),
        "ticktext": list(texts),
        "tickfont": {"size": 11},
        "range": [-0.5, count - 0.5],
        "ticks": "",
        "showgrid": False,
        "zeroline": False,
        "fixedrange": True,
    }


def _trace(name: str, points: Sequence[Point], **style: object) -> dict[str, object]:
    return {
        "type": "scatter",
        "name": name,
        "x": [point.x for point in points],
        "y": [point.y for point in points],
        "customdata": [[point.key] for point in points],
        "text": [point.label for point in points],
        "mode": "markers",
        "hovertemplate": "%{text}<extra></extra>",
        **style,
    }


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


def _layout(x: Axis, y: Axis) -> dict[str, object]:
    return {
        "margin": {"l": 8, "r": 8, "t": 28, "b": 8},
        "legend": {
            "orientation": "h",
            "x": 0,
            "y": 1.02,
            "yanchor": "bottom",
            "itemsizing": "constant",
        },
        "hoverlabel": {"align": "left"},
        "dragmode": False,  # a finger on the chart scrolls the page
        "xaxis": {**_axis(x), "rangemode": "tozero"},
        "yaxis": _axis(y),
    }


def _axis(axis: Axis) -> dict[str, object]:
    return {
        "title": {"text": axis.title},
        "tickformat": axis.tick_format,
        "ticksuffix": axis.suffix,
        "automargin": True,
        "zeroline": False,
    }
