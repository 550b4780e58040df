"""Which offers to take for a budget: the multiple-choice knapsack problem, solved level by level.

Each place makes several offers of which at most one can be taken, each with a gain and a loss, and
the sum of the losses is limited. Dynamic programming over the loss in equal levels (Kellerer,
Pferschy & Pisinger 2004, Knapsack Problems, section 11.5) finds the largest sum of gains. Unlike
the walk along one slope of loss per gain (Shoham & Gersho 1988) it also finds what lies between two
steps of that walk, which matters where places are few and their steps are large.
"""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

LEVELS = 4096  # that a budget is divided into; losses are rounded up to them


@dataclass(frozen=True)
class Offer:
    """A `gain` for a `loss` of at least 0; of equal `key`s only one can be taken."""

    key: Hashable
    gain: float
    loss: float


def choose(offers: Sequence[Offer], budget: float) -> tuple[int, ...]:
    """Positions of the offers with the largest sum of gains whose losses are within the budget.

    >>> choose([Offer("a", 5, 2), Offer("a", 9, 4), Offer("b", 6, 3)], 5)
    (0, 2)
    """
    best = np.zeros(LEVELS + 1)  # the largest gain for at most so many levels of loss
    taken: list[np.ndarray] = []  # per key: which offer gives that gain, or -1
    levels = [_levels(offer.loss, budget) for offer in offers]
    for own in _by_key(offers):
        before, pick = best.copy(), np.full(LEVELS + 1, -1)
        for position in own:
            cost = levels[position]
            if cost > LEVELS:
                continue
            gains = before[: LEVELS + 1 - cost] + offers[position].gain
            better = gains > best[cost:]
            best[cost:][better] = gains[better]
            pick[cost:][better] = position
        taken.append(pick)
    chosen, level = [], LEVELS
    for pick in reversed(taken):
        position = int(pick[level])
        if position >= 0:
            chosen.append(position)
            level -= levels[position]
    return tuple(sorted(chosen))


def _by_key(offers: Sequence[Offer]) -> list[list[int]]:
    positions: dict[Hashable, list[int]] = {}
    for position, offer in enumerate(offers):
        positions.setdefault(offer.key, []).append(position)
    return list(positions.values())


def _levels(loss: float, budget: float) -> int:
    if loss > budget:
        return LEVELS + 1
    return math.ceil(loss / budget * LEVELS - 1e-9) if loss > 0 else 0
