"""Channel groups: which channels of which layers live and die together, found from the graph alone.

The idea is DepGraph's (Fang et al., arXiv 2301.12900), done on ids that flow through an ONNX graph
instead of on PyTorch modules. A *unit* is a set of ids that must go together; units are numbered
from 1, and unit 0 stands for everything that stays. A `ChannelGroup` is a row of units that belong
to the same layers, so that any number of them (but not all) can go.
"""

from collections import defaultdict
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from explorer.graph.rules import trace
from explorer.graph.tracer import NO_CHANNEL, Tracer
from explorer.model import Model, per_model

Units = npt.NDArray[np.int64]
Key = TypeVar("Key")


@dataclass(frozen=True)
class ChannelGroup:
    """Units whose channels lie in the same layers; `members` are those layers' names."""

    name: str
    members: tuple[str, ...]
    units: Units  # (channels,), in the channel order of the first member


@dataclass(frozen=True)
class Channels:
    """Where the units lie.

    `cuts`: unit of each slice of an initialiser along an axis; `activations`: axis of a tensor and
    the unit of each index on it; `regrouped`: units of the input channels of a depthwise
    convolution; `sized`: axis along which a node's constants name sizes; `outputs`: unit of each
    output channel of a layer; `reasons`: why a layer's channels stay.
    """

    unit_count: int
    groups: tuple[ChannelGroup, ...]
    cuts: dict[tuple[str, int], Units]
    activations: dict[str, tuple[int, Units]]
    regrouped: dict[str, Units]
    sized: dict[str, int]
    outputs: dict[str, Units]
    reasons: dict[str, str]


@per_model
def find_channels(model: Model) -> Channels:
    """Trace the ids, join those that are paired, drop those that must stay, and group the rest."""
    tracer = Tracer.of(model)
    trace(tracer)
    units, reason_of_unit, unit_of_id = _join(tracer)
    outputs = {name: unit_of_id[ids] for name, ids in tracer.produced.items()}
    activations = {
        name: (labels.axis, unit_of_id[labels.ids])
        for name, labels in tracer.labels.items()
        if unit_of_id[labels.ids].any()
    }
    return Channels(
        unit_count=units,
        groups=_group(outputs, activations),
        cuts=_moving({key: unit_of_id[ids] for key, ids in tracer.cuts.items()}),
        activations=activations,
        regrouped=_moving({key: unit_of_id[ids] for key, ids in tracer.regrouped.items()}),
        sized=dict(tracer.sized),
        outputs=outputs,
        reasons=_reasons(tracer, outputs, reason_of_unit),
    )


def _join(tracer: Tracer) -> tuple[int, dict[int, str], Units]:
    """Number of units that may go, the reason of each id's component that may not, unit per id."""
    count = tracer.next_id
    left = np.concatenate([pair[0] for pair in tracer.pairs] or [np.zeros(0, dtype=np.int64)])
    right = np.concatenate([pair[1] for pair in tracer.pairs] or [np.zeros(0, dtype=np.int64)])
    edges = coo_array((np.ones(len(left), dtype=np.int8), (left, right)), shape=(count, count))
    _, component = connected_components(edges, directed=False)
    reason_of_component: dict[int, str] = {}
    for ids, reason in tracer.kept:
        for kept in np.unique(component[ids]):
            reason_of_component.setdefault(int(kept), reason)
    stays = np.zeros(int(component.max()) + 1, dtype=bool)
    stays[list(reason_of_component)] = True
    stays[component[NO_CHANNEL]] = True
    number = np.where(stays, 0, np.cumsum(~stays))
    reason_of_id = {
        index: reason_of_component[int(component[index])]
        for index in range(1, count)
        if int(component[index]) in reason_of_component
    }
    return int((~stays).sum()), reason_of_id, number[component].astype(np.int64)


def _moving(places: dict[Key, Units]) -> dict[Key, Units]:
    """Places where at least one unit may go."""
    return {key: units for key, units in places.items() if units.any()}


def _group(
    outputs: dict[str, Units], activations: dict[str, tuple[int, Units]]
) -> tuple[ChannelGroup, ...]:
    """Rows of units with the same layers, and in the same tensors: none of these is ever emptied.

    A tensor that is split in two makes two rows of its channels.
    """
    members: dict[int, list[str]] = defaultdict(list)
    tensors: dict[int, list[str]] = defaultdict(list)
    for layer, units in outputs.items():
        for unit in dict.fromkeys(units.tolist()):
            members[unit].append(layer)
    for tensor, (_, units) in activations.items():
        for unit in np.unique(units).tolist():
            tensors[unit].append(tensor)
    rows: dict[tuple[tuple[str, ...], tuple[str, ...]], list[int]] = defaultdict(list)
    for unit, layers in members.items():
        if unit:
            rows[tuple(layers), tuple(tensors[unit])].append(unit)
    return tuple(
        ChannelGroup(layers[0], layers, np.array(units))
        for (layers, _), units in rows.items()
        if len(units) > 1
    )


def _reasons(
    tracer: Tracer, outputs: dict[str, Units], reason_of_id: dict[int, str]
) -> dict[str, str]:
    """Why no channel of a layer can go; layers that can lose some aren't listed."""
    reasons = dict(tracer.unlabelled)
    for layer, units in outputs.items():
        if not units.any():
            reasons[layer] = reason_of_id[int(tracer.produced[layer][0])]
    return reasons
