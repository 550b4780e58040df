"""Counts against counters that no one here wrote, and against sums done by hand."""

import warnings

import pytest
import torch
from conftest import onnx_bytes, with_weights
from graphs import FAMILIES, INPUT, family
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import explorer
from explorer.graph.costs import FORMULAS, ZERO_MAC_OPS, formula


def torch_macs(module: nn.Module, *inputs: torch.Tensor) -> int:
    """Half of torch's FLOPs, with gradients on so that no fused kernel hides a product."""
    with FlopCounterMode(display=False) as counter:
        module(*inputs)
    return counter.get_total_flops() // 2


def thop_macs(module: nn.Module, *inputs: torch.Tensor) -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it still asks distutils for versions
        import thop

        macs, _ = thop.profile(module, inputs=inputs, verbose=False)
    return int(macs)


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


@pytest.mark.parametrize("name", ["plain", "flatten"])
def test_equal_to_thop_without_pooling_and_batch_norm(name: str) -> None:
    module = family(name)[0]
    body = nn.Sequential(*[m for m in module if not isinstance(m, nn.AdaptiveAvgPool2d)])
    if name == "plain":
        body = body[:-2]
    one = torch.randn(1, *INPUT[1:])
    assert exported(body, one).macs == thop_macs(body, one)


def test_thop_counts_batch_norm_and_pooling_and_we_do_not() -> None:
    module = nn.Sequential(nn.Conv2d(3, 8, 1), nn.BatchNorm2d(8), nn.AdaptiveAvgPool2d(1)).eval()
    one = torch.randn(1, 3, 4, 4)
    products = 4 * 4 * 8 * 3
    assert exported(module, one).macs == torch_macs(module, one) == products
    assert thop_macs(module, one) > products


class Attention(nn.Module):
    """Scaled dot-product attention of 2 heads over 6 positions, by plain matrix products."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(8, 24)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = self.qkv(x).reshape(1, 6, 3, 2, 4).permute(2, 0, 3, 1, 4)
        return torch.softmax(q @ k.transpose(-1, -2), -1) @ v


def test_attention_products_count_and_thop_leaves_them_out() -> None:
    one = torch.randn(1, 6, 8)
    projection, products = 6 * 8 * 24, 2 * (2 * 6 * 6 * 4)
    assert exported(Attention(), one).macs == projection + products
    assert torch_macs(Attention(), one) == projection + products
    assert thop_macs(Attention(), one) == projection


def test_transposed_convolution_and_thop_counts_it_by_its_output() -> None:
    module = nn.ConvTranspose2d(4, 6, 2, stride=2)
    one = torch.randn(1, 4, 5, 5)
    products = 5 * 5 * 4 * 6 * 2 * 2
    assert exported(module, one).macs == torch_macs(module, one) == products
    assert thop_macs(module, one) == 4 * products


def test_lstm_by_hand_and_torch_leaves_it_out() -> None:
    model = with_weights(
        """<ir_version: 8, opset_import: ["" : 17]>
        g (float[5,1,3] x) => (float[5,1,1,4] y) { y = LSTM <hidden_size = 4> (x, w, r) }""",
        w=(1, 16, 3),
        r=(1, 16, 4),
    )
    assert explorer.profile(model).macs == 5 * 16 * (3 + 4)
    assert torch_macs(nn.LSTM(3, 4), torch.randn(5, 1, 3)) == 0


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
        formula("Conv")(lambda node, inputs, outputs: 0)
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


def test_einsum_by_hand_and_what_it_can_not_count() -> None:
    def macs(equation: str, *shapes: str) -> explorer.Profile:
        inputs = ", ".join(f"float[{shape}] i{n}" for n, shape in enumerate(shapes))
        names = ", ".join(f"i{n}" for n in range(len(shapes)))
        text = f"""<ir_version: 8, opset_import: ["" : 17]>
        g ({inputs}) => (float[a,b] y) {{ y = Einsum <equation = "{equation}"> ({names}) }}"""
        return explorer.profile(explorer.load(onnx_bytes(text)))

    assert macs("ij,jk->ik", "2,3", "3,5").macs == 30
    assert macs("ij->ji", "2,3").macs == 0
    assert macs("...ij,...jk->...ik", "2,3", "3,5").uncounted_ops == ("Einsum",)
