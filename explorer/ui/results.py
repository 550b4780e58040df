"""The live part of the page: status, panel, and what is surprising about its numbers.

It is a fragment that looks at the job a few times a second while one runs, less often while others
are ahead of it, and then stops.
"""

import re
from html import escape
from pathlib import Path

import streamlit as st

from explorer.surprises import surprises
from explorer.ui import panel, reading
from explorer.ui.session import Session
from explorer.ui.turns import turn
from explorer.ui.words import describe

POLL_S, NEXT_S, QUEUED_S = 0.4, 1.5, 4.0  # between looks: at work, soon to be, and behind many
SOON = 4  # jobs ahead, at most
STYLE = Path(__file__).with_name("style.css")


def draw(session: Session) -> None:
    """The live part; polls only while there is work."""
    st.html(STYLE)
    panel.draw_counts(session)
    pace_s = poll_s(session)
    st.fragment(_draw, run_every=pace_s)(session, (session.stage, pace_s))


def poll_s(session: Session) -> float | None:
    """Seconds until the next look; None while there is nothing to look for."""
    if not (session.busy or session.probing.running or session.spending.running):
        return None
    if session.ahead <= 1:
        return POLL_S
    return NEXT_S if session.ahead <= SOON else QUEUED_S


@turn()
def _draw(session: Session, drawn: tuple[object, ...]) -> None:
    """`drawn` is the stage and the pace that the whole page was drawn for."""
    session.advance()
    if (session.stage, poll_s(session)) != drawn:
        st.rerun()
    _status(session)
    if session.importing.job is not None:
        st.button("Cancel the import", key="import_cancel", on_click=session.cancel_importing)
    if session.notice:
        st.error(_shown(session.notice), icon=":material/error:")
    panel.draw(session)
    st.html(_notes_html(session))


def _status(session: Session) -> None:
    view, progress = session.view, session.progress
    title = escape(session.source.title) if session.source else "Opening the model"
    setting = escape(describe(view.trial.recipe)) if view.trial else "…"
    fraction, text = progress or (1.0, _machine(session))
    state = "ce-busy" if progress else "ce-idle"
    st.html(
        f'<div class="ce-status {state}"><h1>{title}</h1><span class="ce-setting">'
        f'{setting}</span><span class="ce-work" role="status">{escape(text)}</span></div>'
        f'<div class="ce-bar {state}"><i style="width:{100 * fraction:.0f}%"></i></div>'
    )


def _machine(session: Session) -> str:
    host = session.original.get("host")
    return f"measured on {host['cpu']}, 1 thread, {host['runtime']}" if host else ""


def _notes_html(session: Session) -> str:
    sentences = _surprises(session)
    items = "".join(f"<li>{escape(sentence)}</li>" for sentence in sentences)
    quiet = "The numbers are on their way." if session.busy else "No surprises with this setting."
    body = f"<ul>{items}</ul>" if items else f"<p>{quiet}</p>"
    return f'<aside class="ce-notes"><h2 class="ce-h2">What to know</h2>{body}</aside>'


def _surprises(session: Session) -> list[str]:
    """About the numbers of this setting; those of the setting before say nothing about it."""
    view = session.view
    if view.trial is None or "plan" not in view.trial.parts:
        return []
    known = {name: view.compressed[name] for name in view.compressed if name not in view.stale}
    if "quality" not in view.stale:
        known["naive_quality"] = view.naive
    plan, host = view.trial.parts["plan"], view.original.get("host", {})
    title = reading.title_of(session.source) if session.source else None
    return surprises(view.trial.recipe, plan, view.original, known, host, title)


def _shown(sentence: str) -> str:
    """A sentence as Markdown, where only what stands between backticks is set as code."""
    parts = re.split(r"(`[^`]+`)", sentence)
    return "".join(part if index % 2 else _plain(part) for index, part in enumerate(parts))


def _plain(text: str) -> str:
    """Text with Markdown's signs escaped: file and layer names are anybody's."""
    return "".join(f"\\{c}" if c in r"\`*_{}[]()<>#+!|~$:" else c for c in text)
