"""Time and memory by node: what each product of both models costs, and what limits it."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import streamlit as st

from explorer.events import LimitsMeasured, NodesTimed, require
from explorer.render.cards import UNKNOWN
from explorer.render.charts import Spot, roofline
from explorer.render.labels import precision
from explorer.render.text import format_bytes, format_count, format_seconds, kernels_text
from explorer.ui.headings import heading
from explorer.workspace.questions import Answer
from explorer.workspace.workspace import Workspace

MOST_ROWS = 40
FLOPS = 2  # of a multiply-accumulate
ROOFLINE_PX = 420
COLUMNS = ("Node", "Op", "Runs in", "MACs", "Bytes", "Time", "Share of time")
WAITING = "Timing both models node by node …"
EXPLAINED = (
    "Times are from the runtime's profiler: one thread, one inference, the fastest of several "
    "runs. Profiling adds a few microseconds per node, so only the shares are comparable. Bytes "
    "are the weights, inputs and outputs of the node in the graph, each moved once; where the "
    "runtime fuses quantization into a node, it moves fewer."
)
ROOF = (
    "A node can't exceed the machine's peak compute (flat roof) or its memory bandwidth (slope); "
    "both were measured here in FP32 with one thread. Nodes far below the roof are limited by "
    "something else: call overhead, or kernels that don't fit their shape."
)

Row = Mapping[str, Any]


def draw(workspace: Workspace) -> None:
    """The table and the roofline, once both models are timed."""
    heading("Time and memory by node")
    answers = _answers(workspace)
    if answers is None:
        st.caption(WAITING)
        return
    for answer in answers:
        if answer.error is not None:
            st.text(answer.error)
            return
    original, small = (require(answer.events, NodesTimed).nodes for answer in answers)
    st.html(table_html(original, small))
    told = kernels_text(original, small)
    st.caption(f"{told} {EXPLAINED}" if told else EXPLAINED)
    limits = require(answers[0].events, LimitsMeasured).limits
    heading("Roofline of this machine")
    figure = roofline(limits, spots(original), spots(small))
    st.plotly_chart(figure, height=ROOFLINE_PX, config={"displayModeBar": False}, key="roofline")
    st.caption(f"{_limits_text(limits)} {ROOF}")


def _answers(workspace: Workspace) -> tuple[Answer, Answer] | None:
    """The answers for the original and for the compressed file; None while one is missing."""
    run, source, profile = workspace.view.run, workspace.source, workspace.original.profile
    small = run.finished_file if run is not None else None
    if source is None or small is None or profile is None:
        return None
    original = {
        "path": str(source.model),
        "name": source.title,
        "input_sizes": profile.input_sizes,
    }
    ask = workspace.questions.ask
    asked = {"model": original, "limits": True}
    before = ask(source, "costs", asked, NodesTimed, LimitsMeasured)
    after = ask(source, "costs", {"model": small.arguments()}, NodesTimed)
    return (before, after) if before is not None and after is not None else None


def table_html(original: Sequence[Row], small: Sequence[Row]) -> str:
    """Every node of the original that multiplies, the slowest first, before and after."""
    now = {row["name"]: row for row in small}
    total = sum(row["seconds"] or 0.0 for row in original)
    rows = sorted(original, key=lambda row: -(row["seconds"] or 0.0))
    lines = "".join(_line(row, now.get(row["name"]), total) for row in rows[:MOST_ROWS])
    left = len(rows) - MOST_ROWS
    more = f'<p class="ce-more">Faster nodes that are not shown: {left}.</p>' if left > 0 else ""
    head = "".join(f"<th>{title}</th>" for title in COLUMNS)
    return (
        '<div class="ce-scroll" tabindex="0" role="region" aria-label="Costs of nodes">'
        f'<table class="ce-costs"><thead><tr>{head}</tr></thead>{lines}</table></div>{more}'
    )


def _line(row: Row, now: Row | None, total: float) -> str:
    share = (row["seconds"] or 0.0) / total if total else 0.0
    left = 0.0
    if now is not None and row["seconds"] and now["seconds"] is not None:
        left = min(1.0, now["seconds"] / row["seconds"])
    cells = "".join(
        f"<td>{_pair(row, now, key, text)}</td>"
        for key, text in (
            ("integer", _precision),
            ("macs", format_count),
            ("bytes", format_bytes),
            ("seconds", format_seconds),
        )
    )
    return (
        f'<tr><th scope="row">{escape(row["name"])}</th><td>{escape(row["op"])}</td>{cells}'
        f'<td><span class="ce-share" style="--full:{100 * share:.1f}%;--kept:{left:.2f}">'
        f"</span> {100 * share:.0f} %</td></tr>"
    )


def _precision(is_integer: bool) -> str:
    return precision(8 if is_integer else 32)


def _pair(row: Row, now: Row | None, key: str, text: Any) -> str:
    """Before, struck out, and now; or one of them if they are equal."""
    before = UNKNOWN if row[key] is None else text(row[key])
    after = UNKNOWN if now is None or now[key] is None else text(now[key])
    return before if before == after else f"<s>{before}</s> {after}"


def spots(rows: Sequence[Row]) -> list[Spot]:
    """The timed nodes with their FLOP per byte and per second."""
    return [
        Spot(
            row["name"],
            FLOPS * row["macs"] / row["bytes"],
            FLOPS * row["macs"] / row["seconds"],
        )
        for row in rows
        if row["seconds"] and row["bytes"]
    ]


def _limits_text(limits: Mapping[str, float]) -> str:
    flops = format_count(round(FLOPS * limits["macs_per_s"]))
    bandwidth = format_bytes(round(limits["bytes_per_s"]))
    return f"Peak compute: {flops}FLOP/s; memory bandwidth: {bandwidth}/s."
