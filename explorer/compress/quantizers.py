"""Rounding to few levels: the integer types of ONNX, their scales, and the rounding itself.

A quantized weight is an integer q with w = (q - zero_point) x scale (ONNX DequantizeLinear), one
scale per tensor, per output channel, or per group of inputs.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from explorer.graph.operators import EMBEDDING, element_type
from explorer.network import Layer, Shape
from explorer.storage_types import (
    FLOAT16,
    FLOAT32,
    INT2,
    INT4,
    INT8,
    STORAGE_TYPES,
    StorageType,
    holding,
)

FEW_BITS = 3


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


def grid_for(
    layer: Layer, shape: Shape, granularity: str, group_size: int, storage: StorageType = INT8
) -> Grid:
    """The grid of a layer; a group as long as the whole input is one scale per channel.

    So it is for weights of integer kernels, which know no groups; there a weight on the left of a
    product, or another one in each batch, has one scale for all. In an embedding table each row, a
    word's, has a scale of its own.
    """
    scaled, summed = layer.out_axis, layer.in_axis
    if layer.op == EMBEDDING:
        scaled, summed = summed, scaled
    if granularity == "tensor" or (storage.in_kernels and not layer.is_linear):
        return Grid(None)
    if granularity == "channel" or storage.in_kernels or shape[summed] <= group_size:
        return Grid(scaled)
    return Grid(summed, group_size)


def storage_for(
    weight_bits: int, dtype: str, rounds_activations: bool, kernel_type: StorageType | None
) -> StorageType:
    """The smallest storage type that holds a width and that the runtime runs.

    Weights of 5 to 8 bits that an integer kernel multiplies lie in its `kernel_type`; these kernels
    know no float16. Beside 8-bit activations, 2-bit weights lie in 4, as ONNX Runtime 1.32 builds
    an invalid integer convolution from int2.
    """
    before, storage = STORAGE_TYPES[dtype], holding(weight_bits)
    if storage == FLOAT32 or (storage == FLOAT16 and before == FLOAT16):
        return before
    if storage == INT8 and kernel_type is not None and before == FLOAT32:
        return kernel_type
    return INT4 if storage == INT2 and rounds_activations else storage


def is_asymmetric(bits: int) -> bool:
    """True for widths whose levels have a zero point of their own: with few, each level counts."""
    return bits <= FEW_BITS


def has_zero_point(storage: StorageType, bits: int) -> bool:
    """True where the file holds a zero point beside each scale.

    ONNX Runtime 1.32 makes no integer kernel of a Gemm whose weight has none.
    """
    return storage.in_kernels or (storage.is_integer and is_asymmetric(bits))


@dataclass(frozen=True)
class Rounded:
    """Integers (in their storage type), scales, and the zero point where it isn't 0."""

    integers: npt.NDArray[np.generic]
    scale: npt.NDArray[np.floating]
    zero_point: npt.NDArray[np.generic] | None

    @classmethod
    def of(
        cls,
        levels: npt.NDArray[np.floating],
        scale: npt.NDArray[np.floating],
        zero: npt.NDArray[np.floating],
        bits: int,
        storage: StorageType,
    ) -> "Rounded":
        """From whole numbers as floats, in the range of `level_range`."""
        kind = element_type(storage).numpy()
        integers = levels.astype(np.int16).astype(kind)
        if not has_zero_point(storage, bits):
            return cls(integers, scale, None)
        return cls(integers, scale, zero.astype(np.int16).astype(kind))

    def dequantize(self, grid: Grid) -> npt.NDArray[np.floating]:
        """The weights that the runtime will see."""
        wide = self.integers.astype(np.float32)
        if self.zero_point is not None:
            wide -= spread(self.zero_point.astype(np.float32), grid, wide.shape)
        weights: npt.NDArray[np.floating] = wide * spread(self.scale, grid, wide.shape)
        return weights


def level_range(bits: int, storage: StorageType) -> tuple[int, int]:
    """Smallest and largest level: all of them with a zero point, else as many on either side."""
    low, high = storage.levels(bits)
    return (low - 1, high) if is_asymmetric(bits) else (low, high)


def round_weights(
    weight: npt.NDArray[np.floating],
    bits: int,
    storage: StorageType,
    grid: Grid,
    least_scale: npt.NDArray[np.floating] | float = 0.0,
) -> Rounded:
    """Rounding to nearest, the outermost weights of each scale on the outermost levels.

    The rounding error is at most scale / 2 (a scale with a zero point: that plus as much again at
    the ends, as zero is a level). No scale is smaller than `least_scale`; a slice of zeros takes
    the largest one.
    """
    low, high = level_range(bits, storage)
    wide = weight.astype(np.float32, copy=False)
    if is_asymmetric(bits):
        largest = np.maximum(_largest(wide, grid), 0) + np.maximum(_largest(-wide, grid), 0)
        steps = high - low
    else:
        largest, steps = _largest(np.abs(wide), grid), high
    scale = fit_to_file(
        np.where(largest > 0, largest, largest.max(initial=0) or float(steps)) / steps,
        weight.dtype,
        least_scale,
    )
    zero = np.zeros(scale.shape)
    if is_asymmetric(bits):
        smallest = np.minimum(-_largest(-wide, grid), 0)
        zero = np.clip(np.rint(low - smallest / scale.astype(np.float64)), low, high)
    levels = weight / spread(scale, grid, weight.shape)
    np.rint(levels, out=levels)
    levels += spread(zero, grid, weight.shape).astype(levels.dtype)
    np.clip(levels, low, high, out=levels)
    return Rounded.of(levels, scale, zero, bits, storage)


def fit_to_file(
    scale: npt.NDArray[np.floating],
    dtype: "np.dtype[np.floating]",
    least_scale: npt.NDArray[np.floating] | float = 0.0,
) -> npt.NDArray[np.floating]:
    """Scales in the type they are stored in; one that would underflow is the smallest there is."""
    stored = np.maximum(scale, least_scale).astype(dtype)
    scales: npt.NDArray[np.floating] = np.maximum(stored, np.finfo(dtype).tiny)
    return scales


def spread(scale: npt.NDArray[Any], grid: Grid, shape: Shape) -> npt.NDArray[Any]:
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
