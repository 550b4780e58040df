"""Arrays with other names and orders of axes: taken where there is no doubt, and said so."""

from pathlib import Path

import numpy as np
import pytest

from explorer.errors import DataError
from explorer.formats.data import Dataset, fitted
from explorer.network import TensorSpec

RNG = np.random.default_rng(0)
FIRST = RNG.random((5, 3, 8, 6)).astype(np.float32)  # channels first
LAST = FIRST.transpose(0, 2, 3, 1)
NCHW = TensorSpec("input.1", "float32", ("n", 3, 8, 6))
OPEN = TensorSpec("input.1", "float32", ("n", 3, "h", "w"))
NHWC = TensorSpec("input_1", "float32", ("n", 8, 6, 3))
GREY = TensorSpec("image", "float32", ("n", 1, 8, 6))
ROWS = TensorSpec("features", "float32", ("n", 4))
IDS, MASK = TensorSpec("input_ids", "int64", ("n", "s")), TensorSpec("mask", "int64", ("n", "s"))
TABLE = RNG.random((5, 4)).astype(np.float32)
LABELS = np.array([0, 1, 2, 1, 0])


def read(arrays: dict[str, np.ndarray], *specs: TensorSpec) -> Dataset:
    return fitted(arrays, "id", specs)


@pytest.mark.parametrize("name", ["x", "X", "images", "data", "inputs", "anything", "arr_0"])
@pytest.mark.parametrize("labels", ["y", "labels", "target", "Y", "classes", "arr_1"])
def test_other_names(name: str, labels: str) -> None:
    found = read({name: TABLE, labels: LABELS}, ROWS)
    np.testing.assert_array_equal(found.inputs["features"], TABLE)
    np.testing.assert_array_equal(found.labels, LABELS)
    assert ("taken for the samples" in " ".join(found.notes)) == (name != "x")
    assert ("taken for the labels" in " ".join(found.notes)) == (labels != "y")


@pytest.mark.parametrize(
    ("array", "spec", "expected", "note"),
    [
        (FIRST, NCHW, FIRST, ""),
        (LAST, NCHW, FIRST, "turned to channels first"),
        (LAST, OPEN, FIRST, "turned to channels first"),
        (FIRST, NHWC, LAST, "turned to channels last"),
        (FIRST[:, 0], GREY, FIRST[:, :1], "no axis of channels"),
        (LAST[..., :1], GREY, FIRST[:, :1], "turned to channels first"),
        (FIRST[0], NCHW, FIRST[:1], "taken for one sample"),
        (LAST[0], NCHW, FIRST[:1], "taken for one sample, and has its channels last"),
        (TABLE[0], ROWS, TABLE[:1], "taken for one sample"),
    ],
)
def test_other_orders_of_axes(
    array: np.ndarray, spec: TensorSpec, expected: np.ndarray, note: str
) -> None:
    for name in ("x", spec.name, "images"):
        found = read({name: array}, spec)
        np.testing.assert_array_equal(found.inputs[spec.name], expected)
        assert note in " ".join(found.notes)


@pytest.mark.parametrize("label", [np.array(2), np.array([2])])
def test_one_sample_with_its_label(label: np.ndarray) -> None:
    found = read({"image": LAST[0], "label": label}, NCHW)
    assert found.labels is not None
    assert (len(found), found.labels.tolist()) == (1, [2])


def test_the_test_set_of_an_archive_with_several() -> None:
    arrays = {
        "x_train": np.zeros((9, 8, 6)),
        "y_train": np.zeros(9, int),
        "x_test": FIRST[:, 0],
        "y_test": LABELS,
    }
    found = read(arrays, GREY)
    np.testing.assert_array_equal(found.inputs["image"], FIRST[:, :1])
    np.testing.assert_array_equal(found.labels, LABELS)
    assert "'x_test'" in found.notes[0]


def test_several_inputs_by_name_without_case_or_by_shape() -> None:
    ids, image = np.arange(10).reshape(5, 2), FIRST
    for names in (("Input_Ids", "pixels"), ("tokens", "images")):
        found = read({names[0]: ids, names[1]: image, "labels": LABELS}, IDS, NCHW)
        np.testing.assert_array_equal(found.inputs["input_ids"], ids)
        np.testing.assert_array_equal(found.labels, LABELS)


@pytest.mark.parametrize(
    ("arrays", "specs"),
    [
        ({"a": TABLE, "b": TABLE}, (ROWS,)),  # which one?
        ({"a": np.ones((5, 2), int), "b": np.ones((5, 2), int)}, (IDS, MASK)),
        ({"x": TABLE, "extra": TABLE}, (ROWS,)),
        ({"a": TABLE[:, :3]}, (ROWS,)),  # no shape that fits
        ({"a": TABLE}, (IDS,)),  # fractions for whole numbers
        ({"labels": LABELS}, (ROWS,)),
        ({"a": FIRST.transpose(0, 2, 1, 3)}, (NCHW,)),
    ],
)
def test_doubt_is_refused_by_the_names(
    arrays: dict[str, np.ndarray], specs: tuple[TensorSpec, ...]
) -> None:
    with pytest.raises(DataError, match="The data has arrays named"):
        read(arrays, *specs)


def test_what_was_assumed_is_said_in_the_shell(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from conftest import SAMPLES

    from explorer.cli import main

    data = np.load(SAMPLES / "fashion_test.npz")
    np.savez(tmp_path / "d.npz", images=data["x"][:50, 0], target=data["y"][:50])
    model = str(SAMPLES / "fashion_resnet.onnx")
    assert main(["evaluate", model, "--data", str(tmp_path / "d.npz"), "--json"]) == 0
    told = capsys.readouterr().err
    assert "'images' has no axis of channels, so one was added" in told
    assert "'target' was taken for the labels" in told


def test_a_single_number_is_no_sample() -> None:
    with pytest.raises(DataError):
        read({"x": np.array(5.0)}, ROWS)
