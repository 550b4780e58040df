"""The shapes of a model's tensors, at the sizes that were set or found for its open dimensions."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import onnx_ir as ir

from explorer.graph.inference import (
    SHAPE_OPS,
    SMALL_TENSOR,
    Integers,
    Shapes,
    Skeleton,
    element_count,
    infer,
)
from explorer.graph.sizes.dimension_kinds import Kind
from explorer.graph.sizes.search import PROBES, Found, find_sizes, vary
from explorer.graph.sizes.solve import solve
from explorer.graph.sizes.unknowns import find_unknowns
from explorer.network import Network, Shape, per_model

__all__ = [
    "SHAPE_OPS",
    "SMALL_TENSOR",
    "Probes",
    "Shapes",
    "check_sizes",
    "element_count",
    "first_axes",
    "infer",
    "infer_probes",
    "infer_shapes",
    "input_sizes",
    "probe",
    "sizes_by_running",
    "sizes_of_batch",
]


def infer_shapes(model: Network) -> Shapes:
    """Shapes of all tensors at the model's input sizes."""
    return _found(model).shapes


def input_sizes(model: Network) -> dict[str, Shape]:
    """The shape of each input that everything is counted, timed and made up with."""
    dims = infer_shapes(model).dims
    return {spec.name: dims[spec.name] for spec in model.inputs if spec.name in dims}


def sizes_of_batch(model: Network, count: int) -> dict[str, Shape] | None:
    """Those of `count` samples at once; None where samples don't come first, or in one number."""
    found = _found(model)
    unknowns = found.unknowns
    leading: set[str] = set()
    for dims in unknowns.inputs.values():
        first = dims[0] if dims else None
        if isinstance(first, int) or first is None:
            return None
        leading.update(first.symbols)
    if any(unknowns.kinds[symbol] is not Kind.BATCH for symbol in leading):
        return None
    chosen = {name: count if name in leading else x for name, x in found.chosen.items()}
    return unknowns.sizes(chosen)


def first_axes(model: Network) -> dict[str, Kind]:
    """What the first axis of each input counts, by input, where the file leaves it open."""
    unknowns = find_unknowns(model.graph_model.graph)  # no sizes are needed, nor shapes
    firsts = {name: dims[0] for name, dims in unknowns.inputs.items() if dims}
    return {
        name: unknowns.kinds[symbol]
        for name, first in firsts.items()
        if not isinstance(first, int) and len(first.symbols) == 1
        for symbol in first.symbols
    }


@per_model
def _found(model: Network) -> Found:
    accepts = partial(model.runs_with, model) if model.runs_with is not None else None
    return find_sizes(Skeleton(model.graph_model), accepts, model.input_sizes)


def sizes_by_running(model: Network) -> dict[str, Shape] | None:
    """Input sizes that the runtime takes, though it refuses those that inference likes.

    None where there are none among the first few, or where the file fixes all.
    """
    runs_with, found = model.runs_with, _found(model)
    if runs_with is None or not found.unknowns.free:
        return None
    accepts = partial(runs_with, model)
    sizes = find_sizes(found.skeleton, accepts, is_doubted=True).sizes
    return sizes if accepts(sizes) else None


def check_sizes(model: Network, sizes: Mapping[str, Shape]) -> None:
    """Hold shapes of inputs against what the model says of them.

    Raises:
        ModelError: there is no such input, or its dimensions are others.
    """
    solve(find_unknowns(model.graph_model.graph), sizes)


@per_model
def infer_probes(model: Network) -> "Probes":
    """Shapes at several sizes of the open dimensions."""
    return _probed(_found(model))


def probe(graph_model: ir.Model) -> "Probes":
    """Shapes of a graph at several sizes of its open dimensions."""
    return _probed(find_sizes(Skeleton(graph_model)))


def _probed(found: Found) -> "Probes":
    places = range(1, PROBES) if found.unknowns.free else ()
    others = (vary(found, place) for place in places)
    return Probes((found.shapes, *filter(None, others)))


@dataclass(frozen=True)
class Probes:
    """Shapes at several sizes; what is alike at all of them doesn't follow an open dimension.

    A graph may be wrong at some size (a table of 512 places has none for 1,000 positions), so what
    is unknown at one isn't held against it.
    """

    shapes: tuple[Shapes, ...]

    def dims(self, name: str) -> list[Shape]:
        """The shapes of a tensor, where they are known."""
        return [each.dims[name] for each in self.shapes if name in each.dims]

    def integers(self, name: str) -> list[Integers]:
        """The integers in a tensor, where they can be computed."""
        return [each.integers[name] for each in self.shapes if name in each.integers]

    def settles(self, count: int) -> bool:
        """True where so many sizes are enough to tell what is constant."""
        return count >= min(2, len(self.shapes))
