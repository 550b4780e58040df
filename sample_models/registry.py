"""The architectures that weights alone can be opened with: their names, builders and inputs.

To add one, append a line to `ARCHITECTURES`: its builder takes no arguments, and whatever depends
on the training (such as the constants of a normalisation) is a buffer, so that it comes with the
weights.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sample_models.architectures import MLP, LanguageTransformer, MobileNet, ResNet, VowelsCNN
from sample_models.fashion import FASHION
from sample_models.udhr import DECLARATIONS
from sample_models.vowels import VOWELS

BATCH = 2  # of the example, which an exporter takes for any batch


@dataclass(frozen=True)
class Architecture:
    """A network without its weights; `shape` and `dtype` are those of one sample of its input."""

    name: str
    build: Callable[[], nn.Module]
    shape: tuple[int, ...]
    dtype: torch.dtype

    def example(self) -> Tensor:
        """A batch of zeros that the network takes."""
        return torch.zeros(BATCH, *self.shape, dtype=self.dtype)

    def weight_shapes(self) -> dict[str, tuple[int, ...]]:
        """The names and shapes of its parameters and buffers; none of them is made for it."""
        with torch.device("meta"):
            module = self.build()
        return {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}


ARCHITECTURES = (
    Architecture("fashion_resnet", ResNet, FASHION.shape, FASHION.dtype),
    Architecture("fashion_mobilenet", MobileNet, FASHION.shape, FASHION.dtype),
    Architecture("fashion_mlp", MLP, FASHION.shape, FASHION.dtype),
    Architecture("vowels_cnn", VowelsCNN, VOWELS.shape, VOWELS.dtype),
    Architecture(
        "language_transformer", LanguageTransformer, DECLARATIONS.shape, DECLARATIONS.dtype
    ),
)
