"""Spreading weight bits over layers."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

import explorer
from explorer import LayerChoice, Recipe
from explorer.compress import bits
from explorer.compress.planned import weights_left
from explorer.formats.data import Dataset
from explorer.graph.layers import find_layers
from explorer.measure.quality import output_error
from explorer.model import Model


def mean_bits(model: Model, plan: explorer.Plan) -> float:
    sizes = weights_left(model, plan.groups)
    return sum(x.weight_bits * sizes[x.name] for x in plan.layers) / sum(sizes.values())


@pytest.mark.parametrize("asked", [2, 3, 4, 5, 6, 7, 8])
@pytest.mark.parametrize("pattern", ["none", "channel"])
def test_the_mean_is_at_most_what_was_asked(
    resnet: Model, calibration: explorer.Calibration, asked: int, pattern: str
) -> None:
    for criterion in ("reconstruction", "l2"):
        recipe = Recipe(pattern, 0.3, criterion=criterion, weight_bits=asked, bits_scope="global")
        plan = explorer.plan(resnet, recipe, calibration)
        assert {layer.weight_bits for layer in plan.layers} <= set(bits.WIDTHS)
        assert asked - 1 < mean_bits(resnet, plan) <= asked


def test_own_choices_stay(resnet: Model, calibration: explorer.Calibration) -> None:
    last = resnet.layers[-1].name
    recipe = Recipe(weight_bits=3, bits_scope="global", layers=(LayerChoice(last, weight_bits=5),))
    plan = explorer.plan(resnet, recipe, calibration)
    assert plan.layers[-1].weight_bits == 5
    wide = explorer.plan(resnet, replace(recipe, weight_bits=16, layers=()), calibration)
    assert {layer.weight_bits for layer in wide.layers} == {16}


def test_no_split_of_the_same_size_is_better(
    resnet: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    layers = find_layers(resnet)[:6]
    for _ in range(20):
        errors = {x.name: tuple(np.sort(rng.lognormal(0, 3, 3))[::-1]) for x in layers}
        monkeypatch.setattr(
            bits, "errors_by_width", lambda model, layer, *_, e=errors: e[layer.name]
        )
        sizes = {layer.name: int(rng.integers(1, 1000)) for layer in layers}
        for mean in (3, 4, 6):
            recipe = Recipe(weight_bits=mean, bits_scope="global")
            found = bits.allocate_bits(resnet, layers, sizes, recipe, None)
            hulls = {name: widths_on_the_hull(errors[name]) for name in errors}
            assert all(width in hulls[name] for name, width in found.items())
            largest = max(
                (wide - narrow) * sizes[name]
                for name, widths in hulls.items()
                for narrow, wide in itertools.pairwise(widths)
            )
            used = sum(sizes[name] * width for name, width in found.items())
            assert used <= mean * sum(sizes.values())
            error = sum(errors[name][bits.WIDTHS.index(w)] for name, w in found.items())
            assert error <= best_error(errors, sizes, mean * sum(sizes.values()) - largest)


def widths_on_the_hull(errors: tuple[float, ...]) -> list[int]:
    """The widths whose error lies below every chord between a narrower and a wider one."""
    points = list(zip(bits.WIDTHS, errors, strict=True))
    return [
        width
        for width, error in points
        if all(
            error < low + (width - narrow) * (high - low) / (wide - narrow)
            for narrow, low in points
            for wide, high in points
            if narrow < width < wide
        )
    ]


def best_error(errors: dict[str, tuple[float, ...]], sizes: dict[str, int], budget: int) -> float:
    """By trying all splits; greedy is at least as good as the best one that is a step smaller."""
    found = np.inf
    for widths in itertools.product(range(len(bits.WIDTHS)), repeat=len(sizes)):
        used = sum(bits.WIDTHS[w] * n for w, n in zip(widths, sizes.values(), strict=True))
        if used <= budget:
            found = min(found, sum(e[w] for w, e in zip(widths, errors.values(), strict=True)))
    return found


def test_spread_bits_lose_less_in_no_more_space(
    resnet: Model, calibration: explorer.Calibration, test_data: Dataset
) -> None:
    data = test_data.head(500)
    error, size = {}, {}
    for scope in ("layer", "global"):
        recipe = Recipe(weight_bits=4, bits_scope=scope)
        plan = explorer.plan(resnet, recipe, calibration)
        small = explorer.apply(resnet, plan, calibration)
        error[scope] = output_error(small, data, resnet)
        profile = explorer.profile(small)
        assert explorer.estimate(resnet, plan).file_bytes == pytest.approx(profile.file_bytes, 0.01)
        size[scope] = profile.packed_bytes
    assert error["global"] < error["layer"]
    assert size["global"] <= size["layer"]
