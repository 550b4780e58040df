"""Export: the compressed model, how to reproduce it, and pages to share."""

import streamlit as st

from explorer.render.labels import REPRODUCE
from explorer.ui import export, frame
from explorer.ui.current_outcome import outcome_of
from explorer.ui.headings import heading
from explorer.ui.offers import again_offers, given_offers, recipe_offer, telling_offers
from explorer.workspace.workspace import Workspace

COMING = "Available as soon as all numbers are measured."


def downloads(workspace: Workspace) -> None:
    """Three groups of files, and the shell command."""
    run, source = workspace.view.run, workspace.source
    if run is None or source is None:
        st.caption("Nothing has been compressed yet.")
        return
    outcome = outcome_of(workspace) if run.complete else None
    with st.container(key="export"):
        heading("The model")
        export.draw_file(workspace, run, source)
        heading("Other precisions")
        export.draw_precisions(workspace, run, source)
        heading(REPRODUCE)
        for offer in [recipe_offer(run.recipe), *given_offers(source), *again_offers(outcome)]:
            export.draw_offer(offer)
        export.draw_command(run.recipe, source)
        heading("Share")
        if outcome is None:
            st.caption(COMING)
        for offer in telling_offers(outcome):
            export.draw_offer(offer)


frame.draw(downloads, parts=("artifact",))
