"""Below the panel: what changed."""

import streamlit as st

from explorer.ui import panel, sizes
from explorer.ui.session import Session

TABS = ("All sizes",)


def draw(session: Session) -> None:
    """Tabs; only the open one does any work."""
    panel.draw_counts(session)
    tabs = st.tabs(TABS, key="changes", on_change="rerun")
    for tab, part in zip(tabs, (sizes.draw,), strict=True):
        if tab.open:
            with tab:
                part(session)
