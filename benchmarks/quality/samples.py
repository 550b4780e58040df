"""A sample network with its data, and its accuracy by ONNX Runtime alone."""

import tomllib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort

from benchmarks.timing import SAMPLES

Array = npt.NDArray[np.generic]
CATALOG = tomllib.loads((SAMPLES / "catalog.toml").read_text())
NAMES = tuple(entry["name"] for entry in CATALOG["model"])
BATCH = 250
THREADS = 2
FATAL = 4  # the only messages of the runtime to log


@dataclass(frozen=True, eq=False)
class Sample:
    """One of the networks in `sample_models`."""

    name: str

    @cached_property
    def path(self) -> Path:
        """Its ONNX file."""
        return SAMPLES / str(self._entry["file"])

    @cached_property
    def proto(self) -> onnx.ModelProto:
        """Its graph; a method that changes it copies it first."""
        return onnx.load(self.path)

    @property
    def input_name(self) -> str:
        """The name of its only input."""
        found: str = self.proto.graph.input[0].name
        return found

    @property
    def test_path(self) -> Path:
        """Labelled samples: `x` and `y`."""
        return SAMPLES / str(self._entry["test_data"])

    def calibration(self, seed: int) -> Array:
        """All calibration samples as the network takes them, in the order of a seed."""
        with np.load(SAMPLES / str(self._entry["calibration_data"])) as archive:
            x = archive["x"]
        return self._cast(x[np.random.default_rng(seed).permutation(len(x))])

    @cached_property
    def test(self) -> tuple[Array, Array]:
        """All test samples as the network takes them, and their labels."""
        with np.load(self.test_path) as archive:
            return self._cast(archive["x"]), archive["y"]

    @cached_property
    def accuracy(self) -> float:
        """The original's."""
        return accuracy_of(self.proto, self)

    @property
    def _entry(self) -> dict[str, object]:
        return next(entry for entry in CATALOG["model"] if entry["name"] == self.name)

    def _cast(self, x: Array) -> Array:
        kind = self.proto.graph.input[0].type.tensor_type.elem_type
        return x.astype(onnx.helper.tensor_dtype_to_np_dtype(kind))


def accuracy_of(model: onnx.ModelProto, sample: Sample) -> float:
    """Share of a sample's test set that a graph gets right in ONNX Runtime."""
    x, labels = sample.test
    return float((outputs_of(model, x).argmax(axis=1) == labels).mean())


def outputs_of(model: onnx.ModelProto, x: Array) -> npt.NDArray[np.floating]:
    """The logits (samples, classes) of `x` in ONNX Runtime."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = THREADS
    options.log_severity_level = FATAL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    name = session.get_inputs()[0].name
    batches = [x[start : start + BATCH] for start in range(0, len(x), BATCH)]
    return np.concatenate([session.run(None, {name: batch})[0] for batch in batches])
