"""Any attributes of the operators with weights and around them, with any recipe.

Nothing but `ExplorerError` leaves the library, estimates are true of the file, rounding to 8 bits
changes outputs by a few percent, and removed channels equal zeroed ones.
"""

from typing import TypeVar

import numpy as np
import onnx
import pytest
from attributes import BATCH, KINDS, Network, network
from checking import assert_counts_are_true
from conftest import run_onnx, run_plainly
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from oracle import expected_outputs

import explorer
from explorer import Recipe
from explorer.compress.planned import removed_channels
from explorer.errors import CompressionError
from explorer.measure.fidelity import is_alike
from explorer.report import Plan

EXAMPLES = 25  # of each kind
MOST_ROUNDED = 0.05  # root mean square, relative to that of the outputs, by 8-bit weights
MOST_ROUNDED_TWICE = 0.25  # by 8-bit activations too
STAYS = "The graph can't be raised to opset"
Choice = TypeVar("Choice", str, int, bool)
SEEDS = st.integers(0, 2**32 - 1)


def valid(seed: int, kind: str) -> tuple[explorer.Model, dict[str, np.ndarray]]:
    """A network that the runtime runs."""
    proto = network(seed, kind)
    data = proto.SerializeToString()
    shape = [each.dim_value or 16 for each in proto.graph.input[0].type.tensor_type.shape.dim]
    feed = {"x": np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)}
    try:
        onnx.checker.check_model(data)
        outputs = run_onnx(data, feed)
    except Exception:  # noqa: BLE001 - the runtime's errors have no common root
        assume(False)
    assume(all(output.size for output in outputs))
    told = [dim.dim_value for dim in proto.graph.output[0].type.tensor_type.shape.dim]
    assume(told[1:] == list(outputs[0].shape[1:]))  # ONNX and the runtime count windows alike
    return explorer.load(data, "one"), feed


def distance(output: np.ndarray, wanted: np.ndarray) -> float:
    """Root mean square of the difference, relative to that of what is wanted."""
    power = max(float((wanted**2).mean()), np.finfo(np.float32).tiny)
    return float(np.sqrt(((output - wanted) ** 2).mean() / power))


def check(
    model: explorer.Model, recipe: Recipe, feed: dict[str, np.ndarray], calibrated: bool
) -> tuple[Plan, explorer.Model]:
    calibration = None
    if calibrated or recipe.activation_bits == 8:
        calibration = explorer.calibrate(model, feed)
    plan = explorer.plan(model, recipe, calibration if calibrated else None)
    try:
        small = explorer.apply(model, plan, calibration)
    except CompressionError as error:
        assert recipe.activation_bits == 8
        assert STAYS in str(error)
        return plan, model
    told, found = explorer.estimate(model, plan), explorer.profile(small)
    assert_counts_are_true(told, found)
    onnx.checker.check_model(small.data)
    return plan, small


@pytest.mark.parametrize("kind", KINDS)
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    derandomize=True,  # the same networks in each run
)
@given(seed=SEEDS)
def test_any_attributes(kind: str, seed: int) -> None:
    model, feed = valid(seed, kind)
    before = run_onnx(model.data, feed)
    rng = np.random.default_rng(seed)

    def pick(*choices: Choice) -> Choice:
        return choices[int(rng.integers(len(choices)))]

    cut = Recipe(pattern="channel", ratio=0.5, round_to=1, compensate=False)
    plan, small = check(model, cut, feed, calibrated=False)
    wanted = expected_outputs(model, removed_channels(model, plan), feed)
    assert is_alike(run_onnx(small.data, feed), wanted, 1e-4)

    rounded = Recipe(weight_bits=8, granularity=pick("channel", "group"), compensate=False)
    _, small = check(model, rounded, feed, calibrated=False)
    assert distance(run_onnx(small.data, feed)[0], before[0]) <= MOST_ROUNDED

    twice = Recipe(weight_bits=8, activation_bits=8, compensate=False)
    _, small = check(model, twice, feed, calibrated=False)
    assert distance(run_onnx(small.data, feed)[0], before[0]) <= MOST_ROUNDED_TWICE

    any_recipe = Recipe(
        pattern=pick("none", "channel", "unstructured", "2:4", "block"),
        ratio=0.4,
        round_to=1,
        weight_bits=pick(32, 16, 8, 6, 5, 4, 3, 2),
        activation_bits=pick(32, 8),
        granularity=pick("tensor", "channel", "group"),
        group_size=pick(2, 16),
        bits_scope=pick("layer", "global"),
    )
    few = Recipe(
        pattern=pick("none", "channel"),
        ratio=0.4,
        round_to=pick(1, 2, 8),
        weight_bits=pick(8, 4, 3, 2, 2),
        granularity=pick("tensor", "channel", "group"),
        group_size=16,
        compensate=False,
    )
    _, small = check(model, few, feed, calibrated=False)
    plainly = run_plainly(small.data, feed)[0]  # the runtime fuses such products, and rounds there
    assert isinstance(plainly, np.ndarray)
    assert distance(run_onnx(small.data, feed)[0], plainly) <= MOST_ROUNDED

    _, small = check(model, any_recipe, feed, calibrated=pick(True, True, False))
    assert all(np.isfinite(output).all() for output in run_onnx(small.data, feed))


@pytest.mark.parametrize("bits", [5, 8])
@pytest.mark.parametrize("groups", [8, 4, 1], ids=["depthwise", "grouped", "whole"])
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_transposed_convolutions_with_bias_and_rounded_activations(
    rank: int, groups: int, bits: int
) -> None:
    rng = np.random.default_rng(0)
    net = Network(rng, 17, [BATCH, 6, *[6] * rank])
    net.add("Conv", net.weight(8, 6, *[1] * rank))
    net.add("Relu")
    bias = net.constant(rng.standard_normal(8).astype(np.float32))
    kernel = net.weight(8, 8 // groups, *[2] * rank)
    net.add("ConvTranspose", kernel, bias, group=groups, strides=[2] * rank)
    net.add("Conv", net.weight(5, 8, *[1] * rank))
    model = explorer.load(net.model().SerializeToString(), "one")
    feed = {"x": rng.standard_normal((16, 6, *[6] * rank), dtype=np.float32)}
    recipe = Recipe(weight_bits=bits, activation_bits=8)
    _, small = check(model, recipe, feed, calibrated=True)
    before, after = run_onnx(model.data, feed)[0], run_onnx(small.data, feed)[0]
    assert distance(after, before) <= MOST_ROUNDED_TWICE
