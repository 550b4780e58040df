"""Channel pruning against an oracle that shares no code with the cutting."""

import numpy as np
import pytest
from conftest import run_onnx
from graphs import FAMILIES, INPUT, RandomNetwork, family
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import expected_outputs

import explorer
from explorer import Recipe
from explorer.compress.planned import removed_channels
from explorer.graph.channels import find_channels

TOLERANCE = 1e-4  # relative to the largest output
CODES = st.text("cdrpkbmsghl", min_size=1, max_size=5)


def assert_removing_equals_zeroing(
    model: explorer.Model, recipe: Recipe, shape: tuple[int, ...]
) -> None:
    plan = explorer.plan(model, recipe)
    pruned = explorer.apply(model, plan)
    x = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    feed = {model.inputs[0].name: x}
    expected = expected_outputs(model, removed_channels(model, plan), feed)[0]
    found = run_onnx(pruned.data, feed)[0]
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=TOLERANCE * np.abs(expected).max())


@pytest.fixture(scope="module", params=FAMILIES)
def network(request: pytest.FixtureRequest) -> explorer.Model:
    return family(request.param)[1]


@pytest.mark.parametrize("ratio", [0.3, 0.5, 0.7])
@pytest.mark.parametrize("round_to", [8, 1])
def test_removing_channels_equals_zeroing_them(
    network: explorer.Model, ratio: float, round_to: int
) -> None:
    recipe = Recipe(pattern="channel", ratio=ratio, round_to=round_to)
    assert_removing_equals_zeroing(network, recipe, INPUT)


@pytest.mark.parametrize("ratio", [0.3, 0.5, 0.7])
def test_tensors_really_shrink(network: explorer.Model, ratio: float) -> None:
    before = explorer.profile(network)
    plan = explorer.plan(network, Recipe(pattern="channel", ratio=ratio))
    after = explorer.profile(explorer.apply(network, plan))
    assert after.params < before.params
    assert after.macs < before.macs
    assert after.file_bytes < before.file_bytes


@pytest.mark.parametrize("ratio", [0.3, 0.5, 0.7])
def test_single_channels_meet_the_ratio(network: explorer.Model, ratio: float) -> None:
    plan = explorer.plan(network, Recipe(pattern="channel", ratio=ratio, round_to=1))
    free = [layer for layer in plan.layers if layer.skipped is None]
    reached = 1 - sum(layer.kept for layer in free) / sum(layer.channels for layer in free)
    assert abs(reached - ratio) < 0.15  # heads and groups are cut as a whole


@pytest.mark.parametrize("name", ["fashion_resnet", "fashion_mobilenet", "fashion_mlp"])
@pytest.mark.parametrize("ratio", [0.3, 0.7])
def test_samples_pass_the_oracle(name: str, ratio: float) -> None:
    from conftest import SAMPLES

    model = explorer.load(SAMPLES / f"{name}.onnx")
    assert_removing_equals_zeroing(model, Recipe(pattern="channel", ratio=ratio), (4, 1, 28, 28))


@settings(max_examples=40, deadline=None)
@given(CODES, st.sampled_from([8, 11, 16]), st.booleans(), st.floats(0, 0.95), st.integers(0, 99))
def test_random_graphs_pass_the_oracle(
    codes: str, width: int, flatten: bool, ratio: float, seed: int
) -> None:
    model = RandomNetwork(codes, width, flatten, seed).model
    recipe = Recipe(pattern="channel", ratio=ratio, round_to=1, criterion="random", seed=seed)
    assert_removing_equals_zeroing(model, recipe, (2, 3, 8, 8))


def test_residual_layers_are_one_group() -> None:
    model = family("residual")[1]
    members = [set(group.members) for group in find_channels(model).groups]
    assert {"0", "2.conv2"} in members
    assert {"2.conv1"} in members
    assert len(members) == 2
    assert find_channels(model).reasons == {"5": "feeds graph output 'linear'"}


def test_projection_joins_the_shortcut_with_the_last_convolution() -> None:
    members = [set(group.members) for group in find_channels(family("projection")[1]).groups]
    assert {"2.shortcut", "2.conv2"} in members


def test_depthwise_goes_with_its_input() -> None:
    model = family("depthwise")[1]
    assert {"2.0", "2.2"} in [set(group.members) for group in find_channels(model).groups]
    pruned = explorer.apply(model, explorer.plan(model, Recipe(pattern="channel", ratio=0.5)))
    depthwise = next(layer for layer in pruned.layers if layer.name == "2.2")
    assert depthwise.weight_shape[0] == depthwise.channels < 32
    assert depthwise.depthwise


def test_groups_of_a_convolution_lose_the_same() -> None:
    model = family("grouped")[1]
    plan = explorer.plan(model, Recipe(pattern="channel", ratio=0.5))
    pruned = explorer.apply(model, plan)
    grouped = next(layer for layer in pruned.layers if layer.name == "2")
    assert grouped.weight_shape[0] % 4 == 0
    assert grouped.weight_shape[0] < 32
    gone = np.array(removed_channels(model, plan)["2"])
    assert (np.bincount(gone // 8, minlength=4) == len(gone) // 4).all()


def test_whole_heads_go() -> None:
    model = family("attention")[1]
    plan = explorer.plan(model, Recipe(pattern="channel", ratio=0.5))
    gone = removed_channels(model, plan)
    query, key, value = next(
        group.members for group in plan.groups if group.removed and len(group.members) == 3
    )
    heads = np.array(gone[query]).reshape(-1, 4)
    assert (heads // 4 == heads[:, :1] // 4).all()
    assert gone[query] == gone[key] == gone[value]
    assert 0 < len(gone[query]) < 16


def test_concatenated_layers_keep_groups_of_their_own() -> None:
    members = [set(group.members) for group in find_channels(family("concatenated")[1]).groups]
    assert {"2.left"} in members
    assert {"2.right"} in members


def test_a_choice_for_one_layer_moves_its_group_only(resnet: explorer.Model) -> None:
    group = next(g for g in explorer.plan(resnet, Recipe()).groups if len(g.members) == 1)
    choice = explorer.LayerChoice(group.name, ratio=0.5)
    plan = explorer.plan(resnet, Recipe(pattern="channel", layers=(choice,)))
    kept = {layer.name: layer.kept for layer in plan.layers if layer.kept < layer.channels}
    assert kept == {group.name: group.channels // 2}


@pytest.mark.parametrize("scope", ["global", "layer"])
def test_kept_channels_are_multiples_and_never_none(sample: explorer.Model, scope: str) -> None:
    for ratio in (0.1, 0.5, 0.99):
        plan = explorer.plan(sample, Recipe(pattern="channel", ratio=ratio, scope=scope))
        for layer in plan.layers:
            assert layer.kept >= 1
            step = 8 if layer.channels >= 32 else 4
            assert layer.kept % step == 0 or layer.kept == layer.channels


def test_more_sparsity_never_means_more_macs(sample: explorer.Model) -> None:
    macs = []
    for ratio in np.linspace(0, 0.98, 25):
        plan = explorer.plan(sample, Recipe(pattern="channel", ratio=float(ratio)))
        macs.append(explorer.estimate(sample, plan).macs)
    assert macs == sorted(macs, reverse=True)
    assert macs[-1] < macs[0] / 4


@pytest.mark.parametrize("axis_size", ["-1", "1024"])
def test_a_flatten_that_the_graph_computes(axis_size: str) -> None:
    """`x.view(x.size(0), ...)` as the TorchScript-based exporter writes it."""
    from conftest import with_weights

    model = with_weights(
        f"""<ir_version: 8, opset_import: ["" : 17]>
        g (float[n,3,8,8] x) => (float[n,5] y)
        <int64 zero = {{0}}, int64[1] first = {{0}}, int64[1] rest = {{{axis_size}}}> {{
            a = Conv <pads = [1,1,1,1]> (x, w1)
            b = Relu (a)
            s = Shape (b)
            n = Gather (s, zero)
            m = Unsqueeze (n, first)
            t = Concat <axis = 0> (m, rest)
            f = Reshape (b, t)
            y = MatMul (f, w2)
        }}""",
        w1=(16, 3, 3, 3),
        w2=(1024, 5),
    )
    assert_removing_equals_zeroing(model, Recipe(pattern="channel", ratio=0.5), (2, 3, 8, 8))
    plan = explorer.plan(model, Recipe(pattern="channel", ratio=0.5))
    assert [layer.kept for layer in plan.layers] == [8, 5]
    told, found = explorer.estimate(model, plan), explorer.profile(explorer.apply(model, plan))
    assert (told.macs, told.peak_activation_bytes) == (found.macs, found.peak_activation_bytes)


SHARED = """<ir_version: 8, opset_import: ["" : 17]>
g (float[n,8] x) => (float[n,8] y) {
    a = MatMul (x, w)
    b = Relu (a)
    c = MatMul (b, w)
    d = Relu (c)
    e = MatMul (d, v)
    f = Relu (e)
    y = MatMul (f, u)
}"""


def test_a_weight_used_twice_is_changed_consistently_or_left_alone() -> None:
    from conftest import with_weights

    model = with_weights(SHARED, w=(8, 8), v=(8, 16), u=(16, 8))
    recipe = Recipe(pattern="channel", ratio=0.5, round_to=1)
    plan = explorer.plan(model, recipe)
    assert [layer.kept for layer in plan.layers] == [8, 8, 8, 8]
    assert "shares the weight 'w'" in str(plan.layers[0].skipped)
    x = np.random.default_rng(0).standard_normal((2, 8)).astype(np.float32)
    assert run_onnx(explorer.apply(model, plan).data, {"x": x})[0].shape == (2, 8)


def test_a_weight_that_is_an_output_too_is_left_alone() -> None:
    from conftest import with_weights

    text = SHARED.replace("(float[n,8] y)", "(float[n,8] y, float[8,16] v)")
    model = with_weights(text, w=(8, 8), v=(8, 16), u=(16, 8))
    plan = explorer.plan(model, Recipe(pattern="channel", ratio=0.5))
    assert all(layer.kept == layer.channels for layer in plan.layers)


def test_unknown_operator_keeps_what_feeds_it() -> None:
    from conftest import with_weights

    model = with_weights(
        """<ir_version: 8, opset_import: ["" : 17, "acme" : 1]>
        g (float[n,3,8,8] x) => (float[n,8,8,8] y) {
            a = Conv <pads = [1,1,1,1]> (x, w1)
            b = Relu (a)
            c = Conv <pads = [1,1,1,1]> (b, w2)
            y = acme.Mystery (c)
        }""",
        w1=(16, 3, 3, 3),
        w2=(8, 16, 3, 3),
    )
    plan = explorer.plan(model, Recipe(pattern="channel", ratio=0.5))
    first, second = plan.layers
    assert (first.kept, first.skipped) == (8, None)
    assert second.kept == 8
    assert "Mystery" in str(second.skipped)
    assert explorer.profile(model).uncounted_ops == ("acme.Mystery",)


def test_shapes_that_depend_on_the_data_keep_what_feeds_them() -> None:
    from conftest import with_weights

    model = with_weights(
        """<ir_version: 8, opset_import: ["" : 17]>
        g (float[n,3,8,8] x, bool[8] pick) => (float[n,4,a,8] y) {
            a = Conv <pads = [1,1,1,1]> (x, w1)
            b = Compress <axis = 2> (a, pick)
            c = Conv <pads = [1,1,1,1]> (b, w2)
            y = Conv (c, w3)
        }""",
        w1=(16, 3, 3, 3),
        w2=(16, 16, 3, 3),
        w3=(4, 16, 1, 1),
    )
    plan = explorer.plan(model, Recipe(pattern="channel", ratio=0.5))
    assert [layer.kept for layer in plan.layers] == [16, 16, 4]
    assert "Compress" in str(plan.layers[0].skipped)
    assert "depends on the data" in str(plan.layers[1].skipped)
    assert explorer.profile(model).uncounted_ops == ("Conv (unknown shape)",)
    assert explorer.estimate(model, plan).uncounted_ops == ("Conv (unknown shape)",)


def test_groups_with_different_random_seeds_differ(resnet: explorer.Model) -> None:
    plans = [
        explorer.plan(resnet, Recipe(pattern="channel", ratio=0.5, criterion="random", seed=seed))
        for seed in (0, 0, 1)
    ]
    assert plans[0] == plans[1]
    assert plans[0].groups != plans[2].groups
