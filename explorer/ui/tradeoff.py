"""The trade-off chart: every setting tried on this model, in the numbers of its own file."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

import plotly.graph_objects as go
import streamlit as st

from explorer.charts import Axis, Point, trade_off
from explorer.recipe import Recipe
from explorer.report import Quality
from explorer.text import format_bytes, format_count, format_quality
from explorer.ui.session import Session
from explorer.ui.words import METRICS, describe

HEIGHT = 310


@dataclass(frozen=True)
class Cost:
    """A choice for the x axis: `of` reads it from the parts of a trial, None where unknown."""

    name: str
    axis: Axis
    of: Callable[[Mapping[str, Any]], float | None]
    text: Callable[[float], str]


COSTS = {
    "file_bytes": Cost(
        "File size",
        Axis("File size, bytes (measured)", suffix="B"),
        lambda parts: _profile(parts, "file_bytes"),
        format_bytes,
    ),
    "macs": Cost(
        "MACs",
        Axis("MACs of one inference (FLOPs = 2 × MACs)"),
        lambda parts: _profile(parts, "macs"),
        lambda value: f"{format_count(value)} MACs",
    ),
    "latency": Cost(
        "Latency",
        Axis("Latency relative to the original (measured)", tick_format=".2~f", suffix=" ×"),
        lambda parts: parts["latency"]["ratio"] if parts.get("latency") else None,
        lambda value: f"× {value:.2f} of the original's time",
    ),
}


def draw(session: Session) -> None:
    """The chart with its choice of axis; a click on a point goes back to its setting."""
    with st.container(horizontal=True, vertical_alignment="center", key="tradeoff_head"):
        st.html('<h2 class="ce-h2">Trade-off</h2>', width="content")
        cost = st.segmented_control(
            "Horizontal axis",
            list(COSTS),
            key="tradeoff_axis",
            format_func=lambda key: COSTS[key].name,
            label_visibility="collapsed",
            required=True,
            default="file_bytes",
        )
    figure = figure_of(session, COSTS[cost or "file_bytes"])
    if figure is None:
        st.container(height=HEIGHT, border=False).caption(_why_empty(session))
        return
    st.plotly_chart(
        figure,
        height=HEIGHT,
        key="tradeoff",
        on_select=lambda: _go_back(session),
        selection_mode="points",
        config={"displayModeBar": False},
        alt="Quality against cost of every setting tried, with the original as a star.",
    )


def figure_of(session: Session, cost: Cost) -> go.Figure | None:
    """The figure, or None while there is nothing to plot against."""
    trials = {trial.recipe.to_json(): trial for trial in session.tried}
    points = {
        key: point
        for key, trial in trials.items()
        if (point := _point(trial.parts, cost, describe(trial.recipe), key))
    }
    shown = session.view.trial
    current = points.pop(shown.recipe.to_json(), None) if shown else None
    original = _original(session, cost)
    if original is None and current is None and not points:
        return None
    quality = _quality(session)
    name = METRICS[quality.metric] if quality else METRICS["accuracy"]
    in_decibels = quality is not None and quality.metric == "snr_db"
    y = Axis(f"{name}, dB", ".0f") if in_decibels else Axis(f"{name} (measured)", ".1~%")
    return trade_off(original, list(points.values()), current, cost.axis, y)


def _point(parts: Mapping[str, Any], cost: Cost, label: str, key: str) -> Point | None:
    x = cost.of(parts)
    if x is None or not parts.get("quality"):
        return None
    quality = Quality(**parts["quality"])
    text = f"<b>{escape(label)}</b><br>{format_quality(quality)}, {cost.text(x)}"
    return Point(x, quality.value, quality.low, quality.high, text, key)


def _original(session: Session, cost: Cost) -> Point | None:
    """From its own numbers, or from what the trials say about it."""
    quality = _quality(session)
    if quality is None or quality.metric == "snr_db" or not session.original.get("profile"):
        return None  # against itself a model has no noise
    value = quality.value if quality.reference_value is None else quality.reference_value
    parts = {"latency": {"ratio": 1.0}, "profile": session.original["profile"]}
    x = cost.of(parts)
    assert x is not None
    text = f"<b>original</b><br>{format_quality(quality, value)}, {cost.text(x)}"
    return Point(x, value, value, value, text, Recipe().to_json())


def _quality(session: Session) -> Quality | None:
    """One that knows the original's value: its own, or else any trial's."""
    for parts in (session.original, *(trial.parts for trial in reversed(session.tried))):
        if parts.get("quality"):
            return Quality(**parts["quality"])
    return None


def _profile(parts: Mapping[str, Any], key: str) -> float | None:
    profile = parts.get("profile")
    return None if profile is None else profile[key]


def _go_back(session: Session) -> None:
    points = st.session_state.tradeoff["selection"]["points"]
    if points:
        session.set_recipe(Recipe.from_json(points[0]["customdata"][0]))


def _why_empty(session: Session) -> str:
    if session.busy:
        return "The chart comes with the first measured numbers."
    return (
        "There are no samples to score this model on. Drop a .npz file with arrays named after the "
        "model's inputs, and with labels in `y` where you have them."
    )
