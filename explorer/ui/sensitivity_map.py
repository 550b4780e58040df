"""The sensitivity of each layer and group: a button, a heat map, and columns for the table."""

from collections.abc import Mapping, Sequence
from html import escape

import plotly.graph_objects as go
import streamlit as st

from explorer.digits import fixed
from explorer.findings import Sensitivity
from explorer.metrics import DECIBELS, METRICS
from explorer.render.charts import Cell, heat_map
from explorer.render.explain import few
from explorer.render.labels import precision
from explorer.render.text import counted_samples
from explorer.render.text_tables import NOTHING_TO_COMPRESS
from explorer.render.words import HELP, percent
from explorer.report import points_lost
from explorer.ui import budget
from explorer.ui.frame import REDRAW_S
from explorer.ui.headings import heading
from explorer.ui.turns import turn
from explorer.workspace.workspace import Workspace

ROW_PX, AXIS_PX, LARGEST_PX = 24, 62, 700
COLUMNS: Mapping[tuple[str, float], str] = {
    **{("ratio", ratio): f"{percent(ratio)} %<br>pruned" for ratio in (0.25, 0.5, 0.75)},
    **{("weight_bits", bits): precision(bits) for bits in (8, 6, 4, 3, 2)},
}
TABLE_RATIO, TABLE_BITS = 0.5, 4
NO_SAMPLES = "There are no samples to measure sensitivity on; add some to this model."


def draw(workspace: Workspace) -> None:
    """The section; it draws itself anew while measuring goes on."""
    running = (workspace.sensitivity.running, workspace.budget.running)
    st.fragment(_draw, run_every=REDRAW_S if any(running) else None)(workspace, running)


@turn()
def _draw(workspace: Workspace, drawn: tuple[bool, bool]) -> None:
    """`drawn` says what went on when the whole page was drawn, which then polls."""
    if (workspace.sensitivity.running, workspace.budget.running) != drawn:
        st.rerun()
    heading("Sensitivity")
    _controls(workspace)
    found = workspace.sensitivities
    if not found:
        if workspace.sensitivity.is_complete(workspace.source, workspace.recipe):
            st.caption(NOTHING_TO_COMPRESS)
        return
    st.caption(caption(found))
    described = workspace.original.description
    names = [layer.name for layer in described.layers] if described is not None else []
    figure, height = figure_of(found, names)
    with st.container(height=LARGEST_PX if height > LARGEST_PX else "content", border=False):
        st.plotly_chart(
            figure,
            height=height,
            key="sensitivity",
            config={"displayModeBar": False},
            alt="Loss when only one layer or group is compressed: layers down, settings across.",
        )
    if workspace.sensitivity.is_complete(workspace.source, workspace.recipe):
        budget.draw(workspace)


def _controls(workspace: Workspace) -> None:
    probing, source = workspace.sensitivity, workspace.source
    done, count = probing.progress(source, workspace.recipe)
    if probing.running:
        text = f"measuring, {done} of {count}" if count else "calibrating"
        with st.container(horizontal=True, vertical_alignment="center"):
            st.progress(done / count if count else 0.0, text)
            stop = workspace.guarded(probing.stop)
            st.button("Cancel", key="sensitivity_cancel", on_click=stop)
        return
    samples = workspace.original.samples
    if not probing.is_complete(source, workspace.recipe):
        st.button(
            "Resume" if done else "Measure sensitivity",
            key="sensitivity_start",
            help=HELP["sensitivity"],
            disabled=not samples or source is None,
            on_click=workspace.measure_sensitivity,
        )
        if samples == 0:
            st.caption(NO_SAMPLES)


def loss_of(found: Sensitivity) -> float:
    """Percentage points lost; where there are no classes, the outputs' error in percent."""
    return points_lost(found.quality, found.output_error)


def caption(found: Sequence[Sensitivity]) -> str:
    """What the numbers are, and of how many samples."""
    quality = found[0].quality
    metric = METRICS[quality.metric]
    unit = (
        "Squared error of the outputs in percent of their variance,"
        if metric.unit == DECIBELS
        else f"Increase of {metric.noun} in percent"
        if metric.falls
        else f"Loss of {metric.noun} in percentage points"
    )
    return (
        f"{unit} when only this layer or group is compressed, measured on "
        f"{counted_samples(quality.samples)}. A group of coupled layers is listed under its first "
        "layer."
    )


def figure_of(found: Sequence[Sensitivity], names: Sequence[str]) -> tuple[go.Figure, int]:
    """The heat map with its height in pixels; `names` are the layers in the network's order."""
    places = {each.probe.place for each in found}
    rows = [name for name in names if name in places]
    columns = list(COLUMNS)
    cells = [
        Cell(rows.index(each.probe.place), columns.index(setting), loss_of(each), _label(each))
        for each in found
        if (setting := _setting(each)) in COLUMNS
    ]
    return heat_map(rows, list(COLUMNS.values()), cells), ROW_PX * len(rows) + AXIS_PX


def _setting(found: Sensitivity) -> tuple[str, float]:
    probe = found.probe
    if probe.ratio is not None:
        return "ratio", probe.ratio
    assert probe.weight_bits is not None  # a probe has one of the two
    return "weight_bits", probe.weight_bits


def _label(found: Sensitivity) -> str:
    probe = found.probe
    if probe.weight_bits is not None:
        what = f"{precision(probe.weight_bits)} weights"
    else:
        what = f"{found.kept} of {found.channels} channels remain"
    loss = fixed(loss_of(found), 2)
    lines = [f"<b>{escape(probe.place)}</b>", f"{what}: {loss} lost"]
    others = [name for name in probe.members if name != probe.place]
    if others:
        lines.append(f"with {escape(few(others))}")
    return "<br>".join(lines)


def table_columns(
    found: Sequence[Sensitivity], names: Sequence[str]
) -> dict[str, list[float | None]]:
    """Losses for the table of layers, at half the channels and at 4 bits; none before the first."""
    if not found:
        return {}
    by_ratio = {
        member: loss_of(each)
        for each in found
        if each.probe.ratio == TABLE_RATIO
        for member in each.probe.members
    }
    narrow = [each for each in found if each.probe.weight_bits == TABLE_BITS]
    by_bits = {each.probe.place: loss_of(each) for each in narrow}
    return {
        "loss_ratio": [by_ratio.get(name) for name in names],
        "loss_bits": [by_bits.get(name) for name in names],
    }
