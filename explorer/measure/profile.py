"""Counts of a model that need no clock and no data."""

import gzip

import numpy as np
import onnx_ir as ir

from explorer.graph.annotations import annotation_bytes
from explorer.graph.costs import count_graph
from explorer.graph.memory import find_lifetimes, peak_bytes
from explorer.graph.shapes import Shapes, element_count, infer_shapes, input_sizes
from explorer.graph.weights import find_weights, packed_bits, scale_bytes
from explorer.model import Model
from explorer.network import Shape
from explorer.report import Profile

GZIP_LEVEL = 6  # gzip's own default
MOST_BYTES = 2**60  # of one tensor; more than that fits no machine, and no 64-bit sum


def profile(model: Model, gzipped: bool = True) -> Profile:
    """Count everything about a model; see `Profile` for what each number means.

    `gzipped=False` leaves out `gzip_bytes`, which takes seconds for a large file.
    """
    shapes = infer_shapes(model)
    macs, uncounted = count_macs(model, shapes.dims)
    weights = find_weights(model)
    nonzero = {weight.name: weight.count_nonzero() for weight in weights}
    bits = 0
    for weight in weights:
        zeros = weight.masked
        if zeros is None:
            zeros = weight.size - nonzero[weight.name] if weight.may_be_sparse else 0
        bits += packed_bits(weight.size, weight.bits, zeros)
    return Profile(
        params=sum(weight.size for weight in weights),
        nonzero_params=sum(nonzero.values()),
        macs=macs,
        file_bytes=len(model.data),
        gzip_bytes=len(gzip.compress(model.data, GZIP_LEVEL, mtime=0)) if gzipped else None,
        packed_bytes=(bits + 7) // 8 + scale_bytes(model),
        peak_activation_bytes=_peak_bytes(model, shapes),
        annotation_bytes=annotation_bytes(model),
        uncounted_ops=uncounted,
        input_sizes=input_sizes(model),
    )


def count_macs(model: Model, dims: dict[str, Shape]) -> tuple[int, tuple[str, ...]]:
    """Multiply-accumulates of the whole graph, and the operators that couldn't be counted."""
    macs, uncounted = count_graph(model.graph_model.graph, dims)
    return macs, tuple(map(str, uncounted))


def _peak_bytes(model: Model, shapes: Shapes) -> int:
    lifetimes = find_lifetimes(model)
    sizes = [tensor_bytes(shapes, name, shapes.dims.get(name)) for name in lifetimes.names]
    return peak_bytes(lifetimes.first, lifetimes.last, np.array(sizes, dtype=np.int64))


def tensor_bytes(shapes: Shapes, name: str, dims: Shape | None) -> int:
    """Bytes of one activation; 0 where its shape isn't known, or its elements have no size."""
    dtype = shapes.dtypes.get(name)
    if dims is None or dtype is None or dtype == ir.DataType.STRING:
        return 0
    return min(-(-element_count(dims) * dtype.bitwidth // 8), MOST_BYTES)
