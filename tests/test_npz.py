"""Arrays from `.npz` files: what was saved comes back, and each bad file gets its sentence."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import npz_bytes, with_weights, zipped
from hypothesis import given, settings
from hypothesis import strategies as st

from explorer.errors import DataError, OutputError
from explorer.formats import npz
from explorer.formats.data import fitted, load_data
from explorer.formats.npz import read_arrays, write_arrays
from explorer.network import TensorSpec

X = np.arange(6, dtype=np.float32).reshape(2, 3)


def npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    return stream.getvalue()


MODEL = with_weights(
    """<ir_version: 8, opset_import: ["" : 17]>
    g (float[n,3] x) => (float[n,2] y) { y = MatMul (x, w) }""",
    w=(3, 2),
)
VALID = npz_bytes(x=X, y=np.array([0, 1]))


def with_header(text: str, values: bytes = b"") -> bytes:
    header = text.encode().ljust(118) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + values


def header(shape: str, descr: str = "'<f4'") -> str:
    return f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}}}"


def refusal(data: bytes) -> str:
    with pytest.raises(DataError) as caught:
        read_arrays(data, "The file")
    message = str(caught.value)
    assert message.startswith("The file")
    assert "\n" not in message
    assert message.endswith(".")
    return message


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_come_out_as_they_went_in(tmp_path: Path, save: Callable[..., None]) -> None:
    arrays = {"x": X, "y": np.array([0, 1]), "f": np.asfortranarray(X), "none": X[:0]}
    save(tmp_path / "a.npz", **arrays)
    for source in (tmp_path / "a.npz", (tmp_path / "a.npz").read_bytes()):
        found = read_arrays(source, "it")
        assert found.keys() == arrays.keys()
        for name, array in arrays.items():
            assert found[name].dtype == array.dtype
            np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize("name", ["x", "file", "serving_default_x:0", "x:0", "a/b", "self", "ü"])
def test_arrays_are_written_under_any_name(tmp_path: Path, name: str) -> None:
    write_arrays(tmp_path / "a.npz", {name: X, "other": X[0]})
    found = read_arrays(tmp_path / "a.npz", "it")
    assert found.keys() == {name, "other"}
    np.testing.assert_array_equal(found[name], X)
    assert np.load(tmp_path / "a.npz").files == [name, "other"]


def test_writing_where_it_can_not_be_written(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="can't be written"):
        write_arrays(tmp_path / "no" / "a.npz", {"x": X})


def test_text_is_no_archive() -> None:
    assert "not an .npz archive" in refusal(b"nothing")


def test_a_member_that_is_no_array() -> None:
    assert "'read me.txt', which is not an array" in refusal(zipped({"a/read\n me.txt": b"hi"}))


def test_objects_are_never_unpickled() -> None:
    assert "pickle" in refusal(zipped({"x.npy": npy(np.array([{}], dtype=object))}))
    assert "pickle" in refusal(zipped({"x.npy": with_header(header("(1,)", "'O'"), b"x" * 8)}))


@pytest.mark.parametrize(
    ("shape", "descr"),
    [
        ("(1000000000, 1000)", "'<f4'"),
        ("(3,)", "'<f4'"),
        ("(-1, -2)", "'<f4'"),
        ("(9999999999999,)", "'S0'"),
    ],
)
def test_a_header_that_promises_what_is_not_there(shape: str, descr: str) -> None:
    message = refusal(zipped({"x.npy": with_header(header(shape, descr), b"12345678")}))
    assert "isn't as large as its header says" in message


def test_values_left_over() -> None:
    assert "isn't as large" in refusal(zipped({"x.npy": npy(X) + b"more"}))


@pytest.mark.parametrize(
    "text",
    [
        "no header",
        "((((",
        "[" * 100,
        header("3"),
        header("(2,)", "()"),
        header("(2,)", "[1]"),
        "{1: 2, 'a': 3}",
        header("(2,)", "'<q9'"),
    ],
)
def test_a_header_that_can_not_be_read(text: str) -> None:
    message = refusal(zipped({"x.npy": with_header(text, b"12345678")}))
    assert "header that can't be read" in message


def test_a_shape_that_no_array_can_have() -> None:
    shape = f"(0, {2**62}, 4)"
    assert "can't be read" in refusal(zipped({"x.npy": with_header(header(shape))}))


def test_one_array_under_two_names() -> None:
    assert "'x' more than once" in refusal(zipped({"x.npy": npy(X), "x": npy(X)}))


def test_more_arrays_than_any_model_has() -> None:
    many = {f"a{index}.npy": b"" for index in range(npz.MOST_ARRAYS + 1)}
    assert "1,001 arrays; the most is 1,000" in refusal(zipped(many))


def test_what_memory_does_not_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(np.lib.format, "read_array", exhausted)
    assert "take fewer samples" in refusal(npz_bytes(x=X))


def test_flipped_values_are_noticed() -> None:
    data = npz_bytes(x=X).replace(X.tobytes(), X[::-1].tobytes())
    assert "damaged" in refusal(data)


def test_an_input_that_is_called_like_the_labels() -> None:
    spec = TensorSpec("y", "float32", ("n", 3))
    alone = fitted({"y": X}, "id", [spec])
    assert alone.labels is None
    with_labels = fitted({"x": X, "y": np.array([1, 0])}, "id", [spec])
    np.testing.assert_array_equal(with_labels.inputs["y"], X)
    np.testing.assert_array_equal(with_labels.labels, [1, 0])


def test_names_of_arrays_are_cleaned() -> None:
    long = f"\u202e\n{'w' * 100}"
    with pytest.raises(DataError) as caught:
        fitted({long: X}, "id", [TensorSpec("x", "float32", ("n", 4))])
    assert f"'{'w' * 47}…'" in str(caught.value)


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=200, deadline=None)
@given(st.data())
def test_damaged_files_are_refused(data: st.DataObject) -> None:
    content = bytearray(VALID)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content))) :]
    try:
        load_data(bytes(content), MODEL)
    except DataError as error:
        assert "\n" not in str(error)


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=200, deadline=None)
@given(st.data())
def test_damaged_headers_are_refused(data: st.DataObject) -> None:
    content = bytearray(npy(X))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] = data.draw(st.integers(0, 255))
    try:
        load_data(zipped({"x.npy": bytes(content)}), MODEL)
    except DataError as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("dtype", "values", "expected"),
    [
        ("uint8", [[0, 1, 256]], "takes uint8, 0 to 255, but the array reaches from 0 to 256"),
        ("int8", [[-129.0, 1, 2]], "takes int8, -128 to 127, but the array reaches from -129.0"),
        ("float16", [[0, 1, 70000]], "too large for float16"),
        ("int64", [[0, 1, 0.5]], "has fractions"),
        ("string", [[1, 2, 3]], "takes string values, which samples can't have"),
        ("bfloat16", [[1, 2, 3]], "takes bfloat16 values, which samples can't have"),
        ("float32", [[1, 2, np.nan]], "not finite numbers"),
        ("float32", [[1, 2, -np.inf]], "not finite numbers"),
    ],
)
def test_values_that_the_input_has_not(
    dtype: str, values: list[list[float]], expected: str
) -> None:
    with pytest.raises(DataError) as caught:
        fitted({"x": np.array(values)}, "id", [TensorSpec("x", dtype, ("n", 3))])
    assert expected in str(caught.value)


@pytest.mark.parametrize("dtype", ["uint8", "int64", "float16", "bool"])
def test_values_at_the_border_are_taken(dtype: str) -> None:
    array = np.array([[0, 1, 1 if dtype == "bool" else 255]])
    found = fitted({"x": array}, "id", [TensorSpec("x", dtype, ("n", 3))])
    np.testing.assert_array_equal(found.inputs["x"], array)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (np.zeros(2, [("a\n" + "w" * 99, int)]), "The labels are of type [('a"),
        (np.array([0, np.nan]), "The labels hold values that are not finite numbers"),
        (np.zeros((2, 2, 2)), "The labels are 2 x 2 x 2, but there are 2 samples"),
    ],
)
def test_labels_that_are_none(labels: np.ndarray, expected: str) -> None:
    with pytest.raises(DataError) as caught:
        fitted({"x": X, "y": labels}, "id", [TensorSpec("x", "float32", ("n", 3))])
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 120
