"""Taking out detours never changes what a network computes, at any size of its inputs."""

import numpy as np
import onnx
import pytest
import torch
from conftest import run_onnx, with_weights
from exporting import export_new
from oracle import expected_outputs
from torch import nn

import explorer
from explorer import Recipe
from explorer.compress.planned import removed_channels
from explorer.model import encode

# The first 64 positions at most, and a factor of their number, computed from the shape.
CLAMPED = """
    <ir_version: 8, opset_import: ["" : 17]>
    toy (float[n, t, 8] x) => (float[n, m, 4] y)
    <int64[1] one = {1}, int64[1] zero = {0}, int64[1] most = {64}> {
        shape = Shape (x)
        length = Gather (shape, one)
        end = Min (length, most)
        part = Slice (x, zero, end, one)
        product = MatMul (part, first_weight)
        scale = Cast <to=1> (end)
        y = Mul (product, scale)
    }
"""
# What follows the number of channels alone is constant, and goes.
STATIC = """
    <ir_version: 8, opset_import: ["" : 17]>
    toy (float[n, 3, 8, 8] x) => (float[n, 4, 8, 8] y)
    <int64[1] one = {1}, int64[1] two = {2}, int64[1] zero = {0}> {
        a = Conv <kernel_shape=[1, 1]> (x, first_weight)
        shape = Shape (a)
        channels = Gather (shape, one)
        half = Div (channels, two)
        left = Slice (a, zero, half, one)
        right = Slice (a, half, channels, one)
        sum = Add (left, right)
        y = Conv <kernel_shape=[1, 1]> (sum, second_weight)
    }
"""


@pytest.mark.parametrize("length", [1, 32, 64, 200])
def test_a_limit_on_an_open_length_is_no_constant(length: int) -> None:
    model = with_weights(CLAMPED, first_weight=(8, 4))
    plain = encode(model.graph_model, "plain")
    x = np.random.default_rng(0).standard_normal((2, length, 8)).astype(np.float32)
    expected, found = (run_onnx(each.data, {"x": x})[0] for each in (model, plain))
    assert expected.shape == (2, min(length, 64), 4)
    np.testing.assert_array_equal(found, expected)


def test_integers_that_follow_the_channels_alone_are_constants() -> None:
    model = with_weights(STATIC, first_weight=(16, 3, 1, 1), second_weight=(4, 8, 1, 1))
    assert [node.op_type for node in model.graph_model.graph] == [
        "Conv", "Slice", "Slice", "Add", "Conv",
    ]  # fmt: skip
    plan = explorer.plan(model, Recipe(pattern="channel", ratio=0.5, round_to=1))
    assert plan.layers[0].kept == 8
    small = onnx.load_model_from_string(explorer.apply(model, plan).data)
    assert [node.op_type for node in small.graph.node].count("Shape") == 0


def test_a_file_that_nothing_changes_is_handed_out_as_it_came() -> None:
    model = with_weights(STATIC, first_weight=(16, 3, 1, 1), second_weight=(4, 8, 1, 1))
    assert explorer.apply(model, explorer.plan(model, Recipe())).data == model.data


# The network gives what would be folded: weights put together, a flat tensor read in order, and the
# last two axes turned with the others joined.
GIVEN_WEIGHTS = """
    <ir_version: 8, opset_import: ["" : 17]>
    toy (float[n, 4] x) => (float[n, 4] y, float[8, 4] z) {
        y = MatMul (x, weight)
        z = Concat <axis=0> (upper, lower)
    }
"""
GIVEN_GATHER = """
    <ir_version: 8, opset_import: ["" : 17]>
    toy (float[n, 3, 4, 4] x) => (float[m, 8] y)
    <int64 zero = {0}, int64 one = {1}, int64 pixels = {16}, int64[1] flat = {-1},
     int64[2] rows = {-1, 8}> {
        a = Conv <kernel_shape=[1, 1]> (x, weight)
        shape = Shape (a)
        batch = Gather (shape, zero)
        count = Mul (batch, pixels)
        places = Range (zero, count, one)
        in_rows = Reshape (places, rows)
        line = Reshape (a, flat)
        y = Gather (line, in_rows)
    }
"""
GIVEN_TURN = """
    <ir_version: 8, opset_import: ["" : 17]>
    toy (float[n, 2, 3, 4] x) => (float[n, 2, 5, 3] y)
    <int64[1] one = {1}, int64[4] shape = {-1, 2, 5, 3}, int64[3] joined = {-1, 3, 5}> {
        repeated = Expand (x, one)
        a = MatMul (repeated, weight)
        middle = Reshape (a, joined)
        turned = Transpose <perm=[0, 2, 1]> (middle)
        y = Reshape (turned, shape)
    }
"""


@pytest.mark.parametrize(
    ("text", "sizes", "shapes"),
    [
        (GIVEN_WEIGHTS, (2, 4), {"weight": (4, 4), "upper": (4, 4), "lower": (4, 4)}),
        (GIVEN_GATHER, (2, 3, 4, 4), {"weight": (1, 3, 1, 1)}),
        (GIVEN_TURN, (2, 2, 3, 4), {"weight": (4, 5)}),
    ],
    ids=["weights", "gather", "turn"],
)
def test_what_the_network_gives_is_not_folded(
    text: str, sizes: tuple[int, ...], shapes: dict[str, tuple[int, ...]]
) -> None:
    model = with_weights(text, **shapes)
    assert not model.remarks
    feed = {"x": np.random.default_rng(0).standard_normal(sizes).astype(np.float32)}
    plain = run_onnx(encode(model.graph_model, "plain").data, feed)
    for found, expected in zip(plain, run_onnx(model.data, feed), strict=True):
        np.testing.assert_array_equal(found, expected)


# Two open lengths: a place that depends on their difference, and their order in a reshape.
TWO_LENGTHS = """
    <ir_version: 8, opset_import: ["" : 17]>
    toy (float[n, s, 4] x, float[n, t, 4] y) => (float[n, r, 4] z)
    <int64[1] one = {1}, int64[1] far = {1000}> {
        long_shape = Shape (y)
        short_shape = Shape (x)
        long = Gather (long_shape, one)
        short = Gather (short_shape, one)
        start = Sub (long, short)
        part = Slice (y, start, far, one)
        z = MatMul (part, first_weight)
    }
"""
TURNED = """
    <ir_version: 8, opset_import: ["" : 17]>
    toy (float[n, 3, h, w] x) => (float[n, 4, w2, h2] y)
    <int64[1] two = {2}, int64[1] three = {3}, int64[1] any = {-1}, int64[1] four = {4}> {
        a = Conv <kernel_shape=[1, 1]> (x, first_weight)
        shape = Shape (a)
        height = Gather (shape, two)
        width = Gather (shape, three)
        target = Concat <axis=0> (any, four, width, height)
        y = Reshape (a, target)
    }
"""


def test_a_difference_of_two_open_lengths_is_no_constant() -> None:
    model = with_weights(TWO_LENGTHS, first_weight=(4, 4))
    plain = encode(model.graph_model, "plain")
    rng = np.random.default_rng(0)
    feed = {
        name: rng.standard_normal((1, n, 4)).astype(np.float32)
        for name, n in zip("xy", (3, 5), strict=True)
    }
    expected, found = (run_onnx(each.data, feed)[0] for each in (model, plain))
    assert expected.shape == (1, 3, 4)
    np.testing.assert_array_equal(found, expected)


def test_height_and_width_are_not_taken_for_one_another() -> None:
    model = with_weights(TURNED, first_weight=(4, 3, 1, 1))
    recipe = Recipe(pattern="channel", ratio=0.5, round_to=1, weight_bits=16)
    small = explorer.apply(model, explorer.plan(model, recipe))
    x = np.random.default_rng(0).standard_normal((1, 3, 5, 7)).astype(np.float32)
    expected, found = (run_onnx(each.data, {"x": x})[0] for each in (model, small))
    assert expected.shape == found.shape == (1, 4, 7, 5)
    np.testing.assert_allclose(found, expected, atol=1e-2)


class Attention(nn.Module):
    """Self-attention whose batch and length may both be left open."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.out = nn.Linear(6, 24), nn.Linear(24, 24)
        self.parts = nn.ModuleList(nn.Linear(24, 24) for _ in range(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, length, _ = x.shape
        x = torch.relu(self.stem(x))
        q, k, v = (part(x).view(n, length, 4, 6).transpose(1, 2) for part in self.parts)
        mixed = nn.functional.scaled_dot_product_attention(q, k, v)
        y: torch.Tensor = self.out(mixed.transpose(1, 2).reshape(n, length, 24)).mean(1)
        return y


class Tagger(nn.Module):
    """A recurrent cell so wide that the exporter leaves its gates in pieces."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.LSTM(6, 64, batch_first=True, bidirectional=True)
        self.head = nn.Linear(128, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.head(self.cell(x)[0])
        return y


@pytest.mark.parametrize("module", [Attention, Tagger])
@pytest.mark.parametrize("length", [4, 40])
def test_open_lengths_and_wide_cells(module: type[nn.Module], length: int) -> None:
    torch.manual_seed(0)
    network = module().eval()
    axes = 2 if module is Attention else 1
    size = 9 if module is Attention else length
    data = export_new(network, (torch.randn(2, size, 6),), 20, open_axes=axes)
    model = explorer.load(data)
    x = np.random.default_rng(0).standard_normal((3, length, 6)).astype(np.float32)
    feed = {model.inputs[0].name: x}
    plain = run_onnx(encode(model.graph_model, "plain").data, feed)[0]
    np.testing.assert_allclose(plain, run_onnx(model.data, feed)[0], atol=1e-5)
    plan = explorer.plan(model, Recipe(pattern="channel", ratio=0.5, round_to=1))
    assert sum(layer.unprunable is None for layer in plan.layers) == len(plan.layers) - 1
    found = run_onnx(explorer.apply(model, plan).data, feed)[0]
    expected = expected_outputs(model, removed_channels(model, plan), feed)[0]
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


class Rotary(nn.Module):
    """Grouped queries under rotary positions (arXiv 2104.09864): one table turns both sides."""

    cos: torch.Tensor
    sin: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.out = nn.Linear(6, 24), nn.Linear(32, 5)
        self.query, self.key, self.value = nn.Linear(24, 32), nn.Linear(24, 16), nn.Linear(24, 16)
        angles = torch.outer(torch.arange(9.0), 10.0 ** -torch.arange(4.0)).repeat(1, 2)
        self.register_buffer("cos", angles.cos())
        self.register_buffer("sin", angles.sin())

    def turned(self, x: torch.Tensor) -> torch.Tensor:
        left, right = x.chunk(2, dim=-1)
        return x * self.cos + torch.cat((-right, left), dim=-1) * self.sin

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.stem(x))
        q = self.turned(self.query(x).reshape(-1, 9, 4, 8).transpose(1, 2))
        k = self.turned(self.key(x).reshape(-1, 9, 2, 8).transpose(1, 2)).repeat_interleave(2, 1)
        v = self.value(x).reshape(-1, 9, 2, 8).transpose(1, 2).repeat_interleave(2, 1)
        mixed = torch.softmax(q @ k.transpose(-1, -2) / 8**0.5, -1) @ v
        y: torch.Tensor = self.out(mixed.transpose(1, 2).reshape(-1, 9, 32))
        return y


def test_a_table_that_two_tensors_read_ties_no_heads() -> None:
    torch.manual_seed(0)
    module = Rotary().eval()
    model = explorer.load(export_new(module, (torch.randn(2, 9, 6),), 20))
    plan = explorer.plan(model, Recipe(pattern="channel", ratio=0.5, scope="layer", round_to=1))
    kept = {layer.channels: layer.kept for layer in plan.layers}
    assert kept == {24: 12, 32: 16, 16: 8, 5: 5}
    feed = {model.inputs[0].name: torch.randn(3, 9, 6).numpy()}
    found = run_onnx(explorer.apply(model, plan).data, feed)[0]
    expected = expected_outputs(model, removed_channels(model, plan), feed)[0]
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())
