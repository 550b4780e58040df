"""Long measurements in slices, between all else: what is wanted, and what has been found.

A slice is a job like others, which the settings of the page push aside; results
are kept by model and by what of the recipe they depend on.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from explorer.errors import ExplorerError
from explorer.events import Finding, ProbesCounted, newest
from explorer.jobs import Job, Pool, State
from explorer.preview.forecast import PLAIN, survey_base
from explorer.recipe import Recipe
from explorer.workspace.sources import Source, samples


def base_of(recipe: Recipe) -> Recipe:
    """What of a recipe sensitivity depends on; all else is as in the empty recipe."""
    return replace(survey_base(recipe), scope=PLAIN.scope, bits_scope=PLAIN.bits_scope)


@dataclass
class Known:
    """What has been found of one model with one base, and who is finding more."""

    found: dict[str, Finding] = field(default_factory=dict)  # by key
    count: int | None = None  # how many there will be
    job: Job | None = None
    lock: threading.RLock = field(default_factory=threading.RLock, repr=False)


Store = dict[tuple[Source, str], Known]


class Slices:
    """One visitor's measurements of one kind; at most one model at a time is measured.

    `task` names what a slice does; `base_of` is what of a recipe its findings depend on. Where
    a store is `shared`, what is known of samples is for all, and only one visitor measures it.
    """

    def __init__(
        self,
        pool: Pool,
        session: str,
        task: str,
        base_of: Callable[[Recipe], Recipe] = base_of,
        shared: Store | None = None,
    ) -> None:
        self._pool = pool
        self._session = session
        self._task = task
        self._base_of = base_of
        self._shared = shared
        self._own: Store = {}
        self._wanted: tuple[Source, Recipe] | None = None
        self._job: Job | None = None

    @property
    def running(self) -> bool:
        """True from the start until all is measured, or until it is stopped."""
        return self._wanted is not None

    def found(self, source: Source | None, recipe: Recipe) -> tuple[Finding, ...]:
        """What is known so far of a model with this base."""
        if source is None:
            return ()
        return tuple(self._of(source, self._base_of(recipe)).found.values())

    def progress(self, source: Source | None, recipe: Recipe) -> tuple[int, int | None]:
        """Probes done and to do; the latter is None before the first slice."""
        if source is None:
            return 0, None
        known = self._of(source, self._base_of(recipe))
        return len(known.found), known.count

    def is_complete(self, source: Source | None, recipe: Recipe) -> bool:
        """True where nothing is left to measure."""
        done, count = self.progress(source, recipe)
        return count is not None and done >= count

    def start(self, source: Source, recipe: Recipe) -> None:
        """Measure what is not yet known; `advance` does the rest."""
        self.stop()
        self._wanted = (source, self._base_of(recipe))

    def stop(self) -> None:
        """End the work and keep what has come."""
        self.make_way()
        self._wanted = self._job = None

    def make_way(self) -> None:
        """Let another job go first: the slice ends at its next step, and a later one goes on."""
        if self._job is not None:
            if self._wanted is not None:
                _take(self._of(*self._wanted), self._job)
            self._pool.cancel(self._job)

    def advance(self, source: Source | None, recipe: Recipe, free: bool) -> str | None:
        """Take in what has come, and where the session is `free` start the next slice.

        Another model, or another base, ends the work. Returns the sentence to show where something
        went wrong.
        """
        if self._wanted is None:
            return None
        if source is None or (source, self._base_of(recipe)) != self._wanted:
            self.stop()
            return None
        known = self._of(*self._wanted)
        with known.lock:
            return self._go_on(known, free)

    def _go_on(self, known: Known, free: bool) -> str | None:
        assert self._wanted is not None
        job = known.job
        if job is not None:
            ended = job.ended  # looked at first: no part comes after the end
            _take(known, job)
            if not ended:
                return None
            known.job = self._job = None
            empty = not _findings(job)
            if job.state is State.FAILED or (job.state is State.DONE and empty):
                self._wanted = None
                return job.error
        if self.is_complete(*self._wanted):
            self._wanted = None
            return None
        return self._submit(*self._wanted) if free else None

    def _submit(self, source: Source, base: Recipe) -> str | None:
        known = self._of(source, base)
        arguments = {
            "source": source.arguments(),
            "recipe": base.to_json(),
            "done": list(known.found),
        }
        try:
            self._job = self._pool.submit(self._session, source.domain, self._task, arguments)
        except ExplorerError as error:
            self._wanted = None
            return str(error)
        known.job = self._job
        return None

    def _of(self, source: Source, base: Recipe) -> Known:
        is_shared = self._shared is not None and source in samples()
        store = self._shared if is_shared and self._shared is not None else self._own
        return store.setdefault((source, base.to_json()), Known())


def _take(known: Known, job: Job) -> None:
    known.found = {**known.found, **_findings(job)}  # others may be reading those of before
    counted = newest(job.events, ProbesCounted)
    known.count = counted.count if counted is not None else known.count


def _findings(job: Job) -> dict[str, Finding]:
    return {event.key: event for event in job.events if isinstance(event, Finding)}
