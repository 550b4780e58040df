"""Counts against counters that no one here wrote, and against sums done by hand."""

from collections.abc import Callable

import numpy as np
import onnx
import pytest
import torch
from conftest import ROOT, onnx_bytes, with_weights
from counters import COUNTERS, counted_parameters, torch_macs, torch_macs_unfused
from families import seeded
from families.family import ConvNorm
from graphs import FAMILIES, INPUT, family
from torch import Tensor, nn

import explorer
from explorer.graph.costs import FORMULAS, ZERO_MAC_OPS, formula
from explorer.render.text import uncounted_sentence


def exported(module: nn.Module, *inputs: torch.Tensor) -> explorer.Profile:
    return explorer.profile(explorer.Model.from_torch(module.eval(), inputs))


@pytest.mark.parametrize("name", FAMILIES)
def test_equal_to_torch_on_convolutional_networks(name: str) -> None:
    module, model = family(name)
    one = torch.randn(1, *INPUT[1:])
    profile = explorer.profile(model)
    assert profile.macs == torch_macs(module, one)
    assert profile.uncounted_ops == ()
    batch_norms = [m for m in module.modules() if isinstance(m, nn.BatchNorm2d)]
    folded = sum(norm.weight.numel() + norm.bias.numel() for norm in batch_norms)
    assert profile.params == sum(p.numel() for p in module.parameters()) - folded


SETTINGS_ONLY = {
    "resize": "(float[1,2,4,4] x) => (float[1,2,8,8] y) <float[4] s = {1, 1, 2, 2}> "
    "{ y = Resize (x, , s) }",
    "one hot": "(int64[3] x) => (float[3,5] y) <int64 d = {5}, float[2] v = {0, 1}> "
    "{ y = OneHot (x, d, v) }",
    "boxes": "(float[1,9,4] x, float[1,2,9] s) => (int64[n,3] y) "
    "<int64[1] k = {5}, float[1] i = {0.5}, float[1] t = {0.1}> "
    "{ y = NonMaxSuppression (x, s, k, i, t) }",
    "power": "(float[3] x) => (float[3] y) <float[1] p = {2}> { y = Pow (x, p) }",
    "mask": "(float[1,2,2] x) => (float[1,2,2] y) <float[2,2] m = {0, -65504, 0, 0}> "
    "{ s = Add (x, m)  y = Softmax (s) }",
    "positions": "(float[1,4] x) => (float[1,4] y) <float[4] m = {0, 1, 2, 3}> { y = Mul (x, m) }",
    "normalises only": "(float[1,2,4] x) => (float[1,2,4] y) "
    "<float[2] s = {1, 1}, float[2] b = {0, 0}> { y = InstanceNormalization (x, s, b) }",
}


@pytest.mark.parametrize("name", SETTINGS_ONLY)
def test_what_tells_an_operator_what_to_do_is_no_parameter(name: str) -> None:
    text = f'<ir_version: 8, opset_import: ["" : 17]> g {SETTINGS_ONLY[name]}'
    assert explorer.profile(explorer.load(onnx_bytes(text))).params == 0


def test_an_operator_behind_a_loop_says_that_its_shape_is_not_known() -> None:
    body = onnx.helper.make_graph(
        [
            onnx.helper.make_node("Relu", ["s"], ["t"]),
            onnx.helper.make_node("Identity", ["c"], ["d"]),
        ],
        "body",
        [
            onnx.helper.make_tensor_value_info("i", 7, ()),
            onnx.helper.make_tensor_value_info("c", 9, ()),
            onnx.helper.make_tensor_value_info("s", 1, None),
        ],
        [
            onnx.helper.make_tensor_value_info("d", 9, ()),
            onnx.helper.make_tensor_value_info("t", 1, None),
        ],
    )
    nodes = [
        onnx.helper.make_node("Loop", ["n", "", "x"], ["l"], body=body),
        onnx.helper.make_node("Conv", ["l", "w"], ["y"]),
    ]
    weights = [
        onnx.numpy_helper.from_array(np.array(3), "n"),
        onnx.numpy_helper.from_array(np.ones((5, 3, 1, 1), np.float32), "w"),
    ]
    ends = [
        onnx.helper.make_tensor_value_info(name, 1, (1, c, 8, 8))
        for name, c in (("x", 3), ("y", 5))
    ]
    graph = onnx.helper.make_graph(nodes, "g", ends[:1], ends[1:], weights)
    imports = [onnx.helper.make_opsetid("", 17)]
    model = onnx.helper.make_model(graph, opset_imports=imports, ir_version=8)
    profile = explorer.profile(explorer.load(model.SerializeToString()))
    assert profile.uncounted_ops == ("Conv (unknown shape)",)
    assert "only known when the graph runs" in uncounted_sentence(profile.uncounted_ops)


class Apply(nn.Module):
    """A function as a module."""

    def __init__(self, function: Callable[..., Tensor], *weights: Tensor) -> None:
        super().__init__()
        self.function = function
        self.weights = nn.ParameterList(nn.Parameter(weight) for weight in weights)

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x, *self.weights)


def attend(x: Tensor) -> Tensor:
    return nn.functional.scaled_dot_product_attention(x[None], x[None], x[None])


SIDE, IN, OUT, LENGTH, WIDTH, HIDDEN = 6, 4, 8, 5, 8, 4
IMAGE = torch.randn(1, IN, SIDE, SIDE)
SERIES = torch.randn(1, LENGTH, WIDTH)
PIXELS, ELEMENTS, NUMBERS = SIDE**2, IN * SIDE**2, LENGTH * WIDTH
CONV = PIXELS * OUT * IN * 9
SPREAD = ELEMENTS * 6 * 4  # every input element to 6 channels of 2 x 2
SQUARE = LENGTH * LENGTH * WIDTH
LSTM_MACS = LENGTH * 4 * HIDDEN * (WIDTH + HIDDEN)
GRU_MACS = LENGTH * 3 * HIDDEN * (WIDTH + HIDDEN)

# What each tool counts, where that differs from ours; a row of docs/counting.md each.
ROWS: dict[str, tuple[nn.Module, Tensor, int, dict[str, int]]] = {
    "convolution": (nn.Conv2d(IN, OUT, 3, padding=1, bias=False), IMAGE, CONV, {}),
    "bias": (
        nn.Conv2d(IN, OUT, 3, padding=1),
        IMAGE,
        CONV,
        {"ptflops": CONV + OUT * PIXELS, "ptflops aten": CONV + OUT * PIXELS},
    ),
    "batch norm": (
        nn.BatchNorm2d(IN),
        IMAGE,
        0,
        {"thop": 4 * ELEMENTS, "fvcore": 2 * ELEMENTS, "ptflops": 2 * ELEMENTS},
    ),
    "layer norm": (
        nn.LayerNorm(WIDTH),
        SERIES,
        0,
        {"thop": 4 * NUMBERS, "fvcore": 5 * NUMBERS, "ptflops": NUMBERS},
    ),
    "activation module": (nn.SiLU(), IMAGE, 0, {"ptflops": ELEMENTS}),
    "activation function": (Apply(nn.functional.silu), IMAGE, 0, {}),
    "softmax": (
        nn.Softmax(-1),
        IMAGE,
        0,
        {"thop": IN * SIDE * (3 * SIDE - 1), "ptflops": ELEMENTS},
    ),
    "pooling": (
        nn.AdaptiveAvgPool2d(1),
        IMAGE,
        0,
        {"thop": IN * (PIXELS + 1), "fvcore": ELEMENTS, "ptflops": 2 * ELEMENTS},
    ),
    "upsampling": (
        nn.Upsample(scale_factor=2),
        IMAGE,
        0,
        {"thop": 4 * ELEMENTS, "fvcore": 4 * ELEMENTS, "ptflops": 8 * ELEMENTS},
    ),
    "bilinear upsampling": (
        nn.Upsample(scale_factor=2, mode="bilinear"),
        IMAGE,
        0,
        {"thop": 44 * ELEMENTS, "fvcore": 16 * ELEMENTS, "ptflops": 8 * ELEMENTS},
    ),
    "transposed convolution": (
        nn.ConvTranspose2d(IN, 6, 2, stride=2, bias=False),
        IMAGE,
        SPREAD,
        {"thop": 4 * SPREAD},
    ),
    "grouped transposed convolution": (
        nn.ConvTranspose2d(IN, 6, 2, stride=2, groups=2, bias=False),
        IMAGE,
        SPREAD // 2,
        {"thop": 4 * SPREAD // 2},
    ),
    "linear function": (
        Apply(nn.functional.linear, torch.randn(3, WIDTH)),
        SERIES,
        LENGTH * WIDTH * 3,
        {"thop": 0, "ptflops": 0},
    ),
    "matrix product": (
        Apply(lambda x: x @ x.transpose(1, 2)),
        SERIES,
        SQUARE,
        {"thop": 0, "ptflops": 0},
    ),
    "batched matrix product": (
        Apply(lambda x: torch.bmm(x, x.transpose(1, 2))),
        SERIES,
        SQUARE,
        {"thop": 0},
    ),
    "einsum": (
        Apply(lambda x: torch.einsum("bij,bkj->bik", x, x)),
        SERIES,
        SQUARE,
        {"thop": 0, "ptflops": 0},
    ),
    "fused attention": (
        Apply(attend),
        SERIES,
        2 * SQUARE,
        {"torch": 0, "thop": 0, "fvcore": 0, "ptflops": 0, "ptflops aten": 0},
    ),
    "LSTM": (
        nn.LSTM(WIDTH, HIDDEN, batch_first=True),
        SERIES,
        LSTM_MACS,
        {
            "torch": 0,
            "thop": LSTM_MACS + LENGTH * HIDDEN * 16,
            "fvcore": 0,
            "ptflops": LSTM_MACS + LENGTH * HIDDEN * 18,
            "ptflops aten": 0,
        },
    ),
    "GRU": (
        nn.GRU(WIDTH, HIDDEN, batch_first=True),
        SERIES,
        GRU_MACS,
        {
            "thop": GRU_MACS + LENGTH * HIDDEN * 13,
            "fvcore": 0,
            "ptflops": GRU_MACS + LENGTH * HIDDEN * 13,
            "ptflops aten": GRU_MACS + LENGTH * HIDDEN * 6,
        },
    ),
}


@pytest.mark.parametrize("tool", COUNTERS)
@pytest.mark.parametrize("row", ROWS)
def test_what_other_tools_count(row: str, tool: str) -> None:
    module, x, macs, others = ROWS[row]
    assert COUNTERS[tool](module.eval(), x) == others.get(tool, macs)


@pytest.mark.parametrize("row", ROWS)
def test_what_we_count(row: str) -> None:
    module, x, macs, _ = ROWS[row]
    assert exported(module, x).macs == macs
    assert torch_macs_unfused(module, x) == macs


def test_parameters_of_a_folded_batch_norm() -> None:
    module = seeded(lambda: ConvNorm(IN, OUT, 3, act=None))
    weights = OUT * IN * 9
    assert exported(module, IMAGE).params == weights + OUT
    assert counted_parameters(module, IMAGE) == dict.fromkeys(
        ("thop", "fvcore", "ptflops"), weights + 2 * OUT
    )


def test_every_row_is_in_the_documentation() -> None:
    text = (ROOT / "docs" / "counting.md").read_text()
    named = {line.split("|")[1].strip() for line in text.splitlines() if line.startswith("| ")}
    assert named >= ROWS.keys()


def test_lstm_by_hand() -> None:
    model = with_weights(
        """<ir_version: 8, opset_import: ["" : 17]>
        g (float[5,1,3] x) => (float[5,1,1,4] y) { y = LSTM <hidden_size = 4> (x, w, r) }""",
        w=(1, 16, 3),
        r=(1, 16, 4),
    )
    assert explorer.profile(model).macs == 5 * 16 * (3 + 4)


def test_a_tiny_network_by_hand() -> None:
    model = explorer.load(
        onnx_bytes(
            """<ir_version: 8, opset_import: ["" : 17]>
            g (float[n,2,4,4] x) => (float[n,3,4,4] y)
            <float[3,2,1,1] w = {1,0,0,2,3,0}, float[3] b = {1,1,0}>
            { h = Conv (x, w, b)  y = Relu (h) }"""
        )
    )
    profile = explorer.profile(model)
    assert profile.params == 9
    assert profile.nonzero_params == 5
    assert profile.macs == 4 * 4 * 3 * 2
    assert profile.peak_activation_bytes == 2 * (3 * 4 * 4) * 4  # h and y side by side
    # weights: 6 of which 3 are zero: 6 mask bits + 3 x 32; bias: 3 of which 1: 3 + 2 x 32
    assert profile.packed_bytes == -(-(6 + 96 + 3 + 64) // 8)
    assert profile.file_bytes == len(model.data)


def test_shared_weights_count_once() -> None:
    model = with_weights(
        """<ir_version: 8, opset_import: ["" : 17]>
        g (float[n,8] x) => (float[n,8] y) {
            h = MatMul (x, w)
            r = Relu (h)
            y = MatMul (r, w)
        }""",
        w=(8, 8),
    )
    profile = explorer.profile(model)
    assert profile.params == 64
    assert profile.macs == 2 * 64


def test_open_dimensions_are_filled_in() -> None:
    model = with_weights(
        """<ir_version: 8, opset_import: ["" : 17]>
        g (float[batch,3,height,width] x) => (float[batch,4,height,width] y) { y = Conv (x, w) }""",
        w=(4, 3, 1, 1),
    )
    assert explorer.profile(model).macs == 224 * 224 * 12


def test_an_operator_without_a_formula_is_listed() -> None:
    model = with_weights(
        """<ir_version: 8, opset_import: ["" : 17]>
        g (float[4,4] x) => (float d) { h = MatMul (x, w)  d = Det (h) }""",
        w=(4, 4),
    )
    assert explorer.profile(model).uncounted_ops == ("Det",)


def test_a_second_formula_for_one_op_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="already has a formula"):
        formula("Conv")(lambda call: 0)
    with pytest.raises(ValueError, match="already has a formula"):
        formula("BiasGelu", "com.microsoft")(lambda call: 0)
    assert not ZERO_MAC_OPS & FORMULAS.keys()


def test_nonzero_integers_are_counted_from_their_zero_point() -> None:
    from explorer.graph.weights import find_weights

    model = with_weights(
        """<ir_version: 9, opset_import: ["" : 21]>
        g (float[n,2] x) => (float[n,3] y)
        <uint8[2,3] q = {128, 129, 128, 128, 120, 255}, float[3] s = {1, 1, 1},
         uint8[3] z = {128, 128, 128}> {
            w = DequantizeLinear <axis = 1> (q, s, z)
            y = MatMul (x, w)
        }"""
    )
    (weight,) = find_weights(model)
    assert (weight.size, weight.count_nonzero()) == (6, 3)
    assert explorer.profile(model).nonzero_params == 3


BRANCHES = """
<ir_version: 7, opset_import: ["": 11]>
g (float[n, 3, 8, 8] x, bool flag) => (float[n, 5] y) {
  bent = Conv<pads = [1, 1, 1, 1]>(x, first)
  chosen = If (flag) <
    then_branch = sharp () => (float[] t) { t = Hardmax<axis = 1>(bent) },
    else_branch = plain () => (float[] e) { e = Identity(bent) }
  >
  deep = Conv<pads = [1, 1, 1, 1]>(chosen, second)
  pooled = GlobalAveragePool(deep)
  flat = Flatten(pooled)
  y = Gemm<transB = 1>(flat, third)
}
"""


@pytest.mark.parametrize("bits", [32, 8, 4, 2])
def test_what_follows_a_branch_is_counted(bits: int) -> None:
    """The branch computes a shape, as the rule for an old Hardmax does."""
    model = with_weights(BRANCHES, first=(4, 3, 3, 3), second=(6, 4, 3, 3), third=(5, 6))
    planned = explorer.plan(model, explorer.Recipe(weight_bits=bits))
    estimated, actual = (
        explorer.estimate(model, planned),
        explorer.profile(explorer.apply(model, planned)),
    )
    assert actual.macs == 64 * 9 * (3 * 4 + 4 * 6) + 6 * 5
    assert (estimated.macs, estimated.uncounted_ops) == (actual.macs, actual.uncounted_ops)
    assert estimated.peak_activation_bytes == actual.peak_activation_bytes
    assert actual.uncounted_ops == ()
