"""The panel in the browser plans and counts exactly as Python does."""

import json
import os
import random
import re
import shutil
import subprocess
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import SAMPLES
from exporting import exported
from families import FAMILIES
from onnx import TensorProto, helper, numpy_helper

import explorer
from explorer import Calibration, LayerChoice, Recipe
from explorer.digits import interval, speedup
from explorer.metrics import METRICS
from explorer.preview.counts import counts
from explorer.preview.parts import joined, known, lacks, needed
from explorer.recipe import CRITERIA, GRANULARITIES, INT8_RANGES, PATTERNS, SCOPES, WEIGHT_BITS
from explorer.render.cards import SAME, relative
from explorer.render.labels import PRESETS
from explorer.render.text import format_bytes, format_count, format_seconds
from explorer.render.words import describe
from explorer.ui.tried import percent_text

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


def run_node(script: str, told: object) -> Any:
    """What a script makes of values on its standard input."""
    command = [node(), str(WIDGET / script)]
    given = json.dumps(told)
    done = subprocess.run(command, check=False, input=given, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def answers(asked: Asked) -> list[dict[str, Any]]:
    """What the panel makes of recipes, with the counts for each lot."""
    told = [
        {"counts": counted, "recipes": [json.loads(recipe.to_json()) for recipe in recipes]}
        for counted, recipes in asked
    ]
    found: list[dict[str, Any]] = run_node("answers.mjs", told)
    return found


def settings(rng: random.Random) -> dict[str, Any]:
    """Random values of what isn't on the sliders."""
    return {
        "criterion": rng.choice((*CRITERIA, "reconstruction", "reconstruction")),
        "round_to": rng.choice((1, 4, 8, 8, 16)),
        "int8_range": rng.choice(INT8_RANGES),
        "granularity": rng.choice(GRANULARITIES),
        "group_size": rng.choice((16, 32, 64)),
        "widths": rng.random() < 0.3,
        "keep_metadata": rng.random() < 0.2,
        "short_names": rng.random() < 0.2,
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


def test_numbers_are_written_as_in_python() -> None:
    """Thousands of numbers, those halfway between two texts, and those at the end of a unit."""
    rng = random.Random(0)
    ends = [end + less for end in (1e3, 1e4, 1e5, 1e6, 1e9) for less in (-1, -0.5, 0, 0.5)]
    halves = [whole / 2**places for whole in range(-400, 401) for places in (1, 2, 3, 4)]
    sizes = [0, 1, 999, 9994, 9996, 99_949, 99_951, 999_499, 999_500, 999_501, *map(int, ends)]
    sizes += [round(10 ** rng.uniform(0, 11)) for _ in range(2000)]
    counts = [*sizes, *ends, *(half for half in halves if half >= 0)]
    seconds = [end * unit for end in ends[:4] for unit in (1e-6, 1e-3)]
    seconds += [10 ** rng.uniform(-7, 2) for _ in range(2000)]
    changes: list[list[float]] = [
        [1000, 1000],
        [0, 5],
        [1000, 995],
        [100_000, 99_999],
        [200, 199],
        [1000, 1025],
    ]
    changes += [[rng.random(), rng.random()] for _ in range(2000)]
    shares = [half / 100 for half in halves] + [rng.uniform(-1, 1) for _ in range(2000)]
    values = [*halves, 0.0, 1e-9, -1e-9, 0.00005, -0.00004, 9.996, 999.5, 999.7, 1000.5, 1e6]
    values += [rng.uniform(-1, 1) for _ in range(1000)]
    values += [rng.choice((-1, 1)) * 10 ** rng.uniform(-5, 7) for _ in range(1000)]
    qualities = [(metric, value) for metric in METRICS.values() for value in values]
    ratios = [0.5, 0.75, 0.995, 1.0, 1.004, 1.2] + [rng.uniform(0.01, 5) for _ in range(1000)]
    told = {"bytes": sizes, "counts": counts, "seconds": seconds, "changes": changes}
    told["ratios"] = ratios
    told["qualities"] = [(metric.unit, value) for metric, value in qualities]
    written = run_node("formats.mjs", {**told, "shares": shares})
    expected = {
        "bytes": [format_bytes(size) for size in sizes],
        "counts": [format_count(count) for count in counts],
        "seconds": [format_seconds(each) for each in seconds],
        "changes": [relative(before, after) for before, after in changes],
        "shares": [percent_text(share) for share in shares],
        "speeds": [speedup(ratio) for ratio in ratios],
        "qualities": [metric.text(value) for metric, value in qualities],
        "points": [metric.change_text(value) if value else SAME for metric, value in qualities],
    }
    for kind, texts in expected.items():
        assert [text.replace("\u00a0", " ") for text in written[kind]] == texts
        assert not [text for text in texts if re.search(r"^[−+-]0(\.0*)?( |$)|-", text)]
        assert not [text for text in texts if text.startswith("1000 ")]


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        ("90.00 %", "92.00 %", "90.00–92.00 %"),
        ("3.2 dB", "4.5 dB", "3.2–4.5 dB"),
        ("−5.8 dB", "−3.2 dB", "−5.8 to −3.2 dB"),
        ("0.45", "0.55", "0.45–0.55"),
    ],
)
def test_ranges_have_an_en_dash_and_one_unit(low: str, high: str, text: str) -> None:
    assert interval(low, high) == text


def test_a_setting_has_no_signed_zero() -> None:
    choices = (LayerChoice("a", 0.0), LayerChoice("b", 0.004))
    recipe = Recipe(pattern="channel", ratio=0.003, layers=choices)
    assert describe(recipe) == "channels −0.3 %, a 0 %, b −0.4 %"


def test_what_the_panel_does_without_a_page() -> None:
    command = [node(), "--test", *sorted(map(str, WIDGET.glob("*.test.mjs")))]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_later_counts_join_earlier_ones() -> None:
    model, calibration = sample("vowels_cnn")
    masks = Recipe(pattern="unstructured", ratio=0.5)
    spread = Recipe(weight_bits=4, bits_scope="global")
    first = counts(model, Recipe(), calibration, needed(Recipe()))
    assert known(first) == needed(Recipe()) == frozenset()
    assert lacks(first, masks)
    both = joined(first, counts(model, masks, calibration, needed(masks)))
    assert not lacks(both, masks)
    assert lacks(both, spread)
    every = joined(both, counts(model, spread, calibration, needed(spread)))
    assert every == counts(model, Recipe(), calibration, {"unstructured", "bits"})
    other = Recipe(round_to=4)
    assert lacks(every, other)
    assert known(joined(every, counts(model, other, calibration, ()))) == frozenset()


@pytest.mark.parametrize("name", ["fashion_resnet", "fashion_mlp"])
def test_presets_keep_their_promises_as_gently_as_can_be(name: str) -> None:
    model, calibration = sample(name)
    told = {
        "counts": counts(model, Recipe(), calibration, ()),
        "recipe": json.loads(Recipe().to_json()),
    }
    made = run_node("presets.mjs", told)
    assert {told["missed"] for told in made.values()} == {""}
    found = {title: Recipe.from_json(json.dumps(told["recipe"])) for title, told in made.items()}

    def profile(recipe: Recipe) -> explorer.Profile:
        return explorer.estimate(model, explorer.plan(model, recipe, calibration))

    half = found["half_macs"]
    gentler = replace(half, ratio=half.ratio - 0.01)
    assert profile(half).macs <= explorer.profile(model).macs / 2 < profile(gentler).macs
    assert list(found) == list(PRESETS)
    assert found["int4"] == Recipe(weight_bits=4)
    assert found["int8"] == Recipe(weight_bits=8, activation_bits=8)
    assert found["original"].is_identity
    small = found["fits"]
    assert profile(small).file_bytes <= 100_000
    assert profile(replace(small, weight_bits=2 * small.weight_bits)).file_bytes > 100_000


def test_a_preset_that_no_setting_keeps_names_the_nearest() -> None:
    """One layer of 4 MB, whose channels are the outputs of the network."""
    weight = np.random.default_rng(0).normal(size=(1024, 1024)).astype(np.float32)
    rows = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 1024]) for name in "xy"]
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "g", rows[:1], rows[1:], [numpy_helper.from_array(weight, "w")],
    )  # fmt: skip
    opsets = [helper.make_opsetid("", 17)]
    file = helper.make_model(graph, ir_version=8, opset_imports=opsets).SerializeToString()
    model = explorer.load(file)
    told = {"counts": counts(model, Recipe(), None, ()), "recipe": json.loads(Recipe().to_json())}
    made = run_node("presets.mjs", told)
    small = Recipe.from_json(json.dumps(made["fits"]["recipe"]))
    smallest = explorer.estimate(model, explorer.plan(model, small)).file_bytes
    assert small == Recipe(pattern="channel", ratio=0.01, weight_bits=2)
    assert smallest > 100_000
    sentence = made["fits"]["missed"].replace("\u00a0", " ")
    assert sentence == (
        f"No setting of this network fits 100 kB; the smallest has {format_bytes(smallest)}."
    )
    assert "the nearest leaves 1.05 M" in made["half_macs"]["missed"].replace("\u00a0", " ")
    assert made["original"]["missed"] == ""
