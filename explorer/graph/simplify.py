"""Detours that exporters leave in a graph, taken out before anything else looks at it.

The network computes the same afterwards. What goes: copies of weights under another name, weights
that are computed, cut, joined or reshaped on the way to their layer, zeros and ones that several
nodes share, integers that the graph computes from shapes that never change, and initial states of
recurrent cells that are zero anyway.
"""

from typing import Any

import numpy as np
import onnx_ir as ir

from explorer.graph.computed import find_computed
from explorer.graph.initializers import add_initializer
from explorer.graph.operators import (
    GATES,
    SPLIT_INPUT_OPSET,
    WEIGHT_DTYPES,
    constant_ints,
    constant_slice,
    int_attribute,
    is_standard,
    opset_of,
    permutation,
)
from explorer.graph.shapes import Probes, probe
from explorer.network import Shape

SHAPE_SOURCES = frozenset({"Shape", "Size", "ConstantOfShape", "Expand"})
MOVES_OF_WEIGHTS = frozenset({"Transpose", "Reshape", "Squeeze", "Unsqueeze", "Flatten"})
MOVES_OF_ZEROS = MOVES_OF_WEIGHTS | {"Cast", "Expand", "Gather", "Identity", "Slice", "Tile"}
MOST_UNSHARED = 2**16  # elements
AXES = 3  # the input of a Slice that names its axes
JOINED_RANK = 3  # of a tensor with all axes but the last two joined
FIRST_STATE = 5  # inputs 5 and 6 of ONNX's recurrent operators are the initial states


def simplify(graph_model: ir.Model) -> None:
    """Take the detours out of a graph, in place."""
    graph = graph_model.graph
    _drop_copies(graph)
    _drop_literal_zeros(graph)
    if any(node.op_type in SHAPE_SOURCES for node in graph):
        _freeze_integers(graph_model)
    _write_out_splits(graph_model)
    for node, array in find_computed(graph_model):
        _replace(graph, node, _constant(graph, str(node.outputs[0].name), array))
    _fold_slices(graph)
    _fold_moved_weights(graph)
    _unshare_constants(graph)
    _drop_zero_states(graph)


def _drop_copies(graph: ir.Graph) -> None:
    for node in list(graph):
        _drop_copy(graph, node)


def _drop_copy(graph: ir.Graph, node: ir.Node) -> None:
    """An Identity of an initialiser: its readers read the initialiser."""
    source = node.inputs[0] if node.inputs else None
    if node.op_type != "Identity" or not is_standard(node) or source is None:
        return
    if source.const_value is not None and not node.outputs[0].is_graph_output():
        _replace(graph, node, source)


def _unshare_constants(graph: ir.Graph) -> None:
    """Zeros or ones that several nodes read are a coincidence: each reader gets its own.

    Exporters store equal tensors once, and so tie the biases of an untrained network together.
    """
    for name, value in list(graph.initializers.items()):
        tensor, readers = value.const_value, list(value.uses())
        if tensor is None or tensor.dtype not in WEIGHT_DTYPES or value.is_graph_output():
            continue
        if len(readers) < 2 or not 1 < tensor.size <= MOST_UNSHARED:
            continue
        array = tensor.numpy()
        if (array == array.flat[0]).all():
            for reader, position in readers[1:]:
                reader.replace_input_with(position, _constant(graph, name, array))


def _drop_literal_zeros(graph: ir.Graph) -> None:
    """A Reshape may take a 0 for a size instead of a copy; it matters only where one is written."""
    for node in graph:
        if node.op_type != "Reshape" or not is_standard(node) or len(node.inputs) < 2:
            continue
        shape = node.inputs[1]
        if shape is None or shape.is_graph_input():
            continue
        if shape.const_value is None or shape.const_value.numpy().all():
            node.attributes.pop("allowzero", None)


def _freeze_integers(graph_model: ir.Model) -> None:
    """Integers that come out alike whatever the open dimensions are become constants."""
    graph = graph_model.graph
    probes = probe(graph_model)
    producers = {str(value.name): node for node in graph for value in node.outputs}
    for name, array in probes.shapes[0].integers.items():
        node = producers.get(name)
        if node is None or not _is_frozen(probes, name) or node.outputs[0].is_graph_output():
            continue
        if not node.outputs[0].uses():
            continue
        _replace(graph, node, _constant(graph, f"{name}/value", array))
    for node in list(graph):
        if node.op_type == "Expand" and is_standard(node):
            _relax_expand(graph, node, probes)
        elif node.op_type == "Gather" and is_standard(node):
            _unflatten(graph, node, probes)
        elif node.op_type == "Transpose" and is_standard(node):
            _turn_directly(graph, node, probes)


def _write_out_splits(graph_model: ir.Model) -> None:
    """A Split into equal parts says how long they are, so that they may shrink one by one."""
    graph = graph_model.graph
    unsized = [node for node in graph if _splits_equally(node)]
    if not unsized:
        return
    probes, has_input = probe(graph_model), opset_of(graph_model) >= SPLIT_INPUT_OPSET
    for node in unsized:
        source, axis = node.inputs[0], int_attribute(node, "axis", 0)
        assert source is not None
        lengths = {shape[axis] for shape in probes.dims(str(source.name))}
        if len(lengths) != 1 or not probes.settles(len(probes.dims(str(source.name)))):
            continue
        sizes = _equal_sizes(lengths.pop(), len(node.outputs))
        node.attributes.pop("num_outputs", None)
        if has_input:
            value = _constant(graph, f"{node.name}/split", np.array(sizes, dtype=np.int64))
            node.resize_inputs(2)
            node.replace_input_with(1, value)
        else:
            node.attributes["split"] = ir.AttrInt64s("split", sizes)


def _splits_equally(node: ir.Node) -> bool:
    is_split = node.op_type == "Split" and is_standard(node)
    return is_split and constant_ints(node, 1, "split") == []


def _equal_sizes(length: int, parts: int) -> list[int]:
    """All alike, but the last one, which has what is left."""
    size = -(-length // parts)
    return [*[size] * (parts - 1), length - size * (parts - 1)]


def _relax_expand(graph: ir.Graph, node: ir.Node, probes: Probes) -> None:
    """Where an Expand repeats nothing, its target says 1, so that it names no size.

    Left as it is where it repeats along an open dimension.
    """
    source, target = node.inputs[:2]
    if source is None or target is None:
        return
    ins, outs = probes.dims(str(source.name)), probes.dims(str(node.outputs[0].name))
    if len(ins) != len(outs) or not probes.settles(len(outs)) or len({len(x) for x in outs}) > 1:
        return
    sizes: list[int] = []
    shift = len(outs[0]) - len(ins[0])
    for axis, after in enumerate(zip(*outs, strict=True)):
        before = tuple(shape[axis - shift] if axis >= shift else 1 for shape in ins)
        if before == after:
            sizes.append(1)
        elif len(set(after)) == 1:
            sizes.append(after[0])
        else:
            return
    if target.const_value is not None and target.const_value.numpy().tolist() == sizes:
        return
    new = _constant(graph, f"{node.name}/target", np.array(sizes, dtype=np.int64))
    node.replace_input_with(1, new)
    _forget(graph, target)


def _unflatten(graph: ir.Graph, node: ir.Node, probes: Probes) -> None:
    """A Gather of all elements of a flat tensor, one after the other, is a Reshape.

    This is how torch's exporter writes a mean over the pixels of a channels-last image.
    """
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
    target = _constant(graph, f"{node.name}/target", np.array([-1, *sizes[0][1:]], dtype=np.int64))
    new = ir.node("Reshape", [data, target], name=str(node.name))
    graph.insert_before(node, new)
    _take_over(graph, node, new)


def _turn_directly(graph: ir.Graph, node: ir.Node, probes: Probes) -> None:
    """A turn of the last two axes with all others joined for its duration needs no joining.

    This is how torch's exporter writes the transposed keys of attention.
    """
    middle, turned = node.inputs[0], node.outputs[0]
    join = middle.producer() if middle is not None else None
    readers = [use.node for use in turned.uses()]
    if join is None or middle is None or len(readers) != 1 or len(middle.uses()) != 1:
        return
    part, source = readers[0], join.inputs[0]
    is_chain = join.op_type == part.op_type == "Reshape"
    turns = "perm" in node.attributes and list(node.attributes["perm"].as_ints()) == [0, 2, 1]
    exposed = any(value.is_graph_output() for value in (middle, turned, part.outputs[0]))
    if source is None or not is_chain or not turns or exposed:
        return
    names = (str(source.name), str(middle.name), str(part.outputs[0].name))
    known = [each.dims for each in probes.shapes if all(name in each.dims for name in names)]
    if not probes.settles(len(known)) or not all(_joins_the_rest(dims, names) for dims in known):
        return
    rank = len(known[0][names[0]])
    order = [*range(rank - 2), rank - 1, rank - 2]
    new = ir.node("Transpose", [source], {"perm": order}, name=str(part.name))
    graph.insert_before(part, new)
    _take_over(graph, part, new)


def _joins_the_rest(dims: dict[str, Shape], names: tuple[str, str, str]) -> bool:
    """True where the middle shape is the first with all but two axes joined, the last turned."""
    before, joined, after = (dims[name] for name in names)
    if len(joined) != JOINED_RANK or len(before) < JOINED_RANK:
        return False
    return joined[1:] == before[-2:] and after == (*before[:-2], before[-1], before[-2])


def _take_over(graph: ir.Graph, old: ir.Node, new: ir.Node) -> None:
    """A node stands for another one from now on, under its output's name."""
    name = str(old.outputs[0].name)
    old.outputs[0].name, new.outputs[0].name = f"{name}/unused", name
    _replace(graph, old, new.outputs[0])


def _is_frozen(probes: Probes, name: str) -> bool:
    found = probes.integers(name)
    alike = all(np.array_equal(found[0], other) for other in found[1:])
    return bool(found) and probes.settles(len(found)) and alike


def _fold_moved_weights(graph: ir.Graph) -> None:
    """A weight that nobody else reads, moved on the way to its layer, is stored as it arrives."""
    for node in list(graph):
        if node.op_type == "Concat" and is_standard(node):
            _fold_concat(graph, node)
            continue
        _drop_copy(graph, node)
        source = node.inputs[0] if node.inputs else None
        if node.op_type not in MOVES_OF_WEIGHTS | {"Split"} or not is_standard(node) or not source:
            continue
        others = [value for value in node.inputs[1:] if value is not None]
        constant = source.const_value is not None and all(x.const_value is not None for x in others)
        if not constant or len(source.uses()) > 1 or source.is_graph_output():
            continue
        if any(output.is_graph_output() for output in node.outputs):
            continue
        if node.op_type == "Split":
            _fold_split(graph, node, source)
            continue
        moved = _moved(node, source, others)
        if moved is not None:
            _replace(graph, node, _constant(graph, str(source.name), moved, replacing=source))


def _fold_slices(graph: ir.Graph) -> None:
    """A weight that is only read in slices, and all of it once, is stored as these."""
    for source in list(graph.initializers.values()):
        readers = [use.node for use in source.uses()]
        if len(readers) < 2 or any(node.op_type != "Slice" for node in readers):
            continue
        places = [_constant_place(node, source) for node in readers]
        outputs = [node.outputs[0] for node in readers]
        if source.const_value is None or any(place is None for place in places):
            continue
        known = [place for place in places if place is not None]
        if (
            not _is_partition(source.const_value.numpy().shape, known)
            or source.is_graph_output()
            or any(x.is_graph_output() for x in outputs)
        ):
            continue
        for node, place in zip(readers, known, strict=True):
            part = source.const_value.numpy()[place]
            _replace(graph, node, _constant(graph, str(node.outputs[0].name), part))


def _is_partition(shape: tuple[int, ...], places: list[tuple[slice, ...]]) -> bool:
    """True where every element is in exactly one of the places."""
    taken = np.zeros(shape, dtype=np.int16)
    for place in places:
        taken[place] += 1
    return bool((taken == 1).all())


def _constant_place(node: ir.Node, source: ir.Value) -> tuple[slice, ...] | None:
    """What a Slice with constant arguments takes of its first input."""
    if node.inputs[0] is not source or source.const_value is None or len(node.inputs) <= AXES:
        return None
    rank = len(source.const_value.shape)
    places = constant_slice(node, rank)
    if not places or any(place.step != 1 for place in places.values()):
        return None
    return tuple(places.get(axis, slice(None)) for axis in range(rank))


def _fold_concat(graph: ir.Graph, node: ir.Node) -> None:
    """Weights that are put together for one layer (as those of the gates of a recurrent cell)."""
    parts = [value for value in node.inputs if value is not None]
    if node.outputs[0].is_graph_output():
        return
    for value in parts:
        alone = len(value.uses()) == 1 and not value.is_graph_output()
        if value.const_value is None or not alone or value.dtype not in WEIGHT_DTYPES:
            return
    arrays = [value.const_value.numpy() for value in parts if value.const_value is not None]
    whole = np.concatenate(arrays, axis=int_attribute(node, "axis", 0))
    _replace(graph, node, _constant(graph, str(node.outputs[0].name), whole))


def _fold_split(graph: ir.Graph, node: ir.Node, source: ir.Value) -> None:
    """A weight that is split into those of several layers (as queries, keys and values)."""
    assert source.const_value is not None
    array, axis = source.const_value.numpy(), int_attribute(node, "axis", 0)
    sizes = constant_ints(node, 1, "split")
    if sizes:
        ends = np.cumsum(sizes)[:-1]
    elif array.shape[axis] % len(node.outputs) == 0:
        ends = np.arange(1, len(node.outputs)) * (array.shape[axis] // len(node.outputs))
    else:
        return
    for output, part in zip(node.outputs, np.split(array, ends, axis=axis), strict=True):
        new = _constant(graph, str(output.name), part)
        for reader, position in list(output.uses()):
            reader.replace_input_with(position, new)
        output.name = f"{output.name}/unused"
    _forget(graph, node.outputs[0])


def _moved(node: ir.Node, source: ir.Value, others: list[ir.Value]) -> np.ndarray[Any, Any] | None:
    assert source.const_value is not None
    array = source.const_value.numpy()
    if node.op_type == "Transpose":
        return np.transpose(array, permutation(node, array.ndim))
    if node.op_type == "Flatten":
        axis = node.attributes["axis"].as_int() if "axis" in node.attributes else 1
        rows = int(np.prod(array.shape[: axis % (array.ndim + 1)], dtype=np.int64))
        return array.reshape(rows, -1)
    if node.op_type == "Reshape" and others and "allowzero" not in node.attributes:
        assert others[0].const_value is not None
        target = [int(size) for size in others[0].const_value.numpy()]
        return array.reshape(
            [array.shape[i] if size == 0 else size for i, size in enumerate(target)]
        )
    if node.op_type in ("Squeeze", "Unsqueeze"):
        axes = tuple(constant_ints(node, 1, "axes") or ())
        return (
            np.expand_dims(array, axes)
            if node.op_type == "Unsqueeze"
            else array.squeeze(axes or None)
        )
    return None


def _drop_zero_states(graph: ir.Graph) -> None:
    """A recurrent cell starts from zero if nothing is said."""
    for node in list(graph):
        if node.op_type not in GATES or not is_standard(node):
            continue
        for position in range(FIRST_STATE, min(FIRST_STATE + 2, len(node.inputs))):
            state = node.inputs[position]
            if state is not None and _is_zero(state):
                node.replace_input_with(position, None)
                _forget(graph, state)


def _is_zero(value: ir.Value) -> bool:
    """True for a tensor that is zero whatever enters the network."""
    while value.const_value is None:
        node = value.producer()
        if node is None or not is_standard(node):
            return False
        if node.op_type == "ConstantOfShape":
            fill = node.attributes.get("value")
            return fill is None or not fill.as_tensor().numpy().any()
        source = node.inputs[0] if node.inputs else None
        if node.op_type not in MOVES_OF_ZEROS or source is None:
            return False
        value = source
    return not value.const_value.numpy().any()


def _constant(
    graph: ir.Graph, name: str, array: np.ndarray[Any, Any], replacing: ir.Value | None = None
) -> ir.Value:
    """A new initialiser; `replacing` gives its name up."""
    if replacing is not None:
        del graph.initializers[name]
        replacing.name = f"{name}/unmoved"
    while name in graph.initializers:
        name += "_"
    return add_initializer(graph, name, array)


def _replace(graph: ir.Graph, node: ir.Node, value: ir.Value) -> None:
    """Let the readers of a node's only output read a value instead, and drop what nobody reads."""
    for reader, position in list(node.outputs[0].uses()):
        reader.replace_input_with(position, value)
    _forget(graph, node.outputs[0])


def _forget(graph: ir.Graph, value: ir.Value) -> None:
    """Drop the node behind a value that nobody reads any more, and what only it has read."""
    left = [value]
    while left:
        value = left.pop()
        node = value.producer()
        if value.uses() or value.is_graph_output():
            continue
        if node is None:
            if value.const_value is not None and str(value.name) in graph.initializers:
                del graph.initializers[str(value.name)]
            continue
        if any(out.uses() or out.is_graph_output() for out in node.outputs):
            continue
        sources = [source for source in node.inputs if source is not None]
        graph.remove(node, safe=True)
        left.extend(sources)
