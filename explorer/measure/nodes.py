"""Where the time of an inference goes: each product's seconds, from the runtime's own record.

The runtime fuses nodes before it runs them, and names what comes of it after one of them: a
convolution with the activation behind it may bear the name of the activation, or of its output. A
fused product's time is that of the product in the graph which it bears the name of, or which stands
before that name.
Recording takes time too, a few microseconds a node, so these times say how the time is shared out;
how long an inference takes says `latency`.
"""

import json
import tempfile
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx_ir as ir

from explorer.graph.costs import macs_by_node
from explorer.graph.layers import find_nodes
from explorer.measure.runtime import example_inputs, new_session, run_example
from explorer.model import Model, encode

FEWEST_RUNS, MOST_RUNS = 5, 100
ENOUGH_S = 0.3
SUFFIX = "_kernel_time"
FUSED = "fused "  # stands before the name of some fused products
US = 1e-6  # the record's unit
INTEGER_KERNELS = ("QLinear", "QGemm", "MatMulInteger", "ConvInteger")  # how their names begin


@dataclass(frozen=True)
class NodeRun:
    """How long the runtime takes for a node, and whether it multiplies integers there."""

    seconds: float
    is_integer: bool


def run_nodes(model: Model, check: Callable[[], None] = lambda: None) -> dict[str, NodeRun]:
    """The run of each node with multiply-accumulates, by its name in the graph, in one inference.

    The least of several runs with one thread. Nodes that the runtime has replaced by others under
    names of their own are absent. `check` is called between runs and may raise to stop the work.

    Raises:
        MeasurementError: the runtime can't run the model.
    """
    products, nodes = macs_by_node(model), nodes_by_name(model)
    runs: dict[str, NodeRun] = {}
    for (name, op), seconds in _record(encode(model.graph_model, model.name), check).items():
        product = find_product(name, op, nodes, products)
        if product is not None:
            before = runs.get(product, NodeRun(0.0, False))
            is_integer = before.is_integer or op.startswith(INTEGER_KERNELS)
            runs[product] = NodeRun(before.seconds + seconds, is_integer)
    return runs


def nodes_by_name(model: Model) -> dict[str, ir.Node]:
    """Each node by its name and, where no node has that name, by those of what it gives."""
    nodes = find_nodes(model)
    given = {str(v.name): node for node in nodes.values() for v in node.outputs if v.name}
    return {**given, **nodes}


def find_product(
    name: str, op: str, nodes: Mapping[str, ir.Node], products: Collection[str]
) -> str | None:
    """Which of the `products` the runtime's node carries out, if any.

    `nodes` is what `nodes_by_name` gives.

    That is the one whose name `name` is or begins with, but for `FUSED`; where that is no product's
    name, but `op` is a product all the same, the one that comes before.
    """
    name = name if name in nodes else name.removeprefix(FUSED)
    while name not in nodes:
        name = name[: max(name.rfind(mark) for mark in "_/") + 1].rstrip("_/")
        if not name:
            return None
    if name in products:
        return name
    node: ir.Node | None = nodes[name]
    while node is not None and node.name not in products:
        first = node.inputs[0] if node.inputs else None
        node = first.producer() if first is not None else None
    return str(node.name) if node is not None and node.op_type in op else None


def _record(model: Model, check: Callable[[], None]) -> dict[tuple[str, str], float]:
    """Least seconds of each node that the runtime runs, by its name and operator there."""
    feed = example_inputs(model)
    with tempfile.TemporaryDirectory() as folder:
        session = new_session(model, profile_to=f"{folder}/nodes")
        started = time.perf_counter()
        for number in range(MOST_RUNS):
            check()
            run_example(model, session, feed)
            if number >= FEWEST_RUNS and time.perf_counter() - started >= ENOUGH_S:
                break
        return _least(json.loads(Path(session.end_profiling()).read_bytes()))


def _least(events: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], float]:
    seconds: dict[tuple[str, str], float] = {}
    for event in events:
        name = event["name"]
        if event.get("cat") == "Node" and name.endswith(SUFFIX):
            key, each = (name.removesuffix(SUFFIX), event["args"]["op_name"]), US * event["dur"]
            seconds[key] = min(each, seconds.get(key, each))
    return seconds
