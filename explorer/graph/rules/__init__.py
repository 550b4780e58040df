"""How channel ids pass each operator: one small rule per family of operators.

A rule reads the labels of a node's inputs and either labels its outputs, pairs ids, or keeps them
with a reason. An operator without a rule keeps everything that enters it.
"""

from explorer.graph.rules import elementwise, layers, moves, normalisation, products, recurrent
from explorer.graph.rules.registry import trace

__all__ = ["elementwise", "layers", "moves", "normalisation", "products", "recurrent", "trace"]
