"""The address of the page says what it shows, so that it can be shared.

A link to a sample shows the same model, input sizes and setting elsewhere; of an uploaded model,
which is on no other page, it carries the setting alone.
"""

import json
from dataclasses import asdict, replace
from typing import Any

import streamlit as st

from explorer.errors import RecipeError
from explorer.metrics import CHOICES
from explorer.recipe import Recipe
from explorer.workspace.sources import InputSizes, sample_models
from explorer.workspace.workspace import Workspace

MODEL, SIZES, SETTING, METRIC = "model", "sizes", "setting", "metric"
NO_SIZES = "The link's input sizes can't be used; the default ones are used instead."
NOT_HERE = "The link's model isn't a sample model here; the first sample model is open instead."


def follow(workspace: Workspace) -> None:
    """Open what the address says, or else the first sample model, when a session begins."""
    keys = {source.key: source for source in sample_models()}
    model, sizes, setting = (st.query_params.get(name) for name in (MODEL, SIZES, SETTING))
    refusals = [NOT_HERE] if model is not None and model not in keys else []
    found = _read_sizes(sizes) if sizes is not None and model in keys else ()
    refusals += [NO_SIZES] if found is None else []
    source = keys.get(model or "", sample_models()[0]).resized(found or ())
    metric = st.query_params.get(METRIC)
    if model in keys and metric in CHOICES:
        source = workspace.sources[source.key] = replace(source, metric=metric)
    if setting is not None:  # first, or a model that is known already opens with another setting
        try:
            workspace.set_recipe(Recipe.from_json(setting))
        except RecipeError as error:
            refusals.append(f"The link's setting can't be used: {error}")
    workspace.open(source)
    workspace.notice = " ".join(refusals) or workspace.notice


def write(workspace: Workspace) -> None:
    """Let the address say what is asked for now."""
    told, selected = {SETTING: _short(workspace.recipe)}, workspace.selected
    sample = replace(selected.resized(()), metric=None) if selected is not None else None
    if selected is not None and sample is not None and sample in sample_models():
        told[MODEL] = sample.key
        if selected.input_sizes:
            told[SIZES] = json.dumps(dict(selected.input_sizes), separators=(",", ":"))
        if selected.metric is not None:
            told[METRIC] = selected.metric
    if st.query_params.to_dict() != told:
        st.query_params.from_dict(told)


def _read_sizes(text: str) -> InputSizes | None:
    """The input sizes in a link; None where it holds anything else."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or not all(isinstance(x, list) for x in found.values()):
        return None
    if any(type(size) is not int for shape in found.values() for size in shape):
        return None
    return tuple((name, tuple(shape)) for name, shape in found.items())


def _short(recipe: Recipe) -> str:
    """The recipe without what is as in every recipe."""
    usual: dict[str, Any] = asdict(Recipe())
    own = {name: value for name, value in asdict(recipe).items() if value != usual[name]}
    return json.dumps(own, separators=(",", ":"))
