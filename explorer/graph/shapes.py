"""Concrete shapes of every tensor, for a batch of one.

ONNX's own inference does the work. Where it stops at a shape that the graph computes (as older
exporters do, from Shape, Gather and Concat), these few integers are computed with ONNX's reference
implementation, and inference goes on from there.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator

from explorer.model import Model, Shape, per_model

SMALL_TENSOR = 1024  # elements; larger initialisers are weights, whose values no shape depends on
ASSUMED_IMAGE_SIZE = 224  # pixels, for an image input that leaves its height or width open
ASSUMED_LENGTH = 128  # positions, for any other open dimension
MOST_ROUNDS = 20  # of inference and computing; each one gets past at least one computed shape

# Operators from which exporters build shapes.
SHAPE_OPS = frozenset(
    """
    Add Cast Ceil Concat ConstantOfShape Div Equal Expand Floor Gather Identity Max Min Mod Mul Neg
    Range ReduceProd Reshape Slice Split Squeeze Sub Unsqueeze Where
    """.split()
)


@dataclass(frozen=True)
class Shapes:
    """`dims` and `dtypes` by tensor name, without those that inference couldn't find.

    `assumed` says which value each open dimension was given.
    """

    dims: dict[str, Shape]
    dtypes: dict[str, ir.DataType]
    assumed: dict[str, int]


@per_model
def infer_shapes(model: Model) -> Shapes:
    """Shapes of all tensors; the first dimension of an input is 1 where it is open."""
    return _infer(model, batch=1)


@per_model
def infer_shapes_of_two(model: Model) -> Shapes:
    """Shapes for a batch of two: what differs from those of one follows the batch."""
    return _infer(model, batch=2)


def element_count(shape: Shape) -> int:
    """Number of elements, as a Python integer that can't overflow."""
    return int(np.prod(shape, dtype=object)) if shape else 1


def _infer(model: Model, batch: int) -> Shapes:
    proto, assumed = _skeleton(model.graph_model, batch)
    for _ in range(MOST_ROUNDS):
        inferred = onnx.shape_inference.infer_shapes(proto, data_prop=True)
        shapes = _read(inferred.graph, assumed)
        if all(v in shapes.dims for n in proto.graph.node for v in n.output if v):
            break
        if not _compute_shapes(proto.graph, shapes.dims):
            break
    for name, value in model.graph_model.graph.initializers.items():
        if value.const_value is not None:
            shapes.dims[name] = tuple(int(dim) for dim in value.const_value.shape.numpy())
            shapes.dtypes[name] = value.const_value.dtype
    return shapes


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


def _compute_shapes(graph: onnx.GraphProto, dims: dict[str, Shape]) -> bool:
    """Turn what can be computed of the graph's integers into constants; False if nothing can."""
    known: dict[str, npt.NDArray[np.generic]] = {
        tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer
    }
    left = []
    for node in graph.node:
        value = _value_of(node, known, dims)
        if value is None:
            left.append(node)
        else:
            known[node.output[0]] = value
            graph.initializer.append(numpy_helper.from_array(value, node.output[0]))
    progress = len(left) < len(graph.node)
    del graph.node[:]
    graph.node.extend(left)
    return progress


def _value_of(
    node: onnx.NodeProto,
    known: dict[str, npt.NDArray[np.generic]],
    dims: dict[str, Shape],
) -> npt.NDArray[np.generic] | None:
    """The integers that a node gives, where all that it reads is known."""
    if node.op_type == "Shape" and not node.attribute and node.input[0] in dims:
        return np.array(dims[node.input[0]], dtype=np.int64)
    inputs = [name for name in node.input if name]
    if node.op_type not in SHAPE_OPS or len(node.output) != 1 or not inputs:
        return None
    if any(name not in known or known[name].dtype.kind not in "ib" for name in inputs):
        return None
    try:
        feed: dict[str, Any] = {name: known[name] for name in inputs}
        outputs: Any = ReferenceEvaluator(node).run(None, feed)
    except (RuntimeError, ValueError, TypeError, IndexError, NotImplementedError):
        return None  # the reference doesn't know this form of the operator; the shape stays open
    value = np.asarray(outputs[0])
    small = value.dtype.kind in "ib" and value.size <= SMALL_TENSOR
    return value if small else None


def _skeleton(graph_model: ir.Model, batch: int) -> tuple[onnx.ModelProto, dict[str, int]]:
    """The graph with open dimensions filled in and with weights turned into inputs."""
    model = graph_model.clone()
    graph = model.graph
    assumed: dict[str, int] = {}
    for value in graph.inputs:
        if value.shape is not None:
            value.shape = ir.Shape(_fill(value.shape, assumed, batch))
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
    return ir.to_proto(model), assumed


def _fill(shape: ir.Shape, assumed: dict[str, int], batch: int) -> list[int]:
    filled = []
    for axis, dim in enumerate(shape):
        if isinstance(dim, int):
            filled.append(dim)
            continue
        image = len(shape) == 4 and axis >= 2
        default = batch if axis == 0 else ASSUMED_IMAGE_SIZE if image else ASSUMED_LENGTH
        name = str(dim.value) if dim.value is not None else f"?{len(assumed)}"
        filled.append(assumed.setdefault(name, default))
    return filled
