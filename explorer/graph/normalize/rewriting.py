"""The edits that all rewrites are made of: a constant, and one value read instead of another."""

import onnx_ir as ir

from explorer.graph.initializers import Array, add_initializer


def new_constant(
    graph: ir.Graph, name: str, array: Array, replacing: ir.Value | None = None
) -> ir.Value:
    """A new initializer, under a name that is free; `replacing` gives its name up."""
    if replacing is not None:
        del graph.initializers[name]
        replacing.name = f"{name}/unmoved"
    while name in graph.initializers:
        name += "_"
    return add_initializer(graph, name, array)


def replace(graph: ir.Graph, node: ir.Node, value: ir.Value) -> None:
    """Let the readers of a node's only output read a value instead, and drop what nobody reads."""
    node.outputs[0].replace_all_uses_with(value)
    drop_unread(graph, node.outputs[0])


def replace_node(graph: ir.Graph, old: ir.Node, new: ir.Node) -> None:
    """Put a node in the place of another one, under its output's name."""
    graph.insert_before(old, new)
    name = str(old.outputs[0].name)
    old.outputs[0].name, new.outputs[0].name = f"{name}/unused", name
    replace(graph, old, new.outputs[0])


def drop_unread(graph: ir.Graph, value: ir.Value) -> None:
    """Drop the node behind a value that nobody reads any more, and what only it has read."""
    unread = [value]
    while unread:
        value = unread.pop()
        node = value.producer()
        if value.uses() or value.is_graph_output():
            continue
        if node is None:
            if value.const_value is not None and str(value.name) in graph.initializers:
                del graph.initializers[str(value.name)]
            continue
        if any(out.uses() or out.is_graph_output() for out in node.outputs):
            continue
        sources = [source for source in node.inputs if source is not None]
        graph.remove(node, safe=True)
        unread.extend(sources)
