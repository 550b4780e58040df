"""What a bad file is: what is dropped, and what the person must read."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

SYMBOLIC_LINK, HARD_LINK = "symbolic-link", "hard-link"
Content = bytes | Callable[["Places"], bytes]


class Verdict(Enum):
    """What becomes of a drop: refused, opened with a note, or opened and told what can't be."""

    REFUSED = "refused"
    OPENS = "opens"
    FAILS_LATER = "fails later"


@dataclass(frozen=True)
class Places:
    """Where payloads reach: the files they would make, and the one they would read.

    Links to that one lie in every visitor's folder, under two names.
    """

    markers: tuple[Path, ...]
    secret: Path


@dataclass(frozen=True)
class Case:
    """Files by name, dropped together; `says` is a pattern of the sentence, or of a note."""

    id: str
    says: str
    files: dict[str, Content]
    verdict: Verdict = Verdict.REFUSED
    shape: tuple[int, ...] | None = None
    is_slow: bool = False  # runs into a limit of time, as it should

    def contents(self, places: Places) -> list[tuple[str, bytes]]:
        """Name and content of each file."""
        return [(n, c if isinstance(c, bytes) else c(places)) for n, c in self.files.items()]
