"""Which channel each element of a tensor belongs to, without an entry for each element.

An axis is thought of as the product of its *factors*, outermost first: an axis of 12 that holds
3 heads of 4 is (3, 4). Channel ids are kept only along the factors with which they vary, so the
labels of an image are as large as its number of channels, however many pixels it has. Moving
operators (Reshape, Transpose, ...) regroup factors; they are carried out exactly.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
import numpy.typing as npt

from explorer.network import Shape

Ids = npt.NDArray[np.int64]
Factors = tuple[tuple[int, ...], ...]

NO_CHANNEL = 0  # an element that belongs to no removable channel
MOST_IDS = 2**22  # of one tensor


class TooManyIdsError(Exception):
    """The labels of a tensor would need an entry for nearly each of its elements."""


@dataclass(frozen=True)
class Labels:
    """`factors` of each axis, and `ids` with one axis per factor: 1 long where ids don't vary."""

    factors: Factors
    ids: Ids

    @classmethod
    def on_axis(cls, shape: Shape, axis: int, ids: Ids) -> "Labels":
        """Ids that vary along one axis of a tensor, `ids` having its length."""
        factors = tuple((size,) if size != 1 else () for size in shape)
        dims = [1] * sum(len(group) for group in factors)
        if shape[axis] != 1:
            dims[sum(len(group) for group in factors[:axis])] = shape[axis]
        return cls(factors, ids.reshape(dims))

    @classmethod
    def on_grid(cls, shape: Shape, ids: Ids) -> "Labels":
        """Ids with one axis per axis of a tensor, 1 long where they don't vary."""
        factors = tuple((size,) if size != 1 else () for size in shape)
        kept = [length for length, size in zip(ids.shape, shape, strict=True) if size != 1]
        return cls(factors, ids.reshape(kept))

    @property
    def shape(self) -> Shape:
        """Shape of the tensor."""
        return tuple(prod(group) for group in self.factors)

    @property
    def axes(self) -> tuple[int, ...]:
        """Axes along which the ids vary."""
        return tuple(
            axis
            for axis in range(len(self.factors))
            if any(self.ids.shape[place] > 1 for place in self.places(axis))
        )

    def varying(self) -> list[int]:
        """Those of `axes` along which the ids really differ."""
        rows = {axis: self.distinct_rows(axis) for axis in self.axes}
        return [axis for axis, of in rows.items() if (of != of[:1]).any()]

    def grid(self) -> Ids:
        """The ids with one axis per axis of the tensor, 1 long where they don't vary."""
        labels = self
        for axis in range(len(self.factors)):
            labels = labels.merged(axis)
        dims = []
        for axis in range(len(self.factors)):
            places = labels.places(axis)
            dims.append(labels.ids.shape[places[0]] if places else 1)
        return labels.ids.reshape(dims)

    def rows(self, axis: int) -> Ids:
        """The ids at each index of an axis, (size, 1 or more)."""
        ids, at = self._flat(axis), self._at(axis)
        rows = np.moveaxis(ids, at, 0).reshape(ids.shape[at], -1)
        return np.broadcast_to(rows, (self.shape[axis], rows.shape[1]))

    def distinct_rows(self, axis: int) -> Ids:
        """As `rows`, without the repetitions along factors with which no id varies."""
        places = [place for place in self.places(axis) if self.ids.shape[place] > 1]
        front = np.moveaxis(self.ids, places, range(len(places)))
        return front.reshape(prod(front.shape[: len(places)]), -1)

    def first_of(self, axes: Sequence[int]) -> tuple["Labels", "Labels"]:
        """The labels at the first index of some axes, there and (broadcast) everywhere.

        Both have the factors of the second one, so that their ids can be compared.
        """
        ids = self.ids
        for axis in axes:
            for place in self.places(axis):
                ids = ids.take([0], axis=place)
        return Labels(self.factors, ids), self

    def merged(self, axis: int) -> "Labels":
        """The same, with the factors of an axis multiplied into one."""
        group, places = self.factors[axis], self.places(axis)
        if len(group) < 2:
            return self
        before = self.ids.shape[: places[0]]
        inside = self.ids.shape[places[0] : places[-1] + 1]
        after = self.ids.shape[places[-1] + 1 :]
        ids, size = self.ids, 1
        if any(length > 1 for length in inside):
            size = prod(group)
            _check_size(prod(before) * size * prod(after))
            ids = np.broadcast_to(ids, (*before, *group, *after))
        factors = (*self.factors[:axis], (prod(group),), *self.factors[axis + 1 :])
        return Labels(factors, ids.reshape((*before, size, *after)))

    def transposed(self, order: Sequence[int]) -> "Labels":
        """Axis `order[i]` becomes axis i."""
        places = [place for axis in order for place in self.places(axis)]
        return Labels(tuple(self.factors[axis] for axis in order), self.ids.transpose(places))

    def reshaped(self, shape: Shape) -> "Labels":
        """The same elements in the same order, as a tensor of another shape (without zeros)."""
        sizes = [size for group in self.factors for size in group]
        ids, place = self.ids, 0
        factors: list[tuple[int, ...]] = []
        for dim in shape:
            group: list[int] = []
            left = dim
            while left > 1:
                size = sizes[place]
                if left % size == 0:
                    group.append(size)
                    left //= size
                    place += 1
                elif size % left == 0:
                    ids = _split(ids, place, left, size // left)
                    sizes[place : place + 1] = [left, size // left]
                else:
                    ids = _join(ids, place, sizes[place], sizes[place + 1])
                    sizes[place : place + 2] = [sizes[place] * sizes[place + 1]]
            factors.append(tuple(group))
        return Labels(tuple(factors), ids)

    def resized(self, axis: int, size: int) -> "Labels":
        """An axis along which no id varies gets another size."""
        return self._with_axis(axis, size, self._flat(axis).take([0], axis=self._at(axis)))

    def taken(self, axis: int, indices: npt.NDArray[np.int64]) -> "Labels":
        """The elements at `indices` of an axis."""
        labels = self.merged(axis)
        if axis not in labels.axes:
            return labels.resized(axis, len(indices))
        ids = labels._flat(axis).take(indices, axis=labels._at(axis))
        return labels._with_axis(axis, len(indices), ids)

    def without(self, axis: int) -> "Labels":
        """An axis of size 1 goes."""
        return Labels((*self.factors[:axis], *self.factors[axis + 1 :]), self.ids)

    def expanded(self, shape: Shape) -> "Labels":
        """Broadcast to a shape of at least as many axes."""
        missing = len(shape) - len(self.factors)
        labels = Labels(((),) * missing + self.factors, self.ids)
        for axis, size in enumerate(shape):
            if not labels.factors[axis] and size != 1:
                labels = labels.resized(axis, size)
        return labels

    def repeated(self, axis: int, times: int) -> "Labels":
        """The whole axis `times` times, one after the other."""
        if times == 1:
            return self
        at = self._at(axis)
        group = (times, *self.factors[axis])
        factors = (*self.factors[:axis], group, *self.factors[axis + 1 :])
        return Labels(factors, np.expand_dims(self.ids, at))

    def places(self, axis: int) -> range:
        """Where the factors of an axis stand among the axes of `ids`."""
        first = self._at(axis)
        return range(first, first + len(self.factors[axis]))

    def _at(self, axis: int) -> int:
        return sum(len(group) for group in self.factors[:axis])

    def _flat(self, axis: int) -> Ids:
        """The ids with exactly one axis for an axis of the tensor."""
        labels = self.merged(axis)
        if labels.factors[axis]:
            return labels.ids
        return np.expand_dims(labels.ids, self._at(axis))

    def _with_axis(self, axis: int, size: int, ids: Ids) -> "Labels":
        """A new size for an axis, whose place `ids` has filled already."""
        group = (size,) if size != 1 else ()
        if not group:
            ids = np.squeeze(ids, axis=self._at(axis))
        return Labels((*self.factors[:axis], group, *self.factors[axis + 1 :]), ids)


def is_one(rows: Ids) -> npt.NDArray[np.bool_]:
    """True for each row, (dim, any), in which all ids are the same."""
    same: npt.NDArray[np.bool_] = (rows == rows[:, :1]).all(axis=1)
    return same


def aligned(labels: Sequence[Labels], apart: int | None = None) -> list[Labels]:
    """Operands of one broadcast, with factors (of the same size, or none) that fit one another.

    The factors of the axis `apart` stay as they are.
    """
    rank = max(len(each.factors) for each in labels)
    fitting = [
        Labels(((),) * (rank - len(each.factors)) + each.factors, each.ids) for each in labels
    ]
    for axis in range(rank):
        groups = {each.factors[axis] for each in fitting} - {()}
        if axis == apart or not groups:
            continue
        common = _common([list(group) for group in groups])
        fitting = [_refined(each, axis, common) for each in fitting]
    return fitting


def stacked(labels: Sequence[Labels], axis: int) -> Labels:
    """Tensors one behind the other along an axis; they agree in all others."""
    fitting = aligned([each.merged(axis) for each in labels], apart=axis)
    at = fitting[0]._at(axis)
    flat = [each._flat(axis) for each in fitting]
    dims = np.broadcast_shapes(*(ids.take([0], axis=at).shape for ids in flat))
    sizes = [each.shape[axis] for each in labels]
    _check_size(prod(dims) * sum(sizes))
    parts = [
        np.broadcast_to(ids, (*dims[:at], size, *dims[at + 1 :]))
        for ids, size in zip(flat, sizes, strict=True)
    ]
    return fitting[0]._with_axis(axis, sum(sizes), np.concatenate(parts, axis=at))


def _common(groups: list[list[int]]) -> tuple[int, ...]:
    """The coarsest factors into which all of these can be split; a single one if need be."""
    total = prod(groups[0])
    common: list[int] = []
    while groups[0]:
        step = min(group[0] for group in groups)
        if any(group[0] % step for group in groups):
            return (total,)
        common.append(step)
        for group in groups:
            group[:1] = [group[0] // step] if group[0] > step else []
    return tuple(common)


def _refined(labels: Labels, axis: int, factors: tuple[int, ...]) -> Labels:
    """An axis with other factors of the same size; one of size 1 gets them without varying."""
    group, places = labels.factors[axis], labels.places(axis)
    if group == factors:
        return labels
    ids, at = labels.ids, places.start
    before, after = ids.shape[:at], ids.shape[places.stop :]
    if not group:
        ids = ids.reshape((*before, *(1 for _ in factors), *after))
    elif len(factors) == 1:
        ids = labels.merged(axis).ids
    else:
        sizes, place = list(group), at
        for size in factors:
            if sizes[0] == size:
                sizes = sizes[1:]
            else:
                ids = _split(ids, place, size, sizes[0] // size)
                sizes[0] //= size
            place += 1
    return Labels((*labels.factors[:axis], factors, *labels.factors[axis + 1 :]), ids)


def _split(ids: Ids, place: int, outer: int, inner: int) -> Ids:
    """An axis of `ids` becomes two."""
    new = (outer, inner) if ids.shape[place] > 1 else (1, 1)
    return ids.reshape((*ids.shape[:place], *new, *ids.shape[place + 1 :]))


def _join(ids: Ids, place: int, outer: int, inner: int) -> Ids:
    """Two neighbouring axes of `ids`, of these full sizes, become one."""
    before, pair, after = ids.shape[:place], ids.shape[place : place + 2], ids.shape[place + 2 :]
    if pair == (1, 1):
        return ids.reshape((*before, 1, *after))
    _check_size(prod(before) * outer * inner * prod(after))
    return np.broadcast_to(ids, (*before, outer, inner, *after)).reshape(
        (*before, outer * inner, *after)
    )


def _check_size(count: int) -> None:
    if count > MOST_IDS:
        raise TooManyIdsError
