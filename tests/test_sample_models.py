"""The committed sample models are what their catalog says, and hold nothing private."""

import hashlib
import math
import tomllib
import unicodedata
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from sample_models.udhr import encode
from sample_models.vowels import pad

FOLDER = Path(__file__).parent.parent / "sample_models"
CATALOG = tomllib.loads((FOLDER / "catalog.toml").read_text(encoding="utf-8"))
MODELS = {entry["name"]: entry for entry in CATALOG["model"]}
FILES = {entry["file"]: entry for entry in CATALOG["model"] + CATALOG["data"]}

FASHION = ("fashion_resnet", "fashion_mobilenet", "fashion_mlp")
MINIMUM_ACCURACY = {
    "fashion_resnet": 0.925,
    "fashion_mobilenet": 0.915,
    "fashion_mlp": 0.895,
    "vowels_cnn": 0.98,
    "language_transformer": 0.95,
}
PARAMS_RANGE = {
    "fashion_resnet": (60_000, 100_000),
    "fashion_mobilenet": (50_000, 90_000),
    "fashion_mlp": (932_362, 932_362),  # 784-512-512-512-10 with biases
    "vowels_cnn": (20_000, 100_000),
    "language_transformer": (250_000, 375_000),
}
MAX_MACS = {
    "fashion_resnet": 10e6,
    "fashion_mobilenet": 8e6,
    "fashion_mlp": 1e6,
    "vowels_cnn": 1e6,
    "language_transformer": 20e6,
}
INTERFACES = {  # name, type and shape of the input, and the number of classes
    **dict.fromkeys(FASHION, ("image", "tensor(float)", ["batch", 1, 28, 28], 10)),
    "vowels_cnn": ("series", "tensor(float)", ["batch", 12, 29], 9),
    "language_transformer": ("characters", "tensor(int64)", ["batch", 64], 54),
}
OTHER_CPU_SAMPLES = 2  # whose two best classes are so close that another CPU may swap them

any_model = pytest.mark.parametrize("name", MODELS)
any_fashion_model = pytest.mark.parametrize("name", FASHION)
any_convolutional_model = pytest.mark.parametrize("name", [*FASHION, "vowels_cnn"])


def load(name: str) -> onnx.ModelProto:
    return onnx.load(FOLDER / MODELS[name]["file"])


def session(name: str) -> onnxruntime.InferenceSession:
    path = FOLDER / MODELS[name]["file"]
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def arrays(file: str) -> dict[str, np.ndarray]:
    with np.load(FOLDER / file, allow_pickle=False) as content:
        return dict(content)


def logits_of(name: str, samples: np.ndarray) -> np.ndarray:
    """The logits (samples, classes), all computed in one batch."""
    model = session(name)
    (spec,) = model.get_inputs()
    dtype = {"tensor(float)": np.float32, "tensor(int64)": np.int64}[spec.type]
    found: np.ndarray = model.run(["logits"], {spec.name: samples.astype(dtype)})[0]
    return found


def weight_shapes(model: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    """The shapes of the weights and biases of convolutions, linear layers and embeddings."""
    shapes = {i.name: tuple(i.dims) for i in model.graph.initializer if len(i.dims)}
    products = {n.output[0] for n in model.graph.node if n.op_type == "MatMul"}
    used = {
        name
        for node in model.graph.node
        if node.op_type in ("Conv", "Gemm", "MatMul", "Gather")
        or (node.op_type == "Add" and products & set(node.input))
        for name in node.input
    }
    return {name: shape for name, shape in shapes.items() if name in used}


def count_macs(model: onnx.ModelProto) -> int:
    """Multiply-accumulates for one sample: every output is a sum over a weight's inputs."""
    typed = onnx.shape_inference.infer_shapes(model, strict_mode=True)
    shapes = {
        value.name: [d.dim_value for d in value.type.tensor_type.shape.dim]
        for value in [*typed.graph.value_info, *typed.graph.output]
    }
    weights = weight_shapes(model)
    total = 0
    for node in model.graph.node:
        if node.op_type in ("Conv", "Gemm"):
            total += math.prod(weights[node.input[1]]) * math.prod(shapes[node.output[0]][2:])
        elif node.op_type == "MatMul":
            total += math.prod(shapes[node.output[0]][1:]) * shapes[node.input[0]][-1]
    return total


def test_the_catalog_lists_the_models_with_the_default_first() -> None:
    assert list(MODELS) == [*FASHION, "vowels_cnn", "language_transformer"]


def test_the_catalog_lists_every_file() -> None:
    text_of_the_catalog = ("README.md", "catalog.toml")
    present = {
        path.name
        for path in FOLDER.iterdir()
        if path.is_file() and path.suffix and path.suffix != ".py"
    }
    assert present - set(text_of_the_catalog) == set(FILES)


@pytest.mark.parametrize("file", FILES)
def test_file_has_the_hash_in_the_catalog(file: str) -> None:
    assert hashlib.sha256((FOLDER / file).read_bytes()).hexdigest() == FILES[file]["sha256"]


@any_model
def test_size_is_as_stated_and_within_limits(name: str) -> None:
    params = sum(math.prod(shape) for shape in weight_shapes(load(name)).values())
    assert params == MODELS[name]["params"]
    smallest, largest = PARAMS_RANGE[name]
    assert smallest <= params <= largest
    assert 0.1 * MAX_MACS[name] < count_macs(load(name)) < MAX_MACS[name]


@any_model
def test_accuracy_on_the_whole_test_set_is_as_stated_and_high_enough(name: str) -> None:
    test = arrays(MODELS[name]["test_data"])
    predicted = [logits_of(name, x).argmax(1) for x in np.array_split(test["x"], 20)]
    correct = int((np.concatenate(predicted) == test["y"]).sum())
    stated = MODELS[name]["accuracy"] * len(test["y"])
    assert abs(correct - stated) <= OTHER_CPU_SAMPLES + 1e-6
    assert correct / len(test["y"]) >= MINIMUM_ACCURACY[name]


@any_model
@pytest.mark.parametrize("batch", [1, 7, 250])
def test_any_batch_size_gives_each_sample_the_same_logits(name: str, batch: int) -> None:
    x = arrays(MODELS[name]["test_data"])["x"][:250]
    together, logits = logits_of(name, x), logits_of(name, x[:batch])
    assert logits.shape == (batch, len(MODELS[name]["classes"]))
    np.testing.assert_allclose(logits, together[:batch], rtol=1e-4, atol=1e-4)


@any_model
def test_interface(name: str) -> None:
    (samples,), (logits,) = session(name).get_inputs(), session(name).get_outputs()
    *interface, classes = INTERFACES[name]
    assert [samples.name, samples.type, samples.shape] == interface
    assert (logits.name, logits.type) == ("logits", "tensor(float)")
    assert logits.shape == ["batch", classes]
    assert len(MODELS[name]["classes"]) == len(set(MODELS[name]["classes"])) == classes


@any_model
def test_graph_is_valid(name: str) -> None:
    model = load(name)
    onnx.checker.check_model(model, full_check=True)
    assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", 20)]


@any_convolutional_model
def test_graph_normalises_raw_values_first(name: str) -> None:
    model = load(name)
    shapes = {i.name: tuple(i.dims) for i in model.graph.initializer}
    subtract, multiply = model.graph.node[:2]
    assert [subtract.op_type, multiply.op_type] == ["Sub", "Mul"]
    assert subtract.input[0] == INTERFACES[name][0]
    assert shapes[subtract.input[1]] == shapes[multiply.input[1]]
    assert shapes[subtract.input[1]] == ((12, 1) if name == "vowels_cnn" else ())


@any_convolutional_model
def test_normalisation_is_folded_and_names_follow_the_layers(name: str) -> None:
    model = load(name)
    layers = [node for node in model.graph.node if node.op_type in ("Conv", "Gemm")]
    assert [[*node.input[1:]] for node in layers] == [
        [f"{node.name}.weight", f"{node.name}.bias"] for node in layers
    ]
    others = {node.op_type for node in model.graph.node} - {"Conv", "Gemm"}
    assert others <= {"Sub", "Mul", "Relu", "Clip", "Add", "ReduceMean", "Flatten"}


def test_transformer_is_three_blocks_of_attention_with_one_projection_for_six_heads() -> None:
    model = load("language_transformer")
    shapes = {i.name: tuple(i.dims) for i in model.graph.initializer}
    linear = [n for n in model.graph.node if n.op_type == "MatMul" and n.input[1] in shapes]
    assert [n.input[1] for n in linear] == [f"{n.name}.weight" for n in linear]
    in_block = {"attention.qkv": (96, 288), "attention.project": (96, 96)}
    in_block |= {"expand": (96, 192), "contract": (192, 96)}
    assert {n.name: shapes[n.input[1]] for n in linear} == {
        f"blocks.{block}.{name}": shape for block in range(3) for name, shape in in_block.items()
    }
    splits = [
        onnx.numpy_helper.to_array(i).tolist()
        for i in model.graph.initializer
        if i.name.startswith("reshape.shape")
    ]
    assert sorted(splits) == [[-1, 64, 3, 6, 16], [-1, 64, 96]]
    operators = [node.op_type for node in model.graph.node]
    assert operators.count("LayerNormalization") == 3 * 2 + 1
    assert operators.count("Softmax") == operators.count("Gelu") == 3
    assert set(operators) <= {
        *("Gather", "Transpose", "Conv", "Add", "LayerNormalization", "MatMul", "Reshape", "Mul"),
        *("Softmax", "Gelu", "ReduceMean", "Gemm"),
    }


@any_model
def test_no_metadata_no_local_paths_no_external_data(name: str) -> None:
    model = load(name)
    for initializer in model.graph.initializer:
        initializer.ClearField("raw_data")
    text = str(model)
    assert 'producer_name: "compression-explorer sample_models"' in text
    for unwanted in ("metadata_props", "doc_string", "data_location", "external_data", "/", "\\\\"):
        assert unwanted not in text


def test_fashion_test_set_has_a_thousand_labelled_images_of_each_class() -> None:
    test = arrays("fashion_test.npz")
    assert set(test) == {"x", "y"}
    assert test["x"].dtype == np.uint8 and test["x"].shape == (10_000, 1, 28, 28)
    assert np.bincount(test["y"]).tolist() == [1000] * 10


def test_vowels_test_set_is_the_official_one() -> None:
    test = arrays("vowels_test.npz")
    assert set(test) == {"x", "y"}
    assert test["x"].dtype == np.float32 and test["x"].shape == (370, 12, 29)
    assert np.bincount(test["y"]).tolist() == [31, 35, 88, 44, 29, 24, 40, 50, 29]


def test_language_test_set_has_64_labelled_windows_of_each_language() -> None:
    test = arrays("language_test.npz")
    assert set(test) == {"x", "y"}
    assert test["x"].dtype == np.int16 and test["x"].shape == (54 * 64, 64)
    assert np.bincount(test["y"]).tolist() == [64] * 54


@pytest.mark.parametrize("file", ["fashion_test.npz", "vowels_test.npz", "language_test.npz"])
def test_the_first_test_samples_are_of_most_classes(file: str) -> None:
    y = arrays(file)["y"]
    classes = len(np.unique(y))
    assert len(np.unique(y[: 4 * classes])) > 0.8 * classes


@pytest.mark.parametrize(("name", "samples"), [("fashion", 512), ("vowels", 54), ("language", 512)])
def test_calibration_samples_have_no_labels_and_are_not_in_the_test_set(
    name: str, samples: int
) -> None:
    calibration, test = arrays(f"{name}_calibration.npz"), arrays(f"{name}_test.npz")
    assert set(calibration) == {"x"}
    x = calibration["x"]
    assert x.dtype == test["x"].dtype and x.shape == (samples, *test["x"].shape[1:])
    unique = {sample.tobytes() for sample in x}
    assert len(unique) == samples
    assert unique.isdisjoint(sample.tobytes() for sample in test["x"])


@pytest.mark.parametrize("file", ["vowels_calibration.npz", "vowels_test.npz"])
def test_short_series_are_repeated(file: str) -> None:
    lengths = [
        min(n for n in range(1, 30) if np.array_equal(series, pad(series[:, :n])))
        for series in arrays(file)["x"]
    ]
    assert min(lengths) >= 7
    assert 14 < np.mean(lengths) < 18  # 15.8 steps in the training set, 15.4 in the test set


def test_language_ids_are_places_in_the_vocabulary() -> None:
    characters = (FOLDER / "language_characters.txt").read_text(encoding="utf-8")
    assert len(set(characters)) == len(characters)
    windows = [arrays(file)["x"] for file in ("language_test.npz", "language_calibration.npz")]
    assert min(x.min() for x in windows) == 0
    assert max(x.max() for x in windows) <= len(characters)
    embedding = weight_shapes(load("language_transformer"))["embedding.weight"]
    assert embedding == (len(characters) + 1, 96)
    test = arrays("language_test.npz")
    english = test["x"][test["y"] == MODELS["language_transformer"]["classes"].index("English")]
    texts = ["".join(characters[place - 1] for place in window) for window in english]
    article = "no one shall be subjected to torture or to cruel, inhuman or degrading treatment"
    assert any(text in article for text in texts)
    assert all(unicodedata.is_normalized("NFC", text) for text in texts)
    assert [encode(text, characters).tolist() for text in texts if text == text.strip()] == [
        window.tolist() for window, text in zip(english, texts, strict=True) if text == text.strip()
    ]


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("English", "The cat sat on the mat and looked at the birds outside."),
        ("French", "Le chat était assis sur le tapis et regardait les oiseaux."),
        ("Finnish", "Kissa istui matolla ja katseli ikkunasta ulos lintuja."),
        ("Polish", "Kot siedział na dywanie i patrzył przez okno na ptaki."),
        ("Ukrainian", "Кіт сидів на килимі й дивився у вікно на птахів."),
        ("Turkish", "Kedi halının üzerinde oturmuş pencereden kuşlara bakıyordu."),
        ("Japanese", "猫は敷物の上に座って、窓の外の鳥を見ていた。"),
    ],
)
def test_language_of_a_sentence_from_elsewhere(language: str, text: str) -> None:
    characters = (FOLDER / "language_characters.txt").read_text(encoding="utf-8")
    ids = encode(text, characters)
    window = np.pad(ids, (0, 64 - len(ids)))
    best = logits_of("language_transformer", window[None]).argmax()
    assert MODELS["language_transformer"]["classes"][best] == language
