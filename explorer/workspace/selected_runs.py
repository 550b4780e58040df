"""Which runs a visitor has selected. A run is identified by its recipe as JSON."""

from collections.abc import Sequence

MOST_SELECTED = 2


class Selection:
    """The selected runs of one session, by the model's key."""

    def __init__(self) -> None:
        self.epoch = 0  # grows when a table that shows the selection has to show another one
        self._selected: dict[str, tuple[str, ...]] = {}

    def selected(self, model: str) -> tuple[str, ...]:
        """The selected run, and perhaps one to compare it with."""
        return self._selected.get(model, ())

    def select(self, model: str, recipes: Sequence[str], is_shown: bool = False) -> None:
        """Select a run, and perhaps a second; `is_shown`: the table shows the selection already."""
        chosen = tuple(dict.fromkeys(recipes))[:MOST_SELECTED]
        if chosen != self.selected(model):
            self._selected[model] = chosen
            self.epoch += not is_shown
