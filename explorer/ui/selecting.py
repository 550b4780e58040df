"""What was clicked in one view becomes what all views show."""

from collections.abc import Callable, Sequence
from typing import Any

import streamlit as st

from explorer.workspace.workspace import Workspace


def clicked(chosen: Any) -> list[str]:
    """The setting of a clicked point, as the browser tells it."""
    return [str(point["customdata"][0]) for point in chosen["points"] if point.get("customdata")]


def picked(chosen: Any, keys: Sequence[str]) -> list[str]:
    """The settings of the rows that are ticked."""
    return [keys[row] for row in chosen["rows"] if row < len(keys)]


def taker(
    workspace: Workspace, key: str, read: Callable[[Any], list[str]], is_shown: bool = False
) -> Callable[[], None]:
    """A callback that selects what was clicked; a click beside everything changes nothing.

    Nor does an empty selection, which a view also tells of when it is drawn anew.
    """

    def take() -> None:
        settings = read(st.session_state[key]["selection"])
        if settings:
            workspace.selection.select(model_key(workspace), settings, is_shown)

    return take


def select(workspace: Workspace, settings: Sequence[str | None]) -> None:
    """Look at a setting, and perhaps at one to compare it with."""
    workspace.selection.select(
        model_key(workspace), [each for each in settings if each is not None]
    )


def selected(workspace: Workspace) -> tuple[str, ...]:
    """What is looked at of the open model."""
    return workspace.selection.selected(model_key(workspace))


def model_key(workspace: Workspace) -> str:
    """By which the selection knows the open model."""
    return workspace.source.key if workspace.source is not None else ""
