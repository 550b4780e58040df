"""The pool on this machine: confined processes, one slot that measures and one for all else.

One thread listens to all of them and keeps the time. A process keeps what it has read and solved
for the next job of its domain; the one unused longest ends where there are too many. Whatever a
process does wrong ends that process and the job it was on, nothing else.
"""

import atexit
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

from explorer.errors import JobError
from explorer.jobs.pool import Domain, Job, State
from explorer.jobs.sandbox import MEMORY
from explorer.jobs.terms import MEASURE, TERMS, WORK, Terms

ROOT = Path(__file__).resolve().parents[2]
PRELOADED = {False: ("explorer.jobs.tasks",), True: ("explorer.jobs.tasks", "torch")}
# Of the server's environment, which may hold secrets.
PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "PYTHONPATH", "VIRTUAL_ENV", MEMORY)
GRACE_S = 2.0  # for a job to stop by itself
SEND_S = 2.0
IDLE_S = 600.0
MOST_IDLE = 4
MOST_STEPS = 8  # of one job
MESSAGE_BYTES = 2**16
LINE_BYTES = 2**26  # of one event
NICE = {WORK: 5, MEASURE: 0}

CRASHES = (signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGABRT, signal.SIGFPE)
CRASHED = "This model or setting crashed the process that worked on it; nothing else is affected."
STOPPED = (
    "The process that did the work was stopped from outside, most likely because memory ran out."
)
BROKEN = "The process that did the work stopped unexpectedly; nothing else is affected."
TOO_LONG = "This took longer than {limit:.0f} seconds, the most that one job may take."


@dataclass(eq=False)
class _Step:
    """A task on its way, as a part of a job."""

    number: int
    job: Job
    task: str
    arguments: dict[str, Any]
    deadline: float = float("inf")
    error: str | None = None  # why it is being stopped by force

    @property
    def terms(self) -> Terms:
        return TERMS[self.task]


@dataclass(eq=False)
class _Worker:
    """A process of a domain, from the order to start it until its end has been reported."""

    number: int
    domain: Domain
    torch: bool
    link: socket.socket
    cores: tuple[int, ...]
    pid: int | None = None
    step: _Step | None = None
    buffer: bytearray = field(default_factory=bytearray)
    idle_since: float = 0.0
    is_ending: bool = False


class _Zygote:
    """The process that others are forked from, seen from here (see `zygote`)."""

    def __init__(self, torch: bool) -> None:
        self.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        command = [sys.executable, "-m", "explorer.jobs.zygote", str(theirs.fileno())]
        try:
            self.process = subprocess.Popen(  # noqa: S603 - our own program
                [*command, *PRELOADED[torch]],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                cwd=ROOT,
                env={**environment, "TORCH_FORCE_WEIGHTS_ONLY_LOAD": "1"},
            )
        except OSError as error:
            self.control.close()
            raise JobError("The process that does the work can't be started.") from error
        finally:
            theirs.close()
        self.control.settimeout(SEND_S)

    def say(self, message: dict[str, Any], *handles: int) -> None:
        with suppress(OSError):  # it has died, and will be heard of
            socket.send_fds(self.control, [json.dumps(message).encode()], handles)

    def close(self) -> None:
        self.control.close()
        self.process.kill()
        self.process.wait()


class LocalPool:
    """See `Pool`; `slots` says how many tasks of each kind run at once."""

    def __init__(self, slots: dict[str, int] | None = None) -> None:
        self._slots = slots or {WORK: 1, MEASURE: 1}
        self._lock = threading.RLock()
        self._queues: dict[str, deque[_Step]] = {slot: deque() for slot in self._slots}
        self._workers: dict[int, _Worker] = {}
        self._zygotes: dict[bool, _Zygote] = {}
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
            place = self._make_way(session, step.terms.slot)
            self._queues[step.terms.slot].insert(place, step)
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
            for step in [s for queue in self._queues.values() for s in queue]:
                if step.job.domain == domain:
                    self._drop(step.job)
            for worker in self._workers.values():
                if worker.domain == domain:
                    self._kill(worker)
            self._advance()

    def close(self) -> None:
        """End all processes and settle all jobs."""
        with self._lock:
            self._is_closed = True
            jobs = {step.job for queue in self._queues.values() for step in queue}
            jobs |= {worker.step.job for worker in self._workers.values() if worker.step}
            for queue in self._queues.values():
                queue.clear()
            for zygote in self._zygotes.values():
                zygote.close()
            self._zygotes.clear()
            self._wake()
        for job in jobs:
            job.end(State.CANCELLED)
        if self._thread is not None:
            self._thread.join()

    @property
    def processes(self) -> dict[int, str]:
        """The tasks that are running by process id; an idle process has an empty name."""
        with self._lock:
            return {w.pid: w.step.task if w.step else "" for w in self._workers.values() if w.pid}

    # Queues and slots.

    def _steps(self, slot: str | None = None) -> Iterator[tuple[_Worker, _Step]]:
        """What runs, in a slot or in all."""
        for worker in self._workers.values():
            if worker.step is not None and slot in (None, worker.step.terms.slot):
                yield worker, worker.step

    def _make_way(self, session: str, slot: str) -> int:
        """Stop all other jobs of a session; the place in the queue that the newest one takes."""
        queue = self._queues[slot]
        place = next((i for i, s in enumerate(queue) if s.job.session == session), len(queue))
        jobs = {step.job for waiting in self._queues.values() for step in waiting}
        jobs |= {step.job for _, step in self._steps()}
        for job in jobs:
            if job.session == session:
                self._drop(job)
        return min(place, len(queue))

    def _drop(self, job: Job) -> None:
        """Take a job's steps out of the queues, and ask what runs to stop."""
        for queue in self._queues.values():
            for step in [step for step in queue if step.job is job]:
                queue.remove(step)
        running = [(worker, step) for worker, step in self._steps() if step.job is job]
        for worker, step in running:
            self._send(worker, {"cancel": step.number})
            step.deadline = min(step.deadline, time.monotonic() + GRACE_S)
            step.error = None
        if job.ended:
            return
        if running:
            job.state = State.CANCELLED  # what still comes of it doesn't count
        else:
            job.end(State.CANCELLED)

    def _advance(self) -> None:
        """Start what can be started, and tell the others how many are ahead of them."""
        for slot, queue in self._queues.items():
            while queue and sum(1 for _ in self._steps(slot)) < self._slots[slot]:
                self._begin(queue.popleft())
            for index, step in enumerate(queue):
                step.job.position = index + sum(1 for _ in self._steps(slot))
        self._pin()
        self._wake()

    def _begin(self, step: _Step) -> None:
        try:
            worker = self._idle_worker(step) or self._spawn(step)
        except JobError as error:
            step.job.end(State.FAILED, str(error))
            return
        worker.step, job = step, step.job
        step.deadline = time.monotonic() + step.terms.limit_s
        if job.state is State.WAITING:
            job.state, job.progress = State.RUNNING, (0.0, "starting")
        job.position = 0
        self._send(worker, {"step": step.number, "task": step.task, "arguments": step.arguments})

    def _settle(self, step: _Step, state: State, error: str | None = None) -> None:
        """A step has ended; its job has too where that was the last one, or where it failed."""
        job = step.job
        others = [s for _, s in self._steps() if s.job is job]
        others += [s for queue in self._queues.values() for s in queue if s.job is job]
        if job.state is State.CANCELLED:
            if not others:
                job.end(State.CANCELLED)
        elif state is State.FAILED:
            job.end(State.FAILED, error)
            self._drop(job)
        elif not others:
            job.end(state)

    # Processes.

    def _zygote(self, torch: bool) -> _Zygote:
        if torch not in self._zygotes:
            zygote = self._zygotes[torch] = _Zygote(torch)
            self._selector.register(zygote.control, selectors.EVENT_READ, torch)
            if self._thread is None:
                self._thread = threading.Thread(target=self._listen, daemon=True, name="pool")
                self._thread.start()
            self._wake()
        return self._zygotes[torch]

    def _idle_worker(self, step: _Step) -> _Worker | None:
        if step.terms.is_fresh:
            return None
        for worker in self._workers.values():
            is_free = worker.step is None and not worker.is_ending
            kind = (worker.domain, worker.torch)
            if is_free and kind == (step.job.domain, step.terms.needs_torch):
                return worker
        return None

    def _spawn(self, step: _Step) -> _Worker:
        zygote, domain = self._zygote(step.terms.needs_torch), step.job.domain
        ours, theirs = socket.socketpair()
        ours.settimeout(SEND_S)
        slot = step.terms.slot
        cores = self._cores_of(slot)
        number = next(self._numbers)
        worker = _Worker(number, domain, step.terms.needs_torch, ours, cores)
        self._workers[number] = worker
        self._selector.register(ours, selectors.EVENT_READ, worker)
        setup = {"writable": [str(domain.folder)], "cores": cores, "nice": NICE[slot]}
        zygote.say({"spawn": number, **setup}, theirs.fileno())
        theirs.close()
        return worker

    def _send(self, worker: _Worker, message: dict[str, Any]) -> None:
        try:
            worker.link.sendall(json.dumps(message).encode() + b"\n")
        except OSError:  # it has died, or doesn't listen
            self._kill(worker)

    def _kill(self, worker: _Worker) -> None:
        worker.is_ending = True
        if worker.torch in self._zygotes:
            self._zygotes[worker.torch].say({"kill": worker.number})

    def _cores_of(self, slot: str) -> tuple[int, ...]:
        """The last core is for measuring alone, while something is measured."""
        if len(self._cores) < 2:
            return self._cores
        if slot == MEASURE:
            return self._cores[-1:]
        return self._cores[:-1] if any(self._steps(MEASURE)) else self._cores

    def _pin(self) -> None:
        for worker, step in self._steps():
            cores = self._cores_of(step.terms.slot)
            if worker.pid is not None and worker.cores != cores:
                worker.cores = cores
                with suppress(OSError):  # it has just ended
                    for thread in Path(f"/proc/{worker.pid}/task").iterdir():
                        os.sched_setaffinity(int(thread.name), cores)

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
                    self._start_anew()

    def _patience(self) -> float | None:
        """Seconds until something is due."""
        with self._lock:
            due = [step.deadline for _, step in self._steps()]
            due += [w.idle_since + IDLE_S for w in self._workers.values() if w.step is None]
        soonest = min(due, default=float("inf"))
        return None if soonest == float("inf") else max(0.0, soonest - time.monotonic())

    def _wake(self) -> None:
        if threading.current_thread() is not self._thread:
            with suppress(BlockingIOError):
                self._waker.send(b"x")

    def _hear(self, key: selectors.SelectorKey) -> None:
        if key.fileobj is self._alarm:
            with suppress(BlockingIOError):
                self._alarm.recv(MESSAGE_BYTES)
        elif isinstance(key.data, _Worker):
            self._hear_worker(key.data)
        else:
            self._hear_zygote(key.data)

    def _hear_zygote(self, torch: bool) -> None:
        zygote = self._zygotes[torch]
        try:
            data = zygote.control.recv(MESSAGE_BYTES)
        except OSError:
            data = b""
        if not data:
            self._selector.unregister(zygote.control)
            del self._zygotes[torch]
            zygote.close()
            for worker in [w for w in self._workers.values() if w.torch is torch]:
                self._bury(worker, None)
            return
        message = json.loads(data)
        worker = self._workers[message.get("started", message.get("ended"))]
        if "started" in message:
            worker.pid = message["pid"]
            if worker.is_ending:
                self._kill(worker)
        else:
            self._bury(worker, message["status"])

    def _hear_worker(self, worker: _Worker) -> None:
        """Take in what a process says, which may be anything."""
        if worker.link.fileno() < 0:  # its end was heard of in the same moment
            return
        try:
            data = worker.link.recv(LINE_BYTES, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._selector.unregister(worker.link)
            worker.link.close()
            return
        worker.buffer += data
        *lines, rest = worker.buffer.split(b"\n")
        worker.buffer = rest
        try:
            for line in lines:
                self._take(worker, json.loads(line))
            is_sound = len(rest) <= LINE_BYTES
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            is_sound = False
        if not is_sound:
            self._kill(worker)
            if worker.step is not None:
                worker.step.error = BROKEN

    def _take(self, worker: _Worker, message: dict[str, Any]) -> None:
        step = worker.step
        if step is None or message["step"] != step.number or worker.is_ending:
            return
        job = step.job
        match message["event"]:
            case "part":
                job.parts = {**job.parts, str(message["name"]): message["value"]}
            case "progress":
                job.progress = (float(message["fraction"]), str(message["text"]))
            case "hand_over":
                self._hand_over(step, message["task"], dict(message["arguments"]))
            case ending:
                state, error = State(ending), message.get("error")
                self._release(worker)
                self._settle(step, state, str(error) if error is not None else None)

    def _hand_over(self, step: _Step, task: str, arguments: dict[str, Any]) -> None:
        if task not in step.terms.passes_to:
            raise ValueError(task)
        if step.job.state is not State.CANCELLED:
            further = _Step(next(self._numbers), step.job, task, arguments)
            queue = self._queues[further.terms.slot]
            # More of the same kind goes on at once; another kind waits its turn.
            place = 0 if further.terms.slot == step.terms.slot else len(queue)
            queue.insert(place, further)

    def _release(self, worker: _Worker) -> None:
        assert worker.step is not None
        is_fresh, worker.step, worker.idle_since = (
            worker.step.terms.is_fresh,
            None,
            time.monotonic(),
        )
        if is_fresh:
            self._kill(worker)

    def _keep_time(self) -> None:
        now = time.monotonic()
        for worker, step in list(self._steps()):
            if now >= step.deadline and not worker.is_ending:
                if step.job.state is not State.CANCELLED:
                    step.error = TOO_LONG.format(limit=step.terms.limit_s)
                self._kill(worker)
                step.deadline = float("inf")
        idle = [w for w in self._workers.values() if w.step is None and not w.is_ending]
        idle.sort(key=lambda worker: worker.idle_since)
        for index, worker in enumerate(idle):
            if index < len(idle) - MOST_IDLE or now >= worker.idle_since + IDLE_S:
                self._kill(worker)

    def _bury(self, worker: _Worker, status: int | None) -> None:
        """A process has ended: what it was on fails, unless it had said before that it was done."""
        while worker.link.fileno() >= 0:  # up to the end, as nothing more can come
            self._hear_worker(worker)
        del self._workers[worker.number]
        if worker.step is not None:
            step, worker.step = worker.step, None
            self._settle(step, State.FAILED, step.error or _reason(status))

    def _start_anew(self) -> None:
        """Give up all jobs and processes; the next job finds the pool as at its beginning."""
        jobs = {step.job for _, step in self._steps()}
        jobs |= {step.job for queue in self._queues.values() for step in queue}
        for queue in self._queues.values():
            queue.clear()
        sockets = [zygote.control for zygote in self._zygotes.values()]
        sockets += [worker.link for worker in self._workers.values()]
        for each in sockets:
            if each.fileno() >= 0:
                self._selector.unregister(each)
                each.close()
        for zygote in self._zygotes.values():
            zygote.close()
        self._zygotes.clear()
        self._workers.clear()
        for job in jobs:
            job.end(State.FAILED, BROKEN)

    def _tidy_up(self) -> None:
        for worker in self._workers.values():
            worker.link.close()
        self._workers.clear()
        self._selector.close()
        self._waker.close()
        self._alarm.close()


def _reason(status: int | None) -> str:
    """Why a job failed whose process ended like this."""
    if status is not None and -status in CRASHES:
        return CRASHED
    return STOPPED if status == -signal.SIGKILL else BROKEN


@cache
def shared_pool() -> LocalPool:
    """The one pool of this process, closed when the process ends."""
    pool = LocalPool()
    atexit.register(pool.close)
    return pool
