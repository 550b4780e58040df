"""How dropped files were read: what was assumed, and a form to change it."""

import json
import math
from dataclasses import replace
from html import escape
from typing import Any

import streamlit as st

from explorer.workspace.sources import Source
from explorer.workspace.workspace import Workspace

TITLE = "Preprocessing"
# The choices of `formats.preprocessing`, which loads more than the server should; a test compares.
COLOURS = {"RGB": "red, green, blue", "BGR": "blue, green, red", "grey": "grey"}
SCALES = {"0..255": "0 to 255", "0..1": "0 to 1"}
RESIZES = {"stretch": "stretch", "crop": "center crop"}
LAYOUTS = {"channels first": "channels first", "channels last": "channels last"}
CHOICES = {"colours": COLOURS, "scale": SCALES, "resize": RESIZES, "layout": LAYOUTS}
LABELS = {
    "colours": "Colours",
    "scale": "Value range",
    "resize": "Resizing",
    "layout": "Layout",
    "mean": "Mean (one, or one per channel)",
    "std": "Standard deviation",
    "label_column": "Label column (of a table)",
}
NUMBERS = ("mean", "std")


def draw(workspace: Workspace) -> None:
    """What was assumed about the open model's files, and a form to read them with other choices."""
    source = workspace.source
    if source is None or (title := title_of(source)) is None:
        return
    with st.expander(title, key="reading"):
        items = "".join(f"<li>{escape(note)}</li>" for note in source.notes)
        st.html(f'<ul class="ce-reading">{items}</ul>')
        if source.preparation is not None:
            _form(workspace, source, json.loads(source.preparation))


def title_of(source: Source) -> str | None:
    """The title of the notes on how a source's files were read; None if there are none."""
    is_told = source.drop is not None and (source.notes or source.preparation)
    return TITLE if is_told else None


def _form(workspace: Workspace, source: Source, known: dict[str, Any]) -> None:
    with st.form("preparation", border=False):
        given = dict(known)
        for name, choices in CHOICES.items():
            options: list[str] = list(choices)
            at = options.index(known[name])
            given[name] = st.selectbox(LABELS[name], options, at, format_func=choices.__getitem__)
        for name in NUMBERS:
            text = ", ".join(f"{value:g}" for value in known[name])
            given[name] = st.text_input(LABELS[name], text, max_chars=200)
        column = st.text_input(LABELS["label_column"], known["label_column"] or "", max_chars=200)
        given["label_column"] = column or None
        if st.form_submit_button("Read again", width="stretch"):
            _read_again(workspace, source, given)


def _read_again(workspace: Workspace, source: Source, given: dict[str, Any]) -> None:
    assert source.drop is not None
    for name in NUMBERS:
        numbers = numbers_in(given[name])
        if numbers is None:
            workspace.notice = f"{LABELS[name]} must be numbers, such as 0.5 or 0.5, 0.5, 0.5."
            return
        given[name] = numbers
    workspace.read(replace(source.drop, asked=json.dumps(given)))
    st.rerun()


def numbers_in(text: str) -> list[float] | None:
    """Finite numbers with commas or spaces between them; None where there is anything else."""
    try:
        numbers = [float(word) for word in text.replace(",", " ").split()]
    except ValueError:
        return None
    return numbers if numbers and all(map(math.isfinite, numbers)) else None
