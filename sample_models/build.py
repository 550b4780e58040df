"""Train and export the sample models, write their data and the catalog.

    python -m sample_models.build                 # all of them
    python -m sample_models.build fashion_mlp     # one, and the catalog

The catalog describes the files that lie in this folder: hashes, sizes and accuracies are
measured on them, whichever of them were rebuilt.
"""

import argparse
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from torch import nn

from sample_models.architectures import MLP, MobileNet, ResNet
from sample_models.export import INPUT, OUTPUT, export
from sample_models.fashion import CLASSES, Images, Split, load_split
from sample_models.training import Training, train

FOLDER = Path(__file__).parent
TEST_FILE = "fashion_test.npz"
CALIBRATION_FILE = "fashion_calibration.npz"
CATALOG_FILE = "catalog.toml"

MODEL_LICENCE = "Apache-2.0"
DATA_LICENCE = "MIT"
DATA_SOURCE = "https://github.com/zalandoresearch/fashion-mnist"
DATA_DESCRIPTIONS = {
    TEST_FILE: "The 10,000 test images (x) and their class numbers (y).",
    CALIBRATION_FILE: "512 of the training images, without labels, that no model was trained on.",
}

SCORING_BATCH = 500

TomlValue = str | int | float | tuple[str, ...]


@dataclass(frozen=True)
class Sample:
    """One sample model: what the catalog says about it, and how to make it."""

    name: str
    title: str
    description: str
    architecture: str
    network: Callable[[], nn.Module]
    training: Training

    @property
    def path(self) -> Path:
        """Where the model's ONNX file lies."""
        return FOLDER / f"{self.name}.onnx"


SAMPLES = (
    Sample(
        name="fashion_resnet",
        title="Fashion ResNet",
        description="A small residual network that names ten kinds of clothing.",
        architecture=(
            "Residual CNN: 3x3 stem of 16 channels, one block of 16 with an identity shortcut, "
            "one of 24 and one of 48 with 1x1 projection shortcuts, one of 48 with an identity "
            "shortcut, mean over the pixels, linear classifier."
        ),
        network=ResNet,
        training=Training(60, peak_learning_rate=0.2, weight_decay=2e-4, bfloat16=True),
    ),
    Sample(
        name="fashion_mobilenet",
        title="Fashion MobileNet",
        description="A small MobileNetV2 with depthwise convolutions, for the same ten classes.",
        architecture=(
            "Inverted residuals: 3x3 stem of 16 channels, two blocks of 24, four of 40, each of "
            "1x1 expansion, 3x3 depthwise and 1x1 projection with ReLU6; four with a residual "
            "sum; 1x1 head of 128 channels, mean over the pixels, linear classifier."
        ),
        network=MobileNet,
        training=Training(25, peak_learning_rate=0.15, weight_decay=1e-4),
    ),
    Sample(
        name="fashion_mlp",
        title="Fashion MLP",
        description="A plain network of linear layers, the one with most parameters.",
        architecture="Multilayer perceptron 784-512-512-512-10 with ReLU.",
        network=MLP,
        training=Training(60, peak_learning_rate=0.05, weight_decay=2e-4),
    ),
)


def main() -> None:
    """Build the samples named on the command line, or all, and write the catalog."""
    samples = {sample.name: sample for sample in SAMPLES}
    parser = argparse.ArgumentParser(description="Train and export the sample models.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of: {', '.join(samples)}")
    names = parser.parse_args().names or list(samples)
    if unknown := sorted(set(names) - set(samples)):
        parser.error(f"no sample model {unknown[0]!r}: choose from {', '.join(samples)}")
    split = load_split()
    write_data(split)
    for name in names:
        build(samples[name], split)
    write_catalog(split.test)


def build(sample: Sample, split: Split) -> None:
    """Train one sample model from its seed and export it."""
    print(sample.title)
    torch.manual_seed(sample.training.seed)
    network = train(sample.network(), sample.training, split.train, split.validation)
    export(network, sample.path)


def write_data(split: Split) -> None:
    """Write the test images with labels and the calibration images without."""
    np.savez_compressed(FOLDER / TEST_FILE, x=split.test.x, y=split.test.y)
    np.savez_compressed(FOLDER / CALIBRATION_FILE, x=split.calibration.x)


def write_catalog(test: Images) -> None:
    """Describe every sample model and every data file, with what is measured on the files."""
    tables = [
        "# Written by `python -m sample_models.build`; `accuracy` is a fraction of all\n"
        "# test images, `params` counts the weights and biases of Conv and Gemm.\n"
    ]
    tables += [_toml_table("model", _model_entry(sample, test)) for sample in SAMPLES]
    tables += [_toml_table("data", _data_entry(file)) for file in DATA_DESCRIPTIONS]
    (FOLDER / CATALOG_FILE).write_text("\n".join(tables), encoding="utf-8")


def measure_accuracy(path: Path, test: Images) -> float:
    """Measure which fraction of `test` ONNX Runtime classifies right with the model at `path`."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    correct = 0
    for start in range(0, len(test), SCORING_BATCH):
        x = test.x[start : start + SCORING_BATCH].astype(np.float32)
        (logits,) = session.run([OUTPUT], {INPUT: x})
        correct += int((logits.argmax(1) == test.y[start : start + SCORING_BATCH]).sum())
    return correct / len(test)


def count_params(path: Path) -> int:
    """Count the weights and biases of the Conv and Gemm nodes of the model at `path`."""
    graph = onnx.load(path).graph
    used = {name for node in graph.node if node.op_type in ("Conv", "Gemm") for name in node.input}
    return sum(int(np.prod(value.dims)) for value in graph.initializer if value.name in used)


def _model_entry(sample: Sample, test: Images) -> dict[str, TomlValue]:
    return {
        "name": sample.name,
        "title": sample.title,
        "description": sample.description,
        "file": sample.path.name,
        "sha256": _sha256(sample.path),
        "test_data": TEST_FILE,
        "calibration_data": CALIBRATION_FILE,
        "licence": MODEL_LICENCE,
        "params": count_params(sample.path),
        "accuracy": measure_accuracy(sample.path, test),
        "classes": CLASSES,
        "architecture": sample.architecture,
    }


def _data_entry(file: str) -> dict[str, TomlValue]:
    return {
        "file": file,
        "sha256": _sha256(FOLDER / file),
        "licence": DATA_LICENCE,
        "source": DATA_SOURCE,
        "description": DATA_DESCRIPTIONS[file],
    }


def _toml_table(kind: str, entry: dict[str, TomlValue]) -> str:
    """One TOML table; strings, numbers and lists of strings are written as in JSON."""
    return "".join([f"[[{kind}]]\n", *(f"{k} = {json.dumps(v)}\n" for k, v in entry.items())])


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    main()
