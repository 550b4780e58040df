"""The networks of 1 to 30 million parameters that the explorer is timed with, and their samples."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

import explorer
from benchmarks.networks.detector import yolox
from benchmarks.networks.mobile import mobilenet_v2, pp_lcnet
from benchmarks.networks.residual import resnet18, resnet50
from benchmarks.networks.samples import Samples, images, set_up, texts
from benchmarks.networks.transformers import bert, vit_s

WORDS, LENGTH = 30_522, 128


@dataclass(frozen=True)
class Network:
    """How a network is built, and how many samples of which size go with it; 0 pixels: texts."""

    build: Callable[[], nn.Module]
    pixels: int
    samples: int

    def drawn(self, seed: int = 0) -> Samples:
        """As many samples as belong to it."""
        if self.pixels:
            return images(self.samples, self.pixels, seed)
        return texts(self.samples, LENGTH, WORDS, seed)


NETWORKS = {
    "pp_lcnet": Network(pp_lcnet, 224, 128),
    "mobilenet_v2": Network(mobilenet_v2, 224, 128),
    "resnet_18": Network(resnet18, 224, 128),
    "resnet_50": Network(resnet50, 224, 128),
    "yolox": Network(yolox, 416, 64),
    "bert": Network(bert, 0, 64),
    "vit_s": Network(vit_s, 224, 32),
}


def written(name: str, folder: Path) -> tuple[Path, Samples]:
    """The ONNX file of a network, the same each time, and its samples."""
    network, path = NETWORKS[name], folder / f"{name}.onnx"
    torch.manual_seed(0)
    samples = network.drawn()
    module = set_up(network.build(), samples)
    explorer.Model.from_torch(module, (torch.from_numpy(samples[:1]),)).save(path)
    return path, samples
