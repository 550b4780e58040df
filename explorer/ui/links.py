"""The address of the page says what it shows, so that it can be passed on.

A link to a sample shows the same model and setting elsewhere; of an uploaded model, which is on no
other page, it carries the setting alone.
"""

import json
from dataclasses import asdict, replace
from typing import Any

import streamlit as st

from explorer.errors import RecipeError
from explorer.metrics import CHOICES
from explorer.recipe import Recipe
from explorer.ui.session import Session
from explorer.ui.sources import samples

MODEL, SETTING, METRIC = "model", "setting", "metric"
NOT_HERE = "The link's model isn't among the samples here; this is the first of them."


def follow(session: Session) -> None:
    """Open what the address says, or else the first sample, when a visit begins."""
    keys = {source.key: source for source in samples()}
    model, setting = (st.query_params.get(name) for name in (MODEL, SETTING))
    source = keys.get(model or "", samples()[0])
    metric = st.query_params.get(METRIC)
    if source.key == model and metric in CHOICES:
        source = session.sources[source.key] = replace(source, metric=metric)
    session.open(source)
    refusals = [NOT_HERE] if model is not None and model not in keys else []
    if setting is not None:
        try:
            session.set_recipe(Recipe.from_json(setting))
        except RecipeError as error:
            refusals.append(f"The link's setting can't be used: {error}")
    session.notice = " ".join(refusals) or session.notice


def write(session: Session) -> None:
    """Let the address say what is asked for now."""
    selected = session.selected
    told = {SETTING: _short(session.recipe)}
    if selected is not None and replace(selected, metric=None) in samples():
        told[MODEL] = selected.key
        if selected.metric is not None:
            told[METRIC] = selected.metric
    if st.query_params.to_dict() != told:
        st.query_params.from_dict(told)


def _short(recipe: Recipe) -> str:
    """The recipe without what is as in every recipe."""
    usual: dict[str, Any] = asdict(Recipe())
    own = {name: value for name, value in asdict(recipe).items() if value != usual[name]}
    return json.dumps(own, separators=(",", ":"))
