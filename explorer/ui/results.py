"""The live part of Explore: the panel, and insights about its numbers."""

from collections.abc import Sequence
from html import escape

import streamlit as st

from explorer.render.insights import Insight, insights
from explorer.render.labels import INSIGHTS
from explorer.ui import panel, reading
from explorer.ui.session import Session
from explorer.widget.trials import View

INCOMPLETE = "Some measurements failed, so this list may be incomplete."


def draw(session: Session) -> None:
    """The panel with the insights below, and a button for each remedy."""
    panel.draw(session)
    source = session.source
    title = reading.title_of(source) if source is not None else None
    told = insights_of(session.view, title, source.classes if source is not None else ())
    st.html(_notes_html(told, session))
    _draw_remedies(session, told)


def _draw_remedies(session: Session, told: Sequence[Insight]) -> None:
    remedies = {each.remedy: each.recipe for each in told if each.recipe is not None}
    with st.container(horizontal=True, key="remedies"):
        st.button("Measure again", disabled=session.busy, on_click=session.measure_again)
        for label, recipe in remedies.items():
            st.button(label, key=f"remedy_{label}", on_click=session.set_recipe, args=[recipe])


def _notes_html(told: Sequence[Insight], session: Session) -> str:
    items = "".join(f"<li>{escape(each.sentence)}</li>" for each in told)
    body = f"<ul>{items}</ul>" if items else f"<p>{_quiet(session)}</p>"
    return f'<aside class="ce-notes"><h2 class="ce-h2">{INSIGHTS}</h2>{body}</aside>'


def _quiet(session: Session) -> str:
    if session.busy:
        return "Measuring …"
    return INCOMPLETE if is_incomplete(session.view) else "Nothing unexpected with this setting."


def is_incomplete(view: View) -> bool:
    """True where a number of this setting is missing that should have been measured."""
    scored = ("quality",) if view.original.get("model", {}).get("samples") else ()
    wanted = ("profile", "latency", *scored)
    return any(not view.compressed.get(name) for name in wanted)


def surprises_of(
    view: View, reading_title: str | None = None, classes: Sequence[str] = ()
) -> list[str]:
    """The sentences of `insights_of`."""
    return [each.sentence for each in insights_of(view, reading_title, classes)]


def insights_of(
    view: View, reading_title: str | None = None, classes: Sequence[str] = ()
) -> list[Insight]:
    """About the numbers of this setting.

    `reading_title` is that of what the page says on how samples were read; `classes` names the
    labels.
    """
    if view.trial is None or "plan" not in view.trial.parts:
        return []
    known = {**view.compressed, "naive_quality": view.naive}
    plan, host = view.trial.parts["plan"], view.original.get("host", {})
    return insights(view.trial.recipe, plan, view.original, known, host, reading_title, classes)
