"""Spreading a ratio of channels over groups.

A group gives its channels away in portions, least needed first. With a criterion that judges the
weights alone, one threshold on all scores decides; with one that knows the error, the next portion
is always the one that costs least error for the multiply-accumulates that it saves. Either way the
portions go in one fixed order, so a larger ratio removes all that a smaller one did.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from explorer.graph.channels import find_channels
from explorer.graph.costs import node_macs
from explorer.graph.layers import find_layers, find_nodes
from explorer.graph.shapes import infer_shapes
from explorer.model import Model
from explorer.network import per_model

WIDE_ENOUGH = 4  # steps

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Portions:
    """A group's channels (positions) in the order in which they go, cut into portions.

    After any number of whole portions a multiple of the rounding step is left, and never nothing.
    `scores` is what each channel is worth, `weight` how many channels of layers go with one.
    """

    order: npt.NDArray[np.int64]
    scores: Floats
    weight: float
    round_to: int

    @cached_property
    def ends(self) -> npt.NDArray[np.int64]:
        """Channels gone after each portion."""
        count = len(self.order)
        step = round_step(count, self.round_to)
        return np.arange(count % step or step, count, step)

    @property
    def sizes(self) -> npt.NDArray[np.int64]:
        """Channels in each portion."""
        return np.diff(self.ends, prepend=0)

    @property
    def sums(self) -> Floats:
        """Sum of the scores of each portion."""
        cumulated = np.concatenate([[0.0], np.cumsum(self.scores)])
        return np.diff(cumulated[self.ends], prepend=0.0)

    def closest(self, channels: float) -> int:
        """Number of portions that removes nearly `channels` channels."""
        return int(np.argmin(np.abs(np.concatenate([[0], self.ends]) - channels)))

    def first(self, portions: int) -> npt.NDArray[np.int64]:
        """Positions of the channels in the first portions."""
        return self.order[: self.ends[portions - 1]] if portions else self.order[:0]


def round_step(channels: int, round_to: int) -> int:
    """Channels are removed so that a multiple of this stays.

    A layer narrower than four steps uses the largest power of two that is at most a quarter of it.
    """
    if channels >= WIDE_ENOUGH * round_to:
        return round_to
    step = 1
    while step * 8 <= channels:
        step *= 2
    return min(step, round_to)


def by_score(portions: list[Portions]) -> list[int]:
    """The group whose turn it is, portion after portion, the lowest mean score first."""
    owner = np.concatenate([np.full(len(p.ends), index) for index, p in enumerate(portions)])
    means = np.concatenate([p.sums / np.maximum(p.sizes, 1) for p in portions])
    return [int(group) for group in owner[np.argsort(means, kind="stable")]]


def by_error(model: Model, portions: list[Portions], groups: list[int]) -> list[int]:
    """The group whose turn it is, portion after portion, the least error for its MACs first.

    `groups` are the places of the groups among all groups of the model.
    """
    shares = shares_of(model)
    inputs, outputs = shares.inputs[:, groups], shares.outputs[:, groups]
    steps = [_increasing(p.sums) for p in portions]
    taken = np.zeros(len(portions), dtype=np.int64)
    gone = np.zeros(len(portions))
    sequence: list[int] = []
    while True:
        open_ = [index for index, p in enumerate(portions) if taken[index] < len(p.ends)]
        if not open_:
            return sequence
        share = np.array([portions[i].sizes[taken[i]] / len(portions[i].order) for i in open_])
        error = np.array([steps[i][taken[i]] for i in open_])
        left_in, left_out = 1 - _total(inputs * gone), 1 - _total(outputs * gone)
        now = left_in * left_out
        then = (left_in[:, None] - inputs[:, open_] * share) * (
            left_out[:, None] - outputs[:, open_] * share
        )
        saved = _total((shares.macs[:, None] * (now[:, None] - then)).T)
        chosen = open_[int(np.argmin(error / np.maximum(saved, 1.0)))]
        gone[chosen] += portions[chosen].sizes[taken[chosen]] / len(portions[chosen].order)
        taken[chosen] += 1
        sequence.append(chosen)


def take(portions: list[Portions], sequence: list[int], ratio: float) -> list[int]:
    """Portions of each group, taken in sequence until `ratio` of all layers' channels is gone."""
    if not portions:
        return []
    place = [0] * len(portions)
    sizes = []
    for group in sequence:
        sizes.append(portions[group].sizes[place[group]] * portions[group].weight)
        place[group] += 1
    total = sum(len(p.order) * p.weight for p in portions)
    removed = np.concatenate([[0.0], np.cumsum(sizes)])
    count = int(np.argmin(np.abs(removed - ratio * total)))
    taken = np.bincount(np.array(sequence[:count], dtype=np.int64), minlength=len(portions))
    return [int(number) for number in taken]


def _total(terms: Floats) -> Floats:
    """Sums along the last axis, term after term, so that the panel gets the very same ones."""
    return terms.cumsum(axis=-1)[..., -1]


def _increasing(errors: Floats) -> Floats:
    """Errors of portions, none smaller than the previous one: portions can't go out of turn."""
    return np.maximum.accumulate(errors)


@dataclass(frozen=True, eq=False)
class Shares:
    """MACs of each layer, and which part of its inputs and outputs belongs to each group."""

    macs: Floats  # (layers,)
    inputs: Floats  # (layers, groups)
    outputs: Floats  # (layers, groups)


@per_model
def shares_of(model: Model) -> Shares:
    channels, shapes = find_channels(model), infer_shapes(model)
    nodes = find_nodes(model)
    layers = find_layers(model)
    macs = np.zeros(len(layers))
    inputs, outputs = np.zeros((2, len(layers), len(channels.groups)))
    for row, layer in enumerate(layers):
        node = nodes[layer.node]
        dims = [
            [shapes.dims.get(str(v.name)) if v else None for v in side]
            for side in (node.inputs, node.outputs)
        ]
        macs[row] = node_macs(node, *dims) or 0
        for axis, table in ((layer.in_axis, inputs), (layer.out_axis, outputs)):
            units = channels.cuts.get((layer.weight, axis))
            if units is not None:
                for column, group in enumerate(channels.groups):
                    table[row, column] = np.isin(units, group.units).mean()
    return Shares(macs, inputs, outputs)
