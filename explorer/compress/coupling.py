"""Which layers a layer is coupled with, and how many of its channels are prunable."""

from dataclasses import dataclass

import numpy as np

from explorer.graph.channels import ChannelGroup, Channels, find_channels
from explorer.graph.layers import find_layers
from explorer.model import Model
from explorer.network import Layer
from explorer.reasons import COUPLED, Reason, held, on_request


@dataclass(frozen=True)
class Coupling:
    """The fields of a `LayerPlan` that follow from the graph alone; their meaning stands there."""

    group: str | None
    shrinks_with: tuple[str, ...]
    joined_by: tuple[str, ...]
    removable: int
    unprunable_reason: Reason | None


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
    reason: Reason | None = None
    if not open_:
        guards = [on_request(group.guard) for group in groups if group.guard is not None]
        of_graph = channels.reasons.get(layer.name)
        reason = held(of_graph) if of_graph else next(iter(guards), COUPLED)
    members = dict.fromkeys(name for group in groups for name in group.members)
    joined_by = dict.fromkeys(node for group in groups for node in group.joined_by)
    return Coupling(
        group=", ".join(dict.fromkeys(group.name for group in groups)) or None,
        shrinks_with=tuple(name for name in members if name != layer.name),
        joined_by=tuple(joined_by),
        removable=sum(_removable(layer, channels, group) for group in open_),
        unprunable_reason=reason,
    )


def _removable(layer: Layer, channels: Channels, group: ChannelGroup) -> int:
    """Channels of a layer in a group, without those of the smallest unit: one must stay."""
    own = channels.outputs[layer.name]
    counts = np.array([np.count_nonzero(own == unit) for unit in group.units])
    return int(counts.sum() - counts.min())
