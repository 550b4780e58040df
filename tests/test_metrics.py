"""The metric fits the task, and its value is that of other programs or of the formula by hand."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from conftest import run_onnx, run_plainly, tensors_of
from onnx import TensorProto, helper, numpy_helper
from scipy import stats

import explorer
from explorer.cli import main
from explorer.errors import DataError
from explorer.formats.data import Dataset, load_data
from explorer.fronts import pareto_front
from explorer.measure.changes import find_changes
from explorer.measure.quality import check_labels
from explorer.metrics import METRICS
from explorer.report import Quality, points_lost
from explorer.search.sensitivity import measure_sensitivity

RNG = np.random.default_rng(0)
SAMPLES = 300
X = RNG.standard_normal((SAMPLES, 6)).astype(np.float32)


def network(outputs: int, last: str | None = None, flat: bool = False) -> explorer.Model:
    """A product of 6 inputs with `outputs` outputs, `last` operator behind it."""
    weight = np.random.default_rng(1).standard_normal((6, outputs)).astype(np.float32)
    nodes, name = [helper.make_node("MatMul", ["x", "w"], ["a"], name="product")], "a"
    if last is not None:
        nodes.append(helper.make_node(last, [name], ["b"], name="last"))
        name = "b"
    tensors = [numpy_helper.from_array(weight, "w")]
    if flat:
        tensors.append(numpy_helper.from_array(np.array([-1], np.int64), "shape"))
        nodes.append(helper.make_node("Reshape", [name, "shape"], ["c"], name="flat"))
        name = "c"
    shape: list[str | int] = ["n"] if flat else ["n", outputs]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 6])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)],
        tensors,
    )
    opset = [helper.make_opsetid("", 17)]
    proto = helper.make_model(graph, opset_imports=opset, ir_version=8)
    onnx.checker.check_model(proto)
    return explorer.load(proto.SerializeToString())


def outputs_of(model: explorer.Model) -> np.ndarray:
    found: np.ndarray = torch.from_numpy(X).double().numpy() @ weights_of(model)
    return found


def weights_of(model: explorer.Model) -> np.ndarray:
    return tensors_of(model)["w"].numpy().astype(np.float64)


ONE, TEN = network(1), network(10)
VALUES = outputs_of(ONE)[:, 0]
NOISY = VALUES + RNG.standard_normal(SAMPLES)


def test_real_labels_get_r2() -> None:
    quality = explorer.evaluate(ONE, {"x": X, "y": NOISY})
    spread = ((NOISY - NOISY.mean()) ** 2).sum()
    assert quality.metric == "r2"
    assert quality.value == pytest.approx(1 - ((NOISY - VALUES) ** 2).sum() / spread, abs=1e-5)
    perfect = explorer.evaluate(ONE, {"x": X, "y": VALUES})
    assert perfect.value == pytest.approx(1.0, abs=1e-9)


def test_r2_of_a_least_squares_fit_is_pearsons_r_squared() -> None:
    basis = np.column_stack([VALUES, np.ones(SAMPLES)])
    target = RNG.standard_normal(SAMPLES)
    slope, offset = np.linalg.lstsq(basis, target, rcond=None)[0]
    labels = (target - offset) / slope  # of which VALUES is the fit
    quality = explorer.evaluate(ONE, {"x": X, "y": labels})
    assert quality.value == pytest.approx(stats.pearsonr(VALUES, labels).statistic ** 2, abs=1e-5)


def test_mean_absolute_error_with_scipys_bootstrap_interval() -> None:
    quality = explorer.evaluate(ONE, {"x": X, "y": NOISY}, metric="mae")
    errors = np.abs(VALUES - NOISY)
    assert quality.value == pytest.approx(errors.mean(), abs=1e-5)
    theirs = stats.bootstrap((errors,), np.mean, method="percentile", rng=1).confidence_interval
    assert quality.low == pytest.approx(theirs.low, abs=0.01)
    assert quality.high == pytest.approx(theirs.high, abs=0.01)
    again = explorer.evaluate(ONE, {"x": X, "y": NOISY}, metric="mae")
    assert again == quality  # the bootstrap is seeded


def test_several_targets_are_averaged() -> None:
    model = network(3)
    values = outputs_of(model)
    labels = values + np.random.default_rng(2).standard_normal(values.shape)
    each = [
        explorer.evaluate(network_of(model, target), {"x": X, "y": labels[:, target]}).value
        for target in range(3)
    ]
    quality = explorer.evaluate(model, {"x": X, "y": labels})
    assert quality.value == pytest.approx(np.mean(each), abs=1e-6)
    assert explorer.evaluate(model, {"x": X, "y": labels}, metric="mae").value == pytest.approx(
        np.abs(values - labels).mean(), abs=1e-5
    )


def network_of(model: explorer.Model, target: int) -> explorer.Model:
    """One of several outputs alone."""
    proto = onnx.load_model_from_string(network(1).data)
    column = weights_of(model)[:, [target]].astype(np.float32)
    proto.graph.initializer[0].CopyFrom(numpy_helper.from_array(column, "w"))
    return explorer.load(proto.SerializeToString())


def test_top_5_is_that_of_torch() -> None:
    labels = RNG.integers(0, 10, SAMPLES)
    quality = explorer.evaluate(TEN, {"x": X, "y": labels}, metric="top5")
    best = torch.from_numpy(outputs_of(TEN)).topk(5, dim=1).indices.numpy()
    assert quality.value == np.mean([label in row for label, row in zip(labels, best, strict=True)])
    assert explorer.evaluate(TEN, {"x": X, "y": labels}).metric == "accuracy"


@pytest.mark.parametrize("flat", [False, True], ids=["(n, 1)", "(n,)"])
@pytest.mark.parametrize("last", [None, "Sigmoid", "HardSigmoid"])
def test_one_output_is_a_binary_classifier(last: str | None, flat: bool) -> None:
    model, labels = network(1, last, flat), (NOISY > 0).astype(np.int64)
    quality = explorer.evaluate(model, {"x": X, "y": labels})
    assert quality.metric == "binary"
    assert quality.value == np.mean((VALUES >= 0) == (labels == 1))
    scoring = check_labels(model, explorer_data(model, labels))
    assert ("a probability" if last else "a logit") in scoring.reason


def explorer_data(model: explorer.Model, labels: np.ndarray) -> Dataset:
    return load_data({"x": X, "y": labels}, model)


def test_probabilities_without_a_sigmoid_are_known_by_their_values() -> None:
    model, x = network(1, "Relu"), np.abs(X[:, :6]) * 0
    quality = explorer.evaluate(model, {"x": x, "y": np.arange(SAMPLES) % 2})
    assert (quality.metric, quality.value) == ("binary", 0.5)  # all are 0, below the threshold


# What is guessed, by the number of outputs and the labels.
GUESSES = [
    (10, RNG.integers(0, 10, SAMPLES), "accuracy"),
    (10, RNG.integers(0, 10, SAMPLES).astype(np.float32), "accuracy"),  # whole all the same
    (10, np.eye(10)[RNG.integers(0, 10, SAMPLES)], "accuracy"),  # one-hot
    (2, np.arange(SAMPLES) % 2, "accuracy"),
    (1, np.arange(SAMPLES) % 2, "binary"),
    (1, (np.arange(SAMPLES) % 2)[:, None], "binary"),
    (1, np.arange(SAMPLES) % 2 == 1, "binary"),
    (1, NOISY, "r2"),
    (1, NOISY[:, None], "r2"),
    (1, np.arange(SAMPLES), "r2"),  # whole numbers that are no classes
    (1, np.arange(SAMPLES) - 50, "r2"),
    (3, RNG.standard_normal((SAMPLES, 3)), "r2"),
]


@pytest.mark.parametrize(("outputs", "labels", "expected"), GUESSES)
def test_the_guess_fits_outputs_and_labels(outputs: int, labels: np.ndarray, expected: str) -> None:
    model = network(outputs)
    quality = explorer.evaluate(model, {"x": X, "y": labels}, model)
    assert quality.metric == expected
    assert quality.value == quality.reference_value
    assert quality.low <= quality.value <= quality.high


def test_one_hot_labels_are_their_places() -> None:
    labels = RNG.integers(0, 10, SAMPLES)
    by_number = explorer.evaluate(TEN, {"x": X, "y": labels})
    assert explorer.evaluate(TEN, {"x": X, "y": np.eye(10)[labels]}) == by_number


@pytest.mark.parametrize(
    ("outputs", "labels", "metric", "sentence"),
    [
        (10, np.arange(SAMPLES) % 10, "f1", "The metric is 'f1'; it must be one of accuracy,"),
        (10, np.arange(SAMPLES) % 10, "r2", "doesn't fit these outputs and labels; it can be: acc"),
        (3, np.arange(SAMPLES) % 3, "top5", "doesn't fit"),
        (3, np.arange(SAMPLES) % 4, None, "labels must lie in 0 to 2"),
        (3, np.arange(SAMPLES) % 3 - 1, None, "must start at 0"),
        (3, NOISY, None, "real numbers such as"),
        (3, np.ones((SAMPLES, 2)), None, "2 numbers for each sample, but the model gives 3"),
    ],
)
def test_what_fits_not_is_refused(
    outputs: int, labels: np.ndarray, metric: str | None, sentence: str
) -> None:
    model = network(outputs)
    with pytest.raises(DataError, match=sentence):
        explorer.evaluate(model, {"x": X, "y": labels}, model, metric=metric)


def test_agreement_can_be_asked_for_with_labels() -> None:
    labels = np.arange(SAMPLES) % 10
    quality = explorer.evaluate(TEN, {"x": X, "y": labels}, TEN, metric="agreement")
    assert (quality.metric, quality.value) == ("agreement", 1.0)
    binary = explorer.evaluate(ONE, {"x": X}, ONE, metric="agreement")
    assert (binary.metric, binary.value) == ("agreement", 1.0)
    assert explorer.evaluate(ONE, {"x": X}, ONE).metric == "snr_db"


def test_the_chosen_class_may_come_first_as_sklearn_writes_it() -> None:
    proto = onnx.load_model_from_string(TEN.data)
    arg = helper.make_node("ArgMax", ["a"], ["label"], axis=1, keepdims=0, name="arg")
    proto.graph.node.append(arg)
    label = helper.make_tensor_value_info("label", TensorProto.INT64, ["n"])
    proto.graph.output.insert(0, label)
    labels = RNG.integers(0, 10, SAMPLES)
    quality = explorer.evaluate(explorer.load(proto.SerializeToString()), {"x": X, "y": labels})
    assert quality == explorer.evaluate(TEN, {"x": X, "y": labels})


def test_less_is_better_where_it_is() -> None:
    worse = Quality("mae", 3.0, 2.9, 3.1, 100, 2.0)
    assert points_lost(worse, 0.0) == 50.0  # percent more
    assert points_lost(Quality("r2", 0.7, 0.6, 0.8, 100, 0.9), 0.0) == pytest.approx(20.0)
    assert METRICS["mae"].gain(3.0, 2.0) == -1.0
    points = [(1.0, 5.0), (2.0, 3.0), (3.0, 4.0), (2.5, 6.0)]
    assert pareto_front(points, falls=True) == [(1.0, 5.0), (2.0, 3.0)]
    assert pareto_front(points) == [(1.0, 5.0), (2.5, 6.0)]


def test_sensitivity_counts_more_error_as_loss() -> None:
    model = network(1)
    data = explorer_data(model, VALUES + 1)
    found = list(measure_sensitivity(model, data, None, metric="mae"))
    lost = {each.probe.weight_bits: points_lost(each.quality, 0) for each in found}
    assert lost[2] > lost[8] >= -1
    assert {each.quality.metric for each in found} == {"mae"}


def test_nothing_changes_sides_in_regression_but_does_between_two_classes() -> None:
    real, classes = explorer_data(ONE, NOISY), explorer_data(ONE, (NOISY > 0).astype(int))
    assert find_changes(ONE, real, ONE) is None
    turned = onnx.load_model_from_string(ONE.data)
    turned.graph.initializer[0].CopyFrom(
        numpy_helper.from_array(-weights_of(ONE).astype(np.float32), "w")
    )
    changes = find_changes(explorer.load(turned.SerializeToString()), classes, ONE)
    assert changes is not None
    assert sum(changes.flipped.values()) == SAMPLES
    assert changes.labelled


def test_in_the_shell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ONE.save(tmp_path / "one.onnx")
    np.savez(tmp_path / "data.npz", x=X, y=NOISY)
    model, data = str(tmp_path / "one.onnx"), str(tmp_path / "data.npz")
    assert main(["evaluate", model, "--data", data, "--json"]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["quality"]["metric"] == "r2"
    assert "metric: R², because the outputs aren't class scores and the labels are real" in told.err
    out = ["--out", str(tmp_path / "small.onnx"), "--weight-bits", "8", "--metric", "mae"]
    assert main(["compress", model, *out, "--data", data, "--json"]) == 0
    quality = json.loads(capsys.readouterr().out)["compressed"]["quality"]
    assert quality["metric"] == "mae"
    assert quality["reference_value"] == pytest.approx(np.abs(VALUES - NOISY).mean(), abs=1e-4)
    assert main(["compress", model, *out]) == 2
    assert "add --data" in capsys.readouterr().err


def several(*outputs: tuple[int, str | None]) -> explorer.Model:
    """A network with one product for each output: its numbers, and the operator behind it."""
    draw = np.random.default_rng(3)
    nodes, tensors, infos = [], [], []
    for place, (width, last) in enumerate(outputs):
        tensors.append(
            numpy_helper.from_array(
                draw.standard_normal((6, width)).astype(np.float32), f"w{place}"
            )
        )
        nodes.append(helper.make_node("MatMul", ["x", f"w{place}"], [f"a{place}"]))
        nodes.append(helper.make_node(last or "Identity", [f"a{place}"], [f"out{place}"]))
        infos.append(helper.make_tensor_value_info(f"out{place}", TensorProto.FLOAT, ["n", width]))
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 6])
    graph = helper.make_graph(nodes, "g", [x], infos, tensors)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return explorer.load(proto.SerializeToString())


CLASSES = {count: np.arange(SAMPLES) % count for count in (2, 3, 10)}


@pytest.mark.parametrize(
    ("outputs", "labels", "scored"),
    [
        ([(4, None), (2, "Softmax")], CLASSES[2], 1),  # boxes, then face or no face
        ([(4, None), (10, None), (2, "Softmax")], CLASSES[2], 2),
        ([(4, None), (1, "Sigmoid")], CLASSES[2], 1),
        ([(10, None), (16, "Softmax")], CLASSES[10], 0),  # logits, then attention
        ([(10, None), (3, "Softmax")], CLASSES[3], 1),
        ([(3, None), (3, None)], CLASSES[3], 0),
        ([(8, None), (1, None)], NOISY, 1),  # an embedding, then an age
        ([(4, None), (2, "Softmax")], None, 1),
        ([(4, None), (2, None)], None, 0),
    ],
)
def test_the_output_that_fits_the_labels_is_scored(
    outputs: list[tuple[int, str | None]], labels: np.ndarray | None, scored: int
) -> None:
    model = several(*outputs)
    data = {"x": X} if labels is None else {"x": X, "y": labels}
    scoring = check_labels(model, load_data(data, model))
    assert scoring.output == scored
    assert (f"'out{scored}'" in scoring.reason) == (scored > 0)  # said where it isn't the first


def test_scores_behind_boxes_give_accuracy_and_agreement() -> None:
    model = several((4, None), (2, "Softmax"))
    _, scores = run_onnx(model.data, {"x": X})
    quality = explorer.evaluate(model, {"x": X, "y": CLASSES[2]})
    assert quality.value == pytest.approx((scores.argmax(axis=1) == CLASSES[2]).mean())
    plan = explorer.plan(model, explorer.Recipe(weight_bits=2))
    rough = explorer.apply(model, plan)
    _, others = run_plainly(rough.data, {"x": X})
    assert isinstance(others, np.ndarray)
    agreement = explorer.evaluate(rough, {"x": X}, model)
    assert agreement.metric == "agreement"
    assert agreement.value == pytest.approx((scores.argmax(1) == others.argmax(1)).mean())
