"""The sweep on the Trade-offs page: its runs, its progress, and the runs that failed."""

from collections.abc import Callable
from dataclasses import replace
from html import escape
from typing import Any

import streamlit as st

from explorer.errors import RecipeError
from explorer.recipe import ACTIVATION_BITS, PATTERNS, WEIGHT_BITS, Recipe
from explorer.render import labels
from explorer.render.words import describe, percent
from explorer.search.sweep import MOST_SETTINGS, WAYS, settings
from explorer.workspace.sweep_runs import SweepRuns
from explorer.workspace.workspace import Workspace

PATTERN_LABELS = {**labels.PATTERNS, "none": labels.QUANTIZATION_ONLY}
MOST_STEPS, MOST_PERCENT, MOST_SEED = 20, 95, 2**31 - 1
ALL_ELSE = (
    "All other settings stay as they are now. Each run is compressed, timed and scored as on "
    "Explore; runs that were measured before are not repeated."
)
MINUTE_S = 60


def draw(workspace: Workspace) -> None:
    """The form, or the sweep's progress; and the runs that failed."""
    sweeping = workspace.sweep
    if sweeping.running or sweeping.paused:
        _draw_progress(workspace)
    else:
        with st.expander("Sweep", expanded=len(workspace.runs) <= 1, key="sweep"):
            _draw_form(workspace)
        done, count = sweeping.progress
        if count:
            st.caption(f"The last sweep finished {_counted(done)}.")
    if sweeping.failures:
        st.html(failures_html(sweeping))


def progress_text(sweeping: SweepRuns) -> str:
    """12 of 24 runs, about 30 s left."""
    done, count = sweeping.progress
    text, left_s = f"{done} of {count} runs", sweeping.time_left_s
    if sweeping.paused:
        return f"{text}, paused"
    return text if left_s is None else f"{text}, about {_duration(left_s)} left"


def failures_html(sweeping: SweepRuns) -> str:
    """Each run that failed, with its sentence."""
    items = "".join(
        f"<li><b>{escape(describe(recipe))}:</b> {escape(sentence)}</li>"
        for recipe, sentence in sweeping.failures
    )
    return f'<div class="ce-reasons">Incomplete runs:<ul>{items}</ul></div>'


def _duration(seconds: float) -> str:
    minutes = round(seconds / MINUTE_S)
    return f"{max(1, round(seconds))} s" if seconds < 2 * MINUTE_S else f"{minutes} min"


def _counted(count: int) -> str:
    return "1 run" if count == 1 else f"{count} runs"


def _draw_progress(workspace: Workspace) -> None:
    sweeping = workspace.sweep
    done, count = sweeping.progress
    with st.container(horizontal=True, vertical_alignment="center", key="sweep_progress"):
        st.progress(done / count, progress_text(sweeping))
        if sweeping.paused:
            _button("Resume", "sweep_go_on", workspace, sweeping.go_on)
        else:
            _button("Pause", "sweep_pause", workspace, sweeping.pause)
        _button("Cancel", "sweep_cancel", workspace, sweeping.stop)
    if sweeping.running and sweeping.current is not None:
        st.caption(f"Measuring {_plain(sweeping.current)}.")
    elif sweeping.running:
        st.caption("Waiting for your other work to finish.")


def _plain(recipe: Recipe) -> str:
    """Without overrides for layers, whose names are anybody's."""
    return describe(replace(recipe, layers=()))


def _button(label: str, key: str, workspace: Workspace, act: Callable[[], None]) -> None:
    st.button(label, key=key, on_click=workspace.guarded(act))


def _draw_form(workspace: Workspace) -> None:
    design = workspace.sweep.design
    way, seed = st.columns([1, 1.4], vertical_alignment="bottom")
    with way:
        _project(workspace, "way", design.way)
        st.segmented_control(
            "Method",
            WAYS,
            key="w_sweep_way",
            format_func=lambda way: labels.WAYS[way],
            required=True,
            on_change=_writer(workspace, "way"),
        )
    with seed, st.container(horizontal=True, vertical_alignment="bottom"):
        if design.way == "random":
            _number(workspace, labels.RUNS, "count", 1, MOST_SETTINGS)
            _number(workspace, labels.RECIPE["seed"], "seed", 0, MOST_SEED)
        else:
            _number(workspace, "Ratio steps", "steps", 1, MOST_STEPS)
    left, right = st.columns(2)
    with left:
        _several(workspace, labels.RECIPE["pattern"], "patterns", PATTERNS, PATTERN_LABELS)
        st.session_state["w_sweep_ratios"] = (percent(design.lowest), percent(design.highest))
        st.slider(
            labels.RECIPE["ratio"],
            0,
            MOST_PERCENT,
            key="w_sweep_ratios",
            format="%d %%",
            help="For structured, unstructured and block pruning.",
            on_change=_take_ratios(workspace),
        )
    with right:
        for name, options in (("weight_bits", WEIGHT_BITS), ("activation_bits", ACTIVATION_BITS)):
            _several(workspace, labels.RECIPE[name], name, options, labels.PRECISIONS)
    _draw_start(workspace)


def _draw_start(workspace: Workspace) -> None:
    refusal = ""
    try:
        wanted = settings(workspace.recipe, workspace.sweep.design)
    except RecipeError as error:
        wanted, refusal = (), str(error)
    with st.container(horizontal=True, vertical_alignment="center", key="sweep_start_row"):
        st.button(
            f"Start {_counted(len(wanted))}",
            key="sweep_start",
            type="primary",
            disabled=not wanted or workspace.source is None,
            on_click=_start,
            args=[workspace],
        )
        st.caption(refusal or ALL_ELSE, width="stretch")


def _start(workspace: Workspace) -> None:
    with workspace.lock:
        if workspace.source is not None:
            wanted = settings(workspace.recipe, workspace.sweep.design)
            workspace.sweep.start(workspace.source, wanted)


def _number(workspace: Workspace, label: str, name: str, least: int, most: int) -> None:
    _project(workspace, name, getattr(workspace.sweep.design, name))
    st.number_input(
        label,
        least,
        most,
        step=1,
        key=f"w_sweep_{name}",
        width=160,
        on_change=_writer(workspace, name),
    )


def _several(
    workspace: Workspace, label: str, name: str, options: tuple[Any, ...], names: dict[Any, str]
) -> None:
    _project(workspace, name, list(getattr(workspace.sweep.design, name)))
    st.multiselect(
        label,
        options,
        key=f"w_sweep_{name}",
        format_func=lambda option: names.get(option, str(option)),
        on_change=_writer(workspace, name, tuple),
    )


def _project(workspace: Workspace, name: str, value: Any) -> None:
    st.session_state[f"w_sweep_{name}"] = value


def _writer(
    workspace: Workspace, name: str, convert: Callable[[Any], Any] = lambda value: value
) -> Callable[[], None]:
    """A callback that writes a widget's value back into the design."""

    def write() -> None:
        value = convert(st.session_state[f"w_sweep_{name}"])
        workspace.sweep.design = replace(workspace.sweep.design, **{name: value})

    return write


def _take_ratios(workspace: Workspace) -> Callable[[], None]:
    def write() -> None:
        lowest, highest = st.session_state["w_sweep_ratios"]
        workspace.sweep.design = replace(
            workspace.sweep.design, lowest=lowest / 100, highest=highest / 100
        )

    return write
