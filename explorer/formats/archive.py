"""Zip archives from strangers, read in bounded pieces.

An archive says how large its members are and where they lie; none of that is believed. Whoever
reads a member gets at most as many bytes as it was declared to have, after its checksum was right.
"""

import io
import re
import stat
import zipfile
import zlib
from collections import Counter
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from explorer.errors import ExplorerError
from explorer.names import file_name

MOST_MEMBERS = 100_000
MOST_BYTES = 2**31  # of all members, unpacked
HARMLESS_BYTES = 2**26  # up to which any ratio will do: a mask of zeros packs very well
MOST_RATIO = 200  # unpacked to packed
CHUNK_BYTES = 2**20
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
IS_ENCRYPTED = 0x1  # in a member's flags
JUNK_FOLDERS, JUNK_FILES = ("__MACOSX",), (".ds_store", "thumbs.db", "desktop.ini")
DRIVE = re.compile(r"[A-Za-z]:(/|$)")  # `C:/x` leads out; `x:0` is how TensorFlow names tensors
DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    OSError,
    ValueError,
    OverflowError,
    NotImplementedError,
    RuntimeError,
)


class Archive:
    """A zip file whose directory was checked; `names` are its ordinary members, in their order."""

    def __init__(
        self, source: Path | bytes | BinaryIO, title: str, error: type[ExplorerError]
    ) -> None:
        """Open an archive by its path, its bytes or as a file, called `title` in messages.

        Raises:
            ExplorerError: of the type given, where it is damaged, encrypted, too large, or has
                names that lead out of it.
        """
        self.title, self._error = title, error
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(source) if isinstance(source, bytes) else source)
        except DAMAGED as cause:
            raise error(f"{title} is a damaged zip archive, or it is cut short.") from cause
        members = [each for each in self._zip.infolist() if not _is_junk(each)]
        self._members = {each.filename: each for each in members}
        self._check(members)
        self.names = tuple(self._members)

    def read(self, name: str) -> bytes:
        """One member's bytes.

        Raises:
            ExplorerError: it is damaged, or not as long as the directory says.
        """
        member, content, left = self._members[name], io.BytesIO(), self._members[name].file_size
        try:
            with self._zip.open(member) as stream:
                while left > 0 and (chunk := stream.read(min(CHUNK_BYTES, left))):
                    content.write(chunk)
                    left -= len(chunk)
                is_longer = bool(stream.read(1))
        except DAMAGED as cause:
            raise self._damaged(name, "can't be unpacked") from cause
        if left or is_longer:
            raise self._damaged(name, "isn't as long as it says")
        return content.getvalue()

    def head(self, name: str, count: int) -> bytes:
        """The first `count` bytes of a member, or all where it has fewer; no checksum is checked.

        Raises:
            ExplorerError: it can't be unpacked.
        """
        try:
            with self._zip.open(self._members[name]) as stream:
                return stream.read(min(count, CHUNK_BYTES))
        except DAMAGED as cause:
            raise self._damaged(name, "can't be unpacked") from cause

    def size(self, name: str) -> int:
        """Bytes of a member, unpacked."""
        return self._members[name].file_size

    def _damaged(self, name: str, how: str) -> ExplorerError:
        return self._error(f"{self.title} is damaged: {file_name(name)!r} {how}.")

    def _check(self, members: list[zipfile.ZipInfo]) -> None:
        title, error = self.title, self._error
        if len(members) > MOST_MEMBERS:
            raise error(f"{title} holds {len(members)} files; the most is {MOST_MEMBERS}.")
        if len(self._members) < len(members):
            [(name, _)] = Counter(each.filename for each in members).most_common(1)
            raise error(f"{title} holds {file_name(name)!r} more than once; pack it again.")
        for each in members:
            if each.flag_bits & IS_ENCRYPTED:
                raise error(f"{title} is encrypted; pack it without a password.")
            if each.compress_type not in METHODS:
                raise error(f"{title} is packed by an uncommon method; pack it as an ordinary zip.")
            if (how := _leads_out(each)) is not None:
                name = file_name(each.filename)
                raise error(f"{title} holds {name!r} {how}, which leads out of the archive.")
        unpacked = sum(each.file_size for each in members)
        packed = max(1, sum(each.compress_size for each in members))
        if unpacked > MOST_BYTES:
            raise error(f"{title} is larger than {MOST_BYTES >> 30} GiB when unpacked.")
        if unpacked > HARMLESS_BYTES and unpacked > MOST_RATIO * packed:
            raise error(
                f"{title} would grow {unpacked // packed}-fold when unpacked; the most is "
                f"{MOST_RATIO}-fold."
            )
        self._check_places(members)

    def _check_places(self, members: list[zipfile.ZipInfo]) -> None:
        """No two members may share their bytes, which is how small archives unpack to huge ones."""
        ordered = sorted(members, key=lambda each: each.header_offset)
        for one, other in pairwise(ordered):
            if one.header_offset + one.compress_size > other.header_offset:
                raise self._error(f"{self.title} is damaged: files in it overlap.")


def is_zip(head: bytes) -> bool:
    """True for the first bytes of a zip archive, an empty one included."""
    return head[:4] in (b"PK\x03\x04", b"PK\x05\x06")


def _is_junk(member: zipfile.ZipInfo) -> bool:
    """What file managers leave behind, and folders, which the names of files imply."""
    parts = PurePosixPath(member.filename).parts
    if not parts or member.is_dir():  # a name may be empty
        return True
    return parts[0] in JUNK_FOLDERS or parts[-1].lower() in JUNK_FILES or parts[-1][:2] == "._"


def _leads_out(member: zipfile.ZipInfo) -> str | None:
    """How a member leads out of the archive, as part of a sentence; None where it doesn't."""
    name = PurePosixPath(member.filename.replace("\\", "/"))
    if stat.S_ISLNK(member.external_attr >> 16):
        return "as a link"
    if ".." in name.parts:
        return "under a path with '..'"
    return "under an absolute path" if name.is_absolute() or DRIVE.match(str(name)) else None
