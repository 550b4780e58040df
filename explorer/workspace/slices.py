"""Long measurements in slices, between all else: what is wanted, and what has been found.

A slice is a job that more urgent ones push aside; results are kept by model and by what of the
recipe they depend on.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from explorer.events import Finding, ProbesCounted, newest
from explorer.jobs import Job, State
from explorer.preview.forecast import PLAIN, survey_base
from explorer.recipe import Recipe
from explorer.workspace.runner import Request, Work
from explorer.workspace.sources import Source, sample_models


def base_of(recipe: Recipe) -> Recipe:
    """What of a recipe sensitivity depends on; all else is as in the empty recipe."""
    return replace(survey_base(recipe), scope=PLAIN.scope, bits_scope=PLAIN.bits_scope)


@dataclass
class Known:
    """What has been found of one model with one base, and the job that is finding more."""

    found: dict[str, Finding] = field(default_factory=dict)  # by key
    count: int | None = None  # how many there will be
    job: Job | None = None

    @property
    def is_complete(self) -> bool:
        """True where nothing is left to measure."""
        return self.count is not None and len(self.found) >= self.count


Store = dict[tuple[Source, str], Known]


class Slices(Work):
    """One visitor's measurements of one kind; at most one model at a time is measured.

    `task` names what a slice does; `base_of` is what of a recipe its findings depend on. Where
    a store is `shared`, what is known of samples is for all, and only one visitor measures it.
    """

    def __init__(
        self,
        task: str,
        base_of: Callable[[Recipe], Recipe] = base_of,
        shared: Store | None = None,
    ) -> None:
        self._task = task
        self._base_of = base_of
        self._shared = shared
        self._own: Store = {}
        self._wanted: tuple[Source, Recipe] | None = None

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
        return source is not None and self._of(source, self._base_of(recipe)).is_complete

    def start(self, source: Source, recipe: Recipe) -> None:
        """Measure what is not yet known."""
        self._wanted = (source, self._base_of(recipe))

    def stop(self) -> None:
        """End the work and keep what has come."""
        self._wanted = None

    def follow(self, source: Source | None, recipe: Recipe) -> None:
        """Another open model, or another base, ends the work; so does knowing all."""
        if self._wanted is None:
            return
        known = self._of(*self._wanted)
        if known.job is not None:  # perhaps another visitor's
            self.take(self._wanted, known.job)
        is_other = source is None or (source, self._base_of(recipe)) != self._wanted
        if is_other or known.is_complete:
            self._wanted = None

    def request(self) -> Request | None:
        """The next slice; None while another visitor's goes on."""
        if self._wanted is None:
            return None
        known, (source, base) = self._of(*self._wanted), self._wanted
        is_others = known.job is not None and known.job is not self.job and not known.job.ended
        if is_others or known.is_complete:
            return None

        def arguments() -> dict[str, Any]:
            done = list(known.found)
            return {"source": source.arguments(), "recipe": base.to_json(), "done": done}

        return Request(self._task, source.domain, self._wanted, arguments)

    def take(self, key: tuple[Source, Recipe], job: Job) -> None:
        """Add what has been found."""
        known, counted = self._of(*key), newest(job.events, ProbesCounted)
        known.job = job
        known.found = {**known.found, **_findings(job)}  # others may be reading the one before
        known.count = counted.count if counted is not None else known.count

    def end(self, key: tuple[Source, Recipe], job: Job) -> str | None:
        """Go on with the next slice, unless this one has failed or found nothing."""
        is_empty = job.state is State.DONE and not _findings(job)
        is_last = is_empty or job.state is State.FAILED or self._of(*key).is_complete
        if is_last and key == self._wanted:
            self._wanted = None
        return job.error

    def halt(self, error: str) -> None:
        """Want nothing more."""
        self._wanted = None

    def _of(self, source: Source, base: Recipe) -> Known:
        is_shared = self._shared is not None and source in sample_models()
        store = self._shared if is_shared and self._shared is not None else self._own
        return store.setdefault((source, base.to_json()), Known())


def _findings(job: Job) -> dict[str, Finding]:
    return {event.key: event for event in job.events if isinstance(event, Finding)}
