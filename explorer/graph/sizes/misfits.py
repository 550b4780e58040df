"""Operators that can't run on tensors of these shapes, where ONNX's inference doesn't say so."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from explorer.graph.operators import GATES, STANDARD_DOMAINS, constant_ints, int_attribute
from explorer.network import Shape

Integers = npt.NDArray[np.generic]
Dims = list[Shape | None]
Check = Callable[[ir.Node, Dims, list[Integers | None]], bool]

CHECKS: dict[str, Check] = {}
# What these give depends on values; only a run knows the shapes behind them.
BY_VALUES = frozenset(
    """
    Compress ConcatFromSequence If Loop NonMaxSuppression NonZero Optional OptionalGetElement
    ReverseSequence Scan SequenceAt SequenceConstruct SequenceEmpty SequenceInsert SequenceMap
    SplitToSequence StringSplit TopK Unique
    """.split()
)


def find_misfits(
    graph: ir.Graph, dims: Mapping[str, Shape], integers: Mapping[str, Integers]
) -> tuple[str, ...]:
    """Names of nodes that can't run, or give something negative or empty.

    Empty lists of integers are no harm: exporters build shapes of them.
    """
    found = []
    for node in graph:
        names = [str(value.name) for value in node.outputs]
        outputs = [dims.get(name) for name in names if name not in integers]
        inputs = [dims.get(str(v.name)) if v is not None else None for v in node.inputs]
        is_new = not any(shape is not None and 0 in shape for shape in inputs)
        least = min((min(shape, default=1) for shape in outputs if shape is not None), default=1)
        values = [_integers_of(value, integers) for value in node.inputs]
        check = CHECKS.get(node.op_type) if node.domain in STANDARD_DOMAINS else None
        if (least <= 0 and is_new) or (check is not None and not check(node, inputs, values)):
            found.append(str(node.name))
    return tuple(found)


def find_unknown(graph: ir.Graph, dims: Mapping[str, Shape]) -> tuple[str, ...]:
    """Names of nodes without known shapes, but for those behind what depends on values."""
    beyond: set[str] = set()
    found = []
    for node in graph:
        names = [str(value.name) for value in node.outputs if value.name]
        read = {str(value.name) for value in node.inputs if value is not None}
        if node.op_type in BY_VALUES or read & beyond:
            beyond.update(name for name in names if name not in dims)
        elif any(name not in dims for name in names) and read <= dims.keys():
            found.append(str(node.name))
    return tuple(found)


def _integers_of(value: ir.Value | None, integers: Mapping[str, Integers]) -> Integers | None:
    if value is None:
        return None
    if str(value.name) in integers:
        return integers[str(value.name)]
    tensor = value.const_value
    return tensor.numpy() if tensor is not None and tensor.dtype in WHOLE else None


WHOLE = (ir.DataType.INT32, ir.DataType.INT64)


def _check(ops: str) -> Callable[[Check], Check]:
    def register(function: Check) -> Check:
        CHECKS.update(dict.fromkeys(ops.split(), function))
        return function

    return register


@_check("Conv ConvTranspose")
def _channels_fit(node: ir.Node, inputs: Dims, values: list[Any]) -> bool:
    data, weight = (*inputs, None, None)[:2]
    if data is None or weight is None or len(data) != len(weight):
        return True
    if node.op_type == "ConvTranspose":
        return data[1] == weight[0]
    is_wide = data[1] == weight[1] * int_attribute(node, "group", 1)
    return is_wide and _covers(node, data, weight[2:])


@_check("AveragePool LpPool MaxPool")
def _window_fits(node: ir.Node, inputs: Dims, values: list[Any]) -> bool:
    if inputs[0] is None or "kernel_shape" not in node.attributes:
        return True
    return _covers(node, inputs[0], tuple(node.attributes["kernel_shape"].as_ints()))


def _covers(node: ir.Node, data: Shape, kernel: Shape) -> bool:
    """Whether a kernel fits into its padded input at least once."""
    attribute = node.attributes.get("auto_pad")
    if attribute is not None and attribute.as_string().startswith("SAME"):
        return True
    pads = constant_ints(node, len(node.inputs), "pads") or [0] * 2 * len(kernel)
    dilations = constant_ints(node, len(node.inputs), "dilations") or [1] * len(kernel)
    sides = zip(data[2:], kernel, dilations, pads, pads[len(kernel) :], strict=False)
    return all(size + a + b >= step * (k - 1) + 1 for size, k, step, a, b in sides)


@_check("Gather")
def _places_exist(node: ir.Node, inputs: Dims, values: list[Any]) -> bool:
    data, places = inputs[0], values[1]
    if not data or places is None or not places.size:
        return True
    size = data[int_attribute(node, "axis", 0) % len(data)]
    return bool(-size <= int(places.min()) and int(places.max()) < size)


@_check("Reshape")
def _keeps_count(node: ir.Node, inputs: Dims, values: list[Any]) -> bool:
    data, target = inputs[0], values[1] if len(values) > 1 else None
    if data is None or target is None or "allowzero" in node.attributes:
        return True
    sizes = [int(size) for size in target.reshape(-1)]
    if any(size == 0 and at >= len(data) for at, size in enumerate(sizes)):
        return False
    sizes = [data[at] if size == 0 else size for at, size in enumerate(sizes)]
    count, known = int(np.prod(data, dtype=object)), [size for size in sizes if size >= 0]
    product = int(np.prod(known, dtype=object))
    return count == product if len(known) == len(sizes) else bool(product) and count % product == 0


@_check(" ".join(GATES))
def _steps_fit(node: ir.Node, inputs: Dims, values: list[Any]) -> bool:
    data, weight = inputs[0], inputs[1]
    return not data or not weight or data[-1] == weight[-1]


@_check("SpaceToDepth")
def _blocks_fit(node: ir.Node, inputs: Dims, values: list[Any]) -> bool:
    block = int_attribute(node, "blocksize", 1)
    return inputs[0] is None or (block > 0 and all(size % block == 0 for size in inputs[0][2:]))
