"""How the weights of a layer are distributed, before and after."""

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
from onnx import helper

from explorer.errors import MeasurementError
from explorer.graph.layers import find_all_layers
from explorer.graph.quantized import FLOAT_SOURCES
from explorer.measure.runtime import FAILURES, QUIET
from explorer.model import Model
from explorer.names import cleaned

BINS = 61  # an odd number, so that one of them has zero in its middle
MOST_LEVELS = 512  # more different values than these aren't told apart


def weight_values(model: Model, layer: str) -> npt.NDArray[np.float64] | None:
    """The weights of a layer as they are multiplied with, widened to floats.

    None where there is no such layer, or nothing that turns its integers into floats.

    Raises:
        MeasurementError: the runtime can't unpack them.
    """
    names = {found.name: found.weight for found in find_all_layers(model)}
    stored = model.graph_model.graph.initializers.get(names.get(layer, ""))
    if stored is None or stored.const_value is None:
        return None
    for usage in stored.uses():
        if usage.node.op_type in FLOAT_SOURCES:
            return _unpacked(model, str(usage.node.outputs[0].name), layer)
    if stored.const_value.dtype.is_floating_point():
        return stored.const_value.numpy().astype(np.float64).ravel()
    return None


def _unpacked(model: Model, value: str, layer: str) -> npt.NDArray[np.float64] | None:
    """What the runtime makes of the node behind a value, where it takes constants alone."""
    whole = onnx.load_from_string(model.data)
    (node,) = [node for node in whole.graph.node if value in node.output]
    constants = [each for each in whole.graph.initializer if each.name in node.input]
    if {each.name for each in constants} != {name for name in node.input if name}:
        return None
    output = helper.make_empty_tensor_value_info(value)
    graph = helper.make_graph([node], "weights", [], [output], constants)
    part = helper.make_model(graph, opset_imports=whole.opset_import, ir_version=whole.ir_version)
    options = ort.SessionOptions()
    options.log_severity_level = QUIET
    try:
        session = ort.InferenceSession(
            part.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        (found,) = session.run(None, {})
    except FAILURES as error:
        raise MeasurementError(f"The weights of {cleaned(layer)} can't be unpacked.") from error
    return np.asarray(found, np.float64).ravel()


def histograms(original: Model, small: Model, layer: str) -> dict[str, Any] | None:
    """Both distributions over the same `edges`: counts, zeros and how many different values.

    None where the weights of either aren't constant.

    Raises:
        MeasurementError: the runtime can't unpack them.
    """
    both = [weight_values(model, layer) for model in (original, small)]
    if any(values is None or not values.size for values in both):
        return None
    largest = max(float(np.abs(values).max()) for values in both if values is not None) or 1.0
    edges = np.linspace(-largest, largest, BINS + 1)
    return {
        "edges": edges.tolist(),
        "before": _told(both[0], edges),
        "after": _told(both[1], edges),
    }


def _told(values: npt.NDArray[np.float64] | None, edges: npt.NDArray[np.float64]) -> dict[str, Any]:
    assert values is not None
    levels = np.unique(values)
    return {
        "counts": np.histogram(values, edges)[0].tolist(),
        "weights": int(values.size),
        "zeros": int((values == 0).sum()),
        "levels": int(levels.size) if levels.size <= MOST_LEVELS else None,
    }
