"""Pages are drawn one after another."""

import threading

import pytest

from explorer.ui.turns import turn

PATIENCE_S = 10.0


class _Other:
    """Another visitor's thread, which draws once it may."""

    def __init__(self) -> None:
        self.drew = threading.Event()
        self._thread = threading.Thread(target=self._draw)

    def __enter__(self) -> "_Other":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join(PATIENCE_S)

    @turn()
    def _draw(self) -> None:
        self.drew.set()


def test_nobody_draws_meanwhile() -> None:
    with _Other() as other:
        assert other.drew.wait(PATIENCE_S)
    with turn():
        other = _Other().__enter__()
        assert not other.drew.wait(0.05)
    assert other.drew.wait(PATIENCE_S)


def test_a_turn_holds_what_is_drawn_within_it() -> None:
    with turn(), turn():
        other = _Other().__enter__()
        assert not other.drew.wait(0.05)
    assert other.drew.wait(PATIENCE_S)


def test_a_page_that_fails_ends_its_turn() -> None:
    with pytest.raises(ValueError, match="broken"), turn():
        raise ValueError("broken")
    with _Other() as other:
        assert other.drew.wait(PATIENCE_S)
