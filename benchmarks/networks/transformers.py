"""A text encoder of BERT's kind (arXiv 1810.04805) and ViT (arXiv 2010.11929)."""

import torch
from torch import nn


class EncoderLayer(nn.Module):
    """Self-attention with one projection for query, key and value, then a feed-forward part."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.wide, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, length, width = x.shape
        parts = self.qkv(self.norm1(x)).reshape(batch, length, 3, self.heads, width // self.heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        mixed = nn.functional.scaled_dot_product_attention(query, key, value)
        x = x + self.out(mixed.transpose(1, 2).reshape(batch, length, width))
        y: torch.Tensor = x + self.narrow(nn.functional.gelu(self.wide(self.norm2(x))))
        return y


class Encoder(nn.Module):
    """A transformer encoder of BERT's kind with heads 64 wide."""

    def __init__(self, words: int, width: int, layers: int) -> None:
        super().__init__()
        self.words = nn.Embedding(words, width)
        self.places = nn.Parameter(torch.zeros(1, 128, width))
        self.layers = nn.Sequential(*(EncoderLayer(width, width // 64) for _ in range(layers)))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 2)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.layers(self.words(tokens) + self.places)
        y: torch.Tensor = self.head(self.norm(x).mean(1))
        return y


def bert() -> nn.Module:
    """Six layers of width 384 and 30,522 words: 22.4 M parameters."""
    return Encoder(30_522, 384, 6)


class Vision(nn.Module):
    """Patches of 16 pixels as words, and a first one whose output is classified."""

    def __init__(self, width: int, layers: int, pixels: int) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, 16, 16)
        self.first = nn.Parameter(torch.zeros(1, 1, width))
        self.places = nn.Parameter(0.02 * torch.randn(1, (pixels // 16) ** 2 + 1, width))
        self.layers = nn.Sequential(*(EncoderLayer(width, width // 64) for _ in range(layers)))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 1000)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        words = self.patches(x).flatten(2).transpose(1, 2)
        first = self.first.expand(words.shape[0], -1, -1)
        words = self.layers(torch.cat([first, words], 1) + self.places)
        y: torch.Tensor = self.head(self.norm(words)[:, 0])
        return y


def vit_s() -> nn.Module:
    """ViT-S of twelve layers at 224 pixels: 22.1 M parameters, 4.3 G multiply-accumulates."""
    return Vision(384, 12, 224)
