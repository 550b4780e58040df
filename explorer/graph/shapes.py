"""Concrete shapes of every tensor, for a batch of one.

ONNX's own inference does the work. Where it stops at a shape that the graph computes (as older
exporters do, from Shape, Gather and Concat), these few integers are computed with ONNX's reference
implementation, and inference goes on from there.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator

from explorer.errors import ModelError
from explorer.graph.standins import with_stand_ins
from explorer.model import Model, Shape, per_model

Integers = npt.NDArray[np.generic]

SMALL_TENSOR = 1024  # elements; larger initialisers are weights, whose values no shape depends on
# What an open dimension is taken for: samples, pixels of an image, positions of anything else. The
# first ones count; the others show what follows an open dimension, also beyond a limit. In the last
# two, dimensions of different names differ by their own multiple of a step, so that nothing is
# taken for constant that depends on two of them being equal.
ASSUMED_BATCHES = (1, 2, 3, 5)
ASSUMED_IMAGE_SIZES = (224, 256, 96, 512)
ASSUMED_LENGTHS = (128, 120, 9, 1000)
BATCH_STEPS = (0, 0, 1, 3)
IMAGE_STEPS = (0, 0, 32, 96)
LENGTH_STEPS = (0, 0, 2, 7)
MOST_ROUNDS = 20  # of inference and computing; each one gets past at least one computed shape

# Operators from which exporters build shapes.
SHAPE_OPS = frozenset(
    """
    Abs Add And Cast Ceil Concat ConstantOfShape Div Equal Expand Flatten Floor Gather Greater
    GreaterOrEqual Identity Less LessOrEqual Max Min Mod Mul Neg Not Or Range ReduceMax ReduceMin
    ReduceProd ReduceSum Reshape ScatterND Slice Squeeze Sub Tile Transpose Unsqueeze Where
    """.split()
)

# How many elements the operators give that can give far more than they read.
COUNTS: dict[str, Callable[..., int]] = {
    "ConstantOfShape": lambda shape: math.prod(shape.tolist()),
    "Expand": lambda x, shape: math.prod(np.broadcast_shapes(x.shape, tuple(shape.tolist()))),
    "Range": lambda start, limit, step: (int(limit) - int(start)) // int(step),
    "Tile": lambda x, repeats: x.size * math.prod(repeats.tolist()),
}
LONGEST_LIST = 2**22  # numbers along the only axis of a tensor


@dataclass(frozen=True)
class Shapes:
    """`dims` and `dtypes` by tensor name, without those that inference couldn't find.

    `assumed` says which value each open dimension was given; `integers` are small tensors that the
    graph computes from shapes alone.
    """

    dims: dict[str, Shape]
    dtypes: dict[str, ir.DataType]
    assumed: dict[str, int]
    integers: dict[str, Integers] = field(default_factory=dict)


@per_model
def infer_shapes(model: Model) -> Shapes:
    """Shapes of all tensors; the first dimension of an input is 1 where it is open."""
    return infer(model.graph_model)


@per_model
def infer_probes(model: Model) -> "Probes":
    """Shapes at several sizes of the open dimensions."""
    return probe(model.graph_model)


def probe(graph_model: ir.Model) -> "Probes":
    """Shapes of a graph at several sizes of its open dimensions."""
    first = infer(graph_model)
    sizes = range(1, len(ASSUMED_BATCHES)) if first.assumed else ()
    return Probes((first, *filter(None, (_attempt(graph_model, size) for size in sizes))))


def _attempt(graph_model: ir.Model, size: int) -> Shapes | None:
    try:
        return infer(graph_model, size)
    except ModelError:
        return None  # it may be right at the first size alone


@dataclass(frozen=True)
class Probes:
    """Shapes at several sizes; what is alike at all of them doesn't follow an open dimension.

    A graph may be wrong at some size (a table of 512 places has none for 1,000 positions), so what
    is unknown at one isn't held against it.
    """

    shapes: tuple[Shapes, ...]

    def dims(self, name: str) -> list[Shape]:
        """The shapes of a tensor, where they are known."""
        return [each.dims[name] for each in self.shapes if name in each.dims]

    def integers(self, name: str) -> list[Integers]:
        """The integers in a tensor, where they can be computed."""
        return [each.integers[name] for each in self.shapes if name in each.integers]

    def settles(self, count: int) -> bool:
        """True where so many sizes are enough to tell what is constant."""
        return count >= min(2, len(self.shapes))


def element_count(shape: Shape) -> int:
    """Number of elements, as a Python integer that can't overflow."""
    return math.prod(shape)


def infer(graph_model: ir.Model, size: int = 0) -> Shapes:
    """Shapes of a graph at one of the assumed sizes, by its place among them.

    Raises:
        ModelError: there are none at which all operators fit together.
    """
    proto, assumed = _skeleton(graph_model, size)
    integers = _open_up(proto, assumed)
    propagates = not _has_long_lists(proto, assumed)
    for _ in range(MOST_ROUNDS):
        inferred = _inferred(proto, propagates)
        shapes = _read(inferred.graph, assumed)
        found = _compute_integers(proto.graph, shapes.dims)
        integers.update(found)
        if not found or all(v in shapes.dims for n in proto.graph.node for v in n.output if v):
            break
    shapes.integers.update(integers)
    for name, array in integers.items():
        shapes.dims[name] = array.shape
        shapes.dtypes[name] = ir.DataType.from_numpy(array.dtype)
    for name, value in graph_model.graph.initializers.items():
        if value.const_value is not None:
            shapes.dims[name] = tuple(int(dim) for dim in value.const_value.shape.numpy())
            shapes.dtypes[name] = value.const_value.dtype
    return shapes


def _inferred(proto: onnx.ModelProto, propagates: bool = False) -> onnx.ModelProto:
    try:
        return onnx.shape_inference.infer_shapes(proto, data_prop=propagates)
    except (onnx.shape_inference.InferenceError, RuntimeError, ValueError) as error:
        raise ModelError("The graph's tensors have sizes that contradict each other.") from error


def _open_up(proto: onnx.ModelProto, assumed: dict[str, int]) -> dict[str, Integers]:
    """Compute the integers that need no propagation, so that what grows from them is known."""
    if not any(node.op_type in COUNTS for node in proto.graph.node):
        return {}
    inferred = _inferred(proto)
    return _compute_integers(proto.graph, _read(inferred.graph, assumed).dims)


def _has_long_lists(proto: onnx.ModelProto, assumed: dict[str, int]) -> bool:
    """Whether ONNX would write out each number of a list while it propagates data."""
    inputs = _read(proto.graph, assumed).dims
    if any(node.op_type in COUNTS for node in proto.graph.node):
        inputs = _read(_inferred(proto).graph, assumed).dims
    return any(len(dims) == 1 and dims[0] > LONGEST_LIST for dims in inputs.values())


def _read(graph: onnx.GraphProto, assumed: dict[str, int]) -> Shapes:
    dims: dict[str, Shape] = {}
    dtypes: dict[str, ir.DataType] = {}
    for info in (*graph.input, *graph.value_info, *graph.output):
        tensor = info.type.tensor_type
        if tensor.elem_type:
            dtypes[info.name] = ir.DataType(tensor.elem_type)
        if tensor.HasField("shape") and all(d.HasField("dim_value") for d in tensor.shape.dim):
            dims[info.name] = tuple(d.dim_value for d in tensor.shape.dim)
    return Shapes(dims, dtypes, assumed)


def _compute_integers(graph: onnx.GraphProto, dims: dict[str, Shape]) -> dict[str, Integers]:
    """Turn what can be computed of the graph's integers into constants; returns these."""
    known: dict[str, Integers] = {
        tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer
    }
    found: dict[str, Integers] = {}
    left = []
    for node in graph.node:
        value = _value_of(node, known, dims)
        if value is None:
            left.append(node)
        else:
            known[node.output[0]] = found[node.output[0]] = value
            graph.initializer.append(numpy_helper.from_array(value, node.output[0]))
    described = [info for info in graph.value_info if info.name not in found]
    del graph.node[:], graph.value_info[:]
    graph.node.extend(left)
    graph.value_info.extend(described)
    return found


def _value_of(
    node: onnx.NodeProto, known: dict[str, Integers], dims: dict[str, Shape]
) -> Integers | None:
    """The integers that a node gives, where all that it reads is known."""
    if node.op_type == "Shape" and node.input[0] in dims:
        ends = {attribute.name: attribute.i for attribute in node.attribute}
        shape = dims[node.input[0]][ends.get("start", 0) : ends.get("end")]
        return np.array(shape, dtype=np.int64)
    inputs = [name for name in node.input if name]
    if node.op_type not in SHAPE_OPS or len(node.output) != 1 or not inputs:
        return None
    if any(name not in known or known[name].dtype.kind not in "ib" for name in inputs):
        return None
    try:
        feed: dict[str, Any] = {name: known[name] for name in inputs}
        if node.op_type in COUNTS and COUNTS[node.op_type](*feed.values()) > SMALL_TENSOR:
            return None
        outputs: Any = ReferenceEvaluator(node).run(None, feed)
    except (RuntimeError, ValueError, TypeError, LookupError, ArithmeticError, AttributeError):
        return None  # the reference doesn't know this form of the operator; the shape stays open
    value = np.asarray(outputs[0])
    small = value.dtype.kind in "ib" and value.size <= SMALL_TENSOR
    return value if small else None


def _skeleton(graph_model: ir.Model, size: int) -> tuple[onnx.ModelProto, dict[str, int]]:
    """The graph with open dimensions filled in and with weights turned into inputs."""
    model = graph_model.clone()
    graph = model.graph
    assumed: dict[str, int] = {}
    for value in graph.inputs:
        if value.shape is not None:
            value.shape = ir.Shape(_fill(value.shape, assumed, size))
    for node in graph:
        for output in node.outputs:
            if not output.is_graph_output():
                output.shape = None
    for value in graph.outputs:
        value.shape = None
    for name, value in list(graph.initializers.items()):
        tensor = value.const_value
        if tensor is not None and tensor.size > SMALL_TENSOR:
            value.type = ir.TensorType(tensor.dtype)
            value.shape = ir.Shape(tensor.shape.numpy())
            value.const_value = None
            del graph.initializers[name]
            graph.inputs.append(value)
    proto = ir.to_proto(model)
    replaced = with_stand_ins(proto.graph)
    if replaced is not proto.graph:
        proto.graph.CopyFrom(replaced)
    return proto, assumed


def _fill(shape: ir.Shape, assumed: dict[str, int], size: int) -> list[int]:
    filled = []
    for axis, dim in enumerate(shape):
        if isinstance(dim, int):
            filled.append(dim)
            continue
        image = len(shape) == 4 and axis >= 2
        sizes, steps = ASSUMED_LENGTHS, LENGTH_STEPS
        if axis == 0:
            sizes, steps = ASSUMED_BATCHES, BATCH_STEPS
        elif image:
            sizes, steps = ASSUMED_IMAGE_SIZES, IMAGE_STEPS
        name = str(dim.value) if dim.value is not None else f"?{len(assumed)}"
        filled.append(assumed.setdefault(name, sizes[size] + len(assumed) * steps[size]))
    return filled
