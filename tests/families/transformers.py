"""Transformers for images and text, with every way in which people write attention."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from families.family import NORMALISED, Family, sequences
from families.family import images as images_of

WIDTH, HEADS, HIDDEN = 24, 4, 40
OUTPUT = {"head": "feeds graph output"}


class Feedforward(nn.Module):
    def __init__(self, width: int = WIDTH) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, HIDDEN), nn.Linear(HIDDEN, width)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.fc2(functional.gelu(self.fc1(x)))
        return y


def split_heads(x: Tensor, heads: int = HEADS) -> Tensor:
    """(batch, length, width) to (batch, heads, length, width / heads)."""
    n, length, width = x.shape
    return x.view(n, length, heads, width // heads).transpose(1, 2)


def join_heads(x: Tensor) -> Tensor:
    """The inverse of `split_heads`."""
    n, heads, length, width = x.shape
    return x.transpose(1, 2).reshape(n, length, heads * width)


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Scaled products by hand; all (batch, heads, length, width)."""
    return torch.softmax(q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1]), -1) @ v


class Fused(nn.Module):
    """One layer for query, key and value, told apart by a reshape (timm's ViT)."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.proj = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        n, length, _ = x.shape
        qkv = self.qkv(x).reshape(n, length, 3, HEADS, WIDTH // HEADS).permute(2, 0, 3, 1, 4)
        q, k, v = qkv.unbind(0)
        y: Tensor = self.proj(join_heads(attend(q * 0.4, k, v)))
        return y


class Chunked(Fused):
    """One layer for query, key and value, told apart by `chunk` (nanoGPT)."""

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).chunk(3, dim=-1)
        y: Tensor = self.proj(join_heads(attend(split_heads(q), split_heads(k), split_heads(v))))
        return y


class Scaled(Fused):
    """`scaled_dot_product_attention`."""

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (split_heads(part) for part in self.qkv(x).split(WIDTH, dim=2))
        y: Tensor = self.proj(join_heads(functional.scaled_dot_product_attention(q, k, v)))
        return y


class Separate(nn.Module):
    """A layer each for query, key and value (BERT)."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(WIDTH, WIDTH) for _ in range(3))
        self.proj = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (split_heads(part(x)) for part in (self.q, self.k, self.v))
        y: Tensor = self.proj(join_heads(attend(q, k, v)))
        return y


class Summed(Separate):
    """Both products as Einstein sums."""

    def forward(self, x: Tensor) -> Tensor:
        n, length, _ = x.shape
        q, k, v = (part(x).view(n, length, HEADS, -1) for part in (self.q, self.k, self.v))
        scores = torch.einsum("bqhd,bkhd->bhqk", q, k) / math.sqrt(q.shape[-1])
        mixed = torch.einsum("bhqk,bkhd->bqhd", scores.softmax(-1), v)
        y: Tensor = self.proj(mixed.reshape(n, length, -1))
        return y


class GroupedQuery(nn.Module):
    """Two heads of keys and values for four of queries (arXiv 2305.13245)."""

    def __init__(self, expand: bool) -> None:
        super().__init__()
        self.q, self.proj = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.k, self.v = nn.Linear(WIDTH, WIDTH // 2), nn.Linear(WIDTH, WIDTH // 2)
        self.expand = expand

    def forward(self, x: Tensor) -> Tensor:
        k, v = (self._repeat(split_heads(part(x), HEADS // 2)) for part in (self.k, self.v))
        y: Tensor = self.proj(join_heads(attend(split_heads(self.q(x)), k, v)))
        return y

    def _repeat(self, x: Tensor) -> Tensor:
        if not self.expand:
            return x.repeat_interleave(2, dim=1)
        n, heads, length, width = x.shape
        return x[:, :, None].expand(n, heads, 2, length, width).reshape(n, -1, length, width)


class Block(nn.Module):
    """Normalised first, as in ViT (arXiv 2010.11929), or last, as in BERT (arXiv 1810.04805)."""

    def __init__(self, attention: nn.Module, first: bool = True) -> None:
        super().__init__()
        self.attention, self.feedforward = attention, Feedforward()
        self.norm1, self.norm2, self.first = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH), first

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor
        if self.first:
            x = x + self.attention(self.norm1(x))
            y = x + self.feedforward(self.norm2(x))
            return y
        x = self.norm1(x + self.attention(x))
        y = self.norm2(x + self.feedforward(x))
        return y


class Vision(nn.Module):
    """Patches, class token, positions, blocks, head on the class token."""

    def __init__(self, attention: type[nn.Module]) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, WIDTH, 4, 4)
        self.token = nn.Parameter(torch.randn(1, 1, WIDTH))
        self.positions = nn.Parameter(torch.randn(1, 17, WIDTH))
        self.blocks = nn.Sequential(*[Block(attention()) for _ in range(2)])
        self.norm, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.positions
        y: Tensor = self.head(self.norm(self.blocks(x))[:, 0])
        return y


class Text(nn.Module):
    """Embedded ids, positions and segments, blocks, pooled by the first token."""

    places: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.words, self.positions = nn.Embedding(50, WIDTH), nn.Embedding(16, WIDTH)
        self.norm = nn.LayerNorm(WIDTH)
        self.blocks = nn.Sequential(*[Block(Separate(), first=False) for _ in range(2)])
        self.pool, self.head = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, 3)
        self.register_buffer("places", torch.arange(16)[None])

    def forward(self, ids: Tensor) -> Tensor:
        x = self.words(ids) + self.positions(self.places[:, : ids.shape[1]])
        x = self.blocks(self.norm(x))
        y: Tensor = self.head(torch.tanh(self.pool(x[:, 0])))
        return y


class Encoder(nn.Module):
    """torch's own layers, which keep query, key and value in one parameter."""

    def __init__(self) -> None:
        super().__init__()
        layers = [nn.TransformerEncoderLayer(WIDTH, HEADS, HIDDEN, batch_first=True) for _ in "12"]
        self.encoder = nn.Sequential(*layers)
        self.head = nn.Linear(WIDTH, 5)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.head(self.encoder(x).mean(1))
        return y


class MultiHead(nn.Module):
    """`nn.MultiheadAttention` between two sequences."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)
        self.norm, self.feedforward = nn.LayerNorm(WIDTH), Feedforward()
        self.head = nn.Linear(WIDTH, 5)

    def forward(self, x: Tensor, other: Tensor) -> Tensor:
        x = x + self.attention(x, other, other, need_weights=False)[0]
        y: Tensor = self.head((x + self.feedforward(self.norm(x))).mean(1))
        return y


class Sequence(nn.Module):
    """Blocks between a linear layer and a head."""

    def __init__(self, attention: nn.Module) -> None:
        super().__init__()
        self.stem, self.block = nn.Linear(12, WIDTH), Block(attention)
        self.norm, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 5)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.head(self.norm(self.block(self.stem(x))))
        return y


class WindowAttention(nn.Module):
    """Fused attention in windows, with a learnt bias for each relative position."""

    index: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.qkv, self.proj = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.table = nn.Parameter(torch.randn((2 * size - 1) ** 2, HEADS))
        places = torch.stack(torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij"))
        offsets = (places.flatten(1)[:, :, None] - places.flatten(1)[:, None]) + size - 1
        self.register_buffer("index", offsets[0] * (2 * size - 1) + offsets[1])

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        n, length, _ = x.shape
        qkv = self.qkv(x).reshape(n, length, 3, HEADS, -1).permute(2, 0, 3, 1, 4)
        scores = qkv[0] * (WIDTH // HEADS) ** -0.5 @ qkv[1].transpose(-2, -1)
        bias = self.table[self.index.view(-1)].view(length, length, -1).permute(2, 0, 1)
        scores = scores + bias.unsqueeze(0)
        if mask is not None:
            windows = mask.shape[0]
            scores = scores.view(-1, windows, HEADS, length, length) + mask[:, None]
            scores = scores.view(-1, HEADS, length, length)
        mixed = scores.softmax(-1) @ qkv[2]
        y: Tensor = self.proj(mixed.transpose(1, 2).reshape(n, length, -1))
        return y


class SwinBlock(nn.Module):
    """Windows of 4 x 4, shifted by two in every second block (arXiv 2103.14030)."""

    def __init__(self, side: int, shift: int, window: int = 4) -> None:
        super().__init__()
        self.side, self.shift, self.window = side, shift, window
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.attention, self.feedforward = WindowAttention(window), Feedforward()
        self.register_buffer("mask", self._make_mask() if shift else None)

    def _make_mask(self) -> Tensor:
        """-100 between places that weren't neighbours before the shift, (windows, w*w, w*w)."""
        image = torch.zeros(1, self.side, self.side, 1)
        edges = [0, self.side - self.window, self.side - self.shift, self.side]
        for i in range(3):
            for j in range(3):
                image[:, edges[i] : edges[i + 1], edges[j] : edges[j + 1]] = 3 * i + j
        areas = self._cut(image).squeeze(-1)
        return (areas[:, None] != areas[:, :, None]).float() * -100

    def _cut(self, x: Tensor) -> Tensor:
        n, w = x.shape[0], self.window
        x = x.view(n, self.side // w, w, self.side // w, w, -1).permute(0, 1, 3, 2, 4, 5)
        return x.reshape(-1, w * w, x.shape[-1])

    def _paste(self, x: Tensor) -> Tensor:
        k, w = self.side // self.window, self.window
        x = x.view(-1, k, k, w, w, x.shape[-1]).permute(0, 1, 3, 2, 4, 5)
        return x.reshape(-1, self.side, self.side, x.shape[-1])

    def forward(self, x: Tensor) -> Tensor:
        y = torch.roll(self.norm1(x), (-self.shift, -self.shift), (1, 2)) if self.shift else None
        y = self._paste(self.attention(self._cut(self.norm1(x) if y is None else y), self.mask))
        x = x + (torch.roll(y, (self.shift, self.shift), (1, 2)) if self.shift else y)
        out: Tensor = x + self.feedforward(self.norm2(x))
        return out


class Swin(nn.Module):
    """Two blocks, four neighbours merged into one, a head."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, WIDTH, 2, 2)
        self.blocks = nn.Sequential(SwinBlock(8, 0), SwinBlock(8, 2))
        self.merge_norm, self.merge = nn.LayerNorm(4 * WIDTH), nn.Linear(4 * WIDTH, 32, bias=False)
        self.norm, self.head = nn.LayerNorm(32), nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(self.patches(x).permute(0, 2, 3, 1))
        x = torch.cat([x[:, i::2, j::2] for j in (0, 1) for i in (0, 1)], -1)
        x = self.merge(self.merge_norm(x))
        y: Tensor = self.head(self.norm(x).mean((1, 2)))
        return y


def _ids() -> tuple[Tensor, ...]:
    return (torch.randint(0, 50, (2, 12), generator=torch.Generator().manual_seed(1)),)


def _two() -> tuple[Tensor, ...]:
    return (*sequences(6, WIDTH)(), *sequences(9, WIDTH)())


STREAM = {"patches": NORMALISED, "blocks.0.feedforward.fc2": NORMALISED}
VISION = {**OUTPUT, **STREAM, "blocks.1.attention.proj": NORMALISED}
SEQUENCE = {**OUTPUT, "stem": NORMALISED, "block.attention.proj": NORMALISED}
FAMILIES = [
    Family("vit_fused", lambda: Vision(Fused), images_of(), 10, 4, VISION),
    Family("vit_chunk", lambda: Vision(Chunked), images_of(), 10, 4, VISION),
    Family("vit_sdpa", lambda: Vision(Scaled), images_of(), 10, 4, VISION),
    Family(
        "bert",
        Text,
        _ids,
        layers=15,
        prunable=9,
        stays={**OUTPUT, "blocks.0.attention.proj": NORMALISED},
    ),
    Family("encoder_layer", Encoder, sequences(7, WIDTH), 9, 4, OUTPUT),
    Family("multihead", MultiHead, _two, 6, 3, OUTPUT),
    Family("einsum", lambda: Sequence(Summed()), sequences(7, 12), 8, 4, SEQUENCE),
    Family(
        "grouped_query", lambda: Sequence(GroupedQuery(False)), sequences(7, 12), 8, 4, SEQUENCE
    ),
    Family(
        "grouped_expand", lambda: Sequence(GroupedQuery(True)), sequences(7, 12), 8, 4, SEQUENCE
    ),
    Family(
        "swin",
        Swin,
        images_of(),
        layers=11,
        prunable=4,
        stays={**STREAM, **OUTPUT, "merge": NORMALISED},
    ),
]
