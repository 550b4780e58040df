"""Below the map of sensitivity: an accuracy budget, what to minimize, and the recipe's result."""

import streamlit as st

from explorer.metrics import DECIBELS, METRICS
from explorer.recipe import AIMS
from explorer.render.labels import AIMS as AIM_LABELS
from explorer.render.text import spent_sentence
from explorer.render.words import HELP
from explorer.workspace.workspace import Workspace

FEWEST_POINTS, MOST_POINTS = 0.1, 10.0


def draw(workspace: Workspace) -> None:
    """The controls, or the progress of the search; and a sentence with its result."""
    spending = workspace.budget
    if spending.running:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.progress(*spending.progress)
            st.button("Cancel", key="spend_cancel", on_click=workspace.guarded(spending.stop))
        return
    _controls(workspace)
    bought = spending.bought(workspace.source, workspace.recipe)
    if bought is not None:
        st.caption(spent_sentence(bought))


def _controls(workspace: Workspace) -> None:
    spending = workspace.budget

    def write() -> None:
        spending.points = float(st.session_state["w_points"])
        spending.on = st.session_state["w_spend_on"]

    st.session_state["w_points"] = spending.points
    st.session_state["w_spend_on"] = spending.on
    found = workspace.sensitivities
    metric = METRICS[found[0].quality.metric]
    is_error = metric.unit == DECIBELS or metric.falls
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.number_input(
            "Error budget (%)" if is_error else "Accuracy budget (pp)",
            FEWEST_POINTS,
            MOST_POINTS,
            step=0.1,
            format="%.1f",
            key="w_points",
            help=HELP["points"],
            width=170,
            on_change=write,
        )
        st.segmented_control(
            "Minimize",
            AIMS,
            key="w_spend_on",
            format_func=lambda aim: AIM_LABELS[aim],
            required=True,
            on_change=write,
        )
        st.button(
            "Generate recipe",
            key="spend_start",
            disabled=workspace.busy,
            on_click=workspace.spend_budget,
        )
