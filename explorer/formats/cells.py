"""How a table is written as text: its separator, header and numbers, and what is wrong where."""

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from explorer.errors import DataError
from explorer.names import cleaned

HEAD_BYTES = 2**22  # what the first two lines may take
MOST_COLUMNS = 50_000
BLANK = " "  # one or more of them, or tabs
SEPARATORS = ("\t", ";", ",", "|", "^", BLANK)
SAID = re.compile(
    r'\s*"?sep=([^\w"\n.+-])"?\s*', re.IGNORECASE
)  # a first line that Excel understands
COMMENT = "#"
COUNTED_NAMES = 10  # from which on 0, 1, 2... is a header that pandas has made, not values
WIDE_MARKS = (b"\xff\xfe", b"\xfe\xff", b"\0\0\xfe\xff")  # of UTF-16 and UTF-32
NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*", re.ASCII)
QUANTITY = re.compile(r"[$€£¥]\s*[\d.,]+|[\d.,]+\s*[%$€£¥]|[+-]?0[xX][\da-fA-F]+")
QUOTED = re.compile(r'"[^"]*"')
LABEL_NAMES = ("label", "labels", "class", "target", "species", "digit", "y")
MISSING = ("", "nan", "na", "n/a", "null", "none", "?", "-")


@dataclass(frozen=True)
class Form:
    """How a file writes its table; `text` are the columns whose first value may name a class.

    `ends_open` says that a separator ends each line, behind which nothing stands.
    """

    separator: str
    decimal_comma: bool
    names: tuple[str, ...] | None
    columns: int
    text: tuple[int, ...]
    header_lines: int
    ends_open: bool = False

    def is_number(self, cell: str) -> bool:
        """True for a decimal number as this file writes it."""
        return NUMBER.fullmatch(self.plain(cell)) is not None

    def plain(self, line: str) -> str:
        """A line or cell with decimal points, and a single blank where blanks separate."""
        line = _single(line) if self.separator == BLANK else line
        line = line.rstrip().removesuffix(self.separator) if self.ends_open else line
        return line.replace(",", ".") if self.decimal_comma else line

    def name(self, column: int) -> str:
        """A column's cleaned name, or its number from 1."""
        number = str(column + 1)
        return cleaned(self.names[column], number) if self.names else number

    def shown(self, column: int) -> str:
        """A column as part of a sentence: column 3 ('age')."""
        name = f" ({self.name(column)!r})" if self.names and self.names[column] else ""
        return f"column {column + 1}{name}"


def form_of(path: Path, title: str) -> Form:
    """Find out how a table is written from the first lines of its file.

    Raises:
        DataError: it isn't UTF-8 text, has no values, too many columns, or columns of one name.
    """
    with path.open("rb") as stream:
        head = stream.read(HEAD_BYTES)
    text = _decoded(head, title)
    said = SAID.fullmatch(text.splitlines()[0])
    separator, skipped = (said.group(1), 1) if said else (_separator(text), 0)
    if text.lstrip().startswith(COMMENT) and not said:
        separator, skipped, text = _without_comments(text)
    rows = _first_two(text, separator, title, skipped)
    (first, first_line), (second, second_line) = rows
    ends_open = separator != BLANK and not any(
        len(row) <= 2 or row[-1].strip() for row in (first, second or first)
    )
    if ends_open:
        first, second = first[:-1], second and second[:-1]
    form = Form(separator, False, None, len(first), (), skipped, ends_open)
    form = replace(form, decimal_comma=separator != "," and _has_decimal_commas(text))
    if _is_header(first, second, form):
        if second is None:
            raise DataError(f"{title} has a header, but no rows of values below it.")
        if len(second) != len(first):
            raise _ragged(title, second_line, len(second), len(first))
        _check_names(first, title)
        names = tuple(name.strip() for name in first)
        form = replace(form, names=names, header_lines=first_line)
    values = first if form.names is None or second is None else second
    columns = [index for index, cell in enumerate(values) if not form.is_number(cell)]
    named = tuple(index for index in columns if not QUANTITY.fullmatch(values[index].strip()))
    return replace(form, text=named)


def lines_of(path: Path, form: Form) -> Iterator[str]:
    """The lines of values that aren't blank, with decimal points.

    Raises:
        UnicodeDecodeError: the file isn't UTF-8 text.
    """
    with path.open(encoding="utf-8-sig", newline="") as stream:
        for number, line in enumerate(stream):
            if number >= form.header_lines and not line.isspace():
                yield form.plain(line)


def refusal_of(path: Path, form: Form, label: int | None, dtype: Any, title: str) -> DataError:
    """What is wrong first with a table that can't be read, and where; `label` may hold text."""
    limit = float(np.finfo(dtype).max)
    for line, row in _rows(path, form):
        if len(row) != form.columns:
            return _ragged(title, line, len(row), form.columns)
        for column, cell in enumerate(row):
            where = f"line {line}, {form.shown(column)}"
            if not cell.strip() or (column != label and cell.strip().lower() in MISSING):
                return DataError(f"{title} lacks a value in {where}; fill it in or drop the line.")
            if column != label and not form.is_number(cell):
                return DataError(
                    f"{title} holds the text {cleaned(cell)!r} in {where}; values must be numbers, "
                    "and labels in a column named 'label'."
                )
            if column != label and abs(float(form.plain(cell))) > limit:
                return DataError(f"{title} holds a number in {where} that is too large.")
    return DataError(f"{title} can't be read as a table of numbers; save it as CSV again.")


def _rows(path: Path, form: Form) -> Iterator[tuple[int, list[str]]]:
    """Rows of values with the number of the line that they end in."""
    with path.open(encoding="utf-8-sig", newline="") as stream:
        lines = map(_single, stream) if form.separator == BLANK else stream
        reader = csv.reader(lines, delimiter=form.separator)
        try:
            for row in reader:
                if reader.line_num > form.header_lines and not _is_blank(row):
                    has_end = form.ends_open and not row[-1].strip()
                    yield reader.line_num, row[:-1] if has_end else row
        except csv.Error:
            return


def _decoded(head: bytes, title: str) -> str:
    """The complete lines among a file's first bytes."""
    if head.startswith(WIDE_MARKS):
        raise DataError(f"{title} is text in UTF-16; save it as UTF-8.")
    if len(head) == HEAD_BYTES:
        head = head[: max(head.rfind(b"\n"), head.rfind(b"\r")) + 1]
        if not head:
            raise DataError(
                f"{title} has a first line of more than {HEAD_BYTES >> 20} MiB; put each sample "
                "on a line."
            )
    try:
        text = head.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise not_utf8(title) from error
    if not text.strip():
        raise DataError(f"{title} is empty.")
    return text


def not_utf8(title: str) -> DataError:
    """The sentence for text in another encoding."""
    return DataError(f"{title} is not text in UTF-8; save it as CSV in UTF-8.")


def _single(line: str) -> str:
    """A line with a single blank between its cells."""
    return re.sub(r"[ \t]+", BLANK, line.strip()) + "\n"


def _separator(text: str) -> str:
    """Of the separators that occur as often in two lines that with which most cells are numbers.

    The first where several do alike, and the most frequent where none does; a blank only stands
    between numbers or names, never in them.
    """
    lines = [QUOTED.sub("", line) for line in text.lstrip().splitlines()[:2]]
    share, even = dict[str, float](), []
    for each in SEPARATORS:
        rows = [_cells(line, each) for line in lines]
        if len(rows[0]) == len(rows[-1]) > 1:
            even.append(each)
            form = Form(each, each != ",", None, len(rows[0]), (), 0)
            share[each] = sum(map(form.is_number, rows[-1])) / len(rows[-1])
    if even:
        return max(even, key=share.__getitem__)
    return str(max(reversed(SEPARATORS[:-1]), key=lines[0].count))


def _without_comments(text: str) -> tuple[str, int, str]:
    """The separator, the number of lines to skip, and the text with nothing in these.

    The last comment is a header if it has as many cells as the line below the comments, no two
    alike, and begins or ends with the name of the labels: any other may be a sentence.
    """
    lines = list(io.StringIO(text, newline=""))  # fewer ends of lines than those of `splitlines`
    is_value = [bool(line.strip()) and not line.lstrip().startswith(COMMENT) for line in lines]
    count = is_value.index(True) if True in is_value else 0
    separator = _separator("".join(lines[count:]))
    last = max((at for at in range(count) if lines[at].strip()), default=None)
    skipped = count
    if last is not None:
        header = lines[last].lstrip(f"{COMMENT} \t")
        names = [name.strip().lower() for name in _cells(header.rstrip("\r\n"), separator)]
        is_wide = len(names) == len(_cells(lines[count].rstrip("\r\n"), separator)) > 1
        if is_wide and len(set(names)) == len(names) and {names[0], names[-1]} & set(LABEL_NAMES):
            lines[last], skipped = header, last
    return separator, skipped, "".join(["\n"] * skipped + lines[skipped:])


def _cells(line: str, separator: str) -> list[str]:
    return (_single(line).strip() if separator == BLANK else line).split(separator)


def _first_two(
    text: str, separator: str, title: str, skipped: int
) -> tuple[tuple[list[str], int], tuple[list[str] | None, int]]:
    """The first two rows that aren't blank, each with the number of the line that it ends in.

    So many lines before them are `skipped`.
    """
    lines: Iterator[str] = iter(io.StringIO(text, newline=""))
    lines = map(_single, lines) if separator == BLANK else lines
    reader = csv.reader(lines, delimiter=separator)
    found: list[tuple[list[str], int]] = []
    try:
        for row in reader:
            if len(row) > MOST_COLUMNS:
                raise DataError(
                    f"{title} has {len(row):,} columns in line {reader.line_num}; the most is "
                    f"{MOST_COLUMNS:,}."
                )
            if not _is_blank(row) and reader.line_num > skipped:
                found.append((row, reader.line_num))
            if len(found) == 2:
                return found[0], found[1]
    except csv.Error as error:
        raise DataError(f"{title} has a quote in its first lines that doesn't end.") from error
    if not found:
        raise DataError(f"{title} is empty.")
    return found[0], (None, 0)


def _is_blank(row: list[str]) -> bool:
    return len(row) < 2 and not any(map(str.strip, row))


def _has_decimal_commas(text: str) -> bool:
    return bool(re.search(r"\d,\d", text)) and not re.search(r"\d\.\d", text)


def _is_header(first: list[str], second: list[str] | None, form: Form) -> bool:
    """True where the first row names columns, all by text, or some by counting as pandas does.

    Next to counted columns, text must stand above a number or name the labels: a row with a bad
    or missing value is no header.
    """
    cells = [cell.strip().lower() for cell in first]
    numbers = [cell for cell in cells if form.is_number(cell)]
    if not numbers:
        return any(cell not in MISSING for cell in cells)
    if second is None or numbers not in _counted(len(numbers)):
        return False
    if len(numbers) >= COUNTED_NAMES and set(cells) <= {"", *numbers}:
        return True
    return any(
        cell in LABEL_NAMES or (form.is_number(below) and not form.is_number(cell))
        for cell, below in zip(cells, second, strict=False)
        if cell not in MISSING
    )


def _counted(count: int) -> list[list[str]]:
    return [[str(start + index) for index in range(count)] for start in (0, 1)]


def _check_names(names: list[str], title: str) -> None:
    places: dict[str, int] = {}
    for column, name in enumerate(names, start=1):
        known = places.setdefault(name.strip(), column)
        if name.strip() and known != column:
            raise DataError(
                f"{title} has two columns named {cleaned(name)!r}, {known} and {column}; give each "
                "its own name."
            )


def _ragged(title: str, line: int, found: int, columns: int) -> DataError:
    return DataError(f"{title} has {found} cells in line {line}, but {columns} in its first line.")
