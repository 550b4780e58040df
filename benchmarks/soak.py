"""A thousand people come and go: what is left of them in the server afterwards.

    python -m benchmarks.soak [--sessions 1000] [--at-once 8] [--forget 10]

A few are there at a time; one in five brings a model; each changes the setting a few times and
leaves. Then the server gets the time in which it forgets people who have gone: `--forget` seconds,
instead of the minutes that a lost connection has to come back.
"""

import argparse
import asyncio
import tempfile
import time
from dataclasses import astuple, dataclass
from pathlib import Path

from benchmarks.figures import MB, print_figures, print_start
from benchmarks.server import Server, serving
from benchmarks.users import BITS, Findings, User, model_of

WARM_UP = 4  # people, so that everything is loaded before the first look
UPLOADS_EVERY = 5
CHANGES = 3
PROCESSES = 2  # that stay: the one that others are forked from, and the one that has the samples
PATIENCE_S = 30.0
SETTLE_S = 2.0


@dataclass(frozen=True)
class Look:
    """What the server holds at a moment."""

    rss_bytes: int
    threads: int
    open_files: int
    visits: int  # folders
    processes: int

    @classmethod
    def at(cls, server: Server) -> "Look":
        processes = len(server.zygotes) + len(server.workers)
        folders = len(server.visits)
        return cls(server.rss_bytes, server.threads, server.open_files, folders, processes)


@dataclass(frozen=True)
class Soak:
    """What came of it; `most` holds the largest figures while people were there."""

    sessions: int
    seconds: float
    before: Look
    most: Look
    after: Look
    findings: Findings
    heavy: list[str]
    trouble: list[str]


def forgetting(seconds: int) -> list[str]:
    """Options of a server that leaves a lost connection so many seconds to come back."""
    return ["--server.disconnectedSessionTTL", str(seconds)]


async def soak(server: Server, sessions: int, at_once: int, forget_s: int) -> Soak:
    """Let people come and go, and wait until they should be forgotten."""
    await _visits(server, Findings(), WARM_UP, at_once)
    await _forgotten(server, forget_s)
    before, findings, started = Look.at(server), Findings(), time.monotonic()
    looking = asyncio.create_task(_most(server, before))
    await _visits(server, findings, sessions, at_once)
    seconds = time.monotonic() - started
    looking.cancel()
    most = (await asyncio.gather(looking, return_exceptions=True))[0]
    assert isinstance(most, Look)
    await _forgotten(server, forget_s)
    after = Look.at(server)
    return Soak(sessions, seconds, before, most, after, findings, server.heavy, server.trouble)


async def _visits(server: Server, findings: Findings, sessions: int, at_once: int) -> None:
    numbers = iter(range(sessions))

    async def one_after_another() -> None:
        for number in numbers:
            content = None if number % UPLOADS_EVERY else model_of(number)
            user = User(number, server.address, findings, content)
            try:
                await user.arrive()
                await user.choose(user.percent)
                for bits in BITS[1:CHANGES]:
                    await user.choose_bits(bits)
            except Exception as error:  # noqa: BLE001 - counted; the others go on
                findings.errors.append(f"{type(error).__name__}: {error}")
            finally:
                await user.leave()

    await asyncio.gather(*[one_after_another() for _ in range(at_once)])


async def _forgotten(server: Server, forget_s: int) -> None:
    """Wait until the server has removed what was theirs, and some time for it to settle."""
    deadline = time.monotonic() + forget_s + PATIENCE_S
    while server.visits and time.monotonic() < deadline:
        await asyncio.sleep(0.5)
    await asyncio.sleep(SETTLE_S)


async def _most(server: Server, at_first: Look) -> Look:
    most = at_first
    try:
        while True:
            now = Look.at(server)
            most = Look(*[max(pair) for pair in zip(astuple(most), astuple(now), strict=True)])
            await asyncio.sleep(0.5)
    except asyncio.CancelledError:
        return most


def print_soak(made: Soak) -> None:
    """The figures, each beside its goal."""
    before, most, after = made.before, made.most, made.after
    memory = [f"{look.rss_bytes / MB:.0f}" for look in (before, most, after)]
    rows = [
        ("sessions", f"{made.sessions} in {made.seconds:.0f} s", ""),
        ("runs", f"{made.findings.runs}", ""),
        ("memory, MB", f"{memory[0]}, at most {memory[1]}, then {memory[2]}", "+ 100"),
        *[
            (name, f"{old}, at most {peak}, then {new}", goal)
            for name, old, peak, new, goal in (
                ("threads", before.threads, most.threads, after.threads, "+ 5"),
                ("open files", before.open_files, most.open_files, after.open_files, "the same"),
                ("folders of visits", before.visits, most.visits, after.visits, "0"),
                ("processes", before.processes, most.processes, after.processes, str(PROCESSES)),
            )
        ],
    ]
    print_figures(rows, made)


def main() -> None:
    """Print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sessions", type=int, default=1000)
    parser.add_argument("--at-once", type=int, default=8)
    parser.add_argument("--forget", type=int, default=10)
    given = parser.parse_args()
    print_start()
    options = forgetting(given.forget)
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder), *options) as server:
        print_soak(asyncio.run(soak(server, given.sessions, given.at_once, given.forget)))


if __name__ == "__main__":
    main()
