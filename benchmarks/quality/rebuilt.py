"""The sample networks as torch modules again, with the weights of their ONNX files.

The files have batch normalisations folded into the convolutions. So each convolution gets a bias,
and each normalisation behind it becomes one that measures what the convolution gives and changes
nothing: whoever changes the weights can then measure again, and so give every channel back the mean
and the variance that it had.
"""

import numpy as np
import numpy.typing as npt
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from benchmarks.quality.plain import Weights, turned_weights
from benchmarks.quality.samples import Array, Sample, outputs_of
from sample_models.architectures import (
    MLP,
    Attention,
    LanguageTransformer,
    MobileNet,
    ResNet,
    VowelsCNN,
)

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d)
NORMALISATIONS = (nn.BatchNorm1d, nn.BatchNorm2d)
Normalisation = nn.BatchNorm1d | nn.BatchNorm2d
BATCH = 128  # samples that statistics are measured on at a time
TEST_BATCH = 500
TOLERANCE = 1e-4  # between the logits of torch and of ONNX Runtime
CHECKED = 256  # samples


class HeadedAttention(nn.Module):
    """The sample's attention with projections of their own, of which whole heads can go."""

    def __init__(self, fused: Attention) -> None:
        super().__init__()
        width = fused.qkv.in_features
        self.features, self.scale = width // fused.heads, fused.scale
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.project = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        length = x.shape[1]
        query, key, value = (
            layer(x).reshape(-1, length, layer.out_features // self.features, self.features)
            for layer in (self.query, self.key, self.value)
        )  # (batch, length, heads, features)
        query, key, value = (y.transpose(1, 2) for y in (query, key, value))
        weights = torch.softmax(query @ key.transpose(2, 3) * self.scale, dim=-1)
        joined = (weights @ value).transpose(1, 2).flatten(2)
        out: Tensor = self.project(joined)
        return out


ARCHITECTURES: dict[str, type[nn.Module]] = {
    "fashion_resnet": ResNet,
    "fashion_mobilenet": MobileNet,
    "fashion_mlp": MLP,
    "vowels_cnn": VowelsCNN,
    "language_transformer": LanguageTransformer,
}


def rebuild(sample: Sample) -> nn.Module:
    """A sample network as a torch module in evaluation mode; its normalisations change nothing.

    Raises:
        ArithmeticError: it doesn't give what ONNX Runtime gives.
    """
    module = ARCHITECTURES[sample.name]()
    for child in list(module.modules()):
        if isinstance(child, CONVOLUTIONS) and child.bias is None:
            child.bias = nn.Parameter(torch.zeros(child.out_channels))
        if isinstance(child, NORMALISATIONS):
            assert child.running_var is not None
            child.running_var.fill_(1 - child.eps)
        if hasattr(child, "attention"):
            assert isinstance(child.attention, Attention)
            child.attention = HeadedAttention(child.attention)
    load_weights(module.eval(), sample, {})
    x = sample.test[0][:CHECKED]
    wanted, given = outputs_of(sample.proto, x), run(module, x)
    if np.abs(given - wanted).max() > TOLERANCE:
        raise ArithmeticError(f"{sample.name} in torch doesn't give what its ONNX file gives.")
    return module


def load_weights(module: nn.Module, sample: Sample, weights: Weights) -> None:
    """Put the ONNX file's tensors into a module, `weights` in place of those of the same names."""
    tensors = {t.name: numpy_helper.to_array(t) for t in sample.proto.graph.initializer}
    turned = turned_weights(sample.proto)
    arrays = {name: a.T if turned.get(name) else a for name, a in tensors.items()} | weights
    for name in [name for name in arrays if ".qkv." in name]:
        for part, array in zip(("query", "key", "value"), np.split(arrays[name], 3), strict=True):
            arrays[name.replace("qkv", part)] = array
    measured = {
        f"{name}.{key}"
        for name, child in module.named_modules()
        if isinstance(child, NORMALISATIONS)
        for key in child.state_dict()
    }
    for name, tensor in module.state_dict().items():
        if name not in measured:
            tensor.copy_(torch.tensor(arrays[name].copy()))


def watch_statistics(module: nn.Module, x: Array) -> None:
    """Let each normalisation hold the mean and variance of what enters it, and undo itself."""
    entering: dict[Normalisation, list[tuple[Tensor, Tensor]]] = {}

    def note(layer: Normalisation, inputs: tuple[Tensor]) -> None:
        axes = [axis for axis in range(inputs[0].ndim) if axis != 1]
        pair = inputs[0].var(axes), inputs[0].mean(axes)
        entering.setdefault(layer, []).append(pair)

    hooks = [layer.register_forward_pre_hook(note) for layer in _normalisations(module)]
    run(module, x, BATCH)
    for hook in hooks:
        hook.remove()
    for layer, pairs in entering.items():
        variance, mean = (torch.stack(parts).mean(0) for parts in zip(*pairs, strict=True))
        layer.running_var, layer.running_mean = variance, mean
        layer.weight.data, layer.bias.data = torch.sqrt(variance + layer.eps), mean.clone()


def update_statistics(module: nn.Module, x: Array) -> None:
    """Measure the mean and variance of what enters each normalisation anew, over all of `x`."""
    layers = _normalisations(module)
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # the average of all batches
        layer.train()
    run(module, x, BATCH)
    for layer in layers:
        layer.eval()


def has_statistics(module: nn.Module) -> bool:
    """True for a network with batch normalisations."""
    return bool(_normalisations(module))


def _normalisations(module: nn.Module) -> list[Normalisation]:
    return [child for child in module.modules() if isinstance(child, NORMALISATIONS)]


@torch.no_grad()
def run(module: nn.Module, x: Array, batch: int = TEST_BATCH) -> npt.NDArray[np.floating]:
    """The logits (samples, classes) of `x` in torch."""
    parts = [module(torch.tensor(x[i : i + batch])) for i in range(0, len(x), batch)]
    return torch.cat(parts).numpy()


def accuracy_in_torch(module: nn.Module, sample: Sample) -> float:
    """Share of a sample's test set that a module gets right."""
    x, labels = sample.test
    return float((run(module, x).argmax(axis=1) == labels).mean())
