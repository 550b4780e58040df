"""A layer as a linear regression: rows of inputs and of outputs, at sampled places.

A *place* of a convolution is a sample and a position in its output; of a matrix product, any index
but the last. The weights of a regression are (groups, inputs, outputs of a group), the inputs in
the order of channels, then of the kernel: an ordinary layer is one group, a depthwise one as many
as it filters. A transposed convolution is a convolution over its input with zeros between, its
kernel turned around.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from explorer.graph.operators import int_attribute, is_flag_set
from explorer.network import Layer, Shape

MOST_INPUTS = 4608  # of one output, as 512 channels under a 3x3 kernel; a solve is cubic in them
CONVOLUTIONS = ("Conv", "ConvTranspose")

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float32]
Places = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Form:
    """How a node's weight becomes the weights of a regression, and back."""

    to_matrix: Callable[[Array], Array]
    to_tensor: Callable[[Array], Array]


def is_regression(node: ir.Node, layer: Layer) -> bool:
    """True for layers whose output is a linear function of not too long rows of their input."""
    if layer.weights // layer.channels > MOST_INPUTS:
        return False
    if layer.op in CONVOLUTIONS:
        return True
    factors = [
        node.attributes[name].as_float() for name in ("alpha", "beta") if name in node.attributes
    ]
    is_plain = not is_flag_set(node, "transA") and all(factor == 1 for factor in factors)
    return layer.op in ("Gemm", "MatMul") and is_plain and layer.is_linear


def output_rows(layer: Layer, output: Array, places: Places) -> Floats:
    """What a layer gives at some places, (rows, outputs)."""
    if layer.op not in CONVOLUTIONS:
        leading = output.shape[:-1] or (1,)  # the product of a vector is one row
        return output.reshape(np.prod(leading), -1)[places].astype(np.float32)
    planes = output.reshape(*output.shape[:2], -1)
    samples, positions = np.divmod(places, planes.shape[2])
    if len(planes) >= planes.shape[1]:
        found: Floats = planes[samples, :, positions].astype(np.float32)
        return found
    rows = np.empty((len(places), planes.shape[1]), dtype=np.float32)
    for sample, own in _by_sample(samples):
        rows[own] = planes[sample].take(positions[own], axis=1).T
    return rows


def input_rows(
    node: ir.Node, layer: Layer, chunks: Sequence[tuple[Array, Places]], sizes: Shape
) -> Floats:
    """What enters a layer at some places of each chunk of data, (groups, inputs, rows).

    `sizes` are the spatial dimensions of a convolution's output.
    """
    if layer.op not in CONVOLUTIONS:
        flat = [data.reshape(-1, data.shape[-1])[places] for data, places in chunks]
        return np.concatenate(flat).astype(np.float32, copy=False).T[None]
    channels = chunks[0][0].shape[1]
    count = sum(len(places) for _, places in chunks)
    rows = np.empty((channels, kernel_size(layer), count), dtype=np.float32)
    end = 0
    for data, places in chunks:
        start, end = end, end + len(places)
        samples, positions = np.divmod(places, int(np.prod(sizes)))
        read, is_outside = _taps(node, layer, data.shape[2:], sizes, positions)
        planes, own_rows = data.reshape(*data.shape[:2], -1), rows[:, :, start:end]
        if len(data) < channels:
            for sample, own in _by_sample(samples):
                own_rows[:, :, own] = planes[sample].take(read[:, own], axis=1)
        else:
            read = read + samples * planes[0].size
            for channel in range(channels):
                own_rows[channel] = planes.take(read + channel * planes.shape[2])
        if is_outside.any():
            own_rows[:, is_outside] = 0
    return rows.reshape(int_attribute(node, "group", 1), -1, count)


def _by_sample(samples: Places) -> Iterator[tuple[int, slice]]:
    """Each sample of a chunk, and which of the ordered places are its own."""
    found, starts = np.unique(samples, return_index=True)
    ends = [*starts[1:].tolist(), len(samples)]
    for sample, start, end in zip(found.tolist(), starts.tolist(), ends, strict=True):
        yield sample, slice(start, end)


def form_of(node: ir.Node, layer: Layer) -> Form:
    """The form of a node's weight, whose shape may be smaller than the layer's."""
    if layer.op not in CONVOLUTIONS:
        if layer.in_axis == 1:
            return Form(lambda weight: weight.T[None], lambda matrix: matrix[0].T)
        return Form(lambda weight: weight[None], lambda matrix: matrix[0])
    shape, groups = _weight_shape(node), int_attribute(node, "group", 1)
    if layer.op == "Conv":
        return Form(
            lambda weight: weight.reshape(groups, shape[0] // groups, -1).transpose(0, 2, 1),
            lambda matrix: matrix.transpose(0, 2, 1).reshape(shape),
        )
    turn = (slice(None), slice(None), *[slice(None, None, -1)] * (len(shape) - 2))
    split = (groups, shape[0] // groups, shape[1], -1)

    def to_matrix(weight: Array) -> Array:
        taps = (
            weight[turn].reshape(split).transpose(0, 1, 3, 2)
        )  # (groups, inputs, kernel, outputs)
        return taps.reshape(groups, -1, shape[1])

    def to_tensor(matrix: Array) -> Array:
        taps = matrix.reshape(groups, shape[0] // groups, -1, shape[1]).transpose(0, 1, 3, 2)
        return taps.reshape(shape)[turn]

    return Form(to_matrix, to_tensor)


def kernel_size(layer: Layer) -> int:
    """How many rows of the regression's weights belong to one input channel."""
    return int(np.prod(layer.weight_shape[2:])) if layer.op in CONVOLUTIONS else 1


def _weight_shape(node: ir.Node) -> Shape:
    weight = node.inputs[1]
    assert weight is not None and weight.const_value is not None
    return tuple(int(dim) for dim in weight.const_value.shape.numpy())


def _taps(
    node: ir.Node, layer: Layer, wide: Shape, sizes: Shape, positions: Places
) -> tuple[Places, npt.NDArray[np.bool_]]:
    """Where in a plane of the input each tap reads, and where it reads the padding instead.

    Both are (kernel, positions), for positions in the output; `wide` is the size of the input.
    """
    kernel = _weight_shape(node)[2:]
    strides, dilations = (_ints(node, name, [1] * len(kernel)) for name in ("strides", "dilations"))
    spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    if layer.op == "Conv":
        steps, apart = strides, [1] * len(kernel)
        starts = _pads_before(node, wide, sizes, spans, strides)
    else:  # a convolution over its input with zeros between
        steps, apart = [1] * len(kernel), strides
        back = _pads_before(node, sizes, wide, spans, strides)
        starts = [span - 1 - pad for span, pad in zip(spans, back, strict=True)]
    read = np.zeros((1, len(positions)), dtype=np.int64)
    is_outside = np.zeros((1, len(positions)), dtype=bool)
    for axis, place in enumerate(np.unravel_index(positions, sizes)):
        taps = np.arange(kernel[axis]) * dilations[axis] - starts[axis]
        at, rest = np.divmod(place * steps[axis] + taps[:, None], apart[axis])
        outside = (at < 0) | (at >= wide[axis]) | (rest > 0)
        inside = np.clip(at, 0, wide[axis] - 1)
        read = (read[:, None] * wide[axis] + inside).reshape(-1, len(positions))
        is_outside = (is_outside[:, None] | outside).reshape(-1, len(positions))
    return read, is_outside


def _pads_before(
    node: ir.Node, sizes: Shape, places: Shape, spans: list[int], strides: list[int]
) -> list[int]:
    """Padding before the first element, of the wide side (`sizes`) of a convolution.

    `places` is the narrow side: what a convolution gives, and a transposed one takes.
    """
    rank = len(sizes)
    auto = node.attributes["auto_pad"].as_string() if "auto_pad" in node.attributes else "NOTSET"
    if auto == "VALID":
        return [0] * rank
    if auto == "NOTSET" and "output_shape" not in node.attributes:
        return _ints(node, "pads", [0] * 2 * rank)[:rank]
    extra = _ints(node, "output_padding", [0] * rank)
    total = [
        max((place - 1) * stride + span + more - size, 0)
        for size, place, span, stride, more in zip(
            sizes, places, spans, strides, extra, strict=True
        )
    ]
    upper = auto == "SAME_UPPER"
    return [each // 2 if upper else -(-each // 2) for each in total]


def _ints(node: ir.Node, name: str, default: list[int]) -> list[int]:
    return list(node.attributes[name].as_ints()) if name in node.attributes else default
