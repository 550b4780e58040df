"""Files as they are in the wild: each compresses rightly, or is left alone for a reason."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
import pytest
from checking import PRUNING, assert_compresses, kept
from conftest import with_weights
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)
from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

import explorer
from explorer import Recipe
from explorer.errors import ModelError

Array = npt.NDArray[Any]
HEAD = '<ir_version: 8, opset_import: ["" : 17]>'
CONV = {"w": (16, 3, 3, 3), "b": (16,)}
BODY = "a = Conv <pads = [1,1,1,1]> (x, w, b)  r = Relu (a)"


def of_image(constants: str, rest: str) -> str:
    """A graph that goes on behind a convolution to 16 channels and a Relu."""
    image = "float[n,3,8,8] x"
    return f"{HEAD} g ({image}) => (float[n,4,8,8] y) <{constants}> {{ {BODY} {rest} }}"


def of_rows(constants: str, rest: str) -> str:
    """A graph of matrix products on rows of 12 numbers."""
    return f"{HEAD} g (float[n,12] x) => (float[n,5] y) <{constants}> {{ {rest} }}"


def feed_of(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Array]:
    rng = np.random.default_rng(1)
    return {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}


ONE = "int64[1] s = {3}, int64[1] e = {4}, int64[1] ax = {1}"
LAST = {**CONV, "v": (4, 16, 1, 1)}
Shapes = dict[str, tuple[int, ...]]
# Text, shapes of the weights, and how many channels each pruned layer keeps at half.
CORNERS: dict[str, tuple[str, Shapes, dict[str, int]]] = {
    "a slice of one channel": (
        of_image(ONE, "o = Slice (r, s, e, ax)  p = Conv (o, u)  q = Conv (r, v)  y = Add (p, q)"),
        {**LAST, "u": (4, 1, 1, 1)},
        {"Conv_0": 9},
    ),
    "a part of one channel": (
        of_image(
            "int64[2] s = {1, 15}",
            "o, p = Split <axis = 1> (r, s)  q = Conv (o, u)  t = Conv (p, v)  y = Add (q, t)",
        ),
        {**CONV, "v": (4, 15, 1, 1), "u": (4, 1, 1, 1)},
        {"Conv_0": 9},
    ),
    "a choice of one channel": (
        of_image(
            "int64[1] s = {5}",
            "o = Gather <axis = 1> (r, s)  q = Conv (o, u)  t = Conv (r, v)  y = Add (q, t)",
        ),
        {**LAST, "u": (4, 1, 1, 1)},
        {"Conv_0": 9},
    ),
    "one half tied together": (
        of_image(
            "int64[2] s = {8, 8}, int64[2] hw = {2, 3}, int64[1] ax = {1}",
            """
            h, o = Split <axis = 1> (r, s)
            g = GlobalAveragePool (h)
            row = Squeeze (g, hw)
            line = Unsqueeze (row, ax)
            c = Conv <pads = [1,1]> (line, k)
            back = Squeeze (c, ax)
            t = Unsqueeze (back, hw)
            m = Mul (h, t)
            p = Conv (m, v)
            q = Conv (o, u)
            y = Add (p, q)
            """,
        ),
        {**CONV, "k": (1, 1, 3), "v": (4, 8, 1, 1), "u": (4, 8, 1, 1)},
        {"Conv_0": 12},
    ),
    "places in 32 bits": (
        of_image(
            "int32[1] s = {4}, int32[1] e = {16}, int32[1] ax = {1}, int32[3] c = {9, 1, 2}",
            "o = Slice (r, s, e, ax)  p = Gather <axis = 1> (o, c)  y = Conv (p, v)",
        ),
        {**CONV, "v": (4, 3, 1, 1)},
        {"Conv_0": 8},
    ),
    "a shift of channels by padding": (
        of_image("int64[8] p = {0, 1, 0, 0, 0, -1, 0, 0}", "o = Pad (r, p)  y = Conv (o, v)"),
        LAST,
        {},
    ),
    "a bias that another layer gives": (
        of_rows(
            "float z = {0.0}",
            """
            a = MatMul (x, w)
            r = Relu (a)
            c = Gemm (x, u, r)
            d = Relu (c)
            y = MatMul (d, v)
            """,
        ),
        {"w": (12, 16), "u": (12, 16), "v": (16, 5)},
        {},
    ),
    "a scale that another layer gives": (
        of_rows(
            "int64[1] ax = {0}, int64[1] s = {16}",
            """
            m = ReduceMean <axes = [0], keepdims = 1> (x)
            a = MatMul (m, w)
            t = Reshape (a, s)
            q = MatMul (x, u)
            z = LayerNormalization (q, t)
            y = MatMul (z, v)
            """,
        ),
        {"w": (12, 16), "u": (12, 16), "v": (16, 5)},
        {},
    ),
    "a number of elements as a factor": (
        of_rows(
            "float z = {0.0}",
            """
            a = MatMul (x, w)
            s = Size (a)
            f = Cast <to = 1> (s)
            d = Div (a, f)
            y = MatMul (d, v)
            """,
        ),
        {"w": (12, 16), "v": (16, 5)},
        {},
    ),
    "a size of 0 behind which other channels lie": (
        of_image(
            "int64[5] s = {0, 2, 0, 8, 8}",
            "q = Reshape (r, s)  m = ReduceMax <axes = [1], keepdims = 0> (q)  y = Conv (m, v)",
        ),
        {**CONV, "v": (4, 8, 1, 1)},
        {"Conv_0": 8},
    ),
    "channels as rows that lie in squares": (
        f"""{HEAD} g (float[n,3,8,8] x) => (float[n,4,8,4] y)
        <int64[5] s = {{0, 8, 2, 8, 8}}, int64[4] back = {{0, 16, 8, 8}}> {{
            {BODY}
            q = Reshape (r, s)
            m = ReduceMax <axes = [1]> (q)
            p = Mul (q, m)
            f = Reshape (p, back)
            t = Transpose <perm = [0,2,1,3]> (f)
            o = SpaceToDepth <blocksize = 2> (t)
            y = Conv (o, v)
        }}""",
        {**CONV, "v": (4, 32, 1, 1)},
        {},
    ),
    "heads before opset 13": (
        """<ir_version: 8, opset_import: ["" : 11]>
        g (float[n,6,12] x) => (float[n,6,5] y)
        <int64[4] s = {0, 6, 4, 4}, int64[3] back = {0, 6, 16}> {
            a = MatMul (x, w)
            q = Reshape (a, s)
            h = Transpose <perm = [0,2,1,3]> (q)
            t = Transpose <perm = [0,2,3,1]> (q)
            k = MatMul (h, t)
            p = Softmax <axis = 3> (k)
            m = MatMul (p, h)
            o = Transpose <perm = [0,2,1,3]> (m)
            f = Reshape (o, back)
            y = MatMul (f, v)
        }""",
        {"w": (12, 16), "v": (16, 5)},
        {"MatMul_0": 8},
    ),
}


@pytest.mark.parametrize("name", CORNERS)
def test_corners(name: str) -> None:
    text, shapes, counts = CORNERS[name]
    model = with_weights(text, **shapes)
    shape = tuple(2 if dim == "n" else int(dim) for dim in model.inputs[0].shape)
    assert_compresses(model, feed_of({"x": shape}))
    assert {n: left for n, (left, whole) in kept(model).items() if left < whole} == counts


@pytest.mark.parametrize("mine", [True, False])
def test_a_resize_to_sizes_that_name_the_channels(mine: bool) -> None:
    """Behind an image of open size the sizes are computed; only those of a Shape follow."""
    front = "Slice (h, zero, two)" if mine else "Identity (named)"
    model = with_weights(
        f"""{HEAD} g (float[n,3,height,width] x) => (float[n,4,p,q] y)
        <int64[2] named = {{1, 16}}, int64[1] zero = {{0}}, int64[1] two = {{2}},
         int64[1] four = {{4}}, float[0] none = {{}}> {{
            {BODY}
            h = Shape (r)
            left = {front}
            right = Slice (h, two, four)
            sizes = Concat <axis = 0> (left, right)
            o = Resize (r, none, none, sizes)
            y = Conv (o, v)
        }}""",
        **LAST,
    )
    assert_compresses(model, feed_of({"x": (1, 3, 8, 8)}))
    assert kept(model)["Conv_0"] == ((8 if mine else 16), 16)


def test_a_large_flattened_image() -> None:
    """Its labels are never written out for each pixel."""
    model = with_weights(
        f"""{HEAD} g (float[n,3,224,224] x) => (float[n,4,224,224] y)
        <int64[4] s = {{0, -1, 224, 224}}> {{
            a = Conv (x, w)
            f = Flatten (a)
            r = Relu (f)
            o = Reshape (r, s)
            y = Conv (o, v)
        }}""",
        w=(128, 3, 1, 1),
        v=(4, 128, 1, 1),
    )
    plan = explorer.plan(model, Recipe(pattern="channel", ratio=0.5))
    assert [layer.kept for layer in plan.layers] == [64, 4]


CONVOLUTIONS = {"w": (16, 3, 3, 3), "b": (16,), "u": (16, 16, 3, 3)}
SMALL = f"""{HEAD} g (float[n,3,8,8] x) => (float[n,10] y) {{
    {BODY}
    c = Conv <pads = [1,1,1,1]> (r, u)
    d = Add (c, r)
    e = Relu (d)
    p = GlobalAveragePool (e)
    f = Flatten (p)
    h = Gemm <transB = 1> (f, k)
    q = Relu (h)
    y = MatMul (q, v)
}}"""
SMALL_WEIGHTS: Shapes = {**CONVOLUTIONS, "k": (32, 16), "v": (32, 10)}


class Samples(CalibrationDataReader):  # type: ignore[misc]  # the runtime has no types
    """What ONNX Runtime's quantizer looks at."""

    def __init__(self) -> None:
        self.left = [feed_of({"x": (4, 3, 8, 8)})]

    def get_next(self) -> dict[str, Array] | None:
        return self.left.pop() if self.left else None


def quantized(folder: Path, static: bool, **options: Any) -> explorer.Model:
    source, target = folder / "wide.onnx", folder / "narrow.onnx"
    with_weights(SMALL, **SMALL_WEIGHTS).save(source)
    if static:
        quantize_static(source, target, Samples(), **options)
    else:
        quantize_dynamic(source, target, **options)
    return explorer.load(target)


PRODUCTS = ["MatMul", "Gemm"]
# Static or not, options of ONNX Runtime's quantizer, and the width of each of the four layers.
QUANTIZED: dict[str, tuple[bool, dict[str, Any], list[int]]] = {
    "qdq": (True, {"quant_format": QuantFormat.QDQ}, [8] * 4),
    "qdq-channels": (True, {"quant_format": QuantFormat.QDQ, "per_channel": True}, [8] * 4),
    "qdq-4": (True, {"weight_type": QuantType.QInt4}, [4] * 4),
    "qdq-products": (True, {"op_types_to_quantize": PRODUCTS}, [32, 32, 8, 8]),
    "qdq-convolutions": (True, {"op_types_to_quantize": ["Conv"]}, [8, 8, 32, 32]),
    "operators": (True, {"quant_format": QuantFormat.QOperator}, [8] * 4),
    "operators-channels": (
        True,
        {"quant_format": QuantFormat.QOperator, "per_channel": True},
        [8] * 4,
    ),
    "operators-products": (
        True,
        {"quant_format": QuantFormat.QOperator, "op_types_to_quantize": PRODUCTS},
        [32, 32, 8, 8],
    ),
    "dynamic": (False, {}, [8] * 4),
    "dynamic-unsigned": (False, {"weight_type": QuantType.QUInt8}, [8] * 4),
    "dynamic-channels": (False, {"per_channel": True}, [8] * 4),
    "dynamic-products": (False, {"op_types_to_quantize": ["MatMul"]}, [32, 32, 8, 8]),
}


def assert_closed(plan: explorer.Plan, widths: list[int]) -> None:
    """Layers below 32 bits keep their width and all channels, and say why."""
    assert len(plan.layers) == len(widths)
    for layer, bits in zip(plan.layers, widths, strict=True):
        assert layer.closed == (bits < 32)
        if layer.closed:
            assert (layer.weight_bits, layer.kept) == (bits, layer.channels)
            assert layer.skipped == f"is already stored in {bits} bits"


@pytest.mark.filterwarnings("ignore")  # ONNX Runtime's quantizer uses what numpy has renamed
@pytest.mark.parametrize("name", QUANTIZED)
def test_files_by_another_quantizer(name: str, tmp_path: Path) -> None:
    static, options, widths = QUANTIZED[name]
    model, wide = quantized(tmp_path, static, **options), with_weights(SMALL, **SMALL_WEIGHTS)
    before, after = explorer.profile(wide), explorer.profile(model)
    sizes = [layer.weights for layer in wide.layers]
    bits = sum(size * width for size, width in zip(sizes, widths, strict=True))
    scales = 300 + (8 * 74 if "channels" in name else 0)  # of weights, biases and activations
    assert after.params == before.params
    assert bits // 8 <= after.packed_bytes <= bits // 8 + scales
    plan = explorer.plan(model, Recipe(pattern="channel", ratio=0.5, round_to=1, weight_bits=2))
    assert_closed(plan, widths)
    changed = explorer.apply(model, plan) is not model
    assert changed == (32 in widths)
    assert {layer.weight_bits for layer in plan.layers if not layer.closed} <= {2}
    assert_compresses(model, feed_of({"x": (4, 3, 8, 8)}))


ROWS = """<ir_version: 10, opset_import: ["" : 21]>
g (float[n,64] x) => (float[n,48] y) { a = MatMul (x, w)  r = Relu (a)  y = MatMul (r, v) }"""


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("bits", [4, 8])
def test_weights_packed_for_one_operator(bits: int, symmetric: bool) -> None:
    wide = with_weights(ROWS, w=(64, 100), v=(100, 48))
    quantizer = MatMulNBitsQuantizer(
        onnx.load_model_from_string(wide.data),
        bits=bits,
        block_size=16,
        is_symmetric=symmetric,
        op_types_to_quantize=("MatMul",),
    )
    quantizer.process()
    model = explorer.load(quantizer.model.model.SerializeToString())
    before, after = explorer.profile(wide), explorer.profile(model)
    assert after.params == before.params
    assert bits / 32 < after.packed_bytes / before.packed_bytes < bits / 32 + 0.09
    plan = explorer.plan(model, Recipe(pattern="channel", ratio=0.5, weight_bits=2))
    assert_closed(plan, [bits, bits])
    assert explorer.apply(model, plan) is model
    assert_compresses(model, feed_of({"x": (3, 64)}))


@pytest.mark.parametrize("bits", [16, 8, 7, 6, 5, 4, 3, 2])
def test_the_own_files_again(bits: int) -> None:
    wide = with_weights(SMALL, **SMALL_WEIGHTS)
    recipe = Recipe(pattern="channel", ratio=0.5, round_to=1, weight_bits=bits)
    once = explorer.apply(wide, explorer.plan(wide, recipe))
    again = explorer.load(once.data)
    assert explorer.profile(again) == explorer.profile(once)
    plan = explorer.plan(again, Recipe(pattern="channel", ratio=0.5, weight_bits=2))
    assert_closed(plan, [bits] * 4)
    assert explorer.apply(again, plan) is again
    half = explorer.profile(explorer.apply(wide, explorer.plan(wide, PRUNING[1])))
    told = explorer.profile(again)
    assert (told.params, told.macs) == (half.params, half.macs)
    assert told.packed_bytes == pytest.approx(half.packed_bytes * bits / 32, abs=4 * 90)


def constant(tensor: onnx.TensorProto) -> onnx.NodeProto:
    return helper.make_node("Constant", [], [tensor.name], value=tensor)


def random_tensor(name: str, *shape: int, kind: type = np.float32) -> onnx.TensorProto:
    values = np.random.default_rng(len(name) + sum(shape)).standard_normal(shape) / 4
    return numpy_helper.from_array(np.abs(values).astype(kind), name)


def integers(name: str, *values: int) -> onnx.TensorProto:
    return numpy_helper.from_array(np.array(values, dtype=np.int64), name)


def info(name: str, *shape: int | str, kind: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def loaded(
    nodes: list[onnx.NodeProto],
    inputs: list[onnx.ValueInfoProto],
    output: onnx.ValueInfoProto,
    tensors: list[onnx.TensorProto],
    opset: int = 17,
) -> explorer.Model:
    graph = helper.make_graph(nodes, "g", inputs, [output], tensors)
    imports = [helper.make_opsetid("", opset)]
    proto = helper.make_model(graph, opset_imports=imports)
    proto.ir_version = max(4, helper.find_min_ir_version_for(imports))
    onnx.checker.check_model(proto, full_check=True)
    return explorer.load(proto.SerializeToString())


# Operators between a stored weight and its layer, and the shape in which it is stored.
DETOURS: dict[str, tuple[list[tuple[str, dict[str, Any], list[int]]], tuple[int, ...]]] = {
    "none": ([], (16, 3, 3, 3)),
    "identity": ([("Identity", {}, [])], (16, 3, 3, 3)),
    "transpose": ([("Transpose", {"perm": [3, 2, 0, 1]}, [])], (3, 3, 3, 16)),
    "reshape": ([("Reshape", {}, [16, 3, 3, 3])], (16, 27)),
    "squeeze": ([("Squeeze", {}, [0])], (1, 16, 3, 3, 3)),
    "squeeze-all": ([("Squeeze", {}, [])], (1, 16, 3, 3, 3)),
    "unsqueeze": ([("Unsqueeze", {}, [2]), ("Reshape", {}, [16, 3, 3, 3])], (16, 27)),
    "chain": (
        [
            ("Identity", {}, []),
            ("Transpose", {"perm": [1, 0]}, []),
            ("Identity", {}, []),
            ("Reshape", {}, [16, 3, 3, 3]),
        ],
        (27, 16),
    ),
}


@pytest.mark.parametrize("name", DETOURS)
def test_weights_as_constants_behind_detours(name: str) -> None:
    detour, shape = DETOURS[name]
    nodes = [constant(random_tensor("w", *shape)), constant(random_tensor("v", 4, 16, 1, 1))]
    weight = "w"
    for index, (op, attributes, argument) in enumerate(detour):
        inputs = [weight, f"i{index}"] if argument else [weight]
        nodes += [constant(integers(f"i{index}", *argument))] if argument else []
        weight = f"w{index}"
        nodes.append(helper.make_node(op, inputs, [weight], **attributes))
    nodes.append(helper.make_node("Conv", ["x", weight], ["a"], pads=[1] * 4))
    nodes.append(helper.make_node("Relu", ["a"], ["r"]))
    nodes.append(helper.make_node("Conv", ["r", "v"], ["y"]))
    model = loaded(nodes, [info("x", "n", 3, 8, 8)], info("y", "n", 4, 8, 8), [])
    assert explorer.profile(model).params == 16 * 27 + 64
    assert list(kept(model).values()) == [(8, 16), (4, 4)]
    assert_compresses(model, feed_of({"x": (2, 3, 8, 8)}))


@pytest.mark.parametrize("borders", [True, False], ids=["cast", "whole"])
def test_half_precision_and_batch_norm(borders: bool) -> None:
    outer = TensorProto.FLOAT if borders else TensorProto.FLOAT16
    norm = ["a", "scale", "shift", "mean", "variance"]
    nodes = [
        helper.make_node("Cast", ["x"], ["h"], to=TensorProto.FLOAT16),
        helper.make_node("Conv", ["h", "w", "b"], ["a"], pads=[1] * 4),
        helper.make_node("BatchNormalization", norm, ["n1"]),
        helper.make_node("Relu", ["n1"], ["r"]),
        helper.make_node("Conv", ["r", "v"], ["z"]),
        helper.make_node("Cast", ["z"], ["y"], to=outer),
    ]
    tensors = [random_tensor("w", 16, 3, 3, 3, kind=np.float16)]
    tensors += [random_tensor(name, 16, kind=np.float16) for name in ("b", *norm[1:])]
    tensors += [random_tensor("v", 4, 16, 1, 1, kind=np.float16)]
    inputs, output = [info("x", "n", 3, 8, 8, kind=outer)], info("y", "n", 4, 8, 8, kind=outer)
    model = loaded(nodes, inputs, output, tensors)
    assert [layer.dtype for layer in model.layers] == ["float16"] * 2
    assert explorer.profile(model).packed_bytes == 2 * explorer.profile(model).params
    assert list(kept(model).values()) == [(8, 16), (4, 4)]
    x = feed_of({"x": (2, 3, 8, 8)})["x"].astype(np.float32 if borders else np.float16)
    assert_compresses(model, {"x": x}, tolerance=1e-2)


SHARED = {
    "by two layers alike": (
        f"""{HEAD} g (float[n,12] x, float[n,12] z) => (float[n,5] y) {{
            a = MatMul (x, w)  b = MatMul (z, w)  s = Add (a, b)  y = MatMul (s, v)
        }}""",
        {"w": (12, 16), "v": (16, 5)},
        [8, 8, 5],
    ),
    "one after the other": (
        f"""{HEAD} g (float[n,12] x) => (float[n,5] y) {{
            a = MatMul (x, w)  b = MatMul (a, u)  c = MatMul (b, u)  y = MatMul (c, v)
        }}""",
        {"w": (12, 16), "u": (16, 16), "v": (16, 5)},
        [8, 8, 8, 5],
    ),
    "tied through a transpose": (
        f"""{HEAD} g (int64[n] i) => (float[n,20] y) {{
            e = Gather (t, i)  a = MatMul (e, w)  r = Relu (a)  b = MatMul (r, v)
            o = Transpose <perm = [1,0]> (t)  y = MatMul (b, o)
        }}""",
        {"t": (20, 16), "w": (16, 32), "v": (32, 16)},
        [16, 16, 16],
    ),
    "tied through a flag": (
        f"""{HEAD} g (int64[n] i) => (float[n,20] y) {{
            e = Gather (t, i)  a = MatMul (e, w)  r = Relu (a)  b = MatMul (r, v)
            y = Gemm <transB = 1> (b, t)
        }}""",
        {"t": (20, 16), "w": (16, 32), "v": (32, 16)},
        [9, 15, 9, 20],
    ),
}


@pytest.mark.parametrize("name", SHARED)
def test_weights_used_twice(name: str) -> None:
    text, shapes, counts = SHARED[name]
    model = with_weights(text, **shapes)
    assert explorer.profile(model).params == sum(np.prod(shape) for shape in shapes.values())
    assert [left for left, _ in kept(model).values()] == counts
    feed = feed_of({"x": (3, 12), "z": (3, 12)})
    own = {"i": np.array([0, 19, 3])} if "Gather" in text else feed
    assert_compresses(model, {spec.name: own[spec.name] for spec in model.inputs})


def inner(kind: str) -> onnx.NodeProto:
    """A node with a weight (16, 16) inside, from `b` to `z`."""
    state, result = info("s", "n", 16), info("t", "n", 16)
    product = helper.make_node("MatMul", ["b" if kind == "If" else "s", "k"], ["t"])
    own = [random_tensor("k", 16, 16)]
    if kind == "If":
        other = helper.make_node("Identity", ["b"], ["e"])
        return helper.make_node(
            "If",
            ["c"],
            ["z"],
            then_branch=helper.make_graph([product], "then", [], [result], own),
            else_branch=helper.make_graph([other], "else", [], [info("e", "n", 16)]),
        )
    if kind == "Loop":
        condition = info("go", kind=TensorProto.BOOL)
        again = helper.make_node("Identity", ["go"], ["still"])
        inputs = [info("step", kind=TensorProto.INT64), condition, state]
        outputs = [info("still", kind=TensorProto.BOOL), result]
        body = helper.make_graph([product, again], "body", inputs, outputs, own)
        return helper.make_node("Loop", ["times", "", "b"], ["z"], body=body)
    add = helper.make_node("Add", ["t", "row"], ["next"])
    copy = helper.make_node("Identity", ["next"], ["o"])
    outputs = [info("next", "n", 16), info("o", "n", 16)]
    inputs = [state, info("row", "n", 16)]
    body = helper.make_graph([product, add, copy], "body", inputs, outputs, own)
    return helper.make_node("Scan", ["b", "rows"], ["z", "all"], body=body, num_scan_inputs=1)


@pytest.mark.parametrize("kind", ["If", "Loop", "Scan"])
def test_weights_inside_a_node(kind: str) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"]),
        helper.make_node("Relu", ["a"], ["r"]),
        helper.make_node("MatMul", ["r", "u"], ["b"]),
        inner(kind),
        helper.make_node("MatMul", ["z", "v"], ["y"]),
    ]
    tensors = [random_tensor("w", 12, 20), random_tensor("u", 20, 16), random_tensor("v", 16, 5)]
    tensors += [numpy_helper.from_array(np.array(3), "times")]
    inputs, feed = [info("x", "n", 12)], feed_of({"x": (3, 12)})
    if kind == "If":
        inputs, feed = [*inputs, info("c", kind=TensorProto.BOOL)], {**feed, "c": np.array(True)}
    if kind == "Scan":
        inputs.append(info("rows", 4, "n", 16))
        feed |= feed_of({"rows": (4, 3, 16)})
    model = loaded(nodes, inputs, info("y", "n", 5), tensors)
    found = explorer.profile(model)
    assert (found.params, found.packed_bytes) == (240 + 320 + 256 + 80, 4 * 896)
    plan = explorer.plan(model, PRUNING[1])
    named = {layer.name: layer for layer in plan.layers}
    assert "" not in named
    assert str(named["k"].skipped).startswith(f"stands inside {kind}")
    assert (named["k"].closed, named["k"].weight_bits) == (True, 32)
    assert (named["MatMul_0"].kept, named["MatMul_2"].kept) == (10, 16)
    assert kind in str(named["MatMul_2"].skipped)
    assert_compresses(model, feed)


def test_weights_that_are_inputs_of_an_old_file() -> None:
    proto = onnx.load_model_from_string(
        with_weights(of_image("float z = {0.0}", "y = Conv (r, v)"), **LAST).data
    )
    for tensor in proto.graph.initializer:
        proto.graph.input.append(info(tensor.name, *tensor.dims, kind=tensor.data_type))
    model = explorer.load(proto.SerializeToString())
    assert [spec.name for spec in model.inputs] == ["x"]
    assert_compresses(model, feed_of({"x": (2, 3, 8, 8)}))


OPEN = "float[n,3,height,width] x"
# Text behind a convolution to 16 channels of an image, and the shape of the last weight.
OPEN_SIZES = {
    "a reshape that fits one size": (
        "int64[3] s = {0, 16, 64}",
        "f = Reshape (r, s)  t = Transpose <perm = [0,2,1]> (f)  y = MatMul (t, v)",
        (16, 4),
    ),
    "a layer that fits one size": (
        "float z = {0.0}",
        "f = Flatten (r)  y = MatMul (f, v)",
        (1024, 4),
    ),
    "places among channels and pixels": (
        "int64[4] s = {0, 64, -64, -1}",
        "f = Flatten (r)  o = Gather <axis = 1> (f, s)  y = MatMul (o, v)",
        (4, 4),
    ),
    "a slice of channels and pixels": (
        "int64[1] s = {0}, int64[1] e = {512}, int64[1] ax = {1}",
        "f = Flatten (r)  o = Slice (f, s, e, ax)  y = MatMul (o, v)",
        (512, 4),
    ),
    "a part of samples and channels": (
        "int64[3] s = {-1, 8, 8}",
        "f = Reshape (r, s)  h, t = Split <axis = 0> (f)  o = Sub (h, t)  y = MatMul (o, v)",
        (8, 4),
    ),
}


@pytest.mark.parametrize("name", OPEN_SIZES)
def test_open_sizes_that_only_one_value_fits(name: str) -> None:
    constants, rest, shape = OPEN_SIZES[name]
    head = HEAD.replace("17", "11")
    text = f"{head} g ({OPEN}) => (float y) <{constants}> {{ {BODY} {rest} }}"
    model = with_any_output(text, {**CONV, "v": shape})
    assert_compresses(model, feed_of({"x": (2, 3, 8, 8)}))
    found = "fits one size" in name  # which is then taken, and channels can be told apart
    assert kept(model)["Conv_0"] == (8 if found else 16, 16)


SEQUENCE = "float[n,6,12] x"
HEADS = """
    q = MatMul (x, w)  k = MatMul (x, u)  c = MatMul (x, z)
    q1 = Reshape (q, s)  k1 = Reshape (k, s)  c1 = Reshape (c, s)
"""
PROJECTIONS: Shapes = {"w": (12, 16), "u": (12, 16), "z": (12, 16), "v": (16, 5)}
# Opset, input, what follows, shapes of the weights, channels kept at half (all layers).
OPERATORS: dict[str, tuple[int, str, str, str, Shapes, list[int]]] = {
    "TopK": (
        17,
        SEQUENCE,
        "int64[1] k = {3}",
        "a = MatMul (x, w)  r, i = TopK <axis = 1> (a, k)  y = MatMul (r, v)",
        {"w": (12, 16), "v": (16, 5)},
        [16, 5],
    ),
    "GatherND": (
        17,
        SEQUENCE,
        "int64[2,2] i = {0, 1, 0, 3}",
        "a = MatMul (x, w)  r = GatherND (a, i)  y = MatMul (r, v)",
        {"w": (12, 16), "v": (16, 5)},
        [16, 5],
    ),
    "ScatterND": (
        17,
        SEQUENCE,
        "int64[1,2] i = {0, 1}",
        "a = MatMul (x, w)  r = ScatterND (a, i, u)  y = MatMul (r, v)",
        {"w": (12, 16), "u": (1, 16), "v": (16, 5)},
        [16, 5],
    ),
    "ArgMax and OneHot": (
        17,
        SEQUENCE,
        "int64 d = {16}, float[2] pair = {0.0, 1.0}",
        """a = MatMul (x, w)  i = ArgMax <axis = -1, keepdims = 0> (a)  h = OneHot (i, d, pair)
        y = MatMul (h, v)""",
        {"w": (12, 16), "v": (16, 5)},
        [16, 5],
    ),
    "CumSum": (
        17,
        SEQUENCE,
        "int64 d = {2}",
        "a = MatMul (x, w)  r = CumSum (a, d)  y = MatMul (r, v)",
        {"w": (12, 16), "v": (16, 5)},
        [16, 5],
    ),
    "Where": (
        17,
        SEQUENCE,
        "float z = {-9.0}",
        "a = MatMul (x, w)  m = Greater (a, t)  r = Where (m, a, z)  y = MatMul (r, v)",
        {"w": (12, 16), "t": (16,), "v": (16, 5)},
        [8, 5],
    ),
    "LpNormalization": (
        17,
        SEQUENCE,
        "float z = {0.0}",
        "a = MatMul (x, w)  r = LpNormalization <axis = 1, p = 2> (a)  y = MatMul (r, v)",
        {"w": (12, 16), "v": (16, 5)},
        [8, 5],
    ),
    "Tile and Expand": (
        17,
        SEQUENCE,
        "int64[3] t = {1, 2, 3}, int64[4] e = {3, 1, 1, 1}",
        "a = MatMul (x, w)  r = Tile (a, t)  o = Expand (r, e)  y = MatMul (o, v)",
        {"w": (12, 16), "v": (48, 5)},
        [8, 5],
    ),
    "Einsum of heads": (
        17,
        SEQUENCE,
        "int64[4] s = {0, 6, 4, 4}, int64[3] back = {0, 6, 16}",
        HEADS
        + """
        p = Einsum <equation = "bqhd,bkhd->bhqk"> (q1, k1)
        m = Softmax <axis = -1> (p)
        o = Einsum <equation = "bhqk,bkhd->bqhd"> (m, c1)
        r = Reshape (o, back)
        y = MatMul (r, v)""",
        PROJECTIONS,
        [8, 8, 8, 5],
    ),
    "Einsum with an ellipsis": (
        17,
        SEQUENCE,
        "float z = {0.0}",
        'a = MatMul (x, w)  y = Einsum <equation = "...j,jk->...k"> (a, v)',
        {"w": (12, 16), "v": (16, 5)},
        [16],
    ),
    "Einsum of letters in turn": (
        17,
        SEQUENCE,
        "float z = {0.0}",
        """a = MatMul (x, w)  t = Einsum <equation = "bij->bji"> (a)
        y = Einsum <equation = "bji,jk->bik"> (t, v)""",
        {"w": (12, 16), "v": (16, 5)},
        [8],
    ),
    "RMSNormalization": (
        23,
        SEQUENCE,
        "float z = {0.0}",
        """a = MatMul (x, w)  h = RMSNormalization (a, s)  q = MatMul (h, u)  r = Relu (q)
        y = MatMul (r, v)""",
        {"w": (12, 16), "s": (16,), "u": (16, 20), "v": (20, 5)},
        [16, 10, 5],
    ),
    "Attention of four axes": (
        23,
        SEQUENCE,
        "int64[4] s = {0, 6, 4, 4}, int64[3] back = {0, 6, 16}",
        HEADS
        + """
        q2 = Transpose <perm = [0,2,1,3]> (q1)
        k2 = Transpose <perm = [0,2,1,3]> (k1)
        c2 = Transpose <perm = [0,2,1,3]> (c1)
        o = Attention <is_causal = 1> (q2, k2, c2)
        t = Transpose <perm = [0,2,1,3]> (o)
        r = Reshape (t, back)
        y = MatMul (r, v)""",
        PROJECTIONS,
        [8, 8, 8, 5],
    ),
    "Attention of groups": (
        23,
        SEQUENCE,
        "float z = {0.0}",
        """q = MatMul (x, w)  k = MatMul (x, u)  c = MatMul (x, t)
        o = Attention <q_num_heads = 4, kv_num_heads = 2> (q, k, c)  y = MatMul (o, v)""",
        {"w": (12, 16), "u": (12, 8), "t": (12, 8), "v": (16, 5)},
        [8, 4, 4, 5],
    ),
    "Attention with a mask for each head": (
        23,
        SEQUENCE,
        "float z = {0.0}",
        """q = MatMul (x, w)  k = MatMul (x, u)  c = MatMul (x, t)
        o = Attention <q_num_heads = 4, kv_num_heads = 4> (q, k, c, m)  y = MatMul (o, v)""",
        {"w": (12, 16), "u": (12, 16), "t": (12, 16), "m": (1, 4, 6, 6), "v": (16, 5)},
        [16, 16, 16, 5],
    ),
    "a batch that isn't first": (
        17,
        "float[6,n,12] x",
        "float z = {0.0}",
        "a = MatMul (x, w)  r = Relu (a)  y = MatMul (r, v)",
        {"w": (12, 16), "v": (16, 5)},
        [8, 5],
    ),
    "a fixed batch of four": (
        17,
        "float[4,3,8,8] x",
        "int64[2] s = {4, 1024}, int64[4] back = {4, 16, 8, 8}",
        f"{BODY} f = Reshape (r, s)  k = Relu (f)  o = Reshape (k, back)  y = Conv (o, v)",
        LAST,
        [8, 4],
    ),
    "DepthToSpace by rows": (
        17,
        "float[n,3,8,8] x",
        "float z = {0.0}",
        f'{BODY} o = DepthToSpace <blocksize = 2, mode = "DCR"> (r)  y = Conv (o, v)',
        {**CONV, "v": (4, 4, 1, 1)},
        [8, 4],
    ),
    "DepthToSpace by columns": (
        17,
        "float[n,3,8,8] x",
        "float z = {0.0}",
        f'{BODY} o = DepthToSpace <blocksize = 2, mode = "CRD"> (r)  y = Conv (o, v)',
        {**CONV, "v": (4, 4, 1, 1)},
        [8, 4],
    ),
    "SpaceToDepth": (
        17,
        "float[n,3,8,8] x",
        "float z = {0.0}",
        f"{BODY} o = SpaceToDepth <blocksize = 2> (r)  y = Conv (o, v)",
        {**CONV, "v": (4, 64, 1, 1)},
        [8, 4],
    ),
    "GroupNormalization": (
        21,
        "float[n,3,8,8] x",
        "float z = {0.0}",
        f"{BODY} o = GroupNormalization <num_groups = 4> (r, s, t)  y = Conv (o, v)",
        {**LAST, "s": (16,), "t": (16,)},
        [8, 4],
    ),
    "GridSample": (
        17,
        "float[n,3,8,8] x",
        "int64[4] s = {-1, 5, 5, 2}",
        f"""{BODY} p = GlobalAveragePool (r)  f = Flatten (p)  g0 = MatMul (f, k)  g1 = Tanh (g0)
        grid = Reshape (g1, s)  o = GridSample (r, grid)  y = Conv (o, v)""",
        {**LAST, "k": (16, 50)},
        [8, 50, 4],
    ),
}


def with_any_output(text: str, shapes: Shapes) -> explorer.Model:
    """A model whose text doesn't say which shape its output has: it gets open dimensions."""
    proto = onnx.parser.parse_model(text)
    proto.graph.output[0].type.tensor_type.ClearField("shape")
    proto.graph.initializer.extend(random_tensor(key, *dims) for key, dims in shapes.items())
    options = ort.SessionOptions()
    options.log_severity_level = 4
    session = ort.InferenceSession(proto.SerializeToString(), options)
    rank = len(session.get_outputs()[0].shape)
    proto.graph.output[0].CopyFrom(info("y", *(f"size{axis}" for axis in range(rank))))
    return explorer.load(proto.SerializeToString())


@pytest.mark.parametrize("name", OPERATORS)
def test_operators(name: str) -> None:
    opset, inputs, constants, rest, shapes, counts = OPERATORS[name]
    version = {17: 8, 21: 10, 23: 11}[opset]
    head = f'<ir_version: {version}, opset_import: ["" : {opset}]>'
    model = with_any_output(f"{head} g ({inputs}) => (float y) <{constants}> {{ {rest} }}", shapes)
    shape = tuple(2 if dim == "n" else int(dim) for dim in model.inputs[0].shape)
    assert_compresses(model, feed_of({"x": shape}))
    assert [left for left, _ in kept(model).values()] == counts


# What follows a matrix product to 16 numbers, and channels kept at half (all layers).
FUSED: dict[str, tuple[str, Shapes, list[int]]] = {
    "BiasGelu": ("f = com.microsoft.BiasGelu (a, b)", {"b": (16,)}, [8, 5]),
    "FastGelu": ("f = com.microsoft.FastGelu (a, b)", {"b": (16,)}, [8, 5]),
    "QuickGelu": ("f = com.microsoft.QuickGelu (a)", {}, [8, 5]),
    "FusedGemm": (
        'f = com.microsoft.FusedGemm <activation = "Relu", transB = 1> (a, k, b)',
        {"k": (16, 16), "b": (16,)},
        [8, 8, 5],
    ),
    "FusedMatMul": (
        "f = com.microsoft.FusedMatMul <alpha = 2.0, transB = 1> (a, k)",
        {"k": (16, 16)},
        [16, 5],
    ),
    "SkipLayerNormalization": (
        "f = com.microsoft.SkipLayerNormalization <epsilon = 0.001> (a, a, b, c)",
        {"b": (16,), "c": (16,)},
        [16, 5],
    ),
    "MultiHeadAttention": (
        """r = Reshape (a, three)  h = com.microsoft.MultiHeadAttention <num_heads = 4> (r, r, r)
        f = Reshape (h, two)""",
        {},
        [16, 5],
    ),
    "Attention": (
        """r = Reshape (a, three)  h = com.microsoft.Attention <num_heads = 4> (r, k, b)
        f = Reshape (h, two)""",
        {"k": (16, 48), "b": (48,)},
        [16, 5],
    ),
}


@pytest.mark.parametrize("name", FUSED)
def test_operators_of_onnx_runtime(name: str) -> None:
    rest, shapes, counts = FUSED[name]
    text = f"""<ir_version: 8, opset_import: ["" : 17, "com.microsoft" : 1]>
    g (float[n,12] x) => (float y) <int64[3] three = {{1, -1, 16}}, int64[2] two = {{-1, 16}}> {{
        a = MatMul (x, w)
        {rest}
        y = MatMul (f, v)
    }}"""
    model = with_any_output(text, {"w": (12, 16), **shapes, "v": (16, 5)})
    stored = 12 * 16 + 16 * 5 + sum(np.prod(shape) for shape in shapes.values())
    assert explorer.profile(model).params == stored
    assert_compresses(model, feed_of({"x": (3, 12)}))
    closed = {layer.name for layer in model.layers if layer.closed}
    assert [left for name, (left, _) in kept(model).items() if name not in closed] == counts
    fused = [layer.closed for layer in model.layers if layer.closed]
    assert all(f"belongs to the fused operator {name}" in str(reason) for reason in fused)


def optimised(wide: explorer.Model, level: str, target: Path) -> bytes:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, f"ORT_ENABLE_{level}")
    options.optimized_model_filepath = str(target)
    ort.InferenceSession(wide.data, options, providers=["CPUExecutionProvider"])
    return target.read_bytes()


@pytest.mark.parametrize("level", ["BASIC", "EXTENDED"])
def test_files_that_onnx_runtime_has_optimised(level: str, tmp_path: Path) -> None:
    wide = with_weights(SMALL, **SMALL_WEIGHTS)
    model = explorer.load(optimised(wide, level, tmp_path / "fast.onnx"))
    assert_compresses(model, feed_of({"x": (2, 3, 8, 8)}))
    assert explorer.profile(model).macs == explorer.profile(wide).macs
    assert all(left < whole for left, whole in list(kept(model).values())[:3])


def test_files_in_the_layout_of_one_machine_are_refused(tmp_path: Path) -> None:
    data = optimised(with_weights(SMALL, **SMALL_WEIGHTS), "ALL", tmp_path / "fast.onnx")
    if b"nchwc" not in data:
        pytest.skip("ONNX Runtime has no layout of its own for this machine")
    with pytest.raises(ModelError, match="rearranged by ONNX Runtime"):
        explorer.load(data)


def by_opset(opset: int) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """A network of operators whose arguments have moved from attributes to inputs over time."""
    tensors: list[onnx.TensorProto] = []

    def node(op: str, x: str, y: str, since: int, **arguments: Any) -> onnx.NodeProto:
        if opset < since:
            return helper.make_node(op, [x], y.split(), **arguments)
        names = [f"{y.split(maxsplit=1)[0]}_{key}" for key in arguments]
        found = zip(names, arguments.values(), strict=True)
        tensors.extend(integers(name, *values) for name, values in found)
        return helper.make_node(op, [x, *names], y.split())

    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["a"], pads=[1] * 4),
        helper.make_node("Relu", ["a"], ["r"]),
        node("Slice", "r", "s", 10, starts=[0, 2], ends=[2**31 - 1, 14], axes=[0, 1]),
        node("Split", "s", "p q", 13, split=[4, 8]),
        node("Pad", "q", "d", 11, pads=[0, 0, 1, 1, 0, 0, 1, 1]),
        helper.make_node("Conv", ["d", "u"], ["e"]),
        helper.make_node("Concat", ["e", "p"], ["c"], axis=1),
        node("ReduceSum", "c", "m", 13, axes=[2, 3]),
        node("ReduceMean", "c", "n", 18, axes=[2, 3]),
        helper.make_node("Mul", ["m", "n"], ["o"]),
        node("Squeeze", "o", "f", 13, axes=[2, 3]),
        node("Unsqueeze", "f", "g", 13, axes=[2]),
        node("Reshape", "g", "h", 7, shape=[0, 2, 6]),
        node("Reshape", "h", "i", 7, shape=[0, 12]),
        helper.make_node("Gemm", ["i", "k", "l"], ["t"]),
    ]
    nodes[3].attribute.append(helper.make_attribute("axis", 1))  # of the Split
    limits: dict[str, Any] = {"min": 0.0, "max": 6.0}
    if opset < 11:
        nodes.append(helper.make_node("Clip", ["t"], ["z"], **limits))
    else:
        tensors += [numpy_helper.from_array(np.array(v, np.float32), n) for n, v in limits.items()]
        nodes.append(helper.make_node("Clip", ["t", "min", "max"], ["z"]))
    nodes.append(helper.make_node("MatMul", ["z", "v"], ["y"]))
    return nodes, tensors


@pytest.mark.parametrize("opset", range(7, 27))
def test_every_opset(opset: int) -> None:
    nodes, tensors = by_opset(opset)
    shapes = {**CONV, "u": (8, 8, 3, 3), "k": (12, 10), "l": (10,), "v": (10, 4)}
    tensors += [random_tensor(name, *shape) for name, shape in shapes.items()]
    inputs, output = [info("x", "n", 3, 8, 8)], info("y", "n", 4)
    model = loaded(nodes, inputs, output, tensors, opset)
    assert_compresses(model, feed_of({"x": (2, 3, 8, 8)}))
    counts = [left for left, _ in kept(model).values()]
    assert counts[0] < 16 and counts[1] < 8 and counts[2] < 10
