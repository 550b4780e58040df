"""The parameters of a network as they lie in its file, whatever their storage type."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from explorer.graph.memory import DEQUANTIZE, QUANTIZE
from explorer.graph.operators import WEIGHT_DTYPES, int_attribute, is_standard
from explorer.graph.quantized import packed_shape, quantized_op
from explorer.network import Network, per_model
from explorer.storage_types import BYTE_BITS, FLOAT16

RECORD_KEY = "compression_explorer"  # the entry of the file's metadata that says what was done
MOST_IN_RECORD = 2**40  # a larger number is none that the explorer wrote
LOST_IN_HALF = 2.0**-25  # half of float16's smallest number: at most this rounds to zero
# Inputs of operators that say what to do, and that no framework would train; None stands for all.
SETTINGS: dict[str, tuple[int, ...] | None] = {
    "Clip": (1, 2),
    "Dropout": (1,),
    "Equal": None,
    "Greater": None,
    "GreaterOrEqual": None,
    "Less": None,
    "LessOrEqual": None,
    "Max": None,
    "MaxRoiPool": (1,),
    "Min": None,
    "Mod": None,
    "NonMaxSuppression": None,
    "OneHot": None,
    "Pad": (2,),
    "Pow": (1,),
    "Range": None,
    "Resize": (1, 2, 3),
    "RoiAlign": (1, 2),
    "Upsample": (1,),
}
MASKING = frozenset({"Add", "Sub", "Where"})  # what reads a mask of attention
ON_THE_WAY = MASKING | {"Cast", "Div", "Identity", "Mul", "Reshape", "Squeeze", "Unsqueeze"}
ARITHMETIC = MASKING | {"Div", "Mul"}
FEWEST_COUNTED = 3  # numbers that make a row of positions
MASKED = -1e4  # at most this stands for minus infinity
INDEX_BITS = 16  # a sparse entry's distance to the one before, stored in 16 bits


@dataclass(frozen=True)
class StoredWeight:
    """One parameter tensor: `bits` is its true width, `masked` how many zeros its mask has.

    `masked` is None for a tensor without a recorded mask. `shape` is (inputs, outputs) of a weight
    that lies packed in bytes; `fixed` marks what no compression changes, `operand` what is only
    added or multiplied element by element.
    """

    name: str
    size: int
    bits: int
    masked: int | None
    tensor: ir.TensorProtocol
    zero_point: ir.TensorProtocol | None = None
    shape: tuple[int, int] | None = None
    fixed: bool = False
    operand: bool = False

    @cached_property
    def loses_small(self) -> bool:
        """True for floats of which some are so small that they become zero in float16."""
        if self.tensor.dtype != ir.DataType.FLOAT:
            return False
        array = self.tensor.numpy()
        return bool(((array != 0) & (np.abs(array) <= LOST_IN_HALF)).any())

    def params_of(self, size: int) -> int:
        """How many of `size` numbers that are left are parameters: a single operand is none."""
        return 0 if self.operand and size == 1 else size

    @property
    def may_be_sparse(self) -> bool:
        """True where zeros of the file itself save space: in floats, not in integers."""
        return self.bits >= FLOAT16.bits and self.tensor.dtype.is_floating_point()

    def count_nonzero(self) -> int:
        """Parameters that aren't zero, found by looking at each."""
        values = self.tensor.numpy()
        if self.shape is not None:
            return self._count_packed(values)
        if not self.tensor.dtype.is_floating_point():
            values = values.astype(np.int32)
        if self.zero_point is not None:
            point = self.zero_point.numpy().astype(np.int32)
            if point.size and (point == point.flat[0]).all():
                return int(np.count_nonzero(values != point.flat[0]))
        return int(np.count_nonzero(values))

    def _count_packed(self, values: npt.NDArray[np.generic]) -> int:
        """Of MatMulNBits: zero is the middle level, unless the file gives zero points."""
        assert self.shape is not None
        if self.zero_point is not None or BYTE_BITS % self.bits:
            return self.size
        inputs, outputs = self.shape
        octets = values.reshape(outputs, -1).astype(np.uint8)
        shifts = np.arange(0, BYTE_BITS, self.bits, dtype=np.uint8)
        levels = (octets[:, :, None] >> shifts) & np.uint8(2**self.bits - 1)
        own = levels.reshape(outputs, -1)[:, :inputs]  # the last block may be padded
        return int(np.count_nonzero(own != 2 ** (self.bits - 1)))


def packed_bits(size: int, bits: int, zeros: int) -> int:
    """Bits that `size` weights of `bits` each need, `zeros` of them zero.

    The cheapest of dense storage, a bitmask with the other weights, and a list of the other
    weights with a 16-bit distance each.
    """
    others = size - zeros
    return min(size * bits, size + others * bits, others * (bits + INDEX_BITS))


@per_model
def find_weights(model: Network) -> tuple[StoredWeight, ...]:
    """All parameters: what a framework would train, as far as a file can tell.

    These are float tensors with a dimension, and the integers that stand for them. Batch-norm's
    running statistics are none, nor are scales and zero points, what tells an operator what to do
    (`SETTINGS`), and constants of which nobody would train the numbers (`_is_constant`).
    """
    record = read_record(model.graph_model)
    main = model.graph_model.graph
    weights = []
    for graph in all_graphs(model.graph_model):
        scales = {id(value) for value in scale_values(graph)}
        statistics = _running_statistics(graph)
        for value in graph.initializers.values():
            if id(value) in scales or id(value) in statistics or _is_setting(value):
                continue
            if not _is_constant(value):
                found = _stored(value, record.get(str(value.name), {}), graph is not main)
                weights += [found] if found is not None else []
    return tuple(weights)


def _is_setting(value: ir.Value) -> bool:
    """True where each reader takes the value as a setting."""
    uses = list(value.uses())
    return bool(uses) and all(_takes_setting(use.node, use.idx) for use in uses)


def _takes_setting(node: ir.Node, position: int) -> bool:
    if not is_standard(node) or node.op_type not in SETTINGS:
        return False
    positions = SETTINGS[node.op_type]
    return positions is None or position in positions


def _is_constant(value: ir.Value) -> bool:
    """True for a table of floats whose numbers say that nobody has trained them.

    A single factor or addend; a mask, which keeps attention from some places; positions or bins
    (0, 1, 2, ...); and the ones or zeros with which an InstanceNormalization only normalises, as
    torch's exporters write a group norm.
    """
    tensor, uses = value.const_value, list(value.uses())
    if tensor is None or not uses or not tensor.dtype.is_floating_point() or not tensor.size:
        return False
    operators = {use.node.op_type for use in uses}
    if operators <= {"InstanceNormalization"} and all(use.idx for use in uses):
        return bool((tensor.numpy() == (1 if uses[0].idx == 1 else 0)).all())
    if not _is_operand(value):
        return False
    is_mask = operators <= MASKING and _meets_softmax(value) and _is_mask(tensor)
    return tensor.size == 1 or _counts_up(tensor) or is_mask


def _is_operand(value: ir.Value) -> bool:
    readers = value.consumers()
    return bool(readers) and all(node.op_type in ARITHMETIC for node in readers)


def _counts_up(tensor: ir.TensorProtocol) -> bool:
    if tensor.size < FEWEST_COUNTED or max(tensor.shape.numpy()) != tensor.size:
        return False
    return bool((tensor.numpy().reshape(-1) == np.arange(tensor.size)).all())


def _meets_softmax(value: ir.Value) -> bool:
    """True for a table, not a row, that is added to what becomes the weights of attention."""
    if value.const_value is None or sum(size != 1 for size in value.const_value.shape.numpy()) < 2:
        return False
    left, seen = [value], {value}
    while left:
        for node in left.pop().consumers():
            if node.op_type == "Softmax":
                return True
            passing = [out for out in node.outputs if node.op_type in ON_THE_WAY]
            left += [out for out in passing if out not in seen]
            seen.update(passing)
    return False


def _is_mask(tensor: ir.TensorProtocol) -> bool:
    """True where something stands for minus infinity, or all is zero or one number below."""
    numbers = tensor.numpy()
    least = numbers.min()
    return bool(least <= MASKED or (least < 0 and np.isin(numbers, (0, least)).all()))


def all_graphs(graph_model: ir.Model) -> list[ir.Graph]:
    """The main graph, then those inside its nodes."""
    inner = {id(node.graph): node.graph for node in graph_model.graph.all_nodes()}
    graphs = [graph for graph in inner.values() if isinstance(graph, ir.Graph)]
    return [graph_model.graph, *(graph for graph in graphs if graph is not graph_model.graph)]


def _stored(value: ir.Value, entry: dict[str, int], inner: bool) -> StoredWeight | None:
    """A parameter tensor; None for integers and scalars that are no parameters."""
    tensor = value.const_value
    if tensor is None:
        return None
    dequantizer = _dequantizer(value)
    reader = dequantizer or _integer_reader(value)
    is_float = tensor.dtype in WEIGHT_DTYPES or tensor.dtype == ir.DataType.BFLOAT16
    if len(tensor.shape) == 0 or (reader is None and not is_float):
        return None
    point = None
    if dequantizer is not None:
        point = dequantizer.inputs[2] if len(dequantizer.inputs) > 2 else None
    shape = packed_shape(reader) if reader is not None and not is_float else None
    bits = int(entry.get("bits", round(tensor.dtype.itemsize * 8)))
    if shape is not None and reader is not None:
        bits = int_attribute(reader, "bits", 4)
        point = reader.inputs[3] if len(reader.inputs) > 3 else None
    return StoredWeight(
        name=str(value.name),
        size=tensor.size if shape is None else shape[0] * shape[1],
        bits=bits,
        masked=int(entry["zeros"]) if "zeros" in entry else None,
        tensor=tensor,
        zero_point=point.const_value if point is not None else None,
        shape=shape,
        fixed=inner or shape is not None,
        operand=is_float and _is_operand(value),
    )


def scale_values(graph: ir.Graph) -> list[ir.Value]:
    """Constant scales and zero points of all quantizers of a graph, each once."""
    found: dict[int, ir.Value] = {}
    for node in graph:
        own = quantized_op(node)
        positions: Iterable[int] = own.scales if own else ()
        if node.op_type in (QUANTIZE, DEQUANTIZE):
            positions = (1, 2)
        elif _joins_scales(node):
            positions = (0, 1)
        for position in positions:
            value = node.inputs[position] if position < len(node.inputs) else None
            if value is not None and value.const_value is not None:
                found[id(value)] = value
    return list(found.values())


def scale_bytes(model: Network) -> int:
    """Bytes of all scales and zero points of a model."""
    values = [value for graph in all_graphs(model.graph_model) for value in scale_values(graph)]
    return sum(value.const_value.nbytes for value in values if value.const_value is not None)


def _joins_scales(node: ir.Node) -> bool:
    """True for the product of a scale found while running and a weight's."""
    sources = [value.producer() for value in node.inputs if value is not None]
    found = any(source and source.op_type == "DynamicQuantizeLinear" for source in sources)
    return node.op_type == "Mul" and found


def read_record(graph_model: ir.Model) -> dict[str, dict[str, int]]:
    """True bit widths and masks by initialiser name, as the explorer noted them in the file.

    A record that isn't of the expected form is as good as none.
    """
    try:
        record = json.loads(graph_model.metadata_props.get(RECORD_KEY, "{}"))
    except (ValueError, RecursionError):
        return {}
    if not isinstance(record, dict):
        return {}
    return {
        name: {key: n for key, n in entry.items() if type(n) is int and 0 <= n < MOST_IN_RECORD}
        for name, entry in record.items()
        if isinstance(entry, dict)
    }


def written_record(record: dict[str, dict[str, int]]) -> str:
    """The record as it stands in the file; empty where there is nothing to say."""
    return json.dumps(record, separators=(",", ":")) if record else ""


def _dequantizer(value: ir.Value) -> ir.Node | None:
    for node in value.consumers():
        if node.op_type == DEQUANTIZE and node.inputs[0] is value:
            return node
    return None


def _integer_reader(value: ir.Value) -> ir.Node | None:
    """An operator that computes with a tensor of integers as a weight or a bias."""
    for use in value.uses():
        own = quantized_op(use.node)
        if own is not None and use.idx in (*own.weights, *own.others):
            return use.node
    return None


def _running_statistics(graph: ir.Graph) -> set[int]:
    norms = [node for node in graph if node.op_type == "BatchNormalization"]
    return {id(value) for node in norms for value in node.inputs[3:5]}
