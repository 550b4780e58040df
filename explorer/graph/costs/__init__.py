"""Multiply-accumulates of each operator: one formula per op, on shapes alone.

Counted are products that are summed: convolutions, matrix products (attention's too) and recurrent
cells. Element-wise arithmetic, pooling, interpolation and normalisation have no multiply-accumulate
of that kind and count as zero by name; an operator in neither list is reported, never counted as
zero.
"""

from explorer.graph.costs import attention, products, quantized, recurrent  # noqa: F401 - register
from explorer.graph.costs.graphs import count_graph, count_node, macs_by_node
from explorer.graph.costs.registry import FORMULAS, Call, formula, node_macs
from explorer.graph.costs.zero import ZERO_MAC_OPS

__all__ = [
    "FORMULAS",
    "ZERO_MAC_OPS",
    "Call",
    "count_graph",
    "count_node",
    "formula",
    "macs_by_node",
    "node_macs",
]
