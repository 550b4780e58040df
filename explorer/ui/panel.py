"""The live panel on the page: sliders, numbers and layers in one component that counts by itself.

What it counts with is large and seldom changes, so a second component, which shows nothing, brings
that; the server sends a message that it has sent before by its name alone.
"""

import json
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import streamlit as st
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles
from streamlit.components.v2.types import ComponentRenderer

from explorer.errors import RecipeError
from explorer.recipe import Recipe
from explorer.ui import words
from explorer.ui.cards import cards, numbers
from explorer.ui.session import Session
from explorer.ui.tradeoff import tried
from explorer.widget import parts

KEY = "panel"
SCRIPTS = Path(parts.__file__).with_name("js")
ROUTES = [Mount("/widget", StaticFiles(directory=SCRIPTS))]
# Streamlit sends a component's script with each of its messages, so this one only fetches it.
STUB = """
const ready = import(new URL("/widget/panel.js", document.baseURI).href);
export default function (component) {{
  let [end, gone] = [null, false];
  ready.then((module) => {{
    if (!gone) end = module.{mount}(component);
  }});
  return () => {{
    gone = true;
    end?.();
  }};
}}
"""
PRESETS = ("The original", "Half the MACs", "8-bit integers", "4-bit weights", "Fits 100 kB")
HELPED = ("pattern", "ratio", "weight_bits", "activation_bits")
WORDS = {
    "presets": PRESETS,
    "patterns": words.PATTERNS,
    "weight_bits": words.WEIGHT_BITS,
    "activation_bits": words.ACTIVATION_BITS,
    "help": {name: words.HELP[name] for name in HELPED},
}


def draw(session: Session) -> None:
    """The panel, with the numbers as far as they are known."""
    data = {
        "model": _counts_key(session),
        "recipe": asdict(session.recipe),
        "seen": st.session_state.get(f"{KEY}_seen", 0),
        "numbers": numbers(cards(session.view, session.busy)),
        "tried": tried(session),
        "words": WORDS,
    }
    _component("mount")(key=KEY, data=data, on_choice_change=lambda: _take_choice(session))


def draw_counts(session: Session) -> None:
    """What the panel counts with."""
    with st.container(key="panel_counts"):
        counts = session.counts
        if counts is not None:
            data = {"model": _counts_key(session), "counts": counts}
            _component("keep")(key="counts", data=data)


def _counts_key(session: Session) -> str | None:
    """Changes whenever the counts do."""
    counts = session.counts
    if counts is None:
        return None
    return json.dumps([counts["model"], counts["fixed"], sorted(parts.known(counts))])


@cache
def _component(mount: str) -> ComponentRenderer:
    return st.components.v2.component(f"explorer_{mount}", js=STUB.format(mount=mount))


def _take_choice(session: Session) -> None:
    """Ask for the setting at which the hand has let go; whoever sends it, it may be anything."""
    choice = st.session_state[KEY]["choice"]
    told: dict[str, Any] = choice if isinstance(choice, dict) else {}
    try:
        session.set_recipe(Recipe.from_json(json.dumps(told.get("recipe"))))
    except RecipeError as error:
        session.notice = str(error)
    if type(told.get("number")) is int:
        st.session_state[f"{KEY}_seen"] = told["number"]
