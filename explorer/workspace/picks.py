"""What a visitor says about settings: their names, which are pinned, and which are looked at.

A setting is known by its recipe as JSON. Names are anybody's text.
"""

from collections.abc import Sequence

from explorer.names import cleaned
from explorer.recipe import Recipe

ORIGINAL = Recipe().to_json()  # asks for nothing: the model as it was opened
MOST_SELECTED = 2


class Picks:
    """Of one visit, by the model's key; kept as long as the visit lasts."""

    def __init__(self) -> None:
        self.epoch = 0  # grows when a table that shows the selection has to show another one
        self._names: dict[tuple[str, str], str] = {}
        self._pinned: set[tuple[str, str]] = set()
        self._selected: dict[str, tuple[str, ...]] = {}

    def name(self, model: str, setting: str) -> str:
        """What the visitor calls a setting, or nothing."""
        return self._names.get((model, setting), "")

    def rename(self, model: str, setting: str, text: str) -> None:
        """Call a setting something; without printable text it has no name again."""
        name = cleaned(text, otherwise="")
        if name:
            self._names[model, setting] = name
        else:
            self._names.pop((model, setting), None)

    def is_pinned(self, model: str, setting: str) -> bool:
        """True for settings that stay on top."""
        return (model, setting) in self._pinned

    def toggle_pin(self, model: str, setting: str) -> None:
        """Pin a setting, or let go of it."""
        self._pinned ^= {(model, setting)}
        self.epoch += 1

    def selected(self, model: str) -> tuple[str, ...]:
        """The setting that is looked at, and perhaps one to compare it with."""
        return self._selected.get(model, ())

    def select(self, model: str, settings: Sequence[str], is_shown: bool = False) -> None:
        """Look at a setting, and perhaps at a second; `is_shown`: the table shows it already."""
        chosen = tuple(dict.fromkeys(settings))[:MOST_SELECTED]
        if chosen != self.selected(model):
            self._selected[model] = chosen
            self.epoch += not is_shown
