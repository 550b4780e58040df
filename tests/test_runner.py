"""One job at a time: what is wanted most goes on, and nothing is taken for what it isn't."""

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import pytest
from test_slices import Stopped
from values import OPENED

from explorer.errors import JobError
from explorer.events import Event
from explorer.jobs import Domain, Job, State
from explorer.workspace.runner import Request, Runner, Work

HERE = Domain("here", Path())


class Wish(Work):
    """Wants a job for a key, and notes what it hears."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.key: Hashable = None
        self.heard: list[tuple[Hashable, tuple[Event, ...]]] = []
        self.ended: list[tuple[Hashable, State]] = []

    def request(self) -> Request | None:
        if self.key is None:
            return None
        return Request("compress", HERE, (self.name, self.key), lambda: {"key": self.key})

    def take(self, key: Any, job: Job) -> None:
        self.heard.append((key[1], job.events))

    def end(self, key: Any, job: Job) -> str | None:
        self.ended.append((key[1], job.state))
        self.key = None if key[1] == self.key else self.key
        return job.error

    def halt(self, error: str) -> None:
        self.key = None


@pytest.fixture
def pool() -> Stopped:
    return Stopped()


@pytest.fixture
def runner(pool: Stopped) -> Runner:
    return Runner(pool, "one")


def test_the_first_that_wants_something_goes_on(pool: Stopped, runner: Runner) -> None:
    urgent, idle = Wish("urgent"), Wish("idle")
    idle.key = 1
    runner.advance([urgent, idle])
    runner.advance([urgent, idle])
    assert len(pool.jobs) == 1
    assert (urgent.job, idle.job) == (None, pool.jobs[0])
    urgent.key = 2
    runner.advance([urgent, idle])
    assert [asked["key"] for asked in pool.asked] == [1, 2]
    assert (urgent.job, idle.job) == (pool.jobs[1], None)
    pool.jobs[1].end(State.DONE)
    runner.advance([urgent, idle])
    assert urgent.ended == [(2, State.DONE)]
    assert [asked["key"] for asked in pool.asked] == [1, 2, 1]  # begun anew


def test_what_has_come_is_heard_before_a_job_is_dropped(pool: Stopped, runner: Runner) -> None:
    wish, urgent = Wish("wish"), Wish("urgent")
    wish.key = 1
    runner.advance([urgent, wish])
    pool.jobs[0].add(OPENED)
    urgent.key = 1
    runner.advance([urgent, wish])
    assert wish.heard[-1] == (1, (OPENED,))
    assert wish.ended == []


def test_a_job_is_told_of_by_its_key_though_another_is_wanted_by_now(
    pool: Stopped, runner: Runner
) -> None:
    wish = Wish("wish")
    wish.key = 1
    runner.advance([wish])
    wish.key = 2
    pool.jobs[0].add(OPENED)
    pool.jobs[0].end(State.DONE)
    runner.advance([wish])
    assert wish.ended == [(1, State.DONE)]
    assert [asked["key"] for asked in pool.asked] == [1, 2]


def test_what_nobody_wants_any_more_is_stopped(pool: Stopped, runner: Runner) -> None:
    wish = Wish("wish")
    wish.key = 1
    runner.advance([wish])
    wish.key = None
    runner.advance([wish])
    assert pool.jobs[0].state is State.CANCELLED
    assert (runner.work, wish.job) == (None, None)


def test_a_job_that_is_cancelled_at_a_persons_wish_is_heard_to_its_end(
    pool: Stopped, runner: Runner
) -> None:
    wish = Wish("wish")
    wish.key = 1
    runner.advance([wish])
    runner.cancel(wish)
    runner.advance([wish])
    assert wish.ended == [(1, State.CANCELLED)]
    assert len(pool.jobs) == 1


def test_another_work_may_take_over_what_goes_on(pool: Stopped, runner: Runner) -> None:
    one, other = Wish("same"), Wish("same")
    one.key = other.key = 1
    runner.advance([one])
    runner.advance([other])
    assert len(pool.jobs) == 1
    assert (one.job, other.job) == (None, pool.jobs[0])


def test_where_no_job_can_be_started_it_is_said_once() -> None:
    class Shut(Stopped):
        def submit(self, session: str, domain: Domain, task: str, arguments: object) -> Job:
            raise JobError("There is no process.")

    wish, runner = Wish("wish"), Runner(Shut(), "one")
    wish.key = 1
    fault = runner.advance([wish])
    assert fault is not None
    assert (fault.work, fault.sentence) == (wish, "There is no process.")
    assert runner.advance([wish]) is None
