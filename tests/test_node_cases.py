"""Rewriting a graph changes no output: ONNX's own tests of its operators are the oracle."""

import os

import pytest
from node_cases import NO_KERNEL, Tally, try_all

EVERY_OPSET = "EVERY_OPSET"  # set by `make oracle`


@pytest.fixture(scope="module")
def tally() -> Tally:
    found = try_all(every=bool(os.environ.get(EVERY_OPSET)))
    print(f"\n{found.equal} equal, {len(found.wrong)} wrong")
    print(f"{len(found.unopened)} not opened, {len(found.refused)} left at their opset")
    for reason, count in found.skipped.most_common():
        print(f"{count} skipped: {reason}")
    return found


def test_no_output_changes(tally: Tally) -> None:
    assert not tally.wrong
    assert tally.equal > 7_000


def test_only_known_operators_stay_at_their_opset(tally: Tally) -> None:
    known = ("Scan 'Scan_0' runs over a batch", "Attention 'Attention_0' gives its scores")
    assert not [each for each in tally.refused if not any(why in each for why in known)]
    assert tally.refused


def test_only_what_the_explorer_does_not_read_is_not_opened(tally: Tally) -> None:
    known = ("the explorer reads opsets 7 to 26", "has no inputs")
    assert not [each for each in tally.unopened if not any(why in each for why in known)]


def test_what_is_skipped_is_skipped_for_a_reason_outside_the_explorer(tally: Tally) -> None:
    assert set(tally.skipped) <= {
        "the runtime doesn't run it",
        "gives something else each time",
        "the runtime gives something else than the standard",
        NO_KERNEL,
    }
