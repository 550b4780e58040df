"""Which input leads to an index that a table doesn't have, once the runtime has failed."""

import re
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
import onnx_ir.passes.common as passes

from explorer.errors import DataError
from explorer.graph.lookups import Lookup, lookups_of
from explorer.model import Model, encode
from explorer.names import cleaned, listed

Array = npt.NDArray[np.generic]
Runner = Callable[[Model, dict[str, Array]], list[Array] | None]
# How ONNX Runtime 1.2x says that an index is out of range; no two operators say it alike.
SIGNS = re.compile(
    r"out of data bounds|Out of range value in index|invalid ind(?:ex|ice) found"
    r"|(?:index|indices) (?:is |are )?out of (?:bounds|range)|Invalid sequence (?:length|index)",
    re.IGNORECASE,
)


def is_out_of_range(error: Exception) -> bool:
    """True where the runtime complains of an index that a table doesn't have."""
    return SIGNS.search(str(error)) is not None


def check_indices(model: Model, feed: Mapping[str, Array], run: Runner) -> None:
    """Find the first index out of range in the main graph; none may be found.

    `run` gives the outputs of a model on a feed, or None where it fails.

    Raises:
        DataError: there is one; the message names the inputs that lead to it, its value, the table
            and the range.
    """
    for node in model.graph_model.graph:
        for lookup in lookups_of(node):
            _check(model, feed, lookup, run)


def _check(model: Model, feed: Mapping[str, Array], lookup: Lookup, run: Runner) -> None:
    sources = [name for name in _sources(lookup.indices) if name in feed]
    values = _values(model, feed, lookup, run) if sources else None
    if values is None:
        return
    for value, (low, high) in _with_bounds(lookup, *values):
        least, most = int(value.min()), int(value.max())
        if least < low or most > high:
            name = cleaned(lookup.table.name or "", "a tensor")
            index, names = most if most > high else least, listed(sources)
            lead = f"Input {names} leads" if len(sources) == 1 else f"Inputs {names} lead"
            raise DataError(
                f"{lead} to index {index} into {name!r}, which has {low} to {high}; give values "
                "that stay in this range."
            )


def _with_bounds(
    lookup: Lookup, indices: Array, sizes: tuple[int, ...]
) -> Iterator[tuple[Array, tuple[int, int]]]:
    """Indices with the range they must lie in: all together, or by the axis that they count."""
    if not indices.size:
        return
    bounds = lookup.bounds(sizes)
    parts = [indices]
    if lookup.axis is None:
        parts = [indices[..., place] for place in range(indices.shape[-1])]
    for part, limits in zip(parts, bounds, strict=False):
        if limits is not None:
            yield part, limits


def _values(
    model: Model, feed: Mapping[str, Array], lookup: Lookup, run: Runner
) -> tuple[Array, tuple[int, ...]] | None:
    """The indices, and the shape of the table, as the graph computes them."""
    part = _ending_in(model, [lookup.indices, lookup.table])
    wanted = {spec.name for spec in part.inputs}
    outputs = run(part, {name: array for name, array in feed.items() if name in wanted})
    return (outputs[0], outputs[1].shape) if outputs is not None else None


def _ending_in(model: Model, values: list[ir.Value]) -> Model:
    """The part of a graph that computes these values, which are its outputs."""
    graph_model = model.graph_model.clone()
    graph = graph_model.graph
    by_name = {value.name: value for node in graph for value in node.outputs}
    by_name |= {value.name: value for value in [*graph.inputs, *graph.initializers.values()]}
    graph.outputs.clear()
    for number, value in enumerate(values):
        copy = ir.node("Identity", [by_name[value.name]], name=f"part_{number}")
        copy.outputs[0].name = f"part_{number}"
        copy.outputs[0].type = by_name[value.name].type
        graph.append(copy)
        graph.outputs.append(copy.outputs[0])
    passes.RemoveUnusedNodesPass()(graph_model)
    read = {value for node in graph for value in node.inputs}
    for value in [value for value in graph.inputs if value not in read]:
        graph.inputs.remove(value)
    return encode(graph_model, model.name)


def _sources(value: ir.Value) -> list[str]:
    """The inputs of the graph that a value is computed from, in the order of the graph."""
    todo, seen, found = [value], {value}, []
    while todo:
        current = todo.pop()
        if current.is_graph_input():
            found.append(current.name or "")
        node = current.producer()
        for each in node.inputs if node is not None else ():
            if each is not None and each not in seen:
                seen.add(each)
                todo.append(each)
    return found[::-1]
