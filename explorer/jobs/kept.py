"""The results of the runs on one model: their numbers, and their models for a while."""

import json
from collections import OrderedDict

from explorer.model import Model
from explorer.recipe import Recipe
from explorer.widget.parts import Counts, fixed_of, joined
from explorer.widget.trials import Trial

KEPT_BYTES = 2**29  # of compressed models; older ones are made again


class Kept:
    """See the module; `trials` are by their settings, the oldest first."""

    def __init__(self) -> None:
        self.trials: dict[str, Trial] = {}
        self._models: OrderedDict[str, Model] = OrderedDict()
        self._counts: dict[str, Counts] = {}  # by what isn't on the sliders

    def recall(self, recipe: Recipe) -> Trial | None:
        """A complete trial of a setting whose model is still there."""
        setting = recipe.to_json()
        if setting not in self._models:
            return None
        self._models.move_to_end(setting)
        return self.trials[setting]

    def model(self, trial: Trial) -> Model | None:
        """What was made of a setting, with nothing in its caches."""
        return self._models.get(trial.recipe.to_json())

    def keep(self, trial: Trial, model: Model) -> None:
        """Keep a complete trial with its model."""
        setting = trial.recipe.to_json()
        self.trials[setting], self._models[setting] = trial, model
        while len(self._models) > 1 and self._bytes() > KEPT_BYTES:
            self._models.popitem(last=False)

    def keep_measured(self, trial: Trial | None) -> None:
        """Keep what is known of a trial that was dropped, where it was scored."""
        if trial is not None and "quality" in trial.parts:
            self.trials.setdefault(trial.recipe.to_json(), trial)

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
