"""Refitting after pruning and rounding: against a regression done by hand, and on real networks."""

import numpy as np
import pytest
from conftest import SAMPLES, run_onnx, tensors_of, with_weights

import explorer
from explorer import LayerChoice, Recipe
from explorer.compress.compensation import why_not_reconstructed
from explorer.formats.data import Dataset, load_data
from explorer.reasons import Reason

MLP = """<ir_version: 8, opset_import: ["" : 17]>
g (float[n,12] x) => (float[n,4] y) {
    a = Gemm (x, w1, b1)
    h = Relu (a)
    y = Gemm (h, w2, b2)
}"""


@pytest.fixture
def mlp() -> explorer.Model:
    return with_weights(MLP, w1=(12, 32), b1=(32,), w2=(32, 4), b2=(4,))


def samples(count: int = 200) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    mixed = rng.standard_normal((count, 6)) @ rng.standard_normal((6, 12))
    return {"x": mixed.astype(np.float32)}


def test_the_last_layer_is_the_ridge_regression(mlp: explorer.Model) -> None:
    """Weights of the refitted layer, computed again from the files alone."""
    x = samples()["x"]
    plan = explorer.plan(mlp, Recipe(pattern="channel", ratio=0.5))
    calibration = explorer.calibrate(mlp, {"x": x})
    small = explorer.apply(mlp, plan, calibration)
    x = np.concatenate([part.inputs["x"] for part in calibration.fitted])
    naive = explorer.apply(mlp, plan)
    weights = {name: tensor.numpy() for name, tensor in tensors_of(small).items()}
    plain = {name: tensor.numpy() for name, tensor in tensors_of(naive).items()}
    hidden = np.maximum(x @ weights["w1"] + weights["b1"], 0).astype(np.float64)
    wanted = run_onnx(mlp.data, {"x": x})[0]
    centred = hidden - hidden.mean(axis=0)
    missing = wanted - (hidden @ plain["w2"] + plain["b2"])
    gram = centred.T @ centred
    gram += 0.01 * np.trace(gram) / len(gram) * np.eye(len(gram))
    change = np.linalg.solve(gram, centred.T @ (missing - missing.mean(axis=0)))
    np.testing.assert_allclose(weights["w2"], plain["w2"] + change, rtol=1e-3, atol=1e-4)
    bias = plain["b2"] + missing.mean(axis=0) - hidden.mean(axis=0) @ change
    np.testing.assert_allclose(weights["b2"], bias, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    "recipe",
    [
        Recipe(pattern="channel", ratio=0.5),
        Recipe(pattern="2:4"),
        Recipe(weight_bits=3),
        Recipe(pattern="channel", ratio=0.3, weight_bits=4),
    ],
    ids=["channels", "2:4", "3 bits", "channels and 4 bits"],
)
def test_the_error_shrinks_on_samples_it_has_not_seen(mlp: explorer.Model, recipe: Recipe) -> None:
    seen, unseen = samples()["x"][:150], samples()["x"][150:]
    plan = explorer.plan(mlp, recipe)
    small = explorer.apply(mlp, plan, explorer.calibrate(mlp, {"x": seen}))
    naive = explorer.apply(mlp, plan)
    wanted = run_onnx(mlp.data, {"x": unseen})[0]
    errors = [((run_onnx(m.data, {"x": unseen})[0] - wanted) ** 2).mean() for m in (small, naive)]
    assert errors[0] < 0.8 * errors[1]


def test_masks_keep_their_zeros(resnet: explorer.Model, calibration: explorer.Calibration) -> None:
    plan = explorer.plan(resnet, Recipe(pattern="2:4"))
    refitted = explorer.profile(explorer.apply(resnet, plan, calibration))
    naive = explorer.profile(explorer.apply(resnet, plan))
    assert refitted.nonzero_params is not None and naive.nonzero_params is not None
    assert refitted.nonzero_params <= naive.nonzero_params + 300  # biases may leave zero


@pytest.mark.parametrize("name", ["fashion_resnet", "fashion_mobilenet"])
def test_real_networks_keep_most_of_their_accuracy(name: str, test_data: Dataset) -> None:
    model = explorer.load(SAMPLES / f"{name}.onnx")
    calibration = explorer.calibrate(model, SAMPLES / "fashion_calibration.npz")
    plan = explorer.plan(model, Recipe(pattern="channel", ratio=0.2))
    refitted = explorer.evaluate(explorer.apply(model, plan, calibration), test_data, model)
    naive = explorer.evaluate(explorer.apply(model, plan), test_data, model)
    assert explorer.estimate(model, plan).macs < 0.8 * explorer.profile(model).macs
    assert refitted.reference_value is not None
    assert refitted.value > refitted.reference_value - 0.08
    assert refitted.value > naive.value + 0.2


def test_it_says_why_it_does_nothing(
    resnet: explorer.Model, calibration: explorer.Calibration
) -> None:
    def why(recipe: Recipe, samples: explorer.Calibration | None = calibration) -> Reason | None:
        return why_not_reconstructed(resnet, explorer.plan(resnet, recipe), samples)

    pruned = Recipe(pattern="channel", ratio=0.5)
    assert why(pruned) is None
    assert "samples" in str(why(pruned, None))
    assert "switched off" in str(why(Recipe(pattern="channel", ratio=0.5, compensate=False)))
    assert "8 bits" in str(why(Recipe(weight_bits=8)))


def test_switched_off_equals_no_samples(
    resnet: explorer.Model, calibration: explorer.Calibration
) -> None:
    recipe = Recipe(pattern="channel", ratio=0.5, compensate=False)
    plan = explorer.plan(resnet, recipe)
    assert explorer.apply(resnet, plan, calibration).id == explorer.apply(resnet, plan).id


def test_the_calibration_split_scores_nothing() -> None:
    model = explorer.load(SAMPLES / "fashion_mlp.onnx")
    assert load_data(SAMPLES / "fashion_calibration.npz", model).labels is None


def test_it_can_be_stopped_while_one_layer_is_solved(mlp: explorer.Model) -> None:
    calls: list[None] = []
    plan = explorer.plan(mlp, Recipe(pattern="unstructured", ratio=0.5))
    explorer.apply(mlp, plan, explorer.calibrate(mlp, samples()), lambda: calls.append(None))
    assert len(calls) > 10 * len(plan.layers)


def test_what_was_solved_before_changes_nothing() -> None:
    """A layer behind a sum is fitted to what the other branch leaves to it."""

    def opened() -> tuple[explorer.Model, explorer.Calibration]:
        model = explorer.load(SAMPLES / "fashion_resnet.onnx")
        data = load_data(SAMPLES / "fashion_calibration.npz", model)
        return model, explorer.calibrate(model, data.head(128))

    def compressed(
        model: explorer.Model, calibration: explorer.Calibration, bits: int
    ) -> explorer.Model:
        branch = LayerChoice("stage2.0.conv2", weight_bits=bits)
        recipe = Recipe(layers=(branch, LayerChoice("stage2.0.shortcut.conv", weight_bits=3)))
        return explorer.apply(model, explorer.plan(model, recipe, calibration), calibration)

    used = opened()
    compressed(*used, bits=4)
    assert compressed(*used, bits=2).id == compressed(*opened(), bits=2).id
