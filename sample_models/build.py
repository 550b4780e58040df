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

from sample_models.architectures import MLP, LanguageTransformer, MobileNet, ResNet, VowelsCNN
from sample_models.dataset import FOLDER, Dataset
from sample_models.export import OUTPUT, export
from sample_models.fashion import FASHION
from sample_models.training import Training, adamw, train
from sample_models.udhr import DECLARATIONS
from sample_models.vowels import VOWELS

CATALOG_FILE = "catalog.toml"
MODEL_LICENCE = "Apache-2.0"
SCORING_BATCH = 500

TomlValue = str | int | float | tuple[str, ...]


@dataclass(frozen=True)
class Sample:
    """One sample model: what the catalog says about it, and how to make it."""

    name: str
    title: str
    description: str
    architecture: str
    data: Dataset
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
        data=FASHION,
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
        data=FASHION,
        network=MobileNet,
        training=Training(25, peak_learning_rate=0.15, weight_decay=1e-4),
    ),
    Sample(
        name="fashion_mlp",
        title="Fashion MLP",
        description="A plain network of linear layers, the one with most parameters.",
        architecture="Multilayer perceptron 784-512-512-512-10 with ReLU.",
        data=FASHION,
        network=MLP,
        training=Training(60, peak_learning_rate=0.05, weight_decay=2e-4),
    ),
    Sample(
        name="vowels_cnn",
        title="Vowels CNN",
        description="A small residual network along the time that tells nine speakers apart.",
        architecture=(
            "Residual 1-D CNN: stem of 32 channels, one block of 32 and one of 64 with an identity "
            "shortcut, between them one of 64 with a projection shortcut, all with kernel 3; mean "
            "over the steps, linear classifier."
        ),
        data=VOWELS,
        network=VowelsCNN,
        training=Training(
            60,
            peak_learning_rate=3e-3,
            weight_decay=0.05,
            batch_size=27,
            average_decay=0.99,
            optimizer=adamw,
        ),
    ),
    Sample(
        name="language_transformer",
        title="Language transformer",
        description="A small encoder of 64 characters that names the language, one of 54.",
        architecture=(
            "Transformer encoder: embedding of width 96, a convolution over three characters with "
            "an identity shortcut, learned positions, three blocks with normalisation first, 6 "
            "heads of 16 and a hidden layer of 192 with GELU; mean over the characters, linear "
            "classifier."
        ),
        data=DECLARATIONS,
        network=LanguageTransformer,
        training=Training(
            20,
            peak_learning_rate=2e-3,
            weight_decay=0.05,
            bfloat16=True,
            batch_size=32,
            optimizer=adamw,
        ),
    ),
)
DATASETS = tuple(dict.fromkeys(sample.data for sample in SAMPLES))


def main() -> None:
    """Build the samples named on the command line, or all, and write the catalog."""
    samples = {sample.name: sample for sample in SAMPLES}
    parser = argparse.ArgumentParser(description="Train and export the sample models.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of: {', '.join(samples)}")
    names = parser.parse_args().names or list(samples)
    if unknown := sorted(set(names) - set(samples)):
        parser.error(f"no sample model {unknown[0]!r}: choose from {', '.join(samples)}")
    for data in dict.fromkeys(samples[name].data for name in names):
        write_data(data)
    for name in names:
        build(samples[name])
    write_catalog()


def build(sample: Sample) -> None:
    """Train one sample model from its seed and export it."""
    print(sample.title)
    torch.manual_seed(sample.training.seed)
    network = train(sample.network(), sample.training, sample.data)
    export(network, sample.data, sample.path)


def write_data(data: Dataset) -> None:
    """Write the test samples with labels and the calibration samples without."""
    test, calibration = data.split.test, data.split.calibration
    np.savez_compressed(data.test_file, x=test.x, y=test.y)
    np.savez_compressed(data.calibration_file, x=calibration.x)


def write_catalog() -> None:
    """Describe every sample model and every data file, with what is measured on the files."""
    tables = [
        "# Written by `python -m sample_models.build`; `accuracy` is a fraction of all test\n"
        "# samples, `params` counts the weights and biases of convolutions (Conv), linear layers\n"
        "# (Gemm, MatMul with an Add) and embeddings (Gather).\n"
    ]
    tables += [_toml_table("model", _model_entry(sample)) for sample in SAMPLES]
    tables += [_toml_table("data", entry) for data in DATASETS for entry in _data_entries(data)]
    (FOLDER / CATALOG_FILE).write_text("\n".join(tables), encoding="utf-8")


def measure_accuracy(path: Path, data: Dataset) -> float:
    """Measure which fraction of the test samples ONNX Runtime classifies right with a model."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    dtype = torch.empty(0, dtype=data.dtype).numpy().dtype
    with np.load(data.test_file, allow_pickle=False) as test:
        x, y = test["x"], test["y"]
    correct = 0
    for start in range(0, len(y), SCORING_BATCH):
        feed = {data.input: x[start : start + SCORING_BATCH].astype(dtype)}
        (logits,) = session.run([OUTPUT], feed)
        correct += int((logits.argmax(1) == y[start : start + SCORING_BATCH]).sum())
    return correct / len(y)


def count_params(path: Path) -> int:
    """Count the weights and biases of a model's convolutions, linear layers and embeddings."""
    graph = onnx.load(path).graph
    sizes = {value.name: int(np.prod(value.dims)) for value in graph.initializer}
    names = {
        name
        for node in graph.node
        if node.op_type in ("Conv", "Gemm", "MatMul", "Gather", "Add")
        for name in node.input
        if name.endswith((".weight", ".bias"))
    }
    return sum(sizes[name] for name in names)


def _model_entry(sample: Sample) -> dict[str, TomlValue]:
    return {
        "name": sample.name,
        "title": sample.title,
        "description": sample.description,
        "file": sample.path.name,
        "sha256": _sha256(sample.path),
        "test_data": sample.data.test_file.name,
        "calibration_data": sample.data.calibration_file.name,
        "licence": MODEL_LICENCE,
        "params": count_params(sample.path),
        "accuracy": measure_accuracy(sample.path, sample.data),
        "classes": sample.data.classes,
        "architecture": sample.architecture,
    }


def _data_entries(data: Dataset) -> list[dict[str, TomlValue]]:
    return [
        {
            "file": path.name,
            "sha256": _sha256(path),
            "licence": data.licence,
            "source": data.source,
            "description": description,
        }
        for path, description in data.files.items()
    ]


def _toml_table(kind: str, entry: dict[str, TomlValue]) -> str:
    """One TOML table; strings, numbers and lists of strings are written as in JSON."""
    return "".join([f"[[{kind}]]\n", *(f"{k} = {json.dumps(v)}\n" for k, v in entry.items())])


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    main()
