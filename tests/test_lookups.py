"""Indices beyond a table: refused where the data enter, and named where only the runtime sees them.

ONNX Runtime is the oracle: what the explorer lets through runs, and what it refuses doesn't.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

import explorer
from explorer.errors import DataError, MeasurementError
from explorer.formats.data import load_data
from explorer.graph.lookups import value_ranges
from explorer.measure.examples import make_examples
from explorer.measure.runtime import example_inputs

INT64, INT32, FLOAT = TensorProto.INT64, TensorProto.INT32, TensorProto.FLOAT
ROWS, WIDTH = 20, 4
ML, CONTRIB = "ai.onnx.ml", "com.microsoft"


def node(op: str, inputs: str, outputs: str, **attributes: Any) -> onnx.NodeProto:
    read = ["" if name == "-" else name for name in inputs.split()]
    return helper.make_node(op, read, outputs.split(), name=f"{op}_{outputs}", **attributes)


def ints(name: str, values: object) -> onnx.TensorProto:
    return numpy_helper.from_array(np.array(values, np.int64), name)


TABLES = (
    numpy_helper.from_array(np.ones((ROWS, WIDTH), np.float32), "table"),
    numpy_helper.from_array(np.ones(WIDTH, np.float32), "ones"),
    numpy_helper.from_array(np.zeros((ROWS, 3), np.float32), "zeros"),
    ints("two", 2),
    ints("axes", [0]),
    ints("last", [2]),
    ints("flat", [-1]),
    ints("first", [0]),
    ints("second", [1]),
)


def network(
    nodes: Sequence[onnx.NodeProto],
    shape: Sequence[int | str] = ("n", 3),
    dtype: int = INT64,
    more: Sequence[onnx.TensorProto] = (),
) -> onnx.ModelProto:
    """A graph with the input `ids` and the output `y`."""
    read = {name for each in nodes for name in each.input}
    graph = helper.make_graph(
        list(nodes),
        "g",
        [helper.make_tensor_value_info("ids", dtype, shape)],
        [helper.make_tensor_value_info("y", FLOAT, None)],
        [*(tensor for tensor in TABLES if tensor.name in read), *more],
    )
    opsets = [helper.make_opsetid(*each) for each in (("", 17), (ML, 3), (CONTRIB, 1))]
    proto = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    return onnx.shape_inference.infer_shapes(proto)  # the output needs a number of axes


def runs(proto: onnx.ModelProto, ids: np.ndarray) -> bool:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    session = ort.InferenceSession(
        proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    try:
        session.run(None, {"ids": ids})
    except (ort.capi.onnxruntime_pybind11_state.Fail, Exception):  # noqa: BLE001 - whatever it is
        return False
    return True


LOOK_UP = node("Gather", "table places", "y")
DIRECT = {
    "Gather": [node("Gather", "table ids", "y")],
    "Gather, second axis": [node("Gather", "table ids", "y", axis=1)],
    "GatherElements": [node("GatherElements", "zeros ids", "y")],
    "ArrayFeatureExtractor": [
        node("Reshape", "ids flat", "places"),
        node("ArrayFeatureExtractor", "table places", "y", domain=ML),
    ],
    "GatherND": [node("Unsqueeze", "ids last", "places"), node("GatherND", "table places", "y")],
    "Cast": [node("Cast", "ids", "places", to=INT32), LOOK_UP],
    "Cast to float and back": [
        node("Cast", "ids", "wide", to=FLOAT),
        node("Cast", "wide", "places", to=INT64),
        LOOK_UP,
    ],
    "Unsqueeze": [node("Unsqueeze", "ids axes", "places"), LOOK_UP],
    "Transpose": [node("Transpose", "ids", "places", perm=[1, 0]), LOOK_UP],
    "Reshape": [node("Reshape", "ids flat", "places"), LOOK_UP],
    "Concat": [node("Concat", "ids ids", "places", axis=1), LOOK_UP],
    "Identity": [node("Identity", "ids", "places"), LOOK_UP],
    "Add": [node("Add", "ids two", "places"), LOOK_UP],
    "Sub": [node("Sub", "ids two", "places"), LOOK_UP],
    "two tables": [
        node("Gather", "table ids", "a"),
        node("Gather", "ones ids", "b"),
        node("ReduceSum", "a", "c", keepdims=0),
        node("Add", "b c", "y"),
    ],
}


@pytest.mark.parametrize("name", DIRECT)
@pytest.mark.parametrize("dtype", ["int64", "int32", "float32"])
def test_the_range_is_what_the_runtime_takes(name: str, dtype: str) -> None:
    nodes, wanted = DIRECT[name], helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    if dtype != "int64":
        into = node("Cast", "ids", "cast", to=INT64)
        nodes = [into, *(_renamed(each, "ids", "cast") for each in nodes)]
    proto = network(nodes, dtype=wanted)
    model = explorer.load(proto.SerializeToString())
    limits = value_ranges(model)["ids"]
    assert limits.low < limits.high
    for value in (limits.low - 1, limits.low, limits.high, limits.high + 1):
        ids = np.full((2, 3), value, dtype)
        assert runs(proto, ids) == (limits.low <= value <= limits.high)
        if runs(proto, ids):
            load_data({"ids": ids}, model)
            continue
        with pytest.raises(DataError, match=f"'ids' holds {value}, .* {limits.low} to "):
            load_data({"ids": ids}, model)


def _renamed(each: onnx.NodeProto, old: str, new: str) -> onnx.NodeProto:
    copy = onnx.NodeProto()
    copy.CopyFrom(each)
    copy.input[:] = [new if name == old else name for name in each.input]
    return copy


def test_a_column_of_its_own_is_not_judged_by_the_others() -> None:
    nodes = [
        node("Gather", "ids first", "places", axis=1),
        node("Gather", "table places", "y"),
    ]
    model = explorer.load(network(nodes).SerializeToString())
    assert model.inputs[0].values is None
    quality = explorer.evaluate(model, {"ids": np.array([[1, 99, 99], [2, 99, 99]])}, model)
    assert quality.samples == 2


# What only the runtime sees: index nodes behind computing, with indices that are out of range.
COMPUTED = {
    "Gather": ([node("Mul", "ids two", "places"), LOOK_UP], 14, "28", "-20 to 19"),
    "negative": ([node("Mul", "ids two", "places"), LOOK_UP], -14, "-28", "-20 to 19"),
    "a column": ([node("Gather", "ids second", "places", axis=1), LOOK_UP], 20, "20", "-20 to 19"),
    "GatherElements": (
        [node("Mul", "ids two", "places"), node("GatherElements", "zeros places", "y")],
        11, "22", "-20 to 19",
    ),
    "GatherND": (
        [
            node("Mul", "ids two", "a"), node("Unsqueeze", "a last", "places"),
            node("GatherND", "table places", "y"),
        ],
        11, "22", "-20 to 19",
    ),
    "ScatterElements": (
        [
            node("Mul", "ids two", "places"), node("Cast", "ids", "update", to=FLOAT),
            node("ScatterElements", "zeros places update", "y"),
        ],
        11, "22", "-20 to 19",
    ),
    "ScatterND": (
        [
            node("Mul", "ids two", "a"), node("Reshape", "a row", "places"),
            node("Cast", "ids", "b", to=FLOAT), node("ReduceSum", "b", "c", keepdims=0),
            node("Expand", "c new", "d"), node("ScatterND", "table places d", "y"),
        ],
        11, "22", "-20 to 19",
    ),
    "ReverseSequence": (
        [
            node("Mul", "ids two", "a"), node("Reshape", "a flat", "places"),
            node("ReverseSequence", "zeros places", "y", time_axis=0, batch_axis=1),
        ],
        11, "22", "0 to 20",
    ),
    "ArrayFeatureExtractor": (
        [
            node("Mul", "ids two", "a"), node("Reshape", "a flat", "places"),
            node("ArrayFeatureExtractor", "table places", "y", domain=ML),
        ],
        11, "22", "0 to 3",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", COMPUTED)
def test_what_only_the_runtime_sees_is_named_too(name: str) -> None:
    nodes, value, index, limits = COMPUTED[name]
    proto = network(nodes, (1, 3), more=[ints("row", [3, 1]), ints("new", [3, 4])])
    model, ids = explorer.load(proto.SerializeToString()), np.full((1, 3), value)
    assert not runs(proto, ids)
    with pytest.raises(
        DataError, match=f"'ids' leads to index {index} into .*, which has {limits};"
    ):
        explorer.evaluate(model, {"ids": ids}, model)


def test_in_a_loop_it_is_said_without_the_place() -> None:
    body = helper.make_graph(
        [node("Identity", "go", "on"), node("Gather", "table ids", "rows")],
        "body",
        [
            helper.make_tensor_value_info("i", INT64, ()),
            helper.make_tensor_value_info("go", TensorProto.BOOL, ()),
        ],
        [
            helper.make_tensor_value_info("on", TensorProto.BOOL, ()),
            helper.make_tensor_value_info("rows", FLOAT, None),
        ],
    )
    nodes = [node("Loop", "two -", "all", body=body), node("ReduceSum", "all", "y", keepdims=0)]
    proto = network(nodes, more=[TABLES[0]])
    model = explorer.load(proto.SerializeToString())
    with pytest.raises(MeasurementError, match="lead to an index that a table in it doesn't have"):
        explorer.evaluate(model, {"ids": np.full((1, 3), 99)}, model)


def test_calibration_and_scoring_refuse_alike() -> None:
    model = explorer.load(network(DIRECT["Gather"]).SerializeToString())
    data = {"ids": np.array([[0, 1, 2], [3, 4, 25]])}
    sentence = "'ids' holds 25, but its values are indices into 'table', which has -20 to 19"
    for fails in (explorer.calibrate, explorer.evaluate):
        with pytest.raises(DataError, match=sentence):
            fails(model, data)


@pytest.mark.parametrize("name", DIRECT)
def test_made_up_inputs_stay_in_the_table(name: str) -> None:
    """The table of one row too, which takes only 0 and -1."""
    proto = network(DIRECT[name], (1, 3))
    for tensor in proto.graph.initializer:
        if tensor.name == "table" and name in ("Gather", "Cast"):
            tensor.CopyFrom(numpy_helper.from_array(np.ones((1, WIDTH), np.float32), "table"))
    model = explorer.load(proto.SerializeToString())
    assert runs(proto, example_inputs(model)["ids"])
    assert explorer.measure_latency(model).runs


def test_where_none_can_be_made_up_it_says_why() -> None:
    nodes = [node("Sub", "ids ids", "a"), node("Sub", "a far", "places"), LOOK_UP]
    proto = network(nodes, more=[ints("far", [50, 50, 50])])
    model = explorer.load(proto.SerializeToString())
    with pytest.raises(DataError, match="'ids' leads to index -50 into 'table'"):
        make_examples(model)
    with pytest.raises(MeasurementError, match=r"can't be timed.*'ids' leads to index -50"):
        explorer.measure_latency(model)
