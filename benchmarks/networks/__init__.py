"""Networks of public architectures with seeded weights, and samples for them, for timing."""

from benchmarks.networks.detector import yolox
from benchmarks.networks.mobile import mobilenet_v2, pp_lcnet
from benchmarks.networks.residual import resnet18, resnet50
from benchmarks.networks.transformers import Encoder, bert, vit_s

__all__ = [
    "Encoder",
    "bert",
    "mobilenet_v2",
    "pp_lcnet",
    "resnet18",
    "resnet50",
    "vit_s",
    "yolox",
]
