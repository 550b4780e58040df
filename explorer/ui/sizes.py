"""The sizes that the panel doesn't show, and how latency was measured."""

from html import escape

import streamlit as st

from explorer.render.cards import size_cells
from explorer.render.labels import NUMBERS
from explorer.render.text import doubt_text, format_seconds, uncounted_sentence
from explorer.render.words import DEFINITIONS
from explorer.report import Latency
from explorer.runs import View
from explorer.workspace.workspace import Workspace

SIZES = ("nonzero_params", "gzip_bytes", "packed_bytes")


def sizes_html(view: View) -> str:
    """Original, compressed and difference of the sizes that have no card, with their meaning."""
    head = "<tr><th>Quantity</th><th>Original</th><th>Compressed</th><th>Difference</th></tr>"
    lines = []
    for key, cells in size_cells(SIZES, view.original.profile, view.profile).items():
        numbers = "".join(f"<td>{escape(cell)}</td>" for cell in cells)
        meaning = f"<small>{escape(DEFINITIONS[key])}</small>"
        lines.append(f'<tr><th scope="row">{NUMBERS[key]}{meaning}</th>{numbers}</tr>')
    return f'<table class="ce-sizes"><thead>{head}</thead><tbody>{"".join(lines)}</tbody></table>'


def latency_sentence(latency: Latency) -> str:
    """How the latency was measured, and how far to trust it."""
    fastest = format_seconds(latency.min_s)
    if latency.reference_median_s is not None:
        fastest += f" (original: {format_seconds(latency.reference_min_s)})"
    trust = doubt_text(latency) or "reliable"
    return (
        f"Fastest run {fastest}; interquartile range {format_seconds(latency.iqr_s)}, "
        f"{latency.runs} runs, {latency.threads} thread, {latency.runtime}; ratio of the original "
        f"to itself: {latency.control_ratio:.3f}; {trust}."
    )


def draw(workspace: Workspace) -> None:
    """The table, and how the latency was measured."""
    view = workspace.view
    st.html(sizes_html(view))
    if view.latency is not None:
        st.caption(latency_sentence(view.latency))
    original = view.original.profile
    if original is not None and original.uncounted_ops:
        st.text(uncounted_sentence(original.uncounted_ops))
