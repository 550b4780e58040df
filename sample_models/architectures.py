"""The sample networks: three for 28 by 28 grey images, one for series, one for text.

They return logits (batch, classes). Images, float32 (batch, 1, 28, 28), have raw pixel values
0..255; series are float32 (batch, 12, 29); text is int64 character ids (batch, 64). Where there is
a normalisation it is the first layer, so that an exported model needs no preprocessing besides a
cast.
"""

import numpy.typing as npt
import torch
from torch import Tensor, nn

from sample_models import fashion, udhr, vowels

CONVOLUTIONS = {1: nn.Conv1d, 2: nn.Conv2d}  # by the number of axes that they slide along
NORMALISATIONS = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d}
INITIAL_STD = 0.1  # of embeddings and positions


class Normalise(nn.Module):
    """Raw input values to about zero mean and unit variance.

    `mean` and `std` are those of all values, or (channels, 1) those of each channel.
    """

    def __init__(self, mean: npt.ArrayLike, std: npt.ArrayLike) -> None:
        super().__init__()
        self.mean: Tensor
        self.scale: Tensor
        self.register_buffer("mean", torch.tensor(mean))
        self.register_buffer("scale", (1 / torch.tensor(std, dtype=torch.float64)).float())

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) * self.scale


class Shortcut(nn.Sequential):
    """A projection with kernel 1 for the blocks that change the shape of their input."""

    def __init__(self, inputs: int, outputs: int, stride: int, axes: int) -> None:
        super().__init__()
        self.conv = CONVOLUTIONS[axes](inputs, outputs, 1, stride, bias=False)
        self.norm = NORMALISATIONS[axes](outputs)


class ResidualBlock(nn.Module):
    """Two convolutions of kernel 3 along one or two axes, and a shortcut.

    He et al., https://arxiv.org/abs/1512.03385.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, axes: int = 2) -> None:
        super().__init__()
        conv, norm = CONVOLUTIONS[axes], NORMALISATIONS[axes]
        same_shape = stride == 1 and inputs == outputs
        self.conv1 = conv(inputs, outputs, 3, stride, padding=1, bias=False)
        self.norm1 = norm(outputs)
        self.conv2 = conv(outputs, outputs, 3, padding=1, bias=False)
        self.norm2 = norm(outputs)
        self.shortcut = nn.Identity() if same_shape else Shortcut(inputs, outputs, stride, axes)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.norm1(self.conv1(x)))
        y = self.norm2(self.conv2(y))
        return torch.relu(y + self.shortcut(x))


class ResNet(nn.Module):
    """A small residual network: a stem, three stages at 28, 14 and 7 pixels, a classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.normalise = Normalise(fashion.PIXEL_MEAN, fashion.PIXEL_STD)
        self.stem = nn.Conv2d(1, 16, 3, padding=1, bias=False)
        self.stem_norm = nn.BatchNorm2d(16)
        self.stage1 = nn.Sequential(ResidualBlock(16, 16, 1))
        self.stage2 = nn.Sequential(ResidualBlock(16, 24, 2))
        self.stage3 = nn.Sequential(ResidualBlock(24, 48, 2), ResidualBlock(48, 48, 1))
        self.classifier = nn.Linear(48, len(fashion.CLASSES))

    def forward(self, image: Tensor) -> Tensor:
        x = torch.relu(self.stem_norm(self.stem(self.normalise(image))))
        x = self.stage3(self.stage2(self.stage1(x)))
        y: Tensor = self.classifier(x.mean((2, 3)))
        return y


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
        out: Tensor = x + y if self.residual else y
        return out


class MobileNet(nn.Module):
    """A small MobileNetV2: stem, inverted residuals at 14 and 7 pixels, head, classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.normalise = Normalise(fashion.PIXEL_MEAN, fashion.PIXEL_STD)
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
        self.classifier = nn.Linear(128, len(fashion.CLASSES))

    def forward(self, image: Tensor) -> Tensor:
        x = self.activation(self.stem_norm(self.stem(self.normalise(image))))
        x = self.stage2(self.stage1(x))
        x = self.activation(self.head_norm(self.head(x)))
        y: Tensor = self.classifier(x.mean((2, 3)))
        return y


class MLP(nn.Module):
    """Three hidden layers of 512 units."""

    def __init__(self) -> None:
        super().__init__()
        self.normalise = Normalise(fashion.PIXEL_MEAN, fashion.PIXEL_STD)
        self.hidden1 = nn.Linear(28 * 28, 512)
        self.hidden2 = nn.Linear(512, 512)
        self.hidden3 = nn.Linear(512, 512)
        self.classifier = nn.Linear(512, len(fashion.CLASSES))

    def forward(self, image: Tensor) -> Tensor:
        x = self.normalise(image).flatten(1)
        x = torch.relu(self.hidden1(x))
        x = torch.relu(self.hidden2(x))
        x = torch.relu(self.hidden3(x))
        y: Tensor = self.classifier(x)
        return y


class VowelsCNN(nn.Module):
    """A small residual network along the time: a stem, two stages at 29 and 15 steps."""

    def __init__(self) -> None:
        super().__init__()
        self.normalise = Normalise(
            [[mean] for mean in vowels.MEANS], [[std] for std in vowels.STDS]
        )
        self.stem = nn.Conv1d(len(vowels.MEANS), 32, 3, padding=1, bias=False)
        self.stem_norm = nn.BatchNorm1d(32)
        self.stage1 = nn.Sequential(ResidualBlock(32, 32, 1, axes=1))
        self.stage2 = nn.Sequential(
            ResidualBlock(32, 64, 2, axes=1), ResidualBlock(64, 64, 1, axes=1)
        )
        self.classifier = nn.Linear(64, len(vowels.SPEAKERS))

    def forward(self, series: Tensor) -> Tensor:
        x = torch.relu(self.stem_norm(self.stem(self.normalise(series))))
        y: Tensor = self.classifier(self.stage2(self.stage1(x)).mean(2))
        return y


class Attention(nn.Module):
    """Self-attention of several heads, with one projection for queries, keys and values."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.scale = (width // heads) ** -0.5
        self.qkv = nn.Linear(width, 3 * width)
        self.project = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        _, length, width = x.shape
        qkv = self.qkv(x).reshape(-1, length, 3, self.heads, width // self.heads)
        qkv = qkv.permute(2, 0, 3, 1, 4)
        query, key, value = qkv[0], qkv[1], qkv[2]  # (batch, heads, length, features)
        weights = torch.softmax(query @ key.transpose(2, 3) * self.scale, dim=-1)
        y: Tensor = self.project((weights @ value).transpose(1, 2).reshape(-1, length, width))
        return y


class EncoderBlock(nn.Module):
    """Attention, then two linear layers, both after a normalisation and beside a shortcut.

    Xiong et al., https://arxiv.org/abs/2002.04745.
    """

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.expand = nn.Linear(width, hidden)
        self.activation = nn.GELU()
        self.contract = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        y: Tensor = x + self.contract(self.activation(self.expand(self.norm2(x))))
        return y


class LanguageTransformer(nn.Module):
    """An encoder of characters: embedding, neighbours, position, three blocks, mean, classifier.

    Each character gets a sum over itself and its two neighbours, as three letters tell languages
    apart far better than single ones do.
    """

    def __init__(self) -> None:
        super().__init__()
        width, heads, hidden = 96, 6, 192
        self.embedding = nn.Embedding(1 + len(udhr.read_characters()), width)
        self.neighbours = nn.Conv1d(width, width, 3, padding=1)
        self.position = nn.Parameter(torch.zeros(udhr.LENGTH, width))
        self.blocks = nn.Sequential(*(EncoderBlock(width, heads, hidden) for _ in range(3)))
        self.norm = nn.LayerNorm(width)
        self.classifier = nn.Linear(width, len(udhr.LANGUAGES))
        nn.init.normal_(self.embedding.weight, std=INITIAL_STD)
        nn.init.normal_(self.position, std=INITIAL_STD)

    def forward(self, characters: Tensor) -> Tensor:
        x = self.embedding(characters)  # (batch, characters, width)
        x = x + self.neighbours(x.transpose(1, 2)).transpose(1, 2) + self.position
        y: Tensor = self.classifier(self.norm(self.blocks(x)).mean(1))
        return y
