"""Files as people have them: what opens, and the one sentence that the others get."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from conftest import SAMPLES, onnx_bytes, run_onnx, with_weights
from onnx import TensorProto, helper, numpy_helper

import explorer
from explorer import Recipe
from explorer.errors import CompressionError, MeasurementError, ModelError, OutputError

CONV = """<ir_version: 8, opset_import: ["" : 17]>
g (float[n,3,8,8] x) => (float[n,8,8,8] y) {
    a = Conv <pads = [1,1,1,1]> (x, w1)
    b = Relu (a)
    y = Conv <pads = [1,1,1,1]> (b, w2)
}"""
WEIGHTS = {"w1": (16, 3, 3, 3), "w2": (8, 16, 3, 3)}


def refusal(source: Any) -> str:
    with pytest.raises(ModelError) as caught:
        explorer.load(source)
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith((".", ")"))
    return message


def test_an_empty_file() -> None:
    assert "is empty" in refusal(b"")


def test_text_is_no_model() -> None:
    assert "a text file" in refusal(b"hello, this is not a model" * 10)
    assert "not an ONNX model" in refusal(b"\x08\x07" + b"\xff" * 100)


def test_a_pytorch_file() -> None:
    file = io.BytesIO()
    torch.save({"weight": torch.ones(2)}, file)
    assert "torch.onnx.export" in refusal(file.getvalue())
    assert "damaged zip archive" in refusal(file.getvalue()[:100])


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file(resnet: explorer.Model, share: float) -> None:
    assert "cut short" in refusal(resnet.data[: int(len(resnet.data) * share)])


def test_a_missing_file(tmp_path: Path) -> None:
    assert "There is no file" in refusal(tmp_path / "nothing.onnx")


def test_a_folder(tmp_path: Path) -> None:
    assert "can't be read" in refusal(tmp_path)


def test_one_that_fails_the_checker() -> None:
    model = helper.make_model(
        helper.make_graph(
            [helper.make_node("Relu", ["nowhere"], ["y"])],
            "g",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    assert "reads 'nowhere'" in refusal(model.SerializeToString())


def test_an_operator_that_onnx_does_not_have() -> None:
    model = helper.make_model(
        helper.make_graph(
            [helper.make_node("Frobnicate", ["x"], ["y"])],
            "g",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    assert "Frobnicate" in refusal(model.SerializeToString())


@pytest.mark.parametrize("opset", [6, 27])
def test_opsets_outside_the_range(opset: int) -> None:
    proto = onnx.load_model_from_string(with_weights(CONV, **WEIGHTS).data)
    proto.opset_import[0].version = opset
    assert f"opset {opset}" in refusal(proto.SerializeToString())


def test_weights_that_are_not_numbers() -> None:
    proto = onnx.load_model_from_string(with_weights(CONV, **WEIGHTS).data)
    weights = numpy_helper.to_array(proto.graph.initializer[0]).copy()
    weights[0, 0, 0, 0] = np.nan
    proto.graph.initializer[0].CopyFrom(numpy_helper.from_array(weights, "w1"))
    assert "'w1'" in refusal(proto.SerializeToString())


def test_weights_in_a_second_file(tmp_path: Path) -> None:
    proto = onnx.load_model_from_string(with_weights(CONV, **WEIGHTS).data)
    path = tmp_path / "split.onnx"
    onnx.save(proto, str(path), save_as_external_data=True, location="w.bin", size_threshold=0)
    assert "second file" in refusal(path.read_bytes())
    loaded = explorer.load(path)
    assert explorer.profile(loaded).params == 16 * 27 + 8 * 144
    (tmp_path / "w.bin").unlink()
    assert "can't be read" in refusal(path)


@pytest.mark.parametrize("opset", range(7, 27))
def test_every_opset(opset: int) -> None:
    model = with_weights(CONV.replace('"" : 17', f'"" : {opset}'), **WEIGHTS)
    plan = explorer.plan(model, Recipe(pattern="channel", ratio=0.5, weight_bits=8))
    small = explorer.apply(model, plan)
    assert explorer.profile(small).macs == 64 * 9 * (3 * 8 + 8 * 8)
    run_onnx(small.data, {"x": np.zeros((1, 3, 8, 8), np.float32)})


def test_weights_as_constant_nodes() -> None:
    proto = onnx.load_model_from_string(with_weights(CONV, **WEIGHTS).data)
    for tensor in list(proto.graph.initializer):
        constant = helper.make_node("Constant", [], [tensor.name], value=tensor)
        proto.graph.node.insert(0, constant)
    del proto.graph.initializer[:]
    model = explorer.load(proto.SerializeToString())
    assert [layer.channels for layer in model.layers] == [16, 8]
    plan = explorer.plan(model, Recipe(pattern="channel", ratio=0.5, weight_bits=4))
    told, found = explorer.estimate(model, plan), explorer.profile(explorer.apply(model, plan))
    assert told.macs == found.macs < explorer.profile(model).macs
    assert told.file_bytes == pytest.approx(found.file_bytes, rel=0.01)


def test_weights_that_are_inputs_too() -> None:
    proto = onnx.load_model_from_string(with_weights(CONV, **WEIGHTS).data)
    for tensor in proto.graph.initializer:
        proto.graph.input.append(
            helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
        )
    model = explorer.load(proto.SerializeToString())
    assert [spec.name for spec in model.inputs] == ["x"]
    assert len(model.layers) == 2


def test_several_inputs_and_outputs_and_integers() -> None:
    model = with_weights(
        """<ir_version: 8, opset_import: ["" : 17]>
        g (float[n,4] x, int64[n] index) => (float[n,16] y, float[n,16] z) {
            h = MatMul (x, w)
            e = Gather (table, index)
            y = Add (h, e)
            z = Relu (y)
        }""",
        w=(4, 16),
        table=(5, 16),
    )
    assert [(s.name, s.dtype, s.shape) for s in model.inputs] == [
        ("x", "float32", ("n", 4)),
        ("index", "int64", ("n",)),
    ]
    assert [spec.name for spec in model.outputs] == ["y", "z"]
    assert explorer.profile(model).params == 4 * 16 + 5 * 16
    assert explorer.measure_latency(model).runs > 0
    data = {"x": np.ones((3, 4), np.float32), "index": np.array([0, 1, 2])}
    small = explorer.apply(model, explorer.plan(model, Recipe(weight_bits=4)))
    assert explorer.evaluate(small, data, model).metric in ("agreement", "snr_db")


def test_an_operator_that_the_runtime_lacks() -> None:
    model = with_weights(
        """<ir_version: 8, opset_import: ["" : 17, "acme" : 1]>
        g (float[n,4] x) => (float[n,8] y) { h = MatMul (x, w)  y = acme.Mystery (h) }""",
        w=(4, 8),
    )
    assert explorer.profile(model).macs == 32
    with pytest.raises(MeasurementError, match="Mystery"):
        explorer.measure_latency(model)


def test_a_plan_for_another_model(resnet: explorer.Model) -> None:
    other = with_weights(CONV, **WEIGHTS)
    with pytest.raises(CompressionError, match="another model"):
        explorer.apply(resnet, explorer.plan(other, Recipe(weight_bits=8)))


def test_saving_where_it_can_not_be_written(resnet: explorer.Model, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="can't be written"):
        resnet.save(tmp_path / "no" / "folder" / "m.onnx")
    folder = tmp_path / "taken.onnx"
    folder.mkdir()
    with pytest.raises(OutputError, match="can't be written"):
        resnet.save(folder)
    assert [path.name for path in tmp_path.iterdir()] == ["taken.onnx"]


def test_a_function_in_the_file_is_inlined() -> None:
    model = explorer.load(
        onnx_bytes(
            """<ir_version: 8, opset_import: ["" : 17, "local" : 1]>
            g (float[n,3] x) => (float[n,2] y) <float[3,2] w = {1,2,3,4,5,6}>
            { y = local.Dense (x, w) }
            <domain: "local", opset_import: ["" : 17]>
            Dense (a, b) => (c) { p = MatMul (a, b)  c = Relu (p) }"""
        )
    )
    assert explorer.profile(model).macs == 6


def test_the_samples_open_from_path_and_bytes() -> None:
    path = SAMPLES / "fashion_mlp.onnx"
    assert explorer.load(path).id == explorer.load(path.read_bytes()).id
    assert explorer.load(str(path)).name == "fashion_mlp"
