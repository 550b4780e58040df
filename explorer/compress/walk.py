"""Running a graph node by node, so that a weight can change right before its node runs."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy.typing as npt
import onnx_ir as ir

from explorer.formats.data import Dataset
from explorer.formats.onnx_file import encode
from explorer.measure.runtime import new_session, run
from explorer.model import Model

Array = npt.NDArray[Any]
THREADS = 2


class Walk:
    """The activations of one graph on some samples, computed one node at a time.

    `values` holds what a later node still needs.
    """

    def __init__(self, graph_model: ir.Model, samples: Dataset, model: Model) -> None:
        self.graph_model = graph_model
        types = {spec.name: spec.dtype for spec in model.inputs}
        self.values: dict[str, Array] = {
            name: array.astype(types[name]) for name, array in samples.inputs.items()
        }
        self._readers: Counter[str] = Counter()
        for node in graph_model.graph:
            self._readers.update(str(v.name) for v in node.inputs if v is not None)

    @property
    def nodes(self) -> Iterator[ir.Node]:
        """All nodes, in the order in which they run."""
        return iter(self.graph_model.graph)

    def input_of(self, node: ir.Node) -> Array:
        """The activation that enters a node first."""
        value = node.inputs[0]
        assert value is not None
        return self.values[str(value.name)]

    def output_of(self, node: ir.Node) -> Array:
        """The activation that a node has just given."""
        return self.values[str(node.outputs[0].name)]

    def run(self, node: ir.Node) -> None:
        """Compute a node's outputs; nothing for one that nobody reads."""
        used = _used_outputs(node)
        if not used:
            return
        feed = {
            str(value.name): self.values[str(value.name)]
            for value in node.inputs
            if value is not None and value.const_value is None
        }
        single = encode(_alone(self.graph_model, node, feed), str(node.name))
        outputs = run(single, new_session(single, THREADS), feed)
        names = [str(value.name) for value in used]
        self.values.update(zip(names, outputs, strict=True))

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
            known[name] = ir.Value(name=name, type=kind, shape=ir.Shape(feed[name].shape))
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
