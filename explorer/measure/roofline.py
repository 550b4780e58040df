"""What limits each product of a network: arithmetic or memory.

The roofline model (Williams, Waterman & Patterson, 2009): a node that does `macs` on `bytes` can't
be faster than the machine multiplies, nor than it moves the bytes. Both limits are measured here,
with the runtime and one thread, as the nodes are.
"""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper

from explorer.graph.costs import macs_by_node
from explorer.graph.layers import find_nodes
from explorer.graph.operators import weights_of
from explorer.graph.shapes import infer_shapes
from explorer.measure.nodes import run_nodes
from explorer.measure.profile import tensor_bytes
from explorer.measure.runtime import QUIET
from explorer.model import Model

SIDE = 512  # of the matrices that are multiplied: they fit into a cache, so arithmetic decides
COPIED_BYTES = 2**26  # more than any cache holds
ENOUGH_S = 0.2  # for each limit
OPSET = 17


def machine_limits(check: Callable[[], None] = lambda: None) -> dict[str, float]:
    """`macs_per_s` of float32 products and `bytes_per_s` read or written, with one thread."""
    session, feed = _product()
    product_s = _least(lambda: session.run(None, feed), check)
    source, target = (np.ones(COPIED_BYTES // 8) for _ in range(2))
    copy_s = _least(lambda: np.copyto(target, source), check)
    return {"macs_per_s": SIDE**3 / product_s, "bytes_per_s": 2 * COPIED_BYTES / copy_s}


def node_rows(model: Model, check: Callable[[], None] = lambda: None) -> list[dict[str, Any]]:
    """Each node with multiply-accumulates: `name`, `op`, `macs`, `bytes` and measured `seconds`.

    `bytes` are those of its weights, inputs and outputs, each moved once. `integer` says whether
    the runtime multiplies integers; it and `seconds` are None where the runtime runs others in its
    place. `weighted` says whether the node has weights.

    Raises:
        MeasurementError: the runtime can't run the model.
    """
    runs = run_nodes(model, check)
    shapes, nodes = infer_shapes(model), find_nodes(model)
    rows = []
    for name, macs in macs_by_node(model).items():
        node = nodes[name]
        values = {value.name: value for value in (*node.inputs, *node.outputs) if value is not None}
        moved = sum(
            value.const_value.nbytes
            if value.const_value is not None
            else tensor_bytes(shapes, str(value.name), shapes.dims.get(str(value.name)))
            for value in values.values()
        )
        run = runs.get(name)
        rows.append(
            {
                "name": name,
                "op": node.op_type,
                "macs": macs,
                "bytes": moved,
                "seconds": run.seconds if run is not None else None,
                "integer": run.is_integer if run is not None else None,
                "weighted": bool(weights_of(node)),
            }
        )
    return rows


def _product() -> tuple[ort.InferenceSession, dict[str, Any]]:
    square = [SIDE, SIDE]
    weight = np.ones(square, np.float32) / SIDE
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "product",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, square)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, square)],
        [onnx.numpy_helper.from_array(weight, "w")],
    )
    opset = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=9)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = QUIET
    session = ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return session, {"x": weight}


def _least(act: Callable[[], object], check: Callable[[], None]) -> float:
    """Seconds of the fastest of several runs."""
    act()
    least, ends = float("inf"), time.perf_counter() + ENOUGH_S
    while time.perf_counter() < ends:
        check()
        started = time.perf_counter()
        act()
        least = min(least, time.perf_counter() - started)
    return least
