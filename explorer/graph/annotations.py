"""Text in a file that no runtime reads: what exporters and tools note beside nodes and tensors.

PyTorch's exporter writes a stack trace with the paths of the machine into every node; others write
doc strings, and shapes of intermediate tensors that each runtime infers anew. What the model says
of itself as a whole is none of that: its own metadata (class names, author, licence), its
description, and the names of its inputs and outputs.
"""

from collections.abc import Iterator

import onnx

from explorer.network import Network, per_model


@per_model
def annotation_bytes(model: Network) -> int:
    """Bytes of a model's file that are notes."""
    proto = onnx.load_model_from_string(model.data)
    size = int(proto.ByteSize())
    clear(proto)
    return size - int(proto.ByteSize())


def clear(proto: onnx.ModelProto) -> None:
    """Take the notes out of a file, in place."""
    graphs = [proto.graph, *(inner for node in proto.graph.node for inner in _inner(node))]
    for function in proto.functions:
        _clear_fields(function, "doc_string", "metadata_props", "value_info")
        graphs += [inner for node in function.node for inner in _inner(node)]
        _clear_nodes(function.node)
    for graph in graphs:
        _clear_fields(graph, "doc_string", "metadata_props", "value_info")
        _clear_nodes(graph.node)
        for tensor in graph.initializer:
            _clear_fields(tensor, "doc_string", "metadata_props")
        for value in (*graph.input, *graph.output):
            _clear_fields(value, "doc_string", "metadata_props")


def _clear_nodes(nodes: list[onnx.NodeProto]) -> None:
    for node in nodes:
        _clear_fields(node, "doc_string", "metadata_props")
        for attribute in node.attribute:
            _clear_fields(attribute, "doc_string")


def _clear_fields(message: object, *names: str) -> None:
    for name in names:
        message.ClearField(name)  # type: ignore[attr-defined]  # any message of ONNX


def _inner(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    """Graphs in the attributes of a node, and those in their nodes."""
    for attribute in node.attribute:
        for graph in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
            yield graph
            for inside in graph.node:
                yield from _inner(inside)
