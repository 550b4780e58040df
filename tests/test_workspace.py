"""A session under two threads: a run that a newer one replaces goes on beside it for a moment."""

import threading
import time
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path

import pytest
import streamlit
from interrupting import Interrupting, visit_to
from values import (
    ARTIFACT,
    DESCRIPTION,
    LATENCY,
    MADE,
    MEASURED,
    OPENED,
    PLAN,
    PLANNED,
    PROFILE,
    QUALITY,
)

from explorer import Recipe
from explorer.errors import JobError
from explorer.events import (
    Described,
    Encoded,
    Estimated,
    Event,
    Planned,
    Profiled,
    Scored,
    Timed,
)
from explorer.jobs import Job, State
from explorer.render.cards import cards
from explorer.render.text import WENT_BACK
from explorer.runs import FIRST_RECIPE, Original, Run
from explorer.ui import frame, links
from explorer.workspace import workspace as workspaces
from explorer.workspace.current_run import BEGAN_ANEW
from explorer.workspace.folders import Storage
from explorer.workspace.results import Results
from explorer.workspace.sources import Source, sample_models
from explorer.workspace.workspace import Workspace

NEAR_S = 5.0


@pytest.fixture
def pool() -> Interrupting:
    return Interrupting()


@pytest.fixture
def visit(pool: Interrupting, tmp_path: Path) -> Workspace:
    """To a model without samples."""
    return visit_to(pool, tmp_path, OPENED)


@pytest.fixture
def scored(pool: Interrupting, tmp_path: Path) -> Workspace:
    """To one with samples."""
    return visit_to(pool, tmp_path, Described(DESCRIPTION))


def test_the_later_of_two_settings_at_the_same_moment_is_followed(
    visit: Workspace, pool: Interrupting
) -> None:
    later = Recipe(pattern="channel", ratio=0.6)
    done = threading.Event()

    def meanwhile() -> None:
        visit.set_recipe(later)
        done.set()

    pool.meanwhile = meanwhile
    visit.set_recipe(Recipe(pattern="channel", ratio=0.5))
    assert done.wait(NEAR_S)
    job, arguments = pool.jobs[-1]
    assert arguments["recipe"] == later.to_json()
    job.events = PLANNED
    visit.advance()
    assert visit.view.run is not None
    assert visit.view.run.recipe == later


@pytest.mark.parametrize(
    ("position", "pace_s"),
    [
        (0, frame.POLL_S),
        (1, frame.POLL_S),
        (frame.SOON, frame.NEXT_S),
        (frame.SOON + 1, frame.QUEUED_S),
    ],
)
def test_the_page_looks_less_often_while_others_are_ahead(
    visit: Workspace, pool: Interrupting, position: int, pace_s: float
) -> None:
    visit.set_recipe(Recipe(pattern="channel", ratio=0.5))
    job, _ = pool.jobs[-1]
    job.position = position
    assert frame.poll_s(visit) == pace_s
    job.state, job.position = State.RUNNING, 0
    assert frame.poll_s(visit) == frame.POLL_S
    job.end(State.CANCELLED)
    visit.close()


def test_the_page_does_not_look_while_nothing_runs(visit: Workspace, pool: Interrupting) -> None:
    assert frame.poll_s(visit) == frame.POLL_S  # the first setting is being compressed
    while visit.busy:
        pool.jobs[-1][0].end(State.FAILED, "no")
        visit.advance()
    assert frame.poll_s(visit) is None


def test_a_file_is_where_it_was_asked_for_whatever_a_process_says(
    visit: Workspace, pool: Interrupting
) -> None:
    secret = visit.folder.path.parent / "secret.onnx"
    secret.write_bytes(b"of somebody else")
    visit.set_recipe(Recipe(pattern="channel", ratio=0.5))
    job, arguments = pool.jobs[-1]
    job.events = (*PLANNED, Encoded(replace(ARTIFACT, path=str(secret))))
    visit.advance()
    run = visit.view.run
    assert run is not None
    assert run.file is None  # nothing was written where it was asked for
    asked = Path(arguments["out"])
    asked.symlink_to(secret)
    assert run.file is None
    asked.unlink()
    asked.write_bytes(b"a model")
    assert run.file == asked


def test_a_cancelled_job_says_that_it_is_stopping(visit: Workspace) -> None:
    visit.receive([("a.onnx", b"a")])
    assert visit.importing.job is not None
    visit.importing.job.state, visit.importing.job.progress = State.RUNNING, (0.2, "converting")
    assert visit.waiting.progress == (0.2, "converting")
    visit.importing.job.state = State.CANCELLED  # but its process hasn't ended yet
    assert visit.waiting.progress == (0.2, "stopping")


def test_the_page_looks_at_once_at_numbers_and_the_end_only(
    visit: Workspace, pool: Interrupting
) -> None:
    def has_news() -> bool:
        news = visit.waiting.await_news(0)
        visit.advance()
        return news

    visit.set_recipe(Recipe(pattern="channel", ratio=0.5))
    job, _ = pool.jobs[-1]
    assert has_news()  # another job
    assert not has_news()
    events: list[tuple[Event, bool]] = [
        (Planned(PLAN), False),
        (Estimated(PROFILE), True),
        (Encoded(ARTIFACT), False),
        (Profiled(PROFILE), False),
        (Timed(LATENCY), True),
        (Timed(LATENCY), False),  # the same, but surer
        (Scored(QUALITY), True),
    ]
    for event, is_news in events:
        job.add(event)
        assert has_news() is is_news
    job.end(State.DONE)
    assert visit.waiting.await_news(0)


def test_the_survey_waits_until_nothing_else_was_to_be_done_for_a_moment(
    visit: Workspace, pool: Interrupting, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    now_s = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now_s)
    file = Path(pool.jobs[-1][1]["out"])
    file.write_bytes(b"a model")
    pool.jobs[-1][0].events = MADE
    for _ in range(2):  # the first setting, then what is missing of the original
        pool.jobs[-1][0].end(State.DONE)
        visit.advance()
    assert not visit.busy
    count = len(pool.jobs)
    now_s += workspaces.REST_S / 2
    visit.advance()
    assert (len(pool.jobs), visit.survey.running) == (count, True)
    now_s += workspaces.REST_S
    visit.advance()
    assert len(pool.jobs) == count + 1


@pytest.mark.parametrize(("position", "waits"), [(0, True), (1, True), (2, False)])
def test_only_what_comes_at_once_is_waited_for(
    visit: Workspace,
    pool: Interrupting,
    monkeypatch: pytest.MonkeyPatch,
    position: int,
    waits: bool,
) -> None:
    looks: list[float | None] = []
    monkeypatch.setattr(Job, "wait", lambda _, timeout_s=None: looks.append(timeout_s))
    monkeypatch.setattr(workspaces, "SETTLE_S", 0.05)
    visit.set_recipe(Recipe(pattern="channel", ratio=0.5))
    pool.jobs[-1][0].position = position
    visit.settle()
    assert bool(looks) is waits


def test_a_setting_that_no_job_can_begin_for_makes_way_for_the_one_before(
    visit: Workspace, pool: Interrupting, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> Job:
        raise JobError("No process can be started.")

    usual = visit.recipe
    pool.jobs[-1][0].events = MADE
    pool.jobs[-1][0].end(State.DONE)
    visit.advance()
    monkeypatch.setattr(pool, "submit", refuse)
    visit.set_recipe(Recipe(pattern="channel", ratio=0.5))
    assert visit.recipe == usual
    assert visit.notice == f"No process can be started. {WENT_BACK}"
    visit.advance()
    visit.measure_again()
    assert (visit.recipe, visit.notice) == (usual, "No process can be started.")


def test_a_first_setting_that_fails_makes_way_for_the_usual_one(
    visit: Workspace, pool: Interrupting
) -> None:
    """As that of a link with a layer which the model doesn't have."""
    usual, asked = visit.recipe, Recipe(pattern="channel", ratio=0.5)
    visit.set_recipe(asked)
    pool.jobs[-1][0].end(State.FAILED, "There is no layer 'zzz'.")
    visit.advance()
    assert visit.recipe == usual
    assert visit.notice == f"There is no layer 'zzz'. {BEGAN_ANEW}"
    job, arguments = pool.jobs[-1]
    assert arguments["recipe"] == usual.to_json()
    job.end(State.FAILED, "It was killed.")
    visit.advance()
    assert visit.notice == "It was killed."
    job, arguments = pool.jobs[-1]
    assert "recipe" not in arguments  # the original is still measured
    job.end(State.DONE)
    visit.advance()
    assert not visit.busy


def test_a_setting_that_fails_goes_back_and_that_is_said(
    visit: Workspace, pool: Interrupting, tmp_path: Path
) -> None:
    def end(state: State, error: str | None = None, events: tuple[Event, ...] = ()) -> None:
        job, _ = pool.jobs[-1]
        job.events = events
        job.end(state, error)
        visit.advance()

    before, asked = visit.recipe, Recipe(pattern="channel", ratio=0.5)
    file = tmp_path / "compressed.onnx"
    file.touch()
    end(State.DONE, events=MADE)
    visit.set_recipe(asked)
    end(State.FAILED, "It was killed.")
    assert visit.recipe == before
    assert visit.notice == "It was killed. Reverted to the previous setting."
    file.unlink()
    visit.edit_recipe(before)
    end(State.FAILED, "It was killed.")
    assert (visit.recipe, visit.notice) == (before, "It was killed.")


def test_while_a_run_waits_no_number_of_another_setting_stands_in_its_place(
    scored: Workspace, pool: Interrupting
) -> None:
    visit = scored
    pool.jobs[-1][0].events = MEASURED
    pool.jobs[-1][0].end(State.DONE)
    visit.advance()
    assert {card.kind for card in cards(visit.view, busy=False)} == {
        "computed",
        "measured",
        "unknown",
    }
    asked = Recipe(pattern="channel", ratio=0.5)
    visit.set_recipe(asked)
    pool.jobs[-1][0].position = 3
    visit.advance()
    assert visit.view.run is not None
    assert visit.view.run.recipe == asked
    shown = cards(visit.view, visit.busy, visit.waiting.queued)
    assert {(card.kind, card.value) for card in shown} == {("queued", "queued, 3 ahead")}
    assert [run.recipe for run in visit.runs] != [asked]
    pool.jobs[-1][0].state = State.RUNNING
    pool.jobs[-1][0].events = PLANNED
    visit.advance()
    kinds = [card.kind for card in cards(visit.view, visit.busy, visit.waiting.queued)]
    assert kinds == [*4 * ["estimated"], "coming", "coming"]


def test_while_files_are_imported_the_numbers_are_not_those_of_another_setting(
    scored: Workspace, pool: Interrupting
) -> None:
    visit = scored
    pool.jobs[-1][0].events = MEASURED
    pool.jobs[-1][0].end(State.DONE)
    visit.advance()
    visit.receive([("m.onnx", b"no model")])
    visit.set_recipe(Recipe(pattern="channel", ratio=0.5))
    assert {card.value for card in cards(visit.view, visit.busy)} == {"–"}


def test_a_link_to_a_known_sample_shows_and_tries_its_own_setting_alone(
    pool: Interrupting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample, file = sample_models()[0], tmp_path / "small.onnx"
    file.touch()
    usual = replace(
        Run(FIRST_RECIPE).after(MEASURED),
        artifact=replace(ARTIFACT, path=str(file)),
        complete=True,
    )
    monkeypatch.setattr(Results, "_originals", {sample: Original().after([OPENED])})
    monkeypatch.setattr(Results, "_shared", OrderedDict({(sample, FIRST_RECIPE.to_json()): usual}))
    asked = Recipe(pattern="channel", ratio=0.5)
    link = {"model": sample.key, "setting": asked.to_json()}
    monkeypatch.setattr(streamlit, "query_params", link)
    visit = Workspace(pool, Storage(tmp_path).folder())
    links.follow(visit)
    assert visit.view.run is not None
    assert visit.view.run == Run(asked)
    assert visit.runs == ()
    assert [arguments["recipe"] for _, arguments in pool.jobs] == [asked.to_json()]


def test_a_new_model_starts_from_the_usual_setting(visit: Workspace, pool: Interrupting) -> None:
    def open_(source: Source) -> Recipe:
        visit.open(source)
        pool.jobs[-1][0].events = (OPENED,)
        pool.jobs[-1][0].end(State.DONE)
        visit.advance()
        assert visit.source == source
        assert pool.jobs[-1][1]["recipe"] == visit.recipe.to_json()
        return visit.recipe

    first = visit.source
    assert first is not None
    moved = Recipe(pattern="unstructured", ratio=0.9, weight_bits=2)
    visit.set_recipe(moved)
    assert open_(first.resized((("x", (1, 3)),))) == moved  # the same network
    assert open_(replace(first, key="own", data=first.model.with_suffix(".npz"))) == moved
    other = replace(first, key="n", model=first.model.with_name("n.onnx"))
    assert open_(other) == FIRST_RECIPE
    visit.set_recipe(moved)
    assert open_(first) == FIRST_RECIPE


def test_a_setting_can_be_measured_again(visit: Workspace, pool: Interrupting) -> None:
    def measured(latency: float) -> None:
        file = Path(pool.jobs[-1][1]["out"])
        file.touch()
        pool.jobs[-1][0].events = (*MEASURED, Timed(replace(LATENCY, min_s=latency)))
        pool.jobs[-1][0].end(State.DONE)
        visit.advance()
        while visit.busy:  # of the original
            pool.jobs[-1][0].end(State.DONE)
            visit.advance()

    measured(1.0)
    count = len(pool.jobs)
    visit.measure_again()
    visit.advance()  # while it waits, what is known of it doesn't take its place
    assert len(pool.jobs) == count + 1
    assert visit.busy
    visit.measure_again()  # once is enough
    assert len(pool.jobs) == count + 1
    measured(2.0)
    assert visit.view.latency is not None
    assert visit.view.latency.min_s == 2.0
    assert [run.latency for run in visit.runs] == [visit.view.latency]
