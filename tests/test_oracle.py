"""The oracle itself: against networks cut by hand in torch, and on what it must refuse."""

import numpy as np
import onnx
import pytest
import torch
from conftest import run_onnx, with_weights
from exporting import export_old
from families import seeded
from graphs import INPUT, family
from oracle import expected_outputs, outputs_without
from torch import Tensor, nn

import explorer
from explorer import Recipe
from explorer.compress.planned import removed_channels

INPUTS, HIDDEN, GONE = 3, 6, (1, 4)


class Recurrent(nn.Module):
    def __init__(self, kind: type[nn.RNN | nn.LSTM | nn.GRU], hidden: int, both: bool) -> None:
        super().__init__()
        self.cell = kind(INPUTS, hidden, bidirectional=both)
        self.head = nn.Linear(hidden * (2 if both else 1), 5)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y, state = self.cell(x)
        last = state[0] if isinstance(state, tuple) else state
        return self.head(y), self.head(last.transpose(0, 1).flatten(1))


def cut(
    whole: Recurrent, gone: tuple[int, ...], kind: type[nn.RNN | nn.LSTM | nn.GRU], both: bool
) -> Recurrent:
    """A smaller network with the weights of the hidden units that stay."""
    stays = torch.tensor([unit for unit in range(HIDDEN) if unit not in gone])
    small = Recurrent(kind, len(stays), both)
    directions = ("", "_reverse") if both else ("",)
    with torch.no_grad():
        for name in directions:
            for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                value = getattr(whole.cell, f"{part}_l0{name}")
                value = value.unflatten(0, (-1, HIDDEN))[:, stays].flatten(0, 1)
                value = value[:, stays] if part == "weight_hh" else value
                getattr(small.cell, f"{part}_l0{name}").copy_(value)
        columns = torch.cat([stays + HIDDEN * k for k in range(len(directions))])
        small.head.weight.copy_(whole.head.weight[:, columns])
        small.head.bias.copy_(whole.head.bias)
    return small.eval()


@pytest.mark.parametrize("both", [False, True], ids=["forward", "both"])
@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_hidden_units_are_gone_as_if_torch_had_cut_them(
    kind: type[nn.RNN | nn.LSTM | nn.GRU], both: bool
) -> None:
    module = seeded(lambda: Recurrent(kind, HIDDEN, both))
    assert isinstance(module, Recurrent)
    x = torch.randn(4, 2, INPUTS)
    proto = onnx.load_model_from_string(export_old(module, (x,), 17))
    node = next(node for node in proto.graph.node if node.op_type == kind.__name__)
    found = outputs_without(proto, {node.name: GONE}, {node.name: HIDDEN}, {"input0": x.numpy()})
    with torch.no_grad():
        expected = cut(module, GONE, kind, both)(x)
        whole = module(x)
    for one, other, before in zip(found, expected, whole, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
        assert np.abs(one - before.numpy()).max() > 1e-2


def test_directions_may_lose_other_units() -> None:
    """As many from each: channels are counted one direction after the other."""
    module = seeded(lambda: Recurrent(nn.GRU, HIDDEN, both=True))
    x = torch.randn(4, 2, INPUTS)
    proto = onnx.load_model_from_string(export_old(module, (x,), 17))
    name = next(node.name for node in proto.graph.node if node.op_type == "GRU")
    copy = onnx.load_model_from_string(proto.SerializeToString())
    feed = {"input0": x.numpy()}
    one = outputs_without(proto, {name: (1, 4 + HIDDEN)}, {name: 2 * HIDDEN}, feed)
    other = outputs_without(copy, {name: (1,)}, {name: HIDDEN}, feed)
    assert np.abs(one[0] - other[0]).max() > 1e-3


@pytest.mark.parametrize("name", ["projection", "depthwise", "concatenated", "shuffled"])
def test_a_wrong_channel_shows(name: str) -> None:
    """Each layer's removed channels moved by one: the pruned file doesn't give that."""
    model = family(name)[1]
    plan = explorer.plan(model, Recipe(pattern="channel", ratio=0.4, round_to=1))
    feed = {model.inputs[0].name: np.random.default_rng(0).standard_normal(INPUT, np.float32)}
    found = run_onnx(explorer.apply(model, plan).data, feed)[0]
    removed = removed_channels(model, plan)
    sizes = {layer.name: layer.channels for layer in model.layers}
    for layer, gone in removed.items():
        moved = tuple((channel + 1) % sizes[layer] for channel in gone)
        wrong = expected_outputs(model, {**removed, layer: moved}, feed)[0]
        assert np.abs(found - wrong).max() > 1e-3 * np.abs(found).max(), layer


HEAD = '<ir_version: 8, opset_import: ["" : 17]> g (float[2,3,4,4] x) => '
REFUSED = {
    "lost channels": "(float[2,8,4,4] y) { a = Conv (x, w)  y = Relu (a) }",
    "only some": "(float[2,1,4,4] y) { a = Conv (x, w)  y = ReduceMax <axes = [1]> (a) }",
    "no meaning": "(float[2,8,4,4] y) { a = Conv (x, w)  y = LRN <size = 3> (a) }",
}


@pytest.mark.parametrize("reason", REFUSED)
def test_what_removing_can_not_mean_is_refused(reason: str) -> None:
    model = with_weights(HEAD + REFUSED[reason], w=(8, 3, 1, 1))
    feed = {"x": np.ones((2, 3, 4, 4), np.float32)}
    with pytest.raises(AssertionError, match=reason):
        expected_outputs(model, {model.layers[0].name: (2,)}, feed)
