"""Constant tensors in a graph: how they are made, and how they get in."""

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

Array = npt.NDArray[Any]


def tensor_of(array: Array, name: str, dtype: ir.DataType | None = None) -> "ir.Tensor[Any]":
    """A tensor for the file; `dtype` where numpy's own type doesn't tell."""
    return ir.Tensor(np.ascontiguousarray(array).reshape(array.shape), dtype=dtype, name=name)


def add_initializer(
    graph: ir.Graph, name: str, array: Array, dtype: ir.DataType | None = None
) -> ir.Value:
    """Add a constant tensor to a graph."""
    tensor = tensor_of(array, name, dtype)
    kind = ir.TensorType(tensor.dtype)
    value = ir.Value(name=name, const_value=tensor, shape=tensor.shape, type=kind)
    graph.register_initializer(value)
    return value
