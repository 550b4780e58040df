"""Integers that the graph computes, alike whatever its open dimensions are, become constants.

So c = Gather(Shape(x), 1) of an x with 16 channels at any batch is stored as 16.
"""

import numpy as np
import onnx_ir as ir

from explorer.graph.normalize.rewriting import new_constant, replace
from explorer.graph.shapes import Probes


def freeze_integers(graph: ir.Graph, probes: Probes) -> None:
    """Store all of them that are read and aren't outputs of the graph."""
    producers = {str(value.name): node for node in graph for value in node.outputs}
    for name, array in probes.shapes[0].integers.items():
        node = producers.get(name)
        if node is None or node.outputs[0].is_graph_output() or not node.outputs[0].uses():
            continue
        if _is_constant(probes, name):
            replace(graph, node, new_constant(graph, f"{name}/value", array))


def _is_constant(probes: Probes, name: str) -> bool:
    first, *others = probes.integers(name)
    return probes.settles(1 + len(others)) and all(np.array_equal(first, x) for x in others)
