"""A few mutants of every format, as `make fuzz` tries them by the ten thousand."""

from collections import Counter
from pathlib import Path

import pytest

from benchmarks.fuzz import fuzz
from benchmarks.mutants import FORMATS, mutant

MUTANTS = 200


@pytest.mark.parametrize("form", FORMATS)
def test_mutants_open_or_are_told(form: str, tmp_path: Path) -> None:
    outcomes, faults = fuzz(form, range(MUTANTS), tmp_path)
    assert faults == []
    assert set(outcomes) == {"opened", "refused"}
    assert outcomes.total() == MUTANTS


def test_a_fault_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = fuzz("no such format", range(3), tmp_path)
    assert found[0] == Counter(fault=3)
    assert "process ended" in found[1][0].reason


def test_mutants_are_the_same_each_time() -> None:
    assert mutant("csv", 5) == mutant("csv", 5) != mutant("csv", 6)
