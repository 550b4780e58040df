"""Fifty people at once, or one who moves the slider without a pause, against the real server.

    python -m benchmarks.load [--sessions 50] [--seconds 60] [--think 5]
    python -m benchmarks.load --slider [--seconds 60]

Everything runs on this machine: the server, the processes that work for it, and the people, who
speak the browser's protocol and check each answer (`users`). A rerun counts from a widget's change
to the end of the run that shows it. One more person changes the setting as soon as it is measured.
Whenever the server measures no latency, as its other work is not done yet, a process on the same
core does (`stand_in`), so that a measurement is always going on.
"""

import argparse
import asyncio
import os
import random
import signal
import subprocess
import sys
import tempfile
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.figures import MB, MS, print_figures, print_start
from benchmarks.server import Server, serving
from benchmarks.timing import ROOT, SAMPLES
from benchmarks.users import BITS, Findings, User, model_of

ARRIVAL_S = 0.2  # from one person to the next
UPLOADS_EVERY = 10  # one person in so many brings a model
MOVE_S = 1 / 20
LOOK_S = 0.05  # between looks at whether the server measures
BUSY_S = 10.0  # at most, until the busy one changes the setting again
PATIENCE_S = 120.0
SURVEYING = 2  # processes that prepare predictions while nothing else is to be done


@dataclass
class Load:
    """What came of it; `cpu_s` is the server process's own in the window of `seconds`."""

    sessions: int
    seconds: float
    findings: Findings = field(default_factory=Findings)
    runs: int = 0
    cpu_s: float = 0.0
    rss_bytes: int = 0
    measuring: float = 0.0  # share of the looks at which the server measured latency itself
    heavy: list[str] = field(default_factory=list)
    trouble: list[str] = field(default_factory=list)

    @property
    def cpu_per_run_s(self) -> float:
        """Of one run of the page or of its live part."""
        return self.cpu_s / max(1, self.runs)


@dataclass
class Slide:
    """What came of a slider that was moved without a pause."""

    moves: int
    seconds: float
    asked: str
    shown: str  # the last setting on the screen, with all its numbers measured
    late_s: float  # from the last move until then
    left_over: list[int]  # processes that still worked afterwards; the survey takes SURVEYING
    findings: Findings
    heavy: list[str]
    trouble: list[str]


async def crowd(server: Server, sessions: int, seconds: float, think_s: float) -> Load:
    """Let people come, work for a while, and leave."""
    load = Load(sessions, seconds)
    people = [
        User(n, server.address, load.findings, None if n % UPLOADS_EVERY else model_of(n))
        for n in range(sessions)
    ]
    busy = User(sessions, server.address, load.findings)
    await _each(load.findings, [_arrive_after(ARRIVAL_S * n, p) for n, p in enumerate(people)])
    await _each(load.findings, [busy.arrive()])
    load.findings.rerun_s.clear()
    runs, cpu_s = load.findings.runs, server.cpu_s
    until_s = asyncio.get_running_loop().time() + seconds
    with _stand_in() as measuring:
        looking = asyncio.create_task(_keep_measuring(server, measuring, until_s))
        work = [person.work(until_s, think_s) for person in people]
        await _each(load.findings, [*work, _keep_busy(busy, until_s)])
        load.runs, load.cpu_s = load.findings.runs - runs, server.cpu_s - cpu_s
        load.measuring, load.rss_bytes = await looking, server.rss_bytes
    load.heavy, load.trouble = server.heavy, server.trouble
    await asyncio.gather(*[person.leave() for person in (*people, busy)])
    return load


async def slide(server: Server, seconds: float) -> Slide:
    """Move the ratio many times a second, and see what is there in the end."""
    findings = Findings()
    user = User(0, server.address, findings)
    await user.arrive()
    moves, percent, clock = int(seconds / MOVE_S), user.percent, asyncio.get_running_loop().time
    started = clock()
    for move in range(moves):
        percent = random.choice([other for other in range(5, 95) if other != percent])
        await user.move(percent)
        await asyncio.sleep(max(0.0, started + (move + 1) * MOVE_S - clock()))
    ended = clock()
    with suppress(TimeoutError):
        await user.has_answer(PATIENCE_S)
    late_s, shown = clock() - ended, user.visitor.page.shown
    left_over = await asyncio.to_thread(server.busy_workers)
    left_over += server.measuring
    await user.leave()
    said = shown.setting if shown is not None and shown.measured else ""
    faults = (findings, server.heavy, server.trouble)
    return Slide(moves, ended - started, user.asked, said, late_s, left_over, *faults)


async def _arrive_after(seconds: float, user: User) -> None:
    await asyncio.sleep(seconds)
    await user.arrive()


async def _keep_busy(user: User, until_s: float) -> None:
    """Ask for a setting that nobody has tried, wait until it is measured, and again."""
    clock = asyncio.get_running_loop().time
    turn = 0
    await user.choose(user.percent)
    while clock() < until_s:
        with suppress(TimeoutError):
            await user.has_answer(max(0.1, min(BUSY_S, until_s - clock())))
        turn += 1
        if turn % len(BITS) == 0:
            await user.choose(95 if user.percent == 1 else user.percent - 1)
        else:
            await user.choose_bits(BITS[turn % len(BITS)])


@contextmanager
def _stand_in() -> Iterator[int]:
    """A process that measures latency without end, on the core that the server measures on."""
    model = SAMPLES / "fashion_resnet.onnx"
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.stand_in", str(model)], cwd=ROOT)
    try:
        yield process.pid
    finally:
        process.kill()
        process.wait()


async def _keep_measuring(server: Server, stand_in: int, until_s: float) -> float:
    """Let the stand-in run while the server doesn't measure; how often the server did."""
    clock = asyncio.get_running_loop().time
    seen = []
    while clock() < until_s:
        seen.append(bool(server.measuring))
        os.kill(stand_in, signal.SIGSTOP if seen[-1] else signal.SIGCONT)
        await asyncio.sleep(LOOK_S)
    return sum(seen) / max(1, len(seen))


async def _each(findings: Findings, doing: Sequence[Coroutine[Any, Any, object]]) -> None:
    """Do all at once; what goes wrong with one is an error, and the others go on."""
    for outcome in await asyncio.gather(*doing, return_exceptions=True):
        if isinstance(outcome, Exception):
            findings.errors.append(f"{type(outcome).__name__}: {outcome}")
        elif isinstance(outcome, BaseException):
            raise outcome


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that a share of all don't exceed; 0 where there are none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def print_load(load: Load) -> None:
    """The figures, each beside its goal."""
    found, cores = load.findings, load.cpu_s / load.seconds
    rerun = [percentile(found.rerun_s, share) for share in (0.5, 0.95, 0.99)]
    rows = [
        ("sessions", f"{load.sessions} + 1", ""),
        ("changes of a setting", f"{len(found.rerun_s)}", ""),
        ("runs, with those that look for results", f"{load.runs}", ""),
        (
            "measuring: the server, or else a stand-in",
            f"{load.measuring:.0%}, {1 - load.measuring:.0%}",
            "",
        ),
        ("rerun, p50", f"{rerun[0] * MS:.0f} ms", ""),
        ("rerun, p95", f"{rerun[1] * MS:.0f} ms", "300 ms"),
        ("rerun, p99", f"{rerun[2] * MS:.0f} ms", "1000 ms"),
        ("first page, p95", f"{percentile(found.opened_s, 0.95) * MS:.0f} ms", "2000 ms"),
        ("server CPU a run", f"{load.cpu_per_run_s * MS:.1f} ms", "25 ms"),
        ("server CPU", f"{cores:.2f} cores", ""),
        ("server memory", f"{load.rss_bytes / MB:.0f} MB", "300 MB"),
    ]
    print_figures(rows, load)


def print_slide(slid: Slide) -> None:
    """The figures, each beside its goal."""
    rows = [
        ("moves", f"{slid.moves} in {slid.seconds:.0f} s", ""),
        ("the last one asked for", slid.asked, ""),
        ("on the screen, measured", slid.shown or "nothing", "the same"),
        ("after the last move", f"{slid.late_s:.1f} s", ""),
        ("processes that still worked", f"{len(slid.left_over)}", f"{SURVEYING}"),
    ]
    print_figures(rows, slid)


def main() -> None:
    """Print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sessions", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--think", type=float, default=5.0)
    parser.add_argument("--slider", action="store_true")
    given = parser.parse_args()
    print_start()
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder)) as server:
        if given.slider:
            print_slide(asyncio.run(slide(server, given.seconds)))
        else:
            made = crowd(server, given.sessions, given.seconds, given.think)
            print_load(asyncio.run(made))


if __name__ == "__main__":
    main()
