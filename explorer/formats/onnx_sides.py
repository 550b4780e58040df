"""Weights that lie in a second file beside an ONNX model, read only from where they may lie."""

import os
import stat
from collections.abc import Callable, Iterable
from pathlib import Path

import onnx

from explorer.errors import ModelError
from explorer.formats.onnx_limits import BITS, EXTERNAL, byte_count
from explorer.names import cleaned, file_name

MOST_BYTES = 2**31 - 1  # of one protobuf file, which all weights go into
MOST_DIGITS = 15
HINT = "save it as one file with onnx.save(model, path, save_as_external_data=False)"

# Bytes of a side file by its name, an offset and a length; None where there aren't as many.
Part = Callable[[str, int, int], bytes | None]


def take_in(tensors: Iterable[onnx.TensorProto], part: Part | None, title: str) -> bool:
    """Put the weights of a second file into the tensors; False where there are none.

    `part` reads the second file; without it, such weights are refused.

    Raises:
        ModelError: the weights aren't where the model says, or may not be read from there.
    """
    outside = [tensor for tensor in tensors if tensor.data_location == EXTERNAL]
    if outside and part is None:
        raise ModelError(f"{title} keeps its weights in a second file; {HINT}.")
    if any(tensor.data_type not in BITS for tensor in outside):
        raise ModelError(f"{title} keeps text in its external weights, which must be numbers.")
    if sum(byte_count(tensor) for tensor in outside) > MOST_BYTES:
        raise ModelError(f"{title} is larger than 2 GiB, which the explorer can't hold.")
    for tensor in outside:
        assert part is not None
        _take_in(tensor, part, title)
    return bool(outside)


def _take_in(tensor: onnx.TensorProto, part: Part, title: str) -> None:
    entries = {entry.key: entry.value for entry in tensor.external_data}
    name, length = entries.get("location", ""), byte_count(tensor)
    offset, told = _number(entries.get("offset", "0")), _number(entries.get("length", str(length)))
    weights = repr(cleaned(tensor.name))
    if not _is_plain(name):
        raise ModelError(
            f"{title} keeps {weights} in {file_name(name)!r}, which isn't a file beside it; {HINT}."
        )
    if offset is None or told != length:
        raise ModelError(f"{title} is damaged: {weights} is not as long as its shape says.")
    data = part(name, offset, length)
    if data is None:
        raise ModelError(f"The second file {file_name(name)!r} of {title} ends before {weights}.")
    tensor.raw_data = data
    del tensor.external_data[:]
    tensor.data_location = onnx.TensorProto.DEFAULT


def beside(folder: Path, title: str) -> Part:
    """Reads side files of a folder: regular files, no links of either kind."""

    def part(name: str, offset: int, length: int) -> bytes | None:
        try:
            with open(folder / name, "rb", opener=_without_links) as file:
                facts = os.fstat(file.fileno())
                if not stat.S_ISREG(facts.st_mode) or facts.st_nlink != 1:
                    raise _unreadable(name, title)
                file.seek(offset)
                return file.read(length) if offset + length <= facts.st_size else None
        except (OSError, ValueError) as error:
            raise _unreadable(name, title) from error

    return part


def _without_links(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)


def _unreadable(name: str, title: str) -> ModelError:
    return ModelError(
        f"The second file {file_name(name)!r} with the weights of {title} can't be read: it must "
        f"be a file beside the model, not a link; or {HINT}."
    )


def _is_plain(name: str | bytes) -> bool:
    """A file name without a folder; the names of ONNX Runtime's memory hold slashes too."""
    if isinstance(name, bytes):  # no text, as protobuf found
        return False
    return bool(name) and name not in (".", "..") and not set(name) & set("/\\:\0")


def _number(text: str | bytes) -> int | None:
    if not isinstance(text, str):
        return None
    return int(text) if text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS else None
