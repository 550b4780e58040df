"""Raising the opset of operators in their old forms, against what ONNX Runtime gives for these."""

from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from conftest import run_onnx, run_plainly
from onnx import TensorProto, helper, numpy_helper

import explorer
from explorer.errors import CompressionError
from explorer.formats import onnx_file
from explorer.formats.onnx_file import bare_proto
from explorer.graph.conversions import CONVERSIONS
from explorer.graph.opset import upgrade
from explorer.graph.shapes import infer_shapes
from explorer.measure.fidelity import is_alike, why_not_raised
from explorer.recipe import Recipe

TARGETS = (13, 21, 25)
RNG = np.random.default_rng(0)
IMAGE = RNG.standard_normal((2, 4, 5, 6)).astype(np.float32)
ROIS = {"rois": [[0.0, 0, 4, 4], [1.2, 1, 5, 5]], "places": np.array([0, 1])}


def scales(*values: float) -> dict[str, Any]:
    return {"scales": list(values)}


# Operator, opset, attributes, further inputs (as initialisers), and the type of the data.
CASES: list[tuple[str, int, dict[str, Any], dict[str, Any], type]] = [
    *(
        (op, opset, {"axis": axis}, {}, np.float32)
        for op in ("Softmax", "LogSoftmax", "Hardmax")
        for opset, axis in ((7, 0), (7, 1), (9, 2), (11, 3), (12, -1), (11, -2))
    ),
    ("Softmax", 8, {}, {}, np.float32),
    *(
        ("Upsample", 7, {"mode": mode, "scales": factors}, {}, np.float32)
        for mode in ("nearest", "linear")
        for factors in ([1.0, 1, 2, 3], [1.0, 1, 1.5, 2.7])
    ),
    ("Upsample", 9, {"mode": "linear"}, scales(1, 1, 2, 2), np.float32),
    *(
        ("Resize", 10, {"mode": mode}, scales(1, 1, *factors), np.float32)
        for mode in ("nearest", "linear")
        for factors in ((3, 3), (1.7, 2.3), (0.5, 0.7), (1, 0.4))
    ),
    ("Resize", 11, {"mode": "linear"}, {"roi": [], **scales(1, 1, 2, 2)}, np.float32),
    *(
        ("RoiAlign", opset, {"output_height": 2, "output_width": 3, "mode": mode}, ROIS, np.float32)
        for opset in (10, 15)
        for mode in ("avg", "max")
    ),
    ("Pad", 7, {"pads": [0, 0, 1, 2, 0, 0, 2, 0], "value": 1.5}, {}, np.float32),
    ("Pad", 10, {"pads": [0, 0, 1, 2, 0, 0, 2, 0], "value": 1.5}, {}, np.float16),
    ("Pad", 9, {"pads": [0, 0, 1, 2, 0, 0, 2, 0], "mode": "reflect"}, {}, np.float32),
    ("Clip", 7, {"min": -0.5}, {}, np.float32),
    ("Clip", 10, {"min": -0.5, "max": 0.25}, {}, np.float32),
    ("Clip", 8, {}, {}, np.float32),
    ("Slice", 9, {"starts": [1, -3], "ends": [4, 9], "axes": [1, 3]}, {}, np.float32),
    ("Slice", 7, {"starts": [0, 1], "ends": [2, 3]}, {}, np.float32),
    ("TopK", 7, {"k": 3, "axis": 2}, {}, np.float32),
    ("TopK", 10, {"axis": 1}, {"k": np.array([2])}, np.float32),
    ("Squeeze", 11, {"axes": [-1]}, {}, np.float32),
    ("Unsqueeze", 7, {"axes": [0, 3]}, {}, np.float32),
    ("Split", 11, {"axis": 1, "split": [1, 3]}, {}, np.float32),
    ("Split", 7, {"axis": 2, "split": [2, 3]}, {}, np.float32),
    ("Split", 13, {"axis": 1}, {}, np.float32),
    *(
        (op, opset, {"axes": [1, 3], "keepdims": 0}, {}, np.float32)
        for op in ("ReduceMean", "ReduceSum", "ReduceL2", "ReduceMax", "ReduceLogSumExp")
        for opset in (7, 12)
    ),
    ("ReduceSum", 11, {}, {}, np.float32),
    ("ReduceMean", 17, {"axes": [-1]}, {}, np.float32),
    ("Dropout", 7, {"ratio": 0.9}, {}, np.float32),
    ("Dropout", 10, {"ratio": 0.9}, {}, np.float32),
    *(
        ("BatchNormalization", opset, {"epsilon": 0.1}, {key: [1, 2, 3, 0.5] for key in "abcd"}, np.float32)  # noqa: E501
        for opset in (7, 9, 13)
    ),
    ("Scatter", 9, {"axis": 1}, {"at": np.zeros((2, 1, 5, 6), np.int64), "by": np.ones((2, 1, 5, 6), np.float32)}, np.float32),  # noqa: E501
    ("GridSample", 16, {"mode": "bicubic"}, {"grid": RNG.uniform(-1, 1, (2, 3, 3, 2)).astype("f4")}, np.float32),  # noqa: E501
    ("GridSample", 16, {}, {"grid": RNG.uniform(-1, 1, (2, 3, 3, 2)).astype("f4")}, np.float32),
    *(
        (op, opset, {"kernel_shape": [3, 2], "strides": [2, 2], "pads": [1, 0, 1, 1], **more}, {}, np.float32)  # noqa: E501
        for op in ("AveragePool", "MaxPool")
        for opset in (7, 10, 12)
        for more in ({}, {"ceil_mode": 1})
        if opset > 7 or not more
    ),
]  # fmt: skip
PARTS = {"Split": 2, "TopK": 2}


def case_id(case: tuple[Any, ...]) -> str:
    op, opset, attributes, more, kind = case
    said = "-".join(f"{key}={value}" for key, value in attributes.items())
    lists = "-".join(str(value) for value in more.values() if isinstance(value, list))
    return f"{op}-{opset}-{said}-{lists}-{kind.__name__}".replace(" ", "")


def proto_of(case: tuple[Any, ...], inside: bool = False) -> tuple[onnx.ModelProto, np.ndarray]:
    """A model of one node; `inside` the branch of an If."""
    op, opset, attributes, more, kind = case
    x = IMAGE[..., :1] if op == "Squeeze" else IMAGE
    constants = [
        numpy_helper.from_array(
            value if isinstance(value, np.ndarray) else np.array(value, np.float32), name
        )
        for name, value in more.items()
    ]
    outputs = [f"y{place}" for place in range(PARTS.get(op, 1))]
    node = helper.make_node(op, ["x", *more], outputs, **attributes)
    element = helper.np_dtype_to_tensor_dtype(np.dtype(kind))
    ends = [
        helper.make_tensor_value_info(
            name, TensorProto.INT64 if (op, name) == ("TopK", "y1") else element, None
        )
        for name in outputs
    ]
    nodes, extra = [node], []
    if inside:
        branch = helper.make_graph([node], "branch", [], ends)
        other = helper.make_graph([node], "other", [], ends)
        nodes = [
            helper.make_node(
                "If", ["yes"], [f"z{name}" for name in outputs],
                then_branch=branch, else_branch=other,
            )
        ]  # fmt: skip
        extra = [numpy_helper.from_array(np.array(True), "yes")]
        ends = [
            helper.make_tensor_value_info(f"z{end.name}", end.type.tensor_type.elem_type, None)
            for end in ends
        ]
    entry = helper.make_tensor_value_info("x", element, ("n", *x.shape[1:]))
    graph = helper.make_graph(nodes, "one", [entry], ends, [*constants, *extra])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    try:
        made = run_plainly(model.SerializeToString(), {"x": x.astype(kind)})
    except Exception as error:  # noqa: BLE001 - the runtime's errors have no common root
        pytest.skip(f"the runtime doesn't run it: {str(error)[:80]}")
    for end, output in zip(model.graph.output, made, strict=True):
        assert isinstance(output, np.ndarray)
        for size in output.shape:  # the checker wants shapes
            end.type.tensor_type.shape.dim.add().dim_value = size
        end.type.tensor_type.shape.SetInParent()
    return model, x.astype(kind)


@pytest.mark.parametrize("inside", [False, True], ids=["main", "inside-if"])
@pytest.mark.parametrize("case", CASES, ids=case_id)
def test_old_forms_give_what_they_gave(case: tuple[Any, ...], inside: bool) -> None:
    proto, x = proto_of(case, inside)
    data = proto.SerializeToString()
    wanted = run_plainly(data, {"x": x})
    model = explorer.load(data)
    assert not model.remarks
    for target in TARGETS:
        if target == 25 and case[0] == "RoiAlign":
            continue  # for which the runtime has no kernel there
        raised = upgrade(model.graph_model.clone(), target, infer_shapes(model))
        onnx.checker.check_model(bare_proto(raised))
        outputs = run_plainly(bare_proto(raised).SerializeToString(), {"x": x})
        assert is_alike(outputs, wanted, 1e-5), target


REFUSED = [
    (("Upsample", 7, {"scales": [1.0, 1, 2, 2]}, {}, np.float32), None),
    (("Resize", 10, {}, scales(1, 1, 2, 0.5), np.float32), "grows along one axis"),
    (
        (
            "Resize", 11, {"coordinate_transformation_mode": "tf_half_pixel_for_nn"},
            {"roi": [], **scales(1, 1, 2, 2)}, np.float32,
        ),
        "newer opsets don't have",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("case", "reason"), REFUSED, ids=["control", "both-ways", "lost-mode"])
def test_what_has_no_equal_stays_and_says_why(case: tuple[Any, ...], reason: str | None) -> None:
    proto, _ = proto_of(case)
    found = why_not_raised(explorer.load(proto.SerializeToString()), 13)
    if reason is None:
        assert found is None
    else:
        assert found is not None
        assert reason in found


def test_a_layer_beside_it_stays_float_and_its_reason_names_the_node() -> None:
    proto, x = proto_of(("Resize", 10, {}, scales(1, 1, 2, 0.5), np.float32))
    weight = RNG.standard_normal((3, 4, 1, 1)).astype(np.float32)
    proto.graph.initializer.append(numpy_helper.from_array(weight, "w"))
    proto.graph.node[0].output[0] = "big"
    proto.graph.node[0].name = "up"
    proto.graph.node.append(helper.make_node("Conv", ["big", "w"], ["y0"]))
    proto.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 3
    model = explorer.load(proto.SerializeToString())
    planned = explorer.plan(model, Recipe(weight_bits=8))
    assert planned.layers[0].storage == "float32"
    assert "Resize 'up' takes the nearest pixel" in str(planned.layers[0].skipped)
    same = explorer.apply(model, planned)
    np.testing.assert_array_equal(
        run_onnx(same.data, {"x": x})[0], run_onnx(model.data, {"x": x})[0]
    )
    with pytest.raises(CompressionError, match=r"opset 13.*Resize 'up'"):
        rounded = explorer.plan(model, Recipe(activation_bits=8))
        explorer.apply(model, rounded, explorer.calibrate(model, {"x": x}))


def test_where_a_type_is_out_of_reach_the_next_larger_one_is_taken() -> None:
    proto, x = proto_of(("RoiAlign", 16, {"output_height": 2, "output_width": 2}, ROIS, np.float32))
    weight = RNG.standard_normal((3, 4, 1, 1)).astype(np.float32)
    proto.graph.initializer.append(numpy_helper.from_array(weight, "w"))
    proto.graph.node[0].output[0] = "regions"
    proto.graph.node.append(helper.make_node("Conv", ["regions", "w"], ["y0"]))
    proto.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 3
    model = explorer.load(proto.SerializeToString())
    planned = explorer.plan(model, Recipe(weight_bits=2))
    assert planned.layers[0].weight_bits == 2
    assert planned.layers[0].storage == "int4"
    assert "int2 needs opset 25" in str(planned.layers[0].skipped)
    small = explorer.apply(model, planned)
    assert len(run_onnx(small.data, {"x": x})[0]) == 2
    estimated, counted = explorer.estimate(model, planned), explorer.profile(small)
    assert estimated.packed_bytes == counted.packed_bytes


def test_a_conversion_that_changes_outputs_is_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    proto, _ = proto_of(("Clip", 10, {"min": -0.5}, {}, np.float32))
    model = explorer.load(proto.SerializeToString())
    monkeypatch.setitem(CONVERSIONS, ("Clip", 11), lambda site: site.take("min"))
    assert "gives other outputs there" in str(why_not_raised(model, 13))


def test_a_rearrangement_that_changes_outputs_is_not_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def spoil(graph_model: ir.Model) -> None:
        graph_model.graph[0].op_type = "Ceil"

    proto, _ = proto_of(("Relu", 14, {}, {}, np.float32))
    data = proto.SerializeToString()
    assert not explorer.load(data).remarks
    monkeypatch.setattr(onnx_file, "simplify", spoil)
    model = explorer.load(data)
    assert [node.op_type for node in model.graph_model.graph] == ["Relu"]
    assert "would change its outputs" in model.remarks[0]
