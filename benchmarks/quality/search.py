"""How hard to prune to be rid of a share of the multiply-accumulates."""

from collections.abc import Callable

GRID = 2**12  # ratios are tried in steps of 1 / GRID


def smallest_ratio(
    removed: Callable[[float], float], share: float, most: float = 1.0
) -> float | None:
    """The smallest ratio in (0, `most`) that removes at least a share; None where none does.

    `removed` tells the share that a ratio removes, and must not fall as the ratio grows.

    >>> smallest_ratio(lambda ratio: ratio**2, 0.25)
    0.5
    """
    low, high = 0, round(most * GRID) - 1  # removed(low) < share <= removed(high)
    if removed(high / GRID) < share:
        return None
    while high - low > 1:
        middle = (low + high) // 2
        if removed(middle / GRID) >= share:
            high = middle
        else:
            low = middle
    return high / GRID
