"""The parameters of a network as they lie in its file, whatever their storage type."""

import json
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from explorer.graph.layers import WEIGHT_DTYPES
from explorer.graph.memory import DEQUANTIZE, QUANTIZE
from explorer.model import Model, per_model

RECORD_KEY = "compression_explorer"  # the entry of the file's metadata that says what was done
MOST_IN_RECORD = 2**40  # a larger number is none that the explorer wrote
INDEX_BITS = 16  # a sparse entry's distance to the one before, stored in 16 bits


@dataclass(frozen=True)
class StoredWeight:
    """One parameter tensor: `bits` is its true width, `masked` how many zeros its mask has.

    `masked` is None for a tensor without a recorded mask.
    """

    name: str
    size: int
    bits: int
    masked: int | None
    tensor: ir.TensorProtocol
    zero_point: ir.TensorProtocol | None = None

    def count_nonzero(self) -> int:
        """Parameters that aren't zero, found by looking at each."""
        values = self.tensor.numpy()
        if not self.tensor.dtype.is_floating_point():
            values = values.astype(np.int32)
        if self.zero_point is not None:
            point = self.zero_point.numpy().astype(np.int32)
            if point.size and (point == point.flat[0]).all():
                return int(np.count_nonzero(values != point.flat[0]))
        return int(np.count_nonzero(values))


def packed_bits(size: int, bits: int, zeros: int) -> int:
    """Bits that `size` weights of `bits` each need, `zeros` of them zero.

    The cheapest of dense storage, a bitmask with the other weights, and a list of the other
    weights with a 16-bit distance each.
    """
    others = size - zeros
    return min(size * bits, size + others * bits, others * (bits + INDEX_BITS))


@per_model
def find_weights(model: Model) -> tuple[StoredWeight, ...]:
    """All parameters: float tensors with a dimension, and the integers that stand for them.

    Batch-norm's running statistics are no parameters; nor are scales and zero points.
    """
    graph = model.graph_model.graph
    record = read_record(model.graph_model)
    scales = {id(value) for value in scale_values(graph)}
    statistics = _running_statistics(graph)
    weights = []
    for name, value in graph.initializers.items():
        tensor = value.const_value
        if tensor is None or id(value) in scales or id(value) in statistics:
            continue
        reader = _dequantizer(value)
        if reader is None and (tensor.dtype not in WEIGHT_DTYPES or len(tensor.shape) == 0):
            if tensor.dtype not in (ir.DataType.DOUBLE, ir.DataType.BFLOAT16):
                continue
            if len(tensor.shape) == 0:
                continue
        point = reader.inputs[2] if reader is not None and len(reader.inputs) > 2 else None
        entry = record.get(name, {})
        weights.append(
            StoredWeight(
                name=name,
                size=tensor.size,
                bits=int(entry.get("bits", _bits(tensor.dtype))),
                masked=int(entry["zeros"]) if "zeros" in entry else None,
                tensor=tensor,
                zero_point=point.const_value if point is not None else None,
            )
        )
    return tuple(weights)


def scale_values(graph: ir.Graph) -> list[ir.Value]:
    """Constant scales and zero points of all quantizers, each once."""
    found: dict[int, ir.Value] = {}
    for node in graph:
        if node.op_type in (QUANTIZE, DEQUANTIZE):
            for value in node.inputs[1:]:
                if value is not None and value.const_value is not None:
                    found[id(value)] = value
    return list(found.values())


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


def _dequantizer(value: ir.Value) -> ir.Node | None:
    for node in value.consumers():
        if node.op_type == DEQUANTIZE and node.inputs[0] is value:
            return node
    return None


def _running_statistics(graph: ir.Graph) -> set[int]:
    norms = [node for node in graph if node.op_type == "BatchNormalization"]
    return {id(value) for node in norms for value in node.inputs[3:5]}


def _bits(dtype: ir.DataType) -> int:
    return round(dtype.itemsize * 8)
