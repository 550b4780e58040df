"""The panel in the browser plans and counts exactly as Python does."""

import json
import os
import random
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from conftest import SAMPLES
from exporting import exported
from families import FAMILIES

import explorer
from explorer import Calibration, LayerChoice, Recipe
from explorer.recipe import CRITERIA, GRANULARITIES, PATTERNS, SCOPES, WEIGHT_BITS
from explorer.widget.counts import counts

RECIPES = 1000  # for each sample
SETTINGS = 10  # of what isn't on the sliders, with as many recipes each
COUNTS = ("params", "macs", "file_bytes", "packed_bytes", "peak_activation_bytes")
WIDGET = Path(__file__).parent / "widget"
DATA = {
    "fashion_mlp": "fashion",
    "fashion_resnet": "fashion",
    "fashion_mobilenet": "fashion",
    "language_transformer": "language",
    "vowels_cnn": "vowels",
}

Asked = list[tuple[dict[str, Any], list[Recipe]]]


def node() -> str:
    found = shutil.which("node")
    if found is None and not os.environ.get("CI"):
        pytest.skip("Node.js isn't installed")
    assert found is not None
    return found


def answers(asked: Asked) -> list[dict[str, Any]]:
    """What the panel makes of recipes, with the counts for each lot."""
    told = [
        {"counts": counted, "recipes": [json.loads(recipe.to_json()) for recipe in recipes]}
        for counted, recipes in asked
    ]
    done = subprocess.run(
        [node(), WIDGET / "answers.mjs"],
        check=False,
        input=json.dumps(told),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def settings(rng: random.Random) -> dict[str, Any]:
    """Random values of what isn't on the sliders."""
    return {
        "criterion": rng.choice((*CRITERIA, "reconstruction", "reconstruction")),
        "round_to": rng.choice((1, 4, 8, 8, 16)),
        "granularity": rng.choice(GRANULARITIES),
        "group_size": rng.choice((16, 32, 64)),
        "widths": rng.random() < 0.3,
        "compensate": rng.random() < 0.7,
        "seed": rng.randrange(4),
    }


def moved(rng: random.Random, names: list[str]) -> dict[str, Any]:
    """Random places of the sliders, and choices for some layers."""
    some = rng.sample(names, min(len(names), rng.choice((0, 0, 0, 1, 2, 5))))
    return {
        "pattern": rng.choice((*PATTERNS, "channel", "channel")),
        "ratio": rng.choice((0.0, round(rng.random() * 0.95, 2), rng.random() * 0.99)),
        "scope": rng.choice(("global", *SCOPES)),
        "weight_bits": rng.choice(WEIGHT_BITS),
        "activation_bits": rng.choice((32, 32, 8)),
        "bits_scope": rng.choice(("layer", *SCOPES)),
        "layers": tuple(
            LayerChoice(
                name,
                rng.choice((None, 0.0, rng.random() * 0.95)),
                rng.choice((None, *WEIGHT_BITS)),
            )
            for name in some
        ),
    }


def assert_alike(
    model: explorer.Model, calibration: Calibration | None, lots: int, recipes: int, seed: int
) -> None:
    """For random recipes, `lots` of them, the panel says what `plan` and `estimate` say."""
    rng = random.Random(seed)
    names = [layer.name for layer in model.layers]
    asked: Asked = []
    for _ in range(lots):
        own = settings(rng)
        if calibration is None:
            own["compensate"] = False
        counted = counts(model, Recipe(**own), calibration)
        assert not counted["inexact"]
        asked.append((counted, [Recipe(**own, **moved(rng, names)) for _ in range(recipes)]))
    every = [recipe for _, own in asked for recipe in own]
    for recipe, told in zip(every, answers(asked), strict=True):
        planned = explorer.plan(model, recipe, calibration)
        expected = explorer.estimate(model, planned)
        layers = [[layer.kept, layer.sparsity, layer.weight_bits] for layer in planned.layers]
        assert told["layers"] == layers, recipe
        assert {key: told[key] for key in COUNTS} == {
            key: getattr(expected, key) for key in COUNTS
        }, recipe


@cache
def sample(name: str) -> tuple[explorer.Model, Calibration]:
    model = explorer.load(SAMPLES / f"{name}.onnx")
    return model, explorer.calibrate(model, SAMPLES / f"{DATA[name]}_calibration.npz")


@pytest.mark.parametrize("name", DATA)
def test_the_panel_counts_as_estimate_does(name: str) -> None:
    assert_alike(*sample(name), lots=SETTINGS, recipes=RECIPES // SETTINGS, seed=0)


@pytest.mark.parametrize("name", FAMILIES)
def test_the_panel_counts_every_family(name: str) -> None:
    model = explorer.load(exported(name, "old", 17), name)
    assert_alike(model, None, lots=2, recipes=8, seed=1)


def test_macs_of_layers_add_up() -> None:
    model, calibration = sample("fashion_resnet")
    recipe = Recipe(pattern="channel", ratio=0.4)
    (told,) = answers([(counts(model, recipe, calibration), [recipe])])
    assert sum(told["layer_macs"]) == told["macs"]
    assert min(told["layer_macs"]) > 0


def test_what_shrinks_on_both_sides_and_has_zeros_is_told_to_be_inexact() -> None:
    model, calibration = sample("fashion_resnet")
    sparse = explorer.apply(
        model,
        explorer.plan(model, Recipe(pattern="unstructured", ratio=0.5), calibration),
        calibration,
    )
    assert counts(sparse, Recipe(), None)["inexact"] == ["packed_bytes"]
    assert counts(model, Recipe(), None)["inexact"] == []


def test_the_counts_are_plain_values() -> None:
    model, calibration = sample("language_transformer")
    counted = counts(model, Recipe(), calibration)
    assert json.loads(json.dumps(counted, allow_nan=False))["model"] == model.id
