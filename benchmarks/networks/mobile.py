"""MobileNetV2 (Sandler et al., arXiv 1801.04381) and PP-LCNet (Cui et al., arXiv 2109.15099)."""

import torch
from torch import nn


class InvertedResidual(nn.Module):
    """1x1, depthwise 3x3, 1x1, and a shortcut where the shapes allow it."""

    def __init__(self, inputs: int, outputs: int, stride: int, factor: int) -> None:
        super().__init__()
        width = inputs * factor
        parts: list[nn.Module] = []
        if factor > 1:
            parts += [nn.Conv2d(inputs, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU6()]
        self.body = nn.Sequential(
            *parts,
            nn.Conv2d(width, width, 3, stride, 1, groups=width, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU6(),
            nn.Conv2d(width, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.adds = stride == 1 and inputs == outputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = x + self.body(x) if self.adds else self.body(x)
        return y


def mobilenet_v2() -> nn.Module:
    """3.5 M parameters, 0.3 G multiply-accumulates at 224 pixels."""
    layers: list[nn.Module] = [nn.Conv2d(3, 32, 3, 2, 1, bias=False), nn.BatchNorm2d(32)]
    layers.append(nn.ReLU6())
    inputs = 32
    settings = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1))
    for factor, width, blocks, stride in (*settings, (6, 160, 3, 2), (6, 320, 1, 1)):
        for block in range(blocks):
            layers.append(InvertedResidual(inputs, width, stride if block == 0 else 1, factor))
            inputs = width
    head = [nn.Conv2d(inputs, 1280, 1, bias=False), nn.BatchNorm2d(1280), nn.ReLU6()]
    return nn.Sequential(
        *layers, *head, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1280, 1000)
    )


class Gate(nn.Module):
    """Squeeze and excite (Hu et al., arXiv 1709.01507)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.squeeze, self.excite = nn.Conv2d(width, width // 4, 1), nn.Conv2d(width // 4, width, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pooled = x.mean((2, 3), keepdim=True)
        y: torch.Tensor = x * nn.functional.hardsigmoid(
            self.excite(torch.relu(self.squeeze(pooled)))
        )
        return y


def separable(inputs: int, outputs: int, kernel: int, stride: int, gated: bool) -> nn.Sequential:
    """Depthwise, then 1x1, with a gate between where asked for."""
    return nn.Sequential(
        nn.Conv2d(inputs, inputs, kernel, stride, kernel // 2, groups=inputs, bias=False),
        nn.BatchNorm2d(inputs),
        nn.Hardswish(),
        *([Gate(inputs)] if gated else []),
        nn.Conv2d(inputs, outputs, 1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.Hardswish(),
    )


def pp_lcnet() -> nn.Module:
    """PP-LCNet: 3.0 M parameters (1.7 M without the head), 0.16 G multiply-accumulates at 224."""
    layers: list[nn.Module] = [nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16)]
    layers.append(nn.Hardswish())
    inputs = 16
    for outputs, kernel, stride, gated in (
        (32, 3, 1, False),
        (64, 3, 2, False),
        (64, 3, 1, False),
        (128, 3, 2, False),
        (128, 3, 1, False),
        (256, 3, 2, False),
        *((256, 5, 1, False),) * 5,
        (512, 5, 2, True),
        (512, 5, 1, True),
    ):
        layers.append(separable(inputs, outputs, kernel, stride, gated))
        inputs = outputs
    head = [nn.AdaptiveAvgPool2d(1), nn.Conv2d(512, 1280, 1), nn.Hardswish(), nn.Flatten()]
    return nn.Sequential(*layers, *head, nn.Linear(1280, 1000))
