"""The three sample networks, for 28 by 28 grey images and ten classes.

All take raw pixel values 0..255 as float32 (batch, 1, 28, 28) and return logits (batch, 10).
The normalisation is the first layer of each network, so that an exported model needs no
preprocessing besides a cast.
"""

import torch
from torch import Tensor, nn

from sample_models.fashion import CLASSES, PIXEL_MEAN, PIXEL_STD


class Normalise(nn.Module):
    """Pixel values 0..255 to about zero mean and unit variance."""

    def __init__(self) -> None:
        super().__init__()
        self.mean: Tensor
        self.scale: Tensor
        self.register_buffer("mean", torch.tensor(PIXEL_MEAN))
        self.register_buffer("scale", torch.tensor(1 / PIXEL_STD))

    def forward(self, image: Tensor) -> Tensor:
        return (image - self.mean) * self.scale


class Shortcut(nn.Sequential):
    """A 1x1 projection for the blocks that change the shape of their input."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
        self.norm = nn.BatchNorm2d(outputs)


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut (He et al., https://arxiv.org/abs/1512.03385)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        same_shape = stride == 1 and inputs == outputs
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Identity() if same_shape else Shortcut(inputs, outputs, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.norm1(self.conv1(x)))
        y = self.norm2(self.conv2(y))
        return torch.relu(y + self.shortcut(x))


class ResNet(nn.Module):
    """A small residual network: a stem, three stages at 28, 14 and 7 pixels, a classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.normalise = Normalise()
        self.stem = nn.Conv2d(1, 16, 3, padding=1, bias=False)
        self.stem_norm = nn.BatchNorm2d(16)
        self.stage1 = nn.Sequential(ResidualBlock(16, 16, 1))
        self.stage2 = nn.Sequential(ResidualBlock(16, 24, 2))
        self.stage3 = nn.Sequential(ResidualBlock(24, 48, 2), ResidualBlock(48, 48, 1))
        self.classifier = nn.Linear(48, len(CLASSES))

    def forward(self, image: Tensor) -> Tensor:
        x = torch.relu(self.stem_norm(self.stem(self.normalise(image))))
        x = self.stage3(self.stage2(self.stage1(x)))
        return self.classifier(x.mean((2, 3)))


class InvertedResidual(nn.Module):
    """Expand, filter each channel, project (Sandler et al., https://arxiv.org/abs/1801.04381)."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        self.residual = stride == 1 and inputs == outputs
        self.expand = nn.Conv2d(inputs, hidden, 1, bias=False)
        self.expand_norm = nn.BatchNorm2d(hidden)
        self.depthwise = nn.Conv2d(hidden, hidden, 3, stride, padding=1, groups=hidden, bias=False)
        self.depthwise_norm = nn.BatchNorm2d(hidden)
        self.project = nn.Conv2d(hidden, outputs, 1, bias=False)
        self.project_norm = nn.BatchNorm2d(outputs)
        self.activation = nn.ReLU6()

    def forward(self, x: Tensor) -> Tensor:
        y = self.activation(self.expand_norm(self.expand(x)))
        y = self.activation(self.depthwise_norm(self.depthwise(y)))
        y = self.project_norm(self.project(y))
        return x + y if self.residual else y


class MobileNet(nn.Module):
    """A small MobileNetV2: stem, inverted residuals at 14 and 7 pixels, head, classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.normalise = Normalise()
        self.stem = nn.Conv2d(1, 16, 3, padding=1, bias=False)
        self.stem_norm = nn.BatchNorm2d(16)
        self.stage1 = nn.Sequential(
            InvertedResidual(16, 24, 2, expansion=3),
            InvertedResidual(24, 24, 1, expansion=4),
        )
        self.stage2 = nn.Sequential(
            InvertedResidual(24, 40, 2, expansion=4),
            InvertedResidual(40, 40, 1, expansion=4),
            InvertedResidual(40, 40, 1, expansion=4),
            InvertedResidual(40, 40, 1, expansion=4),
        )
        self.head = nn.Conv2d(40, 128, 1, bias=False)
        self.head_norm = nn.BatchNorm2d(128)
        self.activation = nn.ReLU6()
        self.classifier = nn.Linear(128, len(CLASSES))

    def forward(self, image: Tensor) -> Tensor:
        x = self.activation(self.stem_norm(self.stem(self.normalise(image))))
        x = self.stage2(self.stage1(x))
        x = self.activation(self.head_norm(self.head(x)))
        return self.classifier(x.mean((2, 3)))


class MLP(nn.Module):
    """Three hidden layers of 512 units."""

    def __init__(self) -> None:
        super().__init__()
        self.normalise = Normalise()
        self.hidden1 = nn.Linear(28 * 28, 512)
        self.hidden2 = nn.Linear(512, 512)
        self.hidden3 = nn.Linear(512, 512)
        self.classifier = nn.Linear(512, len(CLASSES))

    def forward(self, image: Tensor) -> Tensor:
        x = self.normalise(image).flatten(1)
        x = torch.relu(self.hidden1(x))
        x = torch.relu(self.hidden2(x))
        x = torch.relu(self.hidden3(x))
        return self.classifier(x)
