"""What changed: by class, by sample and by weight."""

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from explorer.events import Compared, Document, Event, WeightsCompared, require
from explorer.runs import Run
from explorer.ui import drawings
from explorer.ui.headings import heading
from explorer.workspace.questions import Answer
from explorer.workspace.workspace import Workspace

NO_SAMPLES = "There are no samples to compare the two models on; add some to this model."
NO_CLASSES = "This model has no class scores, so there are no predicted classes to compare."
NOT_CONSTANT = "This layer's weights are packed in a way that can't be drawn."
WAITING = "Comparing the two models …"


def draw_classes(workspace: Workspace) -> None:
    """Gains and losses of each class, and where its samples went."""
    compared = _compared(workspace)
    if compared is not None:
        changes, _ = compared
        names = _names(workspace)
        st.html(drawings.classes_html(changes, names))
        heading("Confusion matrix (difference)", 3)
        st.html(drawings.confusion_html(changes, names))


def draw_flips(workspace: Workspace) -> None:
    """Samples whose predicted class changed."""
    compared = _compared(workspace)
    if compared is not None and workspace.source is not None:
        changes, pictures = compared
        names, characters = _names(workspace), workspace.source.characters
        st.html(drawings.flips_html(changes, pictures, names, characters))


def draw_weights(workspace: Workspace) -> None:
    """How the weights of a layer are distributed, before and after."""
    run = _finished(workspace)
    if run is None:
        st.caption(WAITING)
        return
    layers = [layer.name for layer in run.layers]
    layer = st.selectbox("Layer", layers, key="weights_layer")
    answer = _ask(workspace, run, "weights", {"layer": layer}, WeightsCompared)
    if answer is None:
        st.caption("Reading the weights …")
    elif answer.error is not None:
        st.text(answer.error)
    else:
        histograms = require(answer.events, WeightsCompared).histograms
        if histograms is None:
            st.caption(NOT_CONSTANT)
        else:
            st.html(drawings.histogram_html(histograms))


def _compared(workspace: Workspace) -> tuple[Document, Sequence[Document]] | None:
    """The changes on all samples and pictures of some, or None and a word on the page."""
    if workspace.original.samples == 0:
        st.caption(NO_SAMPLES)
        return None
    run = _finished(workspace)
    answer = _ask(workspace, run, "compare", {}, Compared) if run is not None else None
    if answer is None:
        st.caption(WAITING)
    elif answer.error is not None:
        st.text(answer.error)
    else:
        compared = require(answer.events, Compared)
        if compared.changes is not None:
            return compared.changes, compared.pictures
        st.caption(NO_CLASSES)
    return None


def _finished(workspace: Workspace) -> Run | None:
    """The setting on the screen, once its file is written."""
    run = workspace.view.run
    return run if run is not None and run.finished_file is not None else None


def _ask(
    workspace: Workspace, run: Run, task: str, more: Mapping[str, Any], needed: type[Event]
) -> Answer | None:
    assert workspace.source is not None
    assert run.artifact is not None
    small = run.artifact.arguments()
    given = {"source": workspace.source.arguments(), "small": small, **more}
    return workspace.questions.ask(workspace.source, task, given, needed)


def _names(workspace: Workspace) -> drawings.Names:
    return drawings.Names(workspace.source.classes if workspace.source is not None else ())
