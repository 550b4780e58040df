"""What the first layers do with the axes of the inputs.

Each input is followed through operators that move or scale it, with its axes, until a convolution,
a product, an embedding or a recurrent cell says what an axis is to it.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import onnx_ir as ir

from explorer.graph.operators import (
    CONTRIB,
    GATES,
    STANDARD_DOMAINS,
    constant_ints,
    int_attribute,
    is_flag_set,
    permutation,
)
from explorer.graph.sizes.dimension_kinds import Kind

MOST_STEPS = 2000  # nodes that are looked at


@dataclass(frozen=True)
class Axis:
    """One axis of an input; `exact` until something changes its size."""

    input: str
    place: int
    exact: bool = True


Axes = tuple[Axis | None, ...]  # of a tensor, from which axis of an input each comes


@dataclass(frozen=True)
class Use:
    """What a layer says of an axis; `size` where it must be just that."""

    kind: Kind | None
    size: int | None = None
    in_plane: bool = False  # one of two sides of an image


Uses = dict[tuple[str, int], Use]

SAME = frozenset(
    """
    Abs Add BatchNormalization Cast Ceil Clip Div Dropout Elu Erf Exp Floor Gelu HardSigmoid
    HardSwish Identity InstanceNormalization LayerNormalization LeakyRelu Log LogSoftmax Max Min Mul
    Neg Not PRelu Pow QuantizeLinear DequantizeLinear Reciprocal Relu Round Sigmoid Sign Softmax
    Softplus Sqrt Sub Tanh Where
    """.split()
)
RESIZING = frozenset("AveragePool LpPool MaxPool Pad Resize Slice Split Upsample".split())
CONVOLUTIONS = frozenset(
    "Conv ConvInteger ConvTranspose FusedConv NhwcFusedConv QLinearConv".split()
)
POOLS = frozenset("AveragePool GlobalAveragePool GlobalMaxPool LpPool MaxPool".split())
OVER_IMAGES = POOLS | {"DepthToSpace", "SpaceToDepth", "GridSample"}
PRODUCTS = frozenset("DynamicQuantizeMatMul FusedMatMul Gemm MatMul MatMulInteger".split())
IN_PACKED = frozenset("Attention MultiHeadAttention QAttention".split())  # (batch, length, width)
STATES = (5, 6)  # inputs of a recurrent cell: what it starts from
SIDES = {1: Kind.LENGTH, 2: Kind.IMAGE, 3: Kind.VOLUME}  # by how many axes follow the channels


def find_uses(graph: ir.Graph) -> Uses:
    """What the first layers that an input reaches say of its axes, by input and axis."""
    uses: Uses = {}
    seen: set[tuple[str, Axes]] = set()
    waiting: deque[tuple[ir.Value, Axes]] = deque()
    for value in graph.inputs:
        rank = len(value.shape) if value.shape is not None else 0
        waiting.append((value, tuple(Axis(str(value.name), place) for place in range(rank))))
    while waiting and len(seen) < MOST_STEPS:
        value, axes = waiting.popleft()
        if (str(value.name), axes) in seen or not any(axes):
            continue
        seen.add((str(value.name), axes))
        for node, position in value.uses():
            for axis, what in _says(node, position, axes):
                uses.setdefault((axis.input, axis.place), what)
            waiting.extend(_beyond(node, position, axes))
    return uses


def _says(node: ir.Node, position: int, axes: Axes) -> Iterator[tuple[Axis, Use]]:
    """What a node says of the axes of one of its inputs."""
    for axis, use in zip(axes, _uses_at(node, position, len(axes)), strict=False):
        if axis is not None and use is not None:
            yield axis, use if axis.exact else Use(use.kind, None, use.in_plane)


def _uses_at(node: ir.Node, position: int, rank: int) -> list[Use | None]:
    op, widths = node.op_type, _weight_dims(node, 3 if node.op_type.startswith("QLinear") else 1)
    if position == 0 and (op in CONVOLUTIONS or op in OVER_IMAGES) and rank > 2:
        channels = None
        if op in CONVOLUTIONS and len(widths) == rank:
            deconvolves = op == "ConvTranspose"
            channels = widths[0] if deconvolves else widths[1] * int_attribute(node, "group", 1)
        side = Use(SIDES.get(rank - 2), in_plane=rank == 4)
        return [Use(Kind.BATCH), Use(Kind.CHANNELS, channels), *[side] * (rank - 2)]
    if position == 0 and op in PRODUCTS and rank > 0:
        width = None
        if len(widths) == 2:
            width = widths[1] if is_flag_set(node, "transB") else widths[0]
        return [*[None] * (rank - 1), Use(None, width)]
    if position == 0 and op in GATES and rank == 3:
        features = Use(None, widths[2] if len(widths) == 3 else None)
        steps, samples = Use(Kind.LENGTH), Use(Kind.BATCH)
        first, second = (samples, steps) if int_attribute(node, "layout", 0) else (steps, samples)
        return [first, second, features]
    if position in STATES and op in GATES and rank == 3:
        layers, samples = None, Use(Kind.BATCH)
        is_first = int_attribute(node, "layout", 0) == 1
        return [samples, layers, None] if is_first else [layers, samples, None]
    if op in IN_PACKED and node.domain == CONTRIB and position < 3 and rank == 3:
        return [Use(Kind.BATCH), Use(Kind.LENGTH), None]
    return [None] * rank


def _weight_dims(node: ir.Node, position: int) -> tuple[int, ...]:
    """The shape of a weight, looked for behind what unpacks it; empty where it is computed."""
    value = node.inputs[position] if len(node.inputs) > position else None
    while value is not None and value.const_value is None:
        maker = value.producer()
        if maker is None or maker.op_type not in ("DequantizeLinear", "Cast", "Identity"):
            return ()
        value = maker.inputs[0]
    if value is None or value.const_value is None:
        return ()
    return tuple(int(size) for size in value.const_value.shape.numpy())


def _beyond(node: ir.Node, position: int, axes: Axes) -> Iterator[tuple[ir.Value, Axes]]:
    """The outputs of a node that moves its input, with where their axes come from."""
    move = MOVES.get(node.op_type)
    if node.domain not in STANDARD_DOMAINS or move is None or not node.outputs:
        return
    moved = move(node, position, axes)
    if moved is not None:
        for output in node.outputs:
            yield output, moved


Move = Callable[[ir.Node, int, Axes], Axes | None]
MOVES: dict[str, Move] = {}


def _moves(ops: str) -> Callable[[Move], Move]:
    def register(function: Move) -> Move:
        MOVES.update(dict.fromkeys(ops.split(), function))
        return function

    return register


@_moves(" ".join(sorted(SAME)))
def _same(node: ir.Node, position: int, axes: Axes) -> Axes | None:
    """The axes stay, unless another operand has more of them."""
    others = [_weight_dims(node, p) for p in range(len(node.inputs)) if p != position]
    return axes if all(len(dims) <= len(axes) for dims in others) else None


@_moves(" ".join(sorted(RESIZING)))
def _resizing(node: ir.Node, position: int, axes: Axes) -> Axes | None:
    if position != 0:
        return None
    kept: list[int] = [0, 1] if node.op_type.endswith("Pool") else []
    return tuple(_changed(a) if at not in kept else a for at, a in enumerate(axes))


def _changed(axis: Axis | None) -> Axis | None:
    return None if axis is None else Axis(axis.input, axis.place, exact=False)


@_moves("Concat")
def _concat(node: ir.Node, position: int, axes: Axes) -> Axes | None:
    joined = int_attribute(node, "axis", 0) % len(axes)
    return tuple(_changed(a) if at == joined else a for at, a in enumerate(axes))


@_moves("Transpose")
def _transpose(node: ir.Node, position: int, axes: Axes) -> Axes | None:
    order = permutation(node, len(axes))
    whole = sorted(order) == list(range(len(axes)))
    return tuple(axes[place] for place in order) if whole else None


@_moves("Unsqueeze")
def _unsqueeze(node: ir.Node, position: int, axes: Axes) -> Axes | None:
    added = constant_ints(node, 1, "axes")
    if position != 0 or not added:
        return None
    rank = len(axes) + len(added)
    new, rest = {place % rank for place in added}, iter(axes)
    if len(new) < len(added):
        return None  # the same place twice, which the runtime refuses
    return tuple(None if place in new else next(rest) for place in range(rank))


@_moves("Squeeze")
def _squeeze(node: ir.Node, position: int, axes: Axes) -> Axes | None:
    gone = constant_ints(node, 1, "axes")
    if position != 0 or not gone or not axes:
        return None
    places = {place % len(axes) for place in gone}
    return tuple(axis for place, axis in enumerate(axes) if place not in places)


@_moves("Gather")
def _gather(node: ir.Node, position: int, axes: Axes) -> Axes | None:
    """Of the rows of a table an axis more; of an input one taken out, or chosen from."""
    data, indices = node.inputs[:2]
    if data is None or indices is None:
        return None
    if position == 1:
        dims = _weight_dims(node, 0)
        place = int_attribute(node, "axis", 0) % max(len(dims), 1)
        return (*[None] * place, *axes, *[None] * (len(dims) - place - 1)) if dims else None
    chosen = len(_weight_dims(node, 1)) if indices.const_value is not None else None
    place = int_attribute(node, "axis", 0) % len(axes)
    if chosen == 0:
        return (*axes[:place], *axes[place + 1 :])
    return (*axes[:place], _changed(axes[place]), *axes[place + 1 :]) if chosen == 1 else None


@_moves("Reshape")
def _reshape(node: ir.Node, position: int, axes: Axes) -> Axes | None:
    """Axes that the target copies from their own place; one more, or one fewer, of size 1."""
    target = constant_ints(node, 1, "shape")
    if position != 0 or not target:
        return None
    return tuple(
        axes[place] if size == 0 and place < len(axes) else None
        for place, size in enumerate(target)
    )
