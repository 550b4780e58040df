"""Samples as a person can look at them: pictures, lines over time, words.

What a model takes says nothing of how to show it, so the shape decides: planes of one or three
numbers are pictures, rows are series, whole numbers are characters of a text.
"""

import base64
import io
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from explorer.formats.data import Dataset

FEWEST_PIXELS = 4  # along each side of a picture
MOST_PIXELS = 128  # of what is sent; larger pictures are made smaller
MOST_LINES, MOST_STEPS = 12, 200
MOST_TOKENS = 128

Numbers = npt.NDArray[np.float64]
Picture = dict[str, Any]


def picture_of(data: Dataset, index: int) -> Picture:
    """One sample by its first input.

    {"image": base64 of a PNG}, {"lines": rows of numbers between 0 and 1, "steps": how many there
    are of each}, or {"tokens": whole numbers}.
    """
    sample = next(iter(data.inputs.values()))[index]
    if sample.dtype.kind in "iub" and sample.ndim <= 1:
        return {"tokens": sample.reshape(-1)[:MOST_TOKENS].astype(int).tolist()}
    values = np.nan_to_num(sample.astype(np.float64))
    pixels = _pixels(values)
    if pixels is not None:
        return {"image": _png(pixels)}
    rows = values.reshape(-1, values.shape[-1]) if values.ndim else values.reshape(1, 1)
    shown = rows[:MOST_LINES, :: -(-rows.shape[1] // MOST_STEPS)]
    return {"lines": np.round(_scaled(shown), 4).tolist(), "steps": rows.shape[1]}


def _pixels(values: Numbers) -> npt.NDArray[np.uint8] | None:
    """(height, width) or (height, width, 3), or None where the sample is no picture."""
    if values.ndim == 3 and values.shape[0] in (1, 3):
        values = np.moveaxis(values, 0, -1)
    if values.ndim != 3 or values.shape[-1] not in (1, 3) or min(values.shape[:2]) < FEWEST_PIXELS:
        return None
    pixels = np.round(255 * _scaled(values)).astype(np.uint8)
    return pixels[..., 0] if pixels.shape[-1] == 1 else pixels


def _scaled(values: Numbers) -> Numbers:
    low, high = float(values.min()), float(values.max())
    scaled: Numbers = (values - low) / ((high - low) or 1.0)
    return scaled


def _png(pixels: npt.NDArray[np.uint8]) -> str:
    image = Image.fromarray(pixels)
    image.thumbnail((MOST_PIXELS, MOST_PIXELS))
    written = io.BytesIO()
    image.save(written, "PNG")
    return base64.b64encode(written.getvalue()).decode()
