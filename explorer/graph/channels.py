"""Channel groups: which channels of which layers live and die together, found from the graph alone.

The idea is DepGraph's (Fang et al., arXiv 2301.12900), done on ids that flow through an ONNX graph
instead of on PyTorch modules. A *unit* is a set of ids that must go together; units are numbered
from 1, and unit 0 stands for everything that stays. A `ChannelGroup` is a row of units that belong
to the same layers, so that any number of them (but not all) can be pruned.
"""

from collections import defaultdict
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from explorer.graph.channel_labels import Labels, is_one
from explorer.graph.join import Joined, join
from explorer.graph.rules import trace
from explorer.graph.tracer import Tracer
from explorer.network import Network, per_model

Units = npt.NDArray[np.int64]
Key = TypeVar("Key")


@dataclass(frozen=True)
class ChannelGroup:
    """Units whose channels lie in the same layers; `members` are those layers' names.

    `joined_by` are the nodes that couple these layers. `guard` says why the channels
    go only on request; None where nothing speaks against it.
    """

    name: str
    members: tuple[str, ...]
    units: Units  # (channels,), in the channel order of the first member
    joined_by: tuple[str, ...] = ()
    guard: str | None = None


@dataclass(frozen=True)
class Shrinking:
    """An axis of an activation that channels may leave: each index stands `repeat` times."""

    axis: int
    units: Units
    repeat: int = 1


@dataclass(frozen=True)
class Channels:
    """Where the units lie.

    `cuts`: unit of each slice of an initialiser along an axis; `activations`: the axis of a tensor
    that shrinks; `counted`: units that an attribute counts, by node and name; `sized`: nodes whose
    constants name sizes or places; `outputs`: unit of each output channel of a layer; `reasons`:
    why a layer's channels stay.
    """

    unit_count: int
    groups: tuple[ChannelGroup, ...]
    cuts: dict[tuple[str, int], Units]
    activations: dict[str, Shrinking]
    counted: dict[tuple[str, str], Units]
    sized: frozenset[str]
    outputs: dict[str, Units]
    reasons: dict[str, str]


@per_model
def find_channels(model: Network) -> Channels:
    """Trace the ids, join those that are paired, drop those that must stay, and group the rest."""
    tracer = Tracer.of(model)
    trace(tracer)
    joined = join(tracer)
    units = joined.unit_of_id
    outputs = {name: units[ids] for name, ids in tracer.produced.items()}
    activations = {
        name: shrinking
        for name, labels in tracer.labels.items()
        if (shrinking := _shrinking(labels, units)) is not None
    }
    counted = {key: units[ids] for key, ids in tracer.counted.items()}
    return Channels(
        unit_count=joined.unit_count,
        groups=_group(outputs, tracer.labels, joined),
        cuts=_moving({key: _agreed(units[np.hstack(rows)]) for key, rows in tracer.cuts.items()}),
        activations=activations,
        counted={key: own for key, own in counted.items() if own.any()},
        sized=frozenset(tracer.sized),
        outputs=outputs,
        reasons=_reasons(tracer, outputs, joined),
    )


def _moving(places: dict[Key, Units]) -> dict[Key, Units]:
    """Places where at least one unit may go."""
    return {key: units for key, units in places.items() if units.any()}


def _agreed(rows: Units) -> Units:
    """The unit of each row where all of it is one unit; a row of several never goes as a whole."""
    agreed: Units = np.where(is_one(rows), rows[:, 0], 0)
    return agreed


def _shrinking(labels: Labels, unit_of_id: Units) -> Shrinking | None:
    """The one axis along which the units of a tensor vary."""
    of_units = Labels(labels.factors, unit_of_id[labels.ids])
    if not of_units.ids.any():
        return None
    axes = of_units.varying()
    if not axes:
        return None
    axis = axes[0]
    dropped = [other for other in of_units.axes if other != axis]
    first, _ = of_units.first_of(dropped)
    inner = [first.ids.shape[place] for place in first.places(axis)]
    repeat = 1
    for size, length in zip(first.factors[axis], inner, strict=True):
        repeat *= size if length == 1 else 1
    return Shrinking(axis, first.ids.reshape(-1), repeat)


def _group(
    outputs: dict[str, Units], labels: dict[str, Labels], joined: Joined
) -> tuple[ChannelGroup, ...]:
    """Rows of units with the same layers, and in the same tensors: none of these is ever emptied.

    A tensor that is split in two makes two rows of its channels; a unit that is all there is in a
    tensor is alone in its row, and stays.
    """
    members: dict[int, list[str]] = defaultdict(list)
    tensors: dict[int, list[str]] = defaultdict(list)
    for layer, units in outputs.items():
        for unit in dict.fromkeys(units.tolist()):
            members[unit].append(layer)
    for tensor, of in labels.items():
        for unit in np.unique(joined.unit_of_id[of.ids]).tolist():
            tensors[unit].append(tensor)
    rows: dict[tuple[tuple[str, ...], tuple[str, ...], str | None], list[int]] = defaultdict(list)
    for unit, layers in members.items():
        if unit:
            key = (tuple(layers), tuple(tensors[unit]), joined.guard_of_unit.get(unit))
            rows[key].append(unit)
    return tuple(
        ChannelGroup(layers[0], layers, np.array(units), joined.joins_of(units), guard)
        for (layers, _, guard), units in rows.items()
        if len(units) > 1
    )


def _reasons(tracer: Tracer, outputs: dict[str, Units], joined: Joined) -> dict[str, str]:
    """Why no channel of a layer is prunable; prunable layers aren't listed."""
    reasons = dict(tracer.unlabelled)
    for layer, units in outputs.items():
        moving = np.unique(units[units > 0])
        if not len(moving):
            reasons[layer] = joined.reason_of_id(int(tracer.produced[layer][0]))
        elif len(moving) == 1 and int(moving[0]) in joined.ties:
            reasons[layer] = f"has all its channels tied together by {joined.ties[int(moving[0])]}"
    return reasons
