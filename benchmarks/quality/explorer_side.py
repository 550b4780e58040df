"""The explorer, with and without compensation."""

from dataclasses import replace

import onnx

import explorer
from benchmarks.quality.plain import read_weights, share_of_zeros
from benchmarks.quality.samples import Sample
from benchmarks.quality.search import smallest_ratio
from benchmarks.quality.values import Outcome, Setting

ROUND_TO = 1  # channels: as near as possible to the share that is asked for


def compensated(sample: Sample, setting: Setting, seed: int) -> Outcome:
    """What it does by itself where it has calibration samples."""
    model = explorer.load(sample.path)
    recipe = explorer.Recipe(seed=seed, round_to=ROUND_TO)
    return _compress(sample, setting, model, recipe, _calibrate(model, sample, seed))


def naive(sample: Sample, setting: Setting, seed: int) -> Outcome:
    """Without compensation, and without samples but for the ranges of rounded activations."""
    model = explorer.load(sample.path)  # one that knows no calibration
    recipe = explorer.Recipe(seed=seed, round_to=ROUND_TO, compensate=False)
    rounds = setting.activation_bits < 32
    calibration = _calibrate(model, sample, seed) if rounds else None
    return _compress(sample, setting, model, recipe, calibration)


def _calibrate(model: explorer.Model, sample: Sample, seed: int) -> explorer.Calibration:
    return explorer.calibrate(model, {sample.input_name: sample.calibration(seed)})


def _compress(
    sample: Sample,
    setting: Setting,
    model: explorer.Model,
    base: explorer.Recipe,
    calibration: explorer.Calibration | None,
) -> Outcome:
    macs = explorer.profile(model, gzipped=False).macs
    recipe = _recipe(base, setting)

    def removed(ratio: float) -> float:
        plan = explorer.plan(model, replace(recipe, ratio=ratio), calibration)
        return 1 - explorer.estimate(model, plan).macs / macs

    if setting.macs_removed:
        ratio = smallest_ratio(removed, setting.macs_removed)
        assert ratio is not None, "every sample can lose that much"
        recipe = replace(recipe, ratio=ratio)
    small = explorer.apply(model, explorer.plan(model, recipe, calibration), calibration)
    share = None
    if setting.macs_removed:
        share = 1 - explorer.profile(small, gzipped=False).macs / macs
    elif setting.masks:
        share = share_of_zeros(read_weights(onnx.load_from_string(small.data)))
    return Outcome(explorer.evaluate(small, sample.test_path).value, share)


def _recipe(base: explorer.Recipe, setting: Setting) -> explorer.Recipe:
    """Everything that a setting says, but for the ratio of channels."""
    pattern = "channel" if setting.macs_removed else "none"
    if setting.masks:
        pattern = "2:4" if setting.two_of_four else "unstructured"
    return replace(
        base,
        pattern=pattern,
        ratio=setting.zeros,
        weight_bits=setting.weight_bits,
        activation_bits=setting.activation_bits,
        granularity=setting.granularity,
    )
