"""The record of where channel ids have been seen.

Every output channel of every layer gets an id. The rules of `rules` let the ids flow through the
graph; what they meet is written down here: which slices of which weights belong to an id, which ids
are paired (and so live and die together), and which must stay, with the reason.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir

from explorer.graph.channel_labels import NO_CHANNEL, Ids, Labels
from explorer.graph.layers import find_layers
from explorer.graph.shapes import Shapes, infer_shapes
from explorer.network import Layer, Network, Shape


@dataclass(frozen=True)
class Pair:
    """Two rows of ids that live and die together because of a node."""

    left: Ids
    right: Ids
    node: str


@dataclass(frozen=True)
class FixedAxis:
    """An axis of a tensor that can't lose single indices, though its channels may go otherwise."""

    tensor: str
    axis: int
    reason: str


@dataclass
class Tracer:
    """Labels of every tensor so far, and everything learnt about the ids on the way.

    `cuts`: for each reader, the ids of each index along an axis of an initialiser, (dim, any);
    `produced`: output ids of each layer; `counted`: attributes that count ids (as a depthwise
    convolution's `group`), by node and name; `sized`: nodes with constants that name sizes or
    places, which must follow the channels; `guarded`: ids that go only on request, because what
    they enter averages over them.
    """

    model: Network
    shapes: Shapes
    layers: dict[str, tuple[Layer, ...]]  # by node name
    labels: dict[str, Labels] = field(default_factory=dict)
    cuts: dict[tuple[str, int], list[Ids]] = field(default_factory=dict)
    produced: dict[str, Ids] = field(default_factory=dict)
    counted: dict[tuple[str, str], Ids] = field(default_factory=dict)
    sized: set[str] = field(default_factory=set)
    pairs: list[Pair] = field(default_factory=list)
    kept: list[tuple[Ids, str]] = field(default_factory=list)
    guarded: list[tuple[Ids, str]] = field(default_factory=list)
    fixed: list[FixedAxis] = field(default_factory=list)
    unlabelled: dict[str, str] = field(default_factory=dict)  # layer -> why it has no ids
    cutters: dict[tuple[str, int], list[ir.Node]] = field(default_factory=dict)  # for each cut
    order: dict[str, int] = field(default_factory=dict)  # of nodes, by name
    node_name: str = ""  # of the node whose rule is at work
    node: str = ""  # the same one, as its reader knows it
    next_id: int = 1

    @classmethod
    def of(cls, model: Network) -> "Tracer":
        """A tracer that has seen nothing yet."""
        layers: dict[str, tuple[Layer, ...]] = {}
        for layer in find_layers(model):
            layers[layer.node] = (*layers.get(layer.node, ()), layer)
        order = {str(node.name): place for place, node in enumerate(model.graph_model.graph)}
        return cls(model, infer_shapes(model), layers, order=order)

    def labels_of(self, value: ir.Value | None) -> Labels | None:
        """Labels of a tensor, if it has any."""
        return self.labels.get(str(value.name)) if value is not None else None

    def shape_of(self, value: ir.Value | None) -> Shape | None:
        """Shape of a tensor, if it is known."""
        return self.shapes.dims.get(str(value.name)) if value is not None else None

    def is_layer(self, node: ir.Node) -> bool:
        """True for a node with a constant weight of its own."""
        return str(node.name) in self.layers

    def fresh(self, count: int) -> Ids:
        """New ids, one per channel."""
        ids = np.arange(self.next_id, self.next_id + count)
        self.next_id += count
        return ids

    def label(self, value: ir.Value, labels: Labels | None) -> None:
        """Set the labels of a tensor; None leaves it without, and so does a tensor of nothing."""
        if labels is not None and 0 in labels.shape:
            self.keep(labels.ids, f"leaves nothing in {value.name!r}")
        elif labels is not None and labels.ids.any():
            self.labels[str(value.name)] = labels

    def produce(self, node: ir.Node, ids: Ids) -> None:
        """Note the ids on the output channels of a layer; weights are cut by the rule."""
        for layer in self.layers[str(node.name)]:
            self.produced[layer.name] = ids

    def leave(self, node: ir.Node, reason: str) -> None:
        """Note why no channel of a layer is prunable."""
        for layer in self.layers.get(str(node.name), ()):
            self.unlabelled[layer.name] = reason

    def cut(self, constant: ir.Value, axis: int, ids: Ids, reader: ir.Node) -> None:
        """Note that slices of an initialiser along `axis` belong to `ids`, (dim,) or (dim, any).

        An initialiser that is used twice pairs the ids of both uses (see `join`).
        """
        rows = ids.reshape(len(ids), -1)
        if len(rows) != self.shapes.dims[str(constant.name)][axis]:
            self.keep(ids.reshape(-1), f"doesn't fit {constant.name!r} at the assumed sizes")
            return
        key = (str(constant.name), axis)
        self.cutters.setdefault(key, []).append(reader)
        self.cuts.setdefault(key, []).append(rows)

    def keep_shared(self) -> None:
        """Keep slices of an initialiser that another node reads without losing the same ones."""
        initializers = self.model.graph_model.graph.initializers
        for (name, axis), rows in self.cuts.items():
            others = [
                node
                for node in initializers[name].consumers()
                if not any(node is reader for reader in self.cutters[name, axis])
            ]
            if others or initializers[name].is_graph_output():
                reader = (
                    f"{others[0].op_type} {others[0].name!r}" if others else "the graph's output"
                )
                for ids in rows:
                    self.keep(ids, f"shares the weight {name!r} with {reader}")

    def pair(self, left: Ids, right: Ids, reason: str) -> None:
        """Let two rows of ids live and die together; `reason` is told where one row has none."""
        left, right = np.broadcast_arrays(left, right)
        self.keep(left[right == NO_CHANNEL], reason)
        self.keep(right[left == NO_CHANNEL], reason)
        both = (left != NO_CHANNEL) & (right != NO_CHANNEL) & (left != right)
        if both.any():
            self.pairs.append(Pair(left[both], right[both], self.node))

    def uniform(self, labels: Labels, axes: Sequence[int], reason: str) -> Labels:
        """Labels that don't vary along some axes: what does is paired there."""
        varying = [axis for axis in axes if axis in labels.axes]
        if not varying:
            return labels
        first, everywhere = labels.first_of(varying)
        self.pair(first.ids, everywhere.ids, reason)
        return first

    def channels_on(self, labels: Labels, axis: int, reason: str) -> Ids:
        """One id per index of an axis, (dim,); ids that vary along others are paired."""
        others = [other for other in labels.axes if other != axis]
        return self.uniform(labels, others, reason).rows(axis)[:, 0]

    def keep(self, ids: Ids, reason: str) -> None:
        """Note that these channels can't be pruned."""
        ids = ids[ids != NO_CHANNEL]
        if len(ids):
            self.kept.append((ids, reason))

    def guard(self, ids: Ids, reason: str) -> None:
        """Note that these channels go only on request."""
        ids = ids[ids != NO_CHANNEL]
        if len(ids):
            self.guarded.append((ids, reason))

    def keep_inputs(self, node: ir.Node, reason: str) -> None:
        """Note that no channel which enters this node is prunable."""
        for value in node.inputs:
            labels = self.labels_of(value)
            if labels is not None:
                self.keep(labels.ids, reason)

    def fix(self, value: ir.Value | None, axis: int, reason: str) -> None:
        """Note that single indices of an axis can't be removed."""
        if value is not None:
            self.fixed.append(FixedAxis(str(value.name), axis, reason))
