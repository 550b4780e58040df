"""The session behind the widgets.

Widgets are projections of it: set before they are drawn, and written back in their callbacks.
"""

import threading
from dataclasses import dataclass

import streamlit as st
from streamlit import runtime
from streamlit.runtime.scriptrunner import get_script_run_ctx

from explorer.jobs import shared_pool
from explorer.ui.session import Session
from explorer.ui.sources import samples
from explorer.ui.storage import storage

KEY = "explorer"
GRACE_S = 180.0  # Streamlit lets a visitor whose connection broke come back for two minutes


def current() -> Session:
    """The visitor's session, with the first sample opening on the first call."""
    if KEY not in st.session_state:
        session = Session(shared_pool(), storage().folder())
        session.sources = {source.key: source for source in samples()}
        session.open(samples()[0])
        context = get_script_run_ctx()
        _watch(_Visit(session, context.session_id if context else ""))
        st.session_state[KEY] = session
    found: Session = st.session_state[KEY]
    return found


@dataclass(frozen=True, eq=False)
class _Visit:
    session: Session
    connection: str  # Streamlit's name for it

    def end_if_gone(self) -> None:
        """Remove the visitor's files unless the connection was only lost for a moment."""
        if runtime.exists() and runtime.get_instance().is_active_session(self.connection):
            self.wait()
        else:
            self.session.close()

    def wait(self) -> None:
        """Look again after the time that Streamlit leaves for coming back."""
        timer = threading.Timer(GRACE_S, self.end_if_gone)
        timer.daemon = True
        timer.start()


@st.cache_resource(scope="session", on_release=_Visit.wait, show_spinner=False)
def _watch(_visit: _Visit) -> _Visit:
    """Cached only because Streamlit says when it lets go: when the connection ends."""
    return _visit
