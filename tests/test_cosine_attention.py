"""Heads of attention over normalised queries and keys, with a learned scale and position bias.

As in Swin Transformer V2 (Liu et al., arXiv 2111.09883): the scale of each head is computed from a
parameter, and the bias of each pair of positions comes from a small network.
"""

import math

import numpy as np
import onnx
import pytest
import torch
from conftest import run_onnx
from exporting import EXPORTERS
from oracle import expected_outputs
from torch import Tensor, nn

import explorer
from explorer import Recipe
from explorer.compress.planned import removed_channels

WIDTH, HEADS, SIDE = 32, 4, 4
PLACES = SIDE * SIDE
MOST_SCALE = math.log(100)


class CosineAttention(nn.Module):
    table: Tensor
    index: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH, bias=False)
        self.query_bias = nn.Parameter(torch.randn(WIDTH))
        self.value_bias = nn.Parameter(torch.randn(WIDTH))
        self.scale = nn.Parameter(torch.log(10 * torch.rand(HEADS, 1, 1) + 1))
        self.places = nn.Sequential(nn.Linear(2, 64), nn.ReLU(), nn.Linear(64, HEADS, bias=False))
        self.out = nn.Linear(WIDTH, WIDTH)
        offsets = torch.arange(1 - SIDE, SIDE)
        table = torch.stack(torch.meshgrid(offsets, offsets, indexing="ij"), -1) / (SIDE - 1)
        at = torch.stack(torch.meshgrid(*[torch.arange(SIDE)] * 2, indexing="ij")).flatten(1)
        apart = at[:, :, None] - at[:, None, :] + SIDE - 1
        self.register_buffer("table", table)
        self.register_buffer("index", apart[0] * (2 * SIDE - 1) + apart[1])

    def forward(self, x: Tensor) -> Tensor:
        bias = torch.cat([self.query_bias, torch.zeros_like(self.value_bias), self.value_bias])
        qkv = nn.functional.linear(x, self.qkv.weight, bias)
        q, k, v = qkv.reshape(x.shape[0], PLACES, 3, HEADS, -1).permute(2, 0, 3, 1, 4)
        q, k = nn.functional.normalize(q, dim=-1), nn.functional.normalize(k, dim=-1)
        scores = (q @ k.transpose(-2, -1)) * self.scale.clamp(max=MOST_SCALE).exp()
        places = self.places(self.table).view(-1, HEADS)[self.index.view(-1)]
        places = places.view(PLACES, PLACES, HEADS).permute(2, 0, 1)
        weights = (scores + 16 * torch.sigmoid(places)[None]).softmax(-1)
        y: Tensor = self.out((weights @ v).transpose(1, 2).reshape(x.shape[0], PLACES, WIDTH))
        return y


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.attention = nn.Linear(12, WIDTH), CosineAttention()
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.wide, self.narrow = nn.Linear(WIDTH, 64), nn.Linear(64, WIDTH)
        self.head = nn.Linear(WIDTH, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        x = x + self.norm1(self.attention(x))
        x = x + self.norm2(self.narrow(nn.functional.gelu(self.wide(x))))
        y: Tensor = self.head(x.mean(1))
        return y


@pytest.mark.parametrize("exporter", EXPORTERS)
def test_heads_go_with_their_scale_and_bias(exporter: str) -> None:
    torch.manual_seed(0)
    x = torch.randn(3, PLACES, 12)
    data = EXPORTERS[exporter](Network().eval(), (x,), 18)
    model = explorer.load(data)
    plan = explorer.plan(model, Recipe(pattern="channel", ratio=0.5, round_to=1, compensate=False))
    heads = next(layer for layer in plan.layers if layer.channels == 3 * WIDTH)
    assert heads.kept == heads.channels // 2
    before, after = explorer.profile(model).macs, explorer.estimate(model, plan).macs
    assert after < 0.55 * before
    feed = {onnx.load_model_from_string(data).graph.input[0].name: x.numpy()}
    found = run_onnx(explorer.apply(model, plan).data, feed)[0]
    wanted = expected_outputs(model, removed_channels(model, plan), feed)[0]
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
