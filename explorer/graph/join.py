"""From paired ids to units: connected components, made so that every tensor stays a full block.

A tensor whose ids vary along two axes (as heads and their width) can only lose whole indices of one
of them. Which one is decided here, after the whole graph has been seen: the one that leaves the
most units to choose from, among those that no operator holds fixed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from explorer.graph.channel_labels import NO_CHANNEL, Ids, Labels, is_one
from explorer.graph.tracer import Pair, Tracer


@dataclass(frozen=True)
class Joined:
    """Units by id and what is known about them; unit 0 is everything that stays.

    `reasons`: why a component stays; `guard_of_unit`: why a unit goes only on request; `joins`: the
    nodes that brought ids of different layers together, by unit; `ties`: a node that brought ids of
    one layer together.
    """

    unit_count: int
    unit_of_id: Ids
    component_of_id: Ids
    reasons: dict[int, str]
    guard_of_unit: dict[int, str]
    joins: dict[int, tuple[str, ...]]
    ties: dict[int, str]

    def reason_of_id(self, index: int) -> str:
        """Why an id that stays does so."""
        return self.reasons[int(self.component_of_id[index])]

    def joins_of(self, units: Sequence[int]) -> tuple[str, ...]:
        """Nodes that made any of these units, in the order of the graph."""
        return tuple(dict.fromkeys(node for unit in units for node in self.joins.get(unit, ())))


def join(tracer: Tracer) -> Joined:
    """Join what is paired, make blocks, and number what may go."""
    pairs = list(tracer.pairs)
    component = _components(pairs, tracer.next_id)
    shared = _shared_cuts(tracer, component)
    if shared:
        pairs += shared
        component = _components(pairs, tracer.next_id)
    for name, labels in tracer.labels.items():
        while len(axes := _varying(labels, component)) > 1:
            fixed = {each.axis for each in tracer.fixed if each.tensor == name}
            free = [axis for axis in axes if axis not in fixed] or axes
            chosen = max(free, key=lambda axis: _rows_left(labels, component, axis))
            others = [axis for axis in axes if axis != chosen]
            first, everywhere = labels.first_of(others)
            left, right = np.broadcast_arrays(first.ids, everywhere.ids)
            pairs.append(Pair(left.reshape(-1), right.reshape(-1), ""))
            component = _components(pairs, tracer.next_id)
    kept = list(tracer.kept) + _disagreeing(tracer, component)
    for each in tracer.fixed:
        held = tracer.labels.get(each.tensor)
        if held is not None and each.axis in _varying(held, component):
            kept.append((held.ids[held.ids != NO_CHANNEL], each.reason))
    reasons = _first_reasons(kept, component)
    reasons.setdefault(int(component[NO_CHANNEL]), "is combined with channels that can't be pruned")
    stays = np.zeros(int(component.max()) + 1, dtype=bool)
    stays[list(reasons)] = True
    number = np.where(stays, 0, np.cumsum(~stays))
    unit_of_id: Ids = number[component].astype(np.int64)
    guards = _first_reasons(tracer.guarded, component)
    return Joined(
        unit_count=int((~stays).sum()),
        unit_of_id=unit_of_id,
        component_of_id=component,
        reasons=reasons,
        guard_of_unit={int(number[c]): why for c, why in guards.items() if number[c]},
        joins=_joins(tracer, unit_of_id),
        ties=_ties(tracer, unit_of_id),
    )


def _shared_cuts(tracer: Tracer, component: Ids) -> list[Pair]:
    """Pairs of the ids that two readers of an initialiser give an index, where each gives one.

    An index that is many channels for a reader (a place within every head) never goes as a whole.
    """
    pairs = []
    for rows in tracer.cuts.values():
        single = [ids[:, 0] for ids in rows if is_one(component[ids]).all()]
        for other in single[1:]:
            both = (single[0] != NO_CHANNEL) & (other != NO_CHANNEL)
            pairs.append(Pair(single[0][both], other[both], ""))
    return pairs


def _disagreeing(tracer: Tracer, component: Ids) -> list[tuple[Ids, str]]:
    """Ids that stay because another reader of the same initialiser can't lose them with them."""
    kept = []
    for (name, _), rows in tracer.cuts.items():
        if len(rows) < 2:
            continue
        agreed = [np.where(is_one(component[ids]), component[ids][:, 0], -1) for ids in rows]
        differ = np.any([each != agreed[0] for each in agreed[1:]], axis=0)
        for ids in rows:
            moving = ids[differ]
            kept.append((moving[moving != NO_CHANNEL], f"shares the weight {name!r}"))
    return [(ids, reason) for ids, reason in kept if len(ids)]


def _components(pairs: list[Pair], count: int) -> Ids:
    left = np.concatenate([pair.left for pair in pairs] or [np.zeros(0, dtype=np.int64)])
    right = np.concatenate([pair.right for pair in pairs] or [np.zeros(0, dtype=np.int64)])
    edges = coo_array((np.ones(len(left), dtype=np.int8), (left, right)), shape=(count, count))
    _, component = connected_components(edges, directed=False)
    found: Ids = component.astype(np.int64)
    return found


def _varying(labels: Labels, component: Ids) -> list[int]:
    """Axes along which the components of a tensor vary."""
    if len(labels.axes) < 2:
        return list(labels.axes)
    return Labels(labels.factors, component[labels.ids]).varying()


def _rows_left(labels: Labels, component: Ids, axis: int) -> int:
    """How many units are left if each index of an axis goes as a whole."""
    rows = component[labels.distinct_rows(axis)]
    return len(np.unique(np.sort(rows, axis=1), axis=0))


def _first_reasons(noted: Sequence[tuple[Ids, str]], component: Ids) -> dict[int, str]:
    reasons: dict[int, str] = {}
    for ids, reason in noted:
        for found in np.unique(component[ids]).tolist():
            reasons.setdefault(found, reason)
    return reasons


def _joins(tracer: Tracer, unit_of_id: Ids) -> dict[int, tuple[str, ...]]:
    """Nodes that paired ids of two layers, or gave a layer those of another one, by unit."""
    owner = np.zeros(tracer.next_id, dtype=np.int64)
    joins: dict[int, dict[str, None]] = {}
    layers = {layer.name: layer for own in tracer.layers.values() for layer in own}
    for number, (name, ids) in enumerate(tracer.produced.items(), start=1):
        handed_on = ids[owner[ids] != 0]
        for unit in np.unique(unit_of_id[handed_on]).tolist():
            joins.setdefault(unit, {})[f"{layers[name].op} {layers[name].node!r}"] = None
        owner[ids[owner[ids] == 0]] = number
    for pair in tracer.pairs:
        between = owner[pair.left] != owner[pair.right]
        for unit in np.unique(unit_of_id[pair.left[between]]).tolist():
            joins.setdefault(unit, {})[pair.node] = None
    return {unit: tuple(nodes) for unit, nodes in joins.items() if unit}


def _ties(tracer: Tracer, unit_of_id: Ids) -> dict[int, str]:
    """The last node that paired different ids within each unit."""
    ties: dict[int, str] = {}
    for pair in tracer.pairs:
        for unit in np.unique(unit_of_id[pair.left]).tolist():
            ties[unit] = pair.node
    return ties
