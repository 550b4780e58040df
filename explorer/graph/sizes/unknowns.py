"""The open dimensions of a graph as few unknowns, each with what it counts.

Dimensions of one name are one unknown, and a name may be a formula of others. What a dimension
counts, its name says, or the layout (`layout`), or, where both are silent, its place.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import onnx_ir as ir

from explorer.graph.sizes.dimension_kinds import STEPS, USUAL, Kind
from explorer.graph.sizes.dimensions import (
    NAMELESS,
    PAST,
    TOTAL,
    Formula,
    kind_named,
    name_of,
    read_formulas,
    size_of,
    words_of,
)
from explorer.graph.sizes.layout import Use, Uses, find_uses
from explorer.network import Shape

COLOURS = (1, 3, 4)  # sizes of an axis that make a tensor an image
IMAGE_RANKS = (3, 4)
PLACE = re.compile(r"\d+|key|value", re.IGNORECASE)  # what tells the inputs of a cache apart
IDS = frozenset("ids id tokens embeds embedding hidden".split())

Sizes = dict[str, Shape]  # of inputs, by name
Dim = int | Formula


@dataclass(frozen=True)
class Unknowns:
    """The inputs' dimensions, each a size or a formula of unknowns.

    `kinds` has every unknown, in order; `settled` those whose size a layer fixes; `sums` those that
    are probably a sum of others, or of them and a number.
    """

    inputs: dict[str, tuple[Dim, ...]]
    kinds: dict[str, Kind]
    settled: dict[str, int] = field(default_factory=dict)
    sums: dict[str, tuple[str | int, ...]] = field(default_factory=dict)

    @property
    def free(self) -> tuple[str, ...]:
        """The unknowns whose sizes can be chosen."""
        return tuple(x for x in self.kinds if x not in self.settled and x not in self.sums)

    def usual(self, place: int = 0) -> dict[str, int]:
        """The usual sizes, or others that differ, for the unknowns that are free."""
        return {
            name: USUAL[self.kinds[name]][place] + index * STEPS[self.kinds[name]][place]
            for index, name in enumerate(self.free)
        }

    def sizes(self, chosen: Mapping[str, int]) -> Sizes:
        """Those of all inputs, by the unknowns that are free; 0 where a formula has no size."""
        values = {**self.settled, **chosen}
        for name, parts in self.sums.items():
            if name not in values:
                values[name] = sum(p if isinstance(p, int) else values[p] for p in parts)
        return {
            name: tuple(dim if isinstance(dim, int) else dim.value(values) for dim in dims)
            for name, dims in self.inputs.items()
        }


def find_unknowns(graph: ir.Graph) -> Unknowns:
    """The open dimensions of a graph's inputs."""
    named = _named(graph)
    if not any(isinstance(dim, str) for dims in named.values() for dim in dims):
        return Unknowns(
            {n: tuple(d for d in dims if isinstance(d, int)) for n, dims in named.items()}, {}
        )
    formulas = read_formulas(dim for dims in named.values() for dim in dims if isinstance(dim, str))
    inputs: dict[str, tuple[Dim, ...]] = {
        name: tuple(formulas[dim] if isinstance(dim, str) else dim for dim in dims)
        for name, dims in named.items()
    }
    kinds, settled = _kinds(inputs, find_uses(graph))
    unknowns = Unknowns(inputs, kinds, settled)
    return replace(unknowns, sums=_named_sums(unknowns))


def _named(graph: ir.Graph) -> dict[str, tuple[int | str, ...]]:
    """The dimensions of all inputs; one without a name is called by its place."""
    named = {}
    for value in graph.inputs:
        if value.shape is None:
            continue
        input_name = str(value.name)
        dims = [_named_dim(input_name, at, dim) for at, dim in enumerate(value.shape)]
        named[input_name] = tuple(dims)
    return named


def _named_dim(input_name: str, place: int, dim: int | ir.SymbolicDim) -> int | str:
    size = size_of(dim)
    if size is not None:
        return size
    name, group = name_of(dim), PLACE.sub("", input_name)
    is_cache = bool(words_of(input_name) & PAST)
    if is_cache and (name is None or group in PLACE.sub("", name)):
        return f"{NAMELESS}{group}:{place}"  # all parts of a cache are alike
    return name or f"{NAMELESS}{input_name}:{place}"


@dataclass(frozen=True)
class _Place:
    """Where an unknown stands: an axis of an input, and what the layout says of it."""

    symbol: str
    input: str
    dims: tuple[Dim, ...]
    at: int
    use: Use | None


def _kinds(
    inputs: Mapping[str, tuple[Dim, ...]], uses: Uses
) -> tuple[dict[str, Kind], dict[str, int]]:
    places: dict[str, list[_Place]] = {}
    settled: dict[str, int] = {}
    for name, dims in inputs.items():
        for at, dim in enumerate(dims):
            if isinstance(dim, int):
                continue
            use = uses.get((name, at))
            for symbol in dim.symbols:
                places.setdefault(symbol, []).append(_Place(symbol, name, dims, at, use))
            if use is not None and use.size is not None and dim.is_symbol:
                settled.setdefault(dim.text, use.size)
    kinds = {symbol: _kind(where, uses) for symbol, where in places.items()}
    return kinds, settled


def _kind(places: list[_Place], uses: Uses) -> Kind:
    """What an unknown counts, by its name, or the layout, or its first place."""
    for place in places:
        named = _kind_by_name(place)
        if named is not None:
            return named
    for place in places:
        if place.use is not None and place.use.kind is not None:
            in_plane = place.use.in_plane
            return _side(place, uses) if in_plane else _kind_by_use(place, place.use.kind)
    return _kind_by_place(places[0])


def _kind_by_name(place: _Place) -> Kind | None:
    """What the name says, where the layout doesn't rule that out; one letter says little."""
    name = place.symbol.removeprefix(place.input)  # as exporters number those without a name
    named, used = kind_named(name), place.use.kind if place.use is not None else None
    if used is not None and len(place.symbol) == 1:
        return None
    if named is Kind.WAVE and used is not Kind.LENGTH:
        return None  # that many samples
    if named is Kind.BATCH and used in (Kind.IMAGE, Kind.VOLUME):
        return None
    return named


def _kind_by_use(place: _Place, used: Kind) -> Kind:
    """A length is one of a waveform where the input's name says so."""
    is_wave = used is Kind.LENGTH and kind_named(place.input) is Kind.WAVE
    return Kind.WAVE if is_wave else used


def _side(place: _Place, uses: Uses) -> Kind:
    """A side of an image that is open alone is a length: of a spectrogram, of a line of text."""
    sides = [
        dim
        for at, dim in enumerate(place.dims)
        if (use := uses.get((place.input, at))) is not None and use.in_plane
    ]
    is_alone = len(sides) > 1 and sum(not isinstance(side, int) for side in sides) == 1
    return Kind.LENGTH if is_alone else Kind.IMAGE


def _kind_by_place(place: _Place) -> Kind:
    """Samples come first, and images have few channels, first or last."""
    dims, at = place.dims, place.at
    named = [kind_named(dim.text) if isinstance(dim, Formula) else None for dim in dims]
    if len(dims) in IMAGE_RANKS:
        batched = int(len(dims) == max(IMAGE_RANKS))
        for colours in (batched, len(dims) - 1) if batched else (0,):
            sides = [other for other in range(batched, len(dims)) if other != colours]
            is_image = all(isinstance(dims[side], Formula) for side in sides)
            if dims[colours] in COLOURS and is_image and at in sides:
                return Kind.IMAGE
    if at == 0:
        return Kind.LENGTH if Kind.BATCH in named else Kind.BATCH
    is_samples = place.symbol.lower() == "n" and named[0] is Kind.LENGTH
    return Kind.BATCH if is_samples else Kind.LENGTH


def _named_sums(unknowns: Unknowns) -> dict[str, tuple[str | int, ...]]:
    """A total length is that of the past and of what comes now."""
    lengths = [name for name, kind in unknowns.kinds.items() if kind is Kind.LENGTH]
    totals = [name for name in lengths if words_of(name) & TOTAL]
    pasts = [name for name in lengths if words_of(name) & PAST and name not in totals]
    now = current_length(unknowns, {*totals, *pasts})
    if len(pasts) != 1 or now is None:
        return {}
    return dict.fromkeys(totals, (pasts[0], now))


def current_length(unknowns: Unknowns, others: set[str]) -> str | int | None:
    """How many positions enter at once: the length of the ids, or of what has none of `others`."""
    seconds = [(name, dims[1]) for name, dims in unknowns.inputs.items() if len(dims) > 1]
    of_ids = [dim for name, dim in seconds if words_of(name) & IDS]
    for dim in (*of_ids, *(dim for _, dim in seconds if isinstance(dim, Formula))):
        if isinstance(dim, int):
            return dim
        is_length = unknowns.kinds.get(dim.text) is Kind.LENGTH
        if is_length and dim.text not in others:
            return dim.text
    return None
