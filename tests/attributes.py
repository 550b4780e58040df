"""Small networks around one operator with any of its attributes, for property tests."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

Rng = np.random.Generator
CHANNELS = (4, 6, 8, 12)
BATCH = 4
FIRST_OPSETS = {"ceil_mode": 10, "dilations": 10}
KINDS = ("conv", "transposed", "pool", "resize", "gemm", "matmul")


@dataclass
class Network:
    """Nodes and weights as they are put together; `shape` is that of the last output."""

    rng: Rng
    opset: int
    shape: list[int]
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    weights: list[onnx.TensorProto] = field(default_factory=list)
    last: str = "x"

    def weight(self, *shape: int) -> str:
        """A random weight, scaled to keep activations near 1."""
        fan_in = max(1, int(np.prod(shape[1:])))
        values = self.rng.standard_normal(shape) / np.sqrt(fan_in)
        return self.constant(values.astype(np.float32))

    def constant(self, values: Any) -> str:
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def add(self, op: str, *inputs: str, **attributes: Any) -> None:
        """A node that reads the last output, then `inputs`."""
        self.read(op, self.last, *inputs, **attributes)

    def read(self, op: str, *inputs: str, **attributes: Any) -> None:
        output = f"y{len(self.nodes)}"
        said = {key: value for key, value in attributes.items() if value is not None}
        self.nodes.append(helper.make_node(op, inputs, [output], name=f"n{output}", **said))
        self.last = output

    def pick(self, *choices: Any) -> Any:
        return choices[int(self.rng.integers(len(choices)))]

    def ints(self, low: int, high: int, count: int) -> list[int]:
        return [int(each) for each in self.rng.integers(low, high + 1, count)]

    def model(self) -> onnx.ModelProto:
        entry = helper.make_tensor_value_info("x", 1, ["n", *self.shape[1:]])
        end = helper.make_tensor_value_info(self.last, 1, None)
        graph = helper.make_graph(self.nodes, "one", [entry], [end], self.weights)
        imports = [helper.make_opsetid("", self.opset)]
        model = helper.make_model(graph, opset_imports=imports, ir_version=8)
        shaped = onnx.shape_inference.infer_shapes(model)
        del model.graph.output[:]
        model.graph.output.extend(shaped.graph.output)
        return model


def network(seed: int, kind: str) -> onnx.ModelProto:
    """A stem, an operator of a kind, and a head, with attributes by chance.

    Not each is valid: an operator may not fit its input. The runtime decides.
    """
    rng = np.random.default_rng(seed)
    rank = 1 if kind in ("gemm", "matmul") else int(rng.integers(1, 4))
    opset = int(rng.integers(7, 26))
    sizes = [int(each) for each in rng.integers(5, 9, rank)]
    net = Network(rng, opset, [BATCH, 3, *sizes])
    channels = int(net.pick(*CHANNELS))
    net.add("Conv", net.weight(channels, 3, *[1] * rank), *_bias(net, channels))
    net.add(net.pick("Relu", "LeakyRelu", "Tanh"))
    width = {
        "conv": _convolution,
        "transposed": _transposed,
        "pool": _pool,
        "resize": _resize,
        "gemm": _gemm,
        "matmul": _matmul,
    }[kind](net, channels, rank)
    if kind not in ("gemm", "matmul"):
        net.add(net.pick("Relu", "Sigmoid"))
        net.add("Conv", net.weight(5, width, *[1] * rank), *_bias(net, 5))
    return net.model()


def _bias(net: Network, count: int) -> list[str]:
    return [net.constant(net.rng.standard_normal(count).astype(np.float32))][: net.pick(0, 1)]


def _window(net: Network, rank: int, kernel: list[int]) -> dict[str, Any]:
    """Strides, pads and dilations."""
    auto = net.pick("NOTSET", "NOTSET", "NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID")
    said: dict[str, Any] = {"strides": net.pick(None, net.ints(1, 2, rank))}
    if auto == "NOTSET":
        pads = [int(net.rng.integers(0, size)) for size in (*kernel, *kernel)]
        said["pads"] = net.pick(None, pads)
    else:
        said["auto_pad"] = auto
    return said


def _groups(net: Network, channels: int) -> int:
    return int(net.pick(1, channels, *[g for g in (2, 3, 4) if channels % g == 0]))


def _convolution(net: Network, channels: int, rank: int) -> int:
    groups = _groups(net, channels)
    outputs = groups * int(net.rng.integers(1, 4))
    kernel = net.ints(1, 3, rank)
    said = _window(net, rank, kernel)
    said["dilations"] = net.pick(None, net.ints(1, 2, rank)) if "auto_pad" not in said else None
    said["kernel_shape"] = net.pick(None, kernel)
    said["group"] = groups if groups > 1 else net.pick(None, 1)
    weight = net.weight(outputs, channels // groups, *kernel)
    net.add("Conv", weight, *_bias(net, outputs), **said)
    return outputs


def _transposed(net: Network, channels: int, rank: int) -> int:
    groups = _groups(net, channels)
    each = int(net.rng.integers(1, 4))
    kernel = net.ints(1, 3, rank)
    said = _window(net, rank, kernel)
    if "auto_pad" not in said:
        said["dilations"] = net.pick(None, net.ints(1, 2, rank))
        strides = said["strides"] or [1] * rank
        said["output_padding"] = net.pick(None, [stride - 1 for stride in strides])
    weight = net.weight(channels, each, *kernel)
    net.add("ConvTranspose", weight, *_bias(net, each * groups), group=groups, **said)
    return each * groups


def _pool(net: Network, channels: int, rank: int) -> int:
    op = net.pick("MaxPool", "AveragePool", "LpPool", "GlobalAveragePool", "GlobalMaxPool")
    if op.startswith("Global"):
        net.add(op)
        return channels
    kernel = net.ints(1, 3, rank)
    said = _window(net, rank, kernel)
    if op == "AveragePool":
        said["count_include_pad"] = net.pick(None, 0, 1)
    if op == "LpPool":
        said["p"] = net.pick(None, 1, 2)
    if net.opset >= FIRST_OPSETS["ceil_mode"] + 8 * (op == "LpPool"):
        said["ceil_mode"] = net.pick(None, 0, 1) if "auto_pad" not in said else None
    if net.opset >= {"MaxPool": 10, "AveragePool": 19, "LpPool": 18}[op]:
        said["dilations"] = None if "auto_pad" in said else net.pick(None, net.ints(1, 2, rank))
    net.add(op, kernel_shape=kernel, **said)
    return channels


def _resize(net: Network, channels: int, rank: int) -> int:
    mode = net.pick("nearest", "linear")
    factors = [float(net.pick(1, 2, 3, 1.5, 0.6)) for _ in range(rank)]
    scales = [1.0, 1.0, *(max(1.0, each) if net.opset < 10 else each for each in factors)]
    if net.opset < 9:
        net.add("Upsample", scales=scales, mode=mode)
    elif net.opset < 11:
        op = "Upsample" if net.opset < 10 else "Resize"
        net.add(op, net.constant(np.array(scales, np.float32)), mode=mode)
    else:
        asked: dict[str, Any] = {
            "mode": mode,
            "coordinate_transformation_mode": net.pick(
                None, "half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"
            ),
            "nearest_mode": net.pick(None, "floor", "ceil", "round_prefer_ceil"),
        }
        roi = net.constant(np.zeros(0, np.float32)) if net.opset < 13 else ""
        net.add("Resize", roi, net.constant(np.array(scales, np.float32)), **asked)
    return channels


def _flat(net: Network, channels: int) -> int:
    net.add("Flatten")
    return channels * net.shape[2]


def _gemm(net: Network, channels: int, rank: int) -> int:
    inputs, outputs = _flat(net, channels), int(net.pick(4, 7, 16))
    turned = net.pick(0, 1)
    bias: list[str] = []
    if net.opset < 11 or net.pick(0, 1):
        shape = net.pick((outputs,), (1, outputs), (1,), ())
        bias = [net.constant(net.rng.standard_normal(shape).astype(np.float32))]
    weight = net.weight(outputs, inputs) if turned else net.weight(inputs, outputs)
    if net.pick(0, 0, 1):
        net.add("Transpose", perm=[1, 0])
        said = {"transA": 1}
    else:
        said = {}
    net.add(
        "Gemm", weight, *bias, transB=turned, alpha=net.pick(None, 0.5), beta=net.pick(None, 2.0),
        **said,
    )  # fmt: skip
    net.add("Relu")
    net.add("MatMul", net.weight(outputs, 5))
    return 5


def _matmul(net: Network, channels: int, rank: int) -> int:
    """Weights on the right or the left, of two axes or three, for inputs of two or three."""
    length, form = net.shape[2], net.pick("right", "flat", "left", "batched")
    if form == "flat":
        inputs = _flat(net, channels)
        net.add("MatMul", net.weight(inputs, 8))
    elif form == "right":
        net.add("MatMul", net.weight(length, 8))
    elif form == "left":
        net.read("MatMul", net.weight(8, channels), net.last)
    else:
        net.add("MatMul", net.weight(channels, length, 8)[:])
        net.nodes.pop()
        net.weights.pop()
        net.last = net.nodes[-1].output[0]
        net.add("Unsqueeze", *_axes(net, [2]), **_axes_attribute(net, [2]))
        net.add("MatMul", net.weight(channels, length, 8))
    net.add("Relu")
    net.add("MatMul", net.weight(length if form == "left" else 8, 5))
    return 5


def _axes(net: Network, axes: list[int]) -> list[str]:
    return [net.constant(np.array(axes))] if net.opset >= 13 else []


def _axes_attribute(net: Network, axes: list[int]) -> dict[str, Any]:
    return {} if net.opset >= 13 else {"axes": axes}
