"""Sizes of an estimate that were off by a few bytes: equal to those of the file."""

import numpy as np
import onnx_ir as ir
import pytest
from conftest import with_weights
from onnx import numpy_helper
from test_widget import assert_alike

import explorer
from explorer import Recipe
from explorer.model import encode

IMAGES = {"x": np.random.default_rng(0).standard_normal((4, 6, 8, 8)).astype(np.float32)}
HEAD = '<ir_version: 8, opset_import: ["" : {opset}]> g (float[n,6,8,8] x) => (float[n,5,8,8] y)'


def equal(model: explorer.Model, recipe: Recipe) -> None:
    calibration = explorer.calibrate(model, IMAGES)
    plan = explorer.plan(model, recipe, calibration)
    found = explorer.profile(explorer.apply(model, plan, calibration))
    told = explorer.estimate(model, plan)
    for count in ("params", "macs", "peak_activation_bytes", "file_bytes", "packed_bytes"):
        assert getattr(told, count) == getattr(found, count), count


SPLITS = {
    7: "Split <axis = 1> (r)",
    11: "Split <axis = 1, split = [3, 5]> (r)",
    13: "Split <axis = 1> (r)",
    18: "Split <axis = 1, num_outputs = 2> (r)",
}


@pytest.mark.parametrize("bits", [32, 8, 4, 2])
@pytest.mark.parametrize("opset", SPLITS)
def test_of_a_split_that_becomes_uneven(opset: int, bits: int) -> None:
    body = f"{{ a = Conv (x, w)  r = Relu (a)  p, q = {SPLITS[opset]}"
    body += "  m = Concat <axis = 1> (q, p)  y = Conv (m, v) }"
    model = with_weights(HEAD.format(opset=opset) + body, w=(8, 6, 1, 1), v=(5, 8, 1, 1))
    recipe = Recipe(pattern="channel", ratio=0.4, round_to=1, weight_bits=bits, compensate=False)
    kept = [layer.kept for layer in explorer.plan(model, recipe).layers]
    assert kept[0] == 5  # 3 of one part and 2 of the other, or the like
    equal(model, recipe)


@pytest.mark.parametrize("axis", [1, 2, 3])
@pytest.mark.parametrize("opset", [9, 12, 13])
def test_of_a_softmax_over_several_axes(opset: int, axis: int) -> None:
    body = f"{{ a = Conv (x, w)  r = Softmax <axis = {axis}> (a)  y = Conv (r, v) }}"
    model = with_weights(HEAD.format(opset=opset) + body, w=(8, 6, 1, 1), v=(5, 8, 1, 1))
    for activation_bits in (32, 8):
        equal(model, Recipe(weight_bits=8, activation_bits=activation_bits))


def test_of_a_bias_that_rounds_to_zero() -> None:
    body = "{ a = Conv (x, w, b)  r = Relu (a)  y = Conv (r, v) }"
    model = with_weights(HEAD.format(opset=17) + body, w=(8, 6, 1, 1), b=(8,), v=(5, 8, 1, 1))
    graph = model.graph_model.clone()
    tiny = numpy_helper.from_array(np.full(8, 1e-9, np.float32), "b")
    graph.graph.initializers["b"].const_value = ir.serde.deserialize_tensor(tiny)
    equal(encode(graph, "tiny"), Recipe(weight_bits=8, activation_bits=8))


def test_of_weights_too_small_for_float16() -> None:
    body = "{ a = Conv (x, w)  r = Relu (a)  y = Conv (r, v) }"
    model = with_weights(HEAD.format(opset=17) + body, w=(8, 6, 1, 1), v=(5, 8, 1, 1))
    graph = model.graph_model.clone()
    small = np.full((8, 6, 1, 1), 2.0**-25, np.float32)
    small[:2] = 2.0**-24
    value = graph.graph.initializers["w"]
    value.const_value = ir.serde.deserialize_tensor(numpy_helper.from_array(small, "w"))
    model = encode(graph, "small")
    equal(model, Recipe(weight_bits=16))
    pruned = Recipe(pattern="channel", ratio=0.4, round_to=1, weight_bits=16, compensate=False)
    equal(model, pruned)


def test_of_a_row_of_factors_of_which_one_is_left() -> None:
    body = "{ a = Conv (x, w)  m = Mul (a, s)  y = Conv (m, v) }"
    model = with_weights(HEAD.format(opset=17) + body, w=(3, 6, 1, 1), s=(3, 1, 1), v=(5, 3, 1, 1))
    recipe = Recipe(pattern="channel", ratio=0.8, round_to=1, compensate=False)
    assert explorer.plan(model, recipe).layers[0].kept == 1
    equal(model, recipe)
    equal(model, Recipe(pattern="channel", ratio=0.4, round_to=1, compensate=False))
    assert_alike(model, None, lots=4, recipes=20, seed=0)


@pytest.mark.parametrize("values", [(0, 0, 0, 0, -0.5, -0.5, 0.7, 0.7), (-4.6,) * 8])
def test_of_a_bias_that_looks_like_a_mask(values: tuple[float, ...]) -> None:
    body = "{ a = MatMul (x, w)  c = Add (a, b)  r = Relu (c)  y = MatMul (r, v) }"
    head = '<ir_version: 8, opset_import: ["" : 17]> g (float[n,6] x) => (float[n,5] y)'
    model = with_weights(head + body, w=(6, 8), b=(8,), v=(8, 5))
    graph = model.graph_model.clone()
    bias = numpy_helper.from_array(np.array(values, np.float32), "b")
    graph.graph.initializers["b"].const_value = ir.serde.deserialize_tensor(bias)
    model = encode(graph, "biased")
    assert explorer.profile(model).params == 48 + 8 + 40
    recipe = Recipe(pattern="channel", ratio=0.25, round_to=1, compensate=False)
    plan = explorer.plan(model, recipe)
    told, found = explorer.estimate(model, plan), explorer.profile(explorer.apply(model, plan))
    assert told.params == found.params
