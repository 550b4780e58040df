"""Graphs in a few lines of Python."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

INT64, FLOAT = TensorProto.INT64, TensorProto.FLOAT


@dataclass
class Net:
    """A graph in a few lines: `w` and `ints` make initialisers of it."""

    inputs: list[onnx.ValueInfoProto] = field(default_factory=list)
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    tensors: list[onnx.TensorProto] = field(default_factory=list)
    opset: int = 17

    def input(self, name: str, *dims: int | str | None, kind: int = FLOAT) -> str:
        self.inputs.append(helper.make_tensor_value_info(name, kind, dims))
        return name

    def w(self, *dims: int) -> str:
        values = np.random.default_rng(len(self.tensors)).standard_normal(dims) / 10
        return self.constant(values.astype(np.float32))

    def ints(self, *values: int) -> str:
        return self.constant(np.array(values, dtype=np.int64))

    def constant(self, array: np.ndarray) -> str:
        name = f"c{len(self.tensors)}"
        self.tensors.append(numpy_helper.from_array(array, name))
        return name

    def do(self, op: str, *inputs: str, **attributes: Any) -> str:
        name = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [name], name=name, **attributes))
        return name

    def bytes(self, *outputs: str) -> bytes:
        """The file, whose outputs are floats of so many axes, all of them open."""
        graph = helper.make_graph(self.nodes, "g", self.inputs, [], self.tensors)
        opsets = [helper.make_opsetid("", self.opset), helper.make_opsetid("com.microsoft", 1)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
        known = onnx.shape_inference.infer_shapes(model).graph.value_info
        ranks = {value.name: len(value.type.tensor_type.shape.dim) for value in known}
        for name in outputs:
            dims = [None] * ranks.get(name, 3)  # 3 where only ONNX Runtime knows
            model.graph.output.append(helper.make_tensor_value_info(name, FLOAT, dims))
        data: bytes = model.SerializeToString()
        return data
