"""What changed: classes and samples, weights, and what limits each node."""

import base64
import io
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest
from conftest import SAMPLES, with_weights
from PIL import Image

import explorer
from explorer import Recipe
from explorer.formats.data import Dataset
from explorer.measure.changes import MOST_CLASSES, find_changes
from explorer.measure.histograms import BINS, histograms, weight_values
from explorer.measure.pictures import picture_of
from explorer.measure.roofline import machine_limits, node_rows
from explorer.model import encode
from explorer.render.text import kernels_text
from explorer.ui import costs, drawings

LINEAR = """
<ir_version: 8, opset_import: ["" : 17]>
g (float[n, 3] x) => (float[n, 3] y) { y = MatMul(x, w) }
"""


def linear(weight: np.ndarray) -> explorer.Model:
    """Scores that are the inputs times a matrix."""
    model = with_weights(LINEAR, w=(3, 3))
    proto = explorer.load(model.data).graph_model
    proto.graph.initializers["w"].const_value = ir.tensor(weight.astype(np.float32))
    return encode(proto, "linear")


def data(labels: list[int] | None) -> Dataset:
    x = np.array([[3, 1, 0], [0, 3, 1], [1, 0, 3], [2, 1, 0]], np.float32)
    return Dataset({"x": x}, None if labels is None else np.array(labels), "four")


SAME = np.eye(3)
SWAPPED = np.eye(3)[[1, 0, 2]]  # classes 0 and 1 change places


def test_changes_by_hand() -> None:
    found = find_changes(linear(SWAPPED), data([0, 1, 2, 1]), linear(SAME))
    assert found is not None
    assert found.samples == (1, 2, 1)
    assert found.before == (1, 1, 1)
    assert found.after == (0, 1, 1)
    assert found.confusion == ((-1, 1, 0), (0, 0, 0), (0, 0, 0))
    assert found.flipped == {"lost": 2, "won": 1, "moved": 0}
    told = {flip.index: (flip.label, flip.before, flip.after, flip.kind) for flip in found.flips}
    assert told == {0: (0, 0, 1, "lost"), 1: (1, 1, 0, "lost"), 3: (1, 0, 1, "won")}
    margins = [flip.margin for flip in found.flips]
    assert margins == sorted(margins, reverse=True)
    assert min(margins) > 0


def test_without_labels_classes_are_the_originals() -> None:
    found = find_changes(linear(SWAPPED), data(None), linear(SAME))
    assert found is not None
    assert not found.labelled
    assert found.before == found.samples == (2, 1, 1)
    assert found.after == (0, 0, 1)
    assert {flip.label for flip in found.flips} == {None}


def test_nothing_changes_between_a_model_and_itself() -> None:
    found = find_changes(linear(SAME), data([0, 1, 2, 0]), linear(SAME))
    assert found is not None
    assert not found.flips
    assert not np.any(found.confusion)
    assert "No prediction changed." in drawings.flips_html(asdict(found), [], drawings.Names(()))


def test_outputs_that_are_no_scores_have_no_classes(resnet: explorer.Model) -> None:
    text = LINEAR.replace("[n, 3] y", "[n, 3, 1] y").replace(
        "y = MatMul(x, w)",
        "a = MatMul(x, w)  s = Constant <value_ints = [-1, 3, 1]> ()  y = Reshape(a, s)",
    )
    model = with_weights(text, w=(3, 3))
    assert find_changes(model, data(None), model) is None


@pytest.fixture(scope="module")
def resnet() -> explorer.Model:
    return explorer.load(SAMPLES / "fashion_resnet.onnx")


def test_pictures_follow_the_shape_of_a_sample() -> None:
    grey = np.arange(2 * 8 * 6, dtype=np.float32).reshape(2, 1, 8, 6)
    (told,) = [picture_of(Dataset({"x": grey}, None, "grey"), 1)]
    image = Image.open(io.BytesIO(base64.b64decode(told["image"])))
    assert (image.size, image.mode, image.getextrema()) == ((6, 8), "L", (0, 255))
    colour = np.zeros((1, 300, 200, 3), np.float32)
    told = picture_of(Dataset({"x": colour}, None, "colour"), 0)
    assert Image.open(io.BytesIO(base64.b64decode(told["image"]))).size == (85, 128)
    tokens = np.array([[5, 0, 7]])
    assert picture_of(Dataset({"x": tokens}, None, "text"), 0) == {"tokens": [5, 0, 7]}
    series = np.array([[[0.0, 1.0, np.nan], [2.0, 4.0, 2.0]]])
    told = picture_of(Dataset({"x": series}, None, "series"), 0)
    assert told == {"lines": [[0.0, 0.25, 0.0], [0.5, 1.0, 0.5]], "steps": 3}
    assert picture_of(Dataset({"x": np.ones(2)}, None, "number"), 0)["lines"] == [[0.0]]


@pytest.mark.parametrize(
    ("recipe", "levels"),
    [(Recipe(weight_bits=2), 4), (Recipe(weight_bits=8), 256), (Recipe(weight_bits=16), None)],
    ids=["2 bits", "8 bits", "float16"],
)
def test_weights_before_and_after(
    resnet: explorer.Model, recipe: Recipe, levels: int | None
) -> None:
    small = explorer.apply(resnet, explorer.plan(resnet, recipe))
    told = histograms(resnet, small, "stage3.0.conv1")
    assert told is not None
    assert len(told["edges"]) == BINS + 1
    before, after = told["before"], told["after"]
    assert sum(before["counts"]) == sum(after["counts"]) == before["weights"] == 24 * 48 * 9
    values = weight_values(small, "stage3.0.conv1")
    assert values is not None
    channels = values.reshape(48, -1)
    if levels is not None:
        assert max(len(np.unique(row)) for row in channels) <= levels
    original = weight_values(resnet, "stage3.0.conv1")
    assert original is not None
    assert np.abs(values - original).max() < (0.5 if levels == 4 else 0.02)


def test_zeros_and_missing_layers(resnet: explorer.Model) -> None:
    half = Recipe(pattern="unstructured", ratio=0.5, scope="layer")
    small = explorer.apply(resnet, explorer.plan(resnet, half))
    told = histograms(resnet, small, "stage3.0.conv1")
    assert told is not None
    assert told["after"]["zeros"] == told["after"]["weights"] // 2
    assert "50 % zeros" in drawings.histogram_html(told)
    assert histograms(resnet, small, "no such layer") is None


def test_costs_of_nodes_add_up(resnet: explorer.Model) -> None:
    rows = node_rows(resnet)
    assert sum(row["macs"] for row in rows) == explorer.profile(resnet).macs
    stem = next(row for row in rows if row["name"] == "stem")
    assert stem["bytes"] == 4 * (28 * 28 + 16 * 9 + 16 + 16 * 28 * 28)
    assert all(row["seconds"] is None or row["seconds"] > 0 for row in rows)
    assert sum(row["seconds"] is not None for row in rows) >= len(rows) - 1
    limits = machine_limits()
    for spot in costs.spots(rows):
        assert spot.flops_per_s < 20 * limits["macs_per_s"]
    assert limits["macs_per_s"] > 1e8
    assert limits["bytes_per_s"] > 1e8


@pytest.mark.parametrize("name", ["fashion_resnet", "language_transformer"])
def test_what_integer_kernels_run_is_told(name: str, tmp_path: Path) -> None:
    """As many as ONNX Runtime has in the graph that it optimizes for itself."""
    model = explorer.load(SAMPLES / f"{name}.onnx")
    data = SAMPLES / f"{name.partition('_')[0]}_calibration.npz"
    recipe = Recipe(weight_bits=8, activation_bits=8)
    calibration = explorer.calibrate(model, data)
    small = explorer.apply(model, explorer.plan(model, recipe, calibration), calibration)
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.optimized_model_filepath = f"{tmp_path}/optimized.onnx"
    ort.InferenceSession(small.data, options, providers=["CPUExecutionProvider"])
    ops = Counter(n.op_type for n in onnx.load(options.optimized_model_filepath).graph.node)
    integers = sum(ops[op] for op in ("QLinearConv", "QGemm", "MatMulIntegerToFloat"))
    integers += ops["QLinearMatMul"]
    floats = ops["MatMul"] + ops["FusedMatMul"]
    original = node_rows(model)
    told = kernels_text(original, node_rows(small))
    assert told.startswith(f"Integer kernels run {integers} of {integers + floats} products.")
    assert (f"({floats}): they have no weights" in told) == bool(floats)
    assert kernels_text(original, original) == ""


HOSTILE = "<img src=x onerror=alert(1)>"


def test_names_and_texts_are_escaped() -> None:
    found = find_changes(linear(SWAPPED), data([0, 1, 2, 1]), linear(SAME))
    assert found is not None
    changes, names = asdict(found), drawings.Names([HOSTILE, "b"])
    pictures: list[dict[str, object]] = [
        {"tokens": [1, 2, 99]},
        {"image": "no base64\"'>"},
        {"lines": [[0, 1]], "steps": 2},
    ]
    told = [
        drawings.classes_html(changes, names),
        drawings.confusion_html(changes, names),
        drawings.flips_html(changes, pictures, names, "<b"),
        costs.table_html(
            [
                {"name": HOSTILE, "op": "<b>", "macs": 1, "bytes": 2}
                | {"seconds": None, "integer": None, "weighted": True}
            ],
            [],
        ),
    ]
    for html in told:
        assert "<img src=x" not in html
        assert "&lt;" in html
    assert "class 2" in told[0]
    assert "&lt;b\ufffd" in told[2]
    assert 'base64,"' in told[2]  # what is no base64 isn't shown


def test_many_classes_are_cut_short() -> None:
    count = MOST_CLASSES + 1
    changes = {
        "labelled": True,
        "samples": [2] * count,
        "before": [2] * count,
        "after": [1, *[2] * (count - 1)],
        "confusion": None,
    }
    names = drawings.Names(())
    assert drawings.classes_html(changes, names).count("<tr>") == drawings.MOST_CLASSES + 1
    left = f"smaller losses or none: {count - drawings.MOST_CLASSES}."
    assert left in drawings.classes_html(changes, names)
    assert "too many" in drawings.confusion_html(changes, names)
