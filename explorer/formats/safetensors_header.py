"""The header of a safetensors file, checked before the library reads the rest.

Eight bytes say how long the header is, in JSON: each tensor's type, shape and place.
"""

import json
from pathlib import Path
from typing import Any

from explorer.errors import ModelError

LENGTH_BYTES = 8
MOST_BYTES = 10_000_000  # of the header
MOST_TENSORS = 20_000
MOST_AXES = 32
METADATA = "__metadata__"


def check_header(path: Path, title: str) -> None:
    """Pass a header of bounded size whose tensors lie inside the file.

    Raises:
        ModelError: it is damaged, cut short, or too large.
    """
    tensors = _read(path, title)
    tensors.pop(METADATA, None)
    if len(tensors) > MOST_TENSORS:
        raise ModelError(f"{title} holds {len(tensors)} tensors; the most is {MOST_TENSORS}.")
    if not tensors:
        raise ModelError(f"{title} holds no tensors.")
    if not all(_is_tensor(entry) for entry in tensors.values()):
        raise ModelError(f"{title} is damaged: its header doesn't describe tensors.")


def _read(path: Path, title: str) -> dict[str, Any]:
    with path.open("rb") as file:
        length = int.from_bytes(file.read(LENGTH_BYTES), "little")
        if length > MOST_BYTES:
            raise ModelError(f"{title} has a header of {length} bytes; the most is {MOST_BYTES}.")
        text = file.read(length)
    try:
        header = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{title} is damaged or cut short: its header is no JSON.") from error
    if not isinstance(header, dict):
        raise ModelError(f"{title} is damaged: its header doesn't describe tensors.")
    return header


def _is_tensor(entry: object) -> bool:
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        return False
    shape, place = entry["shape"], entry["data_offsets"]
    if not isinstance(shape, list) or not isinstance(place, list) or len(place) != 2:
        return False
    return len(shape) <= MOST_AXES and all(
        isinstance(size, int) and size >= 0 for size in (*shape, *place)
    )
