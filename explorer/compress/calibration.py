"""One pass over unlabelled samples: how large each activation gets."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir

from explorer.compress.storage import activation_points
from explorer.formats.data import Dataset, load_data
from explorer.formats.onnx_file import encode
from explorer.measure.runtime import new_session, run
from explorer.model import Model

MAX_SAMPLES = 512
BATCH = 32  # samples a call; bounds the memory that all activations together take

Ranges = dict[str, tuple[float, float]]
Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Calibration:
    """Samples without labels, and the range of each activation of the original on them.

    `ranges`: smallest and largest value by tensor name.
    """

    model_id: str
    samples: Dataset = field(repr=False)
    ranges: Ranges = field(repr=False)


def calibrate(
    model: Model, data: object, progress: Progress = lambda done, total: None
) -> Calibration:
    """Run up to 512 samples through a model; labels are not looked at.

    `progress` is called with the samples done and to do.

    Raises:
        DataError: the samples don't fit the model.
        MeasurementError: the runtime can't run the model.
    """
    samples = load_data(data, model).head(MAX_SAMPLES)  # type: ignore[arg-type]
    key = ("calibration", samples.id)
    if key not in model._cache:
        model._cache[key] = Calibration(model.id, samples, find_ranges(model, samples, progress))
    calibration: Calibration = model._cache[key]
    return calibration


def find_ranges(
    model: Model, samples: Dataset, progress: Progress = lambda done, total: None
) -> Ranges:
    """Smallest and largest value of every activation that can be rounded, over all samples."""
    names = activation_points(model)
    if not names:
        return {}
    watched = _watching(model, names)
    session = new_session(watched, threads=2)
    low = np.full(len(names), np.inf)
    high = np.full(len(names), -np.inf)
    done = 0
    for feed in samples.batches(model, BATCH):
        outputs = run(watched, session, feed)
        low = np.minimum(low, [float(output.min()) for output in outputs])
        high = np.maximum(high, [float(output.max()) for output in outputs])
        done = min(len(samples), done + BATCH)
        progress(done, len(samples))
    return {n: (float(a), float(b)) for n, a, b in zip(names, low, high, strict=True)}


def _watching(model: Model, names: tuple[str, ...]) -> Model:
    """The model with the named activations as its only outputs."""
    graph_model = model.graph_model.clone()
    graph = graph_model.graph
    values = {value.name: value for node in graph for value in node.outputs}
    values.update({value.name: value for value in graph.inputs})
    graph.outputs.clear()
    for name in names:
        value = values[name]
        if value.is_graph_input():  # an output needs a name of its own
            node = ir.node("Identity", [value], name=f"{name}/watched")
            node.outputs[0].name = f"{name}/watched"
            node.outputs[0].type = value.type
            graph.append(node)
            value = node.outputs[0]
        graph.outputs.append(value)
    return encode(graph_model, model.name)
