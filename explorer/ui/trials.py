"""Settings that were tried, and what the screen shows of them."""

import json
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from explorer.recipe import Recipe
from explorer.ui.sources import Source, samples
from explorer.widget.parts import Counts, fixed_of, joined

Parts = Mapping[str, Any]
MEASURED = ("profile", "latency", "quality")
MOST_SHARED = 1000  # settings of samples
MOST_COUNTS = 20  # models, and ways to compress them other than by the sliders


@dataclass(frozen=True)
class Trial:
    """One setting on one model, with the parts that have come of it (`explorer.jobs.tasks`)."""

    recipe: Recipe
    parts: Parts = field(default_factory=dict)
    complete: bool = False

    @property
    def file(self) -> Path | None:
        """The compressed model, while it is still there."""
        path = Path(self.parts["file"]["path"]) if "file" in self.parts else None
        return path if path and path.exists() else None


@dataclass(frozen=True)
class View:
    """What the screen shows: the newest number of each kind, and which are not this setting's.

    `compressed` holds `profile`, `latency` and `quality` as far as known; `estimated` says that
    the profile is an estimate, `first_samples` that the quality is that of the first samples
    only; `stale` names the parts that belong to the setting before. `naive` is the quality of the
    same setting without refitting, where that is known; `naive_coming` says that it will be.
    """

    original: Parts
    compressed: Parts
    trial: Trial | None
    estimated: bool = False
    first_samples: bool = False
    stale: frozenset[str] = frozenset()
    naive: Parts | None = None
    naive_coming: bool = False


def view_of(original: Parts, newest: Trial | None, before: Trial | None) -> View:
    """Fill what the newest trial doesn't know yet with numbers of the trial before."""
    if newest is None:
        return View(original, {}, None)
    parts = dict(newest.parts)
    estimated = "profile" not in parts and "estimate" in parts
    if estimated:
        parts["profile"] = parts["estimate"]
    first_samples = "quality" not in parts and "first_quality" in parts
    if first_samples:
        parts["quality"] = parts["first_quality"]
    old = before.parts if before else {}
    stale = frozenset() if newest.complete else frozenset(set(MEASURED) & set(old) - set(parts))
    compressed = {name: {**old, **parts}[name] for name in (*stale, *parts) if name in MEASURED}
    naive = (old if "quality" in stale else parts).get("naive_quality")
    refitted = "file" in parts and parts["file"]["not_compensated"] is None
    coming = refitted and naive is None and "quality" in parts and not newest.complete
    return View(original, compressed, newest, estimated, first_samples, stale, naive, coming)


class Memory:
    """What one visitor has tried; results on the samples come from all, and are for all.

    Nothing else is shared between visitors.
    """

    _shared: ClassVar[OrderedDict[tuple[Source, str], Trial]] = OrderedDict()  # the latest last
    _originals: ClassVar[dict[Source, Parts]] = {}
    _sample_counts: ClassVar[dict[tuple[Source, str], Counts]] = {}

    def __init__(self) -> None:
        self._own: dict[str, dict[str, Trial]] = {}  # by source and setting
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
        return dict(self._own.get(source.key, {}))

    def recall(self, source: Source, recipe: Recipe) -> Trial | None:
        """A complete trial of a setting whose file is still there; it then counts as tried."""
        setting = recipe.to_json()
        own = self._own.get(source.key, {}).get(setting)
        for known in (own, self._shared.get((source, setting))):
            if known is not None and known.complete and known.file is not None:
                self.remember(source, known)
                return known
        return None

    def remember(self, source: Source, trial: Trial) -> None:
        """Keep a trial of this visitor."""
        self._own.setdefault(source.key, {})[trial.recipe.to_json()] = trial

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

    def _counts_of(self, source: Source) -> dict[tuple[Source, str], Counts]:
        return self._sample_counts if source in samples() else self._counts

    def forget(self, source: Source) -> None:
        """Drop this visitor's trials on a model that is gone."""
        self._own.pop(source.key, None)
        self._counts = {key: kept for key, kept in self._counts.items() if key[0] != source}
