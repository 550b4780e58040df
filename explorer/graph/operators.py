"""Operators with weights, and how to read their attributes."""

import onnx_ir as ir

from explorer.storage_types import FLOATS, StorageType

PRODUCTS = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}  # blocks of rows in the weights of a recurrent cell
EMBEDDING = "Gather"
SPLIT_INPUT_OPSET = 13  # from here on the sizes of Split are an input
RECURRENT_SUFFIX = ".recurrent"
WEIGHT_SUFFIXES = (".weight", "_weight", ".kernel", ".w")
WEIGHT_DTYPES = frozenset(ir.DataType[kind.onnx_name] for kind in FLOATS)
STANDARD_DOMAINS = ("", "ai.onnx")  # both name ONNX's own operators
FUSED = frozenset({"FusedConv", "FusedGemm"})  # a product and its activation function in one
CONTRIB = "com.microsoft"  # operators of ONNX Runtime's own


def element_type(storage: StorageType) -> ir.DataType:
    """The type as `onnx_ir` has it."""
    return ir.DataType[storage.onnx_name]


def opset_of(graph_model: ir.Model) -> int:
    """Version of the standard operator set that a graph uses."""
    imports = graph_model.opset_imports
    return int(imports.get("", imports.get("ai.onnx", 1)))


def is_standard(node: ir.Node) -> bool:
    """True for an operator of ONNX itself."""
    return node.domain in STANDARD_DOMAINS


def weights_of(node: ir.Node) -> list[tuple[ir.Value, str]]:
    """The constant weights of a layer node, with what tells their names apart; none for others."""
    fused = node.domain == CONTRIB and node.op_type in FUSED
    if fused or (is_standard(node) and node.op_type in PRODUCTS):
        weight = _weight(node, 1) or _left_weight(node)
        return [(weight, "")] if weight is not None and _fits(node, weight) else []
    if is_standard(node) and node.op_type == EMBEDDING:
        table = _weight(node, 0)
        return [(table, "")] if table is not None and _is_embedding(node, table) else []
    if is_standard(node) and node.op_type in GATES:
        pair = [_weight(node, 1), _weight(node, 2)]
        found = [weight for weight in pair if weight is not None and _rank(weight) == 3]
        suffixes = ("", RECURRENT_SUFFIX)
        return list(zip(found, suffixes, strict=True)) if len(found) == len(pair) else []
    return []


def _is_embedding(node: ir.Node, table: ir.Value) -> bool:
    """True where rows of a table are looked up at places that the graph computes."""
    indices = node.inputs[1]
    computed = indices is not None and indices.const_value is None
    return computed and int_attribute(node, "axis", 0) == 0 and _rank(table) == 2


def _weight(node: ir.Node, position: int) -> ir.Value | None:
    """A constant of floats that isn't empty and no output of the graph."""
    weight = node.inputs[position] if len(node.inputs) > position else None
    if weight is None or weight.const_value is None or weight.dtype not in WEIGHT_DTYPES:
        return None
    return None if weight.const_value.size == 0 or weight.is_graph_output() else weight


def _left_weight(node: ir.Node) -> ir.Value | None:
    """The weight of a MatMul that stands on the left of what it multiplies."""
    return _weight(node, 0) if node.op_type == "MatMul" else None


def stands_left(node: ir.Node, weight: ir.Value) -> bool:
    """True for the first operand of a MatMul."""
    return node.op_type == "MatMul" and node.inputs[0] is weight


def _fits(node: ir.Node, weight: ir.Value) -> bool:
    if node.op_type == "MatMul":
        return _rank(weight) > 1
    if node.op_type in ("FusedGemm", "Gemm"):
        return _rank(weight) == 2
    groups = int_attribute(node, "group", 1)
    return groups >= 1 and _rank(weight) > 2 and dims_of(weight)[0] % groups == 0


def _rank(weight: ir.Value) -> int:
    return len(dims_of(weight))


def dims_of(weight: ir.Value) -> tuple[int, ...]:
    assert weight.const_value is not None
    return tuple(int(size) for size in weight.const_value.shape.numpy())


def is_flag_set(node: ir.Node, name: str) -> bool:
    """True where an integer attribute is there and isn't zero (as Gemm's `transB`)."""
    return name in node.attributes and node.attributes[name].as_int() != 0


def int_attribute(node: ir.Node, name: str, default: int) -> int:
    """An integer attribute, or its default."""
    return node.attributes[name].as_int() if name in node.attributes else default


def constant_ints(node: ir.Node, position: int, attribute: str) -> list[int] | None:
    """A list that is an input in newer opsets and an attribute in older ones.

    Empty where it isn't given at all, None where it is computed.
    """
    if attribute in node.attributes:
        return list(node.attributes[attribute].as_ints())
    value = node.inputs[position] if len(node.inputs) > position else None
    if value is None:
        return []
    if value.const_value is None:
        return None
    return [int(x) for x in value.const_value.numpy().reshape(-1)]


def constant_slice(node: ir.Node, rank: int) -> dict[int, slice]:
    """The places of a Slice by axis; empty where they are computed."""
    starts, ends = constant_ints(node, 1, "starts"), constant_ints(node, 2, "ends")
    axes, steps = constant_ints(node, 3, "axes"), constant_ints(node, 4, "steps")
    if not starts or not ends or axes is None or steps is None:
        return {}
    axes, steps = axes or list(range(len(starts))), steps or [1] * len(starts)
    parts = zip(axes, starts, ends, steps, strict=True)
    return {axis % rank: slice(start, _end(end, step), step) for axis, start, end, step in parts}


def _end(end: int, step: int) -> int | None:
    """A backward slice that ends before the first index says so with a very negative number."""
    return None if step < 0 and end < -(2**31) + 2 else end


def permutation(node: ir.Node, rank: int) -> list[int]:
    """The `perm` of a Transpose."""
    if "perm" in node.attributes:
        return list(node.attributes["perm"].as_ints())
    return list(reversed(range(rank)))
