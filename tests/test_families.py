"""Every family, by every exporter: what is counted, what can go, rightly, and as estimated."""

import math
import re
from functools import cache

import numpy as np
import numpy.typing as npt
import onnx
import pytest
import torch
from checking import read_again
from conftest import run_onnx, tensors_of
from counters import torch_macs_unfused
from exporting import BY_HAND, exported, opset_of
from families import FAMILIES
from families.two_stage import LAYERS, PRUNABLE, PRUNABLE_NMS_FIRST, SIDE
from onnxruntime.capi.onnxruntime_pybind11_state import InvalidGraph
from oracle import expected_outputs
from torch import nn

import explorer
from explorer import Recipe
from explorer.compress.planned import removed_channels
from explorer.report import Plan

TOLERANCE = 1e-4  # relative to the largest value of each output
RATIOS = (0.3, 0.5, 0.7)
FULL = {"new": 18, "old": 17}  # opsets at which everything is checked
# Opsets at which only half of the channels go, once: all families, and some that change most.
ALL_AT = (("old", 13), ("old", 20))
SOME_AT = (("old", 15), ("old", 18), ("new", 23))
SOME = ("convnext", "group_norm", "yolo_v8", "vit_sdpa", "swin", "gru")
ROUNDED = ("resnet_wide", "mobilenet_v3", "unet", "picodet", "vit_fused", "bert", "lstm_both")

Case = tuple[str, str, int]  # family, exporter, opset
# The old exporter has no form of `scaled_dot_product_attention` below opset 14.
NOT_EXPORTED: list[Case] = [
    (name, "old", 13) for name in ("vit_sdpa", "encoder_layer", "multihead")
]
Arrays = list[npt.NDArray[np.float32]]

CASES: list[Case] = [(name, kind, opset) for kind, opset in FULL.items() for name in FAMILIES]
CASES += [(name, "hand", 17) for name in BY_HAND]
OTHER_OPSETS: list[Case] = [(n, *at) for at in ALL_AT for n in FAMILIES]
OTHER_OPSETS += [(name, *at) for at in SOME_AT for name in SOME]
OTHER_OPSETS += [("unet", "new", 17), ("bert", "new", 17)]
OTHER_OPSETS = [case for case in OTHER_OPSETS if case not in NOT_EXPORTED]


def _name(case: Case) -> str:
    return "{}-{}{}".format(*case)


full = pytest.mark.parametrize("case", CASES, ids=_name)
other_opsets = pytest.mark.parametrize("case", OTHER_OPSETS, ids=_name)
networks = pytest.mark.parametrize(
    "case", [case for case in CASES if case[0] in FAMILIES], ids=_name
)
ratios = pytest.mark.parametrize("ratio", RATIOS)


@cache
def model_of(case: Case) -> explorer.Model:
    return explorer.load(exported(*case), _name(case))


@cache
def pruned(case: Case, ratio: float, round_to: int = 1) -> tuple[Plan, explorer.Model]:
    model = model_of(case)
    plan = explorer.plan(model, Recipe(pattern="channel", ratio=ratio, round_to=round_to))
    return plan, explorer.apply(model, plan)


def counted(model: explorer.Model) -> explorer.Profile:
    return explorer.profile(model, gzipped=False)


def feed_of(case: Case) -> dict[str, npt.NDArray[np.generic]]:
    names = [spec.name for spec in model_of(case).inputs]
    if case[0] in BY_HAND:
        image = np.random.default_rng(1).standard_normal((1, 3, SIDE, SIDE)).astype(np.float32)
        return {names[0]: image}
    values = FAMILIES[case[0]].inputs()
    return dict(zip(names, (value.numpy() for value in values), strict=True))


def assert_close(found: Arrays, expected: Arrays) -> None:
    for one, other in zip(found, expected, strict=True):
        assert one.shape == other.shape
        assert np.isfinite(one).all()
        assert np.abs(one - other).max() <= TOLERANCE * np.abs(other).max()


def assert_removing_equals_zeroing(case: Case, ratio: float, round_to: int = 1) -> None:
    model, feed = model_of(case), feed_of(case)
    plan, small = pruned(case, ratio, round_to)
    expected = expected_outputs(model, removed_channels(model, plan), feed)
    assert_close(run_onnx(small.data, feed), expected)


def assert_estimate_is_exact(model: explorer.Model, plan: Plan, small: explorer.Model) -> None:
    again = read_again(small)
    told, found = explorer.estimate(model, plan), counted(again)
    assert small.layers == again.layers
    for count in ("params", "macs", "peak_activation_bytes", "uncounted_ops"):
        assert getattr(told, count) == getattr(found, count), count


@pytest.mark.parametrize("case", [*CASES, *OTHER_OPSETS], ids=_name)
def test_the_file_equals_torch(case: Case) -> None:
    if case[0] in BY_HAND:
        model = onnx.load_model_from_string(exported(*case))
        onnx.checker.check_model(model, full_check=True)
        return
    family = FAMILIES[case[0]]
    with torch.no_grad():
        expected = family.module(*family.inputs())
    tensors = expected if isinstance(expected, tuple) else (expected,)
    assert_close(run_onnx(exported(*case), feed_of(case)), [value.numpy() for value in tensors])
    assert opset_of(exported(*case)) == case[2]


@pytest.mark.parametrize("case", NOT_EXPORTED, ids=_name)
def test_attention_needs_opset_14(case: Case) -> None:
    with pytest.raises(torch.onnx.errors.UnsupportedOperatorError):
        exported(*case)


def test_what_the_new_exporter_makes_of_older_opsets() -> None:
    """It lowers a graph without reductions, or gives opset 18 all the same.

    On Split it leaves `num_outputs`, which such a file mustn't have.
    """
    assert opset_of(exported("mlp", "new", 16)) == 16
    assert opset_of(exported("mlp", "new", 13)) == 18
    assert opset_of(exported("resnet_basic", "new", 17)) == 18
    with pytest.raises(InvalidGraph, match="num_outputs"):
        run_onnx(exported("vit_chunk", "new", 17), {})


@networks
def test_macs_are_those_that_torch_counts(case: Case) -> None:
    family = FAMILIES[case[0]]
    inputs = tuple(x[:1] if family.open_batch else x for x in family.inputs())
    profile = counted(model_of(case))
    assert profile.macs == torch_macs_unfused(family.module, *inputs)
    assert profile.uncounted_ops == ()


CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.ConvTranspose1d, nn.ConvTranspose2d)
# What a file holds beyond torch's parameters, or lacks of them.
HELD = {
    "yolo_v5": 6,  # anchors, a buffer, which a file doesn't tell from weights
    "swin": 2 * 4 * (16 * 16 - 49),  # biases of positions, spread out by the exporter
    "bert-new": 12 * 24 - 16 * 24,  # the positions that are read
    "encoder_layer-new": -2 * 24,  # zeros that are added
    "multihead-new": -24,
}


def listed_parameters(model: explorer.Model) -> int:
    """Those of the layers in the table, and those of which the sentence below it speaks."""
    listed = {layer.weight: layer.weights for layer in model.layers}
    others = re.findall(r"\(([\d,]+) numbers?\)", explorer.plan(model, Recipe()).others)
    return sum(listed.values()) + sum(int(each.replace(",", "")) for each in others)


@networks
def test_parameters_are_those_that_torch_would_train(case: Case) -> None:
    """Both exporters fold a batch norm into the convolution before it, which then has a bias."""
    name, exporter, _ = case
    module, model = FAMILIES[name].module, model_of(case)
    graph = onnx.load_model_from_string(exported(*case)).graph
    norms = [m for m in module.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]
    unfolded = [node for node in graph.node if node.op_type == "BatchNormalization"]
    affine = {name for node in unfolded for name in node.input[1:3]}  # shared ones once
    sizes = {tensor.name: math.prod(tensor.dims) for tensor in graph.initializer}
    same = {node.output[0]: node.input[0] for node in graph.node if node.op_type == "Identity"}
    convolutions = [node for node in graph.node if "Conv" in node.op_type and len(node.input) > 2]
    biases = {same.get(node.input[2], node.input[2]) for node in convolutions}
    trained = sum(weight.numel() for weight in module.parameters())
    trained -= sum(norm.weight.numel() + norm.bias.numel() for norm in norms)
    trained += sum(sizes[name] for name in affine)
    trained -= sum(
        m.bias.numel()
        for m in module.modules()
        if isinstance(m, CONVOLUTIONS) and m.bias is not None
    )
    trained += sum(sizes[bias] for bias in biases)
    trained += HELD.get(name, HELD.get(f"{name}-{exporter}", 0))
    assert counted(model).params == trained
    assert listed_parameters(model) == trained


@full
def test_the_oracle_takes_nothing_from_nothing(case: Case) -> None:
    feed = feed_of(case)
    assert_close(expected_outputs(model_of(case), {}, feed), run_onnx(exported(*case), feed))


def expected_counts(case: Case) -> tuple[int, int]:
    if case[0] in BY_HAND:
        first = case[0] == "two_stage_suppressed"
        return LAYERS, PRUNABLE_NMS_FIRST if first else PRUNABLE
    family = FAMILIES[case[0]]
    unrolled = family.unrolled if case[1] == "new" else None
    return unrolled or (family.layers, family.prunable)


@full
def test_which_layers_can_lose_channels(case: Case) -> None:
    planned = pruned(case, 0.5)[0].layers
    prunable = [layer for layer in planned if layer.skipped is None]
    assert (len(planned), len(prunable)) == expected_counts(case)
    assert all(layer.kept < layer.channels for layer in prunable if layer.channels >= 8)
    if case[0] in FAMILIES:
        reasons = {layer.name: str(layer.skipped) for layer in planned}
        for path, words in FAMILIES[case[0]].stays.items():
            for name in layers_of(case, path):
                assert any(word in reasons[name] for word in words.split("|")), reasons[name]


def layers_of(case: Case, path: str) -> list[str]:
    """Names of the layers that hold the weight of a module, told by its values."""
    module = FAMILIES[case[0]].module.get_submodule(path)
    model = model_of(case)
    if isinstance(module, torch.nn.RNNBase):
        found = [layer.name for layer in model.layers if layer.op in ("LSTM", "GRU", "RNN")]
    else:
        assert isinstance(module.weight, torch.Tensor)
        weight = module.weight.detach().numpy()
        constants = tensors_of(model)
        arrays = {layer.name: constants[layer.weight] for layer in model.layers}
        found = [
            name
            for name, value in arrays.items()
            if any(np.array_equal(value.numpy(), form) for form in (weight, weight.T))
        ]
    assert found, f"no layer has the weight of {path}"
    return found


@full
@ratios
def test_removing_equals_zeroing(case: Case, ratio: float) -> None:
    assert_removing_equals_zeroing(case, ratio)


@full
@ratios
def test_networks_shrink(case: Case, ratio: float) -> None:
    before, after = counted(model_of(case)), counted(pruned(case, ratio)[1])
    assert after.params < before.params
    assert after.macs < before.macs


@full
@ratios
def test_estimates_are_exact(case: Case, ratio: float) -> None:
    assert_estimate_is_exact(model_of(case), *pruned(case, ratio))


@pytest.mark.parametrize("case", [case for case in CASES if case[0] in ROUNDED], ids=_name)
@ratios
def test_channels_in_multiples_of_eight(case: Case, ratio: float) -> None:
    assert_removing_equals_zeroing(case, ratio, round_to=8)
    assert_estimate_is_exact(model_of(case), *pruned(case, ratio, 8))
    wide = [group for group in pruned(case, ratio, 8)[0].groups if group.channels >= 32]
    assert all((g.channels - len(g.removed)) % 8 == 0 for g in wide if g.removed)


@full
@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("pattern", ["none", "channel"])
def test_weights_of_few_bits(case: Case, bits: int, pattern: str) -> None:
    model, feed = model_of(case), feed_of(case)
    ratio = 0.5 if pattern == "channel" else 0.0
    recipe = Recipe(pattern=pattern, ratio=ratio, round_to=1, weight_bits=bits)
    plan = explorer.plan(model, recipe)
    assert all(layer.weight_bits == bits for layer in plan.layers)
    small = explorer.apply(model, plan)
    assert_estimate_is_exact(model, plan, small)
    wide = pruned(case, ratio)[1] if ratio else model
    assert counted(small).packed_bytes < counted(wide).packed_bytes
    for one, other in zip(run_onnx(small.data, feed), run_onnx(wide.data, feed), strict=True):
        if case[0] != "two_stage_suppressed":
            assert one.shape == other.shape
        assert np.isfinite(one).all()


@other_opsets
def test_half_of_the_channels_go_at_every_opset(case: Case) -> None:
    assert_removing_equals_zeroing(case, 0.5)
    assert_estimate_is_exact(model_of(case), *pruned(case, 0.5))
    prunable = [layer for layer in pruned(case, 0.5)[0].layers if layer.skipped is None]
    assert len(prunable) == expected_counts(case)[1]
