"""What pages ask beyond the numbers: while it is on the screen, behind all other work."""

from pathlib import Path

import pytest
from test_slices import SOURCE, Stopped

from explorer.jobs import State
from explorer.ui.questions import MOST_KEPT, Questions


@pytest.fixture
def pool() -> Stopped:
    return Stopped()


@pytest.fixture
def questions(pool: Stopped) -> Questions:
    return Questions(pool, "one")


def test_a_question_is_answered_once(pool: Stopped, questions: Questions) -> None:
    assert questions.ask(SOURCE, "costs", {"a": 1}) is None
    assert questions.ask(SOURCE, "costs", {"a": 1}) is None
    questions.advance(free=True)
    assert (len(pool.jobs), pool.asked) == (1, [{"a": 1}])
    pool.jobs[0].parts = {"nodes": []}
    pool.jobs[0].end(State.DONE)
    questions.advance(free=True)
    answer = questions.ask(SOURCE, "costs", {"a": 1})
    assert answer is not None
    assert (answer.parts, answer.error) == ({"nodes": []}, None)
    assert not questions.running
    questions.advance(free=True)
    assert len(pool.jobs) == 1


def test_one_after_the_other_and_only_when_free(pool: Stopped, questions: Questions) -> None:
    for number in range(2):
        questions.ask(SOURCE, "costs", {"a": number})
    questions.advance(free=False)
    assert not pool.jobs
    questions.advance(free=True)
    questions.advance(free=True)
    assert len(pool.jobs) == 1
    pool.jobs[0].end(State.DONE)
    questions.advance(free=True)
    assert [asked["a"] for asked in pool.asked] == [0, 1]


def test_what_was_pushed_aside_is_asked_again(pool: Stopped, questions: Questions) -> None:
    questions.ask(SOURCE, "costs", {})
    questions.advance(free=True)
    questions.make_way()
    assert pool.jobs[0].state is State.CANCELLED
    questions.advance(free=False)
    assert questions.running
    questions.advance(free=True)
    assert len(pool.jobs) == 2


def test_what_is_no_longer_on_the_screen_is_dropped(pool: Stopped, questions: Questions) -> None:
    questions.ask(SOURCE, "costs", {})
    questions.advance(free=True)
    questions.forget()
    questions.advance(free=True)
    assert pool.jobs[0].state is State.CANCELLED
    questions.advance(free=True)
    assert len(pool.jobs) == 1


def test_a_mistake_is_a_sentence(pool: Stopped, questions: Questions) -> None:
    questions.ask(SOURCE, "costs", {})
    questions.advance(free=True)
    pool.jobs[0].end(State.FAILED, "No.")
    questions.advance(free=True)
    answer = questions.ask(SOURCE, "costs", {})
    assert answer is not None
    assert answer.error == "No."


def test_only_the_latest_answers_are_kept(pool: Stopped, questions: Questions) -> None:
    for number in range(MOST_KEPT + 1):
        questions.ask(SOURCE, "costs", {"a": number, "path": str(Path())})
        questions.advance(free=True)
        pool.jobs[-1].end(State.DONE)
        questions.advance(free=True)
    assert questions.ask(SOURCE, "costs", {"a": 0, "path": str(Path())}) is None
    assert questions.ask(SOURCE, "costs", {"a": MOST_KEPT, "path": str(Path())}) is not None
