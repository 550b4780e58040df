"""What a network gives once channels are gone, found without any of the code that cuts them.

The original runs once, with every tensor as an output. Then the removed output channels of each
layer are followed from node to node as masks of *dead* elements, over these true shapes and
integers: an elementwise result is dead where an operand is, operators that move data move the
mask (by ONNX's reference implementation), and products read dead elements as zeros. A sum over
no living element at all is dead. Whatever has no such meaning (a maximum or a mean over channels
of which some are gone, a dead element in an output) fails, and so does an operator that isn't
listed. The original with zeros in front of its products then gives the expected outputs.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir
from conftest import run_onnx
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

import explorer

Array = npt.NDArray[Any]
Masks = list[Array | None]  # one per input or output; None where everything is alive

ELEMENTWISE = frozenset(
    """
    Abs Add And BiasGelu Cast Ceil Celu Clip Cos Div Dropout Elu Equal Erf Exp FastGelu Floor Gelu
    Greater GreaterOrEqual HardSigmoid HardSwish Identity IsInf IsNaN LeakyRelu Less LessOrEqual Log
    Max Min Mish Mod Mul Neg Not Or PRelu Pow QuickGelu Reciprocal Relu Round Selu Sigmoid Sign Sin
    Softplus Softsign Sqrt Sub Sum Swish Tanh Where
    """.split()
)
MOVING = frozenset(
    """
    Concat DepthToSpace Expand Flatten Gather GatherElements GatherND Reshape Slice SpaceToDepth
    Split Squeeze Tile Transpose Unsqueeze
    """.split()
)
PRODUCTS = frozenset(
    """
    Attention Conv ConvTranspose Einsum FusedConv FusedGemm GRU Gemm LSTM MatMul RNN ReduceSum
    """.split()
)
RECURRENT = frozenset("LSTM GRU RNN".split())
OVER_PIXELS = frozenset(
    """
    AveragePool GlobalAveragePool GlobalLpPool GlobalMaxPool InstanceNormalization LpPool MaxPool
    """.split()
)


def expected_outputs(
    model: explorer.Model, removed: Mapping[str, tuple[int, ...]], feed: dict[str, Array]
) -> list[Array]:
    """Outputs of the original on `feed` with output channels of layers (by name) taken out.

    A recurrent layer's channels are its hidden units: `hidden_size` of them, gone from every
    direction, or as many for each direction, one direction after the other.
    """
    layers = [layer for layer in model.layers if layer.name in removed]
    assert len(layers) == len(removed), "a removed layer is no layer of the model"
    gone = {layer.node: removed[layer.name] for layer in layers}
    for layer in layers:  # a recurrent node holds two layers, which share their hidden units
        assert gone[layer.node] == removed[layer.name], layer.name
    channels = {layer.node: layer.channels for layer in layers}
    return outputs_without(ir.to_proto(model.graph_model), gone, channels, feed)


def outputs_without(
    proto: onnx.ModelProto,
    removed: Mapping[str, tuple[int, ...]],
    channels: Mapping[str, int],
    feed: dict[str, Array],
) -> list[Array]:
    """As `expected_outputs`, with layers told by the names of their nodes; changes `proto`."""
    del proto.graph.value_info[:]
    return run_onnx(_Zeroing(proto, removed, channels, feed).done(), feed)


def run_everything(proto: onnx.ModelProto, feed: dict[str, Array]) -> dict[str, Array]:
    """Every tensor of a graph, by name."""
    names = [name for node in proto.graph.node for name in node.output if name]
    exposed = onnx.ModelProto()
    exposed.CopyFrom(proto)
    del exposed.graph.output[:]
    exposed.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    return {**feed, **dict(zip(names, run_onnx(exposed.SerializeToString(), feed), strict=True))}


class _Zeroing:
    """Writes zeros for what is dead in front of every product of a graph."""

    def __init__(
        self,
        proto: onnx.ModelProto,
        removed: Mapping[str, tuple[int, ...]],
        channels: Mapping[str, int],
        feed: dict[str, Array],
    ) -> None:
        self.proto, self.graph = proto, proto.graph
        self.removed, self.channels = removed, channels  # by node name
        self.opset = next(o.version for o in proto.opset_import if o.domain in ("", "ai.onnx"))
        self.values = run_everything(proto, feed)
        tensors = {t.name: numpy_helper.to_array(t) for t in proto.graph.initializer}
        self.values.update(tensors)
        self.weights = frozenset(tensors)
        self.alive: dict[str, Array] = {}  # 1.0 or 0.0, only for tensors with dead elements
        self.inserted: list[onnx.NodeProto] = []

    def done(self) -> bytes:
        for node in list(self.graph.node):
            inputs = [self.alive.get(name) for name in node.input]
            if node.name in self.removed or any(mask is not None for mask in inputs):
                for name, mask in zip(node.output, self.follow(node, inputs), strict=False):
                    if name and mask is not None and not mask.all():
                        self.alive[name] = np.broadcast_to(mask, self.values[name].shape)
            self.inserted.append(node)
        for output in self.graph.output:
            assert output.name not in self.alive, f"output {output.name!r} has lost channels"
        nodes = list(self.inserted)
        del self.graph.node[:]
        self.graph.node.extend(nodes)
        data: bytes = self.proto.SerializeToString()
        return data

    def follow(self, node: onnx.NodeProto, inputs: Masks) -> Masks:
        op = node.op_type
        if op in PRODUCTS:
            return self.multiply(node, inputs)
        if node.name in self.removed:  # an embedding
            assert op == "Gather"
            return [_without(self.values[node.output[0]], self.removed[node.name], -1)]
        if op in ELEMENTWISE:
            return [_all_alive([mask for mask in inputs if mask is not None])]
        if op in MOVING:
            return self.move(node, inputs)
        if op in ("Shape", "Size"):
            return [None]
        rule: Callable[[onnx.NodeProto, Masks], Masks] | None = getattr(self, f"op_{op}", None)
        if op in OVER_PIXELS:
            rule = self.over_pixels
        elif op.startswith("Reduce"):
            rule = self.reduce
        assert rule is not None, f"the oracle has no meaning for removed channels that enter {op}"
        return rule(node, inputs)

    def multiply(self, node: onnx.NodeProto, inputs: Masks) -> Masks:
        names = list(node.input)
        for position, mask in enumerate(inputs):
            if mask is not None:
                self.zero(node, position, mask)
        if node.op_type in RECURRENT:
            return self.recur(node, names)
        if node.op_type == "Attention":
            return [self.attend(node, names, inputs[2])]
        if node.name in self.removed:
            axis = _axis_of(node)
            if node.op_type == "MatMul" and names[1] not in self.weights:
                axis = -2
            return [_without(self.values[node.output[0]], self.removed[node.name], axis)]
        if node.op_type in ("MatMul", "Einsum", "ReduceSum"):
            ones: list[Any] = [
                np.ones(self.values[name].shape, np.float32) if mask is None else mask
                for name, mask in zip(names, inputs, strict=True)
            ]
            if node.op_type == "ReduceSum":  # its axes aren't summed
                ones[1:] = [self.values[name] for name in names[1:]]
            return [(self.evaluate(node, names, ones)[0] > 0).astype(np.float32)]
        return [None]

    def attend(self, node: onnx.NodeProto, names: list[str], values: Array | None) -> Array | None:
        """An output is a mixture of values at its own place in a head: dead where these are.

        Heads are axis 1 of (batch, heads, length, width), or part of the last of three axes.
        """
        if values is None:
            return None
        query, after = self.values[names[0]], self.values[node.output[0]]
        if query.ndim == 4:
            repeats = query.shape[1] // values.shape[1]
            mixed: Array = values.max(2, keepdims=True).repeat(repeats, axis=1)
            return mixed
        own, heads = _attribute(node, "q_num_heads", 1), _attribute(node, "kv_num_heads", 1)
        by_head = values.max(1).reshape(len(values), heads, -1).repeat(own // heads, axis=1)
        spread: Array = by_head.reshape(len(values), 1, after.shape[-1])
        return spread

    def zero(self, node: onnx.NodeProto, position: int, mask: Array) -> None:
        name = node.input[position]
        new = f"{name}/alive/{len(self.inserted)}/{position}"
        kind = self.values[name].dtype
        self.graph.initializer.append(numpy_helper.from_array(mask.astype(kind), f"{new}/mask"))
        self.inserted.append(helper.make_node("Mul", [name, f"{new}/mask"], [new], name=new))
        node.input[position] = new

    def recur(self, node: onnx.NodeProto, names: list[str]) -> Masks:
        """A dead hidden unit is read by no gate, and is dead in every output."""
        if node.name not in self.removed:
            return [None]
        weight = self.values[names[2]].copy()  # (directions, gates x hidden, hidden)
        directions, _, hidden = weight.shape
        alive = np.ones(directions * hidden, np.float32)
        gone = np.array(self.removed[node.name])
        if self.channels[node.name] == hidden:
            gone = (gone + hidden * np.arange(directions)[:, None]).reshape(-1)
        alive[gone] = 0
        alive = alive.reshape(directions, hidden)
        node.input[2] = f"{names[2]}/alive/{len(self.inserted)}"
        weight *= alive[:, None, :]
        self.graph.initializer.append(numpy_helper.from_array(weight, node.input[2]))
        shapes = [(1, directions, 1, hidden), *[(directions, 1, hidden)] * 2]
        if _attribute(node, "layout", 0):
            shapes = [(1, 1, directions, hidden), *[(1, directions, hidden)] * 2]
        return [alive.reshape(shape) for shape in shapes[: len(node.output)]]

    def move(self, node: onnx.NodeProto, inputs: Masks) -> Masks:
        moved = range(len(inputs)) if node.op_type == "Concat" else range(1)
        assert all(mask is None or i in moved for i, mask in enumerate(inputs)), node.op_type
        feeds = []
        for position, (name, mask) in enumerate(zip(node.input, inputs, strict=True)):
            value = self.values.get(name)
            if position in moved and value is not None:
                value = np.ones(value.shape, np.float32) if mask is None else mask
            feeds.append(value)
        return list(self.evaluate(node, list(node.input), feeds))

    def evaluate(self, node: onnx.NodeProto, names: list[str], feeds: list[Any]) -> list[Array]:
        """One node by ONNX's reference implementation, on other inputs."""
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        copy.input[:] = [f"i{index}" if name else "" for index, name in enumerate(names)]
        given = {f"i{index}": feed for index, feed in enumerate(feeds) if feed is not None}
        graph = helper.make_graph(
            [copy],
            "node",
            [onnx.ValueInfoProto(name=name) for name in given],
            [onnx.ValueInfoProto(name=name) for name in node.output if name],
        )
        single = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)])
        return ReferenceEvaluator(single).run(None, given)  # type: ignore[return-value]

    def over_pixels(self, node: onnx.NodeProto, inputs: Masks) -> Masks:
        mask = inputs[0]
        assert mask is not None
        return [_whole(mask, tuple(range(2, mask.ndim)))] * len(node.output)

    def reduce(self, node: onnx.NodeProto, inputs: Masks) -> Masks:
        mask = inputs[0]
        assert mask is not None
        axes = _attribute(node, "axes", None)
        if axes is None and len(node.input) > 1 and node.input[1]:
            axes = self.values[node.input[1]].tolist()
        found = _whole(mask, tuple(axes or range(mask.ndim)))
        return [found.reshape(self.values[node.output[0]].shape)]

    def op_Softmax(self, node: onnx.NodeProto, inputs: Masks) -> Masks:  # noqa: N802
        return self._over_last(node, inputs, alone=self.opset >= 13)

    op_LogSoftmax = op_Softmax  # noqa: N815

    def op_LayerNormalization(self, node: onnx.NodeProto, inputs: Masks) -> Masks:  # noqa: N802
        return self._over_last(node, inputs, alone=False)

    op_RMSNormalization = op_LayerNormalization  # noqa: N815

    def _over_last(self, node: onnx.NodeProto, inputs: Masks, alone: bool) -> Masks:
        mask = inputs[0]
        assert mask is not None
        assert all(other is None for other in inputs[1:])
        axis = _attribute(node, "axis", -1 if self.opset >= 13 else 1) % mask.ndim
        return [_whole(mask, (axis,) if alone else tuple(range(axis, mask.ndim)))]

    def op_LpNormalization(self, node: onnx.NodeProto, inputs: Masks) -> Masks:  # noqa: N802
        mask = inputs[0]
        assert mask is not None
        return [_whole(mask, (_attribute(node, "axis", -1) % mask.ndim,))]

    def op_BatchNormalization(self, node: onnx.NodeProto, inputs: Masks) -> Masks:  # noqa: N802
        return [inputs[0]]

    def op_GroupNormalization(self, node: onnx.NodeProto, inputs: Masks) -> Masks:  # noqa: N802
        mask = inputs[0]
        assert mask is not None
        groups = mask.reshape(mask.shape[0], _attribute(node, "num_groups", 1), -1)
        return [np.broadcast_to(_whole(groups, (2,)), groups.shape).reshape(mask.shape)]

    def op_Resize(self, node: onnx.NodeProto, inputs: Masks) -> Masks:  # noqa: N802
        mask, after = inputs[0], self.values[node.output[0]].shape
        assert mask is not None
        return [_whole(mask, tuple(a for a, n in enumerate(mask.shape) if n != after[a]))]

    op_Upsample = op_Resize  # noqa: N815

    def op_RoiAlign(self, node: onnx.NodeProto, inputs: Masks) -> Masks:  # noqa: N802
        mask = inputs[0]
        assert mask is not None
        return [_whole(mask, (0, 2, 3))]

    op_GridSample = op_RoiAlign  # noqa: N815

    def op_Pad(self, node: onnx.NodeProto, inputs: Masks) -> Masks:  # noqa: N802
        """What is added is alive; its width is that of the value."""
        mask, after = inputs[0], self.values[node.output[0]].shape
        assert mask is not None
        changed = tuple(a for a, n in enumerate(mask.shape) if n != after[a])
        return [_whole(mask, changed)]


def _all_alive(masks: list[Array]) -> Array:
    alive = masks[0]
    for mask in masks[1:]:
        alive = alive * mask
    return alive


def _whole(mask: Array, axes: tuple[int, ...]) -> Array:
    """Alive or dead along `axes`, all together, kept as axes of one."""
    least, most = mask.min(axes, keepdims=True), mask.max(axes, keepdims=True)
    assert (least == most).all(), "only some of the channels that are read together are removed"
    return np.asarray(most)


def _without(value: Array, channels: tuple[int, ...], axis: int) -> Array:
    alive = np.ones(value.shape, np.float32)
    np.moveaxis(alive, axis, 0)[list(channels)] = 0
    return alive


def _axis_of(node: onnx.NodeProto) -> int:
    return 1 if "Conv" in node.op_type else -1


def _attribute(node: onnx.NodeProto, name: str, default: Any) -> Any:
    found = [helper.get_attribute_value(a) for a in node.attribute if a.name == name]
    return found[0] if found else default
