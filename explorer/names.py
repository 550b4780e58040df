"""Names that strangers made, as text that is safe to show in a sentence."""

from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import PurePosixPath

LONGEST_NAME = 48
NAMES_SHOWN = 5


def cleaned(text: str | bytes, otherwise: str = "unnamed", longest: int = LONGEST_NAME) -> str:
    r"""Printable text of at most `longest` characters, or `otherwise` where nothing is left.

    Protobuf gives bytes for a name that is no text.

    >>> cleaned("a\nb\u202e")
    'ab'
    """
    text = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    kept = "".join(islice((c for c in text if c.isprintable()), longest + 1)).strip()
    shown = f"{kept[: longest - 1]}…" if len(kept) > longest else kept
    return shown or otherwise


def file_name(path: str) -> str:
    """The last part of a path in an archive, cleaned: never a whole path."""
    return cleaned(PurePosixPath(path.replace("\\", "/")).name)


def listed(names: Iterable[str]) -> str:
    """The first few names in quotes, and how many more there are.

    >>> listed(["b", "a"])
    "'b', 'a'"
    """
    quoted = [repr(cleaned(name)) for name in names]
    shown = ", ".join(quoted[:NAMES_SHOWN])
    more = len(quoted) - NAMES_SHOWN
    return f"{shown} and {more} more" if more > 0 else shown or "nothing"


def class_note(classes: Sequence[str], order: str) -> str:
    """Which number stands for which class: the first four and the last."""
    pairs = [f"{index} = {name!r}" for index, name in enumerate(classes)]
    shown = pairs if len(pairs) <= NAMES_SHOWN else [*pairs[: NAMES_SHOWN - 1], "…", pairs[-1]]
    return f"Classes are numbered in the order of {order}: {', '.join(shown)}."
