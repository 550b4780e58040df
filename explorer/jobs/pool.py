"""The one interface to where work runs, whatever runs it."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, Protocol

from explorer.errors import ExplorerError
from explorer.events import Event


class State(Enum):
    """Where a job is on its way."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True)
class Domain:
    """Whose work it is: a process serves one domain only, and writes only into its folder."""

    name: str
    folder: Path


@dataclass(eq=False)
class Job:
    """One piece of work: what has come of it so far, updated while it runs.

    `events` are its results as they arrive (see `tasks`); `progress` is a fraction in [0, 1] and
    what is being done; `error` is the sentence to show where the state is FAILED, and `cause` what
    was raised, where that is known. `position` counts the jobs ahead of what it waits for.
    """

    session: str
    domain: Domain
    state: State = State.WAITING
    events: tuple[Event, ...] = ()
    progress: tuple[float, str] = (0.0, "waiting")
    error: str | None = None
    cause: ExplorerError | None = None
    position: int = 0
    _ended: threading.Event = field(default_factory=threading.Event, repr=False)
    _told: threading.Condition = field(default_factory=threading.Condition, repr=False)

    @property
    def ended(self) -> bool:
        """True once nothing more will come."""
        return self._ended.is_set()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until the job has ended; False where the time ran out first."""
        return self._ended.wait(timeout_s)

    def add(self, event: Event) -> None:
        """Take in one result more."""
        self.events = (*self.events, event)
        self._tell()

    def wait_for(self, is_so: Callable[[], bool], timeout_s: float) -> bool:
        """Wait until a result or the end makes something so; False where time ran out first."""
        with self._told:
            return self._told.wait_for(is_so, timeout_s)

    def end(self, state: State, error: str | None = None) -> None:
        """Settle the job; only the first call counts."""
        if not self.ended:
            self.state, self.error = state, error
            self._ended.set()
            self._tell()

    def _tell(self) -> None:
        with self._told:
            self._told.notify_all()


class Pool(Protocol):
    """Runs tasks of `explorer.jobs.tasks` in processes of their own.

    A session has at most one running and one waiting job. A newer job takes the waiting one's place
    and stops the running one, so that the last slider position is what comes out.
    """

    def submit(self, session: str, domain: Domain, task: str, arguments: dict[str, Any]) -> Job:
        """Queue a task, in place of what the session had waiting or running.

        Raises:
            JobError: no process can be started.
        """

    def cancel(self, job: Job) -> None:
        """Drop a waiting job; a running one ends soon, by itself or by force."""

    def forget(self, domain: Domain) -> None:
        """End all processes that serve a domain, with whatever they do."""

    def close(self) -> None:
        """End all processes and settle all jobs."""
