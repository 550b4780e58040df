"""Trade-offs: all runs, what each costs and keeps, and two of them side by side."""

import streamlit as st

from explorer.render.labels import RUNS
from explorer.render.tradeoff_charts import front_of
from explorer.ui import frame, sweeps, tradeoffs
from explorer.ui.headings import heading
from explorer.ui.tried import labels_of, marks_of, quality_axis, results_of
from explorer.ui.turns import turn
from explorer.workspace.workspace import Workspace

NOTHING_YET = "There are no measured runs yet."
NO_QUALITY = "There are no samples to score runs on, so there is no quality to draw."


def runs(workspace: Workspace) -> None:
    """The page; it draws itself anew while a sweep goes on."""
    drawn = workspace.stage()
    st.fragment(runs_now, run_every=frame.REDRAW_S if workspace.sweep.running else None)(
        workspace, drawn
    )


@turn()
def runs_now(workspace: Workspace, drawn: tuple[object, ...]) -> None:
    """`drawn` is the stage that the whole page was drawn for."""
    if workspace.stage() != drawn:
        st.rerun()
    sweeps.draw(workspace)
    results = results_of(workspace.original, workspace.runs, workspace.tags)
    if len(results) <= 1:
        heading(RUNS)
        st.caption(NOTHING_YET)
        return
    quality, marks = quality_axis(results), marks_of(results)
    title, choice = st.columns([1, 1], vertical_alignment="center")
    with title:
        heading(RUNS)
    with choice:
        cost = tradeoffs.choose_cost()
    front = front_of(marks, cost, quality) if quality else []
    if quality is None:
        st.caption(NO_QUALITY)
    else:
        tradeoffs.draw_charts(workspace, marks, cost, quality)
    labels = labels_of(results)
    tradeoffs.draw_selected(workspace, results, labels)
    tradeoffs.draw_table(workspace, results, front, quality)
    tradeoffs.draw_comparison(workspace, results, labels)


frame.draw(runs)
