"""Below the chart: layers, graphs, all sizes, and what there is to take away."""

from html import escape

import streamlit as st

from explorer.explain import file_sentences
from explorer.report import Latency
from explorer.text import command_line, format_bytes, format_count, format_seconds
from explorer.ui import graphs, layers
from explorer.ui.cards import UNKNOWN, relative
from explorer.ui.session import Session
from explorer.ui.trials import View
from explorer.ui.words import DEFINITIONS

TABS = ("Layers", "Graph", "All sizes", "Take away")
SIZES = (
    ("nonzero_params", "Nonzero parameters", format_count),
    ("gzip_bytes", "File with gzip", format_bytes),
    ("packed_bytes", "Weights, packed", format_bytes),
    ("peak_activation_bytes", "Peak activations", format_bytes),
)


def draw(session: Session) -> None:
    """Tabs; only the open one does any work."""
    tabs = st.tabs(TABS, key="details", on_change="rerun")
    panels = (layers.draw, graphs.draw, _draw_sizes, _draw_downloads)
    for tab, panel in zip(tabs, panels, strict=True):
        if tab.open:
            with tab:
                panel(session)


def sizes_html(view: View) -> str:
    """Original, compressed and difference of the sizes that have no card, with their meaning."""
    head = "<tr><th>Quantity</th><th>Original</th><th>Compressed</th><th>Difference</th></tr>"
    before = view.original.get("profile") or {}
    after = view.compressed.get("profile") or {}
    lines = []
    for key, title, text in SIZES:
        old, new = before.get(key), after.get(key)
        cells = [UNKNOWN if value is None else text(value) for value in (old, new)]
        cells.append(UNKNOWN if old is None or new is None else relative(old, new))
        numbers = "".join(f"<td>{escape(cell)}</td>" for cell in cells)
        meaning = f"<small>{escape(DEFINITIONS[key])}</small>"
        lines.append(f'<tr><th scope="row">{title}{meaning}</th>{numbers}</tr>')
    return f'<table class="ce-sizes"><thead>{head}</thead><tbody>{"".join(lines)}</tbody></table>'


def latency_sentence(latency: Latency) -> str:
    """How the latency was measured, and how far to trust it."""
    medians = format_seconds(latency.median_s)
    if latency.reference_median_s is not None:
        medians += f", of the original {format_seconds(latency.reference_median_s)}"
    trust = "reliable" if latency.reliable else "not reliable: the machine was busy"
    return (
        f"Median latency {medians}; interquartile range {format_seconds(latency.iqr_s)}, "
        f"{latency.runs} runs, {latency.threads} thread, {latency.runtime}; the original against "
        f"itself gave × {latency.control_ratio:.3f}; {trust}."
    )


def _draw_sizes(session: Session) -> None:
    view = session.view
    st.html(sizes_html(view))
    if view.compressed.get("latency"):
        st.caption(latency_sentence(Latency(**view.compressed["latency"])))
    uncounted = (view.original.get("profile") or {}).get("uncounted_ops")
    if uncounted:
        st.text(f"Operators without a formula, not in the MACs: {', '.join(uncounted)}")


def _draw_downloads(session: Session) -> None:
    trial, source = session.view.trial, session.source
    if trial is None or source is None:
        st.caption("Nothing has been compressed yet.")
        return
    with st.container(horizontal=True):
        file = trial.file
        st.download_button(
            "Compressed model (.onnx)",
            data=file.read_bytes if file else b"",
            file_name=f"{source.stem}_compressed.onnx",
            mime="application/octet-stream",
            disabled=file is None,
            on_click="ignore",
            icon=":material/download:",
        )
        st.download_button(
            "Recipe (.json)",
            data=trial.recipe.to_json(),
            file_name="recipe.json",
            mime="application/json",
            on_click="ignore",
            icon=":material/download:",
        )
    if file is None and not session.busy:
        st.caption(graphs.GONE)
        st.button("Make it again", on_click=lambda: session.edit_recipe(session.recipe))
    if file is not None:
        facts = trial.parts["file"]
        for sentence in file_sentences(trial.parts["plan"]["layers"], facts["weight_only"]):
            st.caption(sentence)
    line = command_line(trial.recipe, *source.files)
    needs_recipe = ", with the recipe downloaded above," if "--recipe" in line else ""
    st.caption(f"The same result from a shell{needs_recipe} where these files are:")
    st.code(line, language="shell", wrap_lines=True)
