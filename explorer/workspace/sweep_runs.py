"""Many settings, one after another, between all else: which are left, and which have failed.

A setting is a job like that of the panel, which everything else that the visitor
asks for pushes aside; it is then measured anew. What comes of it goes into the visitor's memory.
"""

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from explorer.errors import ExplorerError
from explorer.jobs import Job, Pool, State
from explorer.recipe import Recipe
from explorer.search.sweep import Design
from explorer.workspace.folders import SWEPT, make_room
from explorer.workspace.results import Results
from explorer.workspace.sources import Source

Failure = tuple[Recipe, str]
ENDED = "Another model is open, so the sweep over the previous one ended after {} of {} runs."


class SweepRuns:
    """One visitor's sweep over one model; `design` is what the next one is made of."""

    def __init__(
        self,
        pool: Pool,
        session: str,
        memory: Results,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.design = Design()
        self._pool = pool
        self._session = session
        self._memory = memory
        self._clock = clock
        self._source: Source | None = None
        self._left: deque[Recipe] = deque()
        self._count = 0
        self._is_paused = False
        self._job: Job | None = None  # of the first that is left
        self._out = ""  # where the file of that goes
        self._began_s = 0.0
        self._taken_s: list[float] = []
        self._failures: list[Failure] = []

    @property
    def running(self) -> bool:
        """True while settings are being measured, or wait for other work of the visitor."""
        return bool(self._left) and not self._is_paused

    @property
    def paused(self) -> bool:
        """True while there are settings left that nobody works on."""
        return bool(self._left) and self._is_paused

    @property
    def progress(self) -> tuple[int, int]:
        """Settings done, with those that were known or have failed, of how many."""
        return self._count - len(self._left), self._count

    @property
    def time_left_s(self) -> float | None:
        """At the pace so far; None before the first is done."""
        if not self._taken_s:
            return None
        return len(self._left) * sum(self._taken_s) / len(self._taken_s)

    @property
    def current(self) -> Recipe | None:
        """The setting that is being measured."""
        return self._left[0] if self._job is not None else None

    @property
    def failures(self) -> tuple[Failure, ...]:
        """Settings of the last sweep that nothing came of, each with the sentence that says why."""
        return tuple(self._failures)

    def start(self, source: Source, recipes: Sequence[Recipe]) -> None:
        """Measure these settings, in place of those of the sweep before; `advance` does it."""
        self.stop()
        self._source, self._left, self._count = source, deque(recipes), len(recipes)
        self._failures, self._taken_s = [], []

    def pause(self) -> None:
        """Leave what is left for later."""
        self.make_way()
        self._is_paused = True

    def go_on(self) -> None:
        """Go on after a pause."""
        self._is_paused = False

    def stop(self) -> None:
        """End the sweep and keep what has come."""
        self.make_way()
        self._job, self._is_paused, self._count = None, False, self.progress[0]
        self._left.clear()

    def make_way(self) -> None:
        """Let another job go first; the setting is measured anew after it."""
        if self._job is not None:
            self._pool.cancel(self._job)

    def advance(self, source: Source | None, shown: Path | None, free: bool) -> str | None:
        """Take in what has come, and where the visitor's work leaves it `free` start the next.

        Another model ends the sweep. `shown` is a file that stays where room has to be made.
        Returns the sentence to show where that was so, or where no work can be started; the sweep
        then pauses.
        """
        if self._source is None:
            return None
        if source != self._source:
            ended = ENDED.format(*self.progress) if self._left else None
            self.stop()
            self._source, self._count, self._failures = None, 0, []
            return ended
        if self._job is not None:
            if not self._job.ended:
                return None
            job, self._job = self._job, None
            self._take(self._source, job)
        return self._next(self._source, shown) if free and self.running else None

    def _take(self, source: Source, job: Job) -> None:
        if job.state is State.CANCELLED:
            return
        self._taken_s.append(self._clock() - self._began_s)
        recipe = self._left.popleft()
        run = self._memory.taken(source, recipe, job.events, self._out)
        if run.artifact is not None:
            run = replace(run, complete=job.state is State.DONE)
            self._memory.remember(source, run)
            if run.complete:
                self._memory.share(source, run)
        if job.state is State.FAILED:
            self._failures.append((recipe, job.error or ""))

    def _next(self, source: Source, shown: Path | None) -> str | None:
        while self._left and self._memory.measured(source, self._left[0]):
            self._left.popleft()
        if not self._left:
            return None
        recipe, folder = self._left[0], source.domain.folder
        make_room(folder, shown, SWEPT)
        self._out = str(SWEPT.new_file(folder))
        arguments = {
            "source": source.arguments(),
            "recipe": recipe.to_json(),
            "out": self._out,
            "counted": self._memory.counted(source, recipe),
        }
        self._began_s = self._clock()
        try:
            self._job = self._pool.submit(self._session, source.domain, "compress", arguments)
        except ExplorerError as error:
            self._is_paused = True
            return str(error)
        return None
