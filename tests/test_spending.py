"""Spending a budget: the choice against brute force, and the recipe against the truth."""

import itertools
import json
from dataclasses import replace

import numpy as np
import pytest
from conftest import SAMPLES, with_weights

import explorer
from explorer import LayerChoice, Recipe
from explorer.errors import RecipeError
from explorer.findings import Probe, Sensitivity, Spent, recipe_of
from explorer.formats.data import Dataset, load_data
from explorer.render.text import spent_sentence
from explorer.render.text_tables import spent_table
from explorer.report import Quality, points_lost
from explorer.search.knapsack import Offer, choose
from explorer.search.sensitivity import find_probes, measure_probe, measure_sensitivity
from explorer.search.spending import expected_losses, find_gains, spend


def gain_of(offers: list[Offer], chosen: tuple[int, ...]) -> float:
    return sum(offers[position].gain for position in chosen)


def best_gain(offers: list[Offer], budget: float) -> float:
    """By trying every combination."""
    own = [[None, *(o for o in offers if o.key == key)] for key in {o.key for o in offers}]
    taken = ([o for o in each if o is not None] for each in itertools.product(*own))
    return max(sum(o.gain for o in each) for each in taken if sum(o.loss for o in each) <= budget)


def test_the_choice_by_hand() -> None:
    offers = [
        Offer("a", 5, 2),
        Offer("a", 9, 4),
        Offer("b", 6, 3),
        Offer("b", 7, 0),
        Offer("c", 1, 9),
    ]
    assert choose(offers, 1) == (3,)
    assert choose(offers, 2) == (0, 3)
    assert choose(offers, 5) == (1, 3)
    assert choose([], 5) == ()
    # One slope of loss per gain would take the first, and then has too little left for the second.
    assert choose([Offer("a", 6, 2), Offer("b", 9, 4)], 4) == (1,)


@pytest.mark.parametrize("seed", range(5))
def test_no_combination_gains_more(seed: int) -> None:
    rng = np.random.default_rng(seed)
    # Losses are multiples of a level for budgets of 8 and 16, so nothing is rounded.
    offers = [
        Offer(key, float(rng.integers(-3, 20)), float(rng.integers(0, 9)))
        for key in "abcde"
        for _ in range(3)
    ]
    for budget in (8.0, 16.0):
        chosen = choose(offers, budget)
        assert len({offers[position].key for position in chosen}) == len(chosen)
        assert sum(offers[position].loss for position in chosen) <= budget
        assert gain_of(offers, chosen) == best_gain(offers, budget)


@pytest.fixture(scope="module")
def vowels() -> explorer.Model:
    return explorer.load(SAMPLES / "vowels_cnn.onnx")


@pytest.fixture(scope="module")
def data(vowels: explorer.Model) -> Dataset:
    return load_data(SAMPLES / "vowels_test.npz", vowels).head(200)


@pytest.fixture(scope="module")
def samples(vowels: explorer.Model) -> explorer.Calibration:
    return explorer.calibrate(vowels, SAMPLES / "vowels_calibration.npz")


@pytest.fixture(scope="module")
def found(
    vowels: explorer.Model, data: Dataset, samples: explorer.Calibration
) -> list[Sensitivity]:
    """Some of the probes, which is quicker."""
    probes = [p for p in find_probes(vowels) if p.ratio == 0.75 or p.weight_bits in (8, 3)]
    return [measure_probe(vowels, probe, data, samples) for probe in probes]


@pytest.mark.parametrize("on", ["size", "macs", "time"])
def test_the_recipe_is_what_it_says(
    vowels: explorer.Model,
    data: Dataset,
    samples: explorer.Calibration,
    found: list[Sensitivity],
    on: str,
) -> None:
    spent = spend(vowels, found, 1.5, on, data, samples)
    assert spent.recipe.layers or spent.recipe.ratio
    assert spent.lost <= 1.5
    fresh = explorer.load(SAMPLES / "vowels_cnn.onnx")
    again = explorer.calibrate(fresh, SAMPLES / "vowels_calibration.npz")
    recipe = Recipe.from_json(spent.recipe.to_json())
    small = explorer.apply(fresh, explorer.plan(fresh, recipe, again), again)
    assert explorer.evaluate(small, data, fresh) == spent.quality
    assert explorer.profile(small) == spent.profile
    assert spent.lost == points_lost(spent.quality, spent.output_error)
    if on == "size":
        before = explorer.profile(fresh).content_bytes
        assert spent.saved == 1 - len(small.data) / before > 0.5
    elif on == "macs":
        assert spent.saved == 1 - spent.profile.macs / explorer.profile(fresh).macs > 0.2
    else:
        assert spent.latency is not None
        assert spent.saved == 1 - spent.latency.ratio
        assert not any(choice.weight_bits for choice in spent.recipe.layers)


@pytest.mark.parametrize("on", ["size", "macs"])
def test_a_larger_budget_buys_no_less(
    vowels: explorer.Model,
    data: Dataset,
    samples: explorer.Calibration,
    found: list[Sensitivity],
    on: str,
) -> None:
    bought = [spend(vowels, found, points, on, data, samples) for points in (0.1, 0.5, 1, 3, 10)]
    assert all(each.lost <= each.points for each in bought)
    saved = [each.saved for each in bought]
    assert saved == sorted(saved)
    assert saved[0] < saved[-1]


def test_nothing_is_bought_for_nothing(
    vowels: explorer.Model, data: Dataset, samples: explorer.Calibration, found: list[Sensitivity]
) -> None:
    base = Recipe(round_to=4)
    useless = [each for each in found if each.probe.ratio is None]  # bits save no MACs
    for spent in (
        spend(vowels, found, 0.0, "size", data, samples, base),
        spend(vowels, useless, 5.0, "macs", data, samples, base),
        spend(vowels, [], 5.0, "time", data, samples, base),
    ):
        assert spent.recipe == base
        assert (spent.lost, spent.saved) == (0, 0)
        assert spent.profile == explorer.profile(vowels)
        assert "saves any of the" in spent_sentence(spent)


def test_another_aim_is_refused(vowels: explorer.Model, data: Dataset) -> None:
    with pytest.raises(RecipeError, match="one of size, macs, time"):
        spend(vowels, [], 1.0, "money", data, None)


def test_the_work_can_be_stopped(
    vowels: explorer.Model, data: Dataset, samples: explorer.Calibration, found: list[Sensitivity]
) -> None:
    class Stop(Exception):  # noqa: N818 - as a cancelled job
        pass

    def check() -> None:
        raise Stop

    for on in ("size", "time"):
        with pytest.raises(Stop):
            spend(vowels, found, 1.0, on, data, samples, check=check)


def test_without_classes_the_budget_is_error_in_percent() -> None:
    decibels = Quality("snr_db", 30.0, 29.0, 31.0, 100)
    assert points_lost(decibels, 0.02) == 2.0
    assert points_lost(Quality("accuracy", 0.9, 0.8, 1.0, 100, 0.92), 0.5) == pytest.approx(2.0)


def test_losses_are_expected_between_points_and_error(found: list[Sensitivity]) -> None:
    first, second = found[0], found[1]
    scored = [
        replace(first, quality=replace(first.quality, value=0.9, reference_value=0.94)),
        replace(second, quality=replace(second.quality, value=0.96, reference_value=0.94)),
    ]
    scored = [replace(scored[0], output_error=0.3), replace(scored[1], output_error=0.1)]
    # 4 points for an error of 0.4 in all, so 3 and 1 by the error alone.
    assert expected_losses(scored) == pytest.approx([(4 + 3) / 2, (0 + 1) / 2])
    broken = replace(scored[0], output_error=1e9)  # counts as an output that is all error
    assert expected_losses([broken, scored[1]])[1] == pytest.approx(0.1 * 4 / 1.1 / 2)


def test_gains_are_what_compressing_that_place_alone_saves(
    vowels: explorer.Model, samples: explorer.Calibration, found: list[Sensitivity]
) -> None:
    macs = find_gains(vowels, found, "macs", samples, Recipe())
    size = find_gains(vowels, found, "size", samples, Recipe())
    for each, few_macs, few_bytes in zip(found, macs, size, strict=True):
        assert few_macs == explorer.profile(vowels).macs - each.profile.macs
        assert few_bytes > 0
        assert few_bytes <= len(vowels.data) - each.profile.file_bytes
        assert (few_macs > 0) == (each.probe.ratio is not None)


def test_a_sensitivity_survives_json(found: list[Sensitivity]) -> None:
    for each in found:
        assert Sensitivity.from_dict(json.loads(json.dumps(each.to_dict()))) == each


def test_ratio_and_bits_of_one_layer_are_one_choice() -> None:
    probes = [Probe("a", ("a", "b"), ratio=0.5), Probe("b", ("b",), weight_bits=4)]
    base = Recipe(pattern="2:4", ratio=0.3, weight_bits=8, activation_bits=8, round_to=4)
    assert recipe_of([*probes, Probe("a", ("a",), weight_bits=3)], base) == Recipe(
        pattern="channel",
        round_to=4,
        layers=(LayerChoice("a", 0.5, 3), LayerChoice("b", None, 4)),
    )
    assert recipe_of(probes[1:], base).pattern == "none"
    assert recipe_of([], base).is_identity


def test_the_sentence_says_what_was_measured(resnet: explorer.Model) -> None:
    quality = Quality("accuracy", 0.932, 0.9, 0.95, 1000, 0.94)
    recipe = Recipe(pattern="channel", layers=(LayerChoice("stem", 0.5, 4),))
    spent = Spent(recipe, "size", 1.0, 0.8, 0.713, explorer.profile(resnet), quality, 0.01)
    samples = "measured on the 1,000 samples it was chosen on"
    text = f"Saves 71 % of the file size for 0.8 pp of accuracy, {samples}."
    assert spent_sentence(spent) == text
    one = replace(spent, lost=1.0)
    assert spent_sentence(one) == text.replace("0.8 pp", "1 pp")
    nothing = replace(spent, recipe=Recipe())
    assert (
        spent_sentence(nothing)
        == f"No recipe within 1 pp of accuracy saves any of the file size, {samples}."
    )
    error = replace(spent, quality=replace(quality, metric="mae"))
    assert "for 0.8 % more mean absolute error" in spent_sentence(error)
    assert spent_table(spent).splitlines()[-1].split() == ["stem", "50", "%", "INT4"]
    latency = explorer.Latency(1e-3, 1e-5, 1e-3, 9, 1, "", True, 0.99, 0.97, 1.01, 1.0, 1e-3)
    timed = replace(spent, on="time", lost=-0.1, latency=latency)
    assert spent_sentence(timed).startswith(
        "No measurable change in the latency for 0 pp of accuracy"
    )


def test_a_ratio_spread_by_need_is_taken_where_it_saves_more(
    vowels: explorer.Model, data: Dataset, samples: explorer.Calibration, found: list[Sensitivity]
) -> None:
    coarse = [each for each in found if each.probe.ratio == 0.75][:1]  # hardly a choice
    spent = spend(vowels, coarse, 3.0, "macs", data, samples)
    assert spent.recipe == Recipe(pattern="channel", ratio=spent.recipe.ratio)
    assert spent.recipe.ratio > 0
    assert spent.lost <= 3.0
    assert spent.saved > 0
    assert "global ratio" in spent_table(spent)
    assert "none of" not in spent_sentence(spent)


IMAGES = """<ir_version: 8, opset_import: ["" : 17]>
filters (float[N, 3, 8, 8] x) => (float[N, 4, 8, 8] y) {
    h = Conv<kernel_shape = [3, 3], pads = [1, 1, 1, 1]>(x, first)
    a = Relu(h)
    y = Conv<kernel_shape = [3, 3], pads = [1, 1, 1, 1]>(a, second)
}"""


def test_a_network_without_classes_spends_error() -> None:
    model = with_weights(IMAGES, first=(16, 3, 3, 3), second=(4, 16, 3, 3))
    rng = np.random.default_rng(1)
    images = load_data({"x": rng.standard_normal((20, 3, 8, 8), dtype=np.float32)}, model)
    calibration = explorer.calibrate(model, images)
    found = list(measure_sensitivity(model, images, calibration))
    spent = spend(model, found, 0.5, "size", images, calibration)
    assert spent.quality.metric == "snr_db"
    assert 0 < spent.lost == 100 * spent.output_error <= 0.5
    assert spent.saved > 0
    assert " % of output error, measured on" in spent_sentence(spent)
