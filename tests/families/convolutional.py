"""Image classifiers made of convolutions."""

import torch
from torch import Tensor, nn

from families.family import NORMALISED, Add, Classifier, ConvNorm, Family, SqueezeExcite, images

OUTPUT = {"head": "feeds graph output"}


def residual(inputs: int, outputs: int, stride: int = 1) -> nn.Module:
    """Basic block (He et al., arXiv 1512.03385)."""
    body = nn.Sequential(
        ConvNorm(inputs, outputs, 3, stride), ConvNorm(outputs, outputs, 3, act=None)
    )
    same = inputs == outputs and stride == 1
    return Add(body, None if same else ConvNorm(inputs, outputs, 1, stride, act=None), nn.ReLU)


def bottleneck(inputs: int, inner: int, outputs: int, groups: int = 1, gate: bool = False) -> Add:
    """1 x 1, 3 x 3, 1 x 1; grouped as in ResNeXt, gated as in RegNetY (arXiv 2003.13678)."""
    body = nn.Sequential(
        ConvNorm(inputs, inner),
        ConvNorm(inner, inner, 3, groups=groups),
        SqueezeExcite(inner, 8) if gate else nn.Identity(),
        ConvNorm(inner, outputs, act=None),
    )
    same = inputs == outputs
    return Add(body, None if same else ConvNorm(inputs, outputs, act=None), nn.ReLU)


def preactivation(inputs: int, inner: int) -> Add:
    """Batch norm and ReLU in front of each convolution (He et al., arXiv 1603.05027)."""
    return Add(
        nn.Sequential(
            nn.BatchNorm2d(inputs),
            nn.ReLU(),
            nn.Conv2d(inputs, inner, 3, padding=1, bias=False),
            nn.BatchNorm2d(inner),
            nn.ReLU(),
            nn.Conv2d(inner, inputs, 3, padding=1, bias=False),
        )
    )


class DenseLayer(nn.Module):
    """Adds new channels to all earlier ones (Huang et al., arXiv 1608.06993)."""

    def __init__(self, inputs: int, growth: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.BatchNorm2d(inputs),
            nn.ReLU(),
            nn.Conv2d(inputs, 2 * growth, 1, bias=False),
            nn.BatchNorm2d(2 * growth),
            nn.ReLU(),
            nn.Conv2d(2 * growth, growth, 3, padding=1, bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.body(x)], 1)


class Inception(nn.Module):
    """Four branches side by side (Szegedy et al., arXiv 1409.4842)."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.one = ConvNorm(inputs, 8)
        self.three = nn.Sequential(ConvNorm(inputs, 8), ConvNorm(8, 12, 3))
        self.five = nn.Sequential(ConvNorm(inputs, 4), ConvNorm(4, 8, 5))
        self.pooled = nn.Sequential(nn.MaxPool2d(3, 1, 1), ConvNorm(inputs, 8))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.one(x), self.three(x), self.five(x), self.pooled(x)], 1)


class Fire(nn.Module):
    """Squeeze, then expand in two branches (Iandola et al., arXiv 1602.07360)."""

    def __init__(self, inputs: int, squeezed: int, expanded: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(inputs, squeezed, 1)
        self.left = nn.Conv2d(squeezed, expanded, 1)
        self.right = nn.Conv2d(squeezed, expanded, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.squeeze(x))
        return torch.cat([torch.relu(self.left(x)), torch.relu(self.right(x))], 1)


def shuffle(x: Tensor, groups: int) -> Tensor:
    """Deal the channels of all groups out in turn."""
    n, c, h, w = x.shape
    return x.view(n, groups, c // groups, h, w).transpose(1, 2).reshape(n, c, h, w)


class ShuffleUnit(nn.Module):
    """Grouped 1 x 1, shuffle, depthwise, grouped 1 x 1 (Zhang et al., arXiv 1707.01083)."""

    def __init__(self, channels: int, inner: int, groups: int) -> None:
        super().__init__()
        self.groups = groups
        self.first = ConvNorm(channels, inner, groups=groups)
        self.depthwise = ConvNorm(inner, inner, 3, groups=inner, act=None)
        self.last = ConvNorm(inner, channels, groups=groups, act=None)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.last(self.depthwise(shuffle(self.first(x), self.groups))))


class SplitUnit(nn.Module):
    """One half goes around, then both are shuffled (Ma et al., arXiv 1807.11164)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.branch = nn.Sequential(
            ConvNorm(half, half),
            ConvNorm(half, half, 3, groups=half, act=None),
            ConvNorm(half, half),
        )

    def forward(self, x: Tensor) -> Tensor:
        kept, changed = x.chunk(2, dim=1)
        return shuffle(torch.cat([kept, self.branch(changed)], 1), 2)


def inverted(
    channels: int, inner: int, act: type[nn.Module], gate: nn.Module | None = None, size: int = 3
) -> Add:
    """Expand, depthwise, project (Sandler et al., arXiv 1801.04381), with a gate if given."""
    return Add(
        nn.Sequential(
            ConvNorm(channels, inner, act=act),
            ConvNorm(inner, inner, size, groups=inner, act=act),
            gate or nn.Identity(),
            ConvNorm(inner, channels, act=None),
        )
    )


class ChannelsLast(nn.LayerNorm):
    """Layer norm over the channels of an image."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class ConvNext(nn.Module):
    """7 x 7 depthwise, layer norm, wide linear layers, layer scale (Liu et al., 2201.03545)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.norm = nn.LayerNorm(channels)
        self.wide, self.narrow = nn.Linear(channels, 32), nn.Linear(32, channels)
        self.scale = nn.Parameter(torch.rand(channels))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
        y = self.scale * self.narrow(nn.functional.gelu(self.wide(y)))
        out: Tensor = x + y.permute(0, 3, 1, 2)
        return out


class Extremes(nn.Module):
    """Largest and mean value of each channel by reductions instead of pooling nodes."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Sequential(nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Conv2d(16, 24, 3))
        self.head = nn.Linear(48, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        y: Tensor = self.head(torch.cat([x.amax((2, 3)), x.mean((2, 3))], 1))
        return y


def group_normalised() -> nn.Module:
    """Group norm instead of batch norm (Wu and He, arXiv 1803.08494)."""
    return Classifier(
        nn.Conv2d(3, 16, 3, padding=1),
        nn.Sequential(
            nn.GroupNorm(4, 16),
            nn.SiLU(),
            nn.Conv2d(16, 24, 3, padding=1),
            nn.GroupNorm(6, 24),
            nn.SiLU(),
        ),
        24,
    )


def mlp() -> nn.Module:
    return nn.Sequential(
        nn.Flatten(), nn.Linear(192, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10)
    )


def vgg() -> nn.Module:
    """Plain convolutions, flattened before the head (Simonyan and Zisserman, arXiv 1409.1556)."""
    return nn.Sequential(
        ConvNorm(3, 16, 3),
        nn.MaxPool2d(2),
        ConvNorm(16, 24, 3),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(24 * 16, 32),
        nn.ReLU(),
        nn.Linear(32, 10),
    )


def _stem(width: int, act: type[nn.Module] = nn.ReLU) -> nn.Module:
    return ConvNorm(3, width, 3, 2, act=act)


def _regnet() -> nn.Module:
    body = nn.Sequential(bottleneck(16, 24, 24, 3, gate=True), bottleneck(24, 24, 24, 3, gate=True))
    return Classifier(_stem(16), body, 24)


def _dense() -> nn.Module:
    body = nn.Sequential(
        DenseLayer(16, 8),
        DenseLayer(24, 8),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.Conv2d(32, 16, 1, bias=False),
        nn.AvgPool2d(2),
        DenseLayer(16, 8),
        nn.BatchNorm2d(24),
        nn.ReLU(),
    )
    return Classifier(_stem(16), body, 24)


def _squeezenet() -> nn.Module:
    """Its head is a convolution in front of the pooling."""
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, 2),
        nn.ReLU(),
        nn.MaxPool2d(3, 2, ceil_mode=True),
        Fire(16, 8, 16),
        Fire(32, 8, 16),
        nn.Conv2d(32, 10, 1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )


def _mobilenet_v3() -> nn.Module:
    gates = [SqueezeExcite(24, 8, gate=nn.Hardsigmoid), SqueezeExcite(32, 8, gate=nn.Hardsigmoid)]
    body = nn.Sequential(
        inverted(16, 24, nn.ReLU, gates[0]),
        inverted(16, 32, nn.Hardswish, gates[1], size=5),
        ConvNorm(16, 32, act=nn.Hardswish),
    )
    return Classifier(_stem(16, nn.Hardswish), body, 32)


def _efficientnet() -> nn.Module:
    gates = [SqueezeExcite(24, 4, nn.SiLU), SqueezeExcite(32, 4, nn.SiLU)]
    body = nn.Sequential(
        inverted(16, 24, nn.SiLU, gates[0]), inverted(16, 32, nn.SiLU, gates[1], size=5)
    )
    return Classifier(_stem(16, nn.SiLU), body, 16)


def _convnext() -> nn.Module:
    body = nn.Sequential(
        ConvNext(16), ChannelsLast(16), nn.Conv2d(16, 24, 2, 2), ConvNext(24), ConvNext(24)
    )
    return Classifier(nn.Sequential(nn.Conv2d(3, 16, 2, 2), ChannelsLast(16)), body, 24)


FAMILIES = [
    Family(
        "resnet_basic",
        lambda: Classifier(_stem(16), nn.Sequential(residual(16, 16), residual(16, 24, 2)), 24),
        images(),
        layers=7,
        prunable=6,
        stays=OUTPUT,
    ),
    Family(
        "resnet_bottleneck",
        lambda: Classifier(
            _stem(16), nn.Sequential(bottleneck(16, 8, 32), bottleneck(32, 8, 32)), 32
        ),
        images(),
        layers=9,
        prunable=8,
        stays=OUTPUT,
    ),
    Family(
        "resnet_preactivation",
        lambda: Classifier(
            _stem(16),
            nn.Sequential(preactivation(16, 24), preactivation(16, 24), nn.BatchNorm2d(16)),
            16,
        ),
        images(),
        layers=6,
        prunable=5,
        stays=OUTPUT,
    ),
    Family(
        "resnet_wide",
        lambda: Classifier(_stem(8), nn.Sequential(residual(8, 32), preactivation(32, 32)), 32),
        images(),
        layers=7,
        prunable=6,
        stays=OUTPUT,
    ),
    Family(
        "resnext",
        lambda: Classifier(
            _stem(16), nn.Sequential(bottleneck(16, 16, 32, 4), bottleneck(32, 16, 32, 4)), 32
        ),
        images(),
        layers=9,
        prunable=8,
        stays=OUTPUT,
    ),
    Family("regnet_gated", _regnet, images(), layers=13, prunable=12, stays=OUTPUT),
    Family("densenet", _dense, images(), layers=9, prunable=8, stays=OUTPUT),
    Family(
        "inception",
        lambda: Classifier(_stem(16), nn.Sequential(Inception(16), Inception(36)), 36),
        images(),
        layers=14,
        prunable=13,
        stays=OUTPUT,
    ),
    Family(
        "squeezenet",
        _squeezenet,
        images(),
        layers=8,
        prunable=7,
        stays={"5": "feeds graph output"},
    ),
    Family(
        "shufflenet_v1",
        lambda: Classifier(_stem(24), nn.Sequential(ShuffleUnit(24, 16, 2)), 24),
        images(),
        layers=5,
        prunable=4,
        stays=OUTPUT,
    ),
    Family(  # three groups of four, dealt out: every channel meets every other one's place
        "shufflenet_tied",
        lambda: Classifier(_stem(24), nn.Sequential(ShuffleUnit(24, 12, 3)), 24),
        images(),
        layers=5,
        prunable=2,
        stays=OUTPUT,
    ),
    Family(
        "shufflenet_v2",
        lambda: Classifier(
            _stem(16), nn.Sequential(SplitUnit(16), SplitUnit(16), ConvNorm(16, 24)), 24
        ),
        images(),
        layers=9,
        prunable=8,
        stays=OUTPUT,
    ),
    Family(
        "mobilenet_v2",
        lambda: Classifier(
            _stem(16),
            nn.Sequential(inverted(16, 24, nn.ReLU6), inverted(16, 24, nn.ReLU6), ConvNorm(16, 32)),
            32,
        ),
        images(),
        layers=9,
        prunable=8,
        stays=OUTPUT,
    ),
    Family("mobilenet_v3", _mobilenet_v3, images(), layers=13, prunable=12, stays=OUTPUT),
    Family("efficientnet", _efficientnet, images(), layers=12, prunable=11, stays=OUTPUT),
    Family(
        "convnext",
        _convnext,
        images(),
        layers=12,
        prunable=3,
        stays={**OUTPUT, "body.2": NORMALISED, "body.3.narrow": NORMALISED},
    ),
    Family("global_extremes", Extremes, images(), layers=3, prunable=2, stays=OUTPUT),
    Family("group_norm", group_normalised, images(8), layers=3, prunable=2, stays=OUTPUT),
    Family(
        "mlp",
        mlp,
        images(8),
        layers=3,
        prunable=2,
        stays={"5": "feeds graph output"},
    ),
    Family("vgg", vgg, images(), layers=4, prunable=3, stays={"7": "feeds graph output"}),
]
