"""Running a graph node by node, so that a weight can change right before its node runs."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy.typing as npt
import onnx_ir as ir

from explorer.formats.data import Dataset
from explorer.formats.onnx_file import encode
from explorer.measure.runtime import SCORING_THREADS, new_session, run
from explorer.model import Model

Array = npt.NDArray[Any]
Chunks = list[Array]


class Walk:
    """The activations of one graph on some samples, computed one node at a time.

    The samples run in chunks of at most `chunk`. `values` holds what a later node still needs, one
    array for each chunk.
    """

    def __init__(self, graph_model: ir.Model, samples: Dataset, model: Model, chunk: int) -> None:
        self.graph_model = graph_model
        feeds = list(samples.batches(model, chunk))
        self.values: dict[str, Chunks] = {
            spec.name: [feed[spec.name] for feed in feeds] for spec in model.inputs
        }
        self._chunks = len(feeds)
        self._readers: Counter[str] = Counter()
        for node in graph_model.graph:
            self._readers.update(str(v.name) for v in node.inputs if v is not None)

    def run(self, node: ir.Node) -> None:
        """Compute a node's outputs; nothing for one that nobody reads."""
        used = _used_outputs(node)
        if not used:
            return
        fed = {
            str(value.name)
            for value in node.inputs
            if value is not None and value.const_value is None
        }
        first = {name: self.values[name][0] for name in fed}
        single = encode(_alone(self.graph_model, node, first), str(node.name))
        session = new_session(single, SCORING_THREADS)
        outputs = [
            run(single, session, {name: self.values[name][chunk] for name in fed})
            for chunk in range(self._chunks)
        ]
        for place, value in enumerate(used):
            self.values[str(value.name)] = [chunk[place] for chunk in outputs]

    def replace(self, name: str, change: Callable[[Array], Array]) -> None:
        """Change an activation, chunk by chunk, before the nodes that read it run."""
        self.values[name] = [change(chunk) for chunk in self.values[name]]

    def leave(self, node: ir.Node) -> None:
        """Forget the inputs of a node that no later one reads."""
        for value in node.inputs:
            if value is not None:
                self._readers[str(value.name)] -= 1
                if self._readers[str(value.name)] == 0:
                    self.values.pop(str(value.name), None)


def _used_outputs(node: ir.Node) -> list[ir.Value]:
    return [value for value in node.outputs if value.uses() or value.is_graph_output()]


def _alone(graph_model: ir.Model, node: ir.Node, feed: dict[str, Array]) -> ir.Model:
    """A model of a single node, with its constants."""
    known: dict[str, ir.Value] = {}
    for value in node.inputs:
        if value is None or str(value.name) in known:
            continue
        name = str(value.name)
        if value.const_value is not None:
            known[name] = ir.Value(
                name=name, const_value=value.const_value, type=value.type, shape=value.shape
            )
        else:
            kind = ir.TensorType(ir.DataType.from_numpy(feed[name].dtype))
            known[name] = ir.Value(name=name, type=kind, shape=ir.Shape([None] * feed[name].ndim))
    copy = ir.Node(
        node.domain,
        node.op_type,
        [known[str(value.name)] if value is not None else None for value in node.inputs],
        list(node.attributes.values()),
        num_outputs=len(node.outputs),
        name=node.name,
    )
    for old, new in zip(node.outputs, copy.outputs, strict=True):
        new.name = old.name
    used = {value.name for value in _used_outputs(node)}
    graph = ir.Graph(
        [value for value in known.values() if value.const_value is None],
        [value for value in copy.outputs if value.name in used],
        nodes=[copy],
        initializers=[value for value in known.values() if value.const_value is not None],
        opset_imports=dict(graph_model.opset_imports),
        name="node",
    )
    return ir.Model(graph, ir_version=graph_model.ir_version)
