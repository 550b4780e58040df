"""The live part of Explore: the panel, and insights about its numbers."""

from collections.abc import Sequence
from html import escape

import streamlit as st

from explorer.render.insights import Insight, insights
from explorer.render.labels import INSIGHTS
from explorer.runs import View
from explorer.ui import panel, reading
from explorer.workspace.workspace import Workspace

INCOMPLETE = "Some measurements failed, so this list may be incomplete."


def draw(workspace: Workspace) -> None:
    """The panel with the insights below, and a button for each remedy."""
    panel.draw(workspace)
    source = workspace.source
    title = reading.title_of(source) if source is not None else None
    told = insights(workspace.view, title, source.classes if source is not None else ())
    st.html(_notes_html(told, workspace))
    _draw_remedies(workspace, told)


def _draw_remedies(workspace: Workspace, told: Sequence[Insight]) -> None:
    remedies = {each.remedy: each.recipe for each in told if each.recipe is not None}
    with st.container(horizontal=True, key="remedies"):
        st.button("Measure again", disabled=workspace.busy, on_click=workspace.measure_again)
        for label, recipe in remedies.items():
            st.button(label, key=f"remedy_{label}", on_click=workspace.set_recipe, args=[recipe])


def _notes_html(told: Sequence[Insight], workspace: Workspace) -> str:
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
