"""Counting whole graphs, with the bodies of If, Loop and Scan.

An If counts as its dearer branch. A Scan runs its body once for each element of its scanned axes.
A Loop counts only where its number of trips is a constant and nothing in its body can end it
earlier; any other is reported. So is whatever in a body has no formula, by its own name, and what
has one that needs a shape which nobody knows, with a word on that.
"""

from collections.abc import Mapping

import onnx
import onnx_ir as ir

from explorer.graph.costs.registry import UnknownShapeError, node_macs
from explorer.graph.operators import STANDARD_DOMAINS
from explorer.graph.shapes import SMALL_TENSOR, infer, infer_shapes
from explorer.network import Network, Shape
from explorer.reasons import Uncounted

Known = Mapping[str, Shape]
Count = tuple[int, tuple[Uncounted, ...]]  # multiply-accumulates, and what couldn't be counted
BODIES = ("If", "Loop", "Scan")


def count_graph(graph: ir.Graph, dims: Known) -> Count:
    """Multiply-accumulates of all nodes, and the operators that couldn't be counted, in order."""
    total = 0
    uncounted: dict[Uncounted, None] = {}
    for node in graph:
        macs, missing = count_node(node, dims)
        total += macs
        uncounted.update(dict.fromkeys(missing))
    return total, tuple(uncounted)


def macs_by_node(model: Network) -> dict[str, int]:
    """Multiply-accumulates of each node that has any, by its name; those not counted are absent."""
    dims = infer_shapes(model).dims
    macs = {str(node.name): count_node(node, dims)[0] for node in model.graph_model.graph}
    return {name: count for name, count in macs.items() if count}


def count_node(node: ir.Node, dims: Known) -> Count:
    """Multiply-accumulates of one node, with its subgraphs, and what couldn't be counted."""
    standard = node.domain in STANDARD_DOMAINS
    if standard and node.op_type in BODIES:
        return _count_bodies(node, dims)
    inputs = [_dims(value, dims) for value in node.inputs]
    name = node.op_type if standard else f"{node.domain}.{node.op_type}"
    try:
        macs = node_macs(node, inputs, [_dims(value, dims) for value in node.outputs])
    except UnknownShapeError:
        return 0, (Uncounted(name, lacks_shape=True),)
    return (0, (Uncounted(name),)) if macs is None else (macs, ())


def _dims(value: ir.Value | None, dims: Known) -> Shape | None:
    return dims.get(str(value.name)) if value is not None else None


def _count_bodies(node: ir.Node, dims: Known) -> Count:
    if node.op_type == "If":
        counts = [_count_body(node, name, [], dims) for name in ("then_branch", "else_branch")]
        uncounted = dict.fromkeys(each for _, missing in counts for each in missing)
        return max(macs for macs, _ in counts), tuple(uncounted)
    if node.op_type == "Loop":
        trips = _loop_trips(node)
        shapes: list[Shape | None] = [(), ()]  # the trip's number, and whether to go on
        shapes += [_dims(value, dims) for value in node.inputs[2:]]
    else:
        trips, shapes = _scan(node, dims)
    macs, missing = _count_body(node, "body", shapes, dims)
    if trips is None and (macs or missing):
        return 0, (Uncounted(node.op_type),)
    return macs * (trips or 0), missing


def _loop_trips(node: ir.Node) -> int | None:
    """Trips of a loop that can't end early; None where nobody knows before it runs."""
    most = node.inputs[0]
    if most is None or most.const_value is None:
        return None
    body = node.attributes["body"].as_graph()
    going_on, start = body.outputs[0], node.inputs[1] if len(node.inputs) > 1 else None
    while (maker := going_on.producer()) is not None and maker.op_type == "Identity":
        source = maker.inputs[0]
        if source is None:
            return None
        going_on = source
    if going_on is body.inputs[1]:
        endless = start is None or _is_true(start)
    else:
        endless = _is_true(going_on) and (start is None or _is_true(start))
    return int(most.const_value.numpy().reshape(-1)[0]) if endless else None


def _is_true(value: ir.Value) -> bool:
    maker = value.producer()
    if maker is not None and maker.op_type == "Constant" and "value" in maker.attributes:
        return bool(maker.attributes["value"].as_tensor().numpy().all())
    return value.const_value is not None and bool(value.const_value.numpy().all())


def _scan(node: ir.Node, dims: Known) -> tuple[int | None, list[Shape | None]]:
    """Steps of a Scan, and the shapes that enter its body: its states, and slices of the rest."""
    scanned = node.attributes["num_scan_inputs"].as_int()
    states = len(node.inputs) - scanned
    given = node.attributes.get("scan_input_axes")
    axes = list(given.as_ints()) if given is not None else [0] * scanned
    steps: int | None = None
    shapes = [_dims(value, dims) for value in node.inputs[:states]]
    for value, axis in zip(node.inputs[states:], axes, strict=True):
        shape = _dims(value, dims)
        if shape is None:
            shapes.append(None)
            continue
        steps = shape[axis]
        place = axis % len(shape)
        shapes.append(shape[:place] + shape[place + 1 :])
    return steps, shapes


def _count_body(node: ir.Node, name: str, shapes: list[Shape | None], dims: Known) -> Count:
    """One run of a subgraph whose inputs have these shapes."""
    alone = _alone(node, node.attributes[name].as_graph(), shapes, dims)
    return count_graph(alone.graph, infer(alone).dims)


def _alone(node: ir.Node, body: ir.Graph, shapes: list[Shape | None], dims: Known) -> ir.Model:
    """The subgraph as a model: what it reads from outside is an input, or a constant if small."""
    proto: onnx.GraphProto = ir.to_proto(body)
    given = zip(proto.input, body.inputs, shapes or [None] * len(proto.input), strict=True)
    for info, value, shape in given:
        info.CopyFrom(_described(str(value.name), value.dtype, shape))
    for value in _read_from_outside(body):
        tensor = value.const_value
        if tensor is not None and tensor.size <= SMALL_TENSOR:
            constant = onnx.numpy_helper.from_array(tensor.numpy(), str(value.name))
            proto.initializer.append(constant)
        else:
            shape = _dims(value, dims)
            proto.input.append(_described(str(value.name), value.dtype, shape))
    model = onnx.helper.make_model(proto)
    graph = node.graph
    imports = graph.opset_imports if graph is not None else {}
    del model.opset_import[:]
    model.opset_import.extend(onnx.helper.make_opsetid(d, v) for d, v in imports.items())
    return ir.from_proto(model)


def _described(name: str, dtype: ir.DataType | None, shape: Shape | None) -> onnx.ValueInfoProto:
    kind = int(dtype) if dtype is not None else onnx.TensorProto.FLOAT
    return onnx.helper.make_tensor_value_info(name, kind, shape)


def _read_from_outside(body: ir.Graph) -> list[ir.Value]:
    graphs, read = {body}, dict.fromkeys(body.outputs)
    for node in ir.traversal.RecursiveGraphIterator(body):
        if isinstance(node.graph, ir.Graph):
            graphs.add(node.graph)
        read.update(dict.fromkeys(value for value in node.inputs if value is not None))
    return [value for value in read if value.graph not in graphs]
