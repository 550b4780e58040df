"""Weights in unusual places: each is compressed, or listed with the reason why it isn't."""

import re
from collections.abc import Callable

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch
from conftest import run_onnx, with_weights
from onnx import numpy_helper
from oracle import expected_outputs
from test_widget import assert_alike

import explorer
from explorer import Recipe
from explorer.compress.planned import removed_channels
from explorer.model import encode
from explorer.reasons import quantized
from explorer.render.text_tables import plan_table

HEAD = '<ir_version: 8, opset_import: ["" : 17]> g '
LEFT = (
    HEAD + "(float[n,6,9] x) => (float[n,5,9] y) "
    "{ a = MatMul (w, x)  r = Relu (a)  b = MatMul (v, r)  y = Tanh (b) }"
)
BATCHED = HEAD + "(float[4,7,6] x) => (float[4,7,12] y) { y = MatMul (x, w) }"
DOUBLE = (
    HEAD + "(double[n,6] x) => (double[n,5] y) "
    "{ a = MatMul (x, w)  r = Relu (a)  y = MatMul (r, v) }"
)
RNG = np.random.default_rng(0)


def left() -> explorer.Model:
    return with_weights(LEFT, w=(12, 6), v=(5, 12))


def batched() -> explorer.Model:
    return with_weights(BATCHED, w=(4, 6, 12))


def double() -> explorer.Model:
    model = onnx.parser.parse_model(DOUBLE)
    for name, shape in (("w", (6, 32)), ("v", (32, 5))):
        model.graph.initializer.append(numpy_helper.from_array(RNG.standard_normal(shape), name))
    return explorer.load(model.SerializeToString(), "double")


NETWORKS: dict[str, tuple[Callable[[], explorer.Model], np.ndarray]] = {
    "left": (left, RNG.standard_normal((3, 6, 9)).astype(np.float32)),
    "batched": (batched, RNG.standard_normal((4, 7, 6)).astype(np.float32)),
    "double": (double, RNG.standard_normal((3, 6))),
}


@pytest.mark.parametrize(("bits", "most"), [(16, 1e-3), (8, 0.03), (4, 0.4), (2, 2.0)])
@pytest.mark.parametrize("name", NETWORKS)
def test_they_are_stored_narrow(name: str, bits: int, most: float) -> None:
    make, x = NETWORKS[name]
    model = make()
    plan = explorer.plan(model, Recipe(weight_bits=bits, compensate=False))
    assert [layer.weight_bits for layer in plan.layers] == [bits] * len(model.layers)
    small = explorer.apply(model, plan)
    before, after = run_onnx(model.data, {"x": x})[0], run_onnx(small.data, {"x": x})[0]
    assert after.dtype == before.dtype
    assert 0 < np.abs(after - before).max() <= most * np.abs(before).max()
    told, found = explorer.estimate(model, plan), explorer.profile(small)
    assert told.file_bytes == found.file_bytes
    assert told.packed_bytes == found.packed_bytes
    assert found.packed_bytes < explorer.profile(model).packed_bytes


@pytest.mark.parametrize("name", NETWORKS)
def test_the_panel_counts_them_too(name: str) -> None:
    assert_alike(NETWORKS[name][0](), None, lots=6, recipes=20, seed=0)


@pytest.mark.parametrize("name", NETWORKS)
def test_what_is_stored_narrow_is_listed_with_its_bits(name: str) -> None:
    model = NETWORKS[name][0]()
    small = explorer.apply(model, explorer.plan(model, Recipe(weight_bits=8, compensate=False)))
    closed = explorer.load(small.data).layers
    assert len(closed) == len(model.layers)
    assert all(layer.closed == quantized(8) for layer in closed)


def test_channels_of_a_weight_on_the_left_go_as_if_they_were_zero() -> None:
    model, x = left(), NETWORKS["left"][1]
    plan = explorer.plan(model, Recipe(pattern="channel", ratio=0.5, round_to=1, compensate=False))
    assert [layer.kept for layer in plan.layers] == [6, 5]
    found = run_onnx(explorer.apply(model, plan).data, {"x": x})[0]
    wanted = expected_outputs(model, removed_channels(model, plan), {"x": x})[0]
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


def test_a_weight_in_each_batch_says_why_its_channels_stay() -> None:
    plan = explorer.plan(batched(), Recipe(pattern="channel", ratio=0.5))
    assert plan.layers[0].unprunable == "has a different weight for each batch index"


WEIGHT_NORM = HEAD + (
    "(float[n,3,8] x) => (float[n,4,6] y) {"
    "  length = ReduceL2 <axes = [1, 2]> (v)"
    "  direction = Div (v, length)"
    "  w = Mul (g, direction)"
    "  a = Conv (x, w)  r = Relu (a)  y = Conv (r, u) }"
)


def test_a_weight_that_is_computed_from_constants_is_one() -> None:
    model = with_weights(WEIGHT_NORM, v=(8, 3, 3), g=(8, 1, 1), u=(4, 8, 1))
    assert [layer.op for layer in model.layers] == ["Conv", "Conv"]
    x = RNG.standard_normal((2, 3, 8)).astype(np.float32)
    graph = onnx.load_model_from_string(model.data).graph
    v, g = (torch.tensor(numpy_helper.to_array(t)) for t in graph.initializer if t.name in "vg")
    weight = model.graph_model.graph.initializers[model.layers[0].weight].const_value
    assert weight is not None
    np.testing.assert_allclose(weight.numpy(), torch._weight_norm(v, g).numpy(), rtol=1e-5)
    plan = explorer.plan(model, Recipe(pattern="channel", ratio=0.5, round_to=1, weight_bits=8))
    assert [layer.kept for layer in plan.layers] == [4, 4]
    assert {layer.storage for layer in plan.layers} == {"int8"}
    assert run_onnx(explorer.apply(model, plan).data, {"x": x})[0].shape == (2, 4, 6)


def test_a_weight_that_something_else_reads_too_stays_computed() -> None:
    text = WEIGHT_NORM.replace("y = Conv (r, u)", "b = Conv (r, u)  y = Add (b, v)").replace(
        "float[n,4,6] y", "float[8,3,3] y"
    )
    text = text.replace("float[n,3,8] x", "float[8,3,5] x")
    model = with_weights(text, v=(8, 3, 3), g=(8, 1, 1), u=(3, 8, 1))
    assert [layer.weight for layer in model.layers] == ["u"]


def test_float64_weights_survive_a_new_file() -> None:
    """The graph is written and read once more without any change of a type."""
    model = double()
    again = encode(model.graph_model, "again")
    weights = again.graph_model.graph.initializers.values()
    assert {value.dtype for value in weights} == {ir.DataType.DOUBLE}


OTHERS = HEAD + (
    "(float[n,4,8] x) => (float[n,6,8] y) {"
    "  a = Conv (x, w, b)"
    '  c = Einsum <equation = "nch,cd->ndh"> (a, e)'
    "  z = BatchNormalization (c, s, t, m, v)"
    "  r = PRelu (z, p)"
    "  y = Add (r, q) }"
)


def test_each_parameter_is_in_the_table_or_in_the_sentence_below() -> None:
    model = with_weights(
        OTHERS, w=(5, 4, 1), b=(5,), e=(5, 6), s=(6,), t=(6,), m=(6,), v=(6,), p=(6, 1), q=(6, 1)
    )
    plan = explorer.plan(model, Recipe(weight_bits=8))
    assert plan.others.startswith(
        "Besides these layers, the file has 2 biases (11 numbers), 1 tensor that Einsum reads "
        "(30 numbers), 2 scales and shifts of normalisations (12 numbers) and 1 tensor that PRelu "
        "reads (6 numbers)."
    )
    numbers = [int(each) for each in re.findall(r"\((\d+) numbers\)", plan.others)]
    listed = sum(layer.weights for layer in model.layers)
    assert listed + sum(numbers) == explorer.profile(model).params
    assert plan.others in plan_table(plan)


def test_a_network_without_layers_says_what_it_has() -> None:
    text = """
    <ir_version: 8, opset_import: ["": 17]>
    g (float[n, 5] x) => (float[n, 6] y) { y = Einsum<equation = "ni,io->no">(x, w) }
    """
    plan = explorer.plan(with_weights(text, w=(5, 6)), Recipe(weight_bits=8))
    assert plan.layers == ()
    assert plan.others.startswith(
        "The file has only 1 tensor that Einsum reads (30 numbers). They are neither quantized nor "
        "masked: only weights"
    )
