"""Explore: sliders, the numbers that follow them, insights, and what changed."""

import streamlit as st

from explorer.render.insights import insights
from explorer.ui import changed_predictions, frame, insight_notes, panel, reading, sizes
from explorer.ui.headings import heading
from explorer.workspace.workspace import Workspace

CHANGES = {
    "All sizes": sizes.draw,
    "Classes": changed_predictions.draw_classes,
    "Changed predictions": changed_predictions.draw_flips,
    "Weights": changed_predictions.draw_weights,
}


def numbers(workspace: Workspace) -> None:
    """The panel with the insights below, and a button for each remedy."""
    panel.draw(workspace)
    source = workspace.source
    title = reading.title_of(source) if source is not None else None
    told = insights(workspace.view, title, source.classes if source is not None else ())
    st.html(insight_notes.notes_html(told, workspace))
    insight_notes.draw_remedies(told, workspace)


def changes(workspace: Workspace) -> None:
    """Tabs; only the open one does any work."""
    panel.draw_counts(workspace)
    heading("What changed")
    tabs = st.tabs(list(CHANGES), key="changes", on_change="rerun")
    for tab, draw in zip(tabs, CHANGES.values(), strict=True):
        if tab.open:
            with tab:
                draw(workspace)


frame.draw(changes, live=numbers)
