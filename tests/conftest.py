"""Small graphs and the samples, shared by all tests."""

import io
import zipfile
from collections.abc import Mapping
from math import prod
from pathlib import Path

import pytest

# Test processes run side by side, and threads of linear algebra that wait for a busy core take
# longer than one thread alone. It is read when numpy is loaded; programs that tests start have the
# threads that they have elsewhere, on which the last bits of a result depend.
with pytest.MonkeyPatch.context() as environment:
    environment.setenv("OPENBLAS_NUM_THREADS", "1")
    import numpy as np

import onnx
import onnx_ir as ir

import explorer
from explorer.formats.data import Dataset, load_data

ROOT = Path(__file__).resolve().parents[1]
SAMPLES = ROOT / "sample_models"
SAMPLE_NAMES = (
    "fashion_resnet",
    "fashion_mobilenet",
    "fashion_mlp",
    "vowels_cnn",
    "language_transformer",
)

# These take longest, from a minute or more down to a quarter of one. Test processes that share
# the files end together where the long ones are begun first.
LONGEST_FIRST = (
    "families", "browser", "bad_files", "good_files", "load", "fuzz", "jupyter", "app", "importing",
    "pool", "cli", "widget", "node_cases", "counting", "invariant", "notebooks", "labels",
    "notebook", "equalising", "pruning",
)  # fmt: skip


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first, the others as they were found."""
    ranks = {f"test_{name}": rank for rank, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: ranks.get(item.path.stem, len(ranks)))


def onnx_bytes(text: str) -> bytes:
    """A model written in ONNX's text form."""
    model = onnx.parser.parse_model(text)
    onnx.checker.check_model(model, full_check=True)
    data: bytes = model.SerializeToString()
    return data


def with_weights(text: str, **shapes: tuple[int, ...]) -> explorer.Model:
    """A model in text form whose named weights are random tensors of the given shapes."""
    model = onnx.parser.parse_model(text)
    rng = np.random.default_rng(0)
    for name, shape in shapes.items():
        values = rng.standard_normal(shape).astype(np.float32) / np.sqrt(max(1, prod(shape[1:])))
        model.graph.initializer.append(
            onnx.numpy_helper.from_array(values.astype(np.float32), name)
        )
    onnx.checker.check_model(model, full_check=True)
    return explorer.load(model.SerializeToString(), "toy")


def tensors_of(model: explorer.Model) -> dict[str, ir.TensorProtocol]:
    """The constants of a model by name."""
    found = {}
    for name, value in model.graph_model.graph.initializers.items():
        assert value.const_value is not None
        found[name] = value.const_value
    return found


def zipped(members: dict[str, bytes]) -> bytes:
    """A zip archive of these files."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        for name, content in members.items():
            file.writestr(name, content)
    return stream.getvalue()


def npz_bytes(**arrays: np.ndarray) -> bytes:
    """An `.npz` archive of these arrays; such as hold objects are pickled."""
    stream = io.BytesIO()
    np.savez(stream, allow_pickle=True, **arrays)
    return stream.getvalue()


@pytest.fixture(scope="session", params=SAMPLE_NAMES)
def sample(request: pytest.FixtureRequest) -> explorer.Model:
    """Each of the sample models in turn."""
    return explorer.load(SAMPLES / f"{request.param}.onnx")


@pytest.fixture(scope="session")
def resnet() -> explorer.Model:
    """The residual sample."""
    return explorer.load(SAMPLES / "fashion_resnet.onnx")


@pytest.fixture(scope="session")
def calibration(resnet: explorer.Model) -> explorer.Calibration:
    """Calibration of the residual sample on a quarter of its split."""
    data = load_data(SAMPLES / "fashion_calibration.npz", resnet)
    return explorer.calibrate(resnet, data.head(128))


@pytest.fixture(scope="session")
def test_data(resnet: explorer.Model) -> Dataset:
    """The first 1,000 labelled test images."""
    return load_data(SAMPLES / "fashion_test.npz", resnet).head(1000)


def run_onnx(data: bytes, feed: dict[str, np.ndarray]) -> list[np.ndarray]:
    """Outputs by ONNX Runtime, without any of the explorer's code."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    found: list[np.ndarray] = session.run(None, feed)
    return found


def run_plainly(data: bytes, feed: Mapping[str, object]) -> list[object]:
    """As `run_onnx`, without the runtime's optimisations."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    run_options = ort.RunOptions()
    run_options.log_severity_level = 4
    found: list[object] = session.run(None, feed, run_options)
    return found
