"""What every chart of a trade-off decides alike, on both pages, in the report and in a notebook."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from explorer.metrics import PERCENT

ROOM = 0.12  # of an axis of quality beyond the values
REACH = 1.06  # of an axis of costs, which begins at zero, as a multiple of the greatest


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


@dataclass(frozen=True)
class Estimate:
    """A number with the interval that it lies in; both ends are the number where it is exact."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, value: float, interval: tuple[float, float] | None = None) -> "Estimate":
        """With its interval, where it has one."""
        low, high = interval or (value, value)
        return cls(value, min(low, value), max(high, value))


Run = tuple[Estimate, Estimate]  # cost and quality


def unbeaten(runs: Sequence[Run], falls: bool = False) -> list[bool]:
    """Which runs no other beats beyond noise.

    One is beaten by another that costs at most as much and whose quality is better by more than
    both intervals; or whose quality is the same at a cost that is lower by more than both. More
    quality is better, or less where it `falls`.
    """
    return [not any(_beats(other, run, falls) for other in runs) for run in runs]


def _beats(one: Run, other: Run, falls: bool) -> bool:
    (cost, quality), (other_cost, other_quality) = one, other
    if quality.value == other_quality.value:
        return cost.high < other_cost.low
    is_better = quality.high < other_quality.low if falls else quality.low > other_quality.high
    return is_better and cost.value <= other_cost.value


def pareto_front(
    points: Sequence[tuple[float, float]], falls: bool = False
) -> list[tuple[float, float]]:
    """(cost, quality) that no other measured value beats in both, the cheapest first.

    More quality is better, or less where it `falls`. It is the edge of what is `unbeaten`, and the
    line that charts draw.
    """
    sign, front = -1 if falls else 1, list[tuple[float, float]]()
    for point in sorted(points, key=lambda each: (each[0], -sign * each[1])):
        if not front or sign * point[1] > sign * front[-1][1]:
            front.append(point)
    return front


def front_line(
    points: Sequence[tuple[float, float]], end: float, falls: bool = False
) -> list[tuple[float, float]]:
    """Corners of the front as steps, from its cheapest point to the `end` of the axis of costs.

    Each point holds until a better one can be had: the line goes across first, then up.
    """
    front = pareto_front(points, falls)
    return [*front, (end, front[-1][1])] if front else []
