"""What there is to take away."""

import streamlit as st

from explorer.explain import file_sentences
from explorer.text import command_line
from explorer.ui import graphs
from explorer.ui.session import Session


def draw(session: Session) -> None:
    """The compressed file and what reproduces it."""
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
    st.code(line, language=None, wrap_lines=True)  # its colours for shells are too faint
