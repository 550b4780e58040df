"""Which class each label of a person's file stands for: what was assumed, and another choice."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pandas as pd
import streamlit as st

from explorer.description import Relabelling
from explorer.metrics import CLASS_METRICS
from explorer.render.markdown import on_page
from explorer.render.text import relabelling_sentence
from explorer.workspace.sources import Source
from explorer.workspace.workspace import Workspace

TITLE = "Labels and classes"
MOST_CLASS = 9_999


def draw(workspace: Workspace) -> None:
    """A warning where labels seem permuted, with a button, and a table to change any of them."""
    source = workspace.source
    if source is None or source.drop is None or not source.pairs or not _has_classes(workspace):
        return
    found = workspace.original.relabelling
    if found is not None:
        st.warning(on_page(relabelling_sentence(found, source.classes)))
        st.button(
            "Renumber the labels",
            key="relabel",
            width="stretch",
            on_click=lambda: _read_again(workspace, source, renumbered(source.pairs, found)),
        )
    with st.expander(TITLE, key="renumbering"), st.form("classes", border=False):
        table = pd.DataFrame(source.pairs, columns=["Label", "Class"])
        edited = st.data_editor(
            table,
            key=f"classes_{source.key}",
            hide_index=True,
            disabled=["Label"],
            column_config={
                "Class": st.column_config.NumberColumn(min_value=0, max_value=MOST_CLASS, step=1)
            },
        )
        if st.form_submit_button("Use these classes", width="stretch"):
            numbers = [int(number) for number in edited["Class"].fillna(-1)]
            names = (name for name, _ in source.pairs)
            _read_again(workspace, source, dict(zip(names, numbers, strict=True)))
            st.rerun()


def renumbered(pairs: Sequence[tuple[str, int]], found: Relabelling) -> dict[str, int]:
    """The class of each label once a relabelling is put into effect."""
    numbers = dict(enumerate(found.numbers))
    return {name: numbers.get(number, number) for name, number in pairs}


def _has_classes(workspace: Workspace) -> bool:
    described = workspace.original.description
    scoring = described.scoring if described is not None else None
    return scoring is not None and any(name in scoring.possible for name in CLASS_METRICS)


def _read_again(workspace: Workspace, source: Source, mapping: Mapping[str, int]) -> None:
    assert source.drop is not None
    workspace.read(replace(source.drop, mapping=json.dumps(mapping)))
