"""Arrays in `.npz` archives from strangers, and back to disk. Nothing is ever unpickled."""

import io
import lzma
import math
import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from explorer.errors import DataError, OutputError, reason_of
from explorer.formats.archive import Archive, is_zip
from explorer.formats.signatures import NUMPY
from explorer.names import file_name

Array = npt.NDArray[np.generic]
MOST_ARRAYS = 1000
SUFFIX = ".npy"
HINT = "save the arrays with numpy.savez(path, x=samples, y=labels)"
HEADERS = MappingProxyType(
    {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
)
# What numpy raises on headers that are damaged or made up.
UNREADABLE = (
    ValueError,
    TypeError,
    AttributeError,
    OSError,
    EOFError,
    LookupError,
    RuntimeError,
    ArithmeticError,
    SyntaxError,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
)


def read_arrays(source: Path | bytes, title: str) -> dict[str, Array]:
    """All arrays of an `.npz` file by name; `title` is what to call it in a message.

    Raises:
        DataError: it is no such file, is damaged, or holds anything but arrays of plain values.
    """
    if not is_zip(_head(source)):
        raise DataError(f"{title} is not an .npz archive, or it is cut short; {HINT}.")
    try:
        return arrays_in(Archive(source, title, DataError))
    except MemoryError as error:
        raise DataError(f"{title} needs more memory than there is; take fewer samples.") from error


def arrays_in(archive: Archive) -> dict[str, Array]:
    """All arrays of an opened archive by name; errors as for `read_arrays`."""
    title, count = archive.title, len(archive.names)
    if count > MOST_ARRAYS:
        raise DataError(f"{title} holds {count:,} arrays; the most is {MOST_ARRAYS:,}.")
    arrays: dict[str, Array] = {}
    for member in archive.names:
        name = member.removesuffix(SUFFIX)
        if name in arrays:
            raise DataError(f"{title} holds {file_name(name)!r} more than once; save it again.")
        arrays[name] = _array(archive.read(member), f"{title} holds {file_name(member)!r}, which")
    return arrays


def write_arrays(path: Path, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Write arrays as `numpy.savez` would, whatever their names.

    Raises:
        OutputError: the path can't be written.
    """
    try:
        with zipfile.ZipFile(path, "w") as archive:
            for name, array in arrays.items():
                with archive.open(f"{name}{SUFFIX}", "w", force_zip64=True) as stream:
                    np.lib.format.write_array(stream, array, allow_pickle=False)
    except OSError as error:
        raise OutputError(f"The samples can't be written: {reason_of(error)}.") from error


def _head(source: Path | bytes) -> bytes:
    if isinstance(source, bytes):
        return source[: len(NUMPY)]
    with source.open("rb") as stream:
        return stream.read(len(NUMPY))


def _array(content: bytes, which: str) -> Array:
    """One array; its header's claim is held against the bytes before any memory is taken."""
    if not content.startswith(NUMPY):
        raise DataError(f"{which} is not an array; {HINT}.")
    stream = io.BytesIO(content)
    try:
        shape, _, dtype = HEADERS[np.lib.format.read_magic(stream)](stream)
        declared = math.prod(shape) * dtype.itemsize
    except UNREADABLE as error:
        raise DataError(f"{which} has a header that can't be read; {HINT}.") from error
    if dtype.hasobject:
        raise DataError(
            f"{which} can't be read: it is a pickle of Python objects, which could run any code; "
            "save it with an ordinary number type."
        )
    if min(shape, default=0) < 0 or not dtype.itemsize or declared != len(content) - stream.tell():
        raise DataError(f"{which} isn't as large as its header says; {HINT}.")
    stream.seek(0)
    try:
        return np.lib.format.read_array(stream, allow_pickle=False)
    except UNREADABLE as error:
        raise DataError(f"{which} has values that can't be read; {HINT}.") from error
