"""What a person waits for: how far it is, how long it has to wait, and whether there is news."""

import time
from collections.abc import Sequence

from explorer.events import (
    Counted,
    Encoded,
    Planned,
    Profiled,
    Scored,
    ScoredWithoutReconstruction,
)
from explorer.jobs import Job, State
from explorer.workspace.runner import Work

# Results that wait for the next look, or for another: each look takes a browser's time.
CAN_WAIT = (Planned, Counted, Encoded, Profiled, ScoredWithoutReconstruction)


class Waiting:
    """A person waits for `works`, and a page that is drawn for what is `beside`."""

    def __init__(self, works: Sequence[Work], beside: Work) -> None:
        self._works = works
        self._beside = beside
        self._looked_at: tuple[Job | None, object] = (None, None)  # and at what of it

    @property
    def busy(self) -> bool:
        """True while something is being done, or will be."""
        return any(work.request() is not None for work in self._works)

    @property
    def progress(self) -> tuple[float, str] | None:
        """How far the work is, or None when there is none."""
        job = self._job
        if job is None:
            return None
        if job.state is State.WAITING:
            return 0.0, self.queued
        return job.progress if job.state is not State.CANCELLED else (job.progress[0], "stopping")

    @property
    def queued(self) -> str:
        """Where in the queue the work stands; empty once it has begun, or where there is none."""
        job = self._job
        if job is None or job.state is not State.WAITING:
            return ""
        return f"queued, {job.position} ahead" if job.position else "queued, next"

    @property
    def ahead(self) -> int:
        """How many jobs are ahead of the work."""
        job = self._job
        return job.position if job is not None and job.state is State.WAITING else 0

    def look(self) -> None:
        """Note what there is, before it is read."""
        job = self._watched
        self._looked_at = (job, job and _news_of(job))

    def await_news(self, timeout_s: float) -> bool:
        """Wait a moment; True where something has come since the last look."""
        job = self._watched
        if job is None:
            time.sleep(timeout_s)
            return False
        looked_at = self._looked_at
        return job.wait_for(lambda: (job, _news_of(job)) != looked_at, timeout_s)

    @property
    def _job(self) -> Job | None:
        return next((work.job for work in self._works if work.job is not None), None)

    @property
    def _watched(self) -> Job | None:
        return self._job or self._beside.job


def _news_of(job: Job) -> object:
    """What of a job is worth a look at once; a number that has only become surer isn't."""
    news = [event for event in job.events if not isinstance(event, CAN_WAIT)]
    told = {(type(each), isinstance(each, Scored) and each.on_first) for each in news}
    return job.ended, told
