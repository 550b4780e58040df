"""Many recipes, one after another, between all else: which are left, and which have failed.

Each is a run like that of the panel, which everything else that the visitor asks for pushes aside;
it is then made anew.
"""

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from explorer.jobs import Job, State
from explorer.recipe import Recipe
from explorer.search.sweep import Design
from explorer.workspace.folders import SWEPT, make_room
from explorer.workspace.results import Results
from explorer.workspace.runner import Request, Work
from explorer.workspace.sources import Source

Failure = tuple[Recipe, str]
ENDED = "The sweep ended after {} of {} runs because another model was opened."


class SweepRuns(Work):
    """One visitor's sweep over one model; `design` is what the next one is made of.

    `shown_file` is a file that stays where room has to be made.
    """

    def __init__(
        self,
        results: Results,
        shown_file: Callable[[], Path | None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.design = Design()
        self._results = results
        self._shown_file = shown_file
        self._clock = clock
        self._source: Source | None = None
        self._left: deque[Recipe] = deque()
        self._count = 0
        self._is_paused = False
        self._out = ""  # where the file of the first that is left goes
        self._began_s = 0.0
        self._taken_s: list[float] = []
        self._failures: list[Failure] = []

    @property
    def running(self) -> bool:
        """True while recipes are being tried, or wait for other work of the visitor."""
        return bool(self._left) and not self._is_paused

    @property
    def paused(self) -> bool:
        """True while there are recipes left that nobody works on."""
        return bool(self._left) and self._is_paused

    @property
    def progress(self) -> tuple[int, int]:
        """Runs done, with those that were known or have failed, of how many."""
        return self._count - len(self._left), self._count

    @property
    def time_left_s(self) -> float | None:
        """At the pace so far; None before the first is done."""
        if not self._taken_s:
            return None
        return len(self._left) * sum(self._taken_s) / len(self._taken_s)

    @property
    def current(self) -> Recipe | None:
        """The recipe that is being tried."""
        return self._left[0] if self.job is not None and self._left else None

    @property
    def failures(self) -> tuple[Failure, ...]:
        """Recipes of the last sweep that nothing came of, each with the sentence that says why."""
        return tuple(self._failures)

    def start(self, source: Source, recipes: Sequence[Recipe]) -> None:
        """Try these recipes, in place of those of the sweep before."""
        self._source, self._left, self._count = source, deque(recipes), len(recipes)
        self._is_paused, self._failures, self._taken_s = False, [], []
        self._skip_known()

    def pause(self) -> None:
        """Leave what is left for later."""
        self._is_paused = True

    def go_on(self) -> None:
        """Go on after a pause."""
        self._is_paused = False

    def stop(self) -> None:
        """End the sweep and keep what has come."""
        self._is_paused, self._count = False, self.progress[0]
        self._left.clear()

    def follow(self, source: Source | None) -> str | None:
        """Another open model ends the sweep; the sentence to show where that was so."""
        if self._source is None or source == self._source:
            return None
        ended = ENDED.format(*self.progress) if self._left else None
        self.stop()
        self._source, self._count, self._failures = None, 0, []
        return ended

    def request(self) -> Request | None:
        """The first run that is left."""
        if not self.running or self._source is None:
            return None
        key = (self._source, self._left[0])
        return Request("compress", self._source.domain, key, self._arguments)

    def end(self, key: tuple[Source, Recipe], job: Job) -> str | None:
        """Keep what has come of a run, or note that it has failed."""
        is_first = self._left and key == (self._source, self._left[0])
        if job.state is State.CANCELLED or self._source is None or not is_first:
            return None
        self._taken_s.append(self._clock() - self._began_s)
        recipe = self._left.popleft()
        run = self._results.taken(self._source, recipe, job.events, self._out)
        if run.artifact is not None:
            run = replace(run, complete=job.state is State.DONE)
            self._results.remember(self._source, run)
            if run.complete:
                self._results.share(self._source, run)
        if job.state is State.FAILED:
            self._failures.append((recipe, job.error or ""))
        self._skip_known()
        return None

    def halt(self, error: str) -> None:
        """Pause."""
        self._is_paused = True

    def _skip_known(self) -> None:
        assert self._source is not None
        while self._left and self._results.measured(self._source, self._left[0]):
            self._left.popleft()

    def _arguments(self) -> dict[str, Any]:
        assert self._source is not None
        folder = self._source.domain.folder
        make_room(folder, self._shown_file(), SWEPT)
        self._out, self._began_s = str(SWEPT.new_file(folder)), self._clock()
        return self._results.compress_arguments(self._source, self._left[0], self._out)
