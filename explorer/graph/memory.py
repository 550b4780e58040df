"""Largest set of activations that is alive at once.

The graph runs in its order; a tensor lives from the node that makes it to the last that reads it,
graph outputs to the end. Tensors computed from constants or shapes alone are no activations. What
only feeds a QuantizeLinear is never stored wide: it and the pair after it are one 8-bit tensor, and
the pair takes no step of its own.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from explorer.network import Network, per_model

QUANTIZE, DEQUANTIZE = "QuantizeLinear", "DequantizeLinear"


@dataclass(frozen=True)
class Lifetimes:
    """Stored tensors, with the first and the last step at which each is alive."""

    names: tuple[str, ...]
    first: npt.NDArray[np.int64]
    last: npt.NDArray[np.int64]


def peak_bytes(
    first: npt.NDArray[np.int64], last: npt.NDArray[np.int64], sizes: npt.NDArray[np.int64]
) -> int:
    """Largest sum of `sizes` (bytes) alive at one step, each from `first` to `last` inclusive."""
    change = np.zeros(int(last.max(initial=0)) + 2, dtype=np.int64)
    np.add.at(change, first, sizes)
    np.add.at(change, last + 1, -sizes)
    return int(change.cumsum().max(initial=0))


@per_model
def find_lifetimes(model: Network) -> Lifetimes:
    """Lifetimes of all activations of a model."""
    graph = model.graph_model.graph
    constant = constant_values(graph)
    stored_as = _storage(graph, constant)
    first: dict[str, int] = {}
    last: dict[str, int] = {}

    def touch(values: Iterable[ir.Value | None], step: int) -> None:
        for value in values:
            if value is not None and value.name in stored_as:
                stored = _root(stored_as, str(value.name))
                first.setdefault(stored, step)
                last[stored] = max(step, last.get(stored, step))

    step = 0
    touch(graph.inputs, step)
    for node in graph:
        step += node.op_type not in (QUANTIZE, DEQUANTIZE)
        touch((*node.inputs, *captured(node), *node.outputs), step)
    touch(graph.outputs, step + 1)
    names = tuple(first)
    return Lifetimes(
        names,
        np.array([first[name] for name in names], dtype=np.int64),
        np.array([last[name] for name in names], dtype=np.int64),
    )


def _root(stored_as: dict[str, str], name: str) -> str:
    while stored_as[name] != name:
        name = stored_as[name]
    return name


def constant_values(graph: ir.Graph) -> set[ir.Value]:
    """Initialisers, shapes, and everything computed from these alone."""
    constant = set(graph.initializers.values())
    for node in graph:
        inputs = [value for value in (*node.inputs, *captured(node)) if value is not None]
        if node.op_type in ("Shape", "Size") or (inputs and constant.issuperset(inputs)):
            constant.update(node.outputs)
    return constant


def captured(node: ir.Node) -> list[ir.Value]:
    """Outer tensors that a node's subgraphs read."""
    graphs: list[ir.Graph] = []
    for attribute in node.attributes.values():
        if attribute.type == ir.AttributeType.GRAPH:
            graphs.append(attribute.as_graph())
        elif attribute.type == ir.AttributeType.GRAPHS:
            graphs.extend(attribute.as_graphs())
    read = []
    for graph in graphs:
        for inner in ir.traversal.RecursiveGraphIterator(graph):
            read.extend([v for v in inner.inputs if v is not None and v.graph is node.graph])
    return read


def _storage(graph: ir.Graph, constant: set[ir.Value]) -> dict[str, str]:
    values = [*graph.inputs, *(value for node in graph for value in node.outputs)]
    stored = {str(v.name): str(v.name) for v in values if v not in constant and v.name}
    for node in graph:
        source = node.inputs[0] if node.inputs else None
        if source is None or source in constant:
            continue
        output = str(node.outputs[0].name)
        if node.op_type == QUANTIZE and only_quantized(source):
            stored[str(source.name)] = output
        elif node.op_type == DEQUANTIZE:
            stored[output] = str(source.name)
    return stored


def only_quantized(value: ir.Value) -> bool:
    """True for a tensor that nothing reads but QuantizeLinear, so no wide copy is stored."""
    readers = value.consumers()
    quantized = all(node.op_type == QUANTIZE for node in readers)
    return (
        bool(readers) and quantized and not value.is_graph_output() and not value.is_graph_input()
    )
