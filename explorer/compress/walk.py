"""Running a graph stretch by stretch, so that a weight can change right before its node runs."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy.typing as npt
import onnx_ir as ir

from explorer.formats.data import Dataset
from explorer.formats.onnx_file import OnnxFile, encoded
from explorer.measure.runtime import SCORING_THREADS, new_session, run
from explorer.model import Model

Array = npt.NDArray[Any]
Chunks = list[Array]


class Walk:
    """The activations of one graph on some samples, computed in the order of its nodes.

    The samples run in chunks of at most `chunk`. `values` holds what a later stretch still needs,
    one array for each chunk.
    """

    def __init__(
        self, graph_model: ir.Model, samples: Sequence[Dataset], model: Model, chunk: int
    ) -> None:
        self.graph_model = graph_model
        feeds = [feed for part in samples for feed in part.batches(model, chunk)]
        self.values: dict[str, Chunks] = {
            spec.name: [feed[spec.name] for feed in feeds] for spec in model.inputs
        }
        self._chunks = len(feeds)
        self._readers: Counter[str] = Counter()
        for node in graph_model.graph:
            self._readers.update(_read(node))

    def run(self, nodes: Sequence[ir.Node]) -> None:
        """Compute the next nodes together, and forget what no later one reads."""
        for node in nodes:
            self._readers.subtract(_read(node))
        given = {str(value.name) for node in nodes for value in node.outputs}
        fed = {name for node in nodes for name in _read(node) if name in self.values} - given
        kept = [name for name in sorted(given) if self._readers[name] > 0]
        if kept:
            first = {name: self.values[name][0] for name in fed}
            name, graph = str(nodes[0].name), _part(self.graph_model, nodes, first, kept)
            part = Model.of_file(OnnxFile(name, encoded(graph, name), graph))
            session = new_session(part, SCORING_THREADS)
            outputs = [
                run(part, session, {name: self.values[name][chunk] for name in fed})
                for chunk in range(self._chunks)
            ]
            for place, name in enumerate(kept):
                self.values[name] = [chunk[place] for chunk in outputs]
        for name in fed:
            if self._readers[name] <= 0:
                del self.values[name]

    def replace(self, name: str, change: Callable[[Array], Array]) -> None:
        """Change an activation, chunk by chunk, before the nodes that read it run."""
        self.values[name] = [change(chunk) for chunk in self.values[name]]


def _read(node: ir.Node) -> list[str]:
    return [str(value.name) for value in node.inputs if value is not None]


def _part(
    graph_model: ir.Model, nodes: Sequence[ir.Node], feed: dict[str, Array], kept: list[str]
) -> ir.Model:
    """A model of some nodes, with their constants: from what is fed to what is kept."""
    known: dict[str, ir.Value] = {}
    for name, array in feed.items():
        kind = ir.TensorType(ir.DataType.from_numpy(array.dtype))
        known[name] = ir.Value(name=name, type=kind, shape=ir.Shape([None] * array.ndim))
    inputs, constants, copies = list(known.values()), [], []
    for node in nodes:
        for value in node.inputs:
            if value is not None and str(value.name) not in known:
                constant = ir.Value(
                    name=value.name,
                    const_value=value.const_value,
                    type=value.type,
                    shape=value.shape,
                )
                known[str(value.name)] = constant
                constants.append(constant)
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
            known[str(old.name)] = new
        copies.append(copy)
    graph = ir.Graph(
        inputs,
        [known[name] for name in kept],
        nodes=copies,
        initializers=constants,
        opset_imports=dict(graph_model.opset_imports),
        name="part",
    )
    return ir.Model(graph, ir_version=graph_model.ir_version)
