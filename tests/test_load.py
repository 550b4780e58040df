"""The real server under a few people at once, small versions of `benchmarks.load` and `.soak`."""

import asyncio
import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest

from benchmarks import load, soak
from benchmarks.page import Shown
from benchmarks.server import Server, serving
from benchmarks.users import Findings, Own, User, first_title, model_of, params_of, setting

FORGET_S = 3
PATIENCE_S = 60


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("app"), *soak.forgetting(FORGET_S)) as running:
        yield running
    assert running.trouble == [], running.log.read_text()[-4000:]


def test_each_of_a_few_people_sees_their_own_answers(server: Server) -> None:
    made = asyncio.run(load.crowd(server, sessions=6, seconds=10, think_s=1))
    assert made.findings.errors == []
    assert made.findings.foreign == []
    assert made.heavy == []
    assert len(made.findings.rerun_s) > 6
    assert made.runs > len(made.findings.rerun_s)


def test_the_last_of_many_moves_is_on_the_screen(server: Server) -> None:
    slid = asyncio.run(load.slide(server, seconds=3))
    assert slid.shown == slid.asked
    assert len(slid.left_over) <= load.SURVEYING
    assert slid.findings.errors == []
    assert slid.findings.foreign == []


def test_nothing_is_left_of_people_who_have_gone(server: Server) -> None:
    made = asyncio.run(soak.soak(server, sessions=20, at_once=4, forget_s=FORGET_S))
    assert made.findings.errors == []
    assert made.findings.foreign == []
    assert made.most.visits > 0
    assert made.after.visits == 0
    assert made.after.processes <= soak.PROCESSES
    assert made.after.threads <= made.before.threads + 5
    assert made.heavy == []


@pytest.mark.parametrize("waits", [False, True], ids=["at once", "behind the first model"])
def test_what_a_browser_said_before_a_change_does_not_undo_it(server: Server, waits: bool) -> None:
    findings = Findings()

    async def late() -> None:
        user = User(0, server.address, findings)
        await user.arrive()
        if waits:
            await user.choose(user.percent)
            await user.has_answer(PATIENCE_S)
        said = dict(user.visitor.page.states)
        await user.bring(model_of(0))
        user.visitor.page.states |= said
        await user.choose(user.percent)
        await user.choose_bits(8)
        await user.leave()

    asyncio.run(late())
    assert findings.errors == []
    assert findings.foreign == []


def shown(**changes: Any) -> Shown:
    """An answer to person 0 of the sample, with parts of it changed."""
    cards = {"Parameters": ("measured", "900", "1.00 k")}
    own = Shown(first_title(), setting(1, 32), "", busy=False, cards=cards)
    return dataclasses.replace(own, **changes)


@pytest.mark.parametrize(
    ("foreign", "says"),
    [
        (shown(title="model 7"), "title 'model 7'"),
        (shown(setting=setting(8, 32)), "setting 'channels −8 %'"),
        (shown(cards={"Parameters": ("measured", "12", "12")}), "12 parameters"),
    ],
    ids=["title", "setting", "numbers"],
)
def test_a_foreign_answer_is_noticed(foreign: Shown, says: str) -> None:
    own = Own({setting(1, 32)}, {first_title()}, {first_title(): "1.00 k"})
    assert own.stranger(shown()) is None
    assert says in str(own.stranger(foreign))


def test_other_numbers_for_the_same_setting_are_noticed() -> None:
    user = User(0, "http://localhost/", Findings())
    assert user.other_numbers(shown()) is None
    assert "800 parameters" in str(
        user.other_numbers(shown(cards={"Parameters": ("measured", "800", "1.00 k")}))
    )


def test_a_foreign_answer_on_the_page_is_counted(server: Server) -> None:
    findings = Findings()

    async def mistaken() -> None:
        user = User(0, server.address, findings)
        await user.arrive()
        await user.choose(user.percent)
        assert findings.foreign == []
        user.own.titles, user.own.settings = {"somebody else's"}, set()
        await user.choose(user.percent + 1)
        await user.leave()

    asyncio.run(mistaken())
    assert findings.foreign


def test_models_of_people_are_their_own() -> None:
    numbers = range(995)
    assert len({params_of(number) for number in numbers}) == len(numbers)
    assert len({model_of(number) for number in range(20)}) == 20
