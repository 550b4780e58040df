"""estimate(model, plan) is what profile(apply(model, plan)) finds in the file."""

import numpy as np
import pytest
from checking import assert_counts_are_true
from conftest import SAMPLES, run_onnx
from graphs import RandomNetwork
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import explorer
from explorer import LayerChoice, Recipe
from explorer.formats.data import Dataset, load_data
from explorer.recipe import ACTIVATION_BITS, CRITERIA, GRANULARITIES, PATTERNS, SCOPES, WEIGHT_BITS

RATIOS = st.floats(0, 0.99)


@st.composite
def recipes(draw: st.DrawFn, names: list[str]) -> Recipe:
    chosen = draw(st.lists(st.sampled_from(names), max_size=3, unique=True))
    choices = tuple(
        LayerChoice(
            name,
            draw(st.none() | RATIOS),
            draw(st.none() | st.sampled_from(WEIGHT_BITS)),
        )
        for name in chosen
    )
    return Recipe(
        pattern=draw(st.sampled_from(PATTERNS)),
        ratio=draw(RATIOS),
        scope=draw(st.sampled_from(SCOPES)),
        criterion=draw(st.sampled_from(CRITERIA)),
        round_to=draw(st.sampled_from([1, 4, 8, 16])),
        weight_bits=draw(st.sampled_from(WEIGHT_BITS)),
        bits_scope=draw(st.sampled_from(SCOPES)),
        activation_bits=draw(st.sampled_from(ACTIVATION_BITS)),
        granularity=draw(st.sampled_from(GRANULARITIES)),
        group_size=draw(st.sampled_from([2, 16, 32])),
        compensate=False,
        seed=draw(st.integers(0, 9)),
        layers=choices,
    )


def assert_estimate_is_true(
    model: explorer.Model, recipe: Recipe, calibration: explorer.Calibration
) -> explorer.Model:
    plan = explorer.plan(model, recipe)
    small = explorer.apply(model, plan, calibration)
    told, found = explorer.estimate(model, plan), explorer.profile(small, gzipped=False)
    assert_counts_are_true(told, found)
    assert (told.nonzero_params, told.gzip_bytes) == (None, None)
    return small


@pytest.fixture(scope="module")
def sample_data(sample: explorer.Model) -> Dataset:
    kind, _, _ = sample.name.partition("_")
    return load_data(SAMPLES / f"{kind}_calibration.npz", sample).head(8)


@pytest.fixture(scope="module")
def sample_calibration(sample: explorer.Model, sample_data: Dataset) -> explorer.Calibration:
    return explorer.calibrate(sample, sample_data)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_on_every_sample(
    sample: explorer.Model,
    sample_data: Dataset,
    sample_calibration: explorer.Calibration,
    data: st.DataObject,
) -> None:
    recipe = data.draw(recipes([layer.name for layer in sample.layers]))
    small = assert_estimate_is_true(sample, recipe, sample_calibration)
    (feed,) = sample_data.batches(sample, len(sample_data))
    outputs = run_onnx(small.data, feed)
    assert outputs[0].shape == run_onnx(sample.data, feed)[0].shape
    assert np.isfinite(outputs[0]).all()


@settings(max_examples=60, deadline=None)
@given(
    st.text("cdrpkbmsghl", min_size=1, max_size=4),
    st.sampled_from([6, 8, 16]),
    st.booleans(),
    st.integers(0, 99),
    st.data(),
)
def test_on_random_graphs(
    codes: str, width: int, flatten: bool, seed: int, data: st.DataObject
) -> None:
    model = RandomNetwork(codes, width, flatten, seed).model
    recipe = data.draw(recipes([layer.name for layer in model.layers]))
    x = np.random.default_rng(seed).standard_normal((4, 3, 8, 8)).astype(np.float32)
    calibration = explorer.calibrate(model, {"x": x})
    small = assert_estimate_is_true(model, recipe, calibration)
    assert np.isfinite(run_onnx(small.data, {"x": x})[0]).all()


def test_the_empty_recipe_changes_nothing(sample: explorer.Model) -> None:
    plan = explorer.plan(sample, Recipe())
    assert explorer.apply(sample, plan) is sample
    assert explorer.estimate(sample, plan).file_bytes == len(sample.data)


def test_the_original_stays_as_it_was(sample: explorer.Model) -> None:
    before = (sample.id, explorer.profile(sample))
    explorer.apply(
        sample, explorer.plan(sample, Recipe(pattern="channel", ratio=0.5, weight_bits=4))
    )
    assert explorer.load(sample.data).id == before[0]
    sample.cache.clear()
    assert explorer.profile(sample) == before[1]
