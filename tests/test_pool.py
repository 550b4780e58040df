"""The pool, by its one interface: newest wins, neighbours are safe, and time is kept.

Every implementation runs the same suite; what only the local one has stands below.
"""

import os
import selectors
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import SAMPLES
from values import known

from benchmarks.storms import storm_of
from explorer import Recipe
from explorer.events import ProbesCounted
from explorer.jobs import Domain, Job, LocalPool, Pool, State, local, processes
from explorer.jobs.processes import Worker, Zygote
from explorer.jobs.terms import MEASURE, TERMS, WORK, Terms
from explorer.runs import Original, Run

LIMIT_S = 60
NEAR_S = 10.0  # enough for a busy machine; what is right ends at once
VOWELS = {
    "model": str(SAMPLES / "vowels_cnn.onnx"),
    "name": "vowels",
    "data": str(SAMPLES / "vowels_test.npz"),
    "calibration": str(SAMPLES / "vowels_calibration.npz"),
}
IMPLEMENTATIONS = {"local": LocalPool}


@pytest.fixture(scope="module", params=IMPLEMENTATIONS)
def pool(request: pytest.FixtureRequest) -> Iterator[Pool]:
    pool = IMPLEMENTATIONS[request.param]()
    yield pool
    pool.close()


@pytest.fixture
def here(tmp_path: Path) -> Domain:
    return Domain(str(tmp_path), tmp_path)


def test_parts_and_the_end_wake_whoever_waits(here: Domain) -> None:
    job = Job("one", here)
    assert not job.wait_for(lambda: bool(job.events), 0.01)
    threading.Timer(0.05, job.add, (ProbesCounted(3),)).start()
    assert job.wait_for(lambda: bool(job.events), NEAR_S)
    threading.Timer(0.05, job.end, (State.DONE,)).start()
    assert job.wait_for(lambda: job.ended, NEAR_S)


def compress(pool: Pool, domain: Domain, ratio: float = 0.3, session: str = "one") -> Job:
    recipe = Recipe(pattern="channel", ratio=ratio).to_json()
    out = str(domain.folder / f"{ratio}-{session}.onnx")
    return pool.submit(
        session, domain, "compress", {"source": VOWELS, "recipe": recipe, "out": out}
    )


def probe(pool: Pool, domain: Domain, session: str = "one", slice_s: float = 60.0) -> Job:
    """Work that goes on for long, in small steps."""
    arguments = {"source": VOWELS, "recipe": Recipe().to_json(), "done": [], "slice_s": slice_s}
    return pool.submit(session, domain, "sensitivity", arguments)


def running(job: Job) -> Job:
    """The same once it has begun to give results."""
    deadline = time.monotonic() + LIMIT_S
    while not job.events and time.monotonic() < deadline:
        time.sleep(0.005)
    assert job.state is State.RUNNING, job.error
    return job


def test_results_arrive_while_the_job_runs(pool: Pool, here: Domain) -> None:
    job = running(compress(pool, here))
    assert job.wait(LIMIT_S)
    assert (job.state, job.error) == (State.DONE, None)
    run = Run(Recipe()).after(job.events)
    assert None not in (run.plan, run.estimate, run.artifact, run.latency, run.quality)
    assert (here.folder / "0.3-one.onnx").stat().st_size == known(run.profile).file_bytes


def test_the_newest_of_a_session_wins(pool: Pool, here: Domain) -> None:
    jobs = [compress(pool, here, ratio=i / 10) for i in range(6)]
    assert all(job.wait(LIMIT_S) for job in jobs)
    assert [job.state for job in jobs] == [State.CANCELLED] * 5 + [State.DONE]


def test_a_newer_job_takes_the_place_in_the_queue(pool: Pool, here: Domain) -> None:
    first = running(probe(pool, here, "first"))
    waiting = [compress(pool, here, session=name) for name in "abc"]
    newer = compress(pool, here, ratio=0.4, session="a")
    assert [job.position for job in (newer, *waiting[1:])] == [1, 2, 3]
    for job in (first, newer, *waiting):
        pool.cancel(job)
        assert job.wait(LIMIT_S)


def survey(pool: Pool, domain: Domain, session: str) -> Job:
    """Work that gives way to all other work."""
    arguments = {"source": VOWELS, "recipe": Recipe().to_json(), "done": [], "slice_s": 60.0}
    return pool.submit(session, domain, "survey", arguments)


def test_what_gives_way_is_stopped_by_anybody(pool: Pool, here: Domain) -> None:
    background = running(survey(pool, here, "one"))
    waiting = survey(pool, here, "two")
    state = background.state
    assert state is State.RUNNING  # not by its like
    job = compress(pool, here, session="three")
    assert background.wait(LIMIT_S)
    assert background.state is State.CANCELLED
    running(job)
    assert waiting.position == 1  # behind the one that came later
    assert job.wait(LIMIT_S)
    assert job.state is State.DONE
    running(waiting)
    pool.cancel(waiting)
    assert waiting.wait(LIMIT_S)


def test_another_session_is_not_dropped(pool: Pool, here: Domain) -> None:
    jobs = [compress(pool, here, session=name) for name in "ab"]
    assert all(job.wait(LIMIT_S) for job in jobs)
    assert [job.state for job in jobs] == [State.DONE] * 2


def test_a_cancelled_job_ends_and_the_next_begins(pool: Pool, here: Domain) -> None:
    job = running(probe(pool, here))
    pool.cancel(job)
    assert job.wait(LIMIT_S)
    assert job.state is State.CANCELLED
    after = compress(pool, here)
    assert after.wait(LIMIT_S)
    assert after.state is State.DONE


def test_what_a_job_hands_over_belongs_to_it(pool: Pool, here: Domain) -> None:
    job = pool.submit("one", here, "open_model", {"source": VOWELS})
    assert job.wait(LIMIT_S)
    original = Original().after(job.events)
    assert original.description is not None and original.is_complete


def test_a_mistake_is_a_sentence_and_the_pool_goes_on(pool: Pool, here: Domain) -> None:
    (here.folder / "broken.onnx").write_bytes(b"no model at all")
    broken = {**VOWELS, "model": str(here.folder / "broken.onnx")}
    job = pool.submit("one", here, "open_model", {"source": broken})
    assert job.wait(LIMIT_S)
    assert job.state is State.FAILED
    assert "is a text file" in str(job.error)
    assert compress(pool, here).wait(LIMIT_S)


def test_a_domain_reads_no_other_domains_files(pool: Pool, tmp_path: Path) -> None:
    mine, theirs = tmp_path / "mine", tmp_path / "theirs"
    for folder in (mine, theirs):
        folder.mkdir()
        (folder / "model.onnx").write_bytes(Path(VOWELS["model"]).read_bytes())
    states = []
    for folder in (mine, theirs):
        source = {**VOWELS, "model": str(folder / "model.onnx")}
        job = pool.submit("one", Domain("mine", mine), "open_model", {"source": source})
        assert job.wait(LIMIT_S)
        states.append(job.state)
    assert states == [State.DONE, State.FAILED]


def test_closing_settles_what_waits(here: Domain) -> None:
    for implementation in IMPLEMENTATIONS.values():
        pool = implementation()
        jobs = [compress(pool, here, session=name) for name in "ab"]
        pool.close()
        assert [job.state for job in jobs] == [State.CANCELLED] * 2


# What only the pool on this machine has: processes that can be looked at, and killed.


@pytest.fixture(scope="module")
def local_pool() -> Iterator[LocalPool]:
    pool = LocalPool()
    yield pool
    pool.close()


def process_of(pool: LocalPool, task: str) -> int:
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline:
        found = [pid for pid, name in pool.processes.items() if name == task]
        if found:
            return found[0]
        time.sleep(0.002)
    raise AssertionError(f"nothing does {task}")


def until(condition: Callable[[], bool]) -> bool:
    """Wait for it; False where it doesn't come about."""
    deadline = time.monotonic() + NEAR_S
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.002)
    return condition()


def is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (signal.SIGSEGV, processes.CRASHED),
        (signal.SIGABRT, processes.CRASHED),
        (signal.SIGKILL, processes.STOPPED),
        (signal.SIGTERM, processes.BROKEN),
    ],
    ids=lambda value: value.name if isinstance(value, signal.Signals) else "",
)
def test_a_killed_process_is_told_and_its_neighbour_goes_on(
    local_pool: LocalPool, tmp_path: Path, fault: signal.Signals, reason: str
) -> None:
    folders = [tmp_path / name for name in "ab"]
    for folder in folders:
        folder.mkdir()
    culprit, neighbour = (Domain(str(folder), folder) for folder in folders)
    job = running(probe(local_pool, culprit, "culprit"))
    waiting = compress(local_pool, neighbour, session="neighbour")
    os.kill(process_of(local_pool, "sensitivity"), fault)
    assert job.wait(LIMIT_S)
    assert (job.state, job.error) == (State.FAILED, reason)
    assert waiting.wait(LIMIT_S)
    assert waiting.state is State.DONE


def test_a_killed_measurement_fails_its_job_alone(local_pool: LocalPool, here: Domain) -> None:
    job = local_pool.submit("one", here, "open_model", {"source": VOWELS})
    other = compress(local_pool, here, session="other")
    os.kill(process_of(local_pool, "latency"), signal.SIGSEGV)
    assert job.wait(LIMIT_S)
    assert (job.state, job.error) == (State.FAILED, processes.CRASHED)
    assert other.wait(LIMIT_S)
    assert other.state is State.DONE


class Late(selectors.DefaultSelector):
    """Where it `gathers`, it waits for a process and its zygote both, and gives the former last."""

    gathers = threading.Event()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(timeout)
        while self.gathers.is_set():
            ready = sorted(super().select(0), key=lambda each: isinstance(each[0].data, Worker))
            if {type(key.data) for key, _ in ready} >= {Worker, Zygote}:
                self.gathers.clear()
        return ready


def test_the_end_of_a_process_may_be_heard_of_twice(
    here: Domain, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its link, which its zygote's word has closed, where both are ready at the same moment."""
    monkeypatch.setattr(selectors, "DefaultSelector", Late)
    pool = LocalPool()
    job = running(probe(pool, here))
    Late.gathers.set()
    os.kill(process_of(pool, "sensitivity"), signal.SIGKILL)
    assert job.wait(LIMIT_S)
    assert (job.state, job.error) == (State.FAILED, processes.STOPPED)
    assert not Late.gathers.is_set()
    after = compress(pool, here)
    assert after.wait(LIMIT_S)
    assert after.state is State.DONE
    pool.close()


def test_a_process_that_does_not_listen_is_killed(local_pool: LocalPool, here: Domain) -> None:
    job = running(probe(local_pool, here))
    pid = process_of(local_pool, "sensitivity")
    os.kill(pid, signal.SIGSTOP)
    local_pool.cancel(job)
    assert job.wait(local.GRACE_S + NEAR_S)
    assert job.state is State.CANCELLED
    assert not is_alive(pid)


def test_a_job_may_not_take_for_ever(
    local_pool: LocalPool, here: Domain, monkeypatch: pytest.MonkeyPatch
) -> None:
    terms = {**TERMS, "sensitivity": Terms(limit_s=1.0)}
    monkeypatch.setattr(local, "TERMS", terms)
    job = probe(local_pool, here)
    os.kill(process_of(local_pool, "sensitivity"), signal.SIGSTOP)
    assert job.wait(LIMIT_S)
    assert (job.state, job.error) == (State.FAILED, local.TOO_LONG.format(limit=1))


def test_a_process_serves_its_own_domain_again(local_pool: LocalPool, tmp_path: Path) -> None:
    pids = []
    for name in ("a", "b", "a"):
        (tmp_path / name).mkdir(exist_ok=True)
        domain = Domain(str(tmp_path / name), tmp_path / name)
        job = running(probe(local_pool, domain))
        pids.append(process_of(local_pool, "sensitivity"))
        local_pool.cancel(job)
        assert job.wait(LIMIT_S)
    assert pids[0] == pids[2] != pids[1]


def test_a_domain_that_is_forgotten_leaves_no_process(local_pool: LocalPool, here: Domain) -> None:
    job = running(probe(local_pool, here))
    pid = process_of(local_pool, "sensitivity")
    local_pool.forget(here)
    assert job.wait(LIMIT_S)
    assert until(lambda: not is_alive(pid))


def test_only_so_many_processes_wait(local_pool: LocalPool, tmp_path: Path) -> None:
    for index in range(local.MOST_IDLE + 3):
        (tmp_path / str(index)).mkdir()
        domain = Domain(str(tmp_path / str(index)), tmp_path / str(index))
        job = running(probe(local_pool, domain))
        local_pool.cancel(job)
        assert job.wait(LIMIT_S)
    assert until(lambda: len(local_pool.processes) <= local.MOST_IDLE)


def test_measuring_has_a_core_of_its_own(local_pool: LocalPool, here: Domain) -> None:
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        pytest.skip("one core")
    job = compress(local_pool, here)
    measuring = process_of(local_pool, "latency")
    assert until(lambda: os.sched_getaffinity(measuring) == {cores[-1]})
    working = [pid for pid, task in local_pool.processes.items() if task == "compress"]
    assert all(cores[-1] not in os.sched_getaffinity(pid) for pid in working)
    assert job.wait(LIMIT_S)
    assert job.state is State.DONE


@pytest.mark.parametrize(
    "sent",
    [
        b"no json\n",
        b"[1, 2]\n",
        b'{"step": %d}\n',
        b"[" * 100_000 + b"\n",
        b'{"step": %d, "event": "no such event"}\n',
        b'{"step": %d, "event": "hand_over", "task": "compress", "arguments": {}}\n',
        b'{"step": %d, "event": "hand_over", "task": "sensitivity", "arguments": {}}\n',
        b'{"step": %d, "event": "progress", "fraction": "x", "text": ""}\n',
        b'{"step": %d, "event": "result", "value": {"event": "Noted"}}\n',
        b'{"step": %d, "event": "waiting"}\n',
        b'{"step": %d, "event": "running"}\n',
        b'{"step": %d, "event": "result", "value": {"event": "Counted", "counts": {"a": 1e999}}}\n',
    ],
    ids=range(12),
)
def test_what_a_process_says_may_be_anything(
    local_pool: LocalPool,
    here: Domain,
    sent: bytes,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    links, asked = list[socket.socket](), list[processes.Message]()
    pair, say = socket.socketpair, Worker.say

    def kept_pair(*kind: Any) -> tuple[socket.socket, socket.socket]:
        ours, theirs = pair(*kind)
        links.append(theirs.dup())
        return ours, theirs

    def noted(worker: Worker, message: processes.Message) -> bool:
        asked.append(message)
        return say(worker, message)

    monkeypatch.setattr(socket, "socketpair", kept_pair)
    monkeypatch.setattr(Worker, "say", noted)
    job = running(probe(local_pool, here))
    os.kill(process_of(local_pool, "sensitivity"), signal.SIGSTOP)
    links[-1].sendall(sent % asked[-1]["step"] if b"%d" in sent else sent)
    for link in links:
        link.close()
    assert job.wait(LIMIT_S)
    assert (job.state, job.error) == (State.FAILED, processes.BROKEN)
    assert "Traceback" not in capsys.readouterr().err  # which a mistake of the pool's own leaves


def test_a_mistake_of_the_pools_own_ends_its_jobs_but_not_the_pool(
    here: Domain, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pool = LocalPool()
    job = running(probe(pool, here))
    hear = Worker.hear

    def mistake(_: Worker) -> None:
        monkeypatch.setattr(Worker, "hear", hear)
        raise RuntimeError("a mistake")

    monkeypatch.setattr(Worker, "hear", mistake)
    assert job.wait(LIMIT_S)
    assert (job.state, job.error) == (State.FAILED, processes.BROKEN)
    assert "a mistake" in capsys.readouterr().err
    assert pool.processes == {}
    after = compress(pool, here)
    assert after.wait(LIMIT_S)
    assert after.state is State.DONE
    pool.close()


def test_many_crashes_hurt_nobody_else(tmp_path: Path) -> None:
    storm = storm_of(40, tmp_path)
    assert (storm.lost, storm.untold) == (0, 0)


def test_slots_are_kept(tmp_path: Path) -> None:
    pool = LocalPool({WORK: 2, MEASURE: 1})
    jobs = []
    for name in "abc":
        (tmp_path / name).mkdir()
        jobs.append(probe(pool, Domain(name, tmp_path / name), name))
    assert [running(job).state for job in jobs[:2]] == [State.RUNNING] * 2
    assert (jobs[2].state, jobs[2].position) == (State.WAITING, 2)
    before = threading.active_count()
    pool.close()
    assert threading.active_count() == before - 1
    assert all(job.ended for job in jobs)
    pool.close()  # a server closes it when it stops, and Python when the process ends
