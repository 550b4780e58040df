"""Rounding, storage types, and the files that hold them."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx
import pytest
from conftest import run_onnx, with_weights
from graphs import family
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, numpy_helper

import explorer
from explorer import Recipe
from explorer.compress.quantizers import Grid, round_weights, spread
from explorer.measure.host import describe_host
from explorer.storage_types import INT4, INT8, holding

STORED = {
    16: "FLOAT16",
    8: "INT8",
    7: "INT8",
    6: "INT8",
    5: "INT8",
    4: "INT4",
    3: "INT4",
    2: "INT2",
}


@settings(deadline=None)
@given(st.integers(2, 8), st.sampled_from(["tensor", "channel", "group"]), st.integers(0, 99))
def test_the_rounding_error_is_at_most_half_a_step(bits: int, kind: str, seed: int) -> None:
    weight = np.random.default_rng(seed).standard_normal((6, 10, 3)).astype(np.float32)
    grid = {"tensor": Grid(None), "channel": Grid(0), "group": Grid(1, 4)}[kind]
    storage = holding(bits)
    rounded = round_weights(weight, bits, storage, grid)
    step = spread(rounded.scale, grid, weight.shape)
    few = bits <= 3
    most = step if few else step / 2  # with a zero point, zero must be a level too
    assert (np.abs(rounded.dequantize(grid) - weight) <= most * (1 + 1e-5)).all()
    integers = rounded.integers.astype(int)
    top = 2 ** (bits - 1) - 1
    assert np.abs(integers).max() >= top or few
    assert integers.max() <= top
    assert integers.min() >= (-top - 1 if few else -top)
    assert (rounded.zero_point is not None) == few
    assert rounded.scale.shape == grid.scale_shape(weight.shape)


def test_rounding_twice_is_rounding_once() -> None:
    weight = np.random.default_rng(0).standard_normal((8, 16)).astype(np.float32)
    once = round_weights(weight, 4, INT4, Grid(0))
    twice = round_weights(once.dequantize(Grid(0)), 4, INT4, Grid(0))
    assert (once.integers == twice.integers).all()


def test_a_slice_of_zeros_stays_zero() -> None:
    weight = np.zeros((2, 4), dtype=np.float32)
    weight[1] = 1
    assert (round_weights(weight, 8, INT8, Grid(0)).dequantize(Grid(0)) == weight).all()


@pytest.mark.parametrize("bits", STORED)
def test_the_file_holds_the_type(sample: explorer.Model, bits: int) -> None:
    small = explorer.apply(sample, explorer.plan(sample, Recipe(weight_bits=bits)))
    proto = onnx.load_model_from_string(small.data)
    tensors = {tensor.name: tensor for tensor in proto.graph.initializer}
    for layer in sample.layers:
        tensor = tensors[layer.weight]
        assert TensorProto.DataType.Name(tensor.data_type) == STORED[bits]
        stored_bits = {16: 16, 2: 2}.get(bits, 8 if bits > 4 else 4)
        assert len(tensor.raw_data) == -(-layer.weights * stored_bits // 8)
    onnx.checker.check_model(proto, full_check=True)


@pytest.mark.parametrize("granularity", ["tensor", "channel", "group"])
@pytest.mark.parametrize("bits", [8, 4, 2])
def test_the_runtime_sees_the_rounded_weights(
    resnet: explorer.Model, bits: int, granularity: str
) -> None:
    """ONNX Runtime's output equals that of a float file with the weights rounded in numpy."""
    recipe = Recipe(weight_bits=bits, granularity=granularity, group_size=16)
    small = explorer.apply(resnet, explorer.plan(resnet, recipe))
    proto = onnx.load_model_from_string(resnet.data)
    quantized = onnx.load_model_from_string(small.data)
    stored = {t.name: numpy_helper.to_array(t) for t in quantized.graph.initializer}
    for tensor in proto.graph.initializer:
        scale = stored.get(f"{tensor.name}/scale")
        if scale is None:
            continue
        integers = stored[tensor.name].astype(np.float32)
        zero = stored.get(f"{tensor.name}/zero_point", np.zeros(scale.shape)).astype(np.float32)
        if scale.ndim == 1:
            scale, zero = (x.reshape(-1, *[1] * (integers.ndim - 1)) for x in (scale, zero))
        elif scale.ndim:
            width = integers.shape[1]
            scale, zero = (np.repeat(x, 16, axis=1)[:, :width] for x in (scale, zero))
        tensor.CopyFrom(numpy_helper.from_array((integers - zero) * scale, tensor.name))
    image = np.random.default_rng(0).integers(0, 256, (4, 1, 28, 28)).astype(np.float32)
    expected = run_onnx(proto.SerializeToString(), {"image": image})[0]
    found = run_onnx(small.data, {"image": image})[0]
    np.testing.assert_allclose(found, expected, atol=2e-3 * np.abs(expected).max())


def test_fewer_bits_never_mean_a_larger_file(sample: explorer.Model) -> None:
    sizes = [
        explorer.estimate(sample, explorer.plan(sample, Recipe(weight_bits=bits))).file_bytes
        for bits in (32, 16, 8, 4, 2)
    ]
    assert sizes == sorted(sizes, reverse=True)


def test_eight_bit_activations_run_in_integer_kernels(
    resnet: explorer.Model, calibration: explorer.Calibration, tmp_path: object
) -> None:
    import onnxruntime as ort

    recipe = Recipe(weight_bits=8, activation_bits=8)
    small = explorer.apply(resnet, explorer.plan(resnet, recipe), calibration)
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.optimized_model_filepath = f"{tmp_path}/optimized.onnx"
    ort.InferenceSession(small.data, options, providers=["CPUExecutionProvider"])
    ops = {node.op_type for node in onnx.load(options.optimized_model_filepath).graph.node}
    assert {"QLinearConv", "QGemm"} <= ops
    assert not {"Conv", "Gemm"} & ops


@dataclass(frozen=True)
class Product:
    """A product of 8-bit integers in a file of the explorer, with what it must give.

    `inputs` and `weights` are the integers without their zero points, `exact` their product in
    64 bits, dequantized, and `found` what ONNX Runtime makes of it.
    """

    inputs: np.ndarray  # (samples, 64)
    weights: np.ndarray  # (64, 8)
    exact: np.ndarray  # (samples, 8)
    found: np.ndarray  # (samples, 8)

    @property
    def error(self) -> float:
        """Largest error of ONNX Runtime, relative to the exact result."""
        return float(np.abs(self.found / self.exact - 1).max())

    @property
    def largest_pair(self) -> int:
        """Of what x86 kernels without VNNI add in 16 bits."""
        halves = self.inputs[:, :, None] * self.weights
        return int((halves[:, ::2] + halves[:, 1::2]).max())


def product(int8_range: str) -> Product:
    """Of large weights of one sign and inputs at the upper end."""
    random = np.random.default_rng(0)
    text = """<ir_version: 8, opset_import: ["" : 17]>
        g (float[n,64] x) => (float[n,8] y) { y = MatMul (x, w) }"""
    proto = onnx.parser.parse_model(text)
    weight = random.uniform(0.8, 1, (64, 8)).astype(np.float32)
    proto.graph.initializer.append(numpy_helper.from_array(weight, "w"))
    model = explorer.load(proto.SerializeToString(), "large")
    x = random.uniform(0.9, 1, (16, 64)).astype(np.float32)
    calibration = explorer.calibrate(model, {"x": x})
    recipe = Recipe(weight_bits=8, activation_bits=8, int8_range=int8_range)
    file = explorer.apply(model, explorer.plan(model, recipe), calibration).data
    stored = {
        t.name: numpy_helper.to_array(t) for t in onnx.load_from_string(file).graph.initializer
    }
    assert stored["w"].dtype == np.int8
    assert not stored["w/zero_point"].any()
    scale, zero = stored["x/scale"], stored["x/zero_point"].astype(np.int64)
    inputs = np.clip(np.rint(x / scale).astype(np.int64) + zero, 0, 255) - zero
    weights = stored["w"].astype(np.int64)
    exact = (inputs @ weights) * (scale.astype(np.float64) * stored["w/scale"])
    return Product(inputs, weights, exact, run_onnx(file, {"x": x})[0])


def test_the_reduced_range_adds_up_exactly_on_any_processor() -> None:
    found = product("reduced")
    assert found.largest_pair <= np.iinfo(np.int16).max
    assert found.error < 1e-6


def test_the_full_range_adds_up_exactly_where_kernels_do_not_saturate(
    record_testsuite_property: Callable[[str, object], None],
) -> None:
    found = product("full")
    assert found.largest_pair > np.iinfo(np.int16).max
    record_testsuite_property("full_range_overflows", found.error > 0.01)
    has_vnni = describe_host().has_vnni
    if has_vnni is not None:  # None: not x86, or not known
        assert (found.error < 1e-6) == has_vnni


def test_eight_bits_keep_the_accuracy(
    resnet: explorer.Model, calibration: explorer.Calibration, test_data: object
) -> None:
    recipe = Recipe(weight_bits=8, activation_bits=8)
    small = explorer.apply(resnet, explorer.plan(resnet, recipe), calibration)
    quality = explorer.evaluate(small, test_data, resnet)
    assert quality.reference_value is not None
    assert quality.value > quality.reference_value - 0.02


def test_activations_without_samples_are_refused(resnet: explorer.Model) -> None:
    plan = explorer.plan(resnet, Recipe(activation_bits=8))
    with pytest.raises(explorer.ExplorerError, match="calibration"):
        explorer.apply(resnet, plan)


def test_a_choice_for_one_layer(resnet: explorer.Model) -> None:
    choice = explorer.LayerChoice("classifier", weight_bits=32)
    plan = explorer.plan(resnet, Recipe(weight_bits=4, layers=(choice,)))
    storage = {layer.name: layer.storage for layer in plan.layers}
    assert storage.pop("classifier") == "float32"
    assert set(storage.values()) == {"int4"}


def test_half_precision_models() -> None:
    import onnx_ir as ir

    model = family("residual")[1]
    proto = onnx.load_model_from_string(model.data)
    for tensor in proto.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            half = numpy_helper.to_array(tensor).astype(np.float16)
            tensor.CopyFrom(numpy_helper.from_array(half, tensor.name))
    for info in (*proto.graph.input, *proto.graph.output):
        info.type.tensor_type.elem_type = TensorProto.FLOAT16
    del proto.graph.value_info[:]
    half_model = explorer.load(proto.SerializeToString(), "half")
    assert {layer.dtype for layer in half_model.layers} == {"float16"}
    plan = explorer.plan(half_model, Recipe(pattern="channel", ratio=0.5, weight_bits=4))
    small = explorer.apply(half_model, plan)
    assert explorer.estimate(half_model, plan).params == explorer.profile(small).params
    feed = {half_model.inputs[0].name: np.ones((1, 3, 8, 8), dtype=np.float16)}
    assert run_onnx(small.data, feed)[0].dtype == np.float16
    assert ir.DataType.INT4 in {v.dtype for v in small.graph_model.graph.initializers.values()}


@pytest.mark.parametrize("opset", [9, 11, 13, 18])
@pytest.mark.parametrize("bits", [8, 4, 2])
def test_older_opsets_are_raised(opset: int, bits: int) -> None:
    old = with_weights(
        f"""<ir_version: 8, opset_import: ["" : {opset}]>
        g (float[n,3,8,8] x) => (float[n,4] y) {{
            a = Conv <pads = [1,1,1,1]> (x, w1)
            b = Relu (a)
            c = GlobalAveragePool (b)
            d = Flatten (c)
            e = MatMul (d, w2)
            y = Softmax <axis = 1> (e)
        }}""",
        w1=(8, 3, 3, 3),
        w2=(8, 4),
    )
    plan = explorer.plan(old, Recipe(weight_bits=bits))
    assert {layer.storage for layer in plan.layers} == {f"int{bits}"}
    small = explorer.apply(old, plan)
    x = np.random.default_rng(0).standard_normal((2, 3, 8, 8)).astype(np.float32)
    given, expected = run_onnx(small.data, {"x": x})[0], run_onnx(old.data, {"x": x})[0]
    assert np.abs(given - expected).max() < {8: 0.01, 4: 0.2, 2: 1.0}[bits]
    assert explorer.estimate(old, plan).params == explorer.profile(small).params


def test_sparse_and_narrow_at_once(resnet: explorer.Model) -> None:
    plan = explorer.plan(resnet, Recipe(pattern="2:4", weight_bits=4))
    small = explorer.apply(resnet, plan)
    profile = explorer.profile(small)
    suited = [layer for layer in plan.layers if layer.skipped is None]
    assert all(layer.sparsity == 0.5 for layer in suited)
    assert profile.nonzero_params is not None
    assert profile.nonzero_params < 0.55 * profile.params
    assert (
        profile.packed_bytes
        < explorer.profile(
            explorer.apply(resnet, explorer.plan(resnet, Recipe(weight_bits=4)))
        ).packed_bytes
    )


def test_two_of_four_neighbours_are_zero(resnet: explorer.Model) -> None:
    small = explorer.apply(resnet, explorer.plan(resnet, Recipe(pattern="2:4")))
    tensors = {
        t.name: numpy_helper.to_array(t)
        for t in onnx.load_model_from_string(small.data).graph.initializer
    }
    weight = tensors["stage1.0.conv1.weight"]
    groups = np.moveaxis(weight, 1, -1).reshape(-1, 4)
    assert ((groups != 0).sum(axis=1) == 2).all()


@pytest.mark.parametrize("pattern", ["unstructured", "block"])
@pytest.mark.parametrize("scope", ["global", "layer"])
def test_masks_meet_the_ratio(sample: explorer.Model, pattern: str, scope: str) -> None:
    plan = explorer.plan(sample, Recipe(pattern=pattern, ratio=0.6, scope=scope))
    size = {layer.name: layer.weights for layer in sample.layers}
    masked = [layer for layer in plan.layers if layer.skipped is None]
    total = sum(size[layer.name] for layer in masked)
    zeros = sum(layer.sparsity * size[layer.name] for layer in masked)
    assert zeros / total == pytest.approx(0.6, abs=0.02)
    assert all(layer.sparsity < 1 for layer in plan.layers)
