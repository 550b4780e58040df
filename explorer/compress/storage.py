"""How a compressed tensor lies in the file: its tensors and nodes, and the bytes they take.

Both `estimate` and `apply` read these forms, the one for the sizes, the other to write them.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import onnx
import onnx_ir as ir

from explorer.compress.quantizers import Grid, has_zero_point
from explorer.graph.memory import DEQUANTIZE, QUANTIZE, constant_values
from explorer.graph.operators import element_type, is_standard, stands_left, weights_of
from explorer.graph.shapes import element_count, infer_shapes
from explorer.model import Model
from explorer.network import Shape, per_model
from explorer.storage_types import FLOAT16, FLOAT32, FLOAT64, INT32, UINT8, StorageType

# Operators with an integer kernel, or through which integers pass unchanged.
INTEGER_OPS = frozenset(
    ("Add", "AveragePool", "Concat", "Conv", "Gemm", "GlobalAveragePool", "MatMul", "MaxPool")
)
INTEGER_PRODUCTS = frozenset({"Conv", "Gemm", "MatMul"})
FUSED_ACTIVATIONS = frozenset({"Clip", "Relu"})  # the runtime folds these into the rounding
# What is added to names of tensors and nodes (`resize` adds the last six).
SUFFIXES = (
    "float",
    "single",
    "scale",
    "zero_point",
    "quantized",
    "dequantized",
    "shape",
    "split",
    "starts",
    "ends",
    "indices",
    "sizes",
)
FLOAT_DTYPES = (element_type(FLOAT32), element_type(FLOAT16))


@dataclass(frozen=True)
class TensorForm:
    """An initialiser: name, element type and dimensions."""

    name: str
    dtype: ir.DataType
    dims: Shape

    @property
    def data_bytes(self) -> int:
        """Bytes of the elements, packed as ONNX packs them."""
        return -int(-element_count(self.dims) * self.dtype.bitwidth // 8)

    @property
    def file_bytes(self) -> int:
        """Bytes of the whole entry in the graph's list of initialisers."""
        header = _tensor_header_bytes(self.name, int(self.dtype), self.dims)
        return field_bytes(header + field_bytes(self.data_bytes))


@dataclass(frozen=True)
class NodeForm:
    """A node: operator, names of inputs and outputs, integer attributes."""

    op: str
    inputs: tuple[str, ...]
    output: str
    attributes: tuple[tuple[str, int], ...] = ()

    @property
    def file_bytes(self) -> int:
        """Bytes of the whole entry in the graph's list of nodes."""
        return _node_bytes(self)

    def build(self, values: dict[str, ir.Value]) -> ir.Node:
        """The node itself, reading the named values."""
        attributes: dict[str, Any] = dict(self.attributes)
        inputs = [values[name] for name in self.inputs]
        node = ir.node(self.op, inputs, attributes, name=self.output)
        node.outputs[0].name = self.output
        return node


@dataclass(frozen=True)
class StoredForm:
    """A weight in its storage type, with what turns it back into floats at load time.

    `cast` follows the `node` where that can't give the type that the weight had.
    """

    weight: TensorForm
    scale: TensorForm | None = None
    zero_point: TensorForm | None = None
    node: NodeForm | None = None
    cast: NodeForm | None = None

    @property
    def output(self) -> str:
        """What the readers of the weight read instead."""
        last = self.cast or self.node
        return last.output if last is not None else self.weight.name

    @property
    def extra_bytes(self) -> int:
        """Bytes beside the weight's own entry."""
        parts = (self.scale, self.zero_point, self.node, self.cast)
        return sum(part.file_bytes for part in parts if part is not None)


@per_model
def name_mark(model: Model) -> str:
    """What stands between a tensor's name and what is added to it, so that no name is used twice.

    A slash; more of them where the graph has such names already.
    """
    graph = model.graph_model.graph
    names = {str(node.name) for node in graph} | set(graph.initializers)
    names |= {str(value.name) for node in graph for value in node.outputs}
    names |= {str(value.name) for value in graph.inputs}
    mark = "/"
    while any(name.endswith(tuple(f"{mark}{suffix}" for suffix in SUFFIXES)) for name in names):
        mark += "/"
    return mark


def stored_form(
    name: str,
    dims: Shape,
    storage: StorageType,
    bits: int,
    dtype: ir.DataType,
    grid: Grid,
    mark: str,
) -> StoredForm:
    """Form of a weight called `name` of so many bits; `dtype` is the type it had."""
    weight = TensorForm(name, element_type(storage), dims)
    if weight.dtype == dtype:
        return StoredForm(weight)
    output = f"{name}{mark}float"
    if storage == FLOAT16:
        return StoredForm(weight, node=NodeForm("Cast", (name,), output, (("to", int(dtype)),)))
    single = element_type(FLOAT32) if dtype == element_type(FLOAT64) else dtype
    scale = TensorForm(f"{name}{mark}scale", single, grid.scale_shape(dims))
    cast, point = None, None
    if single != dtype:
        wide, output = output, f"{name}{mark}single"
        cast = NodeForm("Cast", (output,), wide, (("to", int(dtype)),))
    if has_zero_point(storage, bits):
        point = TensorForm(f"{name}{mark}zero_point", weight.dtype, scale.dims)
    inputs = (name, scale.name) if point is None else (name, scale.name, point.name)
    attributes: tuple[tuple[str, int], ...] = ()
    if grid.axis is not None:
        attributes = (("axis", grid.axis),)
    if grid.block is not None:
        attributes = (*attributes, ("block_size", grid.block))
    node = NodeForm(DEQUANTIZE, inputs, output, attributes)
    return StoredForm(weight, scale, point, node, cast)


def bias_form(
    name: str, dims: Shape, scale_dims: Shape, dtype: ir.DataType, mark: str
) -> StoredForm:
    """Form of a bias that an integer kernel adds: int32 at the scale of input times weight."""
    scale = TensorForm(f"{name}{mark}scale", dtype, scale_dims)
    attributes = (("axis", 0),) if scale_dims else ()
    node = NodeForm(DEQUANTIZE, (name, scale.name), f"{name}{mark}float", attributes)
    return StoredForm(TensorForm(name, element_type(INT32), dims), scale, None, node)


@dataclass(frozen=True)
class ActivationForm:
    """A pair of QuantizeLinear and DequantizeLinear behind an activation."""

    scale: TensorForm
    zero_point: TensorForm
    quantize: NodeForm
    dequantize: NodeForm

    @property
    def file_bytes(self) -> int:
        """Bytes of all four parts."""
        parts = (self.scale, self.zero_point, self.quantize, self.dequantize)
        return sum(part.file_bytes for part in parts)


def activation_form(name: str, dtype: ir.DataType, mark: str) -> ActivationForm:
    """Form of the 8-bit pair behind an activation."""
    scale = TensorForm(f"{name}{mark}scale", dtype, ())
    point = TensorForm(f"{name}{mark}zero_point", element_type(UINT8), ())
    quantized, output = f"{name}{mark}quantized", f"{name}{mark}dequantized"
    parameters = (scale.name, point.name)
    return ActivationForm(
        scale,
        point,
        NodeForm(QUANTIZE, (name, *parameters), quantized),
        NodeForm(DEQUANTIZE, (quantized, *parameters), output),
    )


@per_model
def activation_points(model: Model) -> tuple[str, ...]:
    """Activations that are rounded to 8 bits: those that integer kernels read or write.

    An activation function right behind such a kernel is folded into it, so the rounding comes after
    both. Graph outputs stay wide, and so does what is rounded already.
    """
    graph = model.graph_model.graph
    constant = constant_values(graph)
    values = [*graph.inputs, *(value for node in graph for value in node.outputs)]
    dtypes = infer_shapes(model).dtypes
    return tuple(
        str(value.name)
        for value in values
        if value not in constant and dtypes.get(str(value.name)) in FLOAT_DTYPES
        if _is_point(value, constant)
    )


def _is_point(value: ir.Value, constant: set[ir.Value]) -> bool:
    readers = value.consumers()
    producer = value.producer()
    if value.is_graph_output() or not readers:
        return False
    if any(node.op_type == QUANTIZE or _breaks_fused(node) for node in readers):
        return False
    if producer is not None and producer.op_type == DEQUANTIZE:
        return False
    if all(node.op_type in FUSED_ACTIVATIONS for node in readers):
        return False
    if any(_is_integer_kernel(node, constant) for node in readers):
        return True
    if producer is not None and producer.op_type in FUSED_ACTIVATIONS:
        source = producer.inputs[0]
        producer = source.producer() if source is not None else None
    return producer is not None and _is_integer_kernel(producer, constant)


def _breaks_fused(node: ir.Node) -> bool:
    """True where the runtime's integer operator doesn't take what this one says.

    ONNX Runtime 1.32 makes QLinearAveragePool of an AveragePool between rounded activations, which
    has no `dilations`, and then refuses the graph.
    """
    return node.op_type == "AveragePool" and "dilations" in node.attributes


def _is_integer_kernel(node: ir.Node, constant: set[ir.Value]) -> bool:
    if node.op_type not in INTEGER_OPS or not is_standard(node) or _breaks_fused(node):
        return False
    if node.op_type in INTEGER_PRODUCTS:
        weights = weights_of(node)
        return bool(weights) and not stands_left(node, weights[0][0])
    return not any(value in constant for value in node.inputs)


def field_bytes(payload: int) -> int:
    """Size of a protobuf field with a one-byte tag, its length, and its payload."""
    return 1 + _varint_bytes(payload) + payload


def _varint_bytes(value: int) -> int:
    return max(1, -(-value.bit_length() // 7))


@lru_cache(maxsize=65536)
def _tensor_header_bytes(name: str, dtype: int, dims: Shape) -> int:
    return int(onnx.TensorProto(name=name, data_type=dtype, dims=dims).ByteSize())


@lru_cache(maxsize=65536)
def _node_bytes(form: NodeForm) -> int:
    values = {name: ir.Value(name=name) for name in form.inputs}
    return field_bytes(int(ir.to_proto(form.build(values)).ByteSize()))
