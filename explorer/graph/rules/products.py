"""Products of two tensors by their index letters, as Einsum writes them: MatMul, Einsum, attention.

Letters in both operands but not in the result are summed over, and pair the ids of both. Letters
that stay in the result are *stacked* where both operands have them (as the heads of attention),
*free* where one has. Where both operands have channels along a stacked letter, each index of it
goes as a whole: this is what makes attention heads.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from string import ascii_letters

import numpy as np
import onnx_ir as ir

from explorer.graph.channel_labels import Ids, Labels
from explorer.graph.operators import int_attribute
from explorer.graph.rules.registry import rule, where
from explorer.graph.tracer import Tracer
from explorer.network import Shape


@dataclass(frozen=True)
class _Operand:
    """One side of a product: `ids` have one axis per letter, 1 long where they don't vary."""

    value: ir.Value
    letters: str
    ids: Ids | None

    def varies(self, letters: Sequence[str]) -> bool:
        return self.ids is not None and any(
            self.ids.shape[self.letters.index(letter)] > 1
            for letter in letters
            if letter in self.letters
        )


def matmul_of_activations(tracer: Tracer, node: ir.Node) -> None:
    """A MatMul without a layer's weight; a Gemm of that kind keeps what enters it."""
    shapes = [tracer.shape_of(value) for value in node.inputs[:2]]
    if "Gemm" in node.op_type or any(shape is None for shape in shapes):
        tracer.keep_inputs(node, f"enters {where(node)}, a product of two activations")
        return
    terms = matmul_terms(len(shapes[0] or ()), len(shapes[1] or ()))
    product(tracer, node, terms)


def matmul_terms(left: int, right: int) -> tuple[str, str, str]:
    """Index letters of both operands of a MatMul, of these ranks, and of its result."""
    stacked = ascii_letters[: max(left, right, 2) - 2]
    rows, inner, columns = "XYZ"
    first = stacked[len(stacked) - (left - 2) :] + rows + inner if left > 1 else inner
    second = stacked[len(stacked) - (right - 2) :] + inner + columns if right > 1 else inner
    result = stacked + (rows if left > 1 else "") + (columns if right > 1 else "")
    return first, second, result


@rule("Einsum", follows=2)
def einsum(tracer: Tracer, node: ir.Node) -> None:
    """One or two operands in letters; other forms keep what enters them."""
    equation = node.attributes["equation"].as_string().replace(" ", "")
    terms, _, result = equation.partition("->")
    operands = terms.split(",")
    plain = "->" in equation and "." not in equation
    if not plain or len(operands) > 2 or any(len(set(t)) < len(t) for t in (*operands, result)):
        tracer.keep_inputs(node, f"enters {where(node)}, a sum of another form")
        return
    product(tracer, node, (operands[0], operands[1] if len(operands) > 1 else "", result))


def product(tracer: Tracer, node: ir.Node, terms: tuple[str, str, str]) -> None:
    """Pair, keep and label by the letters of both operands and of the result."""
    reason = f"enters {where(node)}, a product with a tensor whose channels can't be pruned"
    values = [value for value in node.inputs if value is not None]
    sides = [_operand(tracer, v, t) for v, t in zip(values, terms[:2], strict=False)]
    sides += [_Operand(values[0], "", None)] * (2 - len(sides))
    result = terms[2]
    left, right = sides
    shared = [letter for letter in left.letters if letter in right.letters]
    summed = [letter for letter in shared if letter not in result]
    stacked = [letter for letter in shared if letter in result]
    for side, other in ((left, right), (right, left)):
        if side.ids is None:
            continue
        lost = [x for x in side.letters if x not in result and x not in other.letters]
        if side.varies(lost):
            tracer.guard(side.ids, f"is summed over by {where(node)}")
        for letter in shared:
            if side.varies([letter]) and not other.varies([letter]):
                _follow(tracer, node, side, other, letter, reason)
    if left.varies(summed) and right.varies(summed):
        letters = [*stacked, *summed]
        pair = [_onto(tracer, side, letters, reason) for side in sides]
        tracer.pair(pair[0], pair[1], reason)
    ids = _result(tracer, sides, stacked, summed, result, reason)
    shape = tracer.shape_of(node.outputs[0])
    if ids is not None and shape is not None:
        tracer.label(node.outputs[0], Labels.on_grid(shape, ids))


def _operand(tracer: Tracer, value: ir.Value, letters: str) -> _Operand:
    """Letters of axes of size 1 are left out: they broadcast."""
    shape, labels = tracer.shape_of(value) or (), tracer.labels_of(value)
    wide = [axis for axis, size in enumerate(shape) if size != 1]
    ids = None
    if labels is not None:
        grid = labels.grid()
        ids = grid.reshape([grid.shape[axis] for axis in wide])
    return _Operand(value, "".join(letters[axis] for axis in wide), ids)


def _follow(
    tracer: Tracer, node: ir.Node, side: _Operand, other: _Operand, letter: str, reason: str
) -> None:
    """The other operand has no channels along a shared letter: a constant loses slices."""
    assert side.ids is not None
    if other.value.const_value is None:
        tracer.keep(side.ids, reason)
        return
    rows = np.moveaxis(side.ids, side.letters.index(letter), 0)
    shape = tracer.shapes.dims[str(other.value.name)]
    wide = [axis for axis, size in enumerate(shape) if size != 1]
    tracer.cut(other.value, wide[other.letters.index(letter)], rows, node)


def _onto(tracer: Tracer, side: _Operand, letters: Sequence[str], reason: str) -> Ids:
    """Ids by some letters alone, in their order; what varies with others is paired."""
    assert side.ids is not None
    ids = side.ids
    for axis, letter in enumerate(side.letters):
        if letter not in letters:
            first = ids.take([0], axis=axis)
            tracer.pair(first, ids, reason)
            ids = first
    present = [letter for letter in letters if letter in side.letters]
    others = [letter for letter in side.letters if letter not in letters]
    order = [side.letters.index(letter) for letter in (*present, *others)]
    ids = ids.transpose(order).reshape([ids.shape[axis] for axis in order[: len(present)]])
    for axis, letter in enumerate(letters):
        if letter not in side.letters:
            ids = np.expand_dims(ids, axis)
    return ids


def _result(
    tracer: Tracer,
    sides: Sequence[_Operand],
    stacked: Sequence[str],
    summed: Sequence[str],
    result: str,
    reason: str,
) -> Ids | None:
    """Ids of the result by its letters; None where it has none."""
    if all(side.varies(stacked) for side in sides):
        pair = [_onto(tracer, side, stacked, reason) for side in sides]
        tracer.pair(pair[0], pair[1], reason)
        ids = np.broadcast_to(pair[0], np.broadcast_shapes(pair[0].shape, pair[1].shape))
        return _spread(ids, stacked, result)
    passing = [side for side in sides if side.varies(result)]
    if not passing:
        return None
    if len(passing) == 2:
        for side in passing:
            assert side.ids is not None
            tracer.keep(side.ids, reason)
        return None
    kept = [letter for letter in passing[0].letters if letter in result]
    return _spread(_onto(tracer, passing[0], kept, reason), kept, result)


def _spread(ids: Ids, letters: Sequence[str], result: str) -> Ids:
    """Ids by some letters as an array by the letters of the result."""
    order = [list(letters).index(letter) for letter in result if letter in letters]
    dims = iter([ids.shape[axis] for axis in order])
    return ids.transpose(order).reshape([next(dims) if x in letters else 1 for x in result])


@rule("Attention", follows=3)
def attention(tracer: Tracer, node: ir.Node) -> None:
    """Query, key and value with heads on axis 1 (four axes) or in the features (three axes).

    Heads go as a whole; where several query heads share one key and value head, all these together.
    """
    values = list(node.inputs[:3])
    labels = [tracer.labels_of(value) for value in values]
    shapes = [tracer.shape_of(value) for value in values]
    extra = [v for v in node.inputs[3:] if v is not None]
    extra += [v for v in node.outputs[1:] if v.name and (v.uses() or v.is_graph_output())]
    masks = [tracer.shape_of(value) for value in extra]
    broadcast_mask = all(dims is not None and dims[-3:-2] in ((), (1,)) for dims in masks)
    if any(x is None for x in labels) or any(s is None for s in shapes) or not broadcast_mask:
        tracer.keep_inputs(node, f"enters {where(node)} with a tensor whose heads can't be pruned")
        return
    rows = [
        _by_head(tracer, node, x, s, n)
        for x, s, n in zip(
            labels, shapes, ("q_num_heads", "kv_num_heads", "kv_num_heads"), strict=True
        )
        if x is not None and s is not None
    ]
    heads, shared = len(rows[0]), len(rows[1])
    reason = f"is a part of a head of {where(node)}"
    owner = rows[1][:, 0]
    tracer.pair(np.repeat(owner, heads // shared), rows[0][:, 0], reason)
    tracer.pair(owner, rows[2][:, 0], reason)
    for row in rows:
        tracer.pair(row[:, :1], row, reason)
    output = tracer.shapes.dims[str(node.outputs[0].name)]
    per_head = np.repeat(owner, heads // shared)
    if len(output) == 4:
        tracer.label(node.outputs[0], Labels.on_axis(output, 1, per_head))
        return
    tracer.counted[str(node.name), "q_num_heads"] = per_head
    tracer.counted[str(node.name), "kv_num_heads"] = owner
    width = output[-1] // heads
    tracer.label(node.outputs[0], Labels.on_axis(output, 2, np.repeat(per_head, width)))


def _by_head(tracer: Tracer, node: ir.Node, labels: Labels, shape: Shape, count: str) -> Ids:
    """Ids of each head of a query, key or value, (heads, parts of it)."""
    if len(shape) == 4:
        return labels.rows(1)
    heads = int_attribute(node, count, 1)
    features = tracer.channels_on(labels, 2, f"enters {where(node)}")
    return features.reshape(heads, -1)
