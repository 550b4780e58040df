"""Small ONNX graphs to break: one good network, and whatever else the cases put together."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FLOAT, INT64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL
Dims = Sequence[int | str | None]


def value(name: str, dims: Dims | None = ("N", 4), kind: int = FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, dims)


def node(op: str, inputs: str, outputs: str = "y", **attributes: Any) -> onnx.NodeProto:
    """By names with spaces between them; `_` is an input left out."""
    names = ["" if name == "_" else name for name in inputs.split()]
    return helper.make_node(op, names, outputs.split(), **attributes)


def tensor(name: str, array: Any) -> onnx.TensorProto:
    return numpy_helper.from_array(np.asarray(array), name)


def weight(name: str = "w", shape: tuple[int, ...] = (4, 3)) -> onnx.TensorProto:
    return tensor(name, np.random.default_rng(0).standard_normal(shape).astype(np.float32))


def model(
    *nodes: onnx.NodeProto,
    tensors: Iterable[onnx.TensorProto] = (),
    inputs: Iterable[onnx.ValueInfoProto] = (value("x"),),
    outputs: Iterable[onnx.ValueInfoProto] | None = None,
    opset: int = 17,
    domains: Sequence[str] = (),
    functions: Sequence[onnx.FunctionProto] = (),
    ir_version: int = 8,
) -> onnx.ModelProto:
    """One of an output `y` of any shape, where nothing else is said."""
    outputs = [value("y", ("N", "M"))] if outputs is None else outputs
    graph = helper.make_graph(list(nodes), "graph", list(inputs), list(outputs), list(tensors))
    imports = [helper.make_opsetid("", opset), *(helper.make_opsetid(name, 1) for name in domains)]
    return helper.make_model(
        graph, opset_imports=imports, ir_version=ir_version, functions=list(functions)
    )


def data(*nodes: onnx.NodeProto, **parts: Any) -> bytes:
    """The file of `model`."""
    content: bytes = model(*nodes, **parts).SerializeToString()
    return content


def product(name: str = "first", x: str = "x", y: str = "y") -> onnx.NodeProto:
    return node("MatMul", f"{x} w", y, name=name)


def good_proto() -> onnx.ModelProto:
    """Three classes of four numbers."""
    return model(product(), tensors=[weight()], outputs=[value("y", ("N", 3))])


def good() -> bytes:
    content: bytes = good_proto().SerializeToString()
    return content


def picture_model() -> bytes:
    """Two classes of grey images of 8 x 8 pixels."""
    weights = [tensor("w", np.ones((2, 64), np.float32))]
    flat, out = node("Flatten", "x", "f"), node("Gemm", "f w", transB=1)
    image, scores = value("x", ("N", 1, 8, 8)), value("y", ("N", 2))
    return data(flat, out, tensors=weights, inputs=[image], outputs=[scores])
