"""A pool for a shell with a single user: tasks run in a thread of this process, one at a time."""

import atexit
import threading
import weakref
from typing import Any

from explorer.errors import ExplorerError, JobError
from explorer.events import from_json
from explorer.jobs.context import Cancelled, Context
from explorer.jobs.open_models import OpenModels
from explorer.jobs.pool import Domain, Job, State
from explorer.jobs.tasks import TASKS

MISTAKE = "An internal error occurred; the error output has the traceback."
CLOSED = "The explorer is closed."
Step = tuple[Job, str, dict[str, Any]]


class ThreadPool:
    """See `pool.Pool`. A newer job takes the place of an older one, which stops at its next check.

    `models` are what the tasks work on. The thread ends where there is nothing to do.
    """

    def __init__(self, models: OpenModels) -> None:
        self._models = models
        self._lock = threading.RLock()
        self._next: Step | None = None
        self._running: Job | None = None
        self._thread: threading.Thread | None = None
        self._is_closed = False
        _pools.add(self)

    def submit(self, session: str, domain: Domain, task: str, arguments: dict[str, Any]) -> Job:
        """Do a task next, in place of all others.

        Raises:
            JobError: the pool is closed.
        """
        with self._lock:
            if self._is_closed:
                raise JobError(CLOSED)
            self._drop_all()
            job = Job(session, domain)
            self._next = (job, task, arguments)
            self._start()
            return job

    def cancel(self, job: Job) -> None:
        """Drop a waiting job; a running one ends at its next check."""
        with self._lock:
            if self._next is not None and self._next[0] is job:
                self._next = None
                job.end(State.CANCELLED)
            elif job is self._running and not job.ended:
                job.state = State.CANCELLED  # what still comes of it doesn't count

    def forget(self, domain: Domain) -> None:
        """Drop all jobs: there is one domain."""
        with self._lock:
            self._drop_all()

    def close(self) -> None:
        """Drop all jobs, and take no more."""
        with self._lock:
            self._is_closed = True
            self._drop_all()

    def join(self) -> None:
        """Wait until the thread has ended."""
        thread = self._thread
        if thread is not None:
            thread.join()

    def _drop_all(self) -> None:
        for job in (self._next[0] if self._next else None, self._running):
            if job is not None:
                self.cancel(job)

    def _start(self) -> None:
        if self._thread is None and self._next is not None:
            self._thread = threading.Thread(target=self._work, daemon=True, name="explorer")
            self._thread.start()

    def _work(self) -> None:
        while (step := self._taken()) is not None:
            job, task, arguments = step
            try:
                TASKS[task](self._context(job), **arguments)
                self._end(job, State.DONE)
            except Cancelled:
                self._end(job, State.CANCELLED)
            except ExplorerError as error:
                job.cause = error
                self._end(job, State.FAILED, str(error))
            except BaseException:
                with self._lock:
                    self._running = self._thread = None
                    self._start()  # what was asked for meanwhile
                self._end(job, State.FAILED, MISTAKE)
                raise

    def _taken(self) -> Step | None:
        with self._lock:
            step, self._next = self._next, None
            self._running = step[0] if step is not None else None
            if step is None:
                self._thread = None
            else:
                step[0].state = State.RUNNING
            return step

    def _context(self, job: Job) -> Context:
        def emit(event: str, **values: Any) -> None:
            if job.state is State.CANCELLED:
                return
            if event == "result":
                job.add(from_json(values["value"]))
            elif event == "progress":
                job.progress = (values["fraction"], values["text"])

        return Context(emit, lambda: job.state is State.CANCELLED, self._models, is_confined=False)

    def _end(self, job: Job, state: State, error: str | None = None) -> None:
        with self._lock:
            is_dropped = job.state is State.CANCELLED
            job.end(State.CANCELLED if is_dropped else state, None if is_dropped else error)


_pools: "weakref.WeakSet[ThreadPool]" = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    """Threads that are inside of the runtime when Python ends would take the process down."""
    for pool in list(_pools):
        pool.close()
        pool.join()
