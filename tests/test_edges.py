"""What a person may hand in by mistake, or what few networks have, at the edges of the library."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from conftest import ROOT, SAMPLES, run_onnx, with_weights
from values import planned

import explorer
from explorer.cli import main
from explorer.errors import CompressionError, DataError, ExplorerError, ModelError, RecipeError
from explorer.formats.data import load_data
from explorer.formats.samples import import_samples
from explorer.measure.nodes import run_nodes
from explorer.measure.quality import count_answers, model_outputs
from explorer.measure.runtime import run_all
from explorer.measure.sample_axis import row_notes, sample_sizes
from explorer.render.insights import insights
from explorer.runs import Original, Run, View

RNG = np.random.default_rng(0)
X = RNG.standard_normal((40, 16)).astype(np.float32)
VECTOR = """
<ir_version: 8, opset_import: ["": 17]>
g (float[1, 16] x) => (float[4] y) {
  axes = Constant<value_ints = [0]>()
  flat = Squeeze(x, axes)
  hidden = MatMul(flat, first)
  bent = Relu(hidden)
  y = MatMul(bent, second)
}
"""
CHOSEN = """
<ir_version: 8, opset_import: ["": 17]>
g (float[n, 16] x) => (int64[n] chosen) {
  hidden = MatMul(x, first)
  scores = Relu(hidden)
  chosen = ArgMax<axis = 1, keepdims = 0>(scores)
}
"""
BESIDE = """
<ir_version: 8, opset_import: ["": 17]>
g (float[n, 16] x) => (float loss, float[n, 4] scores, int64[2] size) {
  scores = MatMul(x, first)
  loss = ReduceMean<keepdims = 0>(scores)
  size = Shape(scores)
}
"""


DENSE = """
<ir_version: 8, opset_import: ["": 17]>
g (float[n, 16] x) => (float[n, 8] y, float[16, 8] first) {
  hidden = MatMul(x, first)
  bent = Relu(hidden)
  again = MatMul(bent, second)
  y = Softmax(again)
}
"""
BENT = """
<ir_version: 8, opset_import: ["": 17]>
g (float[n, 16] x) => (float[n, 16] y) { y = Relu(x) }
"""
SIZES: dict[str, tuple[int, ...]] = {"first": (16, 8), "second": (8, 8)}


def undeclared(what: str) -> explorer.Model:
    """A network that doesn't say of its first output which shape, or which type too, it has."""
    proto = onnx.load_model_from_string(with_weights(DENSE, **SIZES).data)
    proto.graph.output[0].type.tensor_type.ClearField("shape")
    if what == "type":
        proto.graph.output[0].ClearField("type")
    return explorer.load(proto.SerializeToString())


@pytest.mark.parametrize("what", ["shape", "type"])
def test_outputs_that_the_file_does_not_describe_are_inferred(what: str) -> None:
    declared, model = with_weights(DENSE, **SIZES), undeclared(what)
    assert explorer.profile(model).macs == explorer.profile(declared).macs
    small = explorer.apply(model, explorer.plan(model, explorer.Recipe(weight_bits=8)))
    onnx.checker.check_model(small.data, full_check=True)
    for before, after in zip(*(run_onnx(m.data, {"x": X}) for m in (model, small)), strict=True):
        np.testing.assert_allclose(after, before, atol=0.02)


@pytest.mark.parametrize("what", ["shape", "type"])
def test_an_output_that_is_a_weight_needs_no_description(what: str) -> None:
    proto = onnx.load_model_from_string(with_weights(DENSE, **SIZES).data)
    weight = proto.graph.output[1]
    weight.type.tensor_type.ClearField("shape")
    if what == "type":
        weight.ClearField("type")
    model = explorer.load(proto.SerializeToString())
    assert [spec.shape for spec in model.outputs] == [("n", 8), (16, 8)]


def test_a_weight_that_is_also_an_output_is_counted_and_says_why_it_stays() -> None:
    model = with_weights(DENSE, **SIZES)
    assert explorer.profile(model).macs == 16 * 8 + 8 * 8
    planned = explorer.plan(model, explorer.Recipe(weight_bits=8))
    assert [layer.storage for layer in planned.layers] == ["int8"]
    assert "1 tensor that is also an output (128 numbers)" in planned.others


def test_weights_beyond_float16_stay_and_say_so() -> None:
    model = with_weights(VECTOR, first=(16, 8), second=(8, 4))
    proto = onnx.load_model_from_string(model.data)
    large = onnx.numpy_helper.to_array(proto.graph.initializer[0]).copy()
    large[0, 0] = -70_000
    proto.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(large, "first"))
    model = explorer.load(proto.SerializeToString())
    planned = explorer.plan(model, explorer.Recipe(weight_bits=16))
    assert [layer.storage for layer in planned.layers] == ["float32", "float16"]
    assert planned.layers[0].skipped == "holds a weight of 70,000; float16 ends at 65,504"
    small = explorer.apply(model, planned)
    (before,), (after,) = (run_onnx(each.data, {"x": X[:1]}) for each in (model, small))
    np.testing.assert_allclose(after, before, rtol=2e-3, atol=1e-3)


def test_the_sensitivity_of_nothing_is_said_in_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bent.onnx").write_bytes(with_weights(BENT).data)
    np.savez(tmp_path / "x.npz", x=X)
    files = [str(tmp_path / "bent.onnx"), "--data", str(tmp_path / "x.npz")]
    assert main(["sensitivity", *files]) == 0
    assert "No layer of this network can be quantized" in capsys.readouterr().out


@pytest.mark.parametrize("bits", [(8, 32), (4, 32), (8, 8)])
def test_products_of_a_vector_are_calibrated(bits: tuple[int, int]) -> None:
    model = with_weights(VECTOR, first=(16, 8), second=(8, 4))
    calibration = explorer.calibrate(model, {"x": X})
    recipe = explorer.Recipe(weight_bits=bits[0], activation_bits=bits[1])
    planned = explorer.plan(model, recipe, calibration)
    small = explorer.apply(model, planned, calibration)
    assert explorer.estimate(model, planned).macs == explorer.profile(small).macs
    (before,), (after,) = (run_onnx(each.data, {"x": X[:1]}) for each in (model, small))
    assert np.linalg.norm(after - before) < 0.3 * np.linalg.norm(before)


def test_whole_numbers_agree_or_not() -> None:
    model = with_weights(CHOSEN, first=(16, 8))
    same = explorer.evaluate(model, {"x": X}, model)
    assert (same.metric, same.value) == ("agreement", 1.0)
    rough = explorer.apply(model, explorer.plan(model, explorer.Recipe(weight_bits=2)))
    (before,), (after,) = (run_onnx(each.data, {"x": X}) for each in (model, rough))
    found = explorer.evaluate(rough, {"x": X}, model)
    assert found.value == pytest.approx((before == after).mean())
    assert 0 < found.value < 1


def test_an_output_without_rows_stands_beside_the_scored_one() -> None:
    model = with_weights(BESIDE, first=(16, 4))
    _, scores, _ = run_onnx(model.data, {"x": X})
    labels = np.arange(len(X)) % 4
    quality = explorer.evaluate(model, {"x": X, "y": labels})
    assert quality.value == pytest.approx((scores.argmax(axis=1) == labels).mean())


def test_one_class_for_all_samples_is_told() -> None:
    model = with_weights(BESIDE, first=(16, 4))
    data = {"x": np.tile(X[:1], (30, 1))}
    quality = explorer.evaluate(model, data, model)
    run = Run(explorer.Recipe(), planned(explorer.Recipe()))
    for same, answers in ((data, 1), ({"x": X}, 4)):
        found = count_answers(model, load_data(same, model))
        assert found == answers
        told = insights(View(Original(quality=quality, answers=found), run))
        assert any("same class" in each.sentence for each in told) == (answers == 1)


class Activated(torch.nn.Module):
    """Convolutions that the runtime fuses with what stands behind them."""

    def __init__(self) -> None:
        super().__init__()
        self.convs = torch.nn.ModuleList(
            torch.nn.Conv2d(8 if place else 3, 8, 3, padding=1) for place in range(3)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for conv in self.convs:
            x = torch.relu(conv(x))
        return x.mean(dim=(2, 3))


def test_each_convolution_of_todays_exporter_has_its_time() -> None:
    model = explorer.Model.from_torch(Activated().eval(), torch.zeros(1, 3, 32, 32))
    times = run_nodes(model)
    assert set(times) == {layer.node for layer in model.layers}


@pytest.mark.parametrize("data", [X, torch.zeros(2, 16), (X,), None, 5])
def test_data_of_another_type_is_named(data: object) -> None:
    model = with_weights(CHOSEN, first=(16, 8))
    for use in (explorer.calibrate, explorer.evaluate):
        with pytest.raises(DataError, match=type(data).__name__):
            use(model, data)


def test_models_plans_and_recipes_of_another_type_are_named() -> None:
    model, other = with_weights(CHOSEN, first=(16, 8)), with_weights(BESIDE, first=(16, 4))
    sources: tuple[Any, ...] = (None, 5, [])
    for source in sources:
        with pytest.raises(ModelError, match=type(source).__name__):
            explorer.load(source)
    recipes: tuple[Any, ...] = ({"ratio": 0.5}, None, "x")
    for recipe in recipes:
        with pytest.raises(RecipeError, match=type(recipe).__name__):
            explorer.plan(model, recipe)
    with pytest.raises(RecipeError):
        explorer.Recipe(layers=5)  # type: ignore[arg-type]  # that is the mistake
    planned = explorer.plan(other, explorer.Recipe(weight_bits=8))
    for use in (explorer.estimate, explorer.apply):
        with pytest.raises(CompressionError, match="another model"):
            use(model, planned)


def test_numbers_of_numpy_are_numbers() -> None:
    ratio: Any = np.float32(0.5)
    bits: Any = np.int64(8)
    recipe = explorer.Recipe(pattern="channel", ratio=ratio, weight_bits=bits)
    assert recipe == explorer.Recipe(pattern="channel", ratio=0.5, weight_bits=8)
    assert explorer.Recipe.from_json(recipe.to_json()) == recipe


@pytest.mark.parametrize("label", ["10000000000000000000", "-1e300", "inf", "nan", "-Infinity"])
def test_labels_that_are_no_class_are_refused(label: str, tmp_path: Path) -> None:
    model = with_weights(BESIDE, first=(16, 4))
    rows = [[f"{value:.3f}" for value in row] + [str(i % 4)] for i, row in enumerate(X)]
    rows[7][-1] = label
    header = [f"v{column}" for column in range(16)] + ["label"]
    path = tmp_path / "values.csv"
    path.write_text("\n".join(map(",".join, [header, *rows])))
    with pytest.raises(ExplorerError, match="label"):
        import_samples(path, "values.csv", model.inputs)


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_the_shell_prints_to_any_terminal(encoding: str) -> None:
    command = [sys.executable, "-m", "explorer", "latency", str(SAMPLES / "fashion_mlp.onnx")]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "PYTHONIOENCODING": encoding},
        capture_output=True,
        check=False,
    )
    assert (done.returncode, b"Traceback" in done.stderr) == (0, False)


def test_real_labels_may_be_as_large_as_doubles_tell_apart(tmp_path: Path) -> None:
    model = with_weights(BESIDE, first=(16, 4))
    labels = [3e9 + place / 2 for place in range(len(X))]
    rows = [[*map(str, row), str(label)] for row, label in zip(X, labels, strict=True)]
    header = [f"v{column}" for column in range(16)] + ["label"]
    path = tmp_path / "values.csv"
    path.write_text("\n".join(map(",".join, [header, *rows])))
    samples = import_samples(path, "values.csv", model.inputs)
    assert samples.test.labels is not None
    assert set(samples.test.labels) <= set(labels)


SEQUENCE = """
<ir_version: 8, opset_import: ["": 17]>
g (float[steps, n, 6] x) => (float[steps, 1, n, 4] y) {
  y = LSTM<hidden_size = 4>(x, w, r)
}
"""


def sequence_network() -> explorer.Model:
    return with_weights(SEQUENCE, w=(1, 16, 6), r=(1, 16, 4))


def test_steps_of_a_sequence_are_run_in_one_go_and_said_to_be_no_samples() -> None:
    model = sequence_network()
    x = RNG.standard_normal((100, 2, 6)).astype(np.float32)
    data = load_data({"x": x}, model)
    output: np.ndarray = model_outputs(model, data)[0]
    np.testing.assert_allclose(output, run_onnx(model.data, {"x": x})[0], atol=1e-6)
    (note,) = row_notes(model, data)
    assert "'x' begins with positions of a sequence" in note
    assert "100 rows" in note
    model_of_rows = with_weights(DENSE, **SIZES)
    assert not row_notes(model_of_rows, load_data({"x": X}, model_of_rows))


PIXELS = """
<ir_version: 8, opset_import: ["": 17]>
g (float[h, w, 3] x) => (float[h, w, 4] y) {
  turned = Transpose<perm = [2, 0, 1]>(x)
  axes = Constant<value_ints = [0]>()
  image = Unsqueeze(turned, axes)
  found = Conv<pads = [2, 2, 2, 2]>(image, k)
  one = Squeeze(found, axes)
  y = Transpose<perm = [1, 2, 0]>(one)
}
"""


def test_an_image_without_a_batch_is_run_whole_and_counted_as_it_is() -> None:
    model = with_weights(PIXELS, k=(4, 3, 5, 5))
    x = RNG.standard_normal((150, 20, 3)).astype(np.float32)
    data = load_data({"x": x}, model)
    outputs = np.concatenate([rows[0] for rows in run_all(model, data)])
    np.testing.assert_allclose(outputs, run_onnx(model.data, {"x": x})[0], atol=1e-5)
    assert sample_sizes(model, data) == {"x": (150, 20, 3)}


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    (tmp_path / "net.onnx").write_bytes(with_weights(DENSE, **SIZES).data)
    np.savez(tmp_path / "data.npz", x=X, y=RNG.permutation(np.arange(40) % 8))
    return str(tmp_path / "net.onnx"), str(tmp_path / "data.npz")


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(list(arguments)) == 2
    return capsys.readouterr().err.splitlines()[-1]


def test_the_shell_refuses_devices_and_metrics_in_words(
    capsys: pytest.CaptureFixture[str], files: tuple[str, str]
) -> None:
    net, data = files
    assert said(capsys, "profile", os.devnull) == f"{os.devnull} is a device; name a file."
    assert "is a device" in said(capsys, "evaluate", net, "--data", os.devnull)
    score = ("evaluate", net, "--data", data)
    assert "The metric is ''" in said(capsys, *score, "--metric", "")
    sentence = said(capsys, *score, "--metric", "agreement")
    assert sentence == "Agreement is with the original; give a reference model."
    assert "1 to 2,147,483,647" in said(capsys, "profile", net, "--input-size", "x=9999999999,16")


def test_the_shell_says_where_the_original_only_guesses(
    capsys: pytest.CaptureFixture[str], files: tuple[str, str]
) -> None:
    assert main(["evaluate", files[0], "--data", files[1]]) == 0
    assert "no better than guessing among 8 classes" in capsys.readouterr().err


def test_one_time_alone_has_no_ratio(
    capsys: pytest.CaptureFixture[str], files: tuple[str, str]
) -> None:
    assert main(["latency", files[0]]) == 0
    row = capsys.readouterr().out.splitlines()[-1]
    assert "latency" in row
    assert "change" not in row
    assert "×" not in row


def test_what_is_no_network_is_named_with_what_to_do(tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", x=X)
    (tmp_path / "net.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    with pytest.raises(ModelError, match=r"an \.npz file, so data and no network"):
        explorer.load(tmp_path / "data.npz")
    with pytest.raises(ModelError, match="tf2onnx"):
        explorer.load(tmp_path / "net.h5")
