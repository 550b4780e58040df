"""Layers: what the plan does to each, why, what each is sensitive to, and what it costs."""

import streamlit as st

from explorer.ui import costs, frame, layer_table, sensitivity_map
from explorer.workspace.workspace import Workspace


def layers(workspace: Workspace) -> None:
    """The table of layers, and what there is to say about them."""
    run = workspace.view.run
    if run is None or run.plan is None:
        st.caption("Waiting for the plan of this setting.")
        return
    layer_table.draw(workspace, run.layers)
    st.caption(run.plan.others)
    st.html(layer_table.reasons_html(run.layers))
    st.html(layer_table.ties_html(run.plan))
    sensitivity_map.draw(workspace)
    costs.draw(workspace)


frame.draw(layers, parts=("plan",))
