"""What must hold for any file, whatever is asked of it: told, carried out, run, and compared."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from conftest import run_onnx
from oracle import expected_outputs

import explorer
from explorer import Recipe
from explorer.compress.planned import removed_channels

Feed = Mapping[str, npt.NDArray[Any]]
PRUNING = tuple(Recipe(pattern="channel", ratio=ratio, round_to=1) for ratio in (0.3, 0.5, 0.7))
ROUNDING = (Recipe(weight_bits=8), Recipe(weight_bits=4))
EVERY = (*PRUNING, *ROUNDING, Recipe(pattern="channel", ratio=0.5, round_to=1, weight_bits=4))
TOLERANCE = 1e-4  # relative to the largest value of each output


def assert_compresses(
    model: explorer.Model,
    feed: Feed,
    recipes: Sequence[Recipe] = EVERY,
    tolerance: float = TOLERANCE,
) -> None:
    """By every recipe: the file runs, is as it was told, and removing channels equals zeroing."""
    explorer.profile(model)
    for recipe in recipes:
        small = assert_estimate_is_exact(model, explorer.plan(model, recipe))
        found, before = run_onnx(small.data, dict(feed)), run_onnx(model.data, dict(feed))
        assert [x.shape for x in found] == [x.shape for x in before]
        assert [x.dtype for x in found] == [x.dtype for x in before]
        if recipe.pattern == "channel" and recipe.weight_bits == 32:
            gone = removed_channels(model, explorer.plan(model, recipe))
            expected = expected_outputs(model, gone, dict(feed)) if gone else before
            assert_close(found, expected, tolerance)


def assert_close(
    found: Sequence[npt.NDArray[Any]], expected: Sequence[npt.NDArray[Any]], tolerance: float
) -> None:
    for one, other in zip(found, expected, strict=True):
        wide = other.astype(np.float64)
        assert np.abs(one - wide).max(initial=0) <= tolerance * np.abs(wide).max(initial=0)


def assert_estimate_is_exact(model: explorer.Model, plan: explorer.Plan) -> explorer.Model:
    """The file that a plan makes has the counts that were told; the file is returned."""
    small = explorer.apply(model, plan)
    again = read_again(small)
    told, found = explorer.estimate(model, plan), explorer.profile(again, gzipped=False)
    assert small.layers == again.layers
    for count in ("params", "macs", "peak_activation_bytes", "uncounted_ops"):
        assert getattr(told, count) == getattr(found, count), (count, getattr(told, count))
    assert told.file_bytes == pytest.approx(found.file_bytes, rel=0.01)
    assert told.packed_bytes == pytest.approx(found.packed_bytes, rel=0.01)
    return small


def read_again(model: explorer.Model) -> explorer.Model:
    """The same file at the same sizes, its graph read from the bytes."""
    return replace(model, cache={})


def assert_counts_are_true(told: explorer.Profile, found: explorer.Profile) -> None:
    """An estimate is what was found in the file: sizes within 1 %, all else exactly."""
    assert told.params == found.params
    assert told.macs == found.macs
    assert told.peak_activation_bytes == found.peak_activation_bytes
    assert told.file_bytes == pytest.approx(found.file_bytes, rel=0.01)
    assert told.packed_bytes == pytest.approx(found.packed_bytes, rel=0.01)


def kept(model: explorer.Model, ratio: float = 0.5) -> dict[str, tuple[int, int]]:
    """Channels left of each layer, and how many there were."""
    plan = explorer.plan(model, Recipe(pattern="channel", ratio=ratio, round_to=1))
    return {layer.name: (layer.kept, layer.channels) for layer in plan.layers}
