"""The graphs of both models, drawn by Netron when asked for."""

from pathlib import Path

import streamlit as st

from explorer.ui import netron
from explorer.workspace.sources import Source
from explorer.workspace.workspace import Workspace

HEIGHT = 560
GONE = "This compressed model is no longer kept: the oldest ones make room for new ones."
CHOICES = ("Both", "Original", "Compressed")
PHONE = "Mobi"  # in the name by which every phone's browser calls itself


def draw(workspace: Workspace) -> None:
    """Original and compressed, side by side or one of them."""
    if workspace.source is None:
        return
    chosen = st.segmented_control(
        "Show",
        CHOICES,
        default=first_choice(st.context.headers.get("User-Agent", "")),
        required=True,
        key="graphs",
        label_visibility="collapsed",
    )
    run = workspace.view.run
    files = {"Original": workspace.source.model, "Compressed": run.file if run else None}
    shown = {name: path for name, path in files.items() if chosen in ("Both", name)}
    for column, (name, path) in zip(st.columns(len(shown)), shown.items(), strict=True):
        with column:
            st.caption(name)
            if path is None:
                st.caption("The file is being written." if workspace.busy else GONE)
            else:
                _graph(name, path, workspace.source)


def first_choice(browser: str) -> str:
    """Both graphs, but on a phone, where there is room for one, the compressed one."""
    return "Compressed" if PHONE in browser else "Both"


def _graph(name: str, path: Path, source: Source) -> None:
    label = f"{name} graph of {source.title}"
    st.iframe(
        netron.viewer_url(_token(name, path), f"{source.stem}.onnx"), height=HEIGHT, alt=label
    )


def _token(name: str, path: Path) -> str:
    """The token of a file in this session; a new file gets a new one."""
    key = f"netron_{name}"
    known = st.session_state.get(key)
    if known is None or known[0] != path:
        if known is not None:
            netron.withdraw(known[1])
        known = st.session_state[key] = (path, netron.publish(path))
    token: str = known[1]
    return token
