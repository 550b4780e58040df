"""Parameters that no layer of the table has, summed up in one sentence."""

from collections.abc import Iterator

import onnx_ir as ir

from explorer.graph.layers import BIASED, find_all_layers
from explorer.graph.operators import GATES, dims_of
from explorer.graph.weights import StoredWeight, all_graphs, find_weights
from explorer.network import Network, per_model

# One of a kind, and several.
BIAS = ("bias", "biases")
SCALE = ("scale or shift of a normalisation", "scales and shifts of normalisations")
OUTPUT = ("tensor that is also an output", "tensors that are also outputs")
UNUSED = ("tensor that nothing reads", "tensors that nothing reads")
Kind = tuple[str, str]
NORMALISATION = "Normalization"  # ends the names of all of them
SUM_BIASES = ("Add", "Sub")


@per_model
def describe_others(model: Network) -> str:
    """Which parameters the table of layers doesn't have; empty where it has all.

    >>> describe_others(load("sample_models/fashion_mlp.onnx"))  # doctest: +SKIP
    'Besides these layers, the file has 3 biases (266 numbers). They are neither ...'
    """
    listed = {layer.weight for layer in find_all_layers(model)}
    kinds: dict[Kind, list[int]] = {}
    for weight, value in _others(model, listed):
        kinds.setdefault(_kind(value), []).append(weight.size)
    if not kinds:
        return ""
    parts = [_counted(kind, sizes) for kind, sizes in kinds.items()]
    start = "Besides these layers, the file has" if listed else "The file has only"
    shrink = ", though they shrink where channels of these layers are removed" if listed else ""
    return (
        f"{start} {_joined(parts)}. They are neither quantized nor masked{shrink}: only weights in "
        "float16, float32 or float64 of Conv, Gemm, MatMul, embeddings and recurrent cells are."
    )


def _others(model: Network, listed: set[str]) -> Iterator[tuple[StoredWeight, ir.Value]]:
    values = {
        str(value.name): value
        for graph in all_graphs(model.graph_model)
        for value in graph.initializers.values()
    }
    for weight in find_weights(model):
        if weight.name not in listed:
            yield weight, values[weight.name]


def _kind(value: ir.Value) -> Kind:
    """What a parameter is, by the first node that reads it."""
    if value.is_graph_output():
        return OUTPUT
    uses = list(value.uses())
    if not uses:
        return UNUSED
    node, place = uses[0].node, uses[0].idx
    if NORMALISATION in node.op_type:
        return SCALE
    is_bias = place == (3 if node.op_type in GATES else 2) and node.op_type in BIASED | GATES.keys()
    is_row = sum(size != 1 for size in dims_of(value)) <= 1
    if is_bias or (node.op_type in SUM_BIASES and is_row):
        return BIAS
    return f"tensor that {node.op_type} reads", f"tensors that {node.op_type} reads"


def _counted(kind: Kind, sizes: list[int]) -> str:
    numbers = sum(sizes)
    noun = kind[len(sizes) > 1]
    return f"{len(sizes):,} {noun} ({numbers:,} {'number' if numbers == 1 else 'numbers'})"


def _joined(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
