"""Concrete shapes of every tensor, at given sizes of the open dimensions.

ONNX's own inference does the work. Where it stops at a shape that the graph computes (as older
exporters do, from Shape, Gather and Concat), these few integers are computed with ONNX's reference
implementation, and inference goes on from there.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator

from explorer.errors import ModelError
from explorer.graph.sizes.misfits import find_misfits, find_unknown
from explorer.graph.sizes.unknowns import Sizes, Unknowns, find_unknowns
from explorer.graph.standins import with_stand_ins
from explorer.network import Shape

Integers = npt.NDArray[np.generic]

SMALL_TENSOR = 1024  # elements; larger initialisers are weights, whose values no shape depends on
CONTRADICTING = "The graph's tensors have sizes that contradict each other."
REFUSED = re.compile(r"\(op_type:\s*([\w.]+)")
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

    `integers` are small tensors that the graph computes from shapes alone. `misfits` are operators
    that can't run at these sizes, and `unknown` those whose outputs have no known shape though
    their inputs have.
    """

    dims: dict[str, Shape]
    dtypes: dict[str, ir.DataType]
    integers: dict[str, Integers] = field(default_factory=dict)
    misfits: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()


def element_count(shape: Shape) -> int:
    """Number of elements, as a Python integer that can't overflow."""
    return math.prod(shape)


def infer(graph_model: ir.Model) -> Shapes:
    """Shapes of a graph at the usual sizes of its open dimensions.

    Raises:
        ModelError: the graph contradicts itself.
    """
    skeleton = Skeleton(graph_model)
    return skeleton.infer(skeleton.unknowns.usual())


class Skeleton:
    """A graph without its weights, whose shapes can be inferred at one size after another."""

    def __init__(self, graph_model: ir.Model) -> None:
        self.unknowns = find_unknowns(graph_model.graph)
        self.graph = graph_model.graph
        self._proto = _skeleton(graph_model)

    def infer(self, chosen: Mapping[str, int], unknowns: Unknowns | None = None) -> Shapes:
        """Shapes with these sizes of the unknowns, between which there may be other relations.

        Raises:
            ModelError: the graph contradicts itself.
        """
        unknowns = unknowns or self.unknowns
        proto = self._filled(unknowns.sizes(chosen))
        integers = _open_up(proto)
        propagates = not _has_long_lists(proto)
        shapes, refused = _by_rounds(proto, propagates, integers)
        shapes = replace(shapes, integers=integers)
        self._add_known(shapes)
        misfits = (*refused, *find_misfits(self.graph, shapes.dims, integers))
        for name in [name for name, dims in shapes.dims.items() if min(dims, default=0) < 0]:
            del shapes.dims[name]  # no tensor has that shape
        return replace(shapes, misfits=misfits, unknown=find_unknown(self.graph, shapes.dims))

    def _filled(self, sizes: Sizes) -> onnx.ModelProto:
        """A copy whose inputs have these sizes."""
        proto = onnx.ModelProto()
        proto.CopyFrom(self._proto)
        for value in proto.graph.input:
            for dim, size in zip(
                value.type.tensor_type.shape.dim, sizes.get(value.name, ()), strict=False
            ):
                dim.dim_value = size
        replaced = with_stand_ins(proto.graph)
        if replaced is not proto.graph:
            proto.graph.CopyFrom(replaced)
        return proto

    def _add_known(self, shapes: Shapes) -> None:
        """What needs no inference: integers that were computed, and initialisers."""
        for name, array in shapes.integers.items():
            shapes.dims[name] = array.shape
            shapes.dtypes[name] = ir.DataType.from_numpy(array.dtype)
        for name, value in self.graph.initializers.items():
            if value.const_value is not None:
                shapes.dims[name] = tuple(int(dim) for dim in value.const_value.shape.numpy())
                shapes.dtypes[name] = value.const_value.dtype


def _by_rounds(
    proto: onnx.ModelProto, propagates: bool, integers: dict[str, Integers]
) -> tuple[Shapes, tuple[str, ...]]:
    """Infer, and compute what inference stops at, in turns; `integers` gets what was computed."""
    for _ in range(MOST_ROUNDS):
        inferred, refused = _inferred(proto, propagates)
        shapes = _read(inferred.graph)
        found = _compute_integers(proto.graph, shapes.dims)
        integers.update(found)
        if all(v in shapes.dims for n in proto.graph.node for v in n.output if v):
            break
        if not _settle_branches(proto, shapes, propagates) and not found:
            break
    return shapes, refused


def _settle_branches(proto: onnx.ModelProto, shapes: Shapes, propagates: bool) -> bool:
    """Give each If the shape that both branches have, where ONNX finds none; whether there was any.

    ONNX propagates no integers into a branch, so it stops there at each shape that is computed.
    """
    settled = False
    known = {*shapes.dims, *(info.name for info in proto.graph.value_info)}
    outputs = {info.name: info for info in proto.graph.output}
    for node in [node for node in proto.graph.node if node.op_type == "If"]:
        names = [name for name in node.output if name not in known]
        if not names:
            continue
        branches = [_inside(each.g, proto, shapes, propagates) for each in node.attribute]
        for place, name in enumerate(node.output):
            first, *others = [(dims[place], dtypes[place]) for dims, dtypes in branches]
            if name not in names or None in first or any(other != first for other in others):
                continue
            dims, dtype = first
            info = onnx.helper.make_tensor_value_info(name, int(dtype or 0), dims)
            if name in outputs:
                outputs[name].CopyFrom(info)
            else:
                proto.graph.value_info.append(info)
            settled = True
    return settled


Ends = tuple[list[Shape | None], list[ir.DataType | None]]


def _inside(
    body: onnx.GraphProto, proto: onnx.ModelProto, shapes: Shapes, propagates: bool
) -> Ends:
    """Shapes and types of what a branch gives, None where unknown."""
    alone = onnx.helper.make_model(body, opset_imports=proto.opset_import)
    alone.ir_version = proto.ir_version
    small = {tensor.name: tensor for tensor in proto.graph.initializer}
    for name in sorted(_names_read(body)):
        if name in small:
            alone.graph.initializer.append(small[name])
        elif name in shapes.dtypes:
            dims = shapes.dims.get(name)
            kind = int(shapes.dtypes[name])
            alone.graph.input.append(onnx.helper.make_tensor_value_info(name, kind, dims))
    integers: dict[str, Integers] = {}
    try:
        found, _ = _by_rounds(alone, propagates, integers)
    except ModelError:  # a branch that is never taken may contradict itself
        return [None] * len(body.output), [None] * len(body.output)
    dims_of = {**found.dims, **{name: array.shape for name, array in integers.items()}}
    names = [value.name for value in body.output]
    return [dims_of.get(name) for name in names], [found.dtypes.get(name) for name in names]


def _names_read(body: onnx.GraphProto) -> set[str]:
    """What a graph and those inside it read from outside."""
    read = {value.name for value in body.output}
    given = {each.name for each in (*body.input, *body.initializer)}
    for node in body.node:
        read.update(name for name in node.input if name)
        given.update(node.output)
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                read |= _names_read(attribute.g)
    return read - given


def _inferred(
    proto: onnx.ModelProto, propagates: bool = False
) -> tuple[onnx.ModelProto, tuple[str, ...]]:
    """The graph with its shapes, and the operators that ONNX's inference refuses."""
    try:
        return onnx.shape_inference.infer_shapes(proto, strict_mode=True, data_prop=propagates), ()
    except onnx.shape_inference.InferenceError as error:
        refused = tuple(REFUSED.findall(str(error))) or ("?",)
    except (RuntimeError, ValueError) as error:
        raise ModelError(CONTRADICTING) from error
    try:
        return onnx.shape_inference.infer_shapes(proto, data_prop=propagates), refused
    except (onnx.shape_inference.InferenceError, RuntimeError, ValueError) as error:
        raise ModelError(CONTRADICTING) from error


def _open_up(proto: onnx.ModelProto) -> dict[str, Integers]:
    """Compute the integers that need no propagation, so that what grows from them is known."""
    if not any(node.op_type in COUNTS for node in proto.graph.node):
        return {}
    inferred, _ = _inferred(proto)
    return _compute_integers(proto.graph, _read(inferred.graph).dims)


def _has_long_lists(proto: onnx.ModelProto) -> bool:
    """Whether ONNX would write out each number of a list while it propagates data."""
    inputs = _read(proto.graph).dims
    if any(node.op_type in COUNTS for node in proto.graph.node):
        inputs = _read(_inferred(proto)[0].graph).dims
    return any(len(dims) == 1 and dims[0] > LONGEST_LIST for dims in inputs.values())


def _read(graph: onnx.GraphProto) -> Shapes:
    dims: dict[str, Shape] = {}
    dtypes: dict[str, ir.DataType] = {}
    for info in (*graph.input, *graph.value_info, *graph.output):
        tensor = info.type.tensor_type
        if tensor.elem_type:
            dtypes[info.name] = ir.DataType(tensor.elem_type)
        if tensor.HasField("shape") and all(d.HasField("dim_value") for d in tensor.shape.dim):
            dims[info.name] = tuple(d.dim_value for d in tensor.shape.dim)
    return Shapes(dims, dtypes)


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


def _skeleton(graph_model: ir.Model) -> onnx.ModelProto:
    """The graph with nothing known of its tensors but its inputs, and with weights as inputs."""
    model = graph_model.clone()
    graph = model.graph
    for node in graph:
        for output in node.outputs:
            if not output.is_graph_output():
                output.shape = None
    for value in graph.outputs:
        if value.const_value is None:
            value.shape = None
    for name, value in list(graph.initializers.items()):
        tensor = value.const_value
        if tensor is not None and tensor.size > SMALL_TENSOR:
            value.type = ir.TensorType(tensor.dtype)
            value.shape = ir.Shape(tensor.shape.numpy())
            value.const_value = None
            del graph.initializers[name]
            graph.inputs.append(value)
    proto: onnx.ModelProto = ir.to_proto(model)
    return proto
