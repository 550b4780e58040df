"""Networks that answer for every pixel."""

import torch
from torch import Tensor, nn

from families.convolutional import residual
from families.family import ConvNorm, Family, images


class UNet(nn.Module):
    """Down, up by transposed convolutions, skips by concatenation (arXiv 1505.04597)."""

    def __init__(self) -> None:
        super().__init__()
        self.down1, self.down2 = ConvNorm(3, 16, 3), ConvNorm(16, 24, 3)
        self.bottom = ConvNorm(24, 32, 3)
        self.pool = nn.MaxPool2d(2)
        self.up2, self.up1 = (
            nn.ConvTranspose2d(32, 24, 2, stride=2),
            nn.ConvTranspose2d(24, 16, 2, stride=2),
        )
        self.mix2, self.mix1 = ConvNorm(48, 24, 3), ConvNorm(32, 16, 3)
        self.head = nn.Conv2d(16, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        one = self.down1(x)
        two = self.down2(self.pool(one))
        x = self.bottom(self.pool(two))
        x = self.mix2(torch.cat([self.up2(x), two], 1))
        y: Tensor = self.head(self.mix1(torch.cat([self.up1(x), one], 1)))
        return y


class DeepLab(nn.Module):
    """Dilated branches and the image's mean, scaled back by Resize (arXiv 1706.05587)."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(ConvNorm(3, 16, 3, 2), residual(16, 16))
        self.one = ConvNorm(16, 8)
        self.wide = ConvNorm(16, 8, 3, dilation=2)
        self.wider = ConvNorm(16, 8, 3, dilation=4)
        self.pooled = nn.Sequential(nn.AdaptiveAvgPool2d(1), ConvNorm(16, 8))
        self.mix = ConvNorm(32, 16)
        self.head = nn.Conv2d(16, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        features = self.body(x)
        pooled = nn.functional.interpolate(
            self.pooled(features), size=features.shape[2:], mode="bilinear", align_corners=False
        )
        branches = [self.one(features), self.wide(features), self.wider(features), pooled]
        y = self.head(self.mix(torch.cat(branches, 1)))
        return nn.functional.interpolate(y, size=x.shape[2:], mode="bilinear", align_corners=False)


class FullyConvolutional(nn.Module):
    """Scores of two scales, added and scaled up by a transposed convolution (arXiv 1411.4038)."""

    def __init__(self) -> None:
        super().__init__()
        self.early, self.late = ConvNorm(3, 16, 3, 2), ConvNorm(16, 24, 3, 2)
        self.score_early, self.score_late = nn.Conv2d(16, 8, 1), nn.Conv2d(24, 8, 1)
        self.up = nn.ConvTranspose2d(8, 8, 4, stride=2, padding=1, bias=False)
        self.head = nn.ConvTranspose2d(8, 4, 4, stride=2, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        early = self.early(x)
        late = self.up(self.score_late(self.late(early)))
        y: Tensor = self.head(self.score_early(early) + late)
        return y


class SubPixel(nn.Module):
    """Super-resolution by pixel shuffle in the middle and at the end (arXiv 1609.05158)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1)
        self.widen = nn.Conv2d(16, 32, 3, padding=1)
        self.mix = nn.Conv2d(8, 16, 3, padding=1)
        self.head = nn.Conv2d(16, 12, 3, padding=1)
        self.shuffle = nn.PixelShuffle(2)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.shuffle(self.widen(torch.relu(self.stem(x)))))
        y: Tensor = self.shuffle(self.head(torch.relu(self.mix(x))))
        return y


class PixelUnshuffled(nn.Module):
    """The image folded into channels in front (YOLOv5's Focus; RepVGG-type restoration nets)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.fold = nn.PixelUnshuffle(2)
        self.mix = nn.Conv2d(32, 16, 3, padding=1)
        self.head = nn.Conv2d(16, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.head(torch.relu(self.mix(self.fold(torch.relu(self.stem(x))))))
        return y


OUTPUT = {"head": "feeds graph output"}
FAMILIES = [
    Family("unet", UNet, images(), layers=8, prunable=7, stays=OUTPUT),
    Family("deeplab", DeepLab, images(), layers=9, prunable=8, stays=OUTPUT),
    Family("fcn", FullyConvolutional, images(), layers=6, prunable=5, stays=OUTPUT),
    Family("pixel_shuffle", SubPixel, images(8), layers=4, prunable=3, stays=OUTPUT),
    Family("pixel_unshuffle", PixelUnshuffled, images(8), layers=3, prunable=2, stays=OUTPUT),
]
