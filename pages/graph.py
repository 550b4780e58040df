"""Graph: original and compressed model, drawn by Netron."""

import streamlit as st

from explorer.ui import frame, graph_view
from explorer.workspace.workspace import Workspace


def graphs(workspace: Workspace) -> None:
    """Both side by side, or one of them."""
    source, run = workspace.source, workspace.view.run
    if source is None:
        return
    chosen = st.segmented_control(
        "Show",
        graph_view.CHOICES,
        default=graph_view.first_choice(st.context.headers.get("User-Agent", "")),
        required=True,
        key="graphs",
        label_visibility="collapsed",
    )
    files = {"Original": source.model, "Compressed": run.file if run else None}
    shown = {name: path for name, path in files.items() if chosen in ("Both", name)}
    for column, (name, path) in zip(st.columns(len(shown)), shown.items(), strict=True):
        with column:
            st.caption(name)
            if path is None:
                st.caption("The file is being written." if workspace.busy else graph_view.GONE)
            else:
                graph_view.draw(name, path, source)


frame.draw(graphs, parts=("artifact",))
