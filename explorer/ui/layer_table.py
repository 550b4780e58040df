"""The table of layers: what the plan does to each, and overrides of ratio and bits."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from html import escape
from typing import Any

import pandas as pd
import streamlit as st
from pandas.io.formats.style import Styler

from explorer.recipe import WEIGHT_BITS, LayerChoice, Recipe
from explorer.render import words
from explorer.render.charts import loss_text
from explorer.render.explain import few, group_sentences
from explorer.render.labels import LAYER_COLUMNS, capitalized
from explorer.render.words import percent
from explorer.report import LayerPlan, Plan
from explorer.storage_types import element_name
from explorer.ui import sensitivity_map
from explorer.workspace.workspace import Workspace

LABELS = {key: capitalized(label) for key, label in LAYER_COLUMNS.items()}
COLUMNS = {
    "layer": st.column_config.TextColumn(LABELS["layer"], pinned=True, width=120),
    "op": st.column_config.TextColumn(LABELS["op"], width=70),
    "channels": st.column_config.NumberColumn(LABELS["channels"], width=70),
    "removable": st.column_config.NumberColumn(
        LABELS["removable"],
        help="How many channels can be pruned at most; if none, the last column says why.",
        width=70,
    ),
    "kept": st.column_config.NumberColumn(LABELS["kept"], width=76),
    "zeros": st.column_config.NumberColumn(LABELS["zeros"], format="%d %%", width=68),
    "bits": st.column_config.NumberColumn(LABELS["bits"], width=40),
    "storage": st.column_config.TextColumn(LABELS["storage"], width=74),
    "own_ratio": st.column_config.NumberColumn(
        "Override: ratio",
        help="Pruning ratio of this layer in percent. Empty: the recipe's ratio.",
        min_value=0,
        max_value=95,
        step=1,
        format="%d %%",
        width=112,
    ),
    "own_bits": st.column_config.SelectboxColumn(
        "Override: bits",
        help="Weight bits of this layer. Empty: the recipe's bits.",
        options=list(WEIGHT_BITS),
        width=108,
    ),
    "loss_ratio": st.column_config.NumberColumn(
        "Loss, 50 %", help=words.HELP["loss_ratio"], width=76
    ),
    "loss_bits": st.column_config.NumberColumn(
        "Loss, INT4", help=words.HELP["loss_bits"], width=82
    ),
    "coupled": st.column_config.TextColumn(
        LABELS["coupled"],
        help="Layers whose channels are pruned together with this one's; the sentences below the "
        "table say why. If their overrides differ, the smallest ratio is used.",
        width=98,
    ),
    "why": st.column_config.TextColumn(LABELS["why"], width=100),
}
ROWS_IN_FULL = 24
NAMES_SHOWN = 8
EDITABLE = ("own_ratio", "own_bits")
LOSSES = ("loss_ratio", "loss_bits")


def draw(workspace: Workspace, planned: Sequence[LayerPlan]) -> None:
    """The table with its overrides, and a button to clear them."""
    names = [layer.name for layer in planned]
    losses = sensitivity_map.table_columns(workspace.sensitivities, names)
    key = _key(workspace)
    st.data_editor(
        with_minus_signs(pd.DataFrame({**rows(planned, workspace.recipe), **losses})),
        key=key,
        column_config=COLUMNS,
        column_order=shown_columns(planned, losses),
        disabled=[name for name in COLUMNS if name not in EDITABLE],
        hide_index=True,
        height="content" if len(planned) <= ROWS_IN_FULL else "auto",
        placeholder="–",
        on_change=lambda: take_edits(workspace, key, names),
        alt="What the plan does to each layer.",
    )
    if workspace.recipe.layers:
        without = replace(workspace.recipe, layers=())
        st.button("Clear overrides", on_click=lambda: workspace.set_recipe(without))


def with_minus_signs(frame: pd.DataFrame) -> pd.DataFrame | Styler:
    """The table with its losses, where it has any, written as in the heat map."""
    losses: list[Hashable] = [name for name in LOSSES if name in frame]
    return frame.style.format(_loss_text, subset=losses, na_rep="") if losses else frame


def shown_columns(
    planned: Sequence[LayerPlan], losses: Mapping[str, Sequence[float | None]]
) -> list[str]:
    """All columns except those without any values."""
    empty = () if losses else LOSSES
    if not any(layer.sparsity for layer in planned):
        empty = (*empty, "zeros")
    return [name for name in COLUMNS if name not in empty]


def rows(planned: Sequence[LayerPlan], recipe: Recipe) -> dict[str, Any]:
    """The plan's layers and the recipe's overrides as columns."""
    choices = [recipe.choice(layer.name) for layer in planned]
    ratios = [None if c.ratio is None else percent(c.ratio) for c in choices]
    return {
        "layer": [layer.name for layer in planned],
        "op": [layer.op for layer in planned],
        "channels": [layer.channels for layer in planned],
        "removable": [layer.removable for layer in planned],
        "kept": [layer.kept for layer in planned],
        "zeros": [percent(layer.sparsity) for layer in planned],
        "bits": [layer.weight_bits for layer in planned],
        "storage": [element_name(layer.storage) for layer in planned],
        "own_ratio": pd.array(ratios, dtype="Int64"),
        "own_bits": pd.array([c.weight_bits for c in choices], dtype="Int64"),
        "coupled": [few(layer.shrinks_with) for layer in planned],
        "why": [layer.constraint for layer in planned],
    }


def reasons_html(planned: Sequence[LayerPlan]) -> str:
    """Every reason in full, with the layers left alone for it."""
    reasons: dict[str, list[str]] = {}
    for layer in planned:
        if layer.constraint:
            reasons.setdefault(layer.constraint, []).append(layer.name)
    items = "".join(
        f"<li><b>{escape(few(names, NAMES_SHOWN))}:</b> {escape(reason)}</li>"
        for reason, names in reasons.items()
    )
    return f'<div class="ce-reasons">Constraints:<ul>{items}</ul></div>' if items else "<div></div>"


def ties_html(plan: Plan) -> str:
    """Why layers are coupled, a sentence for each group."""
    items = "".join(f"<li>{escape(sentence)}</li>" for sentence in group_sentences(plan.groups))
    return (
        f'<div class="ce-reasons">Coupled layers:<ul>{items}</ul></div>' if items else "<div></div>"
    )


def with_edits(
    recipe: Recipe, names: Sequence[str], edits: Mapping[int, Mapping[str, Any]]
) -> Recipe:
    """The recipe with the edited cells, by row, as layer choices; empty cells remove them."""
    choices = {choice.name: choice for choice in recipe.layers}
    for row, cells in edits.items():
        choice = choices.get(names[row], LayerChoice(names[row]))
        if "own_ratio" in cells:
            ratio = cells["own_ratio"]
            choice = replace(choice, ratio=None if ratio is None else ratio / 100)
        if "own_bits" in cells:
            choice = replace(choice, weight_bits=cells["own_bits"])
        choices[choice.name] = choice
    kept = (c for c in choices.values() if c.ratio is not None or c.weight_bits is not None)
    return replace(recipe, layers=tuple(kept))


def _loss_text(loss: object) -> str:
    assert isinstance(loss, float)
    return loss_text(loss)


def _key(workspace: Workspace) -> str:
    return f"layers_{workspace.overrides_epoch}_{workspace.source.key if workspace.source else ''}"


def take_edits(workspace: Workspace, key: str, names: Sequence[str]) -> None:
    """Make the edits overrides of the layers, unless another table is there by now."""
    if key == _key(workspace):
        edits = st.session_state[key]["edited_rows"]
        workspace.edit_recipe(with_edits(workspace.recipe, names, edits))
