"""Where formulas are registered, and how one node is counted."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import onnx_ir as ir

from explorer.graph.costs.zero import ZERO_MAC_OPS
from explorer.graph.operators import STANDARD_DOMAINS, int_attribute
from explorer.network import Shape

Dims = Sequence[Shape | None]


class UnknownShapeError(Exception):
    """A formula needs a shape that nobody knows; the node is then reported, not counted."""


@dataclass(frozen=True)
class Call:
    """One node with the shapes of what enters and leaves it; None where a shape isn't known."""

    node: ir.Node
    inputs: Dims
    outputs: Dims

    def input(self, position: int) -> Shape:
        """Shape of an input.

        Raises:
            UnknownShapeError: it isn't known, or there is no such input.
        """
        return _at(self.inputs, position)

    def output(self, position: int = 0) -> Shape:
        """Shape of an output.

        Raises:
            UnknownShapeError: it isn't known, or there is no such output.
        """
        return _at(self.outputs, position)

    def has(self, position: int) -> bool:
        """True where an optional input is given."""
        return len(self.node.inputs) > position and self.node.inputs[position] is not None

    def number(self, name: str, default: int = 0) -> int:
        """An integer attribute."""
        return int_attribute(self.node, name, default)


Formula = Callable[[Call], int]

FORMULAS: dict[tuple[str, str], Formula] = {}


def formula(ops: str, domain: str = "") -> Callable[[Formula], Formula]:
    """Register the formula of operators of a domain; a second one for the same op is a mistake."""

    def register(function: Formula) -> Formula:
        for op in ops.split():
            if (domain, op) in FORMULAS or (domain, op) in ZERO_MAC_OPS:
                raise ValueError(f"{op} already has a formula")
            FORMULAS[domain, op] = function
        return function

    return register


def node_macs(node: ir.Node, inputs: Dims, outputs: Dims) -> int | None:
    """Multiply-accumulates of one node, or None where there is no formula for it.

    Raises:
        UnknownShapeError: the formula needs a shape that nobody knows.
    """
    key = ("" if node.domain in STANDARD_DOMAINS else node.domain, node.op_type)
    if key in ZERO_MAC_OPS:
        return 0
    function = FORMULAS.get(key)
    return function(Call(node, inputs, outputs)) if function is not None else None


def _at(shapes: Dims, position: int) -> Shape:
    shape = shapes[position] if len(shapes) > position else None
    if shape is None:
        raise UnknownShapeError
    return shape
