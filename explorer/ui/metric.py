"""How quality is measured: what was guessed from outputs and labels, and another choice."""

import streamlit as st

from explorer.description import Scoring
from explorer.metrics import CHOICES, METRICS
from explorer.ui.projected import project
from explorer.workspace.workspace import Workspace

AUTOMATIC = "automatic"  # a choice of its own, as a list shows none for None
HELP = (
    "“Automatic” is the metric that fits the model's outputs and the labels. Each metric has its "
    "own list of runs: after a change, only the current setting is measured again."
)


def draw(workspace: Workspace) -> None:
    """A choice of the metrics that fit the open model's labels, with the reason for the guess."""
    described = workspace.original.description
    scoring = described.scoring if described is not None else None
    if workspace.source is None or scoring is None:
        return
    chosen = workspace.source.metric
    names = [AUTOMATIC, *options(scoring, chosen)]
    choice = project("metric", chosen or AUTOMATIC, of=workspace.source.key)
    st.selectbox(
        "Metric",
        names,
        key=choice.key,
        format_func=lambda name: title_of(name, scoring),
        help=HELP,
        on_change=choice.taker(
            lambda name: workspace.set_metric(None if name == AUTOMATIC else name)
        ),
    )
    st.caption(f"Scored by {METRICS[scoring.metric].noun}, {scoring.reason}.")


def options(scoring: Scoring, chosen: str | None) -> list[str]:
    """The metrics that can be chosen; what a process says may be anything."""
    return [name for name in CHOICES if name in scoring.possible or name == chosen]


def title_of(name: str, scoring: Scoring) -> str:
    """As the list shows it."""
    if name != AUTOMATIC:
        return METRICS[name].title
    guess = next(iter(scoring.possible), "")
    return f"Automatic ({METRICS[guess].noun})" if guess in METRICS else "Automatic"
