"""What the panel predicts while the hand moves, from what was surveyed."""

import json
from dataclasses import asdict, replace
from itertools import pairwise
from typing import Any

import pytest
from conftest import SAMPLES
from test_widget import run_node, sample

import explorer
from explorer import Recipe, pipeline
from explorer.events import ProbesCounted
from explorer.formats.data import load_data
from explorer.preview.counts import counts
from explorer.preview.forecast import basis_of, surveyed
from explorer.recipe import LayerChoice
from explorer.search.survey import settings

REFERENCE, ORIGINAL = 0.9, 0.92  # of the surveyed samples, and of all
SINGLE = 0.004  # error of each layer or group alone
Points = list[dict[str, Any]]
FIXED = {"2:4": 0.01, "4:8": 0.006}
SLOPE = {"channel": 0.02, "unstructured": 0.005, "block": 0.01}
WIDTHS = {32: 0.0, 16: 0.0, 8: 0.0001, 4: 0.002, 3: 0.01, 2: 0.05}
ROUNDED = 0.003


def made_up(recipe: Recipe) -> float:
    """Errors that add up; those of pruning are a power of the odds of its ratio."""
    if recipe.layers:
        return SINGLE
    removed = FIXED.get(recipe.pattern, 0.0)
    if recipe.ratio:
        removed = SLOPE[recipe.pattern] * (recipe.ratio / (1 - recipe.ratio)) ** 1.5
    return removed + WIDTHS[recipe.weight_bits] + (ROUNDED if recipe.activation_bits == 8 else 0)


def survey(model: explorer.Model) -> list[dict[str, Any]]:
    """A survey of made-up errors, where quality falls as the error grows."""
    found = []
    for setting in settings(model, Recipe(), rounds=True):
        recipe, error = setting.recipe, made_up(setting.recipe)
        scores = {"output_error": error, "quality": REFERENCE - error, "reference": REFERENCE}
        time = 0.5 if recipe.activation_bits == 8 else 1 - recipe.ratio
        latency = time if setting.timed else None
        found.append({"recipe": asdict(recipe), **scores, "latency": latency})
    return found


def predict(points: list[dict[str, Any]], *recipes: Recipe) -> list[dict[str, Any]]:
    model, calibration = sample("vowels_cnn")
    told = {
        "counts": counts(model, Recipe(), calibration),
        "surveyed": points,
        "original": ORIGINAL,
        "recipes": [asdict(recipe) for recipe in recipes],
    }
    found: list[dict[str, Any]] = run_node("../../benchmarks/forecast.mjs", told)
    return found


@pytest.fixture(scope="module")
def model() -> explorer.Model:
    return sample("vowels_cnn")[0]


@pytest.fixture(scope="module")
def points(model: explorer.Model) -> list[dict[str, Any]]:
    return survey(model)


@pytest.mark.parametrize(
    "recipe",
    [
        Recipe(),
        Recipe(weight_bits=3),
        Recipe(pattern="channel", ratio=0.4, weight_bits=4),
        Recipe(pattern="channel", ratio=0.5, activation_bits=8),
        Recipe(pattern="unstructured", ratio=0.8, weight_bits=4),
        Recipe(pattern="block", ratio=0.1),
        Recipe(pattern="2:4", weight_bits=8, activation_bits=8),
    ],
    ids=repr,
)
def test_errors_add_up_and_quality_follows(points: Points, recipe: Recipe) -> None:
    (told,) = predict(points, recipe)
    error = made_up(recipe)
    assert told["quality"] == pytest.approx(ORIGINAL - error, abs=0.002 + error / 10)


def test_what_was_not_surveyed_is_not_predicted(points: Points) -> None:
    channels = [p for p in points if p["recipe"]["pattern"] in ("none", "channel")]
    asked = [Recipe(pattern="block", ratio=0.5), Recipe(pattern="channel", ratio=0.5)]
    assert predict([], *asked) == [{"latency": None, "quality": None}] * 2
    blocks, pruned = predict(channels, *asked)
    assert blocks["quality"] is None
    assert pruned["quality"] is not None


def test_without_samples_only_time_is_predicted(points: Points) -> None:
    bare = [{"recipe": p["recipe"], "latency": p["latency"]} for p in points]
    (told,) = predict(bare, Recipe(pattern="channel", ratio=0.5))
    assert told["quality"] is None
    assert 0.4 < told["latency"] < 0.8


def test_more_taken_out_never_looks_better(points: Points) -> None:
    ratios = [step / 100 for step in range(0, 96, 5)]
    told = predict(points, *(Recipe(pattern="channel", ratio=ratio) for ratio in ratios))
    for before, after in pairwise(told):
        assert after["quality"] <= before["quality"]
        assert after["latency"] <= before["latency"]


def test_time_follows_the_kind_of_kernel(points: Points) -> None:
    asked = [Recipe(), Recipe(weight_bits=4), Recipe(weight_bits=8, activation_bits=8)]
    times = [each["latency"] for each in predict(points, *asked)]
    assert times == [1.0, 1.0, 0.5]


def test_a_layer_alone_costs_what_it_cost_alone(points: Points, model: explorer.Model) -> None:
    name = model.layers[0].name
    pruned = Recipe(pattern="channel", layers=(LayerChoice(name, 0.5),))
    narrow = Recipe(layers=(LayerChoice(name, None, 3),))
    for recipe, error in ((pruned, SINGLE), (narrow, WIDTHS[3] / len(model.layers))):
        (told,) = predict(points, recipe)
        assert told["quality"] == pytest.approx(ORIGINAL - error, abs=0.001)


def test_predictions_are_close_to_what_is_measured(model: explorer.Model) -> None:
    """With a survey of the first settings, on the sample's own data."""
    calibration = sample("vowels_cnn")[1]
    data = load_data(SAMPLES / "vowels_test.npz", model)
    few = [s for s in settings(model, Recipe(), rounds=True) if not s.recipe.layers][:10]
    done = [
        part
        for setting in settings(model, Recipe(), rounds=True)
        for part in setting.keys
        if setting not in few or part.endswith(":latency")
    ]
    opened = pipeline.Opened(model, data, calibration)
    first, *told = pipeline.survey(opened, Recipe(), pipeline.Here(), pipeline.Unwatched(), done)
    assert isinstance(first, ProbesCounted)
    assert first.count > len(told) == len(few)
    points = json.loads(json.dumps(surveyed(told, "data")["points"]))
    original = explorer.evaluate(model, data).value
    for ratio, bits in ((0.3, 32), (0.5, 4), (0.7, 3), (0.88, 32)):
        recipe = Recipe(pattern="channel", ratio=ratio, weight_bits=bits)
        small = explorer.apply(model, explorer.plan(model, recipe, calibration), calibration)
        (predicted,) = predict(points, recipe)
        measured = explorer.evaluate(small, data).value
        off = predicted["quality"] - ORIGINAL + original - measured
        assert abs(off) < 0.05, recipe
    assert predicted["latency"] is None
    assert original - measured > 0.1  # the last one isn't trivial


def test_where_less_is_better_predictions_are_mirrored(points: Points) -> None:
    turned = [
        {**p, "quality": -p["quality"], "reference": -p["reference"], "falls": True} for p in points
    ]
    asked = [Recipe(pattern="channel", ratio=ratio) for ratio in (0.2, 0.5, 0.8)]
    for told, other in zip(predict(points, *asked), predict(turned, *asked), strict=True):
        shift = told["quality"] - ORIGINAL
        assert other["quality"] - ORIGINAL == pytest.approx(-shift)


def test_predictions_have_another_basis_with_other_data_or_another_way_but_not_other_sliders() -> (
    None
):
    recipe = Recipe(pattern="channel", ratio=0.3)
    basis = basis_of("m/data", recipe)
    assert basis == basis_of("m/data", replace(recipe, pattern="block", ratio=0.9, weight_bits=2))
    assert basis != basis_of("m/other", recipe)
    assert basis != basis_of("m/data", replace(recipe, compensate=False))
