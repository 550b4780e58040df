"""The heading says what was achieved beside what was asked."""

from dataclasses import replace
from math import prod
from typing import Any

import pytest
from conftest import SAMPLES
from values import DESCRIPTION

import explorer
from explorer import LayerChoice, Recipe
from explorer.report import LayerPlan
from explorer.runs import Original, Run, View
from explorer.widget.achieved import achieved_ratio, achieved_text

LAYER = LayerPlan("a", "Conv", 16, 16, 0.0, 32, "float32")


def layer(name: str, **changes: Any) -> LayerPlan:
    return replace(LAYER, name=name, **changes)


def test_channels_are_counted_where_any_can_go() -> None:
    planned = [layer("a", kept=4, removable=15), layer("head"), layer("b", kept=8, removable=8)]
    asked = Recipe(pattern="channel", ratio=0.95)
    assert achieved_ratio(asked, planned, {}) == 1 - 12 / 32
    assert achieved_ratio(asked, [layer("head")], {}) == 0.0


def test_zeros_are_counted_by_weight() -> None:
    planned = [layer("a", sparsity=0.5), layer("b"), layer("c", sparsity=1.0, closed=True)]
    asked = Recipe(pattern="unstructured", ratio=0.5)
    assert achieved_ratio(asked, planned, {"a": 300, "b": 100, "c": 600}) == 0.375


@pytest.mark.parametrize(
    "recipe",
    [
        Recipe(weight_bits=4),
        Recipe(pattern="2:4"),
        Recipe(pattern="channel"),
        Recipe(pattern="channel", ratio=0.5, layers=(LayerChoice("a", 0.1),)),
    ],
)
def test_without_one_ratio_there_is_nothing_to_compare(recipe: Recipe) -> None:
    assert achieved_ratio(recipe, [layer("a", removable=8)], {"a": 1}) is None


@pytest.mark.parametrize("pattern", ["channel", "unstructured"])
def test_the_heading_says_both_where_they_differ(pattern: str) -> None:
    model = explorer.load(SAMPLES / "fashion_resnet.onnx")
    recipe = Recipe(pattern=pattern, ratio=0.95)
    plan = explorer.plan(model, recipe)
    original = Original(description=replace(DESCRIPTION, layers=model.layers))
    weights = {layer.name: prod(layer.weight_shape) for layer in model.layers}
    ratio = achieved_ratio(recipe, plan.layers, weights)
    assert ratio is not None
    same = f"{100 * ratio:.0f}" == "95"
    assert achieved_text(View(original, Run(recipe, plan))) == (
        "" if same else f"asked 95 %, achieved {100 * ratio:.0f} %"
    )
    assert same == (pattern == "unstructured")
    assert achieved_text(View(original, Run(recipe))) == ""
