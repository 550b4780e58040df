"""The unknowns of a graph by shapes that a person has set for its inputs."""

from collections.abc import Mapping

from explorer.errors import ModelError
from explorer.graph.sizes.dimensions import LARGEST_SIZE, NAMELESS, Formula
from explorer.graph.sizes.unknowns import Dim, Unknowns
from explorer.names import cleaned, listed
from explorer.network import Shape

SOLVED_UP_TO = 4096  # what a formula is solved for, where it isn't linear


def solve(unknowns: Unknowns, given: Mapping[str, Shape]) -> dict[str, int]:
    """The unknowns that are settled by the shapes of inputs, by name.

    Raises:
        ModelError: there is no such input, or its dimensions are others.
    """
    sizes: dict[str, int] = {}
    for name, shape in given.items():
        _check_shape(unknowns, name, shape)
        for dim, size in zip(unknowns.inputs[name], shape, strict=True):
            if isinstance(dim, int) or not dim.is_symbol:
                continue
            if sizes.setdefault(dim.text, size) != size:
                raise ModelError(
                    f"The size of {cleaned(dim.text)!r} can't be {sizes[dim.text]} and {size} at "
                    "once; give all inputs that have it the same."
                )
    for name, shape in given.items():
        for dim, size in zip(unknowns.inputs[name], shape, strict=True):
            if isinstance(dim, Formula) and not dim.is_symbol:
                _solve_formula(unknowns, name, dim, size, sizes)
    return {name: sizes[name] for name in sizes if _is_news(unknowns, name, sizes)}


def _is_news(unknowns: Unknowns, name: str, sizes: Mapping[str, int]) -> bool:
    """False for a size that follows from others anyway."""
    parts = unknowns.sums.get(name)
    if parts is None or any(isinstance(part, str) and part not in sizes for part in parts):
        return unknowns.settled.get(name) != sizes[name]
    return sizes[name] != sum(p if isinstance(p, int) else sizes[p] for p in parts)


def _solve_formula(
    unknowns: Unknowns, name: str, dim: Formula, size: int, sizes: dict[str, int]
) -> None:
    missing = [symbol for symbol in dim.symbols if symbol not in sizes]
    for symbol in missing[:-1]:
        sizes[symbol] = unknowns.usual().get(symbol, 1)
    if missing:
        sizes[missing[-1]] = _solution(dim, size, missing[-1], sizes)
    if dim.value(sizes) != size:
        given = ", ".join(f"{cleaned(s)} = {sizes[s]}" for s in dim.symbols if s not in missing)
        where = f" with {given}" if given else ""
        raise ModelError(
            f"Input {cleaned(name)!r} takes {cleaned(dim.text)}{where}, which can't be {size}."
        )


def _solution(dim: Formula, size: int, symbol: str, sizes: Mapping[str, int]) -> int:
    at_one, at_two = (dim.value({**sizes, symbol: value}) for value in (1, 2))
    slope = at_two - at_one
    if slope:
        value = 1 + (size - at_one) // slope
        if value > 0 and dim.value({**sizes, symbol: value}) == size:
            return value
    matching = (v for v in range(1, SOLVED_UP_TO) if dim.value({**sizes, symbol: v}) == size)
    return next(matching, 1)


def _check_shape(unknowns: Unknowns, name: str, shape: Shape) -> None:
    if name not in unknowns.inputs:
        known = listed(sorted(unknowns.inputs))
        raise ModelError(
            f"There is no input {cleaned(name)!r} to set the size of; there is {known}."
        )
    dims = unknowns.inputs[name]
    takes, asked = described(dims), " x ".join(str(size) for size in shape)
    if len(dims) != len(shape):
        raise ModelError(
            f"Input {cleaned(name)!r} has {len(dims)} dimensions ({takes}), but {len(shape)} sizes "
            "were given."
        )
    pairs = list(zip(dims, shape, strict=True))
    if any(isinstance(dim, Formula) and not 0 < size < LARGEST_SIZE for dim, size in pairs):
        raise ModelError(
            f"Input {cleaned(name)!r} can't be {asked}; sizes are whole numbers from 1 to "
            f"{LARGEST_SIZE - 1:,}."
        )
    if any(isinstance(dim, int) and dim != size for dim, size in pairs):
        raise ModelError(f"Input {cleaned(name)!r} is {takes}, so it can't be {asked}.")


def described(dims: tuple[Dim, ...]) -> str:
    """The dimensions in words: batch x 3 x ? x ?."""
    names = [
        str(d) if isinstance(d, int) else NAMELESS if d.text.startswith(NAMELESS) else d.text
        for d in dims
    ]
    return " x ".join(cleaned(name) for name in names) or "a single number"
