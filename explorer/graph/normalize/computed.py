"""Tensors that the graph computes from constants alone, as weight and spectral norms leave them.

    w = g * v / ReduceL2(v)        y = Conv(x, w)
    s = Exp(Clip(scale))           y = Mul(x, s)

become a Conv with one weight, and a Mul by one tensor. Runtimes compute the same when they load the
file.
"""

import math
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from onnx.reference import ReferenceEvaluator

from explorer.graph.initializers import Array
from explorer.graph.normalize.rewriting import new_constant, replace
from explorer.graph.operators import GATES, PRODUCTS, WEIGHT_DTYPES, is_standard, opset_of
from explorer.graph.shapes import SMALL_TENSOR

MOVES = frozenset("Cast Concat Expand Identity Reshape Slice Squeeze Transpose Unsqueeze".split())
ARITHMETIC = frozenset(
    """
    Abs Add Clip Div Exp MatMul Max Min Mul Neg Pow Reciprocal ReduceL1 ReduceL2 ReduceMax
    ReduceMean ReduceMin ReduceSum ReduceSumSquare Sigmoid Softplus Sqrt Sub Tanh Where
    """.split()
)
MOST_GROWTH = 4  # of a tensor on the way, over the largest that the file holds
FAILURES = (RuntimeError, ValueError, TypeError, LookupError, ArithmeticError, AttributeError)

Cone = dict[ir.Node, None]  # a set of nodes


def fold_computed(graph_model: ir.Model) -> None:
    """Store what is computed from constants alone."""
    graph = graph_model.graph
    for node, array in _find_computed(graph_model):
        replace(graph, node, new_constant(graph, str(node.outputs[0].name), array))


def _find_computed(graph_model: ir.Model) -> list[tuple[ir.Node, Array]]:
    """Nodes whose only output is made of constants, with what it comes to.

    Only weights may come from products; other tensors are those that don't grow on the way.
    """
    found: dict[ir.Node, Array] = {}
    constant = _constant_nodes(graph_model.graph)
    for reader in graph_model.graph:
        if reader in constant:
            continue  # is folded with what reads it
        is_layer = is_standard(reader) and reader.op_type in PRODUCTS | GATES.keys()
        for value in reader.inputs:
            node = value.producer() if value is not None else None
            if node is None or node not in constant or node in found:
                continue
            cone = _cone_of(node)
            if cone is None or (not is_layer and any(x.op_type == "MatMul" for x in cone)):
                continue
            array = _computed(graph_model, cone, node)
            if array is not None and (is_layer or array.size <= _size_of_leaves(cone)):
                found[node] = array
    return list(found.items())


def _constant_nodes(graph: ir.Graph) -> Cone:
    """Nodes that compute from constants alone."""
    constant: Cone = {}
    for node in graph:
        known = node.op_type in MOVES | ARITHMETIC and is_standard(node) and len(node.outputs) == 1
        inputs = [value for value in node.inputs if value is not None]
        if known and inputs and all(_is_constant(value, constant) for value in inputs):
            constant[node] = None
    return constant


def _is_constant(value: ir.Value, constant: Cone) -> bool:
    return value.const_value is not None or value.producer() in constant


def _size_of_leaves(cone: Cone) -> int:
    leaves = {value for node in cone for value in node.inputs if value is not None}
    return sum(value.const_value.size for value in leaves if value.const_value is not None)


def _cone_of(node: ir.Node) -> Cone | None:
    """What computes a constant; None where it isn't arithmetic, or something else reads a part."""
    cone, left = {node: None}, [node]
    while left:
        for value in left.pop().inputs:
            producer = value.producer() if value is not None else None
            if producer is not None and producer not in cone:
                cone[producer] = None
                left.append(producer)
    if not any(each.op_type in ARITHMETIC for each in cone) or node.outputs[0].is_graph_output():
        return None
    for value in (value for each in cone for value in each.inputs if value is not None):
        outside = any(reader not in cone for reader in value.consumers())
        if value.const_value is not None and value.const_value.size > 1 and outside:
            return None
    return cone


def _grows(model: onnx.ModelProto, leaves: dict[str, Any]) -> bool:
    """True where a tensor on the way may be far larger than what the file holds."""
    typed = onnx.ModelProto()
    typed.CopyFrom(model)
    del typed.graph.input[:]
    for name, array in leaves.items():
        kind = onnx.helper.np_dtype_to_tensor_dtype(array.dtype)
        typed.graph.input.append(onnx.helper.make_tensor_value_info(name, kind, array.shape))
        if array.size <= SMALL_TENSOR:  # a target of Expand or Reshape, perhaps
            typed.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    try:
        inferred = onnx.shape_inference.infer_shapes(typed, data_prop=True).graph
    except FAILURES:
        return True
    most = MOST_GROWTH * max(array.size for array in leaves.values()) + SMALL_TENSOR
    known = {info.name: info.type.tensor_type.shape for info in inferred.value_info}
    known |= {info.name: info.type.tensor_type.shape for info in inferred.output}
    for node in typed.graph.node:
        shape = known.get(node.output[0])
        if shape is None or not all(dim.HasField("dim_value") for dim in shape.dim):
            return True
        if math.prod(dim.dim_value for dim in shape.dim) > most:
            return True
    return False


def _computed(graph_model: ir.Model, cone: Cone, node: ir.Node) -> Array | None:
    """The output of the last node of a cone, by ONNX's reference implementation."""
    result = str(node.outputs[0].name)
    leaves: dict[str, Any] = {
        str(value.name): value.const_value.numpy()
        for each in cone
        for value in each.inputs
        if value is not None and value.const_value is not None
    }
    graph = onnx.helper.make_graph(
        [ir.to_proto(each) for each in graph_model.graph if each in cone],
        "weight",
        [onnx.ValueInfoProto(name=name) for name in leaves],
        [onnx.ValueInfoProto(name=result)],
    )
    imports = [onnx.helper.make_opsetid("", opset_of(graph_model))]
    model = onnx.helper.make_model(graph, opset_imports=imports)
    if _grows(model, leaves):
        return None
    try:
        outputs: Any = ReferenceEvaluator(model).run(None, leaves)
    except FAILURES:
        return None  # the reference doesn't know this form of an operator; the weight stays so
    array = np.asarray(outputs[0])
    is_weight = ir.DataType.from_numpy(array.dtype) in WEIGHT_DTYPES
    return array if is_weight and np.isfinite(array).all() else None
