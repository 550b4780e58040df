"""Raising a graph's opset, so that newer storage types may stand in it.

A node means the same in a newer opset where its operator did not change, where the change only
added types, optional inputs, or attributes whose default is what was before, or where a function in
`conversions` rewrites it. Whatever else there is stays at its opset.
"""

import onnx
import onnx_ir as ir

from explorer.errors import CompressionError
from explorer.graph.conversions import (
    CONVERSIONS,
    SOFTMAXES,
    NotConvertibleError,
    Site,
    spread_softmax,
)
from explorer.graph.operators import is_standard, opset_of
from explorer.graph.shapes import Shapes

SOFTMAX_OPSET = 13  # from here on it runs along one axis
# Attributes that came later, and whose default is what an operator did without them.
HARMLESS_ATTRIBUTES = frozenset(
    tuple(entry.split("."))
    for entry in """
    ArgMax.select_last_index ArgMin.select_last_index Attention.left_window_size
    Attention.right_window_size AveragePool.ceil_mode AveragePool.dilations
    BatchNormalization.training_mode Cast.round_mode Cast.saturate CastLike.round_mode
    CastLike.saturate Constant.sparse_value Constant.value_float Constant.value_floats
    Constant.value_int Constant.value_ints Constant.value_string Constant.value_strings
    DepthToSpace.mode DequantizeLinear.axis DequantizeLinear.block_size
    DequantizeLinear.output_dtype GRU.layout GatherND.batch_dims LSTM.layout LpPool.ceil_mode
    LpPool.dilations MaxPool.ceil_mode MaxPool.dilations MaxPool.storage_order QuantizeLinear.axis
    QuantizeLinear.block_size QuantizeLinear.output_dtype QuantizeLinear.precision
    QuantizeLinear.saturate RNN.layout Reshape.allowzero Resize.antialias Resize.axes
    Resize.keep_aspect_ratio_policy ScatterElements.reduction ScatterND.reduction Shape.end
    Shape.start TopK.largest TopK.sorted
    """.split()
)


class CannotRaiseError(CompressionError):
    """A node has no equal in a newer opset; `why` says which and why, as part of a sentence."""

    def __init__(self, opset: int, why: str) -> None:
        super().__init__(f"The graph can't be raised to opset {opset}: {why}.")
        self.why = why


def upgrade(graph_model: ir.Model, target: int, shapes: Shapes) -> ir.Model:
    """The same graph, changed in place, at opset `target` or newer; names of tensors stay.

    `shapes` are those of the graph, from before any tensor in it shrank.

    Raises:
        CannotRaiseError: a node has no equal there; the graph is of no use then.
    """
    current = opset_of(graph_model)
    if current >= target:
        return graph_model
    taken = _names(graph_model)
    for node in list(graph_model.graph.all_nodes()):
        if is_standard(node):
            _raise_node(Site(node, graph_model.graph, shapes, taken), current, target)
    graph_model.opset_imports.pop("ai.onnx", None)
    graph_model.opset_imports[""] = target
    needed = onnx.helper.find_min_ir_version_for([onnx.helper.make_opsetid("", target)])
    graph_model.ir_version = max(graph_model.ir_version, needed)
    return graph_model


def spread_softmaxes(graph_model: ir.Model, shapes: Shapes) -> None:
    """Write each Softmax that runs over several axes, as before opset 13, so that it says so."""
    if opset_of(graph_model) >= SOFTMAX_OPSET:
        return
    taken = _names(graph_model)
    for node in list(graph_model.graph.all_nodes()):
        if is_standard(node) and node.op_type in SOFTMAXES:
            spread_softmax(Site(node, graph_model.graph, shapes, taken))


def has_spread_softmax(graph_model: ir.Model) -> bool:
    """True where there is a Softmax that may run over several axes."""
    if opset_of(graph_model) >= SOFTMAX_OPSET:
        return False
    return any(node.op_type in SOFTMAXES for node in graph_model.graph.all_nodes())


def _names(graph_model: ir.Model) -> set[str]:
    names = {str(node.name) for node in graph_model.graph.all_nodes()}
    names |= {str(out.name) for node in graph_model.graph.all_nodes() for out in node.outputs}
    graphs = [graph_model.graph, *graph_model.graph.subgraphs()]
    for graph in graphs:
        names |= set(graph.initializers) | {str(value.name) for value in graph.inputs}
    return names


def _raise_node(site: Site, current: int, target: int) -> None:
    """Rewrite one node, change by change."""
    node, opset = site.node, current
    while opset < target:
        opset += 1
        version = _schema(node, opset).since_version
        if version != opset:
            continue
        convert = CONVERSIONS.get((node.op_type, opset))
        if convert is None and not _means_the_same(node, opset):
            raise _refusal(node, target, f"means something else from opset {opset} on")
        try:
            if convert is not None:
                convert(site)
        except NotConvertibleError as error:
            raise _refusal(node, target, str(error)) from error


def _schema(node: ir.Node, opset: int) -> onnx.defs.OpSchema:
    try:
        return onnx.defs.get_schema(node.op_type, opset)
    except onnx.defs.SchemaError as error:
        raise _refusal(node, opset, "is not known in that opset") from error


def _refusal(node: ir.Node, target: int, why: str) -> CannotRaiseError:
    return CannotRaiseError(target, f"{node.op_type} {node.name!r} {why}")


def _means_the_same(node: ir.Node, opset: int) -> bool:
    """True where an opset brought only types, optional inputs, or harmless attributes."""
    old, new = _schema(node, opset - 1), _schema(node, opset)
    optional = onnx.defs.OpSchema.FormalParameterOption.Optional
    inputs, outputs = len(old.inputs), len(old.outputs)
    return (
        not new.deprecated
        and [x.name for x in old.inputs] == [x.name for x in new.inputs[:inputs]]
        and [x.name for x in old.outputs] == [x.name for x in new.outputs[:outputs]]
        and all(x.option == optional for x in (*new.inputs[inputs:], *new.outputs[outputs:]))
        and all(_same_default(name, old, new) for name in old.attributes)
        and all(
            (node.op_type, name) in HARMLESS_ATTRIBUTES
            for name in set(new.attributes) - set(old.attributes)
        )
    )


def _same_default(name: str, old: onnx.defs.OpSchema, new: onnx.defs.OpSchema) -> bool:
    if name not in new.attributes:
        return False
    before, after = old.attributes[name].default_value, new.attributes[name].default_value
    return bool(before.SerializeToString() == after.SerializeToString())
