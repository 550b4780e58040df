"""Recipes: JSON there and back, and what they refuse."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_invariant import recipes

import explorer
from explorer import LayerChoice, Plan, Recipe, Report
from explorer.errors import RecipeError
from explorer.render.text import command_line


@given(recipes(["a", "b.c", "d"]))
def test_json_there_and_back(recipe: Recipe) -> None:
    assert Recipe.from_json(recipe.to_json()) == recipe


@given(st.text(max_size=30) | st.binary(max_size=30))
def test_what_is_no_recipe_is_refused_in_words(text: str | bytes) -> None:
    try:
        assert isinstance(Recipe.from_json(text), Recipe)
    except RecipeError as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize("ratio", [-0.1, 1, 1.5, float("nan"), float("inf"), "0.5", True, None])
def test_ratios_outside_zero_to_one(ratio: object) -> None:
    with pytest.raises(RecipeError, match="at least 0 and below 1"):
        Recipe(ratio=ratio)  # type: ignore[arg-type]
    if ratio is not None:
        with pytest.raises(RecipeError, match="'conv'"):
            LayerChoice("conv", ratio=ratio)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("pattern", "diagonal"),
        ("scope", "world"),
        ("bits_scope", "tensor"),
        ("criterion", "l3"),
        ("weight_bits", 9),
        ("weight_bits", 8.0),
        ("weight_bits", 1),
        ("activation_bits", 4),
        ("round_to", 0),
        ("round_to", 2.5),
        ("seed", -1),
        ("granularity", "row"),
        ("compensate", "no"),
    ],
)
def test_values_outside_their_lists(name: str, value: object) -> None:
    with pytest.raises(RecipeError) as caught:
        Recipe(**{name: value})  # type: ignore[arg-type]
    assert repr(value) in str(caught.value)


def test_unknown_keys_and_double_layers() -> None:
    with pytest.raises(RecipeError, match="'colour'"):
        Recipe.from_json('{"colour": 1}')
    with pytest.raises(RecipeError, match="list"):
        Recipe.from_json('{"layers": "a"}')
    with pytest.raises(RecipeError, match="name"):
        Recipe.from_json('{"layers": [{"ratio": 0.5}]}')
    with pytest.raises(RecipeError, match="twice"):
        Recipe(layers=(LayerChoice("a"), LayerChoice("a", 0.5)))


def test_choices_by_name() -> None:
    recipe = Recipe.from_json('{"layers": {"a": {"ratio": 0.5}, "b": {"weight_bits": 4}}}')
    assert recipe.layers == (LayerChoice("a", 0.5), LayerChoice("b", weight_bits=4))
    with pytest.raises(RecipeError, match="JSON object"):
        Recipe.from_json('{"layers": {"a": 1}}')


def test_only_eight_bits_round_activations() -> None:
    assert Recipe(activation_bits=8).rounds_activations
    assert not Recipe(weight_bits=8).rounds_activations


def test_equal_recipes_have_equal_json() -> None:
    assert Recipe(ratio=0).to_json() == Recipe(ratio=0.0).to_json()


def test_the_command_line_says_only_what_differs() -> None:
    assert "--ratio" not in command_line(Recipe(ratio=0.3, weight_bits=2), "m.onnx")
    line = command_line(Recipe(pattern="channel", ratio=0.5), "my model.onnx", "data.npz")
    assert line == (
        "python -m explorer compress 'my model.onnx' --out compressed.onnx --pattern channel "
        "--ratio 0.5 --data data.npz --latency"
    )
    with_choice = Recipe(layers=(LayerChoice("a", 0.5),))
    assert "--recipe recipe.json" in command_line(with_choice, "m.onnx")


def test_plans_and_reports_there_and_back(resnet: explorer.Model) -> None:
    plan = explorer.plan(resnet, Recipe(pattern="channel", ratio=0.5, weight_bits=4))
    assert Plan.from_dict(json.loads(json.dumps(plan.to_dict()))) == plan
    latency = explorer.measure_latency(resnet)
    report = Report(resnet.id, resnet.name, explorer.profile(resnet), latency)
    assert Report.from_dict(json.loads(json.dumps(report.to_dict()))) == report


def test_layers_are_layer_choices() -> None:
    with pytest.raises(RecipeError, match="list of layer choices"):
        Recipe(layers={"conv": {"ratio": 0.5}})  # type: ignore[arg-type]
