"""Which settings to try where one doesn't know yet which pay: a grid of them, or some at random."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product

from explorer.errors import RecipeError
from explorer.recipe import Recipe

MOST_SETTINGS = 200  # of one sweep
DRAWS = 20  # for each setting wanted, until too few different ones are taken to be left
WAYS = ("grid", "random")


@dataclass(frozen=True)
class Design:
    """The axes of a sweep, and how settings are taken from them.

    `way` is one of `WAYS`. Ratios go from `lowest` to `highest`: a grid has `steps` of them, evenly
    spaced; at random, `count` settings are drawn with any whole percent between, as `seed` decides.
    """

    way: str = "grid"
    patterns: tuple[str, ...] = ("channel",)
    lowest: float = 0.1
    highest: float = 0.7
    steps: int = 4
    weight_bits: tuple[int, ...] = (32, 8)
    activation_bits: tuple[int, ...] = (32,)
    count: int = 12
    seed: int = 0


def settings(base: Recipe, design: Design) -> tuple[Recipe, ...]:
    """Different recipes that are like `base` but for the axes; none that asks for nothing.

    Two patterns in three steps and two widths are twelve settings, or fewer where some are the
    same, as the ratio counts for some patterns only. At random, fewer than `count` may be left.

    Raises:
        RecipeError: an axis is empty, or there are more than `MOST_SETTINGS`.
    """
    if not (design.patterns and design.weight_bits and design.activation_bits):
        raise RecipeError("A sweep needs a pattern, weight bits and activation bits.")
    wanted = _drawn(base, design) if design.way == "random" else _grid(base, design)
    found = tuple(dict.fromkeys(each for each in wanted if not each.is_identity))
    if len(found) > MOST_SETTINGS:
        raise RecipeError(
            f"A sweep has at most {MOST_SETTINGS} runs, but this one has {len(found)}; choose "
            "fewer ratio steps or bits."
        )
    return found


def ratios(design: Design) -> tuple[float, ...]:
    """The steps of a grid, in whole percent; one step is the lowest ratio."""
    gap = (design.highest - design.lowest) / max(design.steps - 1, 1)
    return tuple(round(design.lowest + step * gap, 2) for step in range(design.steps))


def _grid(base: Recipe, design: Design) -> Iterator[Recipe]:
    axes = (design.patterns, ratios(design), design.weight_bits, design.activation_bits)
    for values in product(*axes):
        yield _setting(base, *values)


def _drawn(base: Recipe, design: Design) -> Iterator[Recipe]:
    chance, found = random.Random(design.seed), set[Recipe]()  # noqa: S311 - keeps no secrets
    percents = range(round(100 * design.lowest), round(100 * design.highest) + 1)
    for _ in range(DRAWS * design.count):
        drawn = _setting(
            base,
            chance.choice(design.patterns),
            chance.choice(percents) / 100,
            chance.choice(design.weight_bits),
            chance.choice(design.activation_bits),
        )
        if drawn.is_identity or drawn in found:
            continue
        found.add(drawn)
        yield drawn
        if len(found) == design.count:
            return


def _setting(
    base: Recipe, pattern: str, ratio: float, weight_bits: int, activation_bits: int
) -> Recipe:
    """One spelling for each: where nothing goes, there is no ratio, and no pattern of it."""
    made = replace(base, pattern=pattern, weight_bits=weight_bits, activation_bits=activation_bits)
    if not made.prunes_by_ratio:
        return replace(made, ratio=0.0)
    if not ratio and not base.layers:
        return replace(made, pattern="none", ratio=0.0)
    return replace(made, ratio=ratio)
