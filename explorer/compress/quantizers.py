"""Rounding to few levels: the integer types of ONNX, their scales, and the rounding itself.

A quantized weight is an integer q with w = (q - zero_point) x scale (ONNX DequantizeLinear), one
scale per tensor, per output channel, or per group of inputs.
"""

from dataclasses import dataclass

import ml_dtypes
import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from explorer.model import Layer, Shape

STORAGE = {
    "int8": ir.DataType.INT8,
    "int4": ir.DataType.INT4,
    "int2": ir.DataType.INT2,
    "uint8": ir.DataType.UINT8,
    "float16": ir.DataType.FLOAT16,
    "float32": ir.DataType.FLOAT,
}
NUMPY_TYPES = {
    "int8": np.int8,
    "int4": ml_dtypes.int4,
    "int2": ml_dtypes.int2,
    "uint8": np.uint8,
    "float16": np.float16,
}
MIDDLE = 128  # zero point of symmetric weights that are stored as uint8


@dataclass(frozen=True)
class Grid:
    """Where the scales of a weight lie: `axis` None is one scale for all, `block` None one a slice.

    With a block, every `block` weights along `axis` share a scale, separately for all other
    positions.
    """

    axis: int | None
    block: int | None = None

    def scale_shape(self, shape: Shape) -> Shape:
        """Shape of the scale tensor of a weight."""
        if self.axis is None:
            return ()
        if self.block is None:
            return (shape[self.axis],)
        blocks = -(-shape[self.axis] // self.block)
        return (*shape[: self.axis], blocks, *shape[self.axis + 1 :])


def grid_for(layer: Layer, shape: Shape, granularity: str, group_size: int) -> Grid:
    """The grid of a layer; a group as long as the whole input is one scale per channel."""
    if granularity == "tensor":
        return Grid(None)
    if granularity == "channel" or shape[layer.in_axis] <= group_size:
        return Grid(layer.out_axis)
    return Grid(layer.in_axis, group_size)


def storage_for(weight_bits: int, dtype: str, activation_bits: int, blocked: bool) -> str:
    """The smallest storage type that holds a width and that the runtime runs.

    Beside 8-bit activations, 8-bit weights are stored unsigned, which the x86 integer kernels
    multiply without saturating (these kernels know no blocks and no float16), and 2-bit weights in
    4, as ONNX Runtime 1.32 builds an invalid integer convolution from int2.
    """
    integer_kernel = activation_bits == 8 and dtype == "float32" and not blocked
    if weight_bits == 32 or (weight_bits == 16 and dtype == "float16"):
        return dtype
    if weight_bits == 16:
        return "float16"
    if weight_bits > 4:
        return "uint8" if integer_kernel else "int8"
    return "int4" if weight_bits > 2 or activation_bits == 8 else "int2"


@dataclass(frozen=True)
class Rounded:
    """Integers (in their storage type), scales, and the zero point where it isn't 0."""

    integers: npt.NDArray[np.generic]
    scale: npt.NDArray[np.floating]
    zero_point: npt.NDArray[np.generic] | None

    def dequantize(self, grid: Grid) -> npt.NDArray[np.floating]:
        """The weights that the runtime will see."""
        wide = self.integers.astype(np.float32)
        if self.zero_point is not None:
            wide -= MIDDLE
        weights: npt.NDArray[np.floating] = wide * spread(self.scale, grid, wide.shape)
        return weights


def round_weights(
    weight: npt.NDArray[np.floating],
    bits: int,
    storage: str,
    grid: Grid,
    least_scale: npt.NDArray[np.floating] | float = 0.0,
) -> Rounded:
    """Symmetric rounding to nearest, the largest weight of each scale on the last level.

    Levels run from -(2^(bits-1) - 1) to 2^(bits-1) - 1; the rounding error is at most scale / 2.
    No scale is smaller than `least_scale`; a slice of zeros takes the largest one.
    """
    top = 2 ** (bits - 1) - 1
    largest = _largest(np.abs(weight).astype(np.float32, copy=False), grid)
    stand_in = largest.max(initial=0) or float(top)
    scale = np.where(largest > 0, largest, stand_in) / top
    scale = np.maximum(scale, least_scale).astype(weight.dtype)
    # A float16 scale can underflow to zero; the smallest one then stands in.
    scale = np.maximum(scale, np.finfo(weight.dtype).tiny)
    levels = weight / spread(scale, grid, weight.shape)
    np.rint(levels, out=levels)
    np.clip(levels, -top, top, out=levels)
    if storage == "uint8":
        integers = (levels + MIDDLE).astype(np.uint8)
        return Rounded(integers, scale, np.full(scale.shape, MIDDLE, dtype=np.uint8))
    return Rounded(levels.astype(np.int8).astype(NUMPY_TYPES[storage]), scale, None)


def spread(scale: npt.NDArray[np.floating], grid: Grid, shape: Shape) -> npt.NDArray[np.floating]:
    """Scales repeated so that they can be multiplied with a weight of `shape`."""
    if grid.axis is None:
        return scale
    if grid.block is None:
        dims = [1] * len(shape)
        dims[grid.axis] = shape[grid.axis]
        return scale.reshape(dims)
    repeated = np.repeat(scale, grid.block, axis=grid.axis)
    return repeated.take(range(shape[grid.axis]), axis=grid.axis)


def _largest(magnitude: npt.NDArray[np.float32], grid: Grid) -> npt.NDArray[np.float32]:
    if grid.axis is None:
        return np.asarray(magnitude.max(initial=0), dtype=np.float32)
    if grid.block is None:
        others = tuple(axis for axis in range(magnitude.ndim) if axis != grid.axis)
        return np.asarray(magnitude.max(axis=others), dtype=np.float32)
    starts = np.arange(0, magnitude.shape[grid.axis], grid.block)
    return np.asarray(np.maximum.reduceat(magnitude, starts, axis=grid.axis), dtype=np.float32)
