"""Zeros or ones that several nodes read are a coincidence: each reader gets its own.

Exporters store equal tensors once, and so tie the biases of an untrained network together.
"""

import onnx_ir as ir

from explorer.graph.normalize.rewriting import new_constant
from explorer.graph.operators import WEIGHT_DTYPES

MOST_UNSHARED = 2**16  # elements


def unshare_constants(graph: ir.Graph) -> None:
    """Copy each such tensor for all of its readers but the first."""
    for name, value in list(graph.initializers.items()):
        tensor, readers = value.const_value, list(value.uses())
        if tensor is None or tensor.dtype not in WEIGHT_DTYPES or value.is_graph_output():
            continue
        if len(readers) < 2 or not 1 < tensor.size <= MOST_UNSHARED:
            continue
        array = tensor.numpy()
        if (array == array.flat[0]).all():
            for reader, position in readers[1:]:
                reader.replace_input_with(position, new_constant(graph, name, array))
