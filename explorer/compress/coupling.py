"""Which layers a layer is coupled with, and how many of its channels are prunable."""

from dataclasses import dataclass

import numpy as np

from explorer.graph.channels import ChannelGroup, Channels, find_channels
from explorer.graph.layers import find_layers
from explorer.model import Model
from explorer.network import Layer
from explorer.reasons import ON_REQUEST

ALONE = "none of its channels can be pruned without another layer's"


@dataclass(frozen=True)
class Coupling:
    """The fields of a `LayerPlan` that follow from the graph alone; their meaning stands there."""

    group: str | None
    shrinks_with: tuple[str, ...]
    joined_by: tuple[str, ...]
    removable: int
    unprunable: str | None


def find_couplings(model: Model, widths: bool) -> dict[str, Coupling]:
    """The coupling of every layer, by its name; `widths` as in the recipe."""
    key = ("couplings", widths)
    if key not in model.cache:
        channels = find_channels(model)
        of_layer: dict[str, list[ChannelGroup]] = {}
        for group in channels.groups:
            for member in group.members:
                of_layer.setdefault(member, []).append(group)
        model.cache[key] = {
            layer.name: _couple(layer, channels, of_layer.get(layer.name, []), widths)
            for layer in find_layers(model)
        }
    couplings: dict[str, Coupling] = model.cache[key]
    return couplings


def _couple(layer: Layer, channels: Channels, groups: list[ChannelGroup], widths: bool) -> Coupling:
    open_ = [group for group in groups if widths or group.guard is None]
    reason = None
    if not open_:
        guards = [f"{group.guard}, so it {ON_REQUEST}" for group in groups]
        reason = channels.reasons.get(layer.name) or next(iter(guards), ALONE)
    members = dict.fromkeys(name for group in groups for name in group.members)
    joined_by = dict.fromkeys(node for group in groups for node in group.joined_by)
    return Coupling(
        group=", ".join(dict.fromkeys(group.name for group in groups)) or None,
        shrinks_with=tuple(name for name in members if name != layer.name),
        joined_by=tuple(joined_by),
        removable=sum(_removable(layer, channels, group) for group in open_),
        unprunable=reason,
    )


def _removable(layer: Layer, channels: Channels, group: ChannelGroup) -> int:
    """Channels of a layer in a group, without those of the smallest unit: one must stay."""
    own = channels.outputs[layer.name]
    counts = np.array([np.count_nonzero(own == unit) for unit in group.units])
    return int(counts.sum() - counts.min())
