"""A recurrent cell starts from zero if nothing is said, so an initial state of zeros goes."""

import onnx_ir as ir

from explorer.graph.normalize.folded_weights import MOVES_OF_WEIGHTS
from explorer.graph.normalize.rewriting import drop_unread
from explorer.graph.operators import GATES, is_standard

MOVES_OF_ZEROS = MOVES_OF_WEIGHTS | {"Cast", "Expand", "Gather", "Identity", "Slice", "Tile"}
FIRST_STATE = 5  # inputs 5 and 6 of ONNX's recurrent operators are the initial states


def drop_zero_states(graph: ir.Graph) -> None:
    """Let every RNN, GRU and LSTM that starts from zero have no initial state."""
    for node in list(graph):
        if node.op_type not in GATES or not is_standard(node):
            continue
        for position in range(FIRST_STATE, min(FIRST_STATE + 2, len(node.inputs))):
            state = node.inputs[position]
            if state is not None and _is_zero(state):
                node.replace_input_with(position, None)
                drop_unread(graph, state)


def _is_zero(value: ir.Value) -> bool:
    """True for a tensor that is zero whatever enters the network."""
    while value.const_value is None:
        node = value.producer()
        if node is None or not is_standard(node):
            return False
        if node.op_type == "ConstantOfShape":
            fill = node.attributes.get("value")
            return fill is None or not fill.as_tensor().numpy().any()
        source = node.inputs[0] if node.inputs else None
        if node.op_type not in MOVES_OF_ZEROS or source is None:
            return False
        value = source
    return not value.const_value.numpy().any()
