"""The pool on this machine: confined processes, one slot that measures and one for all else.

One thread listens to all of them and keeps the time. A process keeps what it has read and solved
for the next job of its domain; the one unused longest ends where there are too many. Whatever a
process does wrong ends that process and the job it was on, nothing else.
"""

import atexit
import os
import selectors
import socket
import threading
import time
import traceback
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from itertools import count
from typing import Any

from explorer.errors import JobError
from explorer.events import from_json
from explorer.jobs.pool import Domain, Job, State
from explorer.jobs.processes import BROKEN, Message, Worker, Zygote, reason_of_end
from explorer.jobs.terms import MEASURE, TERMS, WORK, Terms

GRACE_S = 2.0  # for a job to stop by itself
IDLE_S = 600.0
MOST_IDLE = 4
MOST_HANDED_OVER = 4  # by one task
NICE = {WORK: 5, MEASURE: 0}
NEVER = float("inf")
ENDINGS = {state.value: state for state in (State.DONE, State.FAILED, State.CANCELLED)}
TOO_LONG = "This took longer than {limit:.0f} seconds, the limit for this kind of work."


@dataclass(eq=False)
class _Step:
    """A task on its way, as a part of a job; `worker` does it, once it has begun."""

    number: int
    job: Job
    task: str
    arguments: dict[str, Any]
    worker: Worker | None = None
    deadline: float = NEVER
    error: str | None = None  # why it is being stopped by force
    handed_over: int = 0

    @property
    def terms(self) -> Terms:
        return TERMS[self.task]


class LocalPool:
    """See `Pool`; `slots` says how many tasks of each kind run at once."""

    def __init__(self, slots: dict[str, int] | None = None) -> None:
        self._slots = slots or {WORK: 1, MEASURE: 1}
        self._lock = threading.RLock()
        self._queues: dict[str, deque[_Step]] = {slot: deque() for slot in self._slots}
        self._running: dict[int, _Step] = {}  # by the number of the worker
        self._workers: dict[int, Worker] = {}
        self._zygotes: dict[bool, Zygote] = {}
        self._numbers = count(1)
        self._selector = selectors.DefaultSelector()
        self._waker, self._alarm = socket.socketpair()
        self._alarm.setblocking(False)
        self._selector.register(self._alarm, selectors.EVENT_READ)
        self._thread: threading.Thread | None = None
        self._is_closed = False
        self._cores = tuple(sorted(os.sched_getaffinity(0)))

    def start(self) -> None:
        """Load the libraries before the first job needs them."""
        with self._lock:
            self._zygote(torch=False)

    def submit(self, session: str, domain: Domain, task: str, arguments: dict[str, Any]) -> Job:
        """Queue a task, in place of what the session had waiting or running.

        Raises:
            JobError: no process can be started.
        """
        with self._lock:
            job = Job(session, domain)
            step = _Step(next(self._numbers), job, task, arguments)
            self._zygote(step.terms.needs_torch)
            queue = self._queues[step.terms.slot]
            place = self._make_way(session, step.terms.slot)
            queue.insert(len(queue) if step.terms.gives_way else place, step)
            self._advance()
            return job

    def cancel(self, job: Job) -> None:
        """Drop a waiting job; a running one ends soon, by itself or by force."""
        with self._lock:
            self._drop(job)
            self._advance()

    def forget(self, domain: Domain) -> None:
        """End all processes that serve a domain, with whatever they do."""
        with self._lock:
            for step in self._waiting():
                if step.job.domain == domain:
                    self._drop(step.job)
            for worker in self._workers.values():
                if worker.domain == domain:
                    self._kill(worker)
            self._advance()

    def close(self) -> None:
        """End all processes and settle all jobs; once is enough, and twice does no harm."""
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
            self._give_up(State.CANCELLED)
            self._wake()
        if self._thread is not None:
            self._thread.join()
        else:
            self._tidy_up()

    @property
    def processes(self) -> dict[int, str]:
        """The tasks that are running by process id; an idle process has an empty name."""
        with self._lock:
            tasks = {number: step.task for number, step in self._running.items()}
            return {w.pid: tasks.get(w.number, "") for w in self._workers.values() if w.pid}

    # Queues and slots.

    def _waiting(self) -> list[_Step]:
        return [step for queue in self._queues.values() for step in queue]

    def _busy(self, slot: str) -> int:
        """How many tasks run in a slot."""
        return sum(step.terms.slot == slot for step in self._running.values())

    def _make_way(self, session: str, slot: str) -> int:
        """Stop all other jobs of a session; the place in the queue that the newest one takes.

        That of the one before, if there was one, else the last; what gives way comes after it.
        """
        queue = self._queues[slot]
        ends = (i for i, s in enumerate(queue) if s.job.session == session or s.terms.gives_way)
        place = next(ends, len(queue))
        for job in {step.job for step in (*self._waiting(), *self._running.values())}:
            if job.session == session:
                self._drop(job)
        return min(place, len(queue))

    def _drop(self, job: Job) -> None:
        """Take a job's steps out of the queues, and ask what runs to stop."""
        for queue in self._queues.values():
            for step in [step for step in queue if step.job is job]:
                queue.remove(step)
        running = [step for step in self._running.values() if step.job is job]
        for step in running:
            assert step.worker is not None
            if not step.worker.say({"cancel": step.number}):
                self._kill(step.worker)
            step.deadline = min(step.deadline, time.monotonic() + GRACE_S)
        if job.ended:
            return
        if running:
            job.state = State.CANCELLED  # what still comes of it doesn't count
        else:
            job.end(State.CANCELLED)

    def _advance(self) -> None:
        """Start what can be started, and tell the others how many are ahead of them."""
        for slot, queue in self._queues.items():
            if queue and not queue[0].terms.gives_way:
                self._stop_what_gives_way(slot)
            while queue and self._busy(slot) < self._slots[slot]:
                self._begin(queue.popleft())
            for index, step in enumerate(queue):
                step.job.position = index + self._busy(slot)
        for step in self._running.values():
            assert step.worker is not None
            step.worker.pin(self._cores_of(step.terms.slot))
        self._wake()

    def _stop_what_gives_way(self, slot: str) -> None:
        for step in list(self._running.values()):
            gives_way = step.terms.slot == slot and step.terms.gives_way
            if gives_way and step.job.state is not State.CANCELLED:
                self._drop(step.job)

    def _begin(self, step: _Step) -> None:
        job = step.job
        try:
            worker = self._idle_worker(step) or self._spawn(step)
        except JobError as error:
            job.end(State.FAILED, str(error))
            return
        step.worker, self._running[worker.number] = worker, step
        step.deadline = time.monotonic() + step.terms.limit_s
        if job.state is State.WAITING:
            job.state, job.progress = State.RUNNING, (0.0, "starting")
        job.position = 0
        asked = {"step": step.number, "task": step.task, "arguments": step.arguments}
        if not worker.say(asked):
            self._kill(worker)

    def _settle(self, step: _Step, state: State, error: str | None = None) -> None:
        """A step has ended; its job has too where that was the last one, or where it failed."""
        job = step.job
        others = [s for s in (*self._running.values(), *self._waiting()) if s.job is job]
        if job.state is State.CANCELLED:
            if not others:
                job.end(State.CANCELLED)
        elif state is State.FAILED:
            job.end(State.FAILED, error)
            self._drop(job)
        elif not others:
            job.end(state)

    def _give_up(self, state: State, error: str | None = None) -> None:
        """End all jobs and processes."""
        jobs = {step.job for step in (*self._running.values(), *self._waiting())}
        self._running.clear()
        for queue in self._queues.values():
            queue.clear()
        for worker in self._workers.values():
            self._hang_up(worker)
        self._workers.clear()
        for zygote in self._zygotes.values():
            self._selector.unregister(zygote.control)
            zygote.close()
        self._zygotes.clear()
        for job in jobs:
            job.end(state, error)

    # Processes.

    def _zygote(self, torch: bool) -> Zygote:
        if torch not in self._zygotes:
            zygote = self._zygotes[torch] = Zygote(torch)
            self._selector.register(zygote.control, selectors.EVENT_READ, zygote)
            if self._thread is None:
                self._thread = threading.Thread(target=self._listen, daemon=True, name="pool")
                self._thread.start()
            self._wake()
        return self._zygotes[torch]

    def _idle_worker(self, step: _Step) -> Worker | None:
        if step.terms.is_fresh:
            return None
        for worker in self._workers.values():
            is_free = worker.number not in self._running and not worker.is_ending
            kind = (worker.domain, worker.torch)
            if is_free and kind == (step.job.domain, step.terms.needs_torch):
                return worker
        return None

    def _spawn(self, step: _Step) -> Worker:
        zygote, domain = self._zygote(step.terms.needs_torch), step.job.domain
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        number, cores = next(self._numbers), self._cores_of(step.terms.slot)
        worker = Worker(number, domain, step.terms.needs_torch, ours, cores)
        self._workers[number] = worker
        self._selector.register(ours, selectors.EVENT_READ, worker)
        setup = {"writable": [str(domain.folder)], "cores": cores, "nice": NICE[step.terms.slot]}
        zygote.say({"spawn": number, **setup}, theirs.fileno())
        theirs.close()
        return worker

    def _kill(self, worker: Worker) -> None:
        worker.is_ending = True
        if worker.torch in self._zygotes:
            self._zygotes[worker.torch].say({"kill": worker.number})

    def _cores_of(self, slot: str) -> tuple[int, ...]:
        """The last core is for measuring alone, while something is measured."""
        if len(self._cores) < 2:
            return self._cores
        if slot == MEASURE:
            return self._cores[-1:]
        return self._cores[:-1] if self._busy(MEASURE) else self._cores

    # The listening thread.

    def _listen(self) -> None:
        while True:
            ready = self._selector.select(self._patience())
            with self._lock:
                if self._is_closed:
                    return self._tidy_up()
                try:
                    for key, _ in ready:
                        self._hear(key)
                    self._keep_time()
                    self._advance()
                except Exception:  # noqa: BLE001 - a mistake of ours must not end all work for ever
                    traceback.print_exc()
                    self._give_up(State.FAILED, BROKEN)

    def _patience(self) -> float | None:
        """Seconds until something is due."""
        with self._lock:
            due = [step.deadline for step in self._running.values()]
            idle = [w for w in self._workers.values() if w.number not in self._running]
            soonest = min([*due, *(worker.idle_since + IDLE_S for worker in idle)], default=NEVER)
        return None if soonest == NEVER else max(0.0, soonest - time.monotonic())

    def _wake(self) -> None:
        if threading.current_thread() is not self._thread:
            with suppress(BlockingIOError):
                self._waker.send(b"x")

    def _hear(self, key: selectors.SelectorKey) -> None:
        """One that has something to say; it may have been let go a moment ago."""
        if key.fileobj is self._alarm:
            self._alarm.recv(2**12)
        elif isinstance(key.data, Worker):
            self._hear_worker(key.data)
        elif key.data in self._zygotes.values():
            self._hear_zygote(key.data)

    def _hear_zygote(self, zygote: Zygote) -> None:
        message = zygote.hear()
        if message is None:
            [torch] = [kind for kind, each in self._zygotes.items() if each is zygote]
            self._selector.unregister(zygote.control)
            del self._zygotes[torch]
            zygote.close()
            for worker in [w for w in self._workers.values() if w.torch is torch]:
                self._bury(worker, None)
        elif "started" in message:
            worker = self._workers[message["started"]]
            worker.pid = message["pid"]
            if worker.is_ending:
                self._kill(worker)
        else:
            self._bury(self._workers[message["ended"]], message["status"])

    def _hear_worker(self, worker: Worker) -> None:
        """Take in what a process says, which may be anything."""
        if not worker.is_open:
            return
        try:
            messages = worker.hear()
            for message in messages or ():
                self._take(worker, message)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            self._kill(worker)
            if worker.number in self._running:
                self._running[worker.number].error = BROKEN
            return
        if messages is None:
            self._hang_up(worker)

    def _hang_up(self, worker: Worker) -> None:
        if worker.is_open:
            self._selector.unregister(worker.link)
            worker.link.close()

    def _take(self, worker: Worker, message: Message) -> None:
        step = self._running.get(worker.number)
        if step is None or message["step"] != step.number or worker.is_ending:
            return
        job = step.job
        match message["event"]:
            case "result":
                job.add(from_json(message["value"]))
            case "progress":
                job.progress = (float(message["fraction"]), str(message["text"]))
            case "hand_over":
                self._hand_over(step, message["task"], dict(message["arguments"]))
            case ending:
                state, error = ENDINGS[ending], message.get("error")
                self._release(worker)
                self._settle(step, state, str(error) if error is not None else None)

    def _hand_over(self, step: _Step, task: str, arguments: dict[str, Any]) -> None:
        step.handed_over += 1
        if task not in step.terms.passes_to or step.handed_over > MOST_HANDED_OVER:
            raise ValueError(task)
        if step.job.state is not State.CANCELLED:
            further = _Step(next(self._numbers), step.job, task, arguments)
            queue = self._queues[further.terms.slot]
            # More of the same kind goes on at once; another kind waits its turn.
            place = 0 if further.terms.slot == step.terms.slot else len(queue)
            queue.insert(place, further)

    def _release(self, worker: Worker) -> None:
        step = self._running.pop(worker.number)
        worker.idle_since = time.monotonic()
        if step.terms.is_fresh:
            self._kill(worker)

    def _keep_time(self) -> None:
        now = time.monotonic()
        for step in self._running.values():
            assert step.worker is not None
            if now >= step.deadline:
                if step.job.state is not State.CANCELLED:
                    step.error = step.error or TOO_LONG.format(limit=step.terms.limit_s)
                self._kill(step.worker)
                step.deadline = NEVER
        idle = [w for w in self._workers.values() if w.number not in self._running]
        idle = sorted((w for w in idle if not w.is_ending), key=lambda w: w.idle_since)
        for index, worker in enumerate(idle):
            if index < len(idle) - MOST_IDLE or now >= worker.idle_since + IDLE_S:
                self._kill(worker)

    def _bury(self, worker: Worker, status: int | None) -> None:
        """A process has ended: what it was on fails, unless it had said before that it was done."""
        while worker.is_open and not worker.is_ending:  # up to its last word
            self._hear_worker(worker)
        self._hang_up(worker)
        del self._workers[worker.number]
        step = self._running.pop(worker.number, None)
        if step is not None:
            self._settle(step, State.FAILED, step.error or reason_of_end(status))

    def _tidy_up(self) -> None:
        self._selector.close()
        self._waker.close()
        self._alarm.close()


@cache
def shared_pool() -> LocalPool:
    """The one pool of this process, closed when the process ends."""
    pool = LocalPool()
    atexit.register(pool.close)
    return pool
