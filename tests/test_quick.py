"""A quick reconstruction: against least squares by hand, and against the full one."""

from dataclasses import replace

import numpy as np
import onnx
import pytest
from conftest import SAMPLES, with_weights
from onnx import numpy_helper

import explorer
from explorer import Recipe
from explorer.compress.apply import apply_quickly
from explorer.compress.planned import removed_channels
from explorer.formats.data import Dataset, load_data

CHAIN = """<ir_version: 8, opset_import: ["" : 17]>
    g (float[n,8] x) => (float[n,5] y) {
        h = Gemm (x, first, b)
        a = Relu (h)
        y = Gemm (a, second, c)
    }"""


def constants_of(model: explorer.Model) -> dict[str, np.ndarray]:
    graph = onnx.load_from_string(model.data).graph
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}


def test_readers_of_removed_channels_are_solved_by_least_squares() -> None:
    model = with_weights(CHAIN, first=(8, 64), b=(64,), second=(64, 5), c=(5,))
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(512, 3)) @ rng.normal(size=(3, 8))).astype(np.float32)
    calibration = explorer.calibrate(model, {"x": x})
    plan = explorer.plan(model, Recipe(pattern="channel", ratio=0.5), calibration)
    quick = apply_quickly(model, plan, calibration)
    assert quick is not None
    before, after = constants_of(model), constants_of(quick)
    [gone] = removed_channels(model, plan).values()
    stays = np.setdiff1d(np.arange(64), list(gone))
    hidden = np.maximum(x @ before["first"] + before["b"], 0)
    wanted = hidden @ before["second"]
    rows = np.column_stack([hidden[:, stays], np.ones(len(x))])
    exact = np.linalg.lstsq(rows, wanted, rcond=None)[0]

    def error(weights: np.ndarray, bias: np.ndarray) -> float:
        found = hidden[:, stays] @ weights + bias
        return float(((found - wanted) ** 2).mean() / wanted.var())

    cut = error(before["second"][stays], np.zeros(5))
    best = error(exact[:-1], exact[-1])
    assert error(after["second"], after["c"] - before["c"]) < best + 0.01 * (cut - best)


@pytest.fixture(scope="module")
def scored() -> Dataset:
    model = explorer.load(SAMPLES / "fashion_mobilenet.onnx")
    return load_data(SAMPLES / "fashion_test.npz", model).head(2000)


@pytest.mark.parametrize(
    "recipe",
    [
        Recipe(pattern="channel", ratio=0.3),
        Recipe(pattern="2:4"),
        Recipe(weight_bits=3),
        Recipe(pattern="channel", ratio=0.3, weight_bits=8, activation_bits=8),
    ],
    ids=["channels", "2:4", "3 bits", "channels and INT8"],
)
@pytest.mark.parametrize("name", ["fashion_resnet", "fashion_mobilenet"])
def test_it_comes_near_to_the_full_reconstruction(
    name: str, recipe: Recipe, scored: Dataset
) -> None:
    model = explorer.load(SAMPLES / f"{name}.onnx")
    calibration = explorer.calibrate(model, SAMPLES / "fashion_calibration.npz")
    plan = explorer.plan(model, recipe, calibration)
    quick = apply_quickly(model, plan, calibration)
    assert quick is not None
    full = explorer.apply(model, plan, calibration)
    bare = replace(recipe, compensate=False)
    plain = explorer.apply(model, explorer.plan(model, bare, calibration), calibration)
    whole, *losses = (explorer.evaluate(each, scored).value for each in (model, quick, full, plain))
    lost, least, most = (whole - value for value in losses)
    assert lost - least < 0.15 * (most - least)
    assert explorer.profile(quick).macs == explorer.profile(full).macs


@pytest.mark.parametrize(
    "recipe", [Recipe(weight_bits=8), Recipe(weight_bits=4, compensate=False)], ids=repr
)
def test_there_is_none_where_nothing_is_reconstructed(recipe: Recipe) -> None:
    model = with_weights(CHAIN, first=(8, 64), b=(64,), second=(64, 5), c=(5,))
    x = np.random.default_rng(0).normal(size=(64, 8)).astype(np.float32)
    calibration = explorer.calibrate(model, {"x": x})
    plan = explorer.plan(model, recipe, calibration)
    assert apply_quickly(model, plan, calibration) is None
    assert apply_quickly(model, plan, None) is None
