"""Recurrent cells: one id per hidden unit, shared by all its gates and by both directions."""

import numpy as np
import onnx_ir as ir

from explorer.graph.channel_labels import Ids, Labels
from explorer.graph.operators import GATES
from explorer.graph.rules.constants import follow_unlabelled
from explorer.graph.rules.registry import ALL, constant_value, rule, where
from explorer.graph.tracer import Tracer

# Inputs of ONNX's recurrent operators.
DATA, WEIGHT, RECURRENCE, BIAS, LENGTHS, STATE, CELL, PEEPHOLE = range(8)


@rule("GRU LSTM RNN", follows=ALL)
def recurrent(tracer: Tracer, node: ir.Node) -> None:
    """Consumes the features of each step, makes the hidden units.

    Weights are (directions, gates x hidden, inputs) and (directions, gates x hidden, hidden).
    """
    if not tracer.is_layer(node):
        tracer.keep_inputs(node, f"feeds {where(node)}, whose weights aren't constants of floats")
        return
    gates = GATES[node.op_type]
    hidden = tracer.layers[str(node.name)][0].channels
    features = tracer.labels_of(node.inputs[DATA])
    if features is not None:
        if 2 in features.axes:
            ids = tracer.channels_on(features, 2, f"is mixed by {where(node)}")
            tracer.cut(constant_value(node.inputs[WEIGHT]), 2, ids, node)
        else:
            tracer.keep(features.ids, f"enters {where(node)} on an axis that it doesn't sum over")
    if hidden == 1:
        tracer.leave(node, "has only one channel")
        return
    units = tracer.fresh(hidden)
    tracer.cut(constant_value(node.inputs[WEIGHT]), 1, np.tile(units, gates), node)
    tracer.cut(constant_value(node.inputs[RECURRENCE]), 1, np.tile(units, gates), node)
    tracer.cut(constant_value(node.inputs[RECURRENCE]), 2, units, node)
    _keep_parameters(tracer, node)
    _follow(tracer, node, BIAS, np.tile(units, 2 * gates))
    _follow(tracer, node, PEEPHOLE, np.tile(units, 3))
    _states(tracer, node, units)
    tracer.counted[str(node.name), "hidden_size"] = units
    tracer.produce(node, units)
    for output in node.outputs:
        shape = tracer.shape_of(output)
        if shape is not None:
            tracer.label(output, Labels.on_axis(shape, len(shape) - 1, units))


def _keep_parameters(tracer: Tracer, node: ir.Node) -> None:
    for position in (BIAS, LENGTHS, PEEPHOLE):
        value = node.inputs[position] if len(node.inputs) > position else None
        labels = tracer.labels_of(value)
        if labels is not None:
            tracer.keep(labels.ids, f"is a parameter of {where(node)}")


def _follow(tracer: Tracer, node: ir.Node, position: int, ids: Ids) -> None:
    value = node.inputs[position] if len(node.inputs) > position else None
    if value is None:
        return
    if value.const_value is None:
        tracer.keep(ids, f"gets its parameters from the tensor {value.name!r}")
    else:
        tracer.cut(value, 1, ids, node)


def _states(tracer: Tracer, node: ir.Node, units: Ids) -> None:
    """Initial states have one number per hidden unit: those with channels are paired with them."""
    for position in (STATE, CELL):
        value = node.inputs[position] if len(node.inputs) > position else None
        shape = tracer.shape_of(value)
        if value is None:
            continue
        labels = tracer.labels_of(value)
        reason = f"starts from the state {value.name!r}"
        if shape is None:
            tracer.keep(units, reason)
        elif labels is not None:
            axis = len(shape) - 1
            tracer.pair(units, tracer.channels_on(labels, axis, reason), reason)
        else:
            own = Labels.on_axis(shape, len(shape) - 1, units)
            follow_unlabelled(tracer, node, value, shape, own)
