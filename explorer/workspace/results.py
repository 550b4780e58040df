"""One visitor's runs, and all visitors' results on the sample models."""

import json
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from threading import Lock
from typing import Any, ClassVar

from explorer.events import Counted, Event, newest
from explorer.names import cleaned
from explorer.preview.parts import Counts, fixed_of, joined, known, lacks
from explorer.recipe import Recipe
from explorer.runs import Original, Run
from explorer.workspace.sources import Source, sample_models

MOST_SHARED = 1000  # settings of samples
LONGEST_NOTE = 300  # characters
MOST_COUNTS = 20  # models, and ways to compress them other than by the sliders


@dataclass(frozen=True)
class Tag:
    """What a visitor says about a run: its name, whether it stays on top, and a note.

    Name and note are anybody's text.
    """

    name: str = ""
    is_pinned: bool = False
    note: str = ""


UNTAGGED = Tag()


class Results:
    """One visitor's runs; runs on the sample models are shared between all visitors.

    Nothing else is shared between visitors.
    """

    _shared: ClassVar[OrderedDict[tuple[Source, str], Run]] = OrderedDict()  # the latest last
    _originals: ClassVar[dict[Source, Original]] = {}
    _sample_counts: ClassVar[dict[tuple[Source, str], Counts]] = {}
    _sharing: ClassVar[Lock] = Lock()  # held where these change: visitors have threads of their own

    def __init__(self) -> None:
        self._own: dict[Source, dict[str, Run]] = {}  # by source and setting
        self._counts: dict[tuple[Source, str], Counts] = {}
        self._tags: dict[str, dict[str, Tag]] = {}  # by the model's key and setting

    def original(self, source: Source) -> Original:
        """What is known of a model as it is."""
        return self._originals.get(source, Original())

    def keep_original(self, source: Source, original: Original) -> None:
        """Keep what was found out about a sample."""
        if source in sample_models():
            self._originals[source] = original

    def runs(self, source: Source) -> dict[str, Run]:
        """The visitor's runs on a model by their settings, oldest first."""
        return dict(self._own.get(source, {}))

    def recall(self, source: Source, recipe: Recipe) -> Run | None:
        """A complete run of a setting whose file still exists; it becomes one of the visitor's."""
        return self._known(source, recipe, lambda run: run.file is not None)

    def measured(self, source: Source, recipe: Recipe) -> Run | None:
        """The same whether or not the file is still there."""
        return self._known(source, recipe, lambda _: True)

    def _known(
        self, source: Source, recipe: Recipe, is_wanted: Callable[[Run], bool]
    ) -> Run | None:
        setting = recipe.to_json()
        own = self._own.get(source, {}).get(setting)
        for run in (own, self._shared.get((source, setting))):
            if run is not None and run.complete and is_wanted(run):
                self.remember(source, run)
                return run
        return None

    def remember(self, source: Source, run: Run) -> None:
        """Keep a run of this visitor."""
        self._own.setdefault(source, {})[run.recipe.to_json()] = run

    def share(self, source: Source, run: Run) -> None:
        """Let all visitors have a complete run of a sample."""
        if source not in sample_models():
            return
        key = (source, run.recipe.to_json())
        with self._sharing:
            self._shared[key] = run
            self._shared.move_to_end(key)
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
        with self._sharing:
            kept[key] = joined(kept.pop(key, None), counts)
            while len(kept) > MOST_COUNTS:
                del kept[next(iter(kept))]

    def compress_arguments(self, source: Source, recipe: Recipe, out: str) -> dict[str, Any]:
        """The arguments of the task `compress`, which writes to `out` and skips known counts."""
        counts = self.counts(source, recipe)
        return {
            "source": source.arguments(),
            "recipe": recipe.to_json(),
            "out": out,
            "counted": None if counts is None else sorted(known(counts)),
        }

    def taken(self, source: Source, recipe: Recipe, events: tuple[Event, ...], out: str) -> Run:
        """The run that events of `compress` tell of; their counts are kept here where they are new.

        The file is the one that was asked for, `out`, whatever the process says.
        """
        counted = newest(events, Counted)
        if counted is not None and lacks(self.counts(source, recipe), recipe):
            self.keep_counts(source, recipe, counted.counts)
        run = Run(recipe).after(events)
        if run.artifact is None:
            return run
        return replace(run, artifact=replace(run.artifact, path=out))

    def tags(self, source: Source) -> dict[str, Tag]:
        """What the visitor says about runs on a model, by their settings; kept for the session."""
        return dict(self._tags.get(source.key, {}))

    def rename(self, source: Source, setting: str, text: str) -> None:
        """Call a run something; without printable text it has no name again."""
        self._tag(source, setting, name=cleaned(text, otherwise=""))

    def annotate(self, source: Source, setting: str, text: str) -> None:
        """Keep a note on a run; one without printable text is none."""
        self._tag(source, setting, note=cleaned(text, otherwise="", longest=LONGEST_NOTE))

    def toggle_pin(self, source: Source, setting: str) -> None:
        """Pin a run, or let go of it."""
        is_pinned = self._tags.get(source.key, {}).get(setting, UNTAGGED).is_pinned
        self._tag(source, setting, is_pinned=not is_pinned)

    def _tag(self, source: Source, setting: str, **changes: Any) -> None:
        tags = self._tags.setdefault(source.key, {})
        tags[setting] = replace(tags.get(setting, UNTAGGED), **changes)

    def _counts_of(self, source: Source) -> dict[tuple[Source, str], Counts]:
        return self._sample_counts if source in sample_models() else self._counts

    def forget(self, source: Source) -> None:
        """Drop this visitor's runs on a model that is gone."""
        self._own.pop(source, None)
        self._counts = {key: kept for key, kept in self._counts.items() if key[0] != source}
