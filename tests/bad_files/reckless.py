"""Open files as a careless program would: unpickle, load and run all that is in them.

Only for a process of its own, and files whose payloads leave a marker and do nothing else.
"""

import io
import pickle
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import torch


def unpickle(path: Path) -> None:
    """All pickles in a file, one after another, and in the files that are zipped in it."""
    for content in _unzipped(path.read_bytes()):
        stream = io.BytesIO(content)
        with suppress(Exception):  # no pickle, or the end of them
            while True:
                pickle.load(stream)


def _unzipped(content: bytes) -> Iterator[bytes]:
    if not zipfile.is_zipfile(io.BytesIO(content)):
        yield content
        return
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for name in archive.namelist():
            yield from _unzipped(archive.read(name))


def run_script(path: Path) -> None:
    """Load a TorchScript file, and run it once."""
    torch.jit.load(path)(torch.ones(1, 4))


def open_program(path: Path) -> None:
    """Load a torch.export file."""
    torch.export.load(path)


def ways(path: Path) -> tuple[Callable[[Path], None], ...]:
    """Those that fit a file."""
    if not zipfile.is_zipfile(path):
        return (unpickle,)
    with zipfile.ZipFile(path) as archive:
        names = {Path(name).name for name in archive.namelist()}
    is_script, is_program = "constants.pkl" in names, "archive_format" in names
    return (unpickle, *[run_script] * is_script, *[open_program] * is_program)


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        for way in ways(Path(argument)):
            with suppress(Exception):  # the markers tell what has run
                way(Path(argument))
