"""Widths that a normalisation runs over, against a narrower module built by hand."""

import numpy as np
import pytest
import torch
from conftest import run_onnx
from torch import nn

import explorer
from explorer import Recipe
from explorer.compress.planned import removed_channels

WIDTH, INNER, WORDS, LENGTH, CLASSES = 24, 40, 30, 7, 5


class Network(nn.Module):
    """Embeddings and places, one pre-norm feed-forward block, a mean over the places."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.words = nn.Embedding(WORDS, width)
        self.places = nn.Parameter(torch.randn(1, LENGTH, width))
        self.norm, self.last = nn.LayerNorm(width), nn.LayerNorm(width)
        self.wide, self.narrow = nn.Linear(width, inner), nn.Linear(inner, width)
        self.head = nn.Linear(width, CLASSES)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.words(tokens) + self.places
        x = x + self.narrow(nn.functional.gelu(self.wide(self.norm(x))))
        y: torch.Tensor = self.head(self.last(x).mean(1))
        return y


TOKENS = torch.arange(3 * LENGTH).reshape(3, LENGTH) % WORDS


@pytest.fixture(scope="module")
def network() -> tuple[Network, explorer.Model]:
    torch.manual_seed(0)
    module = Network(WIDTH, INNER).eval()
    for norm in (module.norm, module.last):
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        nn.init.uniform_(norm.bias, -1, 1)
    return module, explorer.Model.from_torch(module, (TOKENS,))


def narrowed(module: Network, width: torch.Tensor, inner: torch.Tensor) -> Network:
    """The module with some of its residual channels and inner channels alone."""
    small = Network(len(width), len(inner)).eval()
    kept = {WIDTH: width, INNER: inner}
    for name, old in module.state_dict().items():
        new = old
        for axis, size in enumerate(old.shape):
            new = new.index_select(axis, kept[size]) if size in kept else new
        small.state_dict()[name].copy_(new)
    return small


@pytest.mark.parametrize("ratio", [0.3, 0.7])
def test_taking_widths_out_gives_the_narrower_module(
    network: tuple[Network, explorer.Model], ratio: float
) -> None:
    module, model = network
    plan = explorer.plan(model, Recipe(pattern="channel", ratio=ratio, round_to=1, widths=True))
    gone = removed_channels(model, plan)
    by_size = {layer.channels: gone.get(layer.name, ()) for layer in model.layers}
    kept = [
        torch.tensor([i for i in range(size) if i not in by_size[size]]) for size in (WIDTH, INNER)
    ]
    assert len(kept[0]) < WIDTH and len(kept[1]) < INNER
    with torch.no_grad():
        expected = narrowed(module, *kept)(TOKENS).numpy()
    small = explorer.apply(model, plan)
    found = run_onnx(small.data, {model.inputs[0].name: TOKENS.numpy()})[0]
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())
    told, true = explorer.estimate(model, plan), explorer.profile(small)
    assert (told.params, told.macs) == (true.params, true.macs)


def test_widths_stay_unless_asked_for(network: tuple[Network, explorer.Model]) -> None:
    model = network[1]
    plan = explorer.plan(model, Recipe(pattern="channel", ratio=0.5, round_to=1))
    of_width = [layer for layer in plan.layers if layer.channels == WIDTH]
    assert [layer.op for layer in of_width] == ["Gather", "MatMul"]
    for layer in of_width:
        assert layer.kept == WIDTH and layer.removable == 0
        assert "is normalised over by LayerNormalization" in str(layer.unprunable)
        assert "only pruned where hidden dimensions are pruned too" in str(layer.unprunable)


def test_the_plan_says_what_ties_the_width_together(
    network: tuple[Network, explorer.Model],
) -> None:
    plan = explorer.plan(network[1], Recipe(pattern="channel", ratio=0.5, widths=True))
    embedding, _, narrow, head = plan.layers
    assert embedding.shrinks_with == (narrow.name,) and narrow.shrinks_with == (embedding.name,)
    assert [tie.split()[0] for tie in embedding.joined_by] == ["Add"]
    assert embedding.removable == WIDTH - 1
    assert head.unprunable == f"feeds graph output {network[1].outputs[0].name!r}"
