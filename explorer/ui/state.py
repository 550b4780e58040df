"""The workspace of each browser session: made by its first page, closed after it has ended.

Widgets show the workspace: their values are set from it before they are drawn, and their callbacks
write changes back (see `projected`).
"""

import logging
import queue
import threading
import time
from dataclasses import dataclass
from functools import cache

import streamlit as st
from streamlit import config, runtime
from streamlit.runtime.scriptrunner import get_script_run_ctx

from explorer.jobs import shared_pool
from explorer.ui import links
from explorer.workspace.folders import storage
from explorer.workspace.sources import sample_models
from explorer.workspace.workspace import Workspace

KEY = "explorer"
MARGIN_S = 5.0  # beyond the time that Streamlit leaves for coming back


def current() -> Workspace:
    """The visitor's workspace; the first call makes it and opens the model that the link names."""
    if KEY not in st.session_state:
        workspace = Workspace(shared_pool(), storage().folder())
        workspace.sources.update({source.key: source for source in sample_models()})
        links.follow(workspace)
        context = get_script_run_ctx()
        _watch(_Visit(workspace, context.session_id if context else ""))
        st.session_state[KEY] = workspace
    found: Workspace = st.session_state[KEY]
    return found


@dataclass(frozen=True, eq=False)
class _Visit:
    workspace: Workspace
    connection: str  # Streamlit's name for it

    def end_if_gone(self) -> None:
        """Remove the visitor's files unless the connection was only lost for a moment."""
        if runtime.exists() and runtime.get_instance().is_active_session(self.connection):
            self.wait()
        else:
            self.workspace.close()

    def wait(self) -> None:
        """Look again after the time that Streamlit leaves for coming back."""
        grace_s = config.get_option("server.disconnectedSessionTTL") + MARGIN_S
        _departures().put((time.monotonic() + grace_s, self))


@cache
def _departures() -> "queue.SimpleQueue[tuple[float, _Visit]]":
    """When to look again at whom, seen to by one thread however many leave at once."""
    waiting: queue.SimpleQueue[tuple[float, _Visit]] = queue.SimpleQueue()
    threading.Thread(target=_see_off, args=[waiting], daemon=True, name="departures").start()
    return waiting


def _see_off(waiting: "queue.SimpleQueue[tuple[float, _Visit]]") -> None:
    while True:
        due, visit = waiting.get()  # the first to leave is the first that is due
        time.sleep(max(0.0, due - time.monotonic()))
        try:
            visit.end_if_gone()
        except Exception:  # the others have to be seen off too
            logging.getLogger(__name__).exception("A session could not be closed.")
        del visit  # or it would be kept until the next one leaves


@st.cache_resource(scope="session", on_release=_Visit.wait, show_spinner=False)
def _watch(_visit: _Visit) -> _Visit:
    """Cached only because Streamlit says when it lets go: when the connection ends."""
    return _visit
