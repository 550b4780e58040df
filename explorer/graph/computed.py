"""Weights that the graph computes from constants alone, as weight and spectral norms leave them.

    w = g * v / ReduceL2(v)        y = Conv(x, w)

becomes a Conv with one weight. Runtimes compute the same when they load the file.
"""

from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from onnx.reference import ReferenceEvaluator

from explorer.graph.operators import GATES, PRODUCTS, WEIGHT_DTYPES, is_standard, opset_of

MOVES = frozenset("Cast Concat Expand Identity Reshape Slice Squeeze Transpose Unsqueeze".split())
ARITHMETIC = frozenset(
    """
    Abs Add Clip Div Exp MatMul Max Min Mul Neg Pow Reciprocal ReduceL1 ReduceL2 ReduceMax
    ReduceMean ReduceMin ReduceSum ReduceSumSquare Sigmoid Softplus Sqrt Sub Tanh Where
    """.split()
)
FAILURES = (RuntimeError, ValueError, TypeError, LookupError, ArithmeticError, AttributeError)

Cone = dict[ir.Node, None]  # the nodes that a value is computed by, in the order of the graph


def find_computed_weights(graph_model: ir.Model) -> list[tuple[ir.Node, np.ndarray[Any, Any]]]:
    """Nodes whose only output is a weight made of constants, with what it comes to."""
    found: dict[ir.Node, np.ndarray[Any, Any]] = {}
    for reader in graph_model.graph:
        if not is_standard(reader) or reader.op_type not in PRODUCTS | GATES.keys():
            continue
        for value in reader.inputs[:3]:
            node = value.producer() if value is not None else None
            if node is None or node in found or value is None or value.is_graph_output():
                continue
            cone = _cone_of(node)
            array = _computed(graph_model, cone, node) if cone is not None else None
            if array is not None:
                found[node] = array
    return list(found.items())


def _cone_of(node: ir.Node) -> Cone | None:
    """What computes a node's output: arithmetic on constants that nothing else reads."""
    cone: Cone = {}
    if not _collect(node, cone) or not any(each.op_type in ARITHMETIC for each in cone):
        return None
    leaves = [value for each in cone for value in each.inputs if value is not None]
    for value in leaves:
        outside = any(reader not in cone for reader in value.consumers())
        if value.const_value is not None and value.const_value.size > 1 and outside:
            return None
    return cone


def _collect(node: ir.Node, cone: Cone) -> bool:
    """Add a node and what it is computed by; False where that isn't constants alone."""
    if node in cone:
        return True
    known = node.op_type in MOVES | ARITHMETIC and is_standard(node) and len(node.outputs) == 1
    if not known:
        return False
    for value in node.inputs:
        if value is None or value.const_value is not None:
            continue
        producer = value.producer()
        if producer is None or not _collect(producer, cone):
            return False
    cone[node] = None
    return True


def _computed(graph_model: ir.Model, cone: Cone, node: ir.Node) -> np.ndarray[Any, Any] | None:
    """The output of the last node of a cone, by ONNX's reference implementation."""
    result = str(node.outputs[0].name)
    leaves: dict[str, Any] = {
        str(value.name): value.const_value.numpy()
        for each in cone
        for value in each.inputs
        if value is not None and value.const_value is not None
    }
    graph = onnx.helper.make_graph(
        [ir.to_proto(each) for each in cone],
        "weight",
        [onnx.ValueInfoProto(name=name) for name in leaves],
        [onnx.ValueInfoProto(name=result)],
    )
    imports = [onnx.helper.make_opsetid("", opset_of(graph_model))]
    model = onnx.helper.make_model(graph, opset_imports=imports)
    try:
        outputs: Any = ReferenceEvaluator(model).run(None, leaves)
    except FAILURES:
        return None  # the reference doesn't know this form of an operator; the weight stays so
    array = np.asarray(outputs[0])
    is_weight = ir.DataType.from_numpy(array.dtype) in WEIGHT_DTYPES
    return array if is_weight and np.isfinite(array).all() else None
