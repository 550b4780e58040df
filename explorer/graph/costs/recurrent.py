"""Recurrent cells: every gate multiplies the input and the state of each step."""

from explorer.graph.costs.registry import Call, Formula, formula
from explorer.graph.operators import CONTRIB, GATES


def _cell(gates: int) -> Formula:
    def count(call: Call) -> int:
        sequence = call.input(0)
        first, second = sequence[:2]  # steps and batch, or the other way round with `layout`
        directions, rows, inputs = call.input(1)  # (directions, gates x hidden, inputs)
        return first * second * directions * rows * (inputs + rows // gates)

    count.__doc__ = (
        f"Steps x batch x directions x {gates} x hidden x (inputs + hidden): W x + R h for each "
        "gate (ONNX operators); biases, peepholes and gates' products are element-wise."
    )
    return count


for _op, _gates in GATES.items():
    formula(_op)(_cell(_gates))


@formula("DynamicQuantizeLSTM", CONTRIB)
def dynamic_lstm(call: Call) -> int:
    """As LSTM, with its weights transposed: W (directions, inputs, 4 x hidden)."""
    steps, batch = call.input(0)[:2]
    directions, inputs, rows = call.input(1)
    return steps * batch * directions * rows * (inputs + rows // GATES["LSTM"])
