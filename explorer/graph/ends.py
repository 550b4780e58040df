"""What goes into a graph and what comes out of it."""

from collections.abc import Iterable

import onnx_ir as ir

from explorer.network import TensorSpec
from explorer.storage_types import type_name


def specs_of(values: Iterable[ir.Value]) -> tuple[TensorSpec, ...]:
    """Names, element types and dimensions of inputs or outputs."""
    return tuple(_spec(value) for value in values)


def _spec(value: ir.Value) -> TensorSpec:
    dims = value.shape if value.shape is not None else ()
    shape = tuple(dim if isinstance(dim, int) else str(dim.value or "?") for dim in dims)
    dtype = type_name(value.dtype.name) if value.dtype is not None else "unknown"
    return TensorSpec(value.name or "", dtype, shape)
