"""The rules by operator, and the walk over the graph that applies them."""

from collections.abc import Callable

import onnx_ir as ir

from explorer.errors import ModelError
from explorer.graph.channel_labels import TooManyIdsError
from explorer.graph.memory import captured
from explorer.graph.operators import int_attribute, is_standard
from explorer.graph.shapes import infer_probes
from explorer.graph.tracer import Tracer

Rule = Callable[[Tracer, ir.Node], None]

RULES: dict[tuple[str, str], Rule] = {}  # by domain and operator
FOLLOWED: dict[tuple[str, str], int] = {}  # how many of an operator's inputs its rule follows
ALL = 2**31


def rule(ops: str, domain: str = "", follows: int = 1) -> Callable[[Rule], Rule]:
    """Register a rule for one or more operators; a second rule for the same op is a mistake.

    It `follows` the channels of so many inputs; those that enter through others are kept.
    """

    def register(function: Rule) -> Rule:
        for op in ops.split():
            if (domain, op) in RULES:
                raise ValueError(f"{op} already has a rule")
            RULES[domain, op], FOLLOWED[domain, op] = function, follows
        return function

    return register


def trace(tracer: Tracer) -> None:
    """Let the ids flow through the whole graph, in its order."""
    graph = tracer.model.graph_model.graph
    for node in graph:
        tracer.node_name, tracer.node = str(node.name), where(node)
        domain = "" if is_standard(node) else node.domain
        function = RULES.get((domain, node.op_type))
        if function is None:
            tracer.keep_inputs(node, f"feeds {where(node)}, an operator without a pruning rule")
        elif not _shapes_are_known(tracer, node):
            tracer.keep_inputs(node, f"feeds {where(node)}, whose shape depends on the data")
            tracer.leave(node, "has a shape that depends on the data")
        else:
            _apply(tracer, node, function)
            for value in node.inputs[FOLLOWED[domain, node.op_type] :]:
                labels = tracer.labels_of(value)
                if labels is not None:
                    tracer.keep(labels.ids, f"is a parameter of {where(node)}")
        _keep_captured(tracer, node)
    for value in graph.outputs:
        labels = tracer.labels_of(value)
        if labels is not None:
            tracer.keep(labels.ids, f"feeds graph output {value.name!r}")
    tracer.keep_shared()


def _apply(tracer: Tracer, node: ir.Node, function: Rule) -> None:
    try:
        function(tracer, node)
    except (IndexError, ValueError, KeyError) as error:
        raise ModelError(
            f"{where(node)} doesn't fit the tensors that enter it, so the file can't be followed."
        ) from error
    except TooManyIdsError:
        tracer.keep_inputs(node, f"is scattered over too many elements by {where(node)}")
    labels = tracer.labels_of(node.outputs[0])
    used = [value for value in node.outputs[1:] if value.uses() or value.is_graph_output()]
    if node.op_type in MANY_OUTPUTS or labels is None:
        return
    if any(tracer.labels_of(value) is None for value in used):
        tracer.keep(labels.ids, f"leaves {where(node)} through a second output")


MANY_OUTPUTS = frozenset({"Split", "GRU", "LSTM", "RNN"})  # their rules label every output


def where(node: ir.Node) -> str:
    """A node as a reader can find it: operator and name."""
    return f"{node.op_type} {node.name!r}"


def _shapes_are_known(tracer: Tracer, node: ir.Node) -> bool:
    labelled = [value for value in node.inputs if tracer.labels_of(value) is not None]
    named = [value for value in node.outputs if value.name]
    return all(tracer.shape_of(value) is not None for value in (*labelled, *named[:1]))


def _keep_captured(tracer: Tracer, node: ir.Node) -> None:
    for value in captured(node):
        labels = tracer.labels_of(value)
        if labels is not None:
            tracer.keep(labels.ids, f"is used inside the subgraph of {where(node)}")


def axis_of(tracer: Tracer, node: ir.Node, name: str, default: int) -> int:
    """An axis attribute, counted from the front."""
    axis = int_attribute(node, name, default)
    shape = tracer.shape_of(node.inputs[0])
    return axis % len(shape) if shape else axis


def is_open(tracer: Tracer, value: ir.Value | None, axis: int) -> bool:
    """True for an axis along which places have no fixed meaning: it holds an open dimension too."""
    found = infer_probes(tracer.model).dims(str(value.name)) if value is not None else []
    return not found or len({shape[axis] for shape in found}) > 1


def constant_value(value: ir.Value | None) -> ir.Value:
    """A value that the caller knows to be there."""
    assert value is not None
    return value


def hold(tracer: Tracer, node: ir.Node, axes: list[int], verb: str) -> None:
    """Pass the first input's labels; along `axes` no single index can be removed."""
    labels = tracer.labels_of(node.inputs[0])
    if labels is None:
        return
    held = [axis for axis in axes if axis in labels.axes]
    reason = f"{verb} {where(node)}"
    if held and set(held) == set(labels.axes):
        tracer.keep(labels.ids, reason)
        return
    for axis in held:
        tracer.fix(node.inputs[0], axis, reason)
    tracer.label(node.outputs[0], labels)
