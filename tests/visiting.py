"""A visit without a browser: a real session with a real pool, and everything that it shows."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from explorer.jobs import Pool
from explorer.workspace.folders import Storage
from explorer.workspace.workspace import Workspace

LIMIT_S = 70
POLL_S = 0.01


@dataclass
class Seen:
    """What a person saw after a drop, and how long it took until it was clear."""

    notice: str | None
    opened: bool
    notes: tuple[str, ...]
    shown: tuple[str, ...] = field(repr=False)
    parts: tuple[str, ...] = field(repr=False)
    seconds: float = 0.0


class Visit:
    """One visitor, whose files go when the visit ends."""

    def __init__(self, pool: Pool, storage: Storage) -> None:
        self.session = Workspace(pool, storage.folder())

    def drop(
        self, files: Sequence[tuple[str, bytes]], shape: tuple[int, ...] | None = None
    ) -> Seen:
        """Drop files and wait until nothing more comes of them."""
        workspace, before = self.session, self.session.source
        started = time.monotonic()
        workspace.receive(files, shape)
        shown = set()
        while workspace.busy:
            assert time.monotonic() - started < LIMIT_S, "no end"
            workspace.advance()
            shown |= {workspace.notice or "", (workspace.waiting.progress or (0, ""))[1]}
            time.sleep(POLL_S)
        source = workspace.source
        opened = source is not None and source != before
        notes = source.notes if source is not None and opened else ()
        shown |= {*notes, *([source.title] if source else [])}
        parts = tuple(strings_in(asdict(workspace.original)))
        seconds = time.monotonic() - started
        return Seen(workspace.notice, opened, notes, tuple(shown), parts, seconds)

    def end(self) -> None:
        self.session.close()


def strings_in(value: Any) -> Iterator[str]:
    """All texts in plain values, however deep."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, each in value.items():
            yield from strings_in(key)
            yield from strings_in(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from strings_in(each)
