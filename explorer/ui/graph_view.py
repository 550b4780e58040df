"""The graphs of both models, drawn by Netron when asked for."""

from pathlib import Path

import streamlit as st

from explorer.ui import netron
from explorer.workspace.sources import Source

HEIGHT = 560
GONE = "This compressed file was removed to make room for newer ones."
CHOICES = ("Both", "Original", "Compressed")
PHONE = "Mobi"  # in the name by which every phone's browser calls itself


def first_choice(browser: str) -> str:
    """Both graphs, but on a phone, where there is room for one, the compressed one."""
    return "Compressed" if PHONE in browser else "Both"


def draw(name: str, path: Path, source: Source) -> None:
    """One graph, in Netron's viewer."""
    label = f"{name} graph of {source.title}"
    st.iframe(
        netron.viewer_url(_token(name, path), f"{source.stem}.onnx"), height=HEIGHT, alt=label
    )


def _token(name: str, path: Path) -> str:
    """The token of a file in this session; a new file gets a new one, and so does an ended one."""
    key = f"netron_{name}"
    known = st.session_state.get(key)
    if known is None or known[0] != path or not netron.is_published(known[1]):
        if known is not None:
            netron.withdraw(known[1])
        known = st.session_state[key] = (path, netron.publish(path))
    token: str = known[1]
    return token
