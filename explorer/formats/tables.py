"""Tables of numbers as text (`.csv`) from strangers: one sample a line, labels in one column."""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from explorer.errors import DataError
from explorer.formats.cells import LABEL_NAMES, Form, form_of, lines_of, not_utf8, refusal_of
from explorer.formats.class_names import KnownClasses, Numbering, numbered
from explorer.formats.data import Labels
from explorer.names import cleaned, listed
from explorer.network import TensorSpec

MOST_BYTES = 200 * 10**6
MOST_ROWS = 5_000_000
MOST_VALUES = 2**28
MOST_CLASSES = 10_000  # written as text
UNKNOWN = KnownClasses()
LARGEST_EXACT = 2**53  # from which doubles leave out whole numbers
NOT_FINITE = re.compile(r"\s*[+-]?(inf|infinity|nan)\s*", re.IGNORECASE)
FEW_CLASSES = 100  # more whole numbers than that are rather measured than labels
LARGEST_LABEL = 2**31
ROW_NAMES = ("", "unnamed: 0", "index", "id", "row")
WIDE = ("float64", "int32", "int64", "uint32", "uint64")  # what float32 can't tell apart

Numbers = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Table:
    """Values (samples, ...) in the shape of a model's input, with labels or without.

    `numbering` is there where labels were text. `label_column` is its name, or its number from 1.
    `notes` are sentences that tell what was assumed.
    """

    values: Numbers = field(repr=False)
    labels: Labels | None = field(repr=False)
    label_column: str | None
    notes: tuple[str, ...]
    numbering: Numbering | None = None


def read_table(
    path: Path,
    title: str,
    spec: TensorSpec,
    label_column: str | None = None,
    known: KnownClasses = UNKNOWN,
) -> Table:
    """Read samples for an input, one a line; `title` is what to call the file in a message.

    Labels are in the column named by `label_column` (or by its number from 1), else in one named
    like labels, else in the last or first column where there is one more than the input needs.
    `known` are the model's classes.

    Raises:
        DataError: the file is no table of numbers, or has other columns than the input needs.
    """
    if path.stat().st_size > MOST_BYTES:
        raise DataError(f"{title} is larger than {MOST_BYTES // 10**6} MB; take fewer samples.")
    needed = _values_needed(spec)
    form = form_of(path, title)
    label = _named_label(form, label_column, needed, title)
    numbers, texts = _read(path, form, label, spec, title)
    label, columns, left_out = _parts(numbers, form, label, needed)
    values = _shaped(numbers, columns, spec, label is not None, title)
    if label is None:
        return Table(values, None, None, (*left_out, "No column holds labels."))
    shown = form.shown(label)
    labels, numbering = _labels(numbers[:, label], texts, form, known)
    notes = (*left_out, *_label_notes(shown, labels, texts is None))
    return Table(values, labels, form.name(label), notes, numbering)


def _parts(
    numbers: Numbers, form: Form, label: int | None, needed: int | None
) -> tuple[int | None, list[int], list[str]]:
    """The column of labels if there is one, those of values, and notes on what is neither."""
    columns, notes = [column for column in range(form.columns) if column != label], []
    if form.names and all(map(form.is_number, filter(None, form.names))):
        notes.append("The first line counts the columns, so it was taken for their names.")
    spare = 0 if needed is None else len(columns) - needed
    if spare > 0 and _counts_rows(numbers[:, columns[0]], form.names):
        notes.append(f"{_start(form.shown(columns.pop(0)))} counts the rows and was left out.")
        spare -= 1
    if label is None and spare == 1:
        label = _unnamed_label(numbers, columns)
        columns = [column for column in columns if column != label]
    return label, columns, notes


def _values_needed(spec: TensorSpec) -> int | None:
    """The numbers of one sample, or None where one dimension is open."""
    name, dims = cleaned(spec.name), spec.shape[1:]
    if not spec.shape:
        raise DataError(f"Input {name!r} is a single number, so the model takes no samples.")
    fixed = [dim for dim in dims if isinstance(dim, int)]
    if len(dims) - len(fixed) > 1:
        raise DataError(
            f"Input {name!r} leaves {len(dims) - len(fixed)} dimensions of a sample open, which a "
            "line of numbers doesn't tell; give the samples as an .npz archive."
        )
    return math.prod(fixed) if len(fixed) == len(dims) else None


def _named_label(form: Form, asked: str | None, needed: int | None, title: str) -> int | None:
    """The column asked for, else one named like labels, else the only one of text."""
    names = [name.lower() for name in form.names or ()]
    if asked is not None:
        exact = [index for index, name in enumerate(form.names or ()) if name == asked.strip()]
        loose = [index for index, name in enumerate(names) if name == asked.strip().lower()]
        number = int(asked) if asked.isascii() and asked.isdecimal() and len(asked) < 9 else 0
        if not exact and not loose and not 1 <= number <= form.columns:
            known = listed(form.names) if form.names else f"the numbers 1 to {form.columns}"
            raise DataError(f"{title} has no column {cleaned(asked)!r}; its columns are {known}.")
        return (exact or loose or [number - 1])[0]
    if form.columns == needed:
        return None
    named = [names.index(name) for name in LABEL_NAMES if name in names]
    return named[0] if named else form.text[0] if len(form.text) == 1 else None


def _read(
    path: Path, form: Form, label: int | None, spec: TensorSpec, title: str
) -> tuple[Numbers, list[str] | None]:
    """All numbers, (rows, columns), and the texts of the label column if that is known."""
    dtype = np.float64 if spec.dtype in WIDE else np.float32
    texts: list[str] = []
    once: dict[str, str] = {}

    def keep(text: str) -> float:
        texts.append(once.setdefault(text.strip(), text.strip()))
        return 0.0

    try:
        numbers = np.loadtxt(
            _bounded(lines_of(path, form), form.columns, title),
            dtype=dtype,
            delimiter=form.separator,
            converters=None if label is None else {label: keep},
            comments=None,
            quotechar='"',
            ndmin=2,
        )
        is_right = numbers.shape[1] == form.columns and "" not in once
        if is_right and np.isfinite([numbers.min(), numbers.max()]).all():
            return numbers, None if label is None else texts
        raise refusal_of(path, form, label, dtype, title)
    except UnicodeDecodeError as error:
        raise not_utf8(title) from error
    except ValueError as error:
        raise _located(path, form, label, dtype, title) from error


def _located(path: Path, form: Form, label: int | None, dtype: Any, title: str) -> DataError:
    try:
        return refusal_of(path, form, label, dtype, title)
    except UnicodeDecodeError:
        return not_utf8(title)


def _bounded(lines: Iterator[str], columns: int, title: str) -> Iterator[str]:
    most = min(MOST_ROWS, MOST_VALUES // columns)
    for count, line in enumerate(lines):
        if count == most:
            raise DataError(f"{title} has more than {most:,} rows; take fewer samples.")
        yield line


def _counts_rows(column: Numbers, names: Sequence[str] | None) -> bool:
    """True for a first column of row numbers, from 0 or 1, that isn't named as something else."""
    if names and names[0].lower() not in ROW_NAMES:
        return False
    counted = np.arange(len(column))
    return len(column) > 1 and any(np.array_equal(column, counted + start) for start in (0, 1))


def _unnamed_label(numbers: Numbers, columns: Sequence[int]) -> int:
    """The last or the first column, whichever can be class numbers; of two or none, the last.

    The first is taken of two where only that looks like a few classes: label first, pixels after.
    """
    last, first = columns[-1], columns[0]
    if not _is_whole(numbers[:, last]) and _is_whole(numbers[:, first]):
        return first
    by_far = _looks_like_classes(numbers[:, first]) and not _looks_like_classes(numbers[:, last])
    return first if by_far else last


def _is_whole(column: Numbers) -> bool:
    return bool(column.min() >= 0 and column.max() <= LARGEST_LABEL and (column % 1 == 0).all())


def _looks_like_classes(column: Numbers) -> bool:
    """Few whole numbers, most of those from 0 up to the largest, and each for several samples."""
    if not _is_whole(column):
        return False
    distinct = len(np.unique(column))
    most = min(FEW_CLASSES, max(2, len(column) // 2))
    return 2 <= distinct <= most and distinct > column.max() / 2


def _shaped(
    numbers: Numbers, columns: Sequence[int], spec: TensorSpec, has_label: bool, title: str
) -> Numbers:
    """The columns of values as samples of an input."""
    dims = tuple(dim if isinstance(dim, int) else -1 for dim in spec.shape[1:])
    known, count = math.prod(dim for dim in dims if dim != -1), len(columns)
    fits = known > 0 and count > 0 and (count % known == 0 if -1 in dims else count == known)
    if not fits:
        takes = f"a multiple of {known:,}" if -1 in dims else f"{known:,}"
        besides = "besides the labels" if has_label else "and none of labels"
        raise DataError(
            f"{title} has {count:,} columns of values {besides}, but input {cleaned(spec.name)!r} "
            f"takes {takes} for a sample."
        )
    return numbers[:, columns].reshape(len(numbers), *dims)


def _labels(
    column: Numbers, texts: Sequence[str] | None, form: Form, known: KnownClasses
) -> tuple[Labels, Numbering | None]:
    """Labels as numbers, and the classes that texts stand for."""
    distinct = set(texts or ())
    _check_numbers(distinct, form)
    if texts is None or all(map(form.is_number, distinct)):
        numbers = column if texts is None else np.array(texts, np.float64)
        largest = float(np.abs(numbers).max())
        if largest > LARGEST_EXACT:
            raise DataError(
                f"A label is {largest:g}; labels must be numbers up to {LARGEST_EXACT:,}, beyond "
                "which neighbours can't be told apart."
            )
        return numbers.astype(np.int64 if (numbers % 1 == 0).all() else np.float64), None
    if len(distinct) > MOST_CLASSES:
        raise DataError(
            f"The labels are {len(distinct):,} different texts; the most is {MOST_CLASSES:,} "
            "classes."
        )
    numbering = numbered(texts, known, "their names")
    return numbering.labels, numbering


def _check_numbers(labels: set[str], form: Form) -> None:
    """Refuse labels that are numbers but for some that aren't finite."""
    others = sorted(each for each in labels if not form.is_number(each))
    if others and len(others) < len(labels) and all(map(NOT_FINITE.fullmatch, others)):
        raise DataError(
            f"A label is {cleaned(others[0])!r}, which isn't a usable number; fill it in or drop "
            "the line."
        )


def _label_notes(shown: str, labels: Labels, is_unnamed: bool) -> list[str]:
    if is_unnamed:
        kind = "real numbers" if labels.dtype.kind == "f" else "whole numbers"
        guessed = f"holds {kind} and was taken for the labels"
        return [f"No column is named like labels; {shown} {guessed}."]
    return [f"{_start(shown)} holds the labels."]


def _start(text: str) -> str:
    return text[0].upper() + text[1:]
