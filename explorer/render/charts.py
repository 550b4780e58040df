"""Results as plotly figures: pure functions from plain values.

Colours, fonts and backgrounds not given here come from the theme that draws the figure.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

import plotly.graph_objects as go

from explorer.digits import fixed

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
MARGIN = {"l": 8, "r": 8, "t": 8, "b": 8}
LONGEST_NAME = 22  # characters of a row's name that are shown


@dataclass(frozen=True)
class Cell:
    """One field of a heat map: `label`, in plotly's markup, is shown where one points at it."""

    row: int
    column: int
    loss: float
    label: str


@dataclass(frozen=True)
class Spot:
    """A node on the roofline: operations for each byte it moves, and each second it takes."""

    name: str
    flops_per_byte: float
    flops_per_s: float


def small_print(
    x: Sequence[float | None],
    y: Sequence[float | None],
    text: Sequence[str],
    position: str = "middle center",
) -> go.Scatter:
    """Texts in a chart that nothing happens to."""
    return go.Scatter(
        x=x,
        y=y,
        text=text,
        mode="text",
        textposition=position,
        textfont={"size": 11},
        hoverinfo="skip",
        showlegend=False,
    )


def roofline(
    limits: Mapping[str, float], original: Sequence[Spot], small: Sequence[Spot]
) -> go.Figure:
    """Nodes of both models under the roof of the machine, on logarithmic axes.

    `limits` are `macs_per_s` and `bytes_per_s`.
    """
    peak, slope = 2 * limits["macs_per_s"], limits["bytes_per_s"]
    places = [spot.flops_per_byte for spot in (*original, *small)] or [1.0]
    low, high = min(*places, peak / slope) / 3, max(*places, peak / slope) * 3
    corners = [low, peak / slope, high]
    figure = go.Figure()
    figure.add_trace(
        go.Scatter(
            x=corners,
            y=[min(peak, slope * x) for x in corners],
            mode="lines",
            name="roof",
            line={"color": PALETTE[6], "width": 2},
            hoverinfo="skip",
        )
    )
    for name, spots, colour, symbol in (
        ("original", original, PALETTE[1], "circle-open"),
        ("compressed", small, PALETTE[0], "circle"),
    ):
        figure.add_trace(_spots(name, spots, colour, symbol))
    figure.update_layout(margin=MARGIN, legend={"orientation": "h", "y": 1.08}, dragmode=False)
    figure.update_xaxes(type="log", title="FLOP per byte", fixedrange=True, dtick=1)
    figure.update_yaxes(type="log", title="FLOP/s", fixedrange=True, tickformat="~s", dtick=1)
    return figure


def _spots(name: str, spots: Sequence[Spot], colour: str, symbol: str) -> go.Scatter:
    return go.Scatter(
        x=[spot.flops_per_byte for spot in spots],
        y=[spot.flops_per_s for spot in spots],
        text=[escape(spot.name) for spot in spots],
        mode="markers",
        name=name,
        marker={"color": colour, "symbol": symbol, "size": 9},
        hovertemplate="<b>%{text}</b><br>%{x:.3~s} FLOP per byte, %{y:.3~s}FLOP/s",
    )


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
    places = [cell.column for cell in cells], [cell.row for cell in cells]
    # In a colour that a page can set, unlike text of the heat map itself.
    figure.add_trace(small_print(*places, [loss_text(cell.loss) for cell in cells]))
    figure.update_layout(margin=MARGIN, dragmode=False)
    figure.update_xaxes(side="top", **_ticks([*columns], len(columns)), tickangle=0)
    figure.update_yaxes(
        **_ticks([escape(short_name(name)) for name in rows], len(rows)), automargin=True
    )
    figure.update_yaxes(range=[len(rows) - 0.5, -0.5])
    return figure


def loss_text(loss: float) -> str:
    """With one decimal: 12.3, −0.1; never −0.0."""
    return fixed(loss, 1)


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
