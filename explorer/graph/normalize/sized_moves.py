"""Moves of data that name sizes without need, or take a detour over another shape.

1. y = Reshape(x, c) with `allowzero`: the attribute goes unless c may hold a zero.
2. y = Expand(x, c): c says 1 on each axis along which nothing is repeated.
3. y = Gather(x, (0 1 2; 3 4 5; ...)) of all of a flat x: y = Reshape(x, (-1, 3)). So torch's
   exporter writes a mean over the pixels of a channels-last image.
4. y = Reshape(Transpose(Reshape(x, (n m, p, q)), (0 2 1)), (n, m, q, p)) of an x (n, m, p, q):
   y = Transpose(x, (0 1 3 2)). So it writes the transposed keys of attention.

All but the first need shapes at several sizes of the open dimensions, and none of those that turn
one node into another touches an output of the graph.
"""

import numpy as np
import onnx_ir as ir

from explorer.graph.normalize.rewriting import drop_unread, new_constant, replace_node
from explorer.graph.operators import is_standard
from explorer.graph.shapes import Probes
from explorer.network import Shape

JOINED_RANK = 3  # of a tensor with all axes but the last two joined


def drop_literal_zeros(graph: ir.Graph) -> None:
    """Rule 1, for all nodes: `allowzero` matters only where a zero is written."""
    for node in graph:
        if node.op_type != "Reshape" or not is_standard(node) or len(node.inputs) < 2:
            continue
        shape = node.inputs[1]
        if shape is None or shape.is_graph_input():
            continue
        if shape.const_value is None or shape.const_value.numpy().all():
            node.attributes.pop("allowzero", None)


def rewrite_sized_moves(graph: ir.Graph, probes: Probes) -> None:
    """Rules 2 to 4, for all nodes."""
    rules = {"Expand": _relax_expand, "Gather": _reshape_directly, "Transpose": _turn_directly}
    for node in list(graph):
        if node.op_type in rules and is_standard(node):
            rules[node.op_type](graph, node, probes)


def _relax_expand(graph: ir.Graph, node: ir.Node, probes: Probes) -> None:
    """Rule 2; left as it is where it repeats along an open dimension."""
    source, target = node.inputs[:2]
    if source is None or target is None:
        return
    befores = probes.dims(str(source.name))
    afters = probes.dims(str(node.outputs[0].name))
    if len(befores) != len(afters) or not probes.settles(len(afters)):
        return
    sizes = _relaxed_sizes(befores, afters)
    if sizes is None:
        return
    if target.const_value is not None and target.const_value.numpy().tolist() == sizes:
        return
    new = new_constant(graph, f"{node.name}/target", np.array(sizes, dtype=np.int64))
    node.replace_input_with(1, new)
    drop_unread(graph, target)


def _relaxed_sizes(befores: list[Shape], afters: list[Shape]) -> list[int] | None:
    """A target for shapes at several sizes; None where an open dimension stands in it."""
    if len({len(after) for after in afters}) > 1:
        return None
    sizes: list[int] = []
    shift = len(afters[0]) - len(befores[0])
    for axis, after in enumerate(zip(*afters, strict=True)):
        before = tuple(shape[axis - shift] if axis >= shift else 1 for shape in befores)
        if before != after and len(set(after)) > 1:
            return None
        sizes.append(1 if before == after else after[0])
    return sizes


def _reshape_directly(graph: ir.Graph, node: ir.Node, probes: Probes) -> None:
    """Rule 3."""
    data, indices = node.inputs[:2]
    if data is None or indices is None or node.outputs[0].is_graph_output():
        return
    flat, chosen = probes.dims(str(data.name)), probes.integers(str(indices.name))
    if len(flat) != len(chosen) or not probes.settles(len(chosen)):
        return
    for shape, places in zip(flat, chosen, strict=True):
        whole = shape == (places.size,)
        if not whole or not np.array_equal(places.reshape(-1), np.arange(places.size)):
            return
    sizes = [places.shape for places in chosen]
    if not sizes[0] or len({shape[1:] for shape in sizes}) > 1:
        return
    array = np.array([-1, *sizes[0][1:]], dtype=np.int64)
    target = new_constant(graph, f"{node.name}/target", array)
    replace_node(graph, node, ir.node("Reshape", [data, target], name=str(node.name)))


def _turn_directly(graph: ir.Graph, node: ir.Node, probes: Probes) -> None:
    """Rule 4; `node` is the Transpose in the middle."""
    joined, turned = node.inputs[0], node.outputs[0]
    join = joined.producer() if joined is not None else None
    readers = [use.node for use in turned.uses()]
    if join is None or joined is None or len(readers) != 1 or len(joined.uses()) != 1:
        return
    part, source = readers[0], join.inputs[0]
    is_chain = join.op_type == part.op_type == "Reshape"
    turns = "perm" in node.attributes and list(node.attributes["perm"].as_ints()) == [0, 2, 1]
    exposed = any(x.is_graph_output() for x in (joined, turned, part.outputs[0]))
    if source is None or not is_chain or not turns or exposed:
        return
    names = (str(source.name), str(joined.name), str(part.outputs[0].name))
    known = [each.dims for each in probes.shapes if all(name in each.dims for name in names)]
    if not probes.settles(len(known)) or not all(_joins_the_rest(dims, names) for dims in known):
        return
    rank = len(known[0][names[0]])
    order = [*range(rank - 2), rank - 1, rank - 2]
    replace_node(graph, part, ir.node("Transpose", [source], {"perm": order}, name=str(part.name)))


def _joins_the_rest(dims: dict[str, Shape], names: tuple[str, str, str]) -> bool:
    """True where the middle shape is the first with all but two axes joined, the last turned."""
    before, joined, after = (dims[name] for name in names)
    if len(joined) != JOINED_RANK or len(before) < JOINED_RANK:
        return False
    return joined[1:] == before[-2:] and after == (*before[:-2], before[-1], before[-2])
