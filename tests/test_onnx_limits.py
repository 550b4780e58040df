"""ONNX files that would grow beyond measure, lie about their tensors, or reach for other files."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from conftest import zipped
from onnx import TensorProto, helper, numpy_helper

import explorer
from explorer.errors import ModelError
from explorer.formats import onnx_limits
from explorer.formats.model_files import import_model
from explorer.formats.onnx_limits import check_limits

VERSION, LOCAL = helper.make_opsetid("", 17), helper.make_opsetid("local", 1)
X, Y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [4]) for name in "xy")
FLAG = helper.make_tensor_value_info("flag", TensorProto.BOOL, [])
SECRET = b"0123456789abcdef" * 2


def refusal(source: Any) -> str:
    with pytest.raises(ModelError) as caught:
        explorer.load(source, "the model")
    message = str(caught.value)
    assert message.isprintable() and message.endswith(".")
    assert "/" not in message.replace("torch", "") or "Softmax" in message
    return message


def model(
    *nodes: onnx.NodeProto,
    tensors: tuple[onnx.TensorProto, ...] = (),
    functions: tuple[onnx.FunctionProto, ...] = (),
    inputs: tuple[onnx.ValueInfoProto, ...] = (X,),
) -> onnx.ModelProto:
    graph = helper.make_graph(nodes, "g", inputs, [Y], tensors)
    imports = [VERSION, LOCAL] if functions else [VERSION]
    return helper.make_model(graph, opset_imports=imports, ir_version=8, functions=list(functions))


def call(name: str, x: str, y: str) -> onnx.NodeProto:
    return helper.make_node(name, [x], [y], domain="local")


def function(name: str, *nodes: onnx.NodeProto) -> onnx.FunctionProto:
    return helper.make_function("local", name, ["a"], ["b"], nodes, [VERSION, LOCAL])


def weight(name: str = "w", shape: tuple[int, ...] = (4,)) -> onnx.TensorProto:
    return numpy_helper.from_array(np.ones(shape, np.float32), name)


def plus(tensor: onnx.TensorProto) -> onnx.ModelProto:
    return model(helper.make_node("Add", ["x", tensor.name], ["y"]), tensors=(tensor,))


def doubling(levels: int) -> onnx.ModelProto:
    """Functions of two calls each of the next one: 2**levels nodes in a few kilobytes."""
    functions = [
        function(f"f{level}", call(f"f{level + 1}", "a", "m"), call(f"f{level + 1}", "m", "b"))
        for level in range(levels)
    ]
    last = function(f"f{levels}", helper.make_node("Relu", ["a"], ["b"]))
    return model(call("f0", "x", "y"), functions=(*functions, last))


def test_functions_that_stand_for_too_many_nodes() -> None:
    assert len(doubling(50).SerializeToString()) < 6000
    # Written out they would take years, so this ends only if they are counted first.
    assert "more than 50000 nodes" in refusal(doubling(50).SerializeToString())
    assert len(explorer.load(doubling(6).SerializeToString()).graph_model.graph) == 64


def test_the_count_is_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_limits, "MOST_NODES", 64)
    check_limits(doubling(6), "it")  # whose functions hold 13 nodes and stand for 64
    monkeypatch.setattr(onnx_limits, "MOST_NODES", 63)
    with pytest.raises(ModelError, match="more than 63 nodes"):
        check_limits(doubling(6), "it")


def test_functions_that_never_end() -> None:
    loop = function("f", call("g", "a", "b")), function("g", call("f", "a", "b"))
    assert "calls itself" in refusal(model(call("f", "x", "y"), functions=loop).SerializeToString())
    chain = [function(f"f{level}", call(f"f{level + 1}", "a", "b")) for level in range(100)]
    chain.append(function("f100", helper.make_node("Relu", ["a"], ["b"])))
    found = model(call("f0", "x", "y"), functions=tuple(chain))
    assert "call each other" in refusal(found.SerializeToString())
    twice = (function("f", helper.make_node("Relu", ["a"], ["b"])),) * 2
    assert "twice" in refusal(model(call("f", "x", "y"), functions=twice).SerializeToString())


def branch(inside: onnx.NodeProto, *more: onnx.NodeProto) -> onnx.NodeProto:
    graph = helper.make_graph(
        [inside, *more], "branch", [], [helper.make_tensor_value_info(inside.output[0], 1, None)]
    )
    return helper.make_node(
        "If", ["flag"], [f"{inside.output[0]}_"], then_branch=graph, else_branch=graph
    )


def nested(levels: int) -> onnx.ModelProto:
    node = helper.make_node("Identity", ["x"], ["v"])
    for _ in range(levels):
        graph = helper.make_graph([node], "g", [], [])
        node = helper.make_node("Custom", [], ["v"], domain="acme", body=graph)
    return model(node)


def test_graphs_in_graphs() -> None:
    assert "nested more than 16" in refusal(nested(16).SerializeToString())
    check_limits(nested(15), "it")


def test_nodes_in_branches_count(monkeypatch: pytest.MonkeyPatch) -> None:
    relu = helper.make_node("Relu", ["x"], ["v"])
    found = model(branch(relu, relu, relu), inputs=(X, FLAG))
    monkeypatch.setattr(onnx_limits, "MOST_NODES", 7)
    check_limits(found, "it")
    monkeypatch.setattr(onnx_limits, "MOST_NODES", 6)
    with pytest.raises(ModelError, match="more than 6 nodes"):
        check_limits(found, "it")


def test_too_many_parameters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_limits, "MOST_PARAMS", 4)
    check_limits(plus(weight()), "it")
    monkeypatch.setattr(onnx_limits, "MOST_PARAMS", 3)
    with pytest.raises(ModelError, match="parameters"):
        check_limits(plus(weight()), "it")


def changed(**fields: object) -> onnx.TensorProto:
    tensor = weight()
    for name, value in fields.items():
        tensor.ClearField(name)
        if isinstance(value, list):
            getattr(tensor, name).extend(value)
        else:
            setattr(tensor, name, value)
    return tensor


LIES: dict[str, tuple[onnx.TensorProto, str]] = {
    "too short": (changed(dims=[5]), "not as long"),
    "too long": (changed(dims=[3]), "not as long"),
    "negative": (changed(dims=[-1]), "negative size"),
    "huge": (changed(dims=[2**40, 2**40]), "parameters"),
    "a product that wraps to 4": (changed(dims=[2**32, 2**32, 4]), "parameters"),
    "of many axes": (changed(dims=[1] * 100), "100 axes"),
    "of no type": (changed(data_type=77), "type that ONNX doesn't have"),
    "of nothing": (changed(raw_data=b""), "not as long"),
}


@pytest.mark.parametrize("case", LIES)
@pytest.mark.parametrize("place", ["weight", "constant", "branch", "function"])
def test_tensors_that_lie(case: str, place: str) -> None:
    tensor, part = LIES[case]
    assert part in refusal(in_place(tensor, place).SerializeToString())


def in_place(tensor: onnx.TensorProto, place: str) -> onnx.ModelProto:
    constant = helper.make_node("Constant", [], ["c"], value=tensor)
    add = helper.make_node("Add", ["x", "c"], ["v"])
    if place == "weight":
        return plus(tensor)
    if place == "constant":
        return model(constant, helper.make_node("Add", ["x", "c"], ["y"]))
    if place == "branch":
        return model(branch(constant, add), inputs=(X, FLAG))
    inside = function("f", constant, helper.make_node("Add", ["a", "c"], ["b"]))
    return model(call("f", "x", "y"), functions=(inside,))


NUMBERS = [each for each in ir.DataType if each not in (ir.DataType.UNDEFINED, ir.DataType.STRING)]


@pytest.mark.parametrize("dtype", NUMBERS, ids=lambda each: each.name)
@pytest.mark.parametrize("count", [0, 3, 8])
def test_true_tensors_of_every_type(dtype: ir.DataType, count: int) -> None:
    values = np.zeros(count, dtype.numpy())
    in_bytes = ir.to_proto(ir.tensor(values, dtype=dtype))
    assert in_bytes.HasField("raw_data")
    by_field = helper.make_tensor("w", dtype.value, [count], [0] * count)
    for tensor in (in_bytes, by_field):
        check_limits(model(tensors=(tensor,)), "it")
    texts = helper.make_tensor("t", TensorProto.STRING, [2], ["a", "b"])  # type: ignore[list-item]  # takes texts, too
    check_limits(model(tensors=(texts,)), "it")


def outside(location: str, offset: int = 0, length: int = 16, count: int = 4) -> onnx.TensorProto:
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[count])
    tensor.data_location = TensorProto.EXTERNAL
    found = {"location": location, "offset": offset, "length": length}
    for key, value in found.items():
        tensor.external_data.add(key=key, value=str(value))
    return tensor


@pytest.mark.parametrize("place", ["weight", "constant", "branch", "function"])
def test_second_files_need_a_folder(place: str, tmp_path: Path) -> None:
    found = in_place(outside("w.bin"), place)
    assert "second file" in refusal(found.SerializeToString())
    (tmp_path / "w.bin").write_bytes(SECRET)
    path = tmp_path / "net.onnx"
    path.write_bytes(found.SerializeToString())
    if place != "branch":  # whose output has no type
        assert SECRET[:16] in explorer.load(path).data


TRAPS: dict[str, Callable[[Path], object]] = {
    "../w.bin": lambda folder: (folder.parent / "w.bin").write_bytes(SECRET),
    "/etc/passwd": lambda folder: None,
    "sub/w.bin": lambda folder: None,
    "*/_ORT_MEM_ADDR_/*": lambda folder: None,
    "": lambda folder: None,
    "..": lambda folder: None,
    "missing": lambda folder: None,
    "folder": lambda folder: (folder / "folder").mkdir(),
    "link": lambda folder: (folder / "link").symlink_to(secret(folder)),
    "hard": lambda folder: os.link(secret(folder), folder / "hard"),
    "pipe": lambda folder: os.mkfifo(folder / "pipe"),
    "short": lambda folder: (folder / "short").write_bytes(SECRET[:15]),
}


def secret(folder: Path) -> Path:
    path = folder.parent / "secret"
    path.write_bytes(SECRET)
    return path


@pytest.mark.parametrize("location", TRAPS)
def test_second_files_lie_beside_the_model(location: str, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    TRAPS[location](folder)
    path = folder / "net.onnx"
    path.write_bytes(plus(outside(location)).SerializeToString())
    with pytest.raises(ModelError, match=r"second file|isn't a file beside it") as caught:
        explorer.load(path, "the model")
    assert str(tmp_path) not in str(caught.value)


@pytest.mark.parametrize(
    ("tensor", "part"),
    [
        (outside("w.bin", offset=20), "ends before"),
        (outside("w.bin", offset=-1), "not as long"),
        (outside("w.bin", length=12), "not as long"),
        (outside("w.bin", length=10**30), "not as long"),
        (outside("w.bin", count=2**29, length=2**31), "2 GiB"),
    ],
)
def test_second_files_are_as_long_as_needed(
    tensor: onnx.TensorProto, part: str, tmp_path: Path
) -> None:
    (tmp_path / "w.bin").write_bytes(SECRET)
    path = tmp_path / "net.onnx"
    path.write_bytes(plus(tensor).SerializeToString())
    assert part in refusal(path)


def stored(folder: Path, members: dict[str, bytes]) -> Path:
    path = folder / "upload.zip"
    path.write_bytes(zipped(members))
    return path


SPLIT = plus(outside("w.bin", offset=4)).SerializeToString()
ZIPS: dict[str, dict[str, bytes]] = {
    "2 .onnx files": {"a.onnx": SPLIT, "b.onnx": SPLIT},
    "3 files": {"a.onnx": SPLIT, "w.bin": SECRET, "notes.txt": b""},
    "different folders": {"a.onnx": SPLIT, "data/w.bin": SECRET},
    "lacks the file 'w.bin'": {"a.onnx": SPLIT, "other.bin": SECRET},
    "lacks the file": {"a.onnx": SPLIT},
    "ends before": {"a.onnx": SPLIT, "w.bin": SECRET[:19]},
}


@pytest.mark.parametrize("part", ZIPS)
def test_zips_that_hold_something_else(part: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=part):
        import_model(stored(tmp_path, ZIPS[part]), "the upload")


def test_a_zip_gives_the_weights_at_their_place(tmp_path: Path) -> None:
    path = stored(tmp_path, {"net/a.onnx": SPLIT, "net/w.bin": SECRET})
    proto = onnx.load_model_from_string(import_model(path, "the upload").file.data)
    assert proto.graph.initializer[0].raw_data == SECRET[4:20]


def node(op: str, x: str = "x", y: str = "y", **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(op, [x], [y], name="\x1b[31mmy\nnode", **attributes)


def typeless() -> onnx.ModelProto:
    found = model(node("Softmax", axis=1))
    found.graph.node[0].attribute[0].type = onnx.AttributeProto.FLOAT
    return found


def newer() -> onnx.ModelProto:
    found = model(node("Relu"))
    found.ir_version = 99
    return found


def nameless() -> onnx.ModelProto:
    found = model(node("Relu"))
    found.graph.name = ""
    return found


VERDICTS: dict[str, onnx.ModelProto] = {
    "operator 'Frob' that ONNX doesn't have at opset 17": model(node("Frob")),
    "operator 'Upsample' that ONNX no longer has at opset 17": model(node("Upsample")),
    "the node '[31mmynode' (Relu) that reads 'no', which nothing": model(node("Relu", "no")),
    "gives the name 'y' to more than one value": model(node("Relu"), node("Relu")),
    "two weights with the name 'w'": model(node("Relu"), tensors=(weight(), weight())),
    "a node Add with 1 inputs instead of 2": model(helper.make_node("Add", ["x"], ["y"])),
    "1 inputs instead of 5": model(node("BatchNormalization")),
    "attribute 'axis' must be of type INT, not FLOAT": model(node("Softmax", axis=1.5)),
    "an attribute 'frob' that this operator": model(node("Relu", frob=1)),
    "without its attribute 'to'": model(node("Cast")),
    "attribute 'axis' doesn't hold what its type says": typeless(),
    "an output 'y' that no node gives": model(node("Relu", "x", "z")),
    "version of the operators 'local' it uses": model(call("f", "x", "y")),
    "IR 99": newer(),
    "breaks a rule of ONNX": nameless(),
}


@pytest.mark.parametrize("part", VERDICTS)
def test_what_breaks_the_rules_is_said_in_own_words(part: str) -> None:
    message = refusal(VERDICTS[part].SerializeToString())
    assert part in message
    assert "==>" not in message and "Context" not in message and "\x1b" not in message


def test_opsets_that_onnx_never_had() -> None:
    found = model(node("Relu"))
    found.opset_import.add(domain="", version=999)
    assert "opset 999" in refusal(found.SerializeToString())


def test_scales_of_zero_are_refused() -> None:
    scale = numpy_helper.from_array(np.zeros((), np.float32), "s")
    zero = numpy_helper.from_array(np.zeros((), np.int8), "z")
    quantize = helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"])
    back = helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"])
    assert "scale of zero" in refusal(
        model(quantize, back, tensors=(scale, zero)).SerializeToString()
    )
