"""Refitting that makes the outputs worse on samples that it has not seen is not the result."""

from dataclasses import replace

import numpy as np
import pytest
from conftest import SAMPLES, tensors_of, with_weights

import explorer
from explorer import Recipe
from explorer.compress.compensation import why_not_reconstructed
from explorer.formats.data import Dataset
from explorer.measure.quality import deviation

RNG = np.random.default_rng(0)
NETWORK = (
    '<ir_version: 8, opset_import: ["" : 17]> g (float[n,6] x) => (float[n,4] y) '
    "{ a = MatMul (x, w)  r = Relu (a)  y = MatMul (r, v) }"
)
ROUNDED = Recipe(weight_bits=3)


def network() -> explorer.Model:
    return with_weights(NETWORK, w=(6, 16), v=(16, 4))


def test_every_eighth_sample_is_held_out(resnet: explorer.Model) -> None:
    calibration = explorer.calibrate(resnet, SAMPLES / "fashion_calibration.npz")
    assert calibration.held_out is not None
    held, fitted = calibration.held_out, calibration.samples
    assert (len(held), len(held) + len(fitted)) == (32, 512)
    name = resnet.inputs[0].name
    rows = {sample.tobytes() for sample in fitted.inputs[name]}
    assert not any(sample.tobytes() in rows for sample in held.inputs[name])


def test_of_a_few_samples_none_is_held_out() -> None:
    samples = {"x": RNG.standard_normal((31, 6)).astype(np.float32)}
    assert explorer.calibrate(network(), samples).held_out is None


def test_what_fits_other_samples_worse_is_not_taken() -> None:
    """Fitted where one input never varies, held out where only that one does."""
    model = network()
    x = RNG.standard_normal((64, 6)).astype(np.float32)
    x[:, 0] = 0
    calibration = explorer.calibrate(model, {"x": x})
    assert calibration.held_out is not None
    calibration.held_out.inputs["x"][:] = 0
    calibration.held_out.inputs["x"][:, 0] = RNG.standard_normal(len(calibration.held_out))
    plan = explorer.plan(model, Recipe(pattern="channel", ratio=0.5, round_to=1), calibration)
    small = explorer.apply(model, plan, calibration)
    assert "worse on samples held out" in str(why_not_reconstructed(model, plan, calibration))
    assert explorer.apply(model, plan, calibration).id == small.id
    told, found = explorer.estimate(model, plan), explorer.profile(small)
    assert (told.params, told.macs, told.file_bytes) == (found.params, found.macs, found.file_bytes)


def test_what_fits_better_is_taken() -> None:
    model = network()
    calibration = explorer.calibrate(model, {"x": RNG.standard_normal((256, 6)).astype("f4")})
    plan = explorer.plan(model, ROUNDED, calibration)
    explorer.apply(model, plan, calibration)
    assert why_not_reconstructed(model, plan, calibration) is None


@pytest.mark.parametrize("recipe", [ROUNDED, Recipe(weight_bits=8, activation_bits=8)])
def test_the_result_is_the_better_of_both(recipe: Recipe) -> None:
    model = network()
    calibration = explorer.calibrate(model, {"x": RNG.standard_normal((64, 6)).astype("f4")})
    plan = explorer.plan(model, recipe, calibration)
    assert calibration.held_out is not None
    plain = replace(plan, recipe=replace(recipe, compensate=False))
    both = [
        deviation(small, model, calibration.held_out)
        for small in (
            explorer.apply(model, plain, calibration),
            explorer.apply(model, plan, replace(calibration, held_out=None)),
        )
    ]
    result = deviation(explorer.apply(model, plan, calibration), model, calibration.held_out)
    assert result == min(both)


def test_the_deviation_of_scores_is_that_of_their_distributions() -> None:
    """Kullback-Leibler divergence of two rows by hand."""
    model = with_weights(
        '<ir_version: 8, opset_import: ["" : 17]> g (float[n,2] x) => (float[n,2] y) '
        "{ y = MatMul (x, w) }",
        w=(2, 2),
    )
    data = Dataset({"x": np.eye(2, dtype=np.float32)}, None, "two")
    other = with_weights(
        '<ir_version: 8, opset_import: ["" : 17]> g (float[n,2] x) => (float[n,2] y) '
        "{ z = MatMul (x, w)  y = Sum (z, z) }",
        w=(2, 2),
    )
    scores = tensors_of(model)["w"].numpy().astype(np.float64)
    p, q = (np.exp(s) / np.exp(s).sum(1, keepdims=True) for s in (scores, 2 * scores))
    expected = float((p * np.log(p / q)).sum(1).mean())
    assert deviation(other, model, data) == pytest.approx(expected, rel=1e-5)
    assert deviation(model, model, data) == pytest.approx(0, abs=1e-12)
