"""Detectors: backbone, neck, heads for boxes and classes, and the decoding behind them."""

import torch
from torch import Tensor, nn

from families.family import ConvNorm, Family, images

CLASSES = 3
BINS = 4  # of the distribution over each side of a box


class Bottleneck(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = ConvNorm(channels, channels, 3, act=nn.SiLU)
        self.second = ConvNorm(channels, channels, 3, act=nn.SiLU)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = x + self.second(self.first(x))
        return y


class C2f(nn.Module):
    """YOLOv8's block: split in two, every stage is kept and concatenated."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        half = outputs // 2
        self.first = ConvNorm(inputs, outputs, act=nn.SiLU)
        self.stages = nn.ModuleList([Bottleneck(half)])
        self.last = ConvNorm(3 * half, outputs, act=nn.SiLU)

    def forward(self, x: Tensor) -> Tensor:
        parts = list(self.first(x).chunk(2, 1))
        parts.extend(stage(parts[-1]) for stage in self.stages)
        y: Tensor = self.last(torch.cat(parts, 1))
        return y


class C3(nn.Module):
    """YOLOv5's cross-stage partial block: two paths, concatenated (arXiv 1911.11929)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        half = outputs // 2
        self.left = ConvNorm(inputs, half, act=nn.SiLU)
        self.right = ConvNorm(inputs, half, act=nn.SiLU)
        self.stage = Bottleneck(half)
        self.last = ConvNorm(outputs, outputs, act=nn.SiLU)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.last(torch.cat([self.stage(self.left(x)), self.right(x)], 1))
        return y


class Pyramid(nn.Module):
    """SPPF: three poolings in a row, concatenated."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = ConvNorm(channels, channels // 2, act=nn.SiLU)
        self.pool = nn.MaxPool2d(5, 1, 2)
        self.last = ConvNorm(2 * channels, channels, act=nn.SiLU)

    def forward(self, x: Tensor) -> Tensor:
        parts = [self.first(x)]
        for _ in range(3):
            parts.append(self.pool(parts[-1]))
        y: Tensor = self.last(torch.cat(parts, 1))
        return y


class Yolo8(nn.Module):
    """Anchor-free: C2f, SPPF, upsampled neck; boxes as distributions over distances."""

    bins: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.stem = ConvNorm(3, 16, 3, 2, act=nn.SiLU)
        self.early = C2f(16, 16)
        self.down = ConvNorm(16, 32, 3, 2, act=nn.SiLU)
        self.late = nn.Sequential(C2f(32, 32), Pyramid(32))
        self.up = nn.Upsample(scale_factor=2)
        self.neck = C2f(48, 16)
        self.boxes = nn.ModuleList([self._head(c, 4 * BINS) for c in (16, 32)])
        self.classes = nn.ModuleList([self._head(c, CLASSES) for c in (16, 32)])
        self.register_buffer("bins", torch.arange(BINS).float())

    @staticmethod
    def _head(channels: int, outputs: int) -> nn.Module:
        return nn.Sequential(ConvNorm(channels, 16, 3, act=nn.SiLU), nn.Conv2d(16, outputs, 1))

    def forward(self, x: Tensor) -> Tensor:
        early = self.early(self.stem(x))
        late = self.late(self.down(early))
        maps = [self.neck(torch.cat([self.up(late), early], 1)), late]
        heads = [
            torch.cat([box(m), cls(m)], 1)
            for box, cls, m in zip(self.boxes, self.classes, maps, strict=True)
        ]
        joined = torch.cat([head.flatten(2) for head in heads], 2)
        box, scores = joined.split((4 * BINS, CLASSES), 1)
        n, _, places = box.shape
        shares = box.view(n, 4, BINS, places).transpose(1, 2).softmax(1)
        sides = (shares * self.bins.view(1, -1, 1, 1)).sum(1)
        low, high = sides.chunk(2, 1)
        return torch.cat([(high - low) / 2, low + high, scores.sigmoid()], 1)


class Yolo5(nn.Module):
    """With anchors: the map is split into anchors and transposed, boxes decoded by slices."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = ConvNorm(12, 16, 3, act=nn.SiLU)  # of an image folded by four slices (Focus)
        self.body = nn.Sequential(
            ConvNorm(16, 24, 3, 2, act=nn.SiLU), C3(24, 24), Pyramid(24), C3(24, 32)
        )
        self.head = nn.Conv2d(32, 3 * (5 + CLASSES), 1)
        self.register_buffer("anchors", torch.rand(1, 3, 1, 1, 2))

    def forward(self, x: Tensor) -> Tensor:
        corners = [x[..., i::2, j::2] for i in (0, 1) for j in (0, 1)]
        y = self.head(self.body(self.stem(torch.cat(corners, 1))))
        n, _, h, w = y.shape
        y = y.view(n, 3, 5 + CLASSES, h, w).permute(0, 1, 3, 4, 2).sigmoid()
        middle, size, rest = y[..., :2] * 2 - 0.5, (y[..., 2:4] * 2) ** 2, y[..., 4:]
        return torch.cat([middle, size * self.anchors, rest], -1).view(n, -1, 5 + CLASSES)


class Separable(nn.Sequential):
    """Depthwise 5 x 5 and 1 x 1."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__(
            ConvNorm(inputs, inputs, 5, stride, groups=inputs, act=nn.Hardswish),
            ConvNorm(inputs, outputs, act=nn.Hardswish),
        )


class Pico(nn.Module):
    """PicoDet and NanoDet: depthwise neck with paths up and down, one shared head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = ConvNorm(3, 16, 3, 2, act=nn.Hardswish)
        self.early, self.late = Separable(16, 24, 2), Separable(24, 32, 2)
        self.lateral1, self.lateral2 = ConvNorm(24, 16), ConvNorm(32, 16)
        self.up_mix, self.down_mix = Separable(32, 16), Separable(32, 16)
        self.down = Separable(16, 16, 2)
        self.tower = Separable(16, 16)
        self.head = nn.Conv2d(16, CLASSES + 4 * BINS, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        early = self.early(self.stem(x))
        late = self.lateral2(self.late(early))
        up = nn.functional.interpolate(late, scale_factor=2.0, mode="nearest")
        high = self.up_mix(torch.cat([self.lateral1(early), up], 1))
        low = self.down_mix(torch.cat([self.down(high), late], 1))
        outputs = [
            self.head(self.tower(level)).flatten(2).permute(0, 2, 1) for level in (high, low)
        ]
        joined = torch.cat(outputs, 1)
        return joined[..., :CLASSES].sigmoid(), joined[..., CLASSES:]


class SingleShot(nn.Module):
    """SSD: heads on each scale, permuted, reshaped and concatenated (arXiv 1512.02325)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(ConvNorm(3, 16, 3, 2), ConvNorm(16, 24, 3))
        self.next = ConvNorm(24, 32, 3, 2)
        self.places = nn.ModuleList([nn.Conv2d(c, 2 * 4, 3, padding=1) for c in (24, 32)])
        self.scores = nn.ModuleList([nn.Conv2d(c, 2 * CLASSES, 3, padding=1) for c in (24, 32)])

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        first = self.stem(x)
        maps = [first, self.next(first)]
        places = [self._rows(head(m), 4) for head, m in zip(self.places, maps, strict=True)]
        scores = [self._rows(head(m), CLASSES) for head, m in zip(self.scores, maps, strict=True)]
        return torch.cat(places, 1), torch.cat(scores, 1).softmax(-1)

    @staticmethod
    def _rows(x: Tensor, width: int) -> Tensor:
        return x.permute(0, 2, 3, 1).reshape(x.shape[0], -1, width)


DECODED = {"head": "graph output|can't be pruned"}
FAMILIES = [
    Family(
        "yolo_v8",
        Yolo8,
        images(),
        layers=24,
        prunable=20,
        stays={
            "boxes.0.1": "graph output|can't be pruned|product",
            "classes.1.1": "feeds graph output",
        },
    ),
    Family(
        "yolo_v5",
        Yolo5,
        images(32),
        layers=15,
        prunable=14,
        stays=DECODED,
    ),
    Family("picodet", Pico, images(32), layers=19, prunable=17, stays=DECODED),
    Family(
        "ssd",
        SingleShot,
        images(),
        layers=7,
        prunable=3,
        stays={"places.0": "graph output", "scores.1": "normalised|can't be pruned|graph output"},
    ),
]
