"""Tables as people save them: which column is what, and the one sentence that bad ones get."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from explorer.errors import DataError
from explorer.formats import cells, tables
from explorer.formats.tables import Table, read_table
from explorer.network import TensorSpec

THREE = TensorSpec("x", "float32", ("n", 3))
SQUARE = TensorSpec("x", "float32", ("n", 1, 2, 2))


def written(folder: Path, content: str | bytes) -> Path:
    path = folder / "t.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def table(
    folder: Path, content: str | bytes, spec: TensorSpec = THREE, label: str | None = None
) -> Table:
    return read_table(written(folder, content), "The table", spec, label)


def refusal(
    folder: Path, content: str | bytes, spec: TensorSpec = THREE, label: str | None = None
) -> str:
    with pytest.raises(DataError) as caught:
        table(folder, content, spec, label)
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith(".")
    assert str(folder) not in message
    return message


@pytest.mark.parametrize(
    "content",
    [
        "1,2,3,0\n4,5.5,6,1\n",
        "a,b,c,y\n1,2,3,0\n4,5.5,6,1",
        "a;b;c;y\n1;2;3;0\n4;5.5;6;1\n",
        "a;b;c;y\n1;2;3;0\n4;5,5;6;1\n",
        "a\tb\tc\ty\n1\t2\t3\t0\n4\t5.5\t6\t1\n",
        "label,a,b,c\n0,1,2,3\n1,4,5.5,6\n",
        "a,Class,b,c\n1,0,2,3\n4,1,5.5,6\n",
        "0,1,2,label\n1,2,3,0\n4,5.5,6,1\n",
        "\ufeffa,b,c,y\r\n1,2,3,0\r\n\r\n4,5.5,6,1\r\n",
        "\ufeff1,2,3,0\n4,5.5,6,1\n",
        '"a","b","c","y"\n1," 2 ",3e0,"0"\n+4,.55e1,6.,1.0\n',
        ",a,b,c,y\n0,1,2,3,0\n1,4,5.5,6,1\n",
        "Id,a,b,c,y\n1,1,2,3,0\n2,4,5.5,6,1\n",
        "1,2,3,0\r4,5.5,6,1\r",
        "1,2,3,0,\n4,5.5,6,1,\n",
        "a;b;c;y;\r\n1;2;3;0;\r\n4;5.5;6;1;\r\n",
        "# measured in May, by hand\n#\n1,2,3,0\n4,5.5,6,1\n",
        "# measured in May, by hand\na,b,c,y\n1,2,3,0\n4,5.5,6,1\n",
        "# a b c y\n1 2 3 0\n4 5.5 6 1\n",
        "# label,a,b,c\n0,1,2,3\n1,4,5.5,6\n",
        "#,a,b,c,y\n0,1,2,3,0\n1,4,5.5,6,1\n",
        "a^b^c^y\n1^2^3^0\n4^5.5^6^1\n",
        "# version 1.5\na;b;c;y\n1;2;3;0\n4;5,5;6;1\n",
        "# label a b c\n0 1 2 3\n1 4 5.5 6\n",
        "# one, class, per, line\n1,2,3,0\n4,5.5,6,1\n",
        "# 9,9,9,1\n1,2,3,0\n4,5.5,6,1\n",
        '# a\n\n# "b\n1,2,3,0\n4,5.5,6,1\n',
        "\n# hi\u2028there\n1,2,3,0\n4,5.5,6,1\n",
        "# notes on four columns\n1 2 3 0\n4 5.5 6 1\n",
        "sep=:\n1:2:3:0\n4:5.5:6:1\n",
        "sep=/\na/b/c/y\n1/2/3/0\n4/5.5/6/1\n",
    ],
)
def test_one_table_in_many_forms(tmp_path: Path, content: str) -> None:
    found = table(tmp_path, content)
    np.testing.assert_array_equal(found.values, [[1, 2, 3], [4, 5.5, 6]])
    np.testing.assert_array_equal(found.labels, [0, 1])
    assert found.labels is not None
    assert (found.values.dtype, found.labels.dtype) == (np.dtype(np.float32), np.dtype(np.int64))
    assert found.numbering is None


@pytest.mark.parametrize(
    "content",
    [
        "1 2 3 0\n4 5.5 6 1\n",
        "  1   2  3\t0  \n  4 5.5   6 1\n",
        "a b c y\n1 2 3 0\n4 5.5 6 1\n",
        "1|2|3|0\n4|5.5|6|1\n",
        "a | b | c | y\n1 | 2 | 3 | 0\n4 | 5.5 | 6 | 1\n",
        "sep=;\n1;2;3;0\n4;5.5;6;1\n",
        "sep=|\na|b|c|y\n1|2|3|0\n4|5.5|6|1\n",
        '"sep=,"\r\na,b,c,y\r\n1,2,3,0\r\n4,5.5,6,1\r\n',
        "sep=\t\n1\t2\t3\t0\n4\t5,5\t6\t1\n",
        "1,0;2,0;3,0;0\n4,0;5,5;6,0;1\n",
        "1,0 2,0 3,0 0\n4,0 5,5 6,0 1\n",
        "1,0|2,0|3,0|0\n4,0|5,5|6,0|1\n",
        "1, 2, 3, 0\n4, 5.5, 6, 1\n",
    ],
)
def test_other_separators_and_decimal_commas(tmp_path: Path, content: str) -> None:
    found = table(tmp_path, content)
    np.testing.assert_array_equal(found.values, [[1, 2, 3], [4, 5.5, 6]])
    np.testing.assert_array_equal(found.labels, [0, 1])


def test_what_is_wrong_is_placed_behind_a_line_that_names_the_separator(tmp_path: Path) -> None:
    assert "line 3, column 2" in refusal(tmp_path, "sep=;\n1;2;3;0\n4;x;6;1\n")
    assert "line 2, column 2" in refusal(tmp_path, "1  2 3 0\n4 x 6 1\n")


def test_names_become_classes_in_sorted_order(tmp_path: Path) -> None:
    for head in ("", "a,b,c,species\n"):
        found = table(tmp_path, head + "1,2,3,cat\n4,5,6,ant\n7,8,9,cat\n")
        assert found.labels is not None and found.numbering is not None
        assert found.labels.tolist() == [1, 0, 1]
        assert found.numbering.classes == ("ant", "cat")
        assert "0 = 'ant', 1 = 'cat'" in found.numbering.note


def test_values_take_the_shape_of_the_input(tmp_path: Path) -> None:
    found = table(tmp_path, "1,2,3,4\n5,6,7,8\n", SQUARE)
    np.testing.assert_array_equal(found.values, [[[[1, 2], [3, 4]]], [[[5, 6], [7, 8]]]])
    assert found.labels is None
    assert found.notes == ("No column holds labels.",)


@pytest.mark.parametrize(
    ("shape", "expected"), [(("n",), (2,)), (("n", "t", 2), (2, 2, 2)), (("n", "t"), (2, 4))]
)
def test_open_dimensions(
    tmp_path: Path, shape: tuple[int | str, ...], expected: tuple[int, ...]
) -> None:
    content = "1\n2\n" if len(shape) == 1 else "1,2,3,4\n5,6,7,8\n"
    assert table(tmp_path, content, TensorSpec("x", "float32", shape)).values.shape == expected


def test_a_column_called_like_labels_may_be_a_value(tmp_path: Path) -> None:
    found = table(tmp_path, "x,y,z\n1,2,3\n")
    np.testing.assert_array_equal(found.values, [[1, 2, 3]])
    assert found.labels is None


def test_the_better_name_wins(tmp_path: Path) -> None:
    assert table(tmp_path, "x,y,z,label\n1,2,3,4\n").label_column == "label"


@pytest.mark.parametrize("label", ["b", "B", "2", " b "])
def test_the_column_asked_for(tmp_path: Path, label: str) -> None:
    found = table(tmp_path, "a,b,c,y\n1,2,3,9\n4,5,6,9\n", label=label)
    assert found.labels is not None
    assert found.labels.tolist() == [2, 5]
    np.testing.assert_array_equal(found.values, [[1, 3, 9], [4, 6, 9]])
    assert found.label_column == "b"


def rows(*columns: Iterable[object]) -> str:
    return "\n".join(",".join(map(str, row)) for row in zip(*columns, strict=True))


MEASURED = [0.5, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5, 7.5]
PIXELS = [0, 200, 13, 0, 255, 7, 0, 90]
CLASSES = [0, 1, 2, 0, 1, 2, 0, 1]


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        (MEASURED, CLASSES, "4"),
        (CLASSES, MEASURED, "1"),
        (CLASSES, PIXELS, "1"),
        (PIXELS, CLASSES, "4"),
        (CLASSES, CLASSES, "4"),
        (CLASSES, [0] * 8, "1"),
        (PIXELS, PIXELS, "4"),
    ],
)
def test_labels_without_a_name(
    tmp_path: Path, first: list[float], last: list[float], expected: str
) -> None:
    found = table(tmp_path, rows(first, MEASURED, MEASURED, last))
    assert found.label_column == expected
    assert f"column {expected} holds whole numbers" in found.notes[0]


def test_numbers_of_rows_are_no_labels(tmp_path: Path) -> None:
    found = table(tmp_path, rows(range(8), MEASURED, MEASURED, MEASURED))
    assert found.labels is None
    assert found.notes[0] == "Column 1 counts the rows and was left out."


def test_names_that_pandas_counts(tmp_path: Path) -> None:
    spec = TensorSpec("x", "float32", ("n", 10))
    found = table(tmp_path, rows(*([index, index / 8] for index in range(10))), spec)
    np.testing.assert_array_equal(found.values, [np.arange(10) / 8])
    assert "first line counts the columns" in found.notes[0]


@pytest.mark.parametrize("header", ["a,b,c,target\n", ""])
def test_targets_may_be_real_numbers(tmp_path: Path, header: str) -> None:
    found = table(tmp_path, f"{header}1,2,3,0.5\n4,5.5,6,-1.5\n7.5,8,9,2\n")
    assert found.labels is not None
    assert found.labels.tolist() == [0.5, -1.5, 2.0]
    assert found.label_column == ("target" if header else "4")
    np.testing.assert_array_equal(found.values, [[1, 2, 3], [4, 5.5, 6], [7.5, 8, 9]])


def test_whole_numbers_that_float32_has_not(tmp_path: Path) -> None:
    spec = TensorSpec("x", "int64", ("n", 1))
    assert table(tmp_path, "16777217\n", spec).values.tolist() == [[16777217]]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", "is empty"),
        ("\n \n", "is empty"),
        ('""\n', "is empty"),
        ("a,b,c\n", "a header, but no rows"),
        ("a,b,a\n1,2,3\n", "two columns named 'a', 1 and 3"),
        ("a,b,c\n1,2,3\n\n4,,6\n", "lacks a value in line 4, column 2 ('b')"),
        ("1,2,3\n4,NaN,6\n", "lacks a value in line 2, column 2;"),
        ("1,,3\n4,5,6\n", "lacks a value in line 1, column 2;"),
        ("a,b,c,y\n1,2,3,0\n1,2,3,\n", "lacks a value in line 3, column 4 ('y')"),
        ("1,2,3\n4,five,6\n", "the text 'five' in line 2, column 2;"),
        ("1.5,two,3\n4,5,6\n", "the text 'two' in line 1, column 2;"),
        ("1,2,3\n4,5_0,6\n", "the text '5_0'"),
        ("1,2,3\n4,٣,6\n", "the text '٣'"),
        ("1,2,3\n4,5\n", "2 cells in line 2, but 3"),
        ("1,2,3\n4,5,6,7\n", "4 cells in line 2, but 3"),
        ("a,b,c\n1,2,3,4\n", "4 cells in line 2, but 3"),
        ("1,2,3\n4,5,1e39\n", "line 2, column 3 that is too large"),
        ("1,2,3\n4,5,inf\n", "the text 'inf'"),
        ("a,b,c,price\n1,2,3,$4\n", "the text '$4' in line 2, column 4 ('price')"),
        ("a,b,c,y\n1,2,50 %,0\n", "the text '50 %'"),
        ("1,2,3,0x1F\n1,2,3,0x2F\n", "the text '0x1F'"),
        ("1,2\n", "2 columns of values and none of labels, but input 'x' takes 3 for a sample"),
        ("a,b,y\n1,2,3\n1,2,3,4,5\n", "5 cells in line 3"),
        ("a,b,c,d,label\n1,2,3,4,0\n", "4 columns of values besides the labels"),
        ("9,2,3,4,5\n2,3,4,5,6\n", "5 columns"),
        ("ä,b,c\n1,2,3\n".encode("latin-1"), "not text in UTF-8"),
        (b"1,2,3\n" * 2**20 + "ä,2,3\n".encode("latin-1"), "not text in UTF-8"),
        ("a,b,c\n1,2,3\n".encode("utf-16"), "UTF-16"),
        ('1,2,3\n4,"5,6\n7,8,9\n', "2 cells in line 3"),
        ("1,2,3\n4,5\x00,6\n", "the text"),
        ("1," * 50_000 + "1\n", "50,001 columns in line 1; the most is 50,000"),
        ("1,2,3\n" + "1," * 50_000 + "1\n", "50,001 columns in line 2"),
        ("1" * (cells.HEAD_BYTES + 1), "a first line of more than 4 MiB"),
        ('1,2,3\n4,5,6\n7,8,"' + "x" * 200_000, "can't be read as a table of numbers"),
        ('"' + "1" * 200_000 + "\n1\n", "a quote in its first lines"),
    ],
)
def test_what_is_wrong_and_where(tmp_path: Path, content: str | bytes, expected: str) -> None:
    assert expected in refusal(tmp_path, content)


def test_a_column_that_is_not_there(tmp_path: Path) -> None:
    message = refusal(tmp_path, "a,b,c\n1,2,3\n", label="z\n" * 50)
    assert "no column 'zzzz" in message
    assert "its columns are 'a', 'b', 'c'" in message
    assert "the numbers 1 to 3" in refusal(tmp_path, "1,2,3\n", label="0")


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((), "a single number"),
        (("n", "t", "u"), "leaves 2 dimensions of a sample open"),
        (("n", "t", 2), "a multiple of 2 for a sample"),
    ],
)
def test_inputs_that_no_line_fits(
    tmp_path: Path, shape: tuple[int | str, ...], expected: str
) -> None:
    assert expected in refusal(tmp_path, "1,2,3\n", TensorSpec("x", "float32", shape))


def test_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "MOST_ROWS", 2)
    assert len(table(tmp_path, "1,2,3\n" * 2).values) == 2
    assert "more than 2 rows" in refusal(tmp_path, "1,2,3\n" * 3)
    monkeypatch.setattr(tables, "MOST_VALUES", 5)
    assert "more than 1 rows" in refusal(tmp_path, "1,2,3\n" * 2)
    monkeypatch.setattr(tables, "MOST_BYTES", 5)
    assert "larger than 0 MB" in refusal(tmp_path, "1,2,3\n")


def test_more_classes_than_any_model_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "MOST_CLASSES", 1)
    assert "2 different texts" in refusal(tmp_path, "1,2,3,a\n1,2,3,b\n")


def test_names_are_cleaned(tmp_path: Path) -> None:
    message = refusal(tmp_path, f"\u202ea\x07,b,{'c' * 99}\n1,2,\n")
    assert f"column 3 ('{'c' * 47}…')" in message
    assert "'a'" in refusal(tmp_path, "\u202ea\x07,b,c\n,2,3\n")


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_damaged_tables_are_refused(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    content = bytearray(b'a,b,c,y\n1,2.5,3,0\n"4",5,-6e2,1\n7,8,9,cat\n')
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content) - 1))
        new = data.draw(st.one_of(st.integers(0, 255), st.sampled_from(b',;"\t\n\r 0.-')))
        content[place : place + data.draw(st.integers(0, 2))] = bytes([new])
    folder = tmp_path_factory.getbasetemp()
    try:
        found = table(folder, bytes(content))
        assert np.isfinite(found.values).all()
        assert found.values.shape[1:] == (3,)
    except DataError as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize("first", ['sep="', "sep=a", "sep=1"])
def test_a_first_line_that_says_no_separator_is_a_line_like_any_other(
    tmp_path: Path, first: str
) -> None:
    assert refusal(tmp_path, f"{first}\n1;2;3;0\n4;5;6;1\n")
