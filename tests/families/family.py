"""What a family is: a small network of one published architecture, its inputs, what can go."""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

# Why the residual stream of a transformer stays: one of these, by what the exporter writes first.
NORMALISED = "normalised|can't be pruned"


@dataclass(frozen=True)
class Family:
    """A network and what channel pruning is expected to make of it.

    `make` builds the module, `inputs` its example inputs for a batch of two. `prunable` counts the
    layers that can lose channels, `layers` all of them, as an ONNX file shows them; `stays` maps
    the path of a module (as `head`) to a part of the reason why its channels stay, or several
    with `|` between. `unrolled` has both counts where the exporter on `torch.export` writes a loop
    out. `open_batch` is False where the module fixes the batch when it is traced.
    """

    name: str
    make: Callable[[], nn.Module]
    inputs: Callable[[], tuple[Tensor, ...]]
    layers: int
    prunable: int
    stays: dict[str, str] = field(default_factory=dict)
    unrolled: tuple[int, int] | None = None
    open_batch: bool = True

    @property
    def module(self) -> nn.Module:
        """The module with its seeded weights, for evaluation."""
        return seeded(self.make)


def seeded(make: Callable[[], nn.Module]) -> nn.Module:
    """A module with fixed random weights, batch statistics and affine parameters, in `eval`."""
    torch.manual_seed(0)
    module = make()
    for part in module.modules():
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
            assert part.running_mean is not None and part.running_var is not None
            nn.init.uniform_(part.running_mean, -0.5, 0.5)
            nn.init.uniform_(part.running_var, 0.5, 2)
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d | nn.GroupNorm | nn.LayerNorm):
            nn.init.uniform_(part.weight, 0.5, 1.5)
            nn.init.uniform_(part.bias, -0.5, 0.5)
    return module.eval()


def images(size: int = 16, channels: int = 3) -> Callable[[], tuple[Tensor, ...]]:
    """Two random images, (2, channels, size, size)."""

    def make() -> tuple[Tensor, ...]:
        return (torch.randn(2, channels, size, size, generator=torch.Generator().manual_seed(1)),)

    return make


def sequences(length: int, features: int) -> Callable[[], tuple[Tensor, ...]]:
    """Two random sequences, (2, length, features); a signal is (2, channels, length)."""

    def make() -> tuple[Tensor, ...]:
        return (torch.randn(2, length, features, generator=torch.Generator().manual_seed(1)),)

    return make


class ConvNorm(nn.Sequential):
    """Convolution of odd size, batch norm, activation."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        size: int = 1,
        stride: int = 1,
        groups: int = 1,
        act: Callable[[], nn.Module] | None = nn.ReLU,
        dilation: int = 1,
    ) -> None:
        padding = dilation * (size // 2)
        super().__init__(
            nn.Conv2d(inputs, outputs, size, stride, padding, dilation, groups, bias=False),
            nn.BatchNorm2d(outputs),
            *([act()] if act is not None else []),
        )


class Add(nn.Module):
    """`x + body(x)`, the shortcut projected where one is given."""

    def __init__(
        self,
        body: nn.Module,
        shortcut: nn.Module | None = None,
        act: Callable[[], nn.Module] = nn.Identity,
    ) -> None:
        super().__init__()
        self.body, self.shortcut, self.act = body, shortcut or nn.Identity(), act()

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.act(self.shortcut(x) + self.body(x))
        return y


class SqueezeExcite(nn.Module):
    """A gate per channel from the image's mean (Hu et al., arXiv 1709.01507)."""

    def __init__(
        self,
        channels: int,
        hidden: int,
        act: Callable[[], nn.Module] = nn.ReLU,
        gate: Callable[[], nn.Module] = nn.Sigmoid,
    ) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.reduce, self.expand = nn.Conv2d(channels, hidden, 1), nn.Conv2d(hidden, channels, 1)
        self.act, self.gate = act(), gate()

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = x * self.gate(self.expand(self.act(self.reduce(self.pool(x)))))
        return y


class Classifier(nn.Module):
    """Stem, body and a linear head behind the mean over all pixels."""

    def __init__(self, stem: nn.Module, body: nn.Module, width: int, classes: int = 10) -> None:
        super().__init__()
        self.stem, self.body = stem, body
        self.pool, self.head = nn.AdaptiveAvgPool2d(1), nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.head(self.pool(self.body(self.stem(x))).flatten(1))
        return y
