"""Networks of the families that channel pruning must handle: as torch modules, and at random."""

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

import explorer


class Residual(nn.Module):
    """Two convolutions and a shortcut, projected where the width changes."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        same = inputs == outputs
        self.shortcut = nn.Identity() if same else nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.shortcut(x) + self.conv2(torch.relu(self.conv1(x))))


class Fire(nn.Module):
    """Two branches, concatenated, then mixed."""

    def __init__(self) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(16, 8, 1)
        self.left = nn.Conv2d(8, 16, 1)
        self.right = nn.Conv2d(8, 24, 3, padding=1)
        self.mix = nn.Conv2d(40, 16, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        squeezed = torch.relu(self.squeeze(x))
        return torch.relu(self.mix(torch.cat([self.left(squeezed), self.right(squeezed)], 1)))


class Shuffle(nn.Module):
    """Grouped convolution, channel shuffle, and one half that goes around (ShuffleNet)."""

    def __init__(self) -> None:
        super().__init__()
        self.grouped = nn.Conv2d(16, 32, 3, padding=1, groups=2)
        self.branch = nn.Conv2d(16, 16, 1)
        self.mix = nn.Conv2d(32, 16, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.grouped(x))
        n, c, h, w = x.shape
        x = x.reshape(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)
        left, right = x.chunk(2, dim=1)
        y: torch.Tensor = self.mix(torch.cat([right, torch.relu(self.branch(left))], dim=1))
        return y


class Attention(nn.Module):
    """Four heads of four over the pixels, then a feed-forward part of 32."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(16, 16) for _ in range(3))
        self.out = nn.Linear(16, 16)
        self.norm = nn.LayerNorm(16)
        self.wide, self.narrow = nn.Linear(16, 32), nn.Linear(32, 16)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, c, h, w = x.shape
        x = x.flatten(2).transpose(1, 2)
        q, k, v = (
            part(x).reshape(n, h * w, 4, 4).transpose(1, 2)
            for part in (self.query, self.key, self.value)
        )
        mixed = torch.softmax(q @ k.transpose(-1, -2) / 2, -1) @ v
        x = x + self.out(mixed.transpose(1, 2).reshape(n, h * w, c))
        x = x + self.narrow(nn.functional.gelu(self.wide(self.norm(x))))
        return x.transpose(1, 2).reshape(n, c, h, w)


def _depthwise() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(16, 32, 1),
        nn.ReLU6(),
        nn.Conv2d(32, 32, 3, padding=1, groups=32),
        nn.BatchNorm2d(32),
        nn.ReLU6(),
        nn.Conv2d(32, 16, 1),
    )


def _wrap(*body: nn.Module, flatten: bool = False) -> nn.Module:
    head: list[nn.Module] = [nn.Flatten(), nn.Linear(16 * 64, 10)]
    if not flatten:
        head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10)]
    return nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), *body, *head)


FAMILIES: dict[str, Callable[[], nn.Module]] = {
    "plain": lambda: _wrap(
        nn.Conv2d(16, 24, 3, padding=1), nn.ReLU(), nn.Conv2d(24, 16, 3, padding=1)
    ),
    "residual": lambda: _wrap(Residual(16, 16)),
    "projection": lambda: _wrap(Residual(16, 32), Residual(32, 16)),
    "depthwise": lambda: _wrap(_depthwise()),
    "concatenated": lambda: _wrap(Fire()),
    "grouped": lambda: _wrap(
        nn.Conv2d(16, 32, 3, padding=1, groups=4), nn.ReLU(), nn.Conv2d(32, 16, 1)
    ),
    "shuffled": lambda: _wrap(Shuffle()),
    "transposed": lambda: _wrap(
        nn.ConvTranspose2d(16, 24, 2, stride=2), nn.ReLU(), nn.Conv2d(24, 16, 1)
    ),
    "attention": lambda: _wrap(Attention()),
    "flatten": lambda: _wrap(Residual(16, 16), flatten=True),
}
INPUT = (2, 3, 8, 8)


def family(name: str) -> tuple[nn.Module, explorer.Model]:
    """A module with random weights and batch statistics, and the model exported from it."""
    torch.manual_seed(0)
    module = FAMILIES[name]()
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            assert layer.running_mean is not None and layer.running_var is not None
            nn.init.uniform_(layer.running_mean, -1, 1)
            nn.init.uniform_(layer.running_var, 0.5, 2)
    module.eval()
    return module, explorer.Model.from_torch(module, (torch.randn(INPUT),), name)


class RandomNetwork:
    """Builds an ONNX file block by block; `codes` choose the blocks.

    Blocks: c conv, d depthwise, r residual, p projected residual, k concatenation, b batch norm,
    m max pool, s squeeze-and-excite gate, g grouped conv, h channel shuffle, l slices and parts.
    """

    def __init__(self, codes: str, width: int, flatten: bool, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.tensors: list[onnx.TensorProto] = []
        self.size = 8
        x, channels = self.conv("x", 3, width), width
        for code in codes:
            x, channels = getattr(self, f"block_{code}")(x, channels)
        x = self.node("Relu", [x])
        if flatten:
            x, features = self.node("Flatten", [x]), channels * self.size**2
        else:
            x, features = self.node("Flatten", [self.node("GlobalAveragePool", [x])]), channels
        x = self.node("Gemm", [x, self.weight(features, 7), self.weight(7)])
        graph = helper.make_graph(
            self.nodes,
            "random",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 8, 8])],
            [helper.make_tensor_value_info(x, TensorProto.FLOAT, ["n", 7])],
            self.tensors,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        onnx.checker.check_model(model, full_check=True)
        self.model = explorer.load(model.SerializeToString(), f"random-{codes}")

    def weight(self, *shape: int) -> str:
        name = f"w{len(self.tensors)}"
        values = self.rng.standard_normal(shape) / np.sqrt(max(1, prod(shape[1:])))
        self.tensors.append(numpy_helper.from_array(values.astype(np.float32), name))
        return name

    def node(self, op: str, inputs: list[str], **attributes: Any) -> str:
        output = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [output], name=output, **attributes))
        return output

    def conv(self, x: str, inputs: int, outputs: int, kernel: int = 3) -> str:
        weights = [self.weight(outputs, inputs, kernel, kernel), self.weight(outputs)]
        return self.node("Conv", [x, *weights], pads=[kernel // 2] * 4, kernel_shape=[kernel] * 2)

    def block_c(self, x: str, channels: int) -> tuple[str, int]:
        outputs = channels + int(self.rng.integers(0, 9))
        return self.node("Relu", [self.conv(x, channels, outputs)]), outputs

    def block_d(self, x: str, channels: int) -> tuple[str, int]:
        weights = [self.weight(channels, 1, 3, 3), self.weight(channels)]
        return self.node("Conv", [x, *weights], pads=[1] * 4, group=channels), channels

    def block_r(self, x: str, channels: int) -> tuple[str, int]:
        inner = self.node("Relu", [self.conv(x, channels, channels + 3)])
        return self.node("Add", [x, self.conv(inner, channels + 3, channels, 1)]), channels

    def block_p(self, x: str, channels: int) -> tuple[str, int]:
        outputs = channels + 5
        main = self.conv(x, channels, outputs)
        return self.node("Add", [self.conv(x, channels, outputs, 1), main]), outputs

    def block_k(self, x: str, channels: int) -> tuple[str, int]:
        branches = [self.conv(x, channels, 6), self.conv(x, channels, 9, 1), x]
        return self.node("Concat", branches, axis=1), channels + 15

    def block_b(self, x: str, channels: int) -> tuple[str, int]:
        variance = self.weight(channels)
        values = np.abs(numpy_helper.to_array(self.tensors[-1])) + 0.5
        self.tensors[-1] = numpy_helper.from_array(values.astype(np.float32), variance)
        parameters = [self.weight(channels) for _ in range(3)]
        return self.node("BatchNormalization", [x, *parameters, variance]), channels

    def block_m(self, x: str, channels: int) -> tuple[str, int]:
        if self.size > 2:
            x = self.node("MaxPool", [x], kernel_shape=[2, 2], strides=[2, 2])
            self.size //= 2
        return x, channels

    def block_s(self, x: str, channels: int) -> tuple[str, int]:
        pooled = self.node("GlobalAveragePool", [x])
        hidden = self.node("Relu", [self.conv(pooled, channels, 8, 1)])
        gate = self.node("Sigmoid", [self.conv(hidden, 8, channels, 1)])
        return self.node("Mul", [x, gate]), channels

    def block_g(self, x: str, channels: int) -> tuple[str, int]:
        groups = 2 if channels % 2 == 0 else 1
        weights = [self.weight(8, channels // groups, 3, 3), self.weight(8)]
        return self.node("Conv", [x, *weights], pads=[1] * 4, group=groups), 8

    def block_h(self, x: str, channels: int) -> tuple[str, int]:
        if channels % 2:
            return x, channels
        split = self.integers(-1, 2, channels // 2, self.size, self.size)
        turned = self.node("Transpose", [self.node("Reshape", [x, split])], perm=[0, 2, 1, 3, 4])
        back = self.integers(-1, channels, self.size, self.size)
        return self.node("Reshape", [turned, back]), channels

    def block_l(self, x: str, channels: int) -> tuple[str, int]:
        third = channels // 3
        ranges = (self.integers(third), self.integers(channels), self.integers(1))
        tail = self.node("Slice", [x, *ranges])
        sizes = self.integers(third, channels - 2 * third)
        first, second = f"t{len(self.nodes)}a", f"t{len(self.nodes)}b"
        parts = helper.make_node("Split", [tail, sizes], [first, second], name=first, axis=1)
        self.nodes.append(parts)
        return self.node("Concat", [second, x, first], axis=1), 2 * channels - third

    def integers(self, *values: int) -> str:
        name = f"i{len(self.tensors)}"
        self.tensors.append(numpy_helper.from_array(np.array(values, dtype=np.int64), name))
        return name
