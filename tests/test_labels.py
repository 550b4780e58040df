"""Labels move as an id for each element would, and networks of such moves shrink rightly."""

from math import prod
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt
from checking import assert_compresses
from hypothesis import given, settings
from hypothesis import strategies as st
from moving import CODES, MovingNetwork

from explorer import Recipe
from explorer.graph.channel_labels import Ids, Labels, aligned, stacked

Dense = npt.NDArray[np.int64]
Both = tuple[Labels, Dense]  # the same, told in two ways
Example = TypeVar("Example")
MOST_ELEMENTS = 5000
SHAPES = st.lists(st.sampled_from([1, 2, 3, 4, 6, 8, 12]), min_size=1, max_size=4).map(tuple)


class Draw(Protocol):
    """`data.draw`, and what composite strategies are given."""

    def __call__(self, strategy: st.SearchStrategy[Example], label: object = ..., /) -> Example: ...


def dense(labels: Labels) -> Dense:
    return np.broadcast_to(labels.grid(), labels.shape)


def assert_same(labels: Labels, array: Dense) -> None:
    assert labels.shape == array.shape
    np.testing.assert_array_equal(dense(labels), array)
    for axis in range(array.ndim):
        varies = (array != array.take([0], axis=axis)).any()
        assert axis in labels.axes or not varies
        by_index = np.moveaxis(array, axis, 0).reshape(array.shape[axis], -1)
        expected = [set(row) for row in by_index.tolist()]
        assert [set(row) for row in labels.rows(axis).tolist()] == expected
        distinct = {frozenset(row) for row in labels.distinct_rows(axis).tolist()}
        assert distinct == {frozenset(row) for row in expected}


@st.composite
def starts(draw: st.DrawFn) -> Both:
    """Ids along one axis or along some; many a time the same id stands in several places."""
    shape = draw(SHAPES)
    axes = draw(st.sets(st.integers(0, len(shape) - 1), max_size=2))
    dims = tuple(size if axis in axes else 1 for axis, size in enumerate(shape))
    most = draw(st.sampled_from([1, 3, 1000]))
    ids = np.random.default_rng(draw(st.integers(0, 99))).integers(0, most, dims)
    array = np.broadcast_to(ids, shape)
    if len(axes) == 1:
        (axis,) = axes
        return Labels.on_axis(shape, axis, ids.reshape(-1)), array
    return Labels.on_grid(shape, ids), array


def step(draw: st.DrawFn, labels: Labels, array: Dense) -> Both:
    """One random move, on both."""
    axis = draw(st.integers(0, array.ndim - 1))
    moves = ["reshape", "transpose", "take", "stack", "merge"]
    moves += ["repeat"] * (array.size < MOST_ELEMENTS) + ["expand"] * (1 in array.shape)
    move = draw(st.sampled_from(moves))
    if move == "reshape":
        shape = draw(shapes_of(array.size))
        return labels.reshaped(shape), array.reshape(shape)
    if move == "transpose":
        order = draw(st.permutations(range(array.ndim)))
        return labels.transposed(order), array.transpose(order)
    if move == "take":
        places = st.lists(st.integers(0, array.shape[axis] - 1), min_size=1, max_size=6)
        indices = np.array(draw(places))
        return labels.taken(axis, indices), array.take(indices, axis=axis)
    if move == "stack":
        other, same = other_like(draw, labels, array)
        return stacked([labels, other], axis), np.concatenate([array, same], axis)
    if move == "repeat":
        times = draw(st.integers(1, 3))
        return labels.repeated(axis, times), np.concatenate([array] * times, axis)
    if move == "expand":
        shape = tuple(draw(st.sampled_from([1, 2, 5])) if n == 1 else n for n in array.shape)
        shape = (draw(st.integers(1, 2)), *shape)
        return labels.expanded(shape), np.broadcast_to(array, shape)
    return labels.merged(axis), array


def other_like(draw: Draw, labels: Labels, array: Dense) -> Both:
    """Labels of the same shape, with other factors and other ids."""
    shape = draw(shapes_of(array.size))
    if draw(st.booleans()):
        return labels.reshaped(shape).reshaped(array.shape), array
    axis = draw(st.integers(0, len(shape) - 1))
    new = Labels.on_axis(shape, axis, np.arange(shape[axis]) + 10_000)
    return new.reshaped(array.shape), dense(new).reshape(array.shape)


@st.composite
def shapes_of(draw: st.DrawFn, size: int) -> tuple[int, ...]:
    """Any shape of so many elements."""
    shape: list[int] = []
    while size > 1 and len(shape) < 3:
        shape.append(draw(st.sampled_from([n for n in range(1, size + 1) if size % n == 0])))
        size //= shape[-1]
    return tuple(draw(st.permutations([*shape, size])))


@st.composite
def moved(draw: st.DrawFn) -> Both:
    labels, array = draw(starts())
    for _ in range(draw(st.integers(0, 6))):
        labels, array = step(draw, labels, array)
    return labels, array


@settings(max_examples=300, deadline=None)
@given(moved())
def test_moves_are_exact(both: Both) -> None:
    assert_same(*both)


@settings(max_examples=100, deadline=None)
@given(moved(), st.data())
def test_the_first_index_of_axes(both: Both, data: st.DataObject) -> None:
    labels, array = both
    axes = sorted(data.draw(st.sets(st.integers(0, array.ndim - 1))))
    first, everywhere = labels.first_of(axes)
    assert first.factors == everywhere.factors
    assert_same(everywhere, array)
    expected = array
    for axis in axes:
        expected = expected.take([0], axis=axis)
    assert_same(first, np.broadcast_to(expected, array.shape))


@settings(max_examples=200, deadline=None)
@given(moved(), st.data())
def test_operands_of_a_broadcast_meet(both: Both, data: st.DataObject) -> None:
    """Ids that stand in the same place after alignment are those that do so in the tensors."""
    labels, array = both
    other, same = other_like(data.draw, labels, array)
    for axis in range(array.ndim):
        if data.draw(st.booleans()):
            other, same = other.taken(axis, np.array([0])), same.take([0], axis=axis)
    one, two = aligned([labels, other])
    assert_same(one, array)
    assert [f or g for f, g in zip(two.factors, one.factors, strict=True)] == list(one.factors)
    pairs = met(one.ids, two.ids)
    assert pairs == met(array, same)


def met(left: Ids, right: Ids) -> set[tuple[int, int]]:
    """Which ids stand in the same place of two arrays."""
    left, right = np.broadcast_arrays(left, right)
    return set(zip(left.reshape(-1).tolist(), right.reshape(-1).tolist(), strict=True))


def test_sizes_are_products_of_factors() -> None:
    labels = Labels.on_axis((2, 12), 1, np.arange(12)).reshaped((2, 3, 4)).transposed((0, 2, 1))
    assert labels.factors == ((2,), (4,), (3,))
    assert labels.reshaped((8, 3)).factors == ((2, 4), (3,))
    assert labels.reshaped((8, 3)).ids.size == prod((4, 3))


@settings(max_examples=300, deadline=None)
@given(
    st.text(CODES, min_size=1, max_size=7),
    st.integers(0, 10**6),
    st.sampled_from([2, 3, 4]),
    st.sampled_from([0.3, 0.5, 0.7, 0.9]),
)
def test_networks_of_random_moves(codes: str, seed: int, rank: int, ratio: float) -> None:
    model = MovingNetwork(codes, seed, rank).model
    shape = [3, *(int(dim) for dim in model.inputs[0].shape[1:])]
    x = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    recipe = Recipe(pattern="channel", ratio=ratio, round_to=1, criterion="random", seed=seed)
    assert_compresses(model, {"x": x}, [recipe])
