"""A layer as a linear regression: rows of inputs and of outputs, at sampled positions.

A *position* of a convolution is a sample and a place in its output; of a matrix product, any index
but the last. The weights of a regression are (channels, inputs, outputs of a channel): an ordinary
layer is one channel, a depthwise one as many as it filters.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from explorer.graph.operators import int_attribute, is_flag_set
from explorer.model import Layer

MOST_ROWS = 4096  # positions, spread over all samples
MOST_INPUTS = 4608  # of one output, as 512 channels under a 3x3 kernel; a solve is cubic in them
BUDGET_BYTES = 2**26  # for the inputs of one layer

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float32]
Positions = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Form:
    """How a node's weight becomes the weights of a regression, and back."""

    to_matrix: Callable[[Array], Floats]
    to_tensor: Callable[[Array], Array]


def is_regression(node: ir.Node, layer: Layer) -> bool:
    """True for layers whose output is a linear function of not too long rows of their input."""
    if layer.weights // layer.channels > MOST_INPUTS:
        return False
    if layer.op == "Conv":
        return layer.depthwise or int_attribute(node, "group", 1) == 1
    factors = [
        node.attributes[name].as_float() for name in ("alpha", "beta") if name in node.attributes
    ]
    return layer.op in ("Gemm", "MatMul") and not (
        is_flag_set(node, "transA") or any(factor != 1 for factor in factors)
    )


def pick_positions(layer: Layer, output: Array, rng: np.random.Generator) -> Positions:
    """Random positions of a layer's output, ascending; no more than the budget allows."""
    count = output.size // layer.channels
    inputs = layer.weights // layer.channels * (layer.channels if layer.depthwise else 1)
    most = max(1, min(MOST_ROWS, BUDGET_BYTES // (4 * inputs)))
    if count <= most:
        return np.arange(count)
    return np.sort(rng.choice(count, most, replace=False))


def output_rows(layer: Layer, output: Array, positions: Positions) -> Floats:
    """What a layer gives at some positions, (rows, outputs)."""
    if layer.op == "Conv":
        output = np.moveaxis(output, 1, -1)
    places = np.unravel_index(positions, output.shape[:-1])
    rows: Floats = output[places].astype(np.float32)
    return rows


def input_rows(node: ir.Node, layer: Layer, data: Array, positions: Positions) -> Floats:
    """What enters a layer at some positions, (channels, rows, inputs)."""
    if layer.op != "Conv":
        flat = data.reshape(-1, data.shape[-1])[positions]
        return flat.astype(np.float32)[None]
    kernel = _weight_shape(node)[2:]
    patches = _windows(node, data, kernel)  # (samples, channels, *places, *kernel)
    rank = len(kernel)
    shape = (len(data), *patches.shape[2 : 2 + rank])
    sample, *place = np.unravel_index(positions, shape)
    where: tuple[Any, ...] = (sample, slice(None), *place)
    picked = patches[where]  # (rows, channels, *kernel)
    channels = int_attribute(node, "group", 1)
    rows = picked.reshape(len(positions), channels, -1).astype(np.float32)
    return np.ascontiguousarray(rows.transpose(1, 0, 2))


def form_of(node: ir.Node, layer: Layer) -> Form:
    """The form of a node's weight."""
    if layer.op != "Conv":
        if layer.in_axis == 1:
            return Form(
                lambda weight: weight.T.astype(np.float32)[None], lambda matrix: matrix[0].T
            )
        return Form(lambda weight: weight.astype(np.float32)[None], lambda matrix: matrix[0])
    shape, channels = _weight_shape(node), int_attribute(node, "group", 1)

    def to_matrix(weight: Array) -> Floats:
        split = weight.reshape(channels, shape[0] // channels, -1)
        return split.transpose(0, 2, 1).astype(np.float32)

    return Form(to_matrix, lambda matrix: matrix.transpose(0, 2, 1).reshape(shape))


def predict(rows: Floats, matrix: Array) -> Floats:
    """Outputs without the bias, (rows, outputs)."""
    product = rows @ matrix  # (channels, rows, outputs of a channel)
    outputs: Floats = product.transpose(1, 0, 2).reshape(rows.shape[1], -1)
    return outputs


def _weight_shape(node: ir.Node) -> tuple[int, ...]:
    weight = node.inputs[1]
    assert weight is not None and weight.const_value is not None
    return tuple(int(dim) for dim in weight.const_value.shape.numpy())


def _windows(node: ir.Node, data: Array, kernel: tuple[int, ...]) -> Array:
    """A view of all patches under the kernel: (samples, channels, *places, *kernel)."""
    rank = len(kernel)
    strides = _ints(node, "strides", [1] * rank)
    dilations = _ints(node, "dilations", [1] * rank)
    spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    pads = _pads(node, data.shape[2:], spans, strides)
    padded = np.pad(data, [(0, 0), (0, 0), *pads])
    axes = tuple(range(2, 2 + rank))
    view = np.lib.stride_tricks.sliding_window_view(padded, tuple(spans), axis=axes)
    steps = [slice(None, None, s) for s in strides] + [slice(None, None, d) for d in dilations]
    return view[(slice(None), slice(None), *steps)]


def _pads(
    node: ir.Node, sizes: tuple[int, ...], spans: list[int], strides: list[int]
) -> list[tuple[int, int]]:
    rank = len(sizes)
    auto = node.attributes["auto_pad"].as_string() if "auto_pad" in node.attributes else "NOTSET"
    if not auto.startswith("SAME"):
        pads = _ints(node, "pads", [0] * 2 * rank) if auto == "NOTSET" else [0] * 2 * rank
        return list(zip(pads[:rank], pads[rank:], strict=True))
    total = [
        max((-(-size // stride) - 1) * stride + span - size, 0)
        for size, span, stride in zip(sizes, spans, strides, strict=True)
    ]
    before = [extra // 2 if auto == "SAME_UPPER" else -(-extra // 2) for extra in total]
    return [(first, extra - first) for first, extra in zip(before, total, strict=True)]


def _ints(node: ir.Node, name: str, default: list[int]) -> list[int]:
    return list(node.attributes[name].as_ints()) if name in node.attributes else default
