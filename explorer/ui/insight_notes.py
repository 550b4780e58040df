"""Insights about the numbers of the panel."""

from collections.abc import Sequence
from html import escape

import streamlit as st

from explorer.render.insight_rules import Insight
from explorer.render.labels import INSIGHTS
from explorer.runs import View
from explorer.workspace.workspace import Workspace

INCOMPLETE = "Some measurements failed, so this list may be incomplete."


def draw_remedies(told: Sequence[Insight], workspace: Workspace) -> None:
    """A button for each remedy that an insight knows, and one to measure again."""
    remedies = {each.remedy: each.recipe for each in told if each.recipe is not None}
    with st.container(horizontal=True, key="remedies"):
        st.button("Measure again", disabled=workspace.busy, on_click=workspace.measure_again)
        for label, recipe in remedies.items():
            st.button(label, key=f"remedy_{label}", on_click=workspace.set_recipe, args=[recipe])


def notes_html(told: Sequence[Insight], workspace: Workspace) -> str:
    """The insights, or why there is none."""
    items = "".join(f"<li>{escape(each.sentence)}</li>" for each in told)
    body = f"<ul>{items}</ul>" if items else f"<p>{_quiet(workspace)}</p>"
    return f'<aside class="ce-notes"><h2 class="ce-h2">{INSIGHTS}</h2>{body}</aside>'


def _quiet(workspace: Workspace) -> str:
    if workspace.busy:
        return "Measuring …"
    return INCOMPLETE if is_incomplete(workspace.view) else "Nothing unexpected with this setting."


def is_incomplete(view: View) -> bool:
    """True where a number of this setting is missing that should have been measured."""
    is_scored = view.quality is not None or not view.original.samples
    return view.profile is None or view.latency is None or not is_scored
