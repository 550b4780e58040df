"""Sensitivity in slices, where other work goes first, and what it is spent on."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from values import SENSITIVITY, SPENT

from explorer.events import Bought, Probed, ProbesCounted, Surveyed
from explorer.findings import Probe
from explorer.jobs import Domain, Job, Pool, State
from explorer.preview.forecast import survey_base
from explorer.recipe import LayerChoice, Recipe
from explorer.workspace.budget_search import BudgetSearch
from explorer.workspace.runner import Fault, Runner
from explorer.workspace.slices import Slices, Store
from explorer.workspace.sources import Source, sample_models

HERE = Domain("here", Path())
SOURCE = Source(
    key="key", title="title", domain=HERE, model=Path("model.onnx"), data=Path("data.npz")
)
ONE = Probed(SENSITIVITY)
TWO = Probed(replace(SENSITIVITY, probe=Probe("b", ("b",), weight_bits=8)))
A, B = Surveyed("a", Recipe()), Surveyed("b", Recipe())


class Stopped(Pool):
    """A pool whose jobs end only when a test says so."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []
        self.asked: list[dict[str, Any]] = []  # the arguments of each

    def submit(self, session: str, domain: Domain, task: str, arguments: dict[str, Any]) -> Job:
        self.jobs.append(Job(session, domain))
        self.asked.append(arguments)
        return self.jobs[-1]

    def cancel(self, job: Job) -> None:
        job.end(State.CANCELLED)

    def forget(self, domain: Domain) -> None:
        """It keeps nothing."""

    def close(self) -> None:
        """It has no process."""


@pytest.fixture
def pool() -> Stopped:
    return Stopped()


@pytest.fixture
def runner(pool: Stopped) -> Runner:
    return Runner(pool, "one")


def go_on(
    runner: Runner, work: Slices | BudgetSearch, source: Source | None, recipe: Recipe
) -> Fault | None:
    """As a workspace does."""
    work.follow(source, recipe)
    return runner.advance([work])


@pytest.fixture
def probing(runner: Runner) -> Slices:
    started = Slices("sensitivity")
    started.start(SOURCE, Recipe(ratio=0.3))
    assert go_on(runner, started, SOURCE, Recipe(ratio=0.3)) is None
    return started


def test_slices_follow_each_other_until_all_is_done(
    pool: Stopped, runner: Runner, probing: Slices
) -> None:
    pool.jobs[0].events = (ProbesCounted(2), ONE)
    go_on(runner, probing, SOURCE, Recipe())
    assert probing.progress(SOURCE, Recipe()) == (1, 2)
    assert len(pool.jobs) == 1
    pool.jobs[0].end(State.DONE)
    go_on(runner, probing, SOURCE, Recipe())
    assert pool.asked[1]["done"] == ["a:0.5"]
    pool.jobs[1].events = (ProbesCounted(2), TWO)
    pool.jobs[1].end(State.DONE)
    go_on(runner, probing, SOURCE, Recipe())
    assert not probing.running
    assert probing.is_complete(SOURCE, Recipe())
    assert probing.found(SOURCE, Recipe()) == (ONE, TWO)


def test_other_work_goes_first_and_what_has_come_is_kept(
    pool: Stopped, runner: Runner, probing: Slices
) -> None:
    pool.jobs[0].events = (ProbesCounted(2), ONE)
    runner.advance([])
    assert pool.jobs[0].state is State.CANCELLED
    assert len(pool.jobs) == 1
    assert probing.running
    go_on(runner, probing, SOURCE, Recipe(ratio=0.4))
    assert pool.asked[1]["done"] == ["a:0.5"]


@pytest.mark.parametrize(
    ("source", "recipe"),
    [(None, Recipe()), (SOURCE, Recipe(compensate=False))],
    ids=["another model", "other base settings"],
)
def test_another_model_or_base_ends_it(
    pool: Stopped, runner: Runner, probing: Slices, source: Source | None, recipe: Recipe
) -> None:
    pool.jobs[0].events = (ProbesCounted(2), ONE)
    go_on(runner, probing, source, recipe)
    assert not probing.running
    assert pool.jobs[0].state is State.CANCELLED
    assert probing.found(source, recipe) == ()
    assert len(probing.found(SOURCE, Recipe())) == 1


def test_a_mistake_ends_it_in_one_sentence(pool: Stopped, runner: Runner, probing: Slices) -> None:
    pool.jobs[0].end(State.FAILED, "No.")
    assert go_on(runner, probing, SOURCE, Recipe()) == Fault(probing, "No.")
    assert not probing.running


def test_a_slice_without_a_result_is_not_asked_for_again(
    pool: Stopped, runner: Runner, probing: Slices
) -> None:
    pool.jobs[0].end(State.DONE)
    go_on(runner, probing, SOURCE, Recipe())
    assert not probing.running
    assert len(pool.jobs) == 1


def test_of_samples_one_visitor_finds_out_for_all(pool: Stopped) -> None:
    store: Store = {}
    sample, recipe = sample_models()[0], Recipe()
    one, two = (Slices("survey", survey_base, store) for _ in range(2))
    runner, other = (Runner(pool, name) for name in ("one", "two"))
    for jobs, visitor in ((runner, one), (other, two)):
        visitor.start(sample, recipe)
        go_on(jobs, visitor, sample, recipe)
    assert len(pool.jobs) == 1
    pool.jobs[0].events = (ProbesCounted(2), A)
    go_on(other, two, sample, recipe)
    assert two.found(sample, recipe) == (A,)
    runner.advance([])  # it has left, or works on something else
    go_on(other, two, sample, recipe)
    assert [len(pool.jobs), pool.asked[1]["done"]] == [2, ["a"]]
    pool.jobs[1].events = (ProbesCounted(2), B)
    pool.jobs[1].end(State.DONE)
    go_on(other, two, sample, recipe)
    assert not two.running
    assert one.is_complete(sample, replace(recipe, ratio=0.4, pattern="block"))
    assert not one.is_complete(sample, replace(recipe, scope="layer"))


def test_of_own_models_nothing_is_shared(pool: Stopped) -> None:
    store: Store = {}
    one, two = (Slices("survey", survey_base, store) for _ in range(2))
    runner = Runner(pool, "one")
    one.start(SOURCE, Recipe())
    go_on(runner, one, SOURCE, Recipe())
    pool.jobs[0].events = (ProbesCounted(1), A)
    pool.jobs[0].end(State.DONE)
    go_on(runner, one, SOURCE, Recipe())
    assert one.found(SOURCE, Recipe()) == (A,)
    assert two.found(SOURCE, Recipe()) == ()


START = Recipe(ratio=0.3)
BOUGHT = Recipe(pattern="channel", layers=(LayerChoice("a", 0.5),))


@pytest.fixture
def taken() -> list[Recipe]:
    """What was found."""
    return []


@pytest.fixture
def spending(runner: Runner, taken: list[Recipe]) -> BudgetSearch:
    started = BudgetSearch(taken.append)
    started.start(SOURCE, START, [SENSITIVITY])
    assert go_on(runner, started, SOURCE, START) is None
    return started


def spent(recipe: Recipe) -> Bought:
    return Bought(replace(SPENT, recipe=recipe))


def test_what_is_bought_is_taken_and_told_while_it_is_the_setting(
    pool: Stopped, runner: Runner, spending: BudgetSearch, taken: list[Recipe]
) -> None:
    assert go_on(runner, spending, SOURCE, START) is None
    assert (spending.running, taken) == (True, [])
    pool.jobs[0].add(spent(BOUGHT))
    pool.jobs[0].end(State.DONE)
    assert go_on(runner, spending, SOURCE, START) is None
    assert (spending.running, taken) == (False, [BOUGHT])
    assert spending.bought(SOURCE, BOUGHT) == spent(BOUGHT).spent
    assert spending.bought(SOURCE, START) is None
    assert spending.bought(None, BOUGHT) is None


def test_a_budget_that_buys_nothing_leaves_the_setting(
    pool: Stopped, runner: Runner, spending: BudgetSearch, taken: list[Recipe]
) -> None:
    pool.jobs[0].add(spent(Recipe()))
    pool.jobs[0].end(State.DONE)
    go_on(runner, spending, SOURCE, START)
    assert taken == []
    assert spending.bought(SOURCE, START) is not None


@pytest.mark.parametrize(
    ("source", "recipe"),
    [(None, START), (SOURCE, Recipe(ratio=0.4))],
    ids=["another model", "a changed setting"],
)
def test_spending_ends_with_what_it_is_for(
    pool: Stopped,
    runner: Runner,
    spending: BudgetSearch,
    taken: list[Recipe],
    source: Source | None,
    recipe: Recipe,
) -> None:
    assert go_on(runner, spending, source, recipe) is None
    assert not taken
    assert not spending.running
    assert pool.jobs[0].state is State.CANCELLED


def test_a_mistake_in_spending_is_one_sentence(
    pool: Stopped, runner: Runner, spending: BudgetSearch, taken: list[Recipe]
) -> None:
    pool.jobs[0].end(State.FAILED, "No.")
    assert go_on(runner, spending, SOURCE, START) == Fault(spending, "No.")
    assert not taken
    assert not spending.running
