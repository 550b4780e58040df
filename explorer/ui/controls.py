"""The sidebar: which model, and what to do to it."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import streamlit as st

from explorer.errors import ExplorerError, RecipeError
from explorer.recipe import (
    CRITERIA,
    GRANULARITIES,
    INT8_RANGES,
    SCOPES,
    Recipe,
)
from explorer.render import labels, words
from explorer.ui import input_sizes, metric, reading, renumbering, uploads
from explorer.ui.input_sizes import shape_in
from explorer.ui.projected import Projected, project
from explorer.workspace.workspace import Workspace

Files = list[tuple[str, bytes]]

ROUND_TO = (1, 2, 4, 8, 16, 32)
GROUP_SIZES = (16, 32, 64, 128)
REMOVE = "Deletes this model's files and results, except files that another of your models uses."
RECIPE_BYTES = 2**24
SHAPE = "Shape of the input, batch size first. Only for TorchScript files that don't record it."
FORMATS = (
    "Models: ONNX (zipped together with its external weights, if it has any), .pt2 from "
    "torch.export, TorchScript, or a checkpoint (.pt, .pth, .safetensors) of a network that the "
    "explorer knows. Samples: .npz with arrays named after the inputs (or `x`) and labels in `y`, "
    "a .csv table, or a zip of PNG or JPEG images with one folder per class. Without samples, "
    "accuracy can't be measured. Files stay on this server and are deleted when the session ends."
)
CLOSED = (
    "TorchScript and .pt2 files can't be opened here, because they run code and this server's "
    "sandbox lets programs {leaks}."
)


def draw(workspace: Workspace) -> None:
    """All controls, in the sidebar."""
    with st.sidebar:
        st.html(WORDMARK)
        _model(workspace)
        with st.expander("Advanced settings", key="more", expanded=True):
            _advanced_settings(workspace)


WORDMARK = (
    '<div class="ce-mark"><span class="ce-bars"><i></i><i></i><i></i></span>'
    "<span>compression<b>explorer</b></span></div>"
)


def _model(workspace: Workspace) -> None:
    model = project("model", workspace.selected.key if workspace.selected else None)
    st.selectbox(
        "Model",
        list(workspace.sources),
        key=model.key,
        format_func=lambda key: workspace.sources[key].title,
        on_change=model.taker(lambda key: workspace.open(workspace.sources[key])),
    )
    own = workspace.selected
    if own is not None and own.drop is not None:
        st.button(
            "Remove this model",
            key="remove_model",
            icon=":material/delete:",
            type="tertiary",
            help=REMOVE,
            disabled=workspace.importing.running,
            on_click=lambda: workspace.remove(own.key),
        )
    label, icon = "Open your own model", ":material/upload_file:"
    with st.popover(label, width="stretch", icon=icon, key="own_model", on_change="rerun"):
        _drop_box(workspace, "A model and, if you have them, samples", None, _take_files)
        st.text_input("Input shape", key="w_shape", placeholder="1 x 3 x 224 x 224", help=SHAPE)
        st.caption(FORMATS)
        host = workspace.original.host
        if host is not None and host.leaks:
            st.caption(CLOSED.format(leaks=" and ".join(host.leaks)))
    reading.draw(workspace)
    metric.draw(workspace)
    renumbering.draw(workspace)
    input_sizes.draw(workspace)


def _take_files(workspace: Workspace, files: Files) -> None:
    st.session_state["own_model"] = False  # the page shows the result
    workspace.receive(files, shape_in(st.session_state["w_shape"]))


def _take_recipe(workspace: Workspace, files: Files) -> None:
    if len(files[-1][1]) > RECIPE_BYTES:
        raise RecipeError("This file is too large for a recipe.")
    workspace.set_recipe(Recipe.from_json(files[-1][1]))


def _drop_box(
    workspace: Workspace,
    label: str,
    types: list[str] | None,
    take: Callable[[Workspace, Files], None],
) -> None:
    """An upload box that is empty again once its files, (name, bytes) each, are taken."""
    epoch = st.session_state.setdefault("drops", 0)
    key = f"w_{take.__name__}_{epoch}"

    def changed() -> None:
        files = uploads.take(st.session_state[key] or ())
        if not files:
            return
        st.session_state["drops"] = epoch + 1
        try:
            take(workspace, files)
        except ExplorerError as error:
            workspace.notice = str(error)

    st.file_uploader(label, type=types, accept_multiple_files=True, key=key, on_change=changed)


def _advanced_settings(workspace: Workspace) -> None:
    recipe = workspace.recipe
    _select(workspace, "scope", SCOPES)
    _select(workspace, "criterion", CRITERIA)
    _select(workspace, "round_to", sorted({*ROUND_TO, recipe.round_to}))
    _select(workspace, "bits_scope", SCOPES[::-1])
    if recipe.rounds_activations:
        _select(workspace, "int8_range", INT8_RANGES)
    _select(workspace, "granularity", GRANULARITIES)
    if recipe.granularity == "group":
        _select(workspace, "group_size", sorted({*GROUP_SIZES, recipe.group_size}))
    _toggle(workspace, "widths", disabled=recipe.pattern != "channel")
    for name in ("compensate", "keep_metadata", "short_names"):
        _toggle(workspace, name)
    if recipe.criterion == "random":
        seed = project("seed", recipe.seed)
        st.number_input(
            labels.RECIPE["seed"],
            min_value=0,
            step=1,
            key=seed.key,
            help=words.HELP["seed"],
            on_change=_writer(workspace, seed),
        )
    _drop_box(workspace, "Load a recipe (.json)", ["json"], _take_recipe)


def _toggle(workspace: Workspace, name: str, disabled: bool = False) -> None:
    switch = project(name, getattr(workspace.recipe, name))
    st.toggle(
        labels.RECIPE[name],
        key=switch.key,
        help=words.HELP[name],
        disabled=disabled,
        on_change=_writer(workspace, switch),
    )


def _select(workspace: Workspace, name: str, options: Sequence[Any]) -> None:
    choice, names = project(name, getattr(workspace.recipe, name)), labels.VALUES.get(name, {})
    st.selectbox(
        labels.RECIPE[name],
        options,
        key=choice.key,
        format_func=lambda option: names.get(option, str(option)),
        help=words.HELP[name],
        on_change=_writer(workspace, choice),
    )


def _writer(workspace: Workspace, choice: Projected) -> Callable[[], None]:
    """A callback that writes a widget's value back into the recipe."""
    return choice.taker(
        lambda value: workspace.set_recipe(replace(workspace.recipe, **{choice.name: value}))
    )
