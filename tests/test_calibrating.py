"""What a calibration holds, and how channels are chosen and solutions remembered from it."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from conftest import run_onnx, tensors_of, with_weights
from onnx import numpy_helper

import explorer
from explorer import LayerChoice, Recipe
from explorer.compress import refit
from explorer.compress.calibration import calibrate_on
from explorer.compress.regression import with_ridge
from explorer.compress.selection import find_removal
from explorer.compress.solutions import Solved
from explorer.compress.targets import find_targets
from explorer.compress.walk import Walk
from explorer.errors import CompressionError
from explorer.formats.data import load_data
from explorer.graph.channels import find_channels

TEXT = """<ir_version: 8, opset_import: ["" : 17]>
g (float[{batch},3,8,8] x) => (float[{batch},5] y) {{
    a = Conv <pads = [1,1,1,1]> (x, w1, b1)
    h = Relu (a)
    c = {middle}
    s = Relu (c)
    p = GlobalAveragePool (s)
    f = Flatten (p)
    y = Gemm (f, w3, b3)
}}"""
MIDDLES = {
    "plain": ("Conv (h, w2, b2)", (16, 16, 3, 3)),
    "grouped": ("Conv <group = 2> (h, w2, b2)", (16, 8, 3, 3)),
    "depthwise": ("Conv <group = 16> (h, w2, b2)", (16, 1, 3, 3)),
    "transposed": ("ConvTranspose <strides = [2,2]> (h, w2, b2)", (16, 16, 3, 3)),
}


def network(kind: str = "plain", batch: str = "n") -> explorer.Model:
    middle, shape = MIDDLES[kind]
    return with_weights(
        TEXT.format(middle=middle, batch=batch),
        w1=(16, 3, 3, 3), b1=(16,), w2=shape, b2=(16,), w3=(16, 5), b3=(5,),
    )  # fmt: skip


def images(count: int = 64) -> np.ndarray:
    rng = np.random.default_rng(0)
    smooth = np.cumsum(rng.standard_normal((count, 3, 8, 8)), axis=3)
    return (smooth / 3).astype(np.float32)


def test_the_gram_matrix_is_that_of_the_inputs() -> None:
    model = with_weights(
        """<ir_version: 8, opset_import: ["" : 17]>
        g (float[n,6] x) => (float[n,4] y) { h = Relu (x) y = Gemm (h, w, b) }""",
        w=(6, 4), b=(4,),
    )  # fmt: skip
    x = np.random.default_rng(0).standard_normal((100, 6)).astype(np.float32) + 1
    calibration = explorer.calibrate(model, {"x": x})
    statistics = calibration.layers["Gemm_1"]
    x = np.concatenate([part.inputs["x"] for part in calibration.fitted])
    hidden = np.maximum(x, 0)
    np.testing.assert_allclose(statistics.gram[0], np.cov(hidden.T, bias=True), rtol=1e-4)
    np.testing.assert_allclose(statistics.outputs, run_onnx(model.data, {"x": x})[0], rtol=1e-4)


def test_a_calibration_is_made_once_and_tells_its_progress() -> None:
    model, steps = network(), []
    first = explorer.calibrate(model, {"x": images()}, lambda done, total: steps.append(done))
    assert steps == sorted(steps)
    assert steps[-1] == 112  # 56 of the 64, as 8 are held out, and as many blends
    assert explorer.calibrate(model, {"x": images()}) is first


def test_memory_is_bounded_by_taking_fewer_places() -> None:
    model = network()
    data = load_data({"x": images()}, model)
    few = calibrate_on(model, data, rows=100)
    for statistics in few.layers.values():
        assert len(statistics.outputs) <= 128
        assert sum(map(len, statistics.places)) == len(statistics.outputs)


def test_what_comes_later_in_a_sum_is_told_apart() -> None:
    """The first of two layers of a sum is compared behind it, beside what the other one gives."""
    model = with_weights(
        """<ir_version: 8, opset_import: ["" : 17]>
        g (float[n,6] x) => (float[n,3] y) {
            a = Gemm (x, w1, b1) b = Gemm (x, w2, b2) s = Add (a, b) h = Relu (s)
            y = Gemm (h, w3, b3)
        }""",
        w1=(6, 4), b1=(4,), w2=(6, 4), b2=(4,), w3=(4, 3), b3=(3,),
    )  # fmt: skip
    x = np.random.default_rng(0).standard_normal((50, 6)).astype(np.float32)
    targets = find_targets(model)
    assert targets["Gemm_0"].later == ("b",)
    assert targets["Gemm_1"].addends == ("a",)
    assert targets["Gemm_0"].tensor == targets["Gemm_1"].tensor == "s"
    assert targets["Gemm_0"].edges[0] == 0
    calibration = explorer.calibrate(model, {"x": x})
    x = np.concatenate([part.inputs["x"] for part in calibration.fitted])
    weights = {name: tensor.numpy() for name, tensor in tensors_of(model).items()}
    first, second = calibration.layers["Gemm_0"], calibration.layers["Gemm_1"]
    np.testing.assert_allclose(
        first.others, x @ weights["w2"] + weights["b2"], rtol=1e-3, atol=1e-5
    )
    np.testing.assert_allclose(first.outputs, second.outputs)
    assert not second.others.any()


def removal_places(model: explorer.Model) -> list[int]:
    """Channels of the first layer in the order in which they go."""
    calibration = explorer.calibrate(model, {"x": images()})
    group = find_channels(model).groups[0]
    found: list[int] = (find_removal(model, calibration, group).order - group.units[0]).tolist()
    return found


def test_a_channel_that_another_can_replace_goes_first() -> None:
    """The most needed channel, made twice: one of the two goes first, the other not for long."""
    model = network()
    order = removal_places(model)
    twins = {order[0], order[-1]}
    proto = onnx.load_model_from_string(model.data)
    for tensor in proto.graph.initializer:
        if tensor.name in ("w1", "b1"):
            array = numpy_helper.to_array(tensor).copy()
            array[order[0]] = array[order[-1]]
            tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    found = removal_places(explorer.load(proto.SerializeToString()))
    assert found[0] in twins
    assert not twins & set(found[1:8])


def test_the_error_of_a_removal_is_that_of_the_refitted_readers() -> None:
    """The sum of the first errors is what least squares on the Gram matrix loses."""
    model = network()
    calibration = explorer.calibrate(model, {"x": images()})
    group = find_channels(model).groups[0]
    removal = find_removal(model, calibration, group)
    statistics = calibration.layers["Conv_2"]
    gram = with_ridge(statistics.gram)[0]
    weight = tensors_of(model)["w2"].numpy()
    matrix = weight.reshape(16, -1).T.astype(np.float64)
    kept = ~np.isin(np.repeat(group.units, 9), removal.order[:6])
    best = np.zeros_like(matrix)
    best[kept] = np.linalg.solve(gram[np.ix_(kept, kept)], (gram @ matrix)[kept])
    lost = ((matrix - best) * (gram @ (matrix - best))).sum() / statistics.energy
    assert removal.errors[:6].sum() == pytest.approx(lost, rel=1e-3)


@pytest.mark.parametrize("batch", ["n", "4"], ids=["any batch", "fixed batch"])
@pytest.mark.parametrize("kind", MIDDLES)
@pytest.mark.parametrize(
    "recipe",
    [
        Recipe(pattern="channel", ratio=0.5, round_to=1, scope="layer"),
        Recipe(pattern="unstructured", ratio=0.7),
        Recipe(weight_bits=3),
        Recipe(pattern="channel", ratio=0.4, weight_bits=4, activation_bits=8),
    ],
    ids=["channels", "mask", "3 bits", "all"],
)
def test_every_kind_of_layer_is_refitted(kind: str, batch: str, recipe: Recipe) -> None:
    model, x = network(kind, batch), images(96)
    seen, unseen = x[:64], x[64:]
    calibration = explorer.calibrate(model, {"x": seen})
    small = explorer.apply(model, explorer.plan(model, recipe, calibration), calibration)
    plain = Recipe(**{**vars(recipe), "compensate": False})
    naive = explorer.apply(model, explorer.plan(model, plain), calibration)
    errors = []
    for each in (small, naive):
        step = 4 if batch == "4" else len(unseen)
        parts = [unseen[at : at + step] for at in range(0, len(unseen), step)]
        error = [
            run_onnx(each.data, {"x": p})[0] - run_onnx(model.data, {"x": p})[0] for p in parts
        ]
        errors.append(float((np.concatenate(error) ** 2).mean()))
    assert errors[0] < 0.7 * errors[1]


def test_only_what_a_change_touches_is_solved_again(monkeypatch: pytest.MonkeyPatch) -> None:
    model = network()
    calibration = explorer.calibrate(model, {"x": images()})
    solved: list[str] = []
    original = refit.Refit.solve

    def solve(self: refit.Refit, node: ir.Node, walk: Walk) -> Solved:
        solved.append(str(node.name))
        return original(self, node, walk)

    monkeypatch.setattr(refit.Refit, "solve", solve)

    def file(recipe: Recipe) -> bytes:
        solved.clear()
        return explorer.apply(model, explorer.plan(model, recipe, calibration), calibration).data

    names = [layer.node for layer in model.layers]
    base = Recipe(weight_bits=4)
    first = file(base)
    assert solved == names
    assert file(base) == first
    assert solved == []
    changed = file(Recipe(weight_bits=4, layers=(LayerChoice("Conv_2", weight_bits=3),)))
    assert solved == names[1:]
    alone = explorer.calibrate(network(), {"x": images()})
    fresh = explorer.plan(
        model, Recipe(weight_bits=4, layers=(LayerChoice("Conv_2", weight_bits=3),))
    )
    assert explorer.apply(model, fresh, alone).data == changed  # memory changes no result


def test_one_pass_rounds_activations_on_the_way() -> None:
    model = network()
    calibration = explorer.calibrate(model, {"x": images()})
    recipe = Recipe(pattern="channel", ratio=0.4, weight_bits=8, activation_bits=8)
    plan = explorer.plan(model, recipe, calibration)
    small = explorer.apply(model, plan, calibration)
    again = explorer.apply(model, plan, calibration)
    assert small.data == again.data
    found, wanted = (run_onnx(each.data, {"x": images()})[0] for each in (small, model))
    assert ((found - wanted) ** 2).mean() < 0.3 * wanted.var()


def test_without_compensation_the_choice_is_by_weight(resnet: explorer.Model) -> None:
    """What is known from samples doesn't leak into a recipe that forgoes it."""
    naive = Recipe(pattern="channel", ratio=0.4, compensate=False)
    by_weight = Recipe(pattern="channel", ratio=0.4, criterion="l2")
    assert explorer.plan(resnet, naive).groups == explorer.plan(resnet, by_weight).groups


def test_another_models_calibration_is_refused() -> None:
    model = network()
    other = explorer.calibrate(network("grouped"), {"x": images()})
    with pytest.raises(explorer.ExplorerError, match="another model"):
        explorer.apply(model, explorer.plan(model, Recipe(weight_bits=4)), other)
    with pytest.raises(explorer.ExplorerError, match="another model"):
        explorer.plan(model, Recipe(weight_bits=4), other)


def test_inputs_that_never_vary_leave_the_weights_as_they_are() -> None:
    model = with_weights(
        """<ir_version: 8, opset_import: ["" : 17]>
        g (float[n,6] x) => (float[n,4] y) {
            a = Gemm (x, w1, b1) h = Relu (a) c = Gemm (h, w2, b2) y = Gemm (c, w3, b3)
        }""",
        w1=(6, 8), b1=(8,), w2=(8, 8), b2=(8,), w3=(8, 4), b3=(4,),
    )  # fmt: skip
    x = np.repeat(np.random.default_rng(0).standard_normal((1, 6)), 40, axis=0).astype(np.float32)
    calibration = explorer.calibrate(model, {"x": x})
    wanted = run_onnx(model.data, {"x": x})[0]
    for recipe in (
        Recipe(pattern="channel", ratio=0.5, round_to=1),
        Recipe(weight_bits=8, activation_bits=8),
        Recipe(weight_bits=4),
    ):
        small = explorer.apply(model, explorer.plan(model, recipe, calibration), calibration)
        given = run_onnx(small.data, {"x": x})[0]
        assert np.abs(given - wanted).max() < 0.05 * np.abs(wanted).max()
        before, after = (
            max(np.abs(array).max() for array in arrays(each)) for each in (model, small)
        )
        assert after < 2 * before


def arrays(model: explorer.Model) -> list[np.ndarray]:
    """All constants that are floats."""
    found = (tensor.numpy() for tensor in tensors_of(model).values())
    return [array for array in found if array.dtype == np.float32 and array.size > 1]


def test_samples_that_overflow_inside_the_network_are_refused() -> None:
    model = network()
    calibration = explorer.calibrate(model, {"x": np.full((8, 3, 8, 8), 3e38, dtype=np.float32)})
    recipe = Recipe(weight_bits=8, activation_bits=8)
    with pytest.raises(CompressionError, match="beyond what it can hold"):
        explorer.apply(model, explorer.plan(model, recipe, calibration), calibration)


@pytest.mark.parametrize(("inputs", "parts"), [(64, 2), (2**15, 1)])
def test_only_small_networks_are_fitted_to_blends(inputs: int, parts: int) -> None:
    text = f"""<ir_version: 8, opset_import: ["" : 17]>
    g (float[n,{inputs}] x) => (float[n,64] y) {{ y = MatMul (x, w) }}"""
    model = with_weights(text, w=(inputs, 64))
    x = np.random.default_rng(0).standard_normal((16, inputs)).astype(np.float32)
    fitted = explorer.calibrate(model, {"x": x}).fitted
    assert [len(part) for part in fitted] == [16] * parts
