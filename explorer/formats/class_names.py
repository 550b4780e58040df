"""Classes: what a model calls them, and which number each label of a file stands for."""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from explorer.errors import DataError
from explorer.graph.scored import scored_output
from explorer.names import class_note, cleaned, listed
from explorer.network import Network

KEYS = ("names", "classes", "class_names", "labels", "categories", "id2label", "label2id")
LONGEST_TEXT = 2**20
MOST_CLASSES = 10_000  # a larger number of a folder is a name
LONGEST_NUMBER = 9
SPARSE = 10  # numbers with more gaps than this for each that is there are names
MOST_MAPPED = 1000  # labels that can be mapped by hand
PAIR = re.compile(r"(-?\d{1,6})\s*:\s*(?:'((?:[^'\\]|\\.)*)'|\"((?:[^\"\\]|\\.)*)\")")
QUOTED = re.compile(r"'((?:[^'\\]|\\.)*)'|\"((?:[^\"\\]|\\.)*)\"")
DIGITS = re.compile(r"(\d+)", re.ASCII)
NUMBER = re.compile(r"[+-]?\d{1,9}(\.\d{1,9})?", re.ASCII)

Labels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class KnownClasses:
    """How many classes a model has, None where that is open, and their names by number, or none.

    `is_single` says that one output tells two classes apart.
    """

    count: int | None = None
    names: tuple[str, ...] = ()
    is_single: bool = False


@dataclass(frozen=True, eq=False)
class Numbering:
    """Labels as class numbers, the names by number where there are any, and how it was done.

    `pairs` are the labels as the file writes them, each with its number; `is_named_by_file` says
    that the names are those of the labels, and not the model's own.
    """

    labels: Labels
    classes: tuple[str, ...] | None
    pairs: tuple[tuple[str, int], ...]
    note: str
    is_named_by_file: bool = False


def known_classes(model: Network) -> KnownClasses:
    """What the shape of a model's outputs and its metadata say of its classes."""
    scored = model.outputs[scored_output(model, [spec.shape for spec in model.outputs])]
    last = scored.shape[-1] if len(scored.shape) == 2 else 1 if len(scored.shape) == 1 else None
    count = last if isinstance(last, int) else None
    if count == 1:
        return KnownClasses(2, named_in(model.graph_model.metadata_props, 2), is_single=True)
    return KnownClasses(count, named_in(model.graph_model.metadata_props, count))


def named_in(metadata: Mapping[str, str], count: int | None) -> tuple[str, ...]:
    """Class names in a model's metadata, as exporters write them; empty where there are none.

    A dictionary of Python or JSON by number, a list of either, or names between commas or lines.
    """
    by_key = {key.strip().lower(): text for key, text in metadata.items()}
    for key in KEYS:
        text = by_key.get(key, "")
        names = _names(text.strip()) if len(text) <= LONGEST_TEXT else ()
        if len(names) > 1 and len(set(names)) == len(names) and count in (None, len(names)):
            return tuple(map(cleaned, names))
    return ()


def _names(text: str) -> tuple[str, ...]:
    try:
        return _from_json(json.loads(text))
    except (ValueError, RecursionError):
        pass  # no JSON, but Python's own notation or plain text
    if text.startswith("{"):
        return _by_number({int(n): a or b for n, a, b in PAIR.findall(text)})
    if text.startswith(("[", "(")):
        return tuple(a or b for a, b in QUOTED.findall(text))
    parts = text.splitlines() if "\n" in text else text.split(",")
    return tuple(filter(None, map(str.strip, parts)))


def _from_json(found: Any) -> tuple[str, ...]:
    if isinstance(found, list) and all(isinstance(name, str) for name in found):
        return tuple(found)
    if not isinstance(found, dict):
        return ()
    if all(isinstance(number, int) for number in found.values()):
        found = {number: name for name, number in found.items()}
    try:
        return _by_number({int(number): str(name) for number, name in found.items()})
    except ValueError:
        return ()


def _by_number(names: Mapping[int, str]) -> tuple[str, ...]:
    is_whole = sorted(names) == list(range(len(names)))
    return tuple(names[number] for number in range(len(names))) if is_whole else ()


def natural_key(text: str) -> tuple[Any, ...]:
    """Numbers by their value and before all names, and numbers in names by their value too.

    >>> sorted(["class10", "b", "180", "class2", "90"], key=natural_key)
    ['90', '180', 'b', 'class2', 'class10']
    """
    if NUMBER.fullmatch(text):
        return (0, float(text), text)
    parts = DIGITS.split(text.casefold())
    return (
        1,
        [(part.isdecimal(), *_by_value(part)) for part in parts],
        text,
    )


def _by_value(part: str) -> tuple[int, str]:
    """Digits by how many there are without leading zeros, then one by one; other text as it is."""
    digits = part.lstrip("0")
    return (len(digits), digits) if part.isdecimal() else (0, part)


def numbered(texts: Sequence[str], known: KnownClasses, order: str) -> Numbering:
    """Class numbers of labels that are text, or numbers of folders.

    By the model's own names where all are among them; else numbers stand for themselves where they
    are class numbers; else by natural order, `order` saying in a note of what.
    """
    distinct = sorted(set(texts), key=natural_key)
    by_name, form = _by_own_name(distinct, known.names)
    strange = [text for text in distinct if form(text) not in by_name]
    if known.names and not strange:
        numbers = {text: by_name[form(text)] for text in distinct}
        note = class_note(known.names, "the model's own names")
        return _numbering(texts, numbers, known.names, note)
    if _are_class_numbers(distinct, known):
        numbers = {text: int(text) for text in distinct}
        note = "The folders are numbered, and their numbers are the labels."
        return _numbering(texts, numbers, known.names or None, note)
    numbers = {text: number for number, text in enumerate(distinct)}
    names = tuple(map(cleaned, distinct))
    note = class_note(names, order)
    if known.names and len(strange) < len(distinct):
        note += f" The model has no class named {listed(strange)}."
    return replace(_numbering(texts, numbers, names, note), is_named_by_file=True)


def _by_own_name(
    texts: Sequence[str], names: Sequence[str]
) -> tuple[dict[str, int], Callable[[str], str]]:
    """The model's class numbers by name, and the form in which a text must be compared.

    Letter case and punctuation don't count, where names are still apart without them.
    """
    for form in (str, _plain):
        by_name = {form(name): number for number, name in enumerate(names)}
        is_apart = len(by_name) == len(names) and len({form(text) for text in texts}) == len(texts)
        if is_apart and all(form(text) in by_name for text in texts):
            return by_name, form
    return {name: number for number, name in enumerate(names)}, str


def mapped(numbering: Numbering, mapping: Mapping[str, int]) -> Numbering:
    """The same labels with the numbers that a person has given them.

    Raises:
        DataError: a number is no class number.
    """
    pairs = [(name, mapping.get(name, number)) for name, number in numbering.pairs]
    for name, number in pairs:
        if not isinstance(number, int) or not 0 <= number < MOST_CLASSES:
            raise DataError(
                f"Label {cleaned(name)!r} is mapped to class {number}; give a whole number from 0 "
                f"to {MOST_CLASSES - 1:,}."
            )
    table = dict(zip((number for _, number in numbering.pairs), (n for _, n in pairs), strict=True))
    if all(old == new for old, new in table.items()):
        return numbering
    labels = np.array([table[label] for label in numbering.labels.tolist()], np.int64)
    classes = numbering.classes
    if classes is not None and numbering.is_named_by_file:  # names move too
        named = {table[number]: name for number, name in enumerate(classes) if number in table}
        classes = tuple(named.get(n, f"class {n}") for n in range(max(named) + 1))
    shown = ", ".join(f"{cleaned(name)!r} = {number}" for name, number in pairs[:5])
    more = ", …" if len(pairs) > 5 else ""
    return Numbering(
        labels, classes, tuple(pairs), f"Classes are numbered as chosen: {shown}{more}."
    )


def of_numbers(labels: Labels, known: KnownClasses) -> Numbering:
    """Labels that are whole numbers; as many others as there are classes are numbered in order."""
    distinct = np.unique(labels)
    values, note = distinct, ""
    is_off = distinct[0] < 0 or (known.count is not None and distinct[-1] >= known.count)
    twos = ([-1, 1], [1, 2])
    is_sure = len(distinct) == known.count and (not known.is_single or distinct.tolist() in twos)
    if is_off and is_sure:
        values = np.arange(len(distinct))
        labels = np.searchsorted(distinct, labels).astype(np.int64)
        note = class_note([str(label) for label in distinct], "their values")
    pairs = tuple((str(old), int(new)) for old, new in zip(distinct, values, strict=True))
    return Numbering(labels, known.names or None, pairs, note)


def _are_class_numbers(distinct: Sequence[str], known: KnownClasses) -> bool:
    if not all(text.isascii() and text.isdecimal() for text in distinct):
        return False
    if max(map(len, distinct)) > LONGEST_NUMBER:
        return False
    numbers = sorted(map(int, distinct))
    if len(set(numbers)) < len(numbers):
        return False
    if known.count is not None and not known.is_single:
        return numbers[-1] < known.count
    from_one = numbers == list(range(1, len(numbers) + 1))
    return not from_one and numbers[-1] < min(MOST_CLASSES, SPARSE * len(numbers))


def _numbering(
    texts: Iterable[str],
    numbers: Mapping[str, int],
    classes: tuple[str, ...] | None,
    note: str,
) -> Numbering:
    labels = np.array([numbers[text] for text in texts], np.int64)
    return Numbering(labels, classes, tuple(numbers.items()), note)


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", " ", name.casefold()).strip()
