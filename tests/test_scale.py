"""What must not grow with the image: the ids that are traced."""

import pytest
from conftest import with_weights

import explorer
from explorer import Recipe
from explorer.graph.rules import trace
from explorer.graph.tracer import Tracer

# Pixel shuffle by hand, and group normalisation as exporters write it.
GRAPH = """
    <ir_version: 8, opset_import: ["" : 17]>
    toy (float[n, 3, {size}, {size}] x) => (float[n, 5, {double}, {double}] y)
    <int64[6] six = {{-1, 4, 2, 2, {size}, {size}}}, int64[4] four = {{-1, 4, {double}, {double}}},
     int64[3] three = {{-1, 2, {half}}}, float[2] one = {{1.0, 1.0}}, float[2] zero = {{0.0, 0.0}}>
    {{
        a = Conv <kernel_shape=[1, 1]> (x, first_weight)
        split = Reshape (a, six)
        turned = Transpose <perm=[0, 1, 4, 2, 5, 3]> (split)
        large = Reshape (turned, four)
        groups = Reshape (large, three)
        normal = InstanceNormalization (groups, one, zero)
        back = Reshape (normal, four)
        y = Conv <kernel_shape=[1, 1]> (back, second_weight)
    }}
"""


def traced_ids(size: int) -> int:
    text = GRAPH.format(size=size, double=2 * size, half=2 * (2 * size) ** 2)
    shapes = {"first_weight": (16, 3, 1, 1), "second_weight": (5, 4, 1, 1)}
    tracer = Tracer.of(with_weights(text, **shapes))
    trace(tracer)
    assert len(tracer.labels) == 8  # those of `y` too
    return sum(labels.ids.size for labels in tracer.labels.values())


def test_ids_are_as_many_at_every_image_size() -> None:
    assert traced_ids(8) == traced_ids(512)


@pytest.mark.parametrize("size", [8, 64])
def test_such_a_network_still_loses_channels(size: int) -> None:
    text = GRAPH.format(size=size, double=2 * size, half=2 * (2 * size) ** 2)
    shapes = {"first_weight": (16, 3, 1, 1), "second_weight": (5, 4, 1, 1)}
    model = with_weights(text, **shapes)
    plan = explorer.plan(model, Recipe(pattern="channel", ratio=0.5, round_to=1))
    assert plan.layers[0].kept == 8  # one of two groups of two squares
    assert explorer.estimate(model, plan).macs < explorer.profile(model).macs
