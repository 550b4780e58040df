"""Parts of the Export page: files with a line on each, and the shell command."""

from collections.abc import Iterator
from dataclasses import replace
from html import escape

import streamlit as st

from explorer.recipe import Recipe
from explorer.render.explain import file_sentences
from explorer.render.labels import precision
from explorer.render.text import command_line
from explorer.runs import Run
from explorer.storage_types import BY_WIDTH
from explorer.ui import graph_view
from explorer.ui.current_outcome import files_of
from explorer.ui.offers import (
    Offer,
    file_offers,
    variant_offer,
)
from explorer.workspace.sources import Source
from explorer.workspace.workspace import Workspace

BITS = tuple(kind.bits for kind in reversed(BY_WIDTH))  # with a storage type of their own
BUTTON, WORDS = 1.0, 2.6  # widths of the columns
OTHER_PRECISIONS = (
    "The same setting with weights of another precision, each in a separate file that was "
    "compressed, timed and scored. A button makes that setting the current one."
)


def variants(workspace: Workspace, recipe: Recipe) -> Iterator[tuple[Recipe, Run | None]]:
    """The setting with other weight bits, and the run of each if there is one."""
    tried = {run.recipe.to_json(): run for run in workspace.runs}
    for bits in BITS:
        if bits != recipe.weight_bits:
            other = replace(recipe, weight_bits=bits)
            yield other, tried.get(other.to_json())


def draw_file(workspace: Workspace, run: Run, source: Source) -> None:
    """The compressed model, as it is and with gzip, and how to open it."""
    file = run.file
    if file is None:
        st.caption("The file is being written." if workspace.busy else graph_view.GONE)
        if not workspace.busy:
            st.button("Write it again", on_click=lambda: workspace.edit_recipe(workspace.recipe))
        return
    plain, zipped = file_offers(run, file, source.stem)
    draw_offer(plain, is_first=True)
    draw_offer(zipped)
    assert run.artifact is not None
    for sentence in file_sentences(run.layers, run.artifact.weight_only):
        st.caption(sentence)


def draw_precisions(workspace: Workspace, run: Run, source: Source) -> None:
    """Files of the same setting with other weight bits, and buttons to make the missing ones."""
    st.caption(OTHER_PRECISIONS)
    missing = []
    for recipe, known in variants(workspace, run.recipe):
        file = known.file if known else None
        if known is None or file is None:
            missing.append(recipe)
        else:
            draw_offer(variant_offer(known, file, source.stem))
    with st.container(horizontal=True):
        for recipe in missing:
            st.button(
                _quantize_label(recipe.weight_bits),
                key=f"make_{recipe.weight_bits}",
                on_click=workspace.set_recipe,
                args=[recipe],
                disabled=workspace.busy,
            )


def _quantize_label(bits: int) -> str:
    return f"Quantize to {precision(bits)}" if bits < 32 else f"Keep {precision(bits)}"


def draw_offer(offer: Offer, is_first: bool = False) -> None:
    """A button, and a line on what it downloads."""
    button, words = st.columns([BUTTON, WORDS], vertical_alignment="center")
    button.download_button(
        offer.label,
        data=offer.content,
        file_name=offer.name,
        mime=offer.kind,
        on_click="ignore",
        icon=":material/download:",
        type="primary" if is_first else "secondary",
        width="stretch",
    )
    words.html(f'<p class="ce-about">{escape(offer.about)}</p>')


def draw_command(recipe: Recipe, source: Source) -> None:
    """The line that does the same in a shell."""
    files = files_of(source)
    line = command_line(
        recipe,
        files.model,
        files.data,
        files.calibration,
        source.metric,
        source.sizes,
    )
    needs_recipe = ", with the recipe downloaded above," if "--recipe" in line else ""
    st.caption(f"The same result in a shell{needs_recipe} in the folder of these files:")
    st.code(line, language=None, wrap_lines=True)  # its colours for shells are too faint
