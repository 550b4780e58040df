"""Masks by magnitude and rounding to nearest, in a few lines of numpy, without any samples.

A weight is (outputs, inputs, ...) here, whichever way round the graph has it; an embedding is
(words, features).
"""

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from benchmarks.quality.samples import Sample, accuracy_of
from benchmarks.quality.values import Outcome, Setting

Floats = npt.NDArray[np.floating]
Weights = dict[str, Floats]
WEIGHTED = ("Conv", "Gemm", "MatMul", "Gather")
GROUP = 4  # neighbours, of which 2 stay


def plain(sample: Sample, setting: Setting, seed: int) -> Outcome | None:
    """Masks and rounded weights; nothing for channels and activations."""
    if setting.macs_removed or setting.activation_bits < 32:
        return None
    after = change(sample.proto, setting)
    share = share_of_zeros(after) if setting.masks else None
    return Outcome(accuracy_of(with_weights(sample.proto, after), sample), share)


def change(model: onnx.ModelProto, setting: Setting) -> Weights:
    """New weights of a graph, as masked and as rounded as the setting says.

    2:4 is for matrix products, so embeddings, of which single rows are read, are left out there.
    """
    weights = read_weights(model)
    if setting.zeros:
        weights = mask_smallest(weights, setting.zeros)
    if setting.two_of_four:
        read_rows = {node.input[0] for node in model.graph.node if node.op_type == "Gather"}
        products = {name: w for name, w in weights.items() if name not in read_rows}
        weights |= {name: mask_two_of_four(weight) for name, weight in products.items()}
    if setting.weight_bits < 32:
        weights = {name: round_rows(w, setting.weight_bits) for name, w in weights.items()}
    return weights


def mask_smallest(weights: Weights, share: float) -> Weights:
    """The smallest of all weights become zero, by one threshold for all tensors.

    >>> mask_smallest({"a": np.array([1.0, -4.0]), "b": np.array([3.0, 2.0])}, 0.5)
    {'a': array([ 0., -4.]), 'b': array([3., 0.])}
    """
    magnitudes = np.concatenate([np.abs(weight).ravel() for weight in weights.values()])
    removed = round(share * magnitudes.size)
    if removed == 0:
        return weights
    threshold = np.partition(magnitudes, removed - 1)[removed - 1]
    return {n: np.where(np.abs(w) > threshold, w, 0).astype(w.dtype) for n, w in weights.items()}


def mask_two_of_four(weight: Floats) -> Floats:
    """The two smallest of four neighbours along axis 1 become zero.

    A weight whose inputs can't be divided by four stays as it is.
    """
    if weight.shape[1] % GROUP:
        return weight
    moved = np.moveaxis(weight, 1, -1)
    groups = moved.reshape(-1, GROUP).copy()
    smallest = np.argsort(np.abs(groups), axis=1, kind="stable")[:, : GROUP // 2]
    np.put_along_axis(groups, smallest, 0, axis=1)
    return np.moveaxis(groups.reshape(moved.shape), -1, 1)


def round_rows(weight: Floats, bits: int) -> Floats:
    """Rounded to nearest on a symmetric grid whose end is the largest magnitude of each row."""
    most = 2 ** (bits - 1) - 1
    rows = weight.reshape(len(weight), -1)
    scale = np.abs(rows).max(axis=1, keepdims=True) / most
    scale[scale == 0] = 1
    found: Floats = (np.rint(rows / scale) * scale).astype(weight.dtype).reshape(weight.shape)
    return found


def share_of_zeros(weights: Weights) -> float:
    """How many of all weights are zero, in [0, 1]."""
    zeros = sum(int((weight == 0).sum()) for weight in weights.values())
    return zeros / sum(weight.size for weight in weights.values())


def read_weights(model: onnx.ModelProto) -> Weights:
    """The weights of all layers by the names of their tensors, in the order in which they run."""
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    arrays = {name: numpy_helper.to_array(tensors[name]) for name in turned_weights(model)}
    return {name: a.T if turned_weights(model)[name] else a for name, a in arrays.items()}


def with_weights(model: onnx.ModelProto, weights: Weights) -> onnx.ModelProto:
    """A copy of a graph with other weights of the same shapes."""
    copy: onnx.ModelProto = onnx.ModelProto.FromString(model.SerializeToString())
    turned = turned_weights(model)
    for tensor in copy.graph.initializer:
        if tensor.name in weights:
            array = weights[tensor.name].T if turned[tensor.name] else weights[tensor.name]
            tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(array), tensor.name))
    return copy


def turned_weights(model: onnx.ModelProto) -> dict[str, bool]:
    """The names of the weights, and whether their outputs lie on the second of two axes."""
    floats = {
        tensor.name
        for tensor in model.graph.initializer
        if tensor.data_type == onnx.TensorProto.FLOAT and len(tensor.dims) > 1
    }
    found: dict[str, bool] = {}
    for node in model.graph.node:
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        position = 0 if node.op_type == "Gather" else 1
        if node.op_type in WEIGHTED and node.input[position] in floats:
            turned = node.op_type == "MatMul" or (
                node.op_type == "Gemm" and not attributes.get("transB")
            )
            found[node.input[position]] = turned
    return found
