"""How large an activation gets, and the 8-bit levels that lose least of it."""

import numpy as np
import numpy.typing as npt

from explorer.errors import CompressionError
from explorer.storage_types import UINT8

TOO_LARGE = (
    "On the calibration samples, numbers inside the network go beyond what it can hold; give "
    "samples of the size that the model expects."
)
LEVELS = UINT8.range[1]  # steps of an 8-bit activation
MOST_VALUES = 2**17  # kept of one activation
VALUES_OF_CHUNK = 2**13
BINS = 2**11
SHARES = np.linspace(0.4, 1.0, 16)  # of the full range, tried one by one

Array = npt.NDArray[np.generic]


class Spread:
    """Smallest and largest value of an activation, and evenly picked values between them."""

    def __init__(self) -> None:
        self.low, self.high = 0.0, 0.0
        self._empty = True
        self._picked: list[npt.NDArray[np.float32]] = []
        self._best: tuple[float, float] | None = None

    @classmethod
    def of(cls, chunks: list[npt.NDArray[np.generic]]) -> "Spread":
        """The spread of an activation in chunks."""
        spread = cls()
        for chunk in chunks:
            spread.add(chunk)
        return spread

    def add(self, values: Array) -> None:
        """Take a chunk into account."""
        if not values.size:
            return
        self._best = None
        low, high = float(values.min()), float(values.max())
        self.low = low if self._empty else min(self.low, low)
        self.high = high if self._empty else max(self.high, high)
        self._empty = False
        if sum(map(len, self._picked)) < MOST_VALUES:
            flat = values.reshape(-1)
            self._picked.append(flat[:: max(1, flat.size // VALUES_OF_CHUNK)].astype(np.float32))

    def full_range(self) -> tuple[float, float]:
        """From the smallest to the largest value, zero included.

        Raises:
            CompressionError: the values go beyond the type.
        """
        if not np.isfinite([self.low, self.high]).all():
            raise CompressionError(TOO_LARGE)
        return min(0.0, self.low), max(0.0, self.high)

    def best_range(self) -> tuple[float, float]:
        """The range, zero included, whose 256 levels have the least squared error.

        Cutting off a few large values makes the steps of all others finer (Banner et al., arXiv
        1810.05723, choose it for a distribution; here the values themselves decide).

        Raises:
            CompressionError: the values go beyond the type.
        """
        if self._best is None:
            self._best = self._find_best()
        return self._best

    def _find_best(self) -> tuple[float, float]:
        low, high = self.full_range()
        if self._empty or not high > low:
            return low, high
        values = np.concatenate(self._picked)
        width = (high - low) / BINS
        bins = np.clip(((values - low) / width).astype(np.int64), 0, BINS - 1)
        counts = np.bincount(bins, minlength=BINS)
        middles = low + width * (np.arange(BINS) + 0.5)
        errors = [
            float(counts @ (round_to_levels(middles, s * low, s * high) - middles) ** 2)
            for s in SHARES
        ]
        share = float(SHARES[int(np.argmin(errors))])
        return share * low, share * high


def step_of(low: float, high: float) -> tuple[float, int]:
    """Scale and zero point of 256 levels over a range that includes zero."""
    scale = (high - low) / LEVELS or 1.0
    return scale, round(-low / scale)


def round_to_levels(values: Array, low: float, high: float) -> npt.NDArray[np.float32]:
    """Values as they are after 8-bit rounding over a range."""
    scale, point = step_of(low, high)
    levels = np.clip(np.rint(values.astype(np.float32) / np.float32(scale)) + point, 0, LEVELS)
    rounded: npt.NDArray[np.float32] = ((levels - point) * np.float32(scale)).astype(np.float32)
    return rounded
