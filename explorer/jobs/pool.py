"""One child process and its queue: newest wins, and a dead child is replaced.

Each session has at most one running and one waiting job. A newer job takes the place of the waiting
one and asks the running one to stop, so that the last slider position is what comes out.
"""

import atexit
import json
import subprocess
import sys
import threading
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any

from explorer.errors import JobError

ROOT = Path(__file__).resolve().parents[2]
CRASHED = (
    "The process that did the work stopped unexpectedly; it has been restarted, "
    "and this model or setting may be too much for it."
)


class State(Enum):
    """Where a job is on its way."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(eq=False)
class Job:
    """One piece of work: what has come of it so far, updated while it runs.

    `parts` holds results by name as they arrive (see `tasks`); `progress` is a fraction in [0, 1]
    and what is being done; `error` is the sentence to show where the state is FAILED. `position`
    counts the jobs ahead of it.
    """

    id: int
    session: str
    task: str
    arguments: dict[str, Any]
    state: State = State.WAITING
    parts: dict[str, Any] = field(default_factory=dict)
    progress: tuple[float, str] = (0.0, "waiting")
    error: str | None = None
    position: int = 0
    _ended: threading.Event = field(default_factory=threading.Event, repr=False)

    @property
    def ended(self) -> bool:
        """True once nothing more will come."""
        return self._ended.is_set()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until the job has ended; False where the time ran out first."""
        return self._ended.wait(timeout_s)

    def end(self, state: State, error: str | None = None) -> None:
        """Settle the job; only the first call counts."""
        if not self.ended:
            self.state, self.error = state, error
            self._ended.set()


class Pool:
    """Runs jobs one after the other in a child process, which it starts when first needed."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._waiting: deque[Job] = deque()
        self._running: Job | None = None
        self._child: subprocess.Popen[str] | None = None
        self._count = 0

    def submit(self, session: str, task: str, arguments: dict[str, Any]) -> Job:
        """Queue a task of `explorer.jobs.tasks`, in place of what the session had waiting."""
        with self._lock:
            self._count += 1
            job = Job(self._count, session, task, arguments)
            for older in [job_ for job_ in self._waiting if job_.session == session]:
                self._waiting.remove(older)
                older.end(State.CANCELLED)
            if self._running is not None and self._running.session == session:
                self._send({"cancel": self._running.id})
            self._waiting.append(job)
            self._advance()
            return job

    def cancel(self, job: Job) -> None:
        """Drop a waiting job, or ask a running one to stop at its next step."""
        with self._lock:
            if job in self._waiting:
                self._waiting.remove(job)
                job.end(State.CANCELLED)
                self._advance()
            elif job is self._running:
                self._send({"cancel": job.id})

    def close(self) -> None:
        """Stop the child and settle all jobs."""
        with self._lock:
            child, self._child = self._child, None
            jobs = [*self._waiting, *([self._running] if self._running else [])]
            self._waiting.clear()
            self._running = None
        for job in jobs:
            job.end(State.CANCELLED)
        if child is not None:
            child.kill()
            child.wait()

    @property
    def child_pid(self) -> int | None:
        """Process id of the child, where it runs."""
        return self._child.pid if self._child is not None else None

    def _advance(self) -> None:
        for index, job in enumerate(self._waiting):
            job.position = index + (self._running is not None)
        if self._running is None and self._waiting:
            job = self._waiting.popleft()
            job.state, job.progress, self._running = State.RUNNING, (0.0, "starting"), job
            self._send({"job": job.id, "task": job.task, "arguments": job.arguments})

    def _send(self, message: dict[str, Any]) -> None:
        try:
            if self._child is None:
                self._start()
            assert self._child is not None and self._child.stdin is not None
            self._child.stdin.write(json.dumps(message) + "\n")
            self._child.stdin.flush()
        except (BrokenPipeError, ValueError):
            return  # the child has died; its listener settles the job and starts anew
        except OSError as error:
            raise JobError("The process that does the work can't be started.") from error

    def _start(self) -> None:
        self._child = subprocess.Popen(
            [sys.executable, "-m", "explorer.jobs.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            text=True,
        )
        threading.Thread(target=self._listen, args=(self._child,), daemon=True).start()

    def _listen(self, child: "subprocess.Popen[str]") -> None:
        stream = child.stdout
        assert stream is not None and child.stdin is not None
        for line in stream:
            self._hear(json.loads(line))
        child.wait()
        stream.close()
        with suppress(OSError):  # what was still to be written has no reader any more
            child.stdin.close()
        with self._lock:
            if self._child is child:
                self._child = None
                lost, self._running = self._running, None
                if lost is not None:
                    lost.end(State.FAILED, CRASHED)
                self._advance()

    def _hear(self, message: dict[str, Any]) -> None:
        with self._lock:
            job = self._running
            if job is None or job.id != message["job"]:
                return
            match message["event"]:
                case "part":
                    job.parts = {**job.parts, message["name"]: message["value"]}
                case "progress":
                    job.progress = (message["fraction"], message["text"])
                case ending:
                    self._running = None
                    job.end(State(ending), message.get("error"))
                    self._advance()


@cache
def shared_pool() -> Pool:
    """The one pool of this process, closed when the process ends."""
    pool = Pool()
    atexit.register(pool.close)
    return pool
