"""The committed sample models are what their catalog says, and hold nothing private."""

import hashlib
import math
import tomllib
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

FOLDER = Path(__file__).parent.parent / "sample_models"
CATALOG = tomllib.loads((FOLDER / "catalog.toml").read_text(encoding="utf-8"))
MODELS = {entry["name"]: entry for entry in CATALOG["model"]}
FILES = {entry["file"]: entry for entry in CATALOG["model"] + CATALOG["data"]}

MINIMUM_ACCURACY = {"fashion_resnet": 0.925, "fashion_mobilenet": 0.915, "fashion_mlp": 0.895}
PARAMS_RANGE = {
    "fashion_resnet": (60_000, 100_000),
    "fashion_mobilenet": (50_000, 90_000),
    "fashion_mlp": (932_362, 932_362),  # 784-512-512-512-10 with biases
}
MAX_MACS = {"fashion_resnet": 10e6, "fashion_mobilenet": 8e6, "fashion_mlp": 1e6}
OTHER_CPU_IMAGES = 2  # images whose two best classes are so close that another CPU may swap them

any_model = pytest.mark.parametrize("name", MODELS)


def load(name: str) -> onnx.ModelProto:
    return onnx.load(FOLDER / MODELS[name]["file"])


def session(name: str) -> onnxruntime.InferenceSession:
    path = FOLDER / MODELS[name]["file"]
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def arrays(file: str) -> dict[str, np.ndarray]:
    with np.load(FOLDER / file, allow_pickle=False) as content:
        return dict(content)


def weight_shapes(model: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    """The shapes of the weights and biases of Conv and Gemm nodes, by initializer name."""
    layers = [node for node in model.graph.node if node.op_type in ("Conv", "Gemm")]
    used = {name for node in layers for name in node.input}
    return {i.name: tuple(i.dims) for i in model.graph.initializer if i.name in used}


def count_macs(model: onnx.ModelProto) -> int:
    """Multiply-accumulates for one image: per output position, every weight is used once."""
    typed = onnx.shape_inference.infer_shapes(model, strict_mode=True)
    shapes = {
        value.name: [d.dim_value for d in value.type.tensor_type.shape.dim]
        for value in [*typed.graph.value_info, *typed.graph.output]
    }
    weights = weight_shapes(model)
    return sum(
        math.prod(weights[node.input[1]]) * math.prod(shapes[node.output[0]][2:])
        for node in model.graph.node
        if node.op_type in ("Conv", "Gemm")
    )


def test_the_catalog_lists_the_models_with_the_default_first():
    assert list(MODELS) == ["fashion_resnet", "fashion_mobilenet", "fashion_mlp"]


def test_the_catalog_lists_every_file():
    present = {path.name for path in FOLDER.iterdir() if path.suffix in (".onnx", ".npz")}
    assert present == set(FILES)


@pytest.mark.parametrize("file", FILES)
def test_file_has_the_hash_in_the_catalog(file):
    assert hashlib.sha256((FOLDER / file).read_bytes()).hexdigest() == FILES[file]["sha256"]


@any_model
def test_size_is_as_stated_and_within_limits(name):
    params = sum(math.prod(shape) for shape in weight_shapes(load(name)).values())
    assert params == MODELS[name]["params"]
    smallest, largest = PARAMS_RANGE[name]
    assert smallest <= params <= largest
    assert 0.1 * MAX_MACS[name] < count_macs(load(name)) < MAX_MACS[name]


@any_model
def test_accuracy_on_the_whole_test_set_is_as_stated_and_high_enough(name):
    test = arrays(MODELS[name]["test_data"])
    run = session(name).run
    predicted = np.concatenate(
        [run(None, {"image": x.astype(np.float32)})[0].argmax(1) for x in np.split(test["x"], 20)]
    )
    correct = int((predicted == test["y"]).sum())
    stated = MODELS[name]["accuracy"] * len(test["y"])
    assert abs(correct - stated) <= OTHER_CPU_IMAGES + 1e-6
    assert correct / len(test["y"]) >= MINIMUM_ACCURACY[name]


@any_model
@pytest.mark.parametrize("batch", [1, 7, 250])
def test_any_batch_size_gives_each_image_the_same_logits(name, batch):
    x = arrays(MODELS[name]["test_data"])["x"][:250].astype(np.float32)
    run = session(name).run
    (together,) = run(None, {"image": x})
    (logits,) = run(None, {"image": x[:batch]})
    assert logits.shape == (batch, 10)
    np.testing.assert_allclose(logits, together[:batch], rtol=1e-4, atol=1e-4)


@any_model
def test_interface(name):
    (image,), (logits,) = session(name).get_inputs(), session(name).get_outputs()
    assert (image.name, image.type, image.shape) == ("image", "tensor(float)", ["batch", 1, 28, 28])
    assert (logits.name, logits.type, logits.shape) == ("logits", "tensor(float)", ["batch", 10])
    assert len(MODELS[name]["classes"]) == len(set(MODELS[name]["classes"])) == 10


@any_model
def test_graph_is_valid_and_normalises_raw_pixels_first(name):
    model = load(name)
    onnx.checker.check_model(model, full_check=True)
    assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", 20)]
    ranks = {i.name: len(i.dims) for i in model.graph.initializer}
    subtract, multiply = model.graph.node[:2]
    assert [subtract.op_type, multiply.op_type] == ["Sub", "Mul"]
    assert subtract.input[0] == "image"
    assert ranks[subtract.input[1]] == ranks[multiply.input[1]] == 0


@any_model
def test_normalisation_is_folded_and_names_follow_the_layers(name):
    model = load(name)
    layers = [node for node in model.graph.node if node.op_type in ("Conv", "Gemm")]
    assert [[*node.input[1:]] for node in layers] == [
        [f"{node.name}.weight", f"{node.name}.bias"] for node in layers
    ]
    others = {node.op_type for node in model.graph.node} - {"Conv", "Gemm"}
    assert others <= {"Sub", "Mul", "Relu", "Clip", "Add", "ReduceMean", "Flatten"}


@any_model
def test_no_metadata_no_local_paths_no_external_data(name):
    model = load(name)
    for initializer in model.graph.initializer:
        initializer.ClearField("raw_data")
    text = str(model)
    assert 'producer_name: "compression-explorer sample_models"' in text
    for unwanted in ("metadata_props", "doc_string", "data_location", "external_data", "/", "\\\\"):
        assert unwanted not in text


def test_test_set_has_a_thousand_labelled_images_of_each_class():
    test = arrays("fashion_test.npz")
    assert set(test) == {"x", "y"}
    assert test["x"].dtype == np.uint8 and test["x"].shape == (10_000, 1, 28, 28)
    assert np.bincount(test["y"]).tolist() == [1000] * 10


def test_calibration_images_have_no_labels_and_are_not_in_the_test_set():
    calibration = arrays("fashion_calibration.npz")
    assert set(calibration) == {"x"}
    x = calibration["x"]
    assert x.dtype == np.uint8 and x.shape == (512, 1, 28, 28)
    images = {image.tobytes() for image in x}
    assert len(images) == 512
    assert images.isdisjoint(image.tobytes() for image in arrays("fashion_test.npz")["x"])
