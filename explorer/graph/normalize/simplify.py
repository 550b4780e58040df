"""Detours that exporters leave in a graph, removed before anything else looks at it.

The network computes the same afterwards. Each module of this package states the rules for one kind
of detour. `onnx_ir` has passes for identities and dead nodes in general; they are not used, see
decision 6.
"""

import onnx_ir as ir

from explorer.graph.normalize.computed import fold_computed
from explorer.graph.normalize.folded_weights import fold_weights, read_originals
from explorer.graph.normalize.frozen_integers import freeze_integers
from explorer.graph.normalize.shared_constants import unshare_constants
from explorer.graph.normalize.sized_moves import drop_literal_zeros, rewrite_sized_moves
from explorer.graph.normalize.sliced_weights import fold_slices
from explorer.graph.normalize.split_sizes import write_out_splits
from explorer.graph.normalize.zero_states import drop_zero_states
from explorer.graph.shapes import probe

SHAPE_SOURCES = frozenset({"Shape", "Size", "ConstantOfShape", "Expand"})


def simplify(graph_model: ir.Model) -> None:
    """Remove the detours of a graph, in place."""
    graph = graph_model.graph
    read_originals(graph)
    drop_literal_zeros(graph)
    if any(node.op_type in SHAPE_SOURCES for node in graph):
        probes = probe(graph_model)
        freeze_integers(graph, probes)
        rewrite_sized_moves(graph, probes)
    write_out_splits(graph_model)
    fold_computed(graph_model)
    fold_slices(graph)
    fold_weights(graph)
    unshare_constants(graph)
    drop_zero_states(graph)
