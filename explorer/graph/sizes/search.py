"""Sizes at which a graph runs, and others that show what follows its open dimensions."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import combinations, count, islice

from explorer.errors import ModelError
from explorer.graph.inference import CONTRADICTING, Shapes, Skeleton
from explorer.graph.sizes.dimension_kinds import OTHERS, USUAL, Kind
from explorer.graph.sizes.solve import solve
from explorer.graph.sizes.unknowns import Sizes, Unknowns, current_length
from explorer.network import Shape

MOST_NODES = 30_000  # that all trials together may look at
FEWEST_TRIALS, MOST_TRIALS = 6, 60
MOST_RUNS = 8  # of the graph itself
MOST_LAST_RUNS = 2  # at sizes that inference refuses: it may be wrong
MOST_RELATED = 5  # lengths between which a relation is looked for
LENGTHS_OF_SUMS = (USUAL[Kind.LENGTH][0], 32, 8)
MOST_ALONE = 12  # unknowns that are changed one by one
PROBES = len(next(iter(USUAL.values())))  # sizes that are tried to see what follows them

Chosen = dict[str, int]  # sizes of the unknowns that are free
Accepts = Callable[[Sizes], bool]


@dataclass(frozen=True)
class Found:
    """The sizes that were found for a graph's unknowns, and its shapes with these."""

    skeleton: Skeleton
    unknowns: Unknowns
    chosen: Chosen
    shapes: Shapes

    @property
    def sizes(self) -> Sizes:
        """Of the inputs."""
        return self.unknowns.sizes(self.chosen)


def find_sizes(
    skeleton: Skeleton,
    accepts: Accepts | None = None,
    given: Mapping[str, Shape] | None = None,
    is_doubted: bool = False,
) -> Found:
    """The first sizes at which all operators fit together, or else those with the fewest misfits.

    `accepts` runs the graph; it is asked where inference can't tell, or `is_doubted` altogether.
    Shapes of inputs that are `given`, by name, stay as they are.

    Raises:
        ModelError: there are none at which shapes can be inferred, or what is given fits no input.
    """
    unknowns = skeleton.unknowns
    settled = solve(unknowns, given or {})
    if not unknowns.kinds:
        return Found(skeleton, unknowns, {}, skeleton.infer({}))
    most = max(FEWEST_TRIALS, min(MOST_TRIALS, MOST_NODES // max(len(skeleton.graph), 1)))
    asks_left = count(MOST_RUNS, -1)

    def runs(found: Found) -> bool:
        """Whether the graph runs, asked only where inference leaves a doubt."""
        if accepts is None or not (is_doubted or found.shapes.misfits or found.shapes.unknown):
            return True
        return next(asks_left) > 0 and accepts(found.sizes)

    trials: list[Found] = []
    if set(unknowns.free) <= settled.keys():
        most = 1
    for variant, chosen in islice(_candidates(unknowns), most):
        found = _tried(skeleton, variant, {**chosen, **settled})
        if found is None:
            continue
        if not found.shapes.misfits and runs(found):
            return found
        trials.append(found)
    if not trials:
        raise ModelError(CONTRADICTING)
    trials.sort(key=lambda trial: len(trial.shapes.misfits))
    refused = [trial for trial in trials if trial.shapes.misfits][:MOST_LAST_RUNS]
    return next((trial for trial in refused if runs(trial)), trials[0])


def _tried(skeleton: Skeleton, unknowns: Unknowns, chosen: Chosen) -> Found | None:
    """The shapes at some sizes; None where inference stops."""
    if not all(size > 0 for dims in unknowns.sizes(chosen).values() for size in dims):
        return None
    try:
        return Found(skeleton, unknowns, chosen, skeleton.infer(chosen, unknowns))
    except ModelError:
        return None


def _candidates(unknowns: Unknowns) -> Iterator[tuple[Unknowns, Chosen]]:
    """The usual sizes, then some relation between lengths, then other sizes, likely ones first."""
    usual = unknowns.usual()
    yield unknowns, usual
    related = [replace(unknowns, sums={**unknowns.sums, **sums}) for sums in _sums(unknowns)]
    for length in LENGTHS_OF_SUMS:
        for variant in related:
            yield variant, _with_kind(variant, variant.usual(), Kind.LENGTH, length)
    kinds = list(dict.fromkeys(unknowns.kinds[name] for name in unknowns.free))
    sides = [kind for kind in kinds if kind is not Kind.BATCH]
    for place in range(max((len(OTHERS[kind]) for kind in sides), default=0)):
        due = [kind for kind in sides if place < len(OTHERS[kind])]
        for kind in due:
            yield unknowns, _with_kind(unknowns, usual, kind, OTHERS[kind][place])
        if len(due) > 1:
            together = usual
            for kind in due:
                together = _with_kind(unknowns, together, kind, OTHERS[kind][place])
            yield unknowns, together
    for size in OTHERS[Kind.BATCH] if Kind.BATCH in kinds else ():
        yield unknowns, _with_kind(unknowns, usual, Kind.BATCH, size)


def _with_kind(unknowns: Unknowns, chosen: Chosen, kind: Kind, size: int) -> Chosen:
    return {name: size if unknowns.kinds[name] is kind else x for name, x in chosen.items()}


def _sums(unknowns: Unknowns) -> Iterator[dict[str, tuple[str | int, ...]]]:
    """One length as the sum of two others, or of another and what enters at once."""
    lengths = [name for name in unknowns.free if unknowns.kinds[name] is Kind.LENGTH]
    lengths = lengths if len(lengths) <= MOST_RELATED else []
    for total in lengths:
        others = [name for name in lengths if name != total]
        now = current_length(unknowns, {total})
        for pair in combinations(others, 2):
            yield {total: pair}
        if isinstance(now, int):
            for name in others:
                yield {total: (name, now)}


def vary(found: Found, place: int) -> Shapes | None:
    """Shapes at other sizes, the `place`-th of the usual ones, with which all fits as well.

    What can't change alone changes with others, or stays. Where nothing can change, as they come;
    None where they contradict each other.
    """
    skeleton, unknowns = found.skeleton, found.unknowns
    least = len(found.shapes.misfits)
    wanted = _varied(found, place)
    apart = _tried(skeleton, unknowns, wanted)
    if apart is not None and len(apart.shapes.misfits) <= least:
        return apart.shapes
    chosen = dict(found.chosen)
    alone = unknowns.free if len(unknowns.free) <= MOST_ALONE else ()
    for index, name in enumerate(alone):
        base = found.chosen[name]
        for size in (wanted[name], base * (1 + place + index)):
            if _fits(found, {**chosen, name: size}):
                chosen[name] = size
                break
    stuck = [name for name in unknowns.free if chosen[name] == found.chosen[name]]
    together = {**chosen, **_alike(found, stuck, place)}
    if len(stuck) > 1 and _fits(found, together):
        chosen = together
    if chosen != found.chosen:
        return skeleton.infer(chosen, unknowns)
    return apart.shapes if apart is not None else None


def _fits(found: Found, chosen: Chosen) -> bool:
    """Whether all fits together as well as at the sizes that were found."""
    tried = _tried(found.skeleton, found.unknowns, chosen)
    return tried is not None and len(tried.shapes.misfits) <= len(found.shapes.misfits)


def _varied(found: Found, place: int) -> Chosen:
    """The usual other sizes, each unknown with one of its own."""
    usual, varied = found.unknowns.usual(), found.unknowns.usual(place)
    return {
        name: varied[name] if varied[name] != found.chosen[name] else usual[name]
        for name in found.unknowns.free
    }


def _alike(found: Found, names: list[str], place: int) -> Mapping[str, int]:
    """Other sizes that are the same for all of a kind that are the same now."""
    return {
        name: found.chosen[name] * (1 + place)
        if found.chosen[name] != USUAL[found.unknowns.kinds[name]][0]
        else USUAL[found.unknowns.kinds[name]][place]
        for name in names
    }
