"""What every chart of a trade-off decides alike, on both pages, in the report and in a notebook."""

import math
from collections.abc import Iterable

from explorer.metrics import PERCENT

ROOM = 0.12  # of an axis beyond the values


def quality_range(
    values: Iterable[float], unit: str, least: float, falls: bool = False
) -> tuple[float, float]:
    """The ends of an axis for these qualities and their intervals: with room around them.

    There is at least as much room as `least`, but no share lies above 100 % or below 0 %, and no
    error (of which less is better: it `falls`) below zero, so no such axis does.
    """
    known = [*values]
    low, high = min(known), max(known)
    room = max(ROOM * (high - low), least)
    bottom = 0.0 if falls or unit == PERCENT else -math.inf
    return max(low - room, bottom), min(high + room, 1.0 if unit == PERCENT else math.inf)
