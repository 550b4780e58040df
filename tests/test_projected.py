"""What a browser says of a widget that has gone by now."""

from types import SimpleNamespace
from typing import Any

import pytest

from explorer import Recipe
from explorer.recipe import LayerChoice
from explorer.ui import layer_table, projected


@pytest.fixture
def state(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    state: dict[str, Any] = {}
    monkeypatch.setattr("streamlit.session_state", state)
    return state


def test_a_choice_is_taken_once_and_the_widget_stays(state: dict[str, Any]) -> None:
    taken: list[str] = []
    shown = projected.project("model", "a")
    changed = shown.taker(taken.append)
    state[shown.key] = "b"
    changed()
    changed()
    assert taken == ["b"]
    assert projected.project("model", "b").key == shown.key
    assert state[shown.key] == "b"


def test_what_is_said_of_an_older_widget_is_no_choice(state: dict[str, Any]) -> None:
    taken: list[str] = []
    older = projected.project("model", "a")
    newer = projected.project("model", "b")
    assert newer.key != older.key
    older.taker(taken.append)()
    assert taken == []
    assert projected.project("model", "a").key not in (older.key, newer.key)


def test_the_same_value_of_something_else_is_another_widget(state: dict[str, Any]) -> None:
    taken: list[str] = []
    older = projected.project("name", "", of="a")
    changed = older.taker(lambda text: taken.append(f"a is {text}"))
    state[older.key] = "mine"
    newer = projected.project("name", "", of="b")
    assert (newer.key != older.key, state[newer.key]) == (True, "")
    changed()
    newer.taker(taken.append)()
    assert taken == []
    assert projected.project("name", "", of="b").key == newer.key


def test_edits_of_an_older_table_are_no_choices(state: dict[str, Any]) -> None:
    session: Any = SimpleNamespace(overrides_epoch=0, source=None, recipe=Recipe(), edited=[])
    session.edit_recipe = session.edited.append
    key = "layers_0_"
    state[key] = {"edited_rows": {0: {"own_bits": 8}}}
    layer_table.take_edits(session, key, ["conv"])
    assert session.edited == [Recipe(layers=(LayerChoice("conv", None, 8),))]
    session.overrides_epoch = 1
    layer_table.take_edits(session, key, ["conv"])
    assert len(session.edited) == 1
