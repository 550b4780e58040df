"""A run that is clicked in one view is selected in all views."""

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
    """A callback that selects what was clicked; an empty selection is ignored.

    It comes from a click beside all points, and from a view that is redrawn.
    """

    def take() -> None:
        settings = read(st.session_state[key]["selection"])
        if settings:
            workspace.selection.select(model_key(workspace), settings, is_shown)

    return take


def select(workspace: Workspace, settings: Sequence[str | None]) -> None:
    """Select a setting, and perhaps a second one to compare it with."""
    workspace.selection.select(
        model_key(workspace), [each for each in settings if each is not None]
    )


def selected(workspace: Workspace) -> tuple[str, ...]:
    """The selected settings of the open model."""
    return workspace.selection.selected(model_key(workspace))


def model_key(workspace: Workspace) -> str:
    """The key of the open model in the selection."""
    return workspace.source.key if workspace.source is not None else ""
