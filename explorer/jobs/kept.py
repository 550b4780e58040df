"""The results of the runs on one model: their numbers, and their models for a while."""

import json
from collections import OrderedDict

from explorer.model import Model
from explorer.preview.parts import Counts, fixed_of, joined
from explorer.recipe import Recipe
from explorer.runs import Run

KEPT_BYTES = 2**29  # of compressed models; older ones are made again


class Kept:
    """See the module; `runs` are by their settings, the oldest first."""

    def __init__(self) -> None:
        self.runs: dict[str, Run] = {}
        self._models: OrderedDict[str, Model] = OrderedDict()
        self._counts: dict[str, Counts] = {}  # by what isn't on the sliders

    def recall(self, recipe: Recipe) -> Run | None:
        """A complete run of a setting whose model is still there."""
        setting = recipe.to_json()
        if setting not in self._models:
            return None
        self._models.move_to_end(setting)
        return self.runs[setting]

    def model(self, run: Run) -> Model | None:
        """What a run made, with nothing in its caches."""
        return self._models.get(run.recipe.to_json())

    def keep(self, run: Run, model: Model) -> None:
        """Keep a complete run with its model."""
        setting = run.recipe.to_json()
        self.runs[setting], self._models[setting] = run, model
        while len(self._models) > 1 and self._bytes() > KEPT_BYTES:
            self._models.popitem(last=False)

    def keep_measured(self, run: Run | None) -> None:
        """Keep what is known of a run that was dropped, where it was scored."""
        if run is not None and run.quality is not None:
            self.runs.setdefault(run.recipe.to_json(), run)

    def counts(self, recipe: Recipe) -> Counts | None:
        """What the panel counts recipes with that are like this one but for the sliders."""
        return self._counts.get(_kind(recipe))

    def keep_counts(self, recipe: Recipe, counts: Counts) -> None:
        """Add what has been found out."""
        self._counts[_kind(recipe)] = joined(self.counts(recipe), counts)

    def _bytes(self) -> int:
        return sum(len(model.data) for model in self._models.values())


def _kind(recipe: Recipe) -> str:
    return json.dumps(fixed_of(recipe))
