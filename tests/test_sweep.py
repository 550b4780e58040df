"""Which settings a sweep tries."""

import subprocess
import sys

import pytest
from conftest import ROOT

from explorer.errors import RecipeError
from explorer.recipe import LayerChoice, Recipe
from explorer.search.sweep import MOST_SETTINGS, Design, ratios, settings

BASE = Recipe(pattern="block", ratio=0.2, scope="layer", round_to=4, compensate=False)


def test_a_grid_has_each_setting_once_and_all_else_as_it_was() -> None:
    design = Design(
        patterns=("channel", "2:4", "none"),
        lowest=0.2,
        highest=0.6,
        steps=3,
        weight_bits=(32, 8),
        activation_bits=(32,),
    )
    found = settings(BASE, design)
    told = [(each.pattern, each.ratio, each.weight_bits) for each in found]
    assert told == [
        *[("channel", ratio, bits) for ratio in (0.2, 0.4, 0.6) for bits in (32, 8)],
        *[("2:4", 0.0, bits) for bits in (32, 8)],
        ("none", 0.0, 8),  # the other one asks for nothing
    ]
    assert {(each.scope, each.round_to, each.compensate) for each in found} == {("layer", 4, False)}


@pytest.mark.parametrize(
    ("steps", "expected"), [(1, (0.1,)), (2, (0.1, 0.7)), (3, (0.1, 0.4, 0.7))]
)
def test_ratios_are_evenly_spaced(steps: int, expected: tuple[float, ...]) -> None:
    assert ratios(Design(steps=steps)) == expected


def test_no_ratio_is_no_pattern_unless_layers_have_their_own() -> None:
    design = Design(patterns=("channel", "block"), lowest=0.0, highest=0.0, weight_bits=(8,))
    assert [each.pattern for each in settings(BASE, design)] == ["none"]
    own = Recipe(layers=(LayerChoice("a", 0.5),))
    assert [each.pattern for each in settings(own, design)] == ["channel", "block"]


def test_random_settings_are_different_within_the_axes_and_decided_by_the_seed() -> None:
    design = Design(way="random", patterns=("channel", "block"), count=30, weight_bits=(32, 8, 4))
    found = settings(BASE, design)
    assert len(set(found)) == len(found) == 30
    assert {each.pattern for each in found} == {"channel", "block"}
    assert {each.weight_bits for each in found} == {32, 8, 4}
    assert all(0.1 <= each.ratio <= 0.7 for each in found)
    assert settings(BASE, design) == found
    assert settings(BASE, Design(**{**vars(design), "seed": 1})) != found


def test_where_fewer_are_left_there_are_fewer() -> None:
    design = Design(way="random", patterns=("2:4", "none"), weight_bits=(32, 8), count=50)
    assert len(settings(BASE, design)) == 3


def test_too_many_settings_or_none_are_refused_in_one_sentence() -> None:
    many = Design(patterns=("channel", "block"), steps=60, weight_bits=(32, 8))
    with pytest.raises(RecipeError, match=f"at most {MOST_SETTINGS} runs, but this one has 240"):
        settings(BASE, many)
    with pytest.raises(RecipeError, match="needs a pattern"):
        settings(BASE, Design(weight_bits=()))


def test_the_server_can_design_a_sweep_without_loading_anything_heavy() -> None:
    code = "import explorer.search.sweep, sys; print(*sys.modules)"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    loaded = {name.split(".")[0] for name in done.stdout.split()}
    assert not loaded & {"numpy", "onnx", "onnx_ir", "onnxruntime", "scipy", "torch", "streamlit"}
