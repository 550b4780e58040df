"""Parts of the Trade-offs page: all runs in linked views, and two runs side by side."""

from collections.abc import Mapping, Sequence
from functools import partial
from html import escape
from typing import Any

import pandas as pd
import streamlit as st
from pandas.io.formats.style import Styler

from explorer.render.labels import PARETO_OPTIMAL
from explorer.render.lines_chart import parallel
from explorer.render.tradeoff_charts import Axis, Mark, scatter
from explorer.ui import comparing
from explorer.ui.headings import heading
from explorer.ui.projected import project
from explorer.ui.selecting import clicked, model_key, picked, select, selected, taker
from explorer.ui.tried import (
    COSTS,
    SETTINGS,
    Result,
    columns_of,
    numbers_text,
)
from explorer.workspace.workspace import Workspace

HEIGHT, MOST_ROWS_PX, NUMBER_PX = 380, 420, 82
ROWS_IN_FULL = 10
NONE_SELECTED = "Click a point or a row, or choose a run here, to see, name and annotate it."
CHART = {"displayModeBar": False}
COLUMNS = {
    "pinned": st.column_config.CheckboxColumn("Pinned", width=58),
    "name": st.column_config.TextColumn("Name", width=115),
    "setting": st.column_config.TextColumn("Setting", width=225),
    "front": st.column_config.CheckboxColumn(
        PARETO_OPTIMAL,
        help="No other run is better by more than both intervals at the same or a lower cost.",
        width=100,
    ),
    **{
        key: st.column_config.NumberColumn(axis.title, width=NUMBER_PX)
        for key, axis in COSTS.items()
    },
    "timing": st.column_config.TextColumn(
        "Timing", help="Not reliable: the machine was busy during the measurement.", width=82
    ),
}


def choose_cost() -> Axis:
    """The cost that the runs are drawn over."""
    st.session_state.setdefault("w_cost", next(iter(COSTS)))
    chosen = st.segmented_control(
        "Cost",
        list(COSTS),
        key="w_cost",
        format_func=lambda key: COSTS[key].title,
        required=True,
        label_visibility="collapsed",
        persist_state="session",
    )
    return COSTS[chosen or next(iter(COSTS))]


def draw_charts(workspace: Workspace, marks: Sequence[Mark], cost: Axis, quality: Axis) -> None:
    """Quality over the cost, and all axes as parallel lines."""
    looked_at = selected(workspace)
    axes = (*SETTINGS, COSTS["file_bytes"], COSTS["macs"], COSTS["latency"], quality)
    figures = {
        "scatter": (scatter(marks, cost, quality, looked_at), f"{cost.title} and {quality.title}"),
        "parallel": (parallel(marks, axes, looked_at), "A line for each run over all numbers"),
    }
    for column, (key, (figure, alt)) in zip(st.columns(2), figures.items(), strict=True):
        with column, st.container(key=f"trade_{key}"):
            st.plotly_chart(
                figure,
                height=HEIGHT,
                key=f"chart_{key}",
                config=CHART,
                on_select=taker(workspace, f"chart_{key}", clicked),
                selection_mode="points",
                alt=f"{alt}; the table below has the same numbers.",
            )


def draw_selected(
    workspace: Workspace, results: Sequence[Result], labels: Mapping[str, str]
) -> None:
    """The run that is looked at, with its name, its pin, and a button to use it."""
    by_key = {each.key: each for each in results}
    chosen = [by_key[key] for key in selected(workspace) if key in by_key]
    looked_at = project("looked_at", chosen[0].key if chosen else None, _named(workspace))
    with st.container(horizontal=True, vertical_alignment="bottom", key="trade_selected"):
        st.selectbox(
            "Run",
            list(by_key),
            key=looked_at.key,
            format_func=labels.__getitem__,
            placeholder="None selected",
            on_change=looked_at.taker(lambda key: select(workspace, [key])),
            width=340,
        )
        if chosen:
            _draw_actions(workspace, chosen[0])
    if chosen:
        text = numbers_text(chosen[0])
        st.html(f'<p class="ce-about"><b>{escape(chosen[0].label)}</b>: {escape(text)}</p>')
    else:
        st.caption(NONE_SELECTED)


def _named(workspace: Workspace) -> object:
    """Changes with the labels of runs that are listed already; another run only adds one."""
    return model_key(workspace), workspace.tags


def _draw_actions(workspace: Workspace, result: Result) -> None:
    texts = (
        ("name", result.name, workspace.rename, 180),
        ("note", result.note, workspace.annotate, 300),
    )
    for part, text, keep, width in texts:
        shown = project(part, text, of=(model_key(workspace), result.key))
        st.text_input(
            part.capitalize(),
            key=shown.key,
            placeholder=f"No {part}",
            width=width,
            on_change=shown.taker(partial(keep, result.key)),
        )
    st.button(
        "Unpin" if result.is_pinned else "Pin",
        key="trade_pin",
        on_click=workspace.toggle_pin,
        args=[result.key],
    )
    st.button(
        "Use this setting",
        key="trade_use",
        disabled=result.recipe == workspace.recipe,
        on_click=workspace.set_recipe,
        args=[result.recipe],
    )


def draw_table(
    workspace: Workspace, results: Sequence[Result], front: Sequence[str], quality: Axis | None
) -> None:
    """All runs, with the selected ones ticked; `front` are the keys of the Pareto-optimal ones."""
    keys = [each.key for each in results]
    key = _table_key(workspace)

    def ticked(chosen: Any) -> list[str]:
        """Nothing where another table is there by now."""
        return picked(chosen, keys) if key == _table_key(workspace) else []

    title = quality.title if quality is not None else "Quality"
    columns = {
        **COLUMNS,
        "quality": st.column_config.NumberColumn(title, width=NUMBER_PX),
        "note": st.column_config.TextColumn("Note", width=225),
    }
    rows = [keys.index(each) for each in selected(workspace) if each in keys]
    st.dataframe(
        _styled(pd.DataFrame(columns_of(results, front)), quality),
        key=key,
        column_config=columns,
        hide_index=True,
        height="content" if len(results) <= ROWS_IN_FULL else MOST_ROWS_PX,
        placeholder="–",
        on_select=taker(workspace, key, ticked, is_shown=True),
        selection_mode="multi-row",
        selection_default={"selection": {"rows": rows}},
        alt="All runs with their results.",
    )


def _table_key(workspace: Workspace) -> str:
    return f"settings_{workspace.selection.epoch}_{model_key(workspace)}"


def _styled(frame: pd.DataFrame, quality: Axis | None) -> Styler:
    """Numbers as everywhere else, which still sort as numbers."""
    axes = {**COSTS, **({"quality": quality} if quality is not None else {})}
    texts: Any = {key: axis.text for key, axis in axes.items()}
    return frame.style.format(texts, na_rep="–")


def draw_comparison(
    workspace: Workspace, results: Sequence[Result], labels: Mapping[str, str]
) -> None:
    """The selected run beside another one."""
    heading("Side by side")
    by_key = {each.key: each for each in results}
    known = [key for key in selected(workspace) if key in by_key]
    if not known:
        st.caption("Select a run to compare it with the original or with another run.")
        return
    one = known[0]
    others = [key for key in by_key if key != one]
    compared = project("compared", known[1] if len(known) > 1 else others[0], _named(workspace))
    st.selectbox(
        "Compared with",
        others,
        key=compared.key,
        format_func=labels.__getitem__,
        on_change=compared.taker(lambda key: select(workspace, [one, key])),
        width=340,
    )
    pair = (by_key[st.session_state[compared.key]], by_key[one])
    for drawn in (comparing.settings_html, comparing.numbers_html, comparing.layers_html):
        st.html(drawn(*pair))
