"""The parts of the quality benchmark that no other tool is needed for."""

import numpy as np
import onnx
import pytest
from conftest import onnx_bytes

from benchmarks.quality.plain import (
    change,
    mask_smallest,
    mask_two_of_four,
    read_weights,
    round_rows,
    share_of_zeros,
    with_weights,
)
from benchmarks.quality.samples import NAMES, Sample, accuracy_of
from benchmarks.quality.search import GRID, smallest_ratio
from benchmarks.quality.table import format_cell, print_table
from benchmarks.quality.values import Outcome, Setting, settings_of

GRAPH = """
    <ir_version: 8, opset_import: ["" : 17]>
    toy (int64[n] words) => (float[n, 2] y)
    <float[4, 3] table = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12},
     float[3, 2] weight = {1, 2, 3, 4, 5, 6}>
    {
        rows = Gather (table, words)
        y = MatMul (rows, weight)
    }
"""


@pytest.mark.parametrize("share", [0.1, 0.35, 0.5, 0.9])
def test_the_ratio_is_the_smallest_that_removes_enough(share: float) -> None:
    def removed(ratio: float) -> float:  # in steps, as channels are
        return float(np.floor(8 * ratio) / 8)

    ratio = smallest_ratio(removed, share)
    if share > removed(1 - 1 / GRID):
        assert ratio is None
    else:
        assert ratio is not None
        assert removed(ratio) >= share > removed(ratio - 1 / GRID)


def test_a_share_beyond_the_largest_ratio_is_not_found() -> None:
    assert smallest_ratio(lambda ratio: ratio, 0.5, most=0.5) is None


def test_one_threshold_for_all_tensors() -> None:
    masked = mask_smallest({"a": np.array([[1.0, -4.0]]), "b": np.array([[3.0, 2.0]])}, 0.5)
    assert masked["a"].tolist() == [[0, -4]]
    assert masked["b"].tolist() == [[3, 0]]
    assert share_of_zeros(masked) == 0.5


def test_two_of_four_inputs_stay() -> None:
    weight = np.array([[[1.0, 9], [-4, 8], [3, 7], [2, 6]]])  # (outputs, inputs, kernel)
    assert mask_two_of_four(weight).tolist() == [[[0, 9], [-4, 8], [3, 0], [0, 0]]]
    assert (mask_two_of_four(weight[:, :3]) == weight[:, :3]).all()


def test_rows_are_rounded_on_their_own_grids() -> None:
    rounded = round_rows(np.array([[3.0, -1.4, 0.2], [0.7, 0.1, 0.0], [0, 0, 0]]), 3)
    np.testing.assert_allclose(rounded, [[3.0, -1.0, 0.0], [0.7, 0.0, 0.0], [0.0, 0.0, 0.0]])


def test_weights_go_out_and_in_with_their_outputs_first() -> None:
    model = onnx.load_from_string(onnx_bytes(GRAPH))
    weights = read_weights(model)
    assert list(weights) == ["table", "weight"]
    assert weights["weight"].tolist() == [[1, 3, 5], [2, 4, 6]]
    again = read_weights(with_weights(model, weights))
    assert all((again[name] == weights[name]).all() for name in weights)
    zeros = {"weight": np.zeros_like(weights["weight"])}
    assert share_of_zeros(read_weights(with_weights(model, zeros))) == 6 / 18


def test_two_of_four_leaves_embeddings_alone() -> None:
    model = Sample("language_transformer").proto
    before, after = read_weights(model), change(model, Setting(two_of_four=True))
    assert (after["embedding.weight"] == before["embedding.weight"]).all()
    assert (after["classifier.weight"] == 0).mean() == 0.5


def test_a_cell_tells_the_median_the_worst_and_the_footnote() -> None:
    notes = ["another"]
    outcomes = [Outcome(x, 0.5, "a note") for x in (0.90, 0.88, 0.91)]
    assert format_cell(outcomes, 0.95, notes) == "5.00 (7.00), 50.0 % gone [2]"
    assert notes == ["another", "a note"]
    assert format_cell([Outcome(0.950001)], 0.95, notes) == "0.00"
    assert format_cell(None, 0.95, notes) == "-"


def test_the_table_is_markdown(capsys: pytest.CaptureFixture[str]) -> None:
    print_table("toy", 0.95, ["a", "b"], {"2:4": [[Outcome(0.9, note="so")], None]})
    lines = capsys.readouterr().out.splitlines()
    assert lines[3:6] == ["| pp lost | a | b |", "|---|---:|---:|", "| 2:4 | 5.00 [1] | - |"]
    assert lines[-1].startswith("[1] so")


@pytest.mark.parametrize("name", NAMES)
def test_settings_have_different_titles(name: str) -> None:
    titles = [setting.title for setting in settings_of(name)]
    assert len(set(titles)) == len(titles)


def test_the_accuracy_is_the_one_of_the_catalogue() -> None:
    sample = Sample("vowels_cnn")
    assert sample.accuracy == pytest.approx(365 / 370)
    plain = with_weights(sample.proto, change(sample.proto, Setting(weight_bits=8)))
    assert accuracy_of(plain, sample) == pytest.approx(sample.accuracy, abs=0.01)
