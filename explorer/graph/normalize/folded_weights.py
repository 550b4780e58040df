"""Weights that are copied, moved, cut or joined on their way to a layer are stored as they arrive.

With w a weight that nothing else reads, and neither w nor y an output of the graph:

1. y = Identity(w), where others may read w too: the readers of y read w.
2. y = Transpose(w), Reshape(w, c), Flatten(w), Squeeze(w, c) or Unsqueeze(w, c), with constant c:
   y is stored in the place of w.
3. y1, y2, ... = Split(w): each part is stored.
4. y = Concat(w1, w2, ...), as of the gates of a recurrent cell: y is stored.
"""

import numpy as np
import onnx_ir as ir

from explorer.graph.initializers import Array
from explorer.graph.normalize.rewriting import drop_unread, new_constant, replace
from explorer.graph.operators import (
    WEIGHT_DTYPES,
    constant_ints,
    int_attribute,
    is_standard,
    permutation,
)

MOVES_OF_WEIGHTS = frozenset({"Transpose", "Reshape", "Squeeze", "Unsqueeze", "Flatten"})


def read_originals(graph: ir.Graph) -> None:
    """Rule 1, for all nodes."""
    for node in list(graph):
        _read_original(graph, node)


def fold_weights(graph: ir.Graph) -> None:
    """All rules, in the order of the nodes, so that one move after another is folded."""
    for node in list(graph):
        if not is_standard(node):
            continue
        if node.op_type == "Concat":
            _fold_concat(graph, node)
        elif node.op_type == "Identity":
            _read_original(graph, node)
        elif node.op_type in MOVES_OF_WEIGHTS | {"Split"} and _moves_a_weight(node):
            _fold_move(graph, node)


def _read_original(graph: ir.Graph, node: ir.Node) -> None:
    source = node.inputs[0] if node.inputs else None
    if node.op_type != "Identity" or not is_standard(node) or source is None:
        return
    if source.const_value is not None and not node.outputs[0].is_graph_output():
        replace(graph, node, source)


def _moves_a_weight(node: ir.Node) -> bool:
    inputs = [value for value in node.inputs if value is not None]
    if not node.inputs or node.inputs[0] is None or any(x.const_value is None for x in inputs):
        return False
    is_read_elsewhere = len(inputs[0].uses()) > 1 or inputs[0].is_graph_output()
    return not is_read_elsewhere and not any(output.is_graph_output() for output in node.outputs)


def _fold_move(graph: ir.Graph, node: ir.Node) -> None:
    source = node.inputs[0]
    assert source is not None and source.const_value is not None
    array = source.const_value.numpy()
    if node.op_type == "Split":
        _fold_split(graph, node, array)
        return
    moved = _moved(node, array)
    if moved is not None:
        replace(graph, node, new_constant(graph, str(source.name), moved, replacing=source))


def _moved(node: ir.Node, array: Array) -> Array | None:
    """What a move makes of an array; None where that isn't clear."""
    if node.op_type == "Transpose":
        return np.transpose(array, permutation(node, array.ndim))
    if node.op_type == "Flatten":
        axis = int_attribute(node, "axis", 1)
        rows = int(np.prod(array.shape[: axis % (array.ndim + 1)], dtype=np.int64))
        return array.reshape(rows, -1)
    if node.op_type == "Reshape":
        if node.inputs[1] is None or "allowzero" in node.attributes:
            return None
        target = constant_ints(node, 1, "shape") or []
        return array.reshape([size or array.shape[i] for i, size in enumerate(target)])
    axes = tuple(constant_ints(node, 1, "axes") or ())
    if node.op_type == "Unsqueeze":
        return np.expand_dims(array, axes)
    return array.squeeze(axes or None)


def _fold_split(graph: ir.Graph, node: ir.Node, array: Array) -> None:
    axis, sizes = int_attribute(node, "axis", 0), constant_ints(node, 1, "split")
    if sizes:
        ends = np.cumsum(sizes)[:-1]
    elif array.shape[axis] % len(node.outputs) == 0:
        ends = np.arange(1, len(node.outputs)) * (array.shape[axis] // len(node.outputs))
    else:
        return
    for output, part in zip(node.outputs, np.split(array, ends, axis=axis), strict=True):
        output.replace_all_uses_with(new_constant(graph, str(output.name), part))
        output.name = f"{output.name}/unused"
    drop_unread(graph, node.outputs[0])


def _fold_concat(graph: ir.Graph, node: ir.Node) -> None:
    if node.outputs[0].is_graph_output():
        return
    arrays: list[Array] = []
    for value in (value for value in node.inputs if value is not None):
        is_read_elsewhere = len(value.uses()) > 1 or value.is_graph_output()
        if value.const_value is None or is_read_elsewhere or value.dtype not in WEIGHT_DTYPES:
            return
        arrays.append(value.const_value.numpy())
    whole = np.concatenate(arrays, axis=int_attribute(node, "axis", 0))
    replace(graph, node, new_constant(graph, str(node.outputs[0].name), whole))
