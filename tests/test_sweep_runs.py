"""A sweep between all else: what is measured, what goes first, and what fails."""

from pathlib import Path

import pytest
from test_slices import SOURCE, Stopped
from values import MEASURED

from explorer.errors import JobError
from explorer.events import Counted
from explorer.jobs import Domain, Job, State
from explorer.recipe import Recipe
from explorer.runs import Run
from explorer.workspace.folders import SWEPT
from explorer.workspace.results import Results
from explorer.workspace.runner import Runner
from explorer.workspace.sources import Source
from explorer.workspace.sweep_runs import SweepRuns

ONE, TWO, THREE = (Recipe(pattern="channel", ratio=ratio) for ratio in (0.1, 0.2, 0.3))


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def pool() -> Stopped:
    return Stopped()


@pytest.fixture
def memory() -> Results:
    return Results()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def runner(pool: Stopped) -> Runner:
    return Runner(pool, "one")


@pytest.fixture
def sweeping(runner: Runner, memory: Results, clock: Clock) -> SweepRuns:
    """A sweep over three settings, the first of which is being measured."""
    started = SweepRuns(memory, clock=clock)
    started.start(SOURCE, (ONE, TWO, THREE))
    assert go_on(runner, started) is None
    return started


def go_on(runner: Runner, sweeping: SweepRuns, source: Source | None = SOURCE) -> str | None:
    """As a workspace does."""
    ended, fault = sweeping.follow(source), runner.advance([sweeping])
    return fault.sentence if fault is not None else ended


def asked(pool: Stopped) -> list[str]:
    return [arguments["recipe"] for arguments in pool.asked]


def test_each_setting_is_measured_and_remembered_as_the_panel_does_it(
    pool: Stopped, runner: Runner, memory: Results, sweeping: SweepRuns, clock: Clock
) -> None:
    assert (sweeping.running, sweeping.progress, sweeping.current) == (True, (0, 3), ONE)
    assert sweeping.time_left_s is None
    for count in range(1, 4):
        clock.now_s += 2.0 * count
        pool.jobs[-1].events = MEASURED
        pool.jobs[-1].end(State.DONE)
        assert go_on(runner, sweeping) is None
        assert sweeping.progress == (count, 3)
        assert sweeping.time_left_s == (3 - count) * (1 + count)  # 2; 2, 4; 2, 4, 6 seconds
    assert (sweeping.running, sweeping.paused, sweeping.current) == (False, False, None)
    assert asked(pool) == [each.to_json() for each in (ONE, TWO, THREE)]
    assert [run.recipe for run in memory.runs(SOURCE).values()] == [ONE, TWO, THREE]
    assert all(run.complete for run in memory.runs(SOURCE).values())
    assert go_on(runner, sweeping) is None
    assert len(pool.jobs) == 3


def test_what_is_known_is_not_measured_again_even_without_its_file(
    pool: Stopped, runner: Runner, memory: Results
) -> None:
    sweeping = SweepRuns(memory)
    memory.remember(SOURCE, Run(ONE, complete=True))
    memory.remember(SOURCE, Run(TWO).after(MEASURED))  # not all of it is known
    sweeping.start(SOURCE, (ONE, TWO))
    go_on(runner, sweeping)
    assert asked(pool) == [TWO.to_json()]
    assert sweeping.progress == (1, 2)


def test_other_work_goes_first_and_the_setting_is_measured_anew(
    pool: Stopped, runner: Runner, sweeping: SweepRuns
) -> None:
    runner.advance([])
    assert pool.jobs[0].state is State.CANCELLED
    assert (len(pool.jobs), sweeping.running, sweeping.progress) == (1, True, (0, 3))
    go_on(runner, sweeping)
    assert asked(pool) == [ONE.to_json()] * 2


def test_a_job_that_the_pool_has_dropped_is_done_again(
    pool: Stopped, runner: Runner, sweeping: SweepRuns
) -> None:
    pool.jobs[0].state = State.CANCELLED  # but its process hasn't ended yet
    go_on(runner, sweeping)
    assert len(pool.jobs) == 1
    pool.jobs[0].end(State.CANCELLED)
    go_on(runner, sweeping)
    assert asked(pool) == [ONE.to_json()] * 2


def test_a_pause_lasts_until_one_goes_on(
    pool: Stopped, runner: Runner, sweeping: SweepRuns
) -> None:
    sweeping.pause()
    go_on(runner, sweeping)
    assert (sweeping.running, sweeping.paused, sweeping.progress) == (False, True, (0, 3))
    assert len(pool.jobs) == 1
    sweeping.go_on()
    go_on(runner, sweeping)
    assert (sweeping.running, sweeping.paused, len(pool.jobs)) == (True, False, 2)


def test_stopped_it_keeps_what_has_come(
    pool: Stopped, runner: Runner, memory: Results, sweeping: SweepRuns
) -> None:
    pool.jobs[0].events = MEASURED
    pool.jobs[0].end(State.DONE)
    go_on(runner, sweeping)
    sweeping.stop()
    go_on(runner, sweeping)
    assert pool.jobs[1].state is State.CANCELLED
    assert (sweeping.running, sweeping.paused, sweeping.progress) == (False, False, (1, 1))
    assert (len(pool.jobs), len(memory.runs(SOURCE))) == (2, 1)


def test_a_setting_that_fails_is_listed_and_the_others_follow(
    pool: Stopped, runner: Runner, memory: Results, sweeping: SweepRuns
) -> None:
    pool.jobs[0].end(State.FAILED, "It crashed.")
    assert go_on(runner, sweeping) is None
    failures = sweeping.failures
    assert failures == ((ONE, "It crashed."),)
    assert sweeping.current == TWO
    assert not memory.runs(SOURCE)
    sweeping.start(SOURCE, (ONE,))
    assert sweeping.failures == ()


def test_another_model_ends_it(pool: Stopped, runner: Runner, sweeping: SweepRuns) -> None:
    pool.jobs[0].end(State.FAILED, "It crashed.")
    go_on(runner, sweeping)
    assert "ended after 1 of 3 runs" in str(go_on(runner, sweeping, source=None))
    assert pool.jobs[1].state is State.CANCELLED
    assert go_on(runner, sweeping, source=None) is None
    assert (sweeping.running, sweeping.progress, sweeping.failures) == (False, (0, 0), ())


def test_where_no_work_can_be_started_it_pauses_and_says_why(memory: Results) -> None:
    class Shut(Stopped):
        def submit(self, session: str, domain: Domain, task: str, arguments: object) -> Job:
            raise JobError("There is no process.")

    sweeping, runner = SweepRuns(memory), Runner(Shut(), "one")
    sweeping.start(SOURCE, (ONE,))
    assert go_on(runner, sweeping) == "There is no process."
    assert (sweeping.paused, sweeping.failures) == (True, ())
    assert go_on(runner, sweeping) is None


def test_its_files_have_a_share_of_their_own(
    pool: Stopped, runner: Runner, memory: Results, tmp_path: Path
) -> None:
    source = Source(key="m", title="M", domain=Domain("m", tmp_path), model=tmp_path / "model.onnx")
    for _ in range(SWEPT.files + 5):
        SWEPT.new_file(tmp_path).touch()
    sweeping = SweepRuns(memory)
    sweeping.start(source, (ONE,))
    go_on(runner, sweeping, source)
    assert len(list(tmp_path.iterdir())) == SWEPT.files
    out = Path(pool.asked[0]["out"])
    assert (out.parent, out.name.startswith(SWEPT.prefix)) == (tmp_path, True)


def test_counts_are_kept_for_the_panel_and_not_asked_for_twice(
    pool: Stopped, runner: Runner, memory: Results, sweeping: SweepRuns
) -> None:
    fixed = {
        "criterion": "reconstruction", "round_to": 8, "granularity": "channel", "group_size": 32,
        "widths": False, "compensate": True, "seed": 0,
    }  # fmt: skip
    counts = {"model": "m", "fixed": fixed, "masks": {}, "bits": {}}
    pool.jobs[0].events = (Counted(counts), *MEASURED)
    pool.jobs[0].end(State.DONE)
    go_on(runner, sweeping)
    assert [arguments["counted"] for arguments in pool.asked] == [None, []]
    assert memory.counts(SOURCE, ONE) == counts
