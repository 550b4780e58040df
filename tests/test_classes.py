"""Which class number a label stands for: names, numbers, a person's choice, and permutations."""

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest
from conftest import SAMPLES
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

import explorer
from explorer.cli import main
from explorer.formats.class_names import (
    KnownClasses,
    known_classes,
    mapped,
    named_in,
    natural_key,
    numbered,
    of_numbers,
)
from explorer.formats.samples import import_samples
from explorer.measure.quality import suggest_relabelling
from explorer.measure.relabelling import find_relabelling

FOUR = KnownClasses(4)


@pytest.mark.parametrize(
    "ordered",
    [
        ["0", "90", "180", "270"],
        ["-45", "0", "45"],
        ["0.5", "1.5", "10.5"],
        ["class2", "class10"],
        ["img_9_b", "img_10_a"],
        ["9", "10", "a", "B"],
        ["a", "a1", "a2", "a10", "b"],
        ["k2", "k" + "1" * 5000],
        ["a01", "a2", "a010"],
    ],
)
def test_natural_order(ordered: list[str]) -> None:
    assert sorted(set(ordered), key=natural_key) == ordered


@pytest.mark.parametrize(
    ("texts", "known", "labels", "classes"),
    [
        (["0", "90", "180", "270"], FOUR, [0, 1, 2, 3], ("0", "90", "180", "270")),
        (["0", "90", "180", "270"], KnownClasses(), [0, 1, 2, 3], ("0", "90", "180", "270")),
        (["3", "0", "2"], FOUR, [3, 0, 2], None),  # class 1 has no samples
        (["1", "2", "3", "4"], FOUR, [0, 1, 2, 3], ("1", "2", "3", "4")),
        (["1", "2", "3"], KnownClasses(10), [1, 2, 3], None),
        (["class10", "class2"], FOUR, [1, 0], ("class2", "class10")),
        (["Dog", "cat"], KnownClasses(2, ("cat", "dog")), [1, 0], ("cat", "dog")),
        (["hot_dog", "car"], KnownClasses(2, ("car", "hot dog")), [1, 0], ("car", "hot dog")),
        (["-1", "1", "0"], KnownClasses(3, ("-1", "0", "1")), [0, 2, 1], ("-1", "0", "1")),
        (["C++", "C"], KnownClasses(2, ("C", "C++")), [1, 0], ("C", "C++")),
        (["no", "yes"], KnownClasses(2, is_single=True), [0, 1], ("no", "yes")),
        (["0", "1"], KnownClasses(2, is_single=True), [0, 1], None),
    ],
)  # fmt: skip
def test_labels_become_class_numbers(
    texts: list[str], known: KnownClasses, labels: list[int], classes: object
) -> None:
    found = numbered(texts, known, "their names")
    assert found.labels.tolist() == labels
    assert found.classes == classes
    assert dict(found.pairs) == dict(zip(texts, labels, strict=True))


def test_the_models_own_classes_keep_their_names_whatever_a_label_is_mapped_to() -> None:
    found = numbered(["cat", "dog"], KnownClasses(2, ("cat", "dog")), "their names")
    assert mapped(found, {"cat": 1, "dog": 0}).classes == ("cat", "dog")
    by_file = numbered(["no", "yes"], KnownClasses(2), "their names")
    assert mapped(by_file, {"no": 1, "yes": 0}).classes == ("yes", "no")


def test_a_name_that_the_model_has_not_is_said() -> None:
    found = numbered(["cat", "wolf"], KnownClasses(2, ("cat", "dog")), "their names")
    assert "no class named 'wolf'" in found.note


@pytest.mark.parametrize(
    ("values", "known", "labels"),
    [
        ([0, 90, 180, 270], FOUR, [0, 1, 2, 3]),
        ([1, 2, 3, 4], FOUR, [0, 1, 2, 3]),
        ([-1, 1], KnownClasses(2, is_single=True), [0, 1]),
        ([1, 2], KnownClasses(2, is_single=True), [0, 1]),
        ([0, 1, 3], FOUR, [0, 1, 3]),
        ([0, 7], FOUR, [0, 7]),  # in doubt: refused later, by its number
        ([3, 50], KnownClasses(2, is_single=True), [3, 50]),  # real values
    ],
)
def test_numbers_in_place_of_classes(
    values: list[int], known: KnownClasses, labels: list[int]
) -> None:
    assert of_numbers(np.array(values), known).labels.tolist() == labels


CAT_DOG = ("cat", "hot dog", "d'Or")


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("names", str(dict(enumerate(CAT_DOG)))),  # as Ultralytics writes it
        ("names", json.dumps(dict(enumerate(CAT_DOG)))),
        ("id2label", json.dumps({str(n): name for n, name in enumerate(CAT_DOG)})),
        ("label2id", json.dumps({name: n for n, name in enumerate(CAT_DOG)})),
        ("classes", json.dumps(CAT_DOG)),
        ("classes", str(list(CAT_DOG))),
        ("Labels", "cat\nhot dog\nd'Or\n"),
        ("class_names", "cat, hot dog, d'Or"),
    ],
)
def test_names_in_the_metadata(key: str, text: str) -> None:
    assert named_in({"stride": "32", key: text}, 3) == CAT_DOG
    assert named_in({key: text}, None) == CAT_DOG
    assert named_in({key: text}, 4) == ()


@pytest.mark.parametrize(
    "text", ["", "x", "{", "[[[", "{0: 'a', 2: 'b', 3: 'c'}", "a,a,b", "[" * 10**5, "1", "null"]
)
def test_what_names_no_classes(text: str) -> None:
    assert named_in({"names": text}, 3) == ()


def classifier(classes: int, names: str | None = None) -> onnx.ModelProto:
    """The scores are the inputs."""
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", classes])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", classes])],
        [numpy_helper.from_array(np.eye(classes, dtype=np.float32), "w")],
    )
    opset = [helper.make_opsetid("", 17)]
    proto = helper.make_model(graph, opset_imports=opset, ir_version=8)
    if names is not None:
        helper.set_model_props(proto, {"names": names})
    return proto


def test_the_models_names_number_folders_and_columns(tmp_path: Path) -> None:
    proto = classifier(3, "{0: 'zebra', 1: 'ant', 2: 'moth'}")
    model = explorer.load(proto.SerializeToString())
    known = known_classes(model)
    assert known == KnownClasses(3, ("zebra", "ant", "moth"))
    table = tmp_path / "table.csv"
    table.write_text("a,b,c,label\n" + "1,0.5,0,moth\n0,1.5,0,zebra\n" * 15)
    found = import_samples(table, "table", model.inputs, known=known)
    assert found.test.labels is not None
    assert set(found.test.labels.tolist()) == {0, 2}
    assert found.classes == ("zebra", "ant", "moth")
    packed = tmp_path / "images.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        for name in ("ant", "zebra"):
            image = io.BytesIO()
            Image.new("L", (28, 28)).save(image, "PNG")
            archive.writestr(f"{name}/1.png", image.getvalue())
    resnet = explorer.load(SAMPLES / "fashion_resnet.onnx")
    found = import_samples(packed, "images", resnet.inputs, known=known)
    assert found.test.labels is not None
    assert found.test.labels.tolist() == [1, 0]
    again = import_samples(
        packed, "images", resnet.inputs, known=known, mapping={"ant": 2, "zebra": 1}
    )
    assert again.test.labels is not None
    assert again.test.labels.tolist() == [2, 1]
    assert again.pairs == (("ant", 2), ("zebra", 1))


def test_mapping_moves_the_names_that_come_from_the_file() -> None:
    numbering = numbered(["b", "a", "c"], KnownClasses(3), "their names")
    turned = mapped(numbering, {"a": 1, "b": 0, "c": 2})
    assert turned.labels.tolist() == [0, 1, 2]
    assert turned.classes == ("b", "a", "c")


def choices_of(truth: np.ndarray, classes: int, accuracy: float, seed: int = 0) -> np.ndarray:
    """What a model chooses that is right so often, and else anything."""
    rng = np.random.default_rng(seed)
    wrong = rng.random(len(truth)) > accuracy
    return np.where(wrong, rng.integers(0, classes, len(truth)), truth)


PERMUTED = {
    "two of four": ([0, 2, 1, 3], 4, 0.95, 200),
    "all of ten": (np.roll(np.arange(10), 3).tolist(), 10, 0.9, 500),
    "both of two": ([1, 0], 2, 0.8, 100),
    "alphabetical numbers": ([0, 180, 270, 90], 4, 0.9, 200),
    "a hundred": (np.roll(np.arange(100), 1).tolist(), 100, 0.8, 3000),
}


@pytest.mark.parametrize("case", PERMUTED)
def test_a_permutation_is_found(case: str) -> None:
    order, classes, accuracy, samples = PERMUTED[case]
    places = np.argsort(np.argsort(order))
    truth = np.arange(samples) % classes
    labels = np.argsort(places)[truth]  # as a file numbers what the model calls `truth`
    found = find_relabelling(choices_of(truth, classes, accuracy), labels, classes)
    assert found is not None
    assert list(found.numbers) == places.tolist()
    assert found.reassigned > max(0.75, found.accuracy + 0.1)


@pytest.mark.parametrize(
    ("classes", "accuracy", "samples"),
    [(4, 0.95, 200), (4, 0.3, 200), (4, 0.0, 200), (10, 0.0, 40), (100, 0.0, 150), (2, 0.0, 60),
     (1000, 0.0, 2000), (2, 0.9, 30)],
)  # fmt: skip
def test_a_model_that_is_good_or_merely_bad_is_left_alone(
    classes: int, accuracy: float, samples: int
) -> None:
    for seed in range(10):
        truth = np.random.default_rng(seed).integers(0, classes, samples)
        choices = choices_of(truth, classes, accuracy, seed)
        assert find_relabelling(choices, truth, classes) is None


def test_a_model_that_always_chooses_one_class_is_left_alone() -> None:
    assert find_relabelling(np.zeros(200, int), np.arange(200) % 4, 4) is None


def test_the_shell_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = tmp_path / "model.onnx"
    model.write_bytes(classifier(4).SerializeToString())
    truth = np.arange(100) % 4
    np.savez(tmp_path / "data.npz", x=np.eye(4, dtype=np.float32)[truth], y=(truth + 1) % 4)
    assert main(["evaluate", str(model), "--data", str(tmp_path / "data.npz"), "--json"]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["quality"]["value"] == 0.0
    assert "right on 0.0 % of the samples, and on 100.0 % if 4 labels are renumbered" in told.err


def test_a_good_model_gets_no_suggestion() -> None:
    model = explorer.load(classifier(4).SerializeToString())
    from explorer.formats.data import load_data

    truth = np.arange(100) % 4
    data = load_data({"x": np.eye(4, dtype=np.float32)[truth], "y": truth}, model)
    assert suggest_relabelling(model, data) is None
