"""The one place that starts a visitor's jobs: what is wanted most goes on, all else waits.

Each kind of work says which job it wants next. Of these the first in the order of the workspace is
done; a job that isn't wanted any more, or less than another, is dropped, and asked for again later.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

from explorer.errors import ExplorerError
from explorer.jobs import Domain, Job, Pool


@dataclass(frozen=True)
class Request:
    """A task of `explorer.jobs.tasks` for a domain; `key` tells what it is for, also to its work.

    The `arguments` are made when the job begins.
    """

    task: str
    domain: Domain
    key: Hashable
    arguments: Callable[[], dict[str, Any]] = field(compare=False)


class Work:
    """One kind of work; `job` is the one that goes on for it, if any."""

    job: Job | None = None

    def request(self) -> Request | None:
        """The job that is wanted next; None where nothing is."""
        raise NotImplementedError

    def take(self, key: Any, job: Job) -> None:
        """Take in what has come of a job so far: when it begins, as more comes, and before `end`.

        The `key` is that of its request; the work may want another by now.
        """

    def end(self, key: Any, job: Job) -> str | None:
        """A job has ended; the sentence to show where something went wrong."""
        raise NotImplementedError

    def halt(self, error: str) -> str | None:
        """No job can be started: want none, until somebody asks again.

        The sentence to show, where that isn't the error alone.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class Fault:
    """The sentence to show, the work that it is about, and what was raised, where that is known."""

    work: Work
    sentence: str
    cause: ExplorerError | None = None


class Runner:
    """The jobs of one `visitor`, of which one at a time goes on."""

    def __init__(self, pool: Pool, visitor: str) -> None:
        self._pool = pool
        self._visitor = visitor
        self._now: tuple[Work, Request, Job] | None = None

    @property
    def work(self) -> Work | None:
        """The one that a job goes on for."""
        return self._now[0] if self._now is not None else None

    def advance(self, works: Sequence[Work]) -> Fault | None:
        """Take in what has come, and go on with what is wanted most: the first of `works`."""
        ended = self._look()
        for work in works:
            request = work.request()
            if request is not None:
                return self._go_on(work, request) or ended
        self.stop()
        return ended

    def cancel(self, work: Work) -> None:
        """Have the job of a work end soon, by itself or by force; it is heard to its end."""
        if work.job is not None:
            self._pool.cancel(work.job)

    def stop(self) -> None:
        """Drop what goes on."""
        if self._now is not None:
            self._pool.cancel(self._forgotten())

    def _look(self) -> Fault | None:
        if self._now is None:
            return None
        work, request, job = self._now
        ended = job.ended  # looked at first: nothing comes after the end
        work.take(request.key, job)
        if not ended:
            return None
        self._forgotten()
        error = work.end(request.key, job)
        return Fault(work, error, job.cause) if error is not None else None

    def _go_on(self, work: Work, request: Request) -> Fault | None:
        """Submit a job, unless it goes on; the pool drops the one before and keeps its place."""
        if self._now is not None and self._now[1] == request:
            self._hand_to(work)
            return None
        before = self._forgotten() if self._now is not None else None
        try:
            job = self._pool.submit(
                self._visitor, request.domain, request.task, request.arguments()
            )
        except ExplorerError as error:
            if before is not None:
                self._pool.cancel(before)
            return Fault(work, work.halt(str(error)) or str(error), error)
        self._now, work.job = (work, request, job), job
        work.take(request.key, job)
        return None

    def _hand_to(self, work: Work) -> None:
        """Another work may want what goes on."""
        assert self._now is not None
        before, request, job = self._now
        if work is not before:
            self._now, work.job, before.job = (work, request, job), job, None

    def _forgotten(self) -> Job:
        assert self._now is not None
        work, _, job = self._now
        self._now = work.job = None
        return job
