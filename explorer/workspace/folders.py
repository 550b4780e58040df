"""The files of visitors: a folder for each, quotas, and nothing left behind.

All lies under one folder of this server process, which holds a lock on it; what a server that has
ended left behind is removed at the next start. A visitor's folder is removed with the session. All
visitors share one more folder, with the results on the sample models.
"""

import fcntl
import hashlib
import os
import secrets
import shutil
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO

from explorer.errors import FILES_GONE, ExplorerError, JobError, OutputError, QuotaError, reason_of
from explorer.jobs import Domain

PLACE = "EXPLORER_FOLDER"  # environment variable: where to keep files instead of the system's place
SESSION_BYTES, SESSION_FILES = 300 * 2**20, 8
ALL_BYTES = 4 * 2**30
MIB = 2**20


@dataclass(frozen=True)
class Share:
    """Compressed models that stay on disk in one folder: how they are called, and how many."""

    prefix: str
    files: int
    bytes: int

    def new_file(self, folder: Path) -> Path:
        """Where the next one can be written."""
        return folder / f"{self.prefix}{secrets.token_hex(8)}.onnx"


TRIED = Share("compressed-", 64, 512 * 2**20)
# Some of those: a long sweep must not push out what people have made by hand.
SWEPT = Share("compressed-swept-", 24, 192 * 2**20)


class Storage:
    """The folder of this server process."""

    def __init__(self, place: Path) -> None:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        _remove_abandoned(place)
        self.path = Path(tempfile.mkdtemp(prefix=f"{os.getpid()}-", dir=place))
        lock = _locked(self.path)
        self.samples = Domain("samples", self.path / "samples")
        self.samples.folder.mkdir()
        self.close = weakref.finalize(self, _remove, self.path, lock)
        self._left: list[Path] = []

    def folder(self) -> "Folder":
        """A new visitor's folder."""
        for path in [*self._left]:
            self.remove(path)
        return Folder(self)

    def remove(self, path: Path) -> None:
        """Remove a visitor's folder; what a dying process still writes goes with the next one."""
        shutil.rmtree(path, ignore_errors=True)
        self._left = [each for each in {*self._left, path} if each.exists()]

    @property
    def used_bytes(self) -> int:
        """What all visitors' files and the results on the sample models take."""
        return _bytes_in(self.path)


class Folder:
    """One visitor's files; `domain` is theirs alone."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self.path = storage.path / secrets.token_urlsafe(18)
        self.path.mkdir(mode=0o700)
        self.domain = Domain(self.path.name, self.path)
        self._uploads: dict[str, int] = {}  # bytes by name
        self.remove = weakref.finalize(self, storage.remove, self.path)

    def take(self, *contents: bytes) -> list[Path]:
        """Keep uploaded files, all or none, under names made from their hashes.

        Raises:
            QuotaError: this visitor, or all of them together, have as much as they may.
            JobError: the folder is gone.
            OutputError: a file can't be written.
        """
        paths = [self.path / f"upload-{_hash(content)}" for content in contents]
        new = {
            path: content
            for path, content in zip(paths, contents, strict=True)
            if path.name not in self._uploads or not path.exists()
        }
        for path in new:
            self._uploads.pop(path.name, None)
        self._check_count(len(new))
        try:
            for path, content in new.items():
                self._check(len(content))
                _write(path, content)
                self._uploads[path.name] = len(content)
        except ExplorerError:
            for path in new:
                self.drop(path)
            raise
        return paths

    def drop(self, path: Path) -> None:
        """Remove an uploaded file that is of no use any more."""
        self._uploads.pop(path.name, None)
        path.unlink(missing_ok=True)

    def _check_count(self, new: int) -> None:
        if new > SESSION_FILES:
            raise QuotaError(
                f"You dropped {new} files, but a session can hold {SESSION_FILES}; drop one model "
                "and at most one file of samples."
            )
        here = len(self._uploads)
        if here + new > SESSION_FILES:
            raise QuotaError(
                f"A session can hold {SESSION_FILES} uploaded files and already holds {here}; "
                "select one of your models in the list and remove it first."
            )

    def _check(self, size: int) -> None:
        left = SESSION_BYTES - sum(self._uploads.values())
        if size > left:
            raise QuotaError(
                f"This file of {size / MIB:.0f} MiB is too large: {left / MIB:.0f} MiB of the "
                f"session's {SESSION_BYTES / MIB:.0f} MiB are left; remove one of your models "
                "first."
            )
        if size > ALL_BYTES - self._storage.used_bytes:
            raise QuotaError("The server has no room for more files; try again in a few minutes.")


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:32]


def _write(path: Path, content: bytes) -> None:
    """Write a file, or leave nothing of it."""
    try:
        path.write_bytes(content)
    except FileNotFoundError as error:
        raise JobError(FILES_GONE) from error
    except OSError as error:
        path.unlink(missing_ok=True)
        raise OutputError(f"The server can't keep this file: {reason_of(error)}.") from error


def make_room(folder: Path, shown: Path | None, share: Share = TRIED) -> None:
    """Remove the oldest compressed models of a folder beyond a share, but not the one shown."""
    files = []
    for path in folder.glob(f"{share.prefix}*.onnx"):
        with suppress(FileNotFoundError):  # another visitor makes room in the folder of samples too
            about = path.stat()
            files.append((about.st_mtime, about.st_size, path))
    left = share.bytes
    for index, (_, size, path) in enumerate(sorted(files, reverse=True)):
        left -= size
        if path != shown and (left < 0 or index >= share.files):
            path.unlink(missing_ok=True)


@cache
def storage() -> Storage:
    """The one storage of this process."""
    place = os.environ.get(PLACE) or f"{tempfile.gettempdir()}/compression-explorer-{os.getuid()}"
    return Storage(Path(place))


def _remove(folder: Path, lock: IO[bytes]) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    lock.close()


def _locked(folder: Path) -> IO[bytes]:
    """A file open and locked as long as this process lives."""
    file = (folder / "lock").open("wb")
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return file


def _remove_abandoned(place: Path) -> None:
    for folder in place.iterdir():
        lock = folder / "lock"
        if not lock.is_file():
            continue
        with lock.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            shutil.rmtree(folder, ignore_errors=True)


def _bytes_in(folder: Path) -> int:
    return sum(_sizes(folder))


def _sizes(folder: Path) -> Iterator[int]:
    """Of the files in a folder; one that goes away meanwhile takes no room."""
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                yield os.lstat(os.path.join(parent, name)).st_size  # noqa: PTH118
            except FileNotFoundError:
                continue
