"""Widgets that show what also changes without them.

With each message a browser sends what all its widgets say. One sent before a change has reached it
says what was so before; taken for a choice, that would undo the change. So a widget gets another
key whenever its value, or what that belongs to, has changed without it, and what is still said of
the old one does nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import streamlit as st

KNOWN = "projected"  # by name, how often that has changed so, and of what it is which value


@dataclass(frozen=True)
class Projected:
    """The widget that shows what has this name, until that has changed once more than so often."""

    name: str
    changes: int

    @property
    def key(self) -> str:
        """The widget's."""
        return f"w_{self.name}_{self.changes}"

    def taker(self, take: Callable[[Any], object]) -> Callable[[], None]:
        """A callback that hands on what a person has chosen."""

        def changed() -> None:
            value, known = st.session_state[self.key], st.session_state[KNOWN]
            changes, (of, before) = known[self.name]
            if changes == self.changes and value != before:
                known[self.name] = changes, (of, value)
                take(value)

        return changed


def project(name: str, value: object, of: object = None) -> Projected:
    """Have the widget that is drawn next, under the key, show a value, and of what that is."""
    known = st.session_state.setdefault(KNOWN, {})
    changes, before = known.get(name, (0, (of, value)))
    projected = Projected(name, changes + ((of, value) != before))
    known[name] = projected.changes, (of, value)
    st.session_state[projected.key] = value
    return projected
