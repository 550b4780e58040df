"""Widgets whose value also changes without them, as when another model is opened.

With each message a browser sends the values of all its widgets. A message sent before such a change
has reached the browser holds the old value; taken for a choice, it would undo the change. So a
widget gets a new key whenever its value, or the object that the value belongs to, has changed
elsewhere, and values sent under an old key are ignored.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import streamlit as st

KNOWN = "projected"  # by name: number of changes elsewhere, and (object, value)


@dataclass(frozen=True)
class Projected:
    """A widget for the value of this name, valid until the next change made elsewhere."""

    name: str
    changes: int

    @property
    def key(self) -> str:
        """The widget's key in the session state."""
        return f"w_{self.name}_{self.changes}"

    def taker(self, take: Callable[[Any], object]) -> Callable[[], None]:
        """A callback that passes a person's choice to `take`, and ignores outdated values."""

        def changed() -> None:
            value, known = st.session_state[self.key], st.session_state[KNOWN]
            changes, (of, before) = known[self.name]
            if changes == self.changes and value != before:
                known[self.name] = changes, (of, value)
                take(value)

        return changed


def project(name: str, value: object, of: object = None) -> Projected:
    """Set the value of the widget to draw next under `key`; `of` is what the value belongs to."""
    known = st.session_state.setdefault(KNOWN, {})
    changes, before = known.get(name, (0, (of, value)))
    projected = Projected(name, changes + ((of, value) != before))
    known[name] = projected.changes, (of, value)
    st.session_state[projected.key] = value
    return projected
