"""What a visitor has tried, and what all visitors have found out about the samples."""

import json
from collections import OrderedDict
from collections.abc import Callable
from typing import ClassVar

from explorer.recipe import Recipe
from explorer.ui.sources import Source, samples
from explorer.widget.parts import Counts, fixed_of, joined, known, lacks
from explorer.widget.trials import Parts, Trial

MOST_SHARED = 1000  # settings of samples
MOST_COUNTS = 20  # models, and ways to compress them other than by the sliders


class Memory:
    """What one visitor has tried; results on the samples come from all, and are for all.

    Nothing else is shared between visitors.
    """

    _shared: ClassVar[OrderedDict[tuple[Source, str], Trial]] = OrderedDict()  # the latest last
    _originals: ClassVar[dict[Source, Parts]] = {}
    _sample_counts: ClassVar[dict[tuple[Source, str], Counts]] = {}

    def __init__(self) -> None:
        self._own: dict[Source, dict[str, Trial]] = {}  # by source and setting
        self._counts: dict[tuple[Source, str], Counts] = {}

    def original(self, source: Source) -> Parts:
        """What is known of a model as it is."""
        return self._originals.get(source, {})

    def keep_original(self, source: Source, parts: Parts) -> None:
        """Keep what was found out about a sample."""
        if source in samples():
            self._originals[source] = parts

    def tried(self, source: Source) -> dict[str, Trial]:
        """The visitor's trials on a model by their settings, oldest first."""
        return dict(self._own.get(source, {}))

    def recall(self, source: Source, recipe: Recipe) -> Trial | None:
        """A complete trial of a setting whose file is still there; it then counts as tried."""
        return self._known(source, recipe, lambda trial: trial.file is not None)

    def measured(self, source: Source, recipe: Recipe) -> Trial | None:
        """The same whether or not the file is still there."""
        return self._known(source, recipe, lambda _: True)

    def _known(
        self, source: Source, recipe: Recipe, is_wanted: Callable[[Trial], bool]
    ) -> Trial | None:
        setting = recipe.to_json()
        own = self._own.get(source, {}).get(setting)
        for trial in (own, self._shared.get((source, setting))):
            if trial is not None and trial.complete and is_wanted(trial):
                self.remember(source, trial)
                return trial
        return None

    def remember(self, source: Source, trial: Trial) -> None:
        """Keep a trial of this visitor."""
        self._own.setdefault(source, {})[trial.recipe.to_json()] = trial

    def share(self, source: Source, trial: Trial) -> None:
        """Let all visitors have a complete trial of a sample."""
        if source in samples():
            self._shared[source, trial.recipe.to_json()] = trial
            while len(self._shared) > MOST_SHARED:
                self._shared.popitem(last=False)

    def counts(self, source: Source, recipe: Recipe) -> Counts | None:
        """What the panel counts recipes with that are like this one but for the sliders."""
        key = (source, json.dumps(fixed_of(recipe)))
        return self._counts_of(source).get(key)

    def keep_counts(self, source: Source, recipe: Recipe, counts: Counts) -> None:
        """Add what has been found out; of samples it is for all."""
        key = (source, json.dumps(fixed_of(recipe)))
        kept = self._counts_of(source)
        kept[key] = joined(kept.pop(key, None), counts)
        while len(kept) > MOST_COUNTS:
            del kept[next(iter(kept))]

    def counted(self, source: Source, recipe: Recipe) -> list[str] | None:
        """What `compress` needn't count again: its argument of that name."""
        counts = self.counts(source, recipe)
        return None if counts is None else sorted(known(counts))

    def taken(self, source: Source, recipe: Recipe, parts: Parts, out: str) -> Parts:
        """The parts of `compress` but for the counts, which are kept here where they are new.

        The file is the one that was asked for, `out`, whatever the process says.
        """
        counts = parts.get("counts")
        if counts is not None and lacks(self.counts(source, recipe), recipe):
            self.keep_counts(source, recipe, counts)
        taken = {name: part for name, part in parts.items() if name != "counts"}
        return {**taken, "file": {**taken["file"], "path": out}} if "file" in taken else taken

    def _counts_of(self, source: Source) -> dict[tuple[Source, str], Counts]:
        return self._sample_counts if source in samples() else self._counts

    def forget(self, source: Source) -> None:
        """Drop this visitor's trials on a model that is gone."""
        self._own.pop(source, None)
        self._counts = {key: kept for key, kept in self._counts.items() if key[0] != source}
