"""A layer as a linear regression: rows of inputs and of outputs, at sampled places.

A *place* of a convolution is a sample and a position in its output; of a matrix product, any index
but the last. The weights of a regression are (groups, inputs, outputs of a group), the inputs in
the order of channels, then of the kernel: an ordinary layer is one group, a depthwise one as many
as it filters. A transposed convolution is a convolution over its input with zeros between, its
kernel turned around.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from explorer.graph.operators import int_attribute, is_flag_set
from explorer.network import Layer, Shape

MOST_INPUTS = 4608  # of one output, as 512 channels under a 3x3 kernel; a solve is cubic in them
CONVOLUTIONS = ("Conv", "ConvTranspose")
BLOCK = 1024  # rows gathered at a time

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
    if layer.op in CONVOLUTIONS:
        output = np.moveaxis(output, 1, -1)
    leading = output.shape[:-1] or (1,)  # the product of a vector is one row
    where = np.unravel_index(places, leading)
    rows: Floats = output.reshape(*leading, -1)[where].astype(np.float32)
    return rows


def input_rows(
    node: ir.Node, layer: Layer, chunks: Sequence[tuple[Array, Places]], sizes: Shape
) -> Floats:
    """What enters a layer at some places of each chunk of data, (groups, rows, inputs).

    `sizes` are the spatial dimensions of a convolution's output.
    """
    if layer.op not in CONVOLUTIONS:
        flat = [data.reshape(-1, data.shape[-1])[places] for data, places in chunks]
        return np.concatenate(flat).astype(np.float32, copy=False)[None]
    groups = int_attribute(node, "group", 1)
    count = sum(len(places) for _, places in chunks)
    rows = np.empty((groups, count, _inputs(node, layer, groups)), dtype=np.float32)
    end = 0
    for data, places in chunks:
        framed, first, offsets = _patches(node, layer, data, sizes, places)
        framed = framed.astype(np.float32, copy=False)
        for begin in range(0, len(places), BLOCK):
            block = first[begin : begin + BLOCK, None]
            start, end = end, end + len(block)
            for group, own in enumerate(offsets.reshape(groups, -1)):
                # All places lie within; any other mode would fill a buffer first.
                framed.take(block + own, out=rows[group, start:end], mode="clip")
    return rows


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


def _inputs(node: ir.Node, layer: Layer, groups: int) -> int:
    """How many elements of a convolution's input go into one of its outputs."""
    shape = _weight_shape(node)
    size = int(np.prod(shape))
    return size // shape[0] if layer.op == "Conv" else size // shape[1] // groups


def _weight_shape(node: ir.Node) -> Shape:
    weight = node.inputs[1]
    assert weight is not None and weight.const_value is not None
    return tuple(int(dim) for dim in weight.const_value.shape.numpy())


def _patches(
    node: ir.Node, layer: Layer, data: Array, sizes: Shape, places: Places
) -> tuple[Array, Places, Places]:
    """The data with its padding, flat; where the patch of each place begins, and what is in one.

    The offsets within a patch are in the order (channels, *kernel).
    """
    kernel = _weight_shape(node)[2:]
    rank = len(kernel)
    strides = _ints(node, "strides", [1] * rank)
    dilations = _ints(node, "dilations", [1] * rank)
    spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    if layer.op == "Conv":
        starts = _pads_before(node, data.shape[2:], sizes, spans, strides)
    else:
        back = _pads_before(node, sizes, data.shape[2:], spans, strides)
        data = _spread_out(data, strides)
        starts = [span - 1 - pad for span, pad in zip(spans, back, strict=True)]
        strides = [1] * rank
    lengths = [(n - 1) * s + span for n, s, span in zip(sizes, strides, spans, strict=True)]
    framed = _framed(data, starts, lengths)
    apart = [step // framed.itemsize for step in framed.strides]  # elements, along each axis
    sample, *place = np.unravel_index(places, (len(data), *sizes))
    first = sample * apart[0]
    for index, stride, step in zip(place, strides, apart[2:], strict=True):
        first = first + index * (stride * step)
    offsets = np.arange(framed.shape[1]) * apart[1]
    for size, dilation, step in zip(kernel, dilations, apart[2:], strict=True):
        offsets = offsets[..., None] + np.arange(size) * (dilation * step)
    return framed.reshape(-1), first, offsets.reshape(-1)


def _spread_out(data: Array, strides: list[int]) -> Array:
    """The data with `stride - 1` zeros between neighbours."""
    sizes = [(n - 1) * s + 1 for n, s in zip(data.shape[2:], strides, strict=True)]
    wide = np.zeros((*data.shape[:2], *sizes), dtype=data.dtype)
    wide[(slice(None), slice(None), *[slice(None, None, s) for s in strides])] = data
    return wide


def _framed(data: Array, starts: list[int], lengths: list[int]) -> Array:
    """`lengths` of the data from `starts` before its beginning, zeros where there is none."""
    wide = np.zeros((*data.shape[:2], *lengths), dtype=data.dtype)
    taken, put = [slice(None), slice(None)], [slice(None), slice(None)]
    for size, start, length in zip(data.shape[2:], starts, lengths, strict=True):
        first = max(0, -start)
        last = max(first, min(size, length - start))
        taken.append(slice(first, last))
        put.append(slice(first + start, last + start))
    wide[tuple(put)] = data[tuple(taken)]
    return wide


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
