"""Which of several outputs is scored, and which operator it comes from."""

import math
from collections.abc import Sequence

import onnx_ir as ir

from explorer.network import Network

Dims = tuple[int | str, ...]  # with names of open ones

# Operators behind a last one that change neither the order of scores nor the side of a threshold.
PASSING = frozenset(
    "Identity Reshape Squeeze Unsqueeze Flatten Cast Clip QuantizeLinear DequantizeLinear".split()
)
SHARES = frozenset(("Softmax", "LogSoftmax"))
PROBABILITIES = frozenset(("Sigmoid", "HardSigmoid"))
TWO = 2


def scored_output(model: Network, shapes: Sequence[Dims], wanted: int | None = None) -> int:
    """The place of the output with the scores or values; the first where none stands out.

    `shapes` are those of all outputs, with the axis of samples first; `wanted` is how many numbers
    the labels ask for: classes, or targets of a regression. An output with just as many comes
    before the others, then one that ends in a softmax, then the first. Whole numbers (a chosen
    class, a length) are never scored where an output of floats has a row for each sample.
    """

    def fitness(place: int) -> tuple[bool, bool, bool, int]:
        columns, op = _columns(shapes[place]), last_operator(model, place)
        is_pair = wanted == TWO and columns == 1 and op in PROBABILITIES
        fits = columns is not None and (columns == wanted or is_pair)
        is_row = bool(columns) and (len(shapes[place]) <= TWO or columns in (1, wanted))
        is_usable = is_row and model.outputs[place].dtype.startswith(("float", "bfloat"))
        return is_usable, is_usable and fits, is_usable and op in SHARES, -place

    return max(range(len(shapes)), key=fitness)


def last_operator(model: Network, place: int) -> str | None:
    """The type of the operator that an output's values come from, moves and casts left out."""
    value = model.graph_model.graph.outputs[place]
    node: ir.Node | None = value.producer()
    while node is not None and node.op_type in PASSING and node.inputs[0] is not None:
        node = node.inputs[0].producer()
    return node.op_type if node is not None else None


def _columns(shape: Dims) -> int | None:
    """How many numbers a sample has; None where that is open."""
    sizes = shape[1:]
    if not shape or not all(isinstance(size, int) for size in sizes):
        return None
    return math.prod(size for size in sizes if isinstance(size, int))
