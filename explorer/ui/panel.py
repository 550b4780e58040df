"""The live panel on the page: sliders, numbers and layers in one component that counts by itself.

What it counts and predicts with is large and seldom changes, so other components, which show
nothing, bring that, and aren't drawn each time that a number comes.
"""

import hashlib
from dataclasses import asdict
from functools import cache

import streamlit as st
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from streamlit.components.v2.types import ComponentRenderer

from explorer.preview.forecast import basis_of, surveyed
from explorer.preview.parts import name_of
from explorer.render.cards import cards, numbers
from explorer.widget.bundle import SCRIPTS, bundle
from explorer.widget.choice import read_choice
from explorer.widget.panel_words import PANEL
from explorer.widget.tradeoff import tried
from explorer.workspace.workspace import Workspace

KEY = "panel"
SCRIPT = "/widget/panel.js"
# Streamlit sends a component's script with each of its messages, so this one only fetches it.
STUB = """
const ready = import(new URL("{script}", document.baseURI).href);
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


async def script(_: Request) -> Response:
    """The panel's modules as one, so that the browser needn't find them one after another."""
    body = _script()
    tag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
    headers = {"ETag": tag, "Cache-Control": "no-cache"}
    return Response(body, media_type="text/javascript", headers=headers)


ROUTES = [Route(SCRIPT, script)]


@cache
def _script() -> bytes:
    return bundle(SCRIPTS / "streamlit.js").encode()


def draw(workspace: Workspace) -> None:
    """The panel, with the numbers as far as they are known."""
    source = workspace.source  # how its samples are read and scored is in its arguments
    basis = basis_of(str(source.arguments()) if source else "", workspace.recipe)
    data = {
        "basis": basis,
        "model": workspace.counts and name_of(workspace.counts),
        "opened": workspace.model_id,
        "recipe": asdict(workspace.recipe),
        "seen": st.session_state.get(f"{KEY}_seen", 0),
        "numbers": numbers(cards(workspace.view, workspace.busy, workspace.waiting.queued)),
        "tried": tried(workspace.original, workspace.runs, workspace.busy),
        "words": PANEL,
    }
    _component("mount")(key=KEY, data=data, on_choice_change=lambda: take_choice(workspace))
    findings = workspace.survey.found(workspace.source, workspace.recipe)
    _keep(workspace, "surveyed", surveyed(findings, basis))


def draw_counts(workspace: Workspace) -> None:
    """What the panel counts with."""
    _keep(workspace, "counts", workspace.counts)


def _keep(workspace: Workspace, name: str, part: object) -> None:
    counts = workspace.counts
    with st.container(key=f"panel_{name}"):
        if counts is not None:
            data = {"model": name_of(counts), name: part}
            _component("keep")(key=f"panel_keeps_{name}", data=data)


@cache
def _component(mount: str) -> ComponentRenderer:
    return st.components.v2.component(
        f"explorer_{mount}", js=STUB.format(mount=mount, script=SCRIPT)
    )


def take_choice(workspace: Workspace) -> None:
    """Ask for the setting at which a slider was released; whoever sends it, it may be anything."""
    choice = read_choice(st.session_state[KEY]["choice"], workspace.model_id)
    if choice.recipe is not None:
        workspace.set_recipe(choice.recipe)
    elif choice.refusal is not None:
        workspace.notice = choice.refusal
    if choice.number is not None:
        st.session_state[f"{KEY}_seen"] = choice.number
