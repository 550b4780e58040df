"""Graphs that people don't draw but exporters and hands do: each is right, or refused in words."""

import numpy as np
import onnx
import pytest
from conftest import run_onnx, tensors_of, with_weights
from onnx import TensorProto, helper, numpy_helper

import explorer
from explorer import Recipe
from explorer.errors import ModelError

HEAD = '<ir_version: 8, opset_import: ["" : 17]>'
RECIPES = [
    Recipe(pattern="channel", ratio=0.5, round_to=1),
    Recipe(pattern="unstructured", ratio=0.5),
    Recipe(weight_bits=4),
    Recipe(weight_bits=8, activation_bits=8),
    Recipe(activation_bits=8),
    Recipe(pattern="channel", ratio=0.5, round_to=1, weight_bits=2, activation_bits=8),
]
SHAPES = {"w": (16, 3, 3, 3), "b": (16,), "v": (4, 16, 1, 1)}
BODY = "a = Conv <pads = [1,1,1,1]> (x, w, b)  r = Relu (a)"

Y = "float[n,4,8,8] y"
# Outputs, what follows the first convolution and Relu, and the shapes of more weights.
GRAPHS: dict[str, tuple[str, str, dict[str, tuple[int, ...]]]] = {
    "dead branch": (Y, "y = Conv (r, v)  dead = Conv (r, u)", {"u": (7, 16, 1, 1)}),
    "weight as output": (f"{Y}, float[16,3,3,3] w", "y = Conv (r, v)", {}),
    "bias as output": (f"{Y}, float[16] b", "y = Conv (r, v)", {}),
    "squeeze without axes": (
        "float[n,4,1,1] y",
        "g = GlobalAveragePool (r)  s = Squeeze (g)  u = Unsqueeze (s, ax)  y = Conv (u, v)",
        {},
    ),
    "lrn": (Y, "l = LRN <size = 5, alpha = 1.0> (r)  y = Conv (l, v)", {}),
    "bias shared with a sum": (
        "float[n,16] y",
        "g = GlobalAveragePool (r)  f = Flatten (g)  y = Add (f, b)",
        {},
    ),
    "added to itself": (
        Y,
        "s = Add (r, r)  c = Concat <axis = 1> (s, s)  y = Conv (c, u)",
        {"u": (4, 32, 1, 1)},
    ),
    "one channel": (
        Y,
        "o = Conv (r, one)  m = Mul (r, o)  y = Conv (m, v)",
        {"one": (1, 16, 1, 1)},
    ),
}


def model_of(name: str) -> explorer.Model:
    outputs, rest, more = GRAPHS[name]
    axes = "<int64[3] ax = {0,2,3}>" if "ax)" in rest else ""
    shapes = {key: shape for key, shape in SHAPES.items() if key != "v" or "v)" in rest}
    text = f"{HEAD} g (float[n,3,8,8] x) => ({outputs}) {axes} {{ {BODY}  {rest} }}"
    return with_weights(text, **shapes, **more)


def two_convolutions() -> explorer.Model:
    text = f"{HEAD} g (float[n,3,8,8] x) => ({Y}) {{ {BODY}  y = Conv (r, v) }}"
    return with_weights(text, **SHAPES)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.to_json()[1:60])
@pytest.mark.parametrize("name", GRAPHS)
@pytest.mark.parametrize("compensate", [True, False], ids=["refitted", "plain"])
def test_files_run_and_estimates_hold(name: str, recipe: Recipe, compensate: bool) -> None:
    import dataclasses

    model = model_of(name)
    x = np.random.default_rng(0).standard_normal((6, 3, 8, 8)).astype(np.float32)
    x = x[:1] if name == "squeeze without axes" else x
    calibration = explorer.calibrate(model, {"x": x})
    plan = explorer.plan(model, dataclasses.replace(recipe, compensate=compensate))
    small = explorer.apply(model, plan, calibration)
    told, found = explorer.estimate(model, plan), explorer.profile(small)
    assert (told.params, told.macs) == (found.params, found.macs)
    assert told.peak_activation_bytes == found.peak_activation_bytes
    assert told.file_bytes == pytest.approx(found.file_bytes, rel=0.01)
    assert told.packed_bytes == pytest.approx(found.packed_bytes, rel=0.01)
    before, after = run_onnx(model.data, {"x": x}), run_onnx(small.data, {"x": x})
    assert [o.shape for o in before] == [o.shape for o in after]
    assert [o.dtype for o in before] == [o.dtype for o in after]
    onnx.checker.check_model(small.data, full_check=True)


@pytest.mark.parametrize("first", RECIPES, ids=lambda recipe: recipe.to_json()[1:60])
@pytest.mark.parametrize("second", RECIPES, ids=lambda recipe: recipe.to_json()[1:60])
def test_compressing_twice(
    resnet: explorer.Model, calibration: explorer.Calibration, first: Recipe, second: Recipe
) -> None:
    once = explorer.apply(resnet, explorer.plan(resnet, first), calibration)
    plan = explorer.plan(once, second)
    twice = explorer.apply(once, plan, explorer.calibrate(once, calibration.samples.head(16)))
    told, found = explorer.estimate(once, plan), explorer.profile(twice)
    assert (told.params, told.macs) == (found.params, found.macs)
    assert told.file_bytes == pytest.approx(found.file_bytes, rel=0.01)
    assert told.packed_bytes == pytest.approx(found.packed_bytes, rel=0.01)
    image = np.full((2, 1, 28, 28), 100, dtype=np.float32)
    assert run_onnx(twice.data, {"image": image})[0].shape == (2, 10)


def test_dead_channels_keep_their_bias_in_eight_bits() -> None:
    model = model_of("added to itself")
    proto = onnx.load_model_from_string(model.data)
    tensors = {tensor.name: tensor for tensor in proto.graph.initializer}
    weight, bias = (numpy_helper.to_array(tensors[name]).copy() for name in "wb")
    weight[3] *= 1e-9
    weight[5] = 0
    bias[[3, 5]] = 2
    tensors["w"].CopyFrom(numpy_helper.from_array(weight, "w"))
    tensors["b"].CopyFrom(numpy_helper.from_array(bias, "b"))
    model = explorer.load(proto.SerializeToString())
    x = np.random.default_rng(0).standard_normal((8, 3, 8, 8)).astype(np.float32)
    plan = explorer.plan(model, Recipe(weight_bits=8, activation_bits=8))
    small = explorer.apply(model, plan, explorer.calibrate(model, {"x": x}))
    expected = run_onnx(model.data, {"x": x})[0]
    assert (
        np.abs(run_onnx(small.data, {"x": x})[0] - expected).max() < 0.05 * np.abs(expected).max()
    )


def test_half_precision_with_rounded_activations() -> None:
    text = f"{HEAD} g (float16[n,3,8,8] x) => (float16[n,4,8,8] y) {{ {BODY}  y = Conv (r, v) }}"
    proto = onnx.parser.parse_model(text)
    rng = np.random.default_rng(0)
    for name, shape in SHAPES.items():
        values = (rng.standard_normal(shape) / 5).astype(np.float16)
        proto.graph.initializer.append(numpy_helper.from_array(values, name))
    model = explorer.load(proto.SerializeToString(), "half")
    x = rng.standard_normal((4, 3, 8, 8)).astype(np.float16)
    calibration = explorer.calibrate(model, {"x": x})
    for bits in (32, 8):
        plan = explorer.plan(model, Recipe(activation_bits=8, weight_bits=bits))
        small = explorer.apply(model, plan, calibration)
        onnx.checker.check_model(small.data, full_check=True)
        assert run_onnx(small.data, {"x": x})[0].shape == (4, 4, 8, 8)
        assert explorer.estimate(model, plan).macs == explorer.profile(small).macs


def test_one_weight_read_both_ways() -> None:
    model = with_weights(
        f"""{HEAD} g (float[n,12] x) => (float[n,12] y) {{
            a = Gemm <transB = 1> (x, w)
            r = Relu (a)
            y = Gemm (r, w)
        }}""",
        w=(20, 12),
    )
    x = np.random.default_rng(0).standard_normal((8, 12)).astype(np.float32)
    for recipe in RECIPES:
        plan = explorer.plan(model, recipe)
        small = explorer.apply(model, plan, explorer.calibrate(model, {"x": x}))
        assert run_onnx(small.data, {"x": x})[0].shape == (8, 12)


@pytest.mark.parametrize("shape", [(), (1,), (1, 7), (7,)])
def test_biases_of_every_shape(shape: tuple[int, ...]) -> None:
    model = with_weights(
        f"""{HEAD} g (float[n,12] x) => (float[n,5] y) {{
            a = Gemm (x, w, b)
            r = Relu (a)
            y = MatMul (r, v)
        }}""",
        w=(12, 7),
        b=shape,
        v=(7, 5),
    )
    x = np.random.default_rng(0).standard_normal((30, 12)).astype(np.float32)
    for recipe in RECIPES:
        plan = explorer.plan(model, recipe)
        small = explorer.apply(model, plan, explorer.calibrate(model, {"x": x}))
        assert run_onnx(small.data, {"x": x})[0].shape == (30, 5)
        assert explorer.estimate(model, plan).params == explorer.profile(small).params


def test_names_like_our_own() -> None:
    model = two_convolutions()
    proto = onnx.load_model_from_string(model.data)
    names = {"w": "v/scale", "b": "v/float", "a": "x/quantized", "r": "x/dequantized"}
    for node in proto.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
        node.name = "v/float" if node.op_type == "Relu" else ""
    for tensor in proto.graph.initializer:
        tensor.name = names.get(tensor.name, tensor.name)
    clashing = explorer.load(proto.SerializeToString())
    x = np.random.default_rng(0).standard_normal((4, 3, 8, 8)).astype(np.float32)
    calibration = explorer.calibrate(clashing, {"x": x})
    for recipe in RECIPES:
        plan = explorer.plan(clashing, recipe)
        small = explorer.apply(clashing, plan, calibration)
        assert run_onnx(small.data, {"x": x})[0].shape == (4, 4, 8, 8)


def broken(change: str) -> bytes:
    """A small valid file, damaged in one way."""
    model = two_convolutions()
    proto = onnx.load_model_from_string(model.data)
    first = proto.graph.initializer[0]
    if change == "too long":
        first.raw_data += b"1234"
    elif change == "unknown type":
        first.data_type = 99
    elif change == "infinite":
        values = numpy_helper.to_array(first).copy()
        values.flat[0] = np.inf
        first.CopyFrom(numpy_helper.from_array(values, first.name))
    elif change == "sparse":
        dense = proto.graph.initializer.pop()
        indices = numpy_helper.from_array(np.array([0], np.int64), "i")
        values = numpy_helper.from_array(np.ones(1, np.float32), dense.name)
        proto.graph.sparse_initializer.append(
            helper.make_sparse_tensor(values, indices, list(dense.dims))
        )
    data = proto.SerializeToString()
    content: bytes = data.replace(b"Relu", b"\xff\xfelu") if change == "no text" else data
    return content


@pytest.mark.parametrize("change", ["too long", "unknown type", "infinite", "sparse", "no text"])
def test_damaged_files_get_one_sentence(change: str) -> None:
    with pytest.raises(ModelError) as caught:
        explorer.load(broken(change))
    assert "\n" not in str(caught.value)


def test_files_that_are_odd_but_right() -> None:
    strings = helper.make_model(
        helper.make_graph(
            [helper.make_node("Identity", ["x"], ["y"])],
            "g",
            [helper.make_tensor_value_info("x", TensorProto.STRING, ["n"])],
            [helper.make_tensor_value_info("y", TensorProto.STRING, ["n"])],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    assert explorer.profile(explorer.load(strings.SerializeToString())).macs == 0
    empty = with_weights(
        f"{HEAD} g (float[n,8] x) => (float[n,0] y) {{ y = MatMul (x, w) }}", w=(8, 0)
    )
    plan = explorer.plan(empty, Recipe(pattern="unstructured", ratio=0.5, weight_bits=8))
    assert plan.layers == ()
    assert explorer.profile(empty).params == 0
    size = 2**62
    huge = with_weights(f"{HEAD} g (float[{size}] x) => (float[{size}] y) {{ y = Relu (x) }}")
    assert explorer.profile(huge).peak_activation_bytes > 0


def test_a_record_that_lies_is_ignored(resnet: explorer.Model) -> None:
    proto = onnx.load_model_from_string(resnet.data)
    for text in ("[" * 100_000, '{"stem.weight": {"bits": 99999999999999}}', "3", '{"a": 1}'):
        del proto.metadata_props[:]
        helper.set_model_props(proto, {"compression_explorer": text})
        model = explorer.load(proto.SerializeToString())
        assert explorer.profile(model).packed_bytes == explorer.profile(resnet).packed_bytes


def mapped(place: str) -> bytes:
    """A classifier with a map as its input, in the middle, or as its output."""
    ml, floats = "ai.onnx.ml", TensorProto.FLOAT
    of_map = helper.make_map_type_proto(
        TensorProto.INT64, helper.make_tensor_type_proto(floats, [])
    )
    of_maps = helper.make_value_info("m", helper.make_sequence_type_proto(of_map))
    x = helper.make_tensor_value_info("x", floats, ("n", 6))
    y = helper.make_tensor_value_info("y", floats, ("n", 3))
    scores = helper.make_node(
        "LinearClassifier", ["x"], ["l", "y"], domain=ml,
        classlabels_ints=[0, 1, 2], coefficients=[0.1] * 18, intercepts=[0.0] * 3,
    )  # fmt: skip
    zipped = helper.make_node("ZipMap", ["y"], ["m"], domain=ml, classlabels_int64s=[0, 1, 2])
    inputs, outputs, nodes = [x], [y, of_maps], [scores, zipped]
    if place == "middle":
        outputs = [y]
    if place == "input":
        words = helper.make_node("DictVectorizer", ["m"], ["y"], domain=ml, int64_vocabulary=[0, 1])
        inputs, outputs, nodes = [helper.make_value_info("m", of_map)], [y], [words]
    graph = helper.make_graph(nodes, "g", inputs, outputs)
    if place == "middle":
        graph.value_info.append(of_maps)
    imports = [helper.make_opsetid("", 17), helper.make_opsetid(ml, 1)]
    data: bytes = helper.make_model(graph, opset_imports=imports, ir_version=8).SerializeToString()
    return data


@pytest.mark.parametrize(("place", "verb"), [("input", "takes"), ("output", "gives")])
def test_maps_are_refused_by_name(place: str, verb: str) -> None:
    with pytest.raises(ModelError, match=f"{verb} maps .'m'.*plain arrays"):
        explorer.load(mapped(place))


def test_a_map_that_stays_inside_does_no_harm() -> None:
    assert explorer.load(mapped("middle")).outputs[0].name == "y"


def test_a_sparse_constant_is_refused_by_name() -> None:
    values = numpy_helper.from_array(np.array([1.0, 2.0], np.float32), "v")
    places = numpy_helper.from_array(np.array([0, 3]), "at")
    sparse = helper.make_sparse_tensor(values, places, [4])
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, (4,))
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, (4,))
    nodes = [
        helper.make_node("Constant", [], ["w"], sparse_value=sparse),
        helper.make_node("Mul", ["x", "w"], ["y"]),
    ]
    model = helper.make_model(helper.make_graph(nodes, "g", [x], [y]), ir_version=8)
    model.opset_import[0].version = 17
    with pytest.raises(ModelError, match="sparse constant in 'w'"):
        explorer.load(model.SerializeToString())


ODD_ATTRIBUTES = {
    "softmax of a number": '["" : 11]> g (float x) => (float y) { y = Softmax <axis = 0> (x) }',
    "blocks of nothing": '["" : 11]> g (float[1,c,h,w] x) => (float[1,4,4,4] y) '
    "{ y = SpaceToDepth <blocksize = 0> (x) }",
    "one axis twice": '["" : 11]> g (float[a,b,6] x) => (float[n,m,k,l,6] y) '
    "{ y = Unsqueeze <axes = [0, 0]> (x) }",
    "integers that are clipped": '["" : 10]> g (float[n,6,8,8] x) => (float[n,5,8,8] y) '
    "{ a = Conv (x, w)  s = Shape (a)  c = Clip <min = 1.0> (s)  b = Reshape (a, c)"
    "  y = Conv (b, v) }",
}


@pytest.mark.parametrize("name", ODD_ATTRIBUTES)
def test_attributes_that_make_no_sense_raise_nothing_but_our_own_errors(name: str) -> None:
    proto = onnx.parser.parse_model(f"<ir_version: 8, opset_import: {ODD_ATTRIBUTES[name]}")
    for key, shape in (("w", (8, 6, 1, 1)), ("v", (5, 8, 1, 1))):
        if any(key in node.input for node in proto.graph.node):
            proto.graph.initializer.append(numpy_helper.from_array(np.ones(shape, "f4"), key))
    try:
        model = explorer.load(proto.SerializeToString())
        explorer.plan(model, Recipe(weight_bits=8))
    except explorer.ExplorerError:
        pass


def test_a_weight_that_grows_out_of_a_number_is_not_written_out() -> None:
    """163 bytes that would be 16 million weights."""
    text = (
        HEAD + "g (float[n,4000] x) => (float[n,4000] y) "
        "<float[1,1] one = {1}, int64[2] size = {4000, 4000}, float[1] two = {2}> "
        "{ e = Expand (one, size)  w = Mul (e, two)  y = MatMul (x, w) }"
    )
    model = explorer.load(onnx.parser.parse_model(text).SerializeToString())
    assert sum(tensor.size for tensor in tensors_of(model).values()) < 10
