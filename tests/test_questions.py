"""What pages ask beyond the numbers: while it is on the screen, behind all other work."""

import pytest
from test_slices import SOURCE, Stopped

from explorer.events import LimitsMeasured, NodesTimed
from explorer.jobs import State
from explorer.jobs.processes import BROKEN
from explorer.workspace.questions import MOST_KEPT, Answer, Questions
from explorer.workspace.runner import Runner


@pytest.fixture
def pool() -> Stopped:
    return Stopped()


@pytest.fixture
def runner(pool: Stopped) -> Runner:
    return Runner(pool, "one")


@pytest.fixture
def questions() -> Questions:
    return Questions()


def ask(questions: Questions, *numbers: int) -> list[Answer | None]:
    """As a page does that is drawn."""
    questions.begin()
    answers = [questions.ask(SOURCE, "costs", {"a": number}) for number in numbers]
    questions.end_asking()
    return answers


def test_a_question_is_answered_once(pool: Stopped, runner: Runner, questions: Questions) -> None:
    assert ask(questions, 1) == ask(questions, 1) == [None]
    runner.advance([questions])
    assert (len(pool.jobs), pool.asked) == (1, [{"a": 1}])
    pool.jobs[0].add(NodesTimed(()))
    pool.jobs[0].end(State.DONE)
    runner.advance([questions])
    (answer,) = ask(questions, 1)
    assert answer is not None
    assert (answer.events, answer.error) == ((NodesTimed(()),), None)
    assert not questions.running
    runner.advance([questions])
    assert len(pool.jobs) == 1


def test_an_answer_without_what_is_needed_says_so(
    pool: Stopped, runner: Runner, questions: Questions
) -> None:
    ask(questions, 1)
    runner.advance([questions])
    pool.jobs[0].add(NodesTimed(()))
    pool.jobs[0].end(State.DONE)
    runner.advance([questions])
    given = (SOURCE, "costs", {"a": 1})
    whole = questions.ask(*given, NodesTimed)
    assert whole is not None
    assert whole.error is None
    assert questions.ask(*given, NodesTimed, LimitsMeasured) == Answer((), BROKEN)


def test_one_after_the_other_and_only_when_free(
    pool: Stopped, runner: Runner, questions: Questions
) -> None:
    ask(questions, 0, 1)
    runner.advance([])
    assert not pool.jobs
    runner.advance([questions])
    runner.advance([questions])
    assert len(pool.jobs) == 1
    pool.jobs[0].end(State.DONE)
    runner.advance([questions])
    assert [asked["a"] for asked in pool.asked] == [0, 1]


def test_what_was_pushed_aside_is_asked_again(
    pool: Stopped, runner: Runner, questions: Questions
) -> None:
    ask(questions, 0)
    runner.advance([questions])
    runner.advance([])
    assert pool.jobs[0].state is State.CANCELLED
    runner.advance([])
    assert questions.running
    runner.advance([questions])
    assert len(pool.jobs) == 2


def test_what_is_no_longer_on_the_screen_is_dropped(
    pool: Stopped, runner: Runner, questions: Questions
) -> None:
    ask(questions, 0)
    runner.advance([questions])
    ask(questions)
    runner.advance([questions])
    assert pool.jobs[0].state is State.CANCELLED
    runner.advance([questions])
    assert len(pool.jobs) == 1


def test_a_mistake_is_a_sentence(pool: Stopped, runner: Runner, questions: Questions) -> None:
    ask(questions, 0)
    runner.advance([questions])
    pool.jobs[0].end(State.FAILED, "No.")
    runner.advance([questions])
    (answer,) = ask(questions, 0)
    assert answer is not None
    assert answer.error == "No."


def test_only_the_latest_answers_are_kept(
    pool: Stopped, runner: Runner, questions: Questions
) -> None:
    for number in range(MOST_KEPT + 1):
        known = questions.known
        ask(questions, number)
        runner.advance([questions])
        pool.jobs[-1].end(State.DONE)
        runner.advance([questions])
        assert questions.known != known
    assert ask(questions, 0) == [None]
    assert ask(questions, MOST_KEPT) != [None]
