"""Multiply-accumulates of a node as a sum of products of sizes.

Every formula is a polynomial in the lengths of the axes that may shrink, of degree two at most in
each. Instead of being written a second time, it is asked at three lengths of each, which determines
the polynomial, and at others, which prove it.
"""

from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import product
from math import prod

Count = Callable[[Sequence[int]], int]  # from the lengths, one for each size
Term = tuple[int, int, list[int]]  # a factor, a divisor, and the sizes (places) to multiply

POINTS = (1, 2, 3)  # multiples of the full length, so that what divides one divides all
PROOFS = ((4, 5, 7, 6), (5, 4, 6, 7), (7, 6, 4, 5))
MOST_SIZES = 4


def terms_of(count: Count, places: Sequence[int], full: Sequence[int]) -> list[Term] | None:
    """The polynomial of sizes listed at `places`, `full` long; None where it isn't one."""
    if not all(full):
        return None
    matter = [at for at in range(len(full)) if _matters(count, full, at)]
    if len(matter) < len(full):

        def fewer(lengths: Sequence[int]) -> int:
            every = list(full)
            for at, length in zip(matter, lengths, strict=True):
                every[at] = length
            return count(every)

        return terms_of(fewer, [places[at] for at in matter], [full[at] for at in matter])
    if len(places) > MOST_SIZES:
        return None
    asked = list(product(POINTS, repeat=len(places)))
    values = {at: Fraction(count(_scaled(full, at))) for at in asked}
    for axis in range(len(places)):
        values = _interpolate(values, axis)
    found = []
    for powers, value in values.items():
        factor = value
        for power, length in zip(powers, full, strict=True):
            factor /= Fraction(length) ** power
        if factor:
            sizes = [p for p, power in zip(places, powers, strict=True) for _ in range(power)]
            found.append((factor.numerator, factor.denominator, sizes))
    for proof in PROOFS:
        at = _scaled(full, proof[: len(places)])
        lengths = dict(zip(places, at, strict=True))
        if count(at) != sum(_value(term, lengths) for term in found):
            return None
    return found


def _matters(count: Count, full: Sequence[int], at: int) -> bool:
    """True where a length alone changes the count."""
    doubled = [length * (1 + (place == at)) for place, length in enumerate(full)]
    return count(doubled) != count(full)


def _scaled(full: Sequence[int], at: Sequence[int]) -> list[int]:
    return [length * multiple for length, multiple in zip(full, at, strict=True)]


def _value(term: Term, lengths: dict[int, int]) -> Fraction:
    factor, divisor, sizes = term
    return Fraction(factor * prod(lengths[size] for size in sizes), divisor)


def _interpolate(
    values: dict[tuple[int, ...], Fraction], axis: int
) -> dict[tuple[int, ...], Fraction]:
    """From values at 1, 2 and 3 along an axis to the coefficients of its powers 0, 1 and 2."""
    made = {}
    for at in values:
        if at[axis] == POINTS[0]:
            one, two, three = (values[(*at[:axis], p, *at[axis + 1 :])] for p in POINTS)
            square = (three - 2 * two + one) / 2
            line = two - one - 3 * square
            for power, coefficient in enumerate((one - line - square, line, square)):
                made[(*at[:axis], power, *at[axis + 1 :])] = coefficient
    return made
