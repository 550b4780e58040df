"""A weight that is only read in slices, and every element by one of them, is stored as these.

So y1 = Slice(w, 0, n) and y2 = Slice(w, n, end) are stored in the place of w, where none of the
three is an output of the graph.
"""

import numpy as np
import onnx_ir as ir

from explorer.graph.normalize.rewriting import new_constant, replace
from explorer.graph.operators import constant_slice

AXES = 3  # the input of a Slice that names its axes

Place = tuple[slice, ...]


def fold_slices(graph: ir.Graph) -> None:
    """Store the slices of each weight of which that is true."""
    for source in list(graph.initializers.values()):
        readers = [use.node for use in source.uses()]
        if len(readers) < 2 or any(node.op_type != "Slice" for node in readers):
            continue
        outputs = [node.outputs[0] for node in readers]
        if source.const_value is None or any(x.is_graph_output() for x in (source, *outputs)):
            continue
        array = source.const_value.numpy()
        places = [place for node in readers if (place := _place(node, source, array.ndim))]
        if len(places) < len(readers) or not _is_partition(array.shape, places):
            continue
        for node, place in zip(readers, places, strict=True):
            replace(graph, node, new_constant(graph, str(node.outputs[0].name), array[place]))


def _place(node: ir.Node, source: ir.Value, rank: int) -> Place | None:
    """What a Slice with constant arguments takes of its first input."""
    if node.inputs[0] is not source or len(node.inputs) <= AXES:
        return None
    places = constant_slice(node, rank)
    if not places or any(place.step != 1 for place in places.values()):
        return None
    return tuple(places.get(axis, slice(None)) for axis in range(rank))


def _is_partition(shape: tuple[int, ...], places: list[Place]) -> bool:
    """True where every element is in exactly one of the places."""
    taken = np.zeros(shape, dtype=np.int16)
    for place in places:
        taken[place] += 1
    return bool((taken == 1).all())
