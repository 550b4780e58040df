"""What every page has: the sidebar, its link, the status of the work, and polling.

The live part is a fragment that looks at the work a few times a second while there is some, less
often while others are ahead of it, and then stops. Whenever more than its numbers has changed, the
whole page is drawn anew.
"""

import re
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from html import escape
from pathlib import Path

import streamlit as st

from explorer.render.cards import UNKNOWN, cards
from explorer.render.markdown import on_page
from explorer.render.text import machine_text
from explorer.render.words import describe
from explorer.ui import controls, links, state
from explorer.ui.sweeps import progress_text
from explorer.ui.turns import turn
from explorer.widget.achieved import achieved_text
from explorer.workspace.workspace import Workspace

POLL_S, NEXT_S, QUEUED_S = 0.1, 1.5, 4.0  # between looks: at work, soon to be, and behind many
LONG_S = 0.5  # at work that takes minutes
REDRAW_S = 1.0  # between redraws of a chart to which long work adds results
PATIENCE_S = 0.5  # that a look at work waits for news
GLANCE_S = 0.03  # how often that may be ended
# For Streamlit to send what was drawn, as a next run drops what it hasn't: while work goes on, when
# the next one comes at once and the machine is busy, and else.
SENT_S, SENT_SOON_S = 0.03, 0.01
SOON = 4  # jobs ahead, at most
STYLE = Path(__file__).with_name("style.css")

Part = Callable[[Workspace], None]


@dataclass
class Drawn:
    """What the whole page was drawn for (see `Workspace.stage`), and whether its live part was."""

    parts: Collection[str]
    stage: tuple[object, ...]
    pace_s: float | None
    is_drawn: bool = False


def summary(workspace: Workspace) -> None:
    """The headline numbers in a line, for pages without the panel."""
    words = [
        f"{card.title} <b>{escape(card.value)}</b> {escape(_change(card.difference))}"
        for card in cards(workspace.view, workspace.busy, workspace.waiting.queued)
    ]
    st.html(f'<p class="ce-summary">{"".join(f"<span>{word}</span>" for word in words)}</p>')


def draw(body: Part, live: Part = summary, parts: Collection[str] = ()) -> None:
    """A page: `live` is redrawn as numbers arrive, `body` only when the stage changes.

    The stage is that of `Workspace.stage`: another setting, work that begins or ends, or one of the
    `parts` of the run.
    """
    with turn():
        workspace = state.current()
        workspace.advance()
        controls.draw(workspace)
        links.write(workspace)
    workspace.settle()
    with turn():
        st.html(STYLE)
        pace_s = poll_s(workspace)
        drawn = Drawn(parts, workspace.stage(parts), pace_s)
        st.fragment(_draw_live, run_every=pace_s)(workspace, live, drawn)
        workspace.begin_questions()
        body(workspace)
        workspace.end_questions()
        if poll_s(workspace) != pace_s:  # the body has asked what the live part is to look for
            st.rerun()
    _let_go_out(pace_s)


def poll_s(workspace: Workspace) -> float | None:
    """Seconds until the next look; None while there is nothing to look for."""
    if not (workspace.busy or workspace.questions.running):
        works = (workspace.sensitivity, workspace.budget, workspace.sweep)
        if any(work.running for work in works):
            return LONG_S
        return NEXT_S if workspace.survey.running else None
    if workspace.waiting.ahead <= 1:
        return POLL_S
    return NEXT_S if workspace.waiting.ahead <= SOON else QUEUED_S


def _draw_live(workspace: Workspace, live: Part, drawn: Drawn) -> None:
    is_alone, drawn.is_drawn = drawn.is_drawn, True
    if is_alone and drawn.pace_s == POLL_S:
        _await_news(workspace)
    with turn():
        workspace.advance()
        if (workspace.stage(drawn.parts), poll_s(workspace)) != (drawn.stage, drawn.pace_s):
            st.rerun()
        _draw_parts(workspace, live)
    if is_alone:
        _let_go_out(drawn.pace_s)


def _let_go_out(pace_s: float | None) -> None:
    time.sleep(SENT_S if pace_s == POLL_S else SENT_SOON_S)


def _await_news(workspace: Workspace) -> None:
    """Wait until there is something new to draw; a click or a choice ends the wait."""
    deadline = time.monotonic() + PATIENCE_S
    while not workspace.waiting.await_news(GLANCE_S) and time.monotonic() < deadline:
        _ = state.KEY in st.session_state  # Streamlit ends a run that isn't wanted any more here


def _draw_parts(workspace: Workspace, live: Part) -> None:
    _status(workspace)
    if workspace.importing.running:
        st.button("Cancel the import", key="import_cancel", on_click=workspace.cancel_importing)
    if workspace.notice:
        st.error(_shown(workspace.notice), icon=":material/error:")
    live(workspace)


def _status(workspace: Workspace) -> None:
    view, progress = workspace.view, workspace.waiting.progress
    title = escape(workspace.source.title) if workspace.source else "Opening the model"
    setting = escape(describe(view.run.recipe)) if view.run else "…"
    achieved = escape(achieved_text(view))
    fraction, text = progress or (1.0, _machine(workspace))
    state_of_work = "ce-busy" if progress else "ce-idle"
    st.html(
        f'<div class="ce-status {state_of_work}"><h1>{title}</h1><span class="ce-setting">'
        f'{setting}</span><span class="ce-achieved">{achieved}</span>'
        f'<span class="ce-work" role="status">{escape(text)}</span></div>'
        f'<div class="ce-bar {state_of_work}"><i style="width:{100 * fraction:.0f}%"></i></div>'
    )


def _machine(workspace: Workspace) -> str:
    """The sweep in the background, or the machine that the numbers come from."""
    if workspace.sweep.running:
        return f"sweep: {progress_text(workspace.sweep)}"
    host = workspace.original.host
    return f"measured on {machine_text(host)}" if host is not None else ""


def _change(difference: str) -> str:
    return "" if difference == UNKNOWN else difference


def _shown(sentence: str) -> str:
    """A sentence as Markdown, where only what stands between backticks is set as code."""
    parts = re.split(r"(`[^`]+`)", sentence)
    return "".join(part if index % 2 else on_page(part) for index, part in enumerate(parts))
