"""Where a graph uses integers as places in a table, and which values an input may hold for it."""

from collections.abc import Iterator
from dataclasses import dataclass

import onnx_ir as ir

from explorer.graph.operators import CONTRIB, int_attribute, is_standard
from explorer.network import Network, ValueRange, per_model

ML = "ai.onnx.ml"
# What passes on each value as it is, and by which of its inputs (None: by any).
MOVES: dict[str, int | None] = {
    "Cast": 0,
    "Concat": None,
    "Expand": 0,
    "Flatten": 0,
    "Identity": 0,
    "Reshape": 0,
    "Squeeze": 0,
    "Tile": 0,
    "Transpose": 0,
    "Unsqueeze": 0,
}
SAME_SHAPE = frozenset({"Cast", "DequantizeLinear", "Identity"})
# Types that hold each place of a table; a cast to a narrower one changes large numbers.
EXACT = frozenset(
    {
        ir.DataType.INT32,
        ir.DataType.INT64,
        ir.DataType.UINT32,
        ir.DataType.UINT64,
        ir.DataType.FLOAT,
        ir.DataType.DOUBLE,
    }
)
AXIS_OPS = frozenset({"Gather", "GatherElements", "Scatter", "ScatterElements"})
ND_OPS = frozenset({"GatherND", "ScatterND"})
Shape = tuple[int | None, ...]


@dataclass(frozen=True)
class Lookup:
    """A node that reads a table at places: `indices` counts along `axis`, from `low` on.

    Negative indices may count from the end; `beyond` is how many places past the last one are
    allowed. An `axis` of None stands for one axis for each last index (`GatherND`).
    """

    node: ir.Node
    table: ir.Value
    indices: ir.Value
    axis: int | None
    from_end: bool = True
    beyond: int = 0

    def bounds(self, sizes: Shape) -> list[tuple[int, int] | None]:
        """The smallest and the largest index, for a table of these sizes.

        One pair, or one for each last index where there are several; None where a size is open.
        """
        axes: list[int] = list(range(len(sizes))) if self.axis is None else [self.axis]
        return [self._bounds(sizes[axis]) for axis in axes if -len(sizes) <= axis < len(sizes)]

    def _bounds(self, size: int | None) -> tuple[int, int] | None:
        if size is None:
            return None
        return (-size if self.from_end else 0, size - 1 + self.beyond)


def lookups_of(node: ir.Node) -> Iterator[Lookup]:
    """The tables that a node reads or writes at computed places; most nodes have none."""
    values = [*node.inputs, *[None] * 5]
    axis = int_attribute(node, "axis", 0) if node.op_type in AXIS_OPS else None
    if is_standard(node) and node.op_type in AXIS_OPS | ND_OPS and values[0] and values[1]:
        if int_attribute(node, "batch_dims", 0) == 0:
            yield Lookup(node, values[0], values[1], axis)
    elif is_standard(node) and node.op_type == "ReverseSequence" and values[0] and values[1]:
        time = int_attribute(node, "time_axis", 0)
        yield Lookup(node, values[0], values[1], time, from_end=False, beyond=1)
    elif node.domain == ML and node.op_type == "ArrayFeatureExtractor" and values[0] and values[1]:
        yield Lookup(node, values[0], values[1], -1, from_end=False)
    elif node.domain == CONTRIB and node.op_type == "EmbedLayerNormalization":
        for at, table in ((0, values[2]), (1, values[4])):
            indices = values[at]
            if indices is not None and table is not None:
                yield Lookup(node, table, indices, 0, from_end=False)


def table_sizes(table: ir.Value) -> Shape | None:
    """The sizes of a table as far as the file says them; None where not even their number is."""
    value: ir.Value | None = table
    while value is not None:
        if value.shape is not None:
            return tuple(dim if isinstance(dim, int) else None for dim in value.shape)
        node = value.producer()
        value = node.inputs[0] if node is not None and node.op_type in SAME_SHAPE else None
    return None


@per_model
def value_ranges(model: Network) -> dict[str, ValueRange]:
    """By input, the values that it may hold, where each of them is the index into a table.

    Only for inputs whose values all reach the table as they are, or with a constant added.
    """
    ranges = {}
    for value in model.graph_model.graph.inputs:
        limits = [limit for limit in _limits(model.graph_model.graph, value) if limit is not None]
        if value.name and limits:
            low, high = max(each.low for each in limits), min(each.high for each in limits)
            table = min(limits, key=lambda each: each.high - each.low).table
            ranges[value.name] = ValueRange(low, high, table)
    return {name: each for name, each in ranges.items() if each.low <= each.high}


def _limits(graph: ir.Graph, source: ir.Value) -> Iterator[ValueRange | None]:
    """What each table that a value reaches allows; `shift` is what was added on the way."""
    todo, seen = [(source, 0)], set()
    while todo:
        value, shift = todo.pop()
        if (value, shift) in seen:
            continue
        seen.add((value, shift))
        for node, position in value.uses():
            if node.graph is not graph or not _matters(node):  # a branch may never run
                continue
            for lookup in lookups_of(node):
                if lookup.indices is value and value is not lookup.table:
                    yield _limit(lookup, shift)
            if (added := _passes_on(node, position)) is not None:
                todo.append((node.outputs[0], shift + added))


def _matters(node: ir.Node) -> bool:
    return any(output.is_graph_output() or output.uses() for output in node.outputs)


def _limit(lookup: Lookup, shift: int) -> ValueRange | None:
    sizes = table_sizes(lookup.table)
    bounds = lookup.bounds(sizes) if sizes is not None else []
    if lookup.axis is None:
        dims = table_sizes(lookup.indices) or (None,)
        bounds = bounds[:1] if dims[-1] == 1 else []
    if len(bounds) != 1 or bounds[0] is None:
        return None
    low, high = bounds[0]
    return ValueRange(low - shift, high - shift, lookup.table.name or "")


def _passes_on(node: ir.Node, position: int) -> int | None:
    """What a node adds to each value of one of its inputs; None where it does anything else."""
    if not is_standard(node) or len(node.outputs) != 1:
        return None
    if node.op_type in MOVES:
        if node.op_type == "Cast" and ir.DataType(int_attribute(node, "to", 0)) not in EXACT:
            return None
        return 0 if MOVES[node.op_type] in (None, position) else None
    if node.op_type == "Add" or (node.op_type == "Sub" and position == 0):
        other = node.inputs[1 - position]
        tensor = other.const_value if other is not None else None
        if tensor is None or tensor.size != 1 or tensor.dtype not in EXACT:
            return None
        added = float(tensor.numpy().reshape(-1)[0])
        if added % 1 == 0:
            return int(added) if node.op_type == "Add" else -int(added)
    return None
