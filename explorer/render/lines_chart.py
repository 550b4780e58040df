"""Parallel coordinates: every setting as a line over all quantities, as a plotly figure.

A pure function from plain values; marks and looks are those of `explorer.render.tradeoff_charts`.
"""

from collections.abc import Sequence

import plotly.graph_objects as go

from explorer.render.charts import small_print
from explorer.render.tradeoff_charts import (
    LOOKS,
    MARGIN,
    OTHER,
    STILL,
    Axis,
    Mark,
    by_kind,
    chosen,
    drawable,
    span,
)

ROOM = 0.13  # above and below the lines of parallel coordinates, for their numbers


def parallel(
    marks: Sequence[Mark], axes: Sequence[Axis], selected: Sequence[str] = ()
) -> go.Figure:
    """A line for each setting over all quantities, each from its least to its greatest value.

    Drawn from plain lines: plotly's own kind compiles scripts in the browser, which a strict
    policy forbids, and can't be clicked.
    """
    known = drawable(marks, axes)
    spans = [span(known, axis) for axis in axes]
    figure = go.Figure()
    for kind, own in by_kind(known):
        colour, _ = LOOKS.get(kind, OTHER)
        figure.add_trace(_lines(own, axes, spans, colour, width=1.2, opacity=0.55, name=kind))
    for mark, colour in chosen(known, selected):
        figure.add_trace(_lines([mark], axes, spans, colour, width=3.5, opacity=1.0, name=""))
    ends = [(place, end) for place in range(len(axes)) for end in (0, 1)]
    x, y = [place for place, _ in ends], [end + (end - 0.5) * ROOM for _, end in ends]
    texts = [axes[place].text(spans[place][end]) for place, end in ends]
    figure.add_trace(small_print(x, y, texts))
    figure.update_layout(margin=MARGIN, showlegend=False, **STILL)
    figure.update_xaxes(
        tickvals=list(range(len(axes))),
        ticktext=[axis.title.replace(" ", "<br>") for axis in axes],
        tickangle=0,
        tickfont={"size": 11},
        range=[-0.4, len(axes) - 0.6],
        showgrid=True,
        zeroline=False,
        fixedrange=True,
        side="top",
    )
    figure.update_yaxes(visible=False, fixedrange=True, range=[-ROOM, 1 + ROOM])
    return figure


def _lines(
    marks: Sequence[Mark],
    axes: Sequence[Axis],
    spans: Sequence[tuple[float, float]],
    colour: str,
    width: float,
    opacity: float,
    name: str,
) -> go.Scatter:
    """All of them in one trace, with a gap after each."""
    xs: list[int | None] = []
    ys: list[float | None] = []
    keys: list[list[str]] = []
    labels: list[str] = []
    for mark in marks:
        xs += [*range(len(axes)), None]
        ys += [
            *(_height(mark.values[a.key], ends) for a, ends in zip(axes, spans, strict=True)),
            None,
        ]
        keys += [[mark.key]] * (len(axes) + 1)
        labels += [mark.label] * (len(axes) + 1)
    return go.Scatter(
        x=xs,
        y=ys,
        customdata=keys,
        text=labels,
        hovertemplate="%{text}<extra></extra>",
        mode="lines+markers",
        line={"width": width, "color": colour},
        marker={"size": 6, "color": colour},
        opacity=opacity,
        name=name,
    )


def _height(value: float | None, ends: tuple[float, float]) -> float:
    """Where between the ends; in the middle where they are the same."""
    low, high = ends
    assert value is not None
    return (value - low) / (high - low) if high > low else 0.5
