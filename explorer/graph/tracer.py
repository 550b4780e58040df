"""Channel ids, and the record of where they have been seen.

Every output channel of every layer gets an id. The rules of `rules.py` let the ids flow through
the graph; what they meet is written down here: which slices of which weights belong to an id, which
ids are paired (and so live and die together), and which must stay, with the reason.
"""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from explorer.graph.layers import find_layers
from explorer.graph.shapes import Shapes, infer_shapes
from explorer.model import Layer, Model, Shape

Ids = npt.NDArray[np.int64]
NO_CHANNEL = 0  # an element that belongs to no removable channel


@dataclass(frozen=True)
class Labels:
    """The channel id of each index along one axis of a tensor; the other axes don't matter."""

    axis: int
    ids: Ids  # (dim,)


@dataclass
class Tracer:
    """Labels of every tensor so far, and everything learnt about the ids on the way.

    `cuts`: ids along an axis of an initialiser; `produced`: output ids of each layer; `regrouped`:
    input ids of depthwise convolutions, whose `group` attribute follows them; `sized`: nodes with
    constants that name sizes or places along an axis, which must follow the channels.
    """

    model: Model
    shapes: Shapes
    layers: dict[str, Layer]  # by node name
    labels: dict[str, Labels] = field(default_factory=dict)
    cuts: dict[tuple[str, int], Ids] = field(default_factory=dict)
    produced: dict[str, Ids] = field(default_factory=dict)
    regrouped: dict[str, Ids] = field(default_factory=dict)
    sized: dict[str, int] = field(default_factory=dict)
    pairs: list[tuple[Ids, Ids]] = field(default_factory=list)
    kept: list[tuple[Ids, str]] = field(default_factory=list)
    unlabelled: dict[str, str] = field(default_factory=dict)  # layer -> why it has no ids
    cutters: dict[tuple[str, int], set[str]] = field(default_factory=dict)  # nodes, for each cut
    node: str = ""  # the one whose rule is at work
    next_id: int = 1

    @classmethod
    def of(cls, model: Model) -> "Tracer":
        """A tracer that has seen nothing yet."""
        layers = {layer.node: layer for layer in find_layers(model)}
        return cls(model, infer_shapes(model), layers)

    def labels_of(self, value: ir.Value | None) -> Labels | None:
        """Labels of a tensor, if it has any."""
        return self.labels.get(str(value.name)) if value is not None else None

    def shape_of(self, value: ir.Value | None) -> Shape | None:
        """Shape of a tensor, if it is known."""
        return self.shapes.dims.get(str(value.name)) if value is not None else None

    def fresh(self, count: int) -> Ids:
        """New ids, one per channel."""
        ids = np.arange(self.next_id, self.next_id + count)
        self.next_id += count
        return ids

    def label(self, value: ir.Value, labels: Labels | None) -> None:
        """Set the labels of a tensor; None leaves it without."""
        if labels is not None and labels.ids.any():
            self.labels[str(value.name)] = labels

    def produce(self, node: ir.Node, ids: Ids) -> None:
        """Note the ids on a layer's output channels, with its bias; weights are cut by the rule."""
        layer = self.layers[str(node.name)]
        self.produced[layer.name] = ids
        bias = node.inputs[2] if len(node.inputs) > 2 else None
        if bias is not None:
            shape = self.shape_of(bias)
            if bias.const_value is None:
                self.keep(ids, f"gets its bias from the tensor {bias.name!r}")
            elif shape and shape[-1] == len(ids):
                self.cut(bias, len(shape) - 1, ids)

    def cut(self, constant: ir.Value, axis: int, ids: Ids) -> None:
        """Note that slices of an initialiser along `axis` belong to `ids`.

        An initialiser that is used twice pairs the ids of both uses.
        """
        key = (str(constant.name), axis)
        self.cutters.setdefault(key, set()).add(self.node)
        if key in self.cuts:
            self.pair(self.cuts[key], ids, f"uses the shared weight {constant.name!r}")
        else:
            self.cuts[key] = ids

    def keep_shared(self) -> None:
        """Keep slices of an initialiser that another node reads without losing the same ones."""
        initializers = self.model.graph_model.graph.initializers
        for (name, axis), ids in self.cuts.items():
            others = [
                node
                for node in initializers[name].consumers()
                if str(node.name) not in self.cutters[name, axis]
            ]
            if others or initializers[name].is_graph_output():
                reader = (
                    f"{others[0].op_type} {others[0].name!r}" if others else "the graph's output"
                )
                self.keep(ids, f"shares the weight {name!r} with {reader}")

    def pair(self, left: Ids, right: Ids, reason: str) -> None:
        """Let two rows of ids live and die together; `reason` is told where one row has none."""
        self.keep(left[right == NO_CHANNEL], reason)
        self.keep(right[left == NO_CHANNEL], reason)
        both = (left != NO_CHANNEL) & (right != NO_CHANNEL)
        self.pairs.append((left[both], right[both]))

    def keep(self, ids: Ids, reason: str) -> None:
        """Note that these channels can't go."""
        ids = ids[ids != NO_CHANNEL]
        if len(ids):
            self.kept.append((ids, reason))

    def keep_inputs(self, node: ir.Node, reason: str) -> None:
        """Note that no channel which enters this node can go."""
        for value in node.inputs:
            labels = self.labels_of(value)
            if labels is not None:
                self.keep(labels.ids, reason)
