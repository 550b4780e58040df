"""Channels between two layers brought to one range, where their activation is rounded."""

import numpy as np
import onnx
import pytest
from conftest import SAMPLES, run_onnx, with_weights
from onnx import numpy_helper

import explorer
from explorer import LayerChoice, Recipe
from explorer.compress import compensation, equalisation
from explorer.compress.equalisation import Pair, equalise, expected_error, find_factors, find_pairs
from explorer.model import encode

HEAD = '<ir_version: 8, opset_import: ["" : 17]>\n'
CHAIN = (
    HEAD
    + """g (float[n,3,8,8] x) => (float[n,5] y) {
    a = Conv <pads = [1,1,1,1]> (x, w1, b1)
    h = Relu (a)
    c = Conv <pads = [1,1,1,1]> (h, w2, b2)
    r = Relu (c)
    m = MaxPool <kernel_shape = [2,2], strides = [2,2]> (r)
    e = Conv <pads = [1,1,1,1]> (m, w3, b3)
    s = Relu (e)
    p = GlobalAveragePool (s)
    f = Flatten (p)
    y = Gemm (f, w4, b4)
}"""
)
Shapes = dict[str, tuple[int, ...]]
SHAPES: Shapes = {
    "w1": (16, 3, 3, 3), "b1": (16,), "w2": (16, 16, 3, 3), "b2": (16,),
    "w3": (16, 16, 3, 3), "b3": (16,), "w4": (16, 5), "b4": (5,),
}  # fmt: skip
ROUNDED = Recipe(weight_bits=8, activation_bits=8)
PRUNED = Recipe(pattern="channel", ratio=0.4, round_to=1, weight_bits=8, activation_bits=8)


def images(count: int = 96) -> np.ndarray:
    rng = np.random.default_rng(0)
    smooth = np.cumsum(rng.standard_normal((count, 3, 8, 8)), axis=3)
    return (smooth / 3).astype(np.float32)


def chain() -> explorer.Model:
    return with_weights(CHAIN, **SHAPES)


def scaled_apart() -> explorer.Model:
    """The chain with channels behind the first two layers up to 1000 times as large as others."""
    proto, rng = onnx.load_model_from_string(chain().data), np.random.default_rng(1)
    weights = {t.name: numpy_helper.to_array(t).copy() for t in proto.graph.initializer}
    for layer, reader in (("1", "2"), ("2", "3")):
        factors = 10 ** rng.permutation(np.linspace(-1.5, 1.5, 16)).astype(np.float32)
        weights[f"w{layer}"] *= factors[:, None, None, None]
        weights[f"b{layer}"] *= factors
        weights[f"w{reader}"] /= factors[:, None, None]
    for tensor in proto.graph.initializer:
        tensor.CopyFrom(numpy_helper.from_array(weights[tensor.name], tensor.name))
    return explorer.load(proto.SerializeToString())


def compressed(
    model: explorer.Model, recipe: Recipe, calibration: explorer.Calibration | None = None
) -> explorer.Model:
    calibration = calibration or explorer.calibrate(model, {"x": images()[:64]})
    return explorer.apply(model, explorer.plan(model, recipe, calibration), calibration)


def error(model: explorer.Model, recipe: Recipe) -> float:
    """Mean squared error on samples it hasn't seen, relative to the variance of the output."""
    feed = {"x": images()[64:]}
    wanted = run_onnx(model.data, feed)[0]
    found = run_onnx(compressed(model, recipe).data, feed)[0]
    return float(((found - wanted) ** 2).mean() / wanted.var())


@pytest.mark.parametrize("granularity", ["channel", "tensor"])
def test_it_makes_up_for_channels_that_differ(
    granularity: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = Recipe(weight_bits=8, activation_bits=8, granularity=granularity)
    even, equalised = error(chain(), recipe), error(scaled_apart(), recipe)
    monkeypatch.setattr(equalisation, "find_pairs", lambda model: ())
    left_alone = error(scaled_apart(), recipe)
    assert equalised < 0.1 * left_alone
    assert equalised < 2.5 * even


def test_pruned_and_rounded_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    equalised = error(scaled_apart(), PRUNED)
    monkeypatch.setattr(equalisation, "find_pairs", lambda model: ())
    assert equalised < 0.6 * error(scaled_apart(), PRUNED)


def body(kind: str) -> str:
    return f"{HEAD}g (float[n,8,6,6] x) => (float[n,k,i,j] y) {{ {kind} }}"


def rows(kind: str) -> str:
    return f"{HEAD}g (float[n,7,8] x) => (float[n,7,k] y) {{ {kind} }}"


KINDS: dict[str, tuple[str, Shapes]] = {
    "convolution": (
        body("a = Conv (x, w, b) h = Relu (a) y = Conv (h, v, c)"),
        {"w": (12, 8, 3, 3), "b": (12,), "v": (4, 12, 3, 3), "c": (4,)},
    ),
    "without a bias": (
        body("a = Conv (x, w) h = Relu (a) y = Conv (h, v)"),
        {"w": (12, 8, 3, 3), "v": (4, 12, 3, 3)},
    ),
    "depthwise reader": (
        body("a = Conv (x, w, b) h = Relu (a) y = Conv <group = 12> (h, v)"),
        {"w": (12, 8, 1, 1), "b": (12,), "v": (12, 1, 3, 3)},
    ),
    "depthwise layer": (
        body("a = Conv <group = 8> (x, w, b) h = Relu (a) y = Conv (h, v)"),
        {"w": (8, 1, 3, 3), "b": (8,), "v": (5, 8, 1, 1)},
    ),
    "grouped": (
        body("a = Conv <group = 2> (x, w, b) h = Relu (a) y = Conv <group = 3> (h, v)"),
        {"w": (12, 4, 3, 3), "b": (12,), "v": (6, 4, 3, 3)},
    ),
    "transposed layer": (
        body("a = ConvTranspose <strides = [2,2]> (x, w, b) h = Relu (a) y = Conv (h, v)"),
        {"w": (8, 12, 2, 2), "b": (12,), "v": (4, 12, 3, 3)},
    ),
    "transposed reader": (
        body("a = Conv (x, w, b) h = Relu (a) y = ConvTranspose <strides = [2,2]> (h, v)"),
        {"w": (12, 8, 3, 3), "b": (12,), "v": (12, 4, 3, 3)},
    ),
    "grouped transposed layer": (
        body("a = ConvTranspose <group = 2> (x, w, b) h = Relu (a) y = Conv (h, v)"),
        {"w": (8, 6, 2, 2), "b": (12,), "v": (4, 12, 3, 3)},
    ),
    "grouped transposed reader": (
        body("a = Conv (x, w, b) h = Relu (a) y = ConvTranspose <group = 4> (h, v)"),
        {"w": (12, 8, 3, 3), "b": (12,), "v": (12, 4, 3, 3)},
    ),
    "leaky": (
        body("a = Conv (x, w, b) h = LeakyRelu <alpha = 0.2> (a) y = Conv (h, v)"),
        {"w": (12, 8, 3, 3), "b": (12,), "v": (4, 12, 3, 3)},
    ),
    "largest of a window": (
        body(
            "a = Conv (x, w, b) h = Relu (a) "
            "p = MaxPool <kernel_shape = [2,2]> (h) y = Conv (p, v)"
        ),
        {"w": (12, 8, 3, 3), "b": (12,), "v": (4, 12, 1, 1)},
    ),
    "means": (
        body(
            "a = Conv (x, w, b) q = AveragePool <kernel_shape = [2,2]> (a) h = Relu (q) "
            "p = GlobalAveragePool (h) y = Conv (p, v)"
        ),
        {"w": (12, 8, 3, 3), "b": (12,), "v": (4, 12, 1, 1)},
    ),
    "separate bias": (
        body("a = Conv (x, w) d = Add (a, b) h = Relu (d) y = Conv (h, v)"),
        {"w": (12, 8, 3, 3), "b": (12, 1, 1), "v": (4, 12, 3, 3)},
    ),
    "products": (
        rows("a = MatMul (x, w) d = Add (b, a) h = Relu (d) y = MatMul (h, v)"),
        {"w": (8, 12), "b": (12,), "v": (12, 5)},
    ),
    "nothing between": (
        rows("a = MatMul (x, w) y = MatMul (a, v)"),
        {"w": (8, 12), "v": (12, 5)},
    ),
    "transposed weights": (
        f"{HEAD}g (float[n,8] x) => (float[n,5] y) {{ a = Gemm <transB = 1> (x, w, b) "
        "h = Relu (a) y = Gemm <transB = 1> (h, v, c) }",
        {"w": (12, 8), "b": (1, 12), "v": (5, 12), "c": (5,)},
    ),
}  # fmt: skip


def uneven(text: str, shapes: dict[str, tuple[int, ...]]) -> explorer.Model:
    """A model whose last weight's numbers differ by orders of magnitude."""
    proto = onnx.load_model_from_string(with_weights(text, **shapes).data)
    for tensor in proto.graph.initializer:
        if tensor.name == "v":
            array = numpy_helper.to_array(tensor)
            steep = array * 10 ** np.random.default_rng(2).uniform(-1, 1, array.shape)
            tensor.CopyFrom(numpy_helper.from_array(steep.astype(np.float32), "v"))
    return explorer.load(proto.SerializeToString())


@pytest.mark.parametrize("kind", KINDS)
def test_scaling_alone_keeps_the_function(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(equalisation, "GAIN", 0.0)
    monkeypatch.setattr(equalisation, "FEWEST_ROWS", 0)
    model = uneven(*KINDS[kind])
    shape = [16 if isinstance(size, str) else size for size in model.inputs[0].shape]
    feed = {"x": np.random.default_rng(0).standard_normal(shape).astype(np.float32)}
    calibration = explorer.calibrate(model, feed)
    clone = model.graph_model.clone()
    (scaled,) = equalise(model, explorer.plan(model, ROUNDED), clone, calibration)
    assert scaled.factors.max() > 1.5 * scaled.factors.min()
    for name in scaled.weights:
        old, new = (m.graph.initializers[name].const_value for m in (model.graph_model, clone))
        assert old is not None and new is not None
        assert not np.allclose(old.numpy(), new.numpy(), rtol=0.05)
    wanted, found = run_onnx(model.data, feed)[0], run_onnx(encode(clone, "scaled").data, feed)[0]
    np.testing.assert_allclose(found, wanted, atol=1e-5 * np.abs(wanted).max())


WIDTHS: Shapes = {"w": (8, 8, 1, 1), "v": (8, 8, 1, 1)}
ALONE: dict[str, tuple[str, Shapes]] = {
    "bounded": (body("a = Conv (x, w) h = Clip (a, lo, hi) y = Conv (h, v)"), {"lo": (), "hi": ()}),
    "smooth": (body("a = Conv (x, w) h = HardSwish (a) y = Conv (h, v)"), {}),
    "sum": (body("a = Conv (x, w) d = Add (a, x) h = Relu (d) y = Conv (h, v)"), {}),
    "two readers": (body("a = Conv (x, w) h = Relu (a) c = Conv (h, v) y = Add (c, h)"), {}),
    "two readers of the sum": (body("a = Conv (x, w) c = Conv (a, v) y = Mul (c, a)"), {}),
    "shared weight": (body("a = Conv (x, w) h = Relu (a) y = Conv (h, w)"), {}),
    "shared bias": (
        body("a = Conv (x, w, b) h = Relu (a) y = Conv (h, v, b)"),
        {"b": (8,)},
    ),
    "output": (
        f"{HEAD}g (float[n,8,6,6] x) => (float[n,8,6,6] y, float[n,8,6,6] h) "
        "{ a = Conv (x, w) h = Relu (a) y = Conv (h, v) }",
        {},
    ),
    "another axis": (body("a = Conv (x, w) h = Relu (a) y = MatMul (h, u)"), {"u": (6, 6)}),
}  # fmt: skip


@pytest.mark.parametrize("kind", ALONE)
def test_other_layers_are_no_pair(kind: str) -> None:
    text, more = ALONE[kind]
    shapes = {name: shape for name, shape in (WIDTHS | more).items() if f" {name}" in text}
    assert find_pairs(with_weights(text, **shapes)) == ()


def test_a_pool_along_the_channels_of_a_product_is_in_the_way() -> None:
    kind = "a = MatMul (x, w) p = MaxPool <kernel_shape = [3], pads = [1,1]> (a) y = MatMul (p, v)"
    assert find_pairs(with_weights(rows(kind), w=(8, 12), v=(12, 5))) == ()


def test_pairs_of_the_chain() -> None:
    first, second = find_pairs(chain())
    assert first == Pair("Conv_0", "Conv_2", ("a", "h"), 0.0)
    assert second.between == ("c", "r", "m")


def test_activations_that_stay_as_they_are_need_no_scaling() -> None:
    model = scaled_apart()
    calibration = explorer.calibrate(model, {"x": images()})
    plan = explorer.plan(model, Recipe(weight_bits=4), calibration)
    assert equalise(model, plan, model.graph_model.clone(), calibration) == []


def test_factors_are_the_roots_of_the_ratios() -> None:
    reach, read = np.array([100.0, 1.0, 4.0]), np.array([0.25, 25.0, 6.25])
    factors = find_factors(reach, read, 0.0, 8)
    assert factors is not None
    np.testing.assert_allclose(factors / factors[1], [100.0, 1.0, 4.0])
    assert np.prod(factors) == pytest.approx(1)
    assert find_factors(np.ones(3), np.ones(3), 0.0, 8) is None


def test_channels_that_give_nothing_or_are_not_read_bound_no_range() -> None:
    reach, read = np.array([50.0, 0.0, 1.0, 900.0, 0.0]), np.array([0.02, 800.0, 1.0, 0.0, 0.0])
    factors = find_factors(reach, read, 0.0, 8)
    assert factors is not None
    assert np.isfinite(factors).all()
    assert (reach / factors).max() * (read * factors).max() < 10
    # Silent on the samples: on others it may reach as far as before, unless its weights forbid it.
    assert (read * factors)[1] == pytest.approx((read * factors)[[0, 2, 3]].max())
    quiet = find_factors(np.array([50.0, 0.0, 1.0]), np.array([0.02, 1e-6, 1.0]), 0.0, 8)
    assert quiet is not None
    live = np.array([50.0, 1.0]) / quiet[[0, 2]]
    assert 50.0 / quiet[1] == pytest.approx(live.max())
    assert find_factors(np.zeros(2), np.ones(2), 0.0, 8) is None


def test_the_expected_error_is_that_of_rounding() -> None:
    """Against rounding drawn at random, for channels that differ."""
    rng = np.random.default_rng(0)
    reach, read = np.array([8.0, 1.0, 0.5, 2.0]), np.array([0.1, 2.0, 1.0, 0.4])
    inputs = reach * rng.choice([0.0, 1.0], (20000, 4))
    inputs += rng.uniform(-0.5, 0.5, inputs.shape) * reach.max() / 255
    weights = read + rng.uniform(-0.5, 0.5, inputs.shape) * 2 * read.max() / 255
    noise_of_inputs = ((inputs - np.round(inputs / reach) * reach) @ read).var()
    noise_of_weights = ((weights - read) @ reach).var()
    expected = expected_error(reach, read, 0.0, 8) / 12
    assert noise_of_inputs + noise_of_weights == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize("recipe", [ROUNDED, PRUNED], ids=["rounded", "pruned"])
def test_the_estimate_is_that_of_the_file(recipe: Recipe) -> None:
    model = scaled_apart()
    small = compressed(model, recipe)
    plan = explorer.plan(model, recipe, explorer.calibrate(model, {"x": images()[:64]}))
    told, found = explorer.estimate(model, plan), explorer.profile(small)
    assert (told.params, told.macs) == (found.params, found.macs)
    assert told.peak_activation_bytes == found.peak_activation_bytes
    assert told.file_bytes == pytest.approx(found.file_bytes, rel=0.01)


def test_without_compensation_nothing_is_scaled(monkeypatch: pytest.MonkeyPatch) -> None:
    naive = Recipe(weight_bits=8, activation_bits=8, compensate=False)
    before = compressed(scaled_apart(), naive)
    monkeypatch.setattr(compensation, "equalise", lambda *arguments: pytest.fail("it was"))
    assert compressed(scaled_apart(), naive).id == before.id


def test_the_order_of_recipes_changes_nothing() -> None:
    """The factors of the first layer depend on what stays of the second one."""
    second = LayerChoice("Conv_2", ratio=0.5)
    recipes = [
        ROUNDED,
        Recipe(pattern="channel", round_to=1, weight_bits=8, activation_bits=8, layers=(second,)),
        Recipe(weight_bits=4, activation_bits=8),
    ]
    fresh = [compressed(scaled_apart(), recipe).data for recipe in recipes]
    for order in ((0, 1, 2, 0), (2, 1, 0)):
        model = scaled_apart()
        calibration = explorer.calibrate(model, {"x": images()[:64]})
        for place in order:
            assert compressed(model, recipes[place], calibration).data == fresh[place]


def test_networks_with_even_channels_stay_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    def rounded() -> str:
        model = explorer.load(SAMPLES / "vowels_cnn.onnx")
        calibration = explorer.calibrate(model, SAMPLES / "vowels_calibration.npz")
        return explorer.apply(model, explorer.plan(model, ROUNDED, calibration), calibration).id

    found = rounded()
    monkeypatch.setattr(equalisation, "find_pairs", lambda model: ())
    assert rounded() == found


def test_channels_known_from_few_rows_keep_their_headroom(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(equalisation, "GAIN", 0.0)
    model = uneven(*KINDS["products"])
    shape = [int(size) for size in model.inputs[0].shape[1:]]
    x = np.random.default_rng(0).standard_normal((600, *shape)).astype(np.float32)
    for count, pairs in ((600, 1), (4, 0)):
        calibration = explorer.calibrate(model, {"x": x[:count]})
        plan = explorer.plan(model, ROUNDED, calibration)
        assert len(equalise(model, plan, model.graph_model.clone(), calibration)) == pairs
