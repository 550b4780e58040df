"""A detector of YOLOX's kind (Ge et al., arXiv 2107.08430)."""

import torch
from torch import nn


def conv(inputs: int, outputs: int, kernel: int = 1, stride: int = 1) -> nn.Sequential:
    """Convolution, batch normalisation, SiLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.SiLU(),
    )


class Bottleneck(nn.Module):
    """1x1, 3x3, and a shortcut where asked for."""

    def __init__(self, width: int, adds: bool) -> None:
        super().__init__()
        self.body, self.adds = nn.Sequential(conv(width, width), conv(width, width, 3)), adds

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = x + self.body(x) if self.adds else self.body(x)
        return y


class Stage(nn.Module):
    """Cross-stage partial: half of the channels go through the blocks (arXiv 1911.11929)."""

    def __init__(self, inputs: int, outputs: int, blocks: int, adds: bool = True) -> None:
        super().__init__()
        half = outputs // 2
        self.one, self.other = conv(inputs, half), conv(inputs, half)
        self.blocks = nn.Sequential(*(Bottleneck(half, adds) for _ in range(blocks)))
        self.joined = conv(2 * half, outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.joined(torch.cat([self.blocks(self.one(x)), self.other(x)], 1))
        return y


class Pooled(nn.Module):
    """Maxima of growing surroundings beside each other."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.narrow, self.wide = conv(width, width // 2), conv(2 * width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.narrow(x)
        pools = [nn.functional.max_pool2d(x, size, 1, size // 2) for size in (5, 9, 13)]
        y: torch.Tensor = self.wide(torch.cat([x, *pools], 1))
        return y


class Head(nn.Module):
    """Class scores and boxes from branches of their own."""

    def __init__(self, inputs: int, width: int, classes: int) -> None:
        super().__init__()
        self.stem = conv(inputs, width)
        self.classes = nn.Sequential(conv(width, width, 3), conv(width, width, 3))
        self.boxes = nn.Sequential(conv(width, width, 3), conv(width, width, 3))
        self.scored, self.placed = nn.Conv2d(width, classes, 1), nn.Conv2d(width, 5, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        placed = self.placed(self.boxes(x))
        scored = torch.sigmoid(self.scored(self.classes(x)))
        parts = [placed[:, :4], torch.sigmoid(placed[:, 4:]), scored]
        return torch.cat(parts, 1).flatten(2)


class Detector(nn.Module):
    """Backbone, a pyramid down and up, and a head at each of three strides."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        w = [width * 2**step for step in range(5)]
        self.stem = conv(12, w[0], 3)
        self.early = nn.Sequential(conv(w[0], w[1], 3, 2), Stage(w[1], w[1], 1))
        self.third = nn.Sequential(conv(w[1], w[2], 3, 2), Stage(w[2], w[2], 3))
        self.fourth = nn.Sequential(conv(w[2], w[3], 3, 2), Stage(w[3], w[3], 3))
        last = (conv(w[3], w[4], 3, 2), Pooled(w[4]), Stage(w[4], w[4], 1, adds=False))
        self.fifth = nn.Sequential(*last)
        self.narrow5, self.narrow4 = conv(w[4], w[3]), conv(w[3], w[2])
        self.down4, self.down3 = Stage(2 * w[3], w[3], 1, False), Stage(2 * w[2], w[2], 1, False)
        self.up3, self.up4 = conv(w[2], w[2], 3, 2), conv(w[3], w[3], 3, 2)
        self.out4, self.out5 = Stage(2 * w[2], w[3], 1, False), Stage(2 * w[3], w[4], 1, False)
        self.heads = nn.ModuleList(Head(inputs, w[2], classes) for inputs in w[2:])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        corners = [x[..., i::2, j::2] for j in (0, 1) for i in (0, 1)]
        third = self.third(self.early(self.stem(torch.cat(corners, 1))))
        fourth = self.fourth(third)
        top = self.narrow5(self.fifth(fourth))
        middle = self.narrow4(self.down4(torch.cat([_doubled(top), fourth], 1)))
        out3 = self.down3(torch.cat([_doubled(middle), third], 1))
        out4 = self.out4(torch.cat([self.up3(out3), middle], 1))
        out5 = self.out5(torch.cat([self.up4(out4), top], 1))
        found = [head(x) for head, x in zip(self.heads, (out3, out4, out5), strict=True)]
        return torch.cat(found, 2).transpose(1, 2)


def _doubled(x: torch.Tensor) -> torch.Tensor:
    return nn.functional.interpolate(x, scale_factor=2.0, mode="nearest")


def yolox() -> nn.Module:
    """YOLOX-Tiny: 5.1 M parameters, 3.2 G multiply-accumulates at 416 pixels."""
    return Detector(24, 80)
