"""One pass over unlabelled samples, from which every method works.

The original runs once. What stays of it, however large its feature maps: for each layer what it
gives at sampled places, and the Gram matrix of what enters it there; for each activation that can
be rounded, its range. The places are drawn once, so that the compressed network can be compared
with the original at the same ones.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import onnx_ir as ir

from explorer.compress.blas_threads import with_fitting_threads
from explorer.compress.blends import blend
from explorer.compress.cholesky import Matrix
from explorer.compress.estimate import data_of
from explorer.compress.ranges import Spread
from explorer.compress.regression import precision
from explorer.compress.rows import Array, Floats, Places, input_rows, output_rows
from explorer.compress.solutions import Memory
from explorer.compress.storage import activation_points
from explorer.compress.targets import Target, find_targets
from explorer.errors import CompressionError
from explorer.formats.data import Dataset, fixed_batch, load_data
from explorer.graph.layers import find_layers, find_nodes
from explorer.graph.shapes import element_count, infer_shapes
from explorer.measure.runtime import SCORING_THREADS, new_session, run
from explorer.model import Model, encode
from explorer.network import Layer, Shape

MAX_SAMPLES = 512
MOST_HELD_OUT, FEWEST_HELD_OUT, SHARE_HELD_OUT = 32, 4, 8
MOST_ROWS = 8192  # places of a layer, spread over all samples
FEWEST_ROWS = 3072
ROWS_OF_INPUT = 24  # places for each number that enters an output
SMALL_NETWORK = 2**20  # weights, up to which every layer gets most rows, and blends run too
OUTPUT_BYTES = 2**29  # for what all layers give at their places
GRAM_BYTES = 2**31  # for the Gram matrices of all layers
CHUNK = 64  # samples a call
CHUNK_BYTES = 2**28  # for all that is looked at in one call
LARGEST_BYTES = 2**29  # for one activation of all samples
FEWEST_SAMPLES = 4
BUFFERED_ROWS = 1024

Ranges = dict[str, tuple[float, float]]
Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class LayerStatistics:
    """What the original's samples say about a layer.

    `places` of each chunk of samples, in spatial dimensions `sizes`; `outputs`: what the layer's
    target is there, (n, outputs), of which `others` is what later nodes add; `gram`: the second
    moment of its centred inputs, (groups, inputs, inputs), and `mean` their mean, (groups, inputs).
    """

    places: tuple[Places, ...] = field(repr=False)
    sizes: Shape
    outputs: Floats = field(repr=False)
    others: Floats = field(repr=False)
    gram: Matrix = field(repr=False)
    mean: Matrix = field(repr=False)

    @property
    def is_finite(self) -> bool:
        """False where the network's numbers overflow, so that nothing can be solved."""
        return bool(np.isfinite(self.gram).all() and np.isfinite(self.outputs).all())

    @property
    def energy(self) -> float:
        """Variance of the target, summed over its channels."""
        return float(self.outputs.var(axis=0, dtype=np.float64).sum())


@dataclass(frozen=True, eq=False)
class Calibration:
    """Samples without labels, and what the original does with them.

    `held_out` are some of those given that nothing is fitted to; None where there are too few.

    `ranges`: smallest and largest value by tensor name, of all samples. `spreads`: a sample of each
    activation's values. `layers`: statistics by layer name, of the `fitted` samples, which run in
    chunks of `chunk`: the first of those given, and blends of them.
    """

    model_id: str
    samples: Dataset = field(repr=False)
    spreads: dict[str, Spread] = field(repr=False)
    layers: dict[str, LayerStatistics] = field(repr=False)
    fitted: tuple[Dataset, ...] = field(repr=False)
    chunk: int
    held_out: Dataset | None = field(default=None, repr=False)
    memory: Memory = field(default_factory=Memory, repr=False)

    @property
    def ranges(self) -> Ranges:
        """Smallest and largest value of each activation that can be rounded."""
        return {name: (spread.low, spread.high) for name, spread in self.spreads.items()}


@with_fitting_threads
def calibrate(
    model: Model, data: object, progress: Progress = lambda done, total: None
) -> Calibration:
    """Run up to 512 samples through a model; labels are not looked at.

    Every eighth of them, at most 32, is held out, to see whether a fit helps.

    Blends of them run too, see `blends`. `progress` is called with what is done and to do of both,
    and may raise to stop the work. The same samples are run once; the model remembers.

    Raises:
        DataError: the samples don't fit the model.
        MeasurementError: the runtime can't run the model.
    """
    samples = load_data(data, model).head(MAX_SAMPLES)  # type: ignore[arg-type]
    key = ("calibration", samples.id)
    if key not in model.cache:
        rest, held_out = _split(samples)
        found = calibrate_on(model, rest, progress=progress)
        model.cache[key] = replace(found, held_out=held_out)
    calibration: Calibration = model.cache[key]
    model.cache["newest_calibration"] = calibration
    return calibration


def _split(samples: Dataset) -> tuple[Dataset, Dataset | None]:
    """The samples to fit to, and those held out: every eighth, at most 32, none of a few."""
    held = min(MOST_HELD_OUT, len(samples) // SHARE_HELD_OUT)
    if held < FEWEST_HELD_OUT:
        return samples, None
    places = np.linspace(0, len(samples) - 1, held).astype(np.int64)
    rest = np.setdiff1d(np.arange(len(samples)), places)
    return samples.part(rest, "fitted"), samples.part(places, "held out")


def newest_calibration(model: Model) -> Calibration | None:
    """The last calibration of a model, if there was one."""
    found: Calibration | None = model.cache.get("newest_calibration")
    return found


def check_calibration(model: Model, calibration: Calibration | None) -> None:
    """Refuse what was found out about another model.

    Raises:
        CompressionError: it was.
    """
    if calibration is not None and calibration.model_id != model.id:
        raise CompressionError("The calibration was made for another model; calibrate this one.")


def calibrate_on(
    model: Model,
    samples: Dataset,
    rows: int = MOST_ROWS,
    progress: Progress = lambda done, total: None,
) -> Calibration:
    """A calibration of all samples given, with `rows` places of each layer."""
    targets = find_targets(model)
    points = activation_points(model)
    nodes, entering = find_nodes(model), data_of(model)
    layers = [layer for layer in find_layers(model) if layer.name in targets]
    read = [entering[layer.name] for layer in layers]
    given = [name for target in targets.values() for name in (target.tensor, *target.later)]
    watched = list(dict.fromkeys([*points, *read, *given]))
    chunk = fixed_batch(model) or _chunk(model, watched)
    fitted = _fitted_samples(model, samples, chunk)
    chunks = sum(-(-len(part) // chunk) for part in fitted)
    places = _rows_of_chunk(layers, chunks, rows)
    spreads = {name: Spread() for name in points}
    gathered = {
        layer.name: _Gathered(nodes[layer.node], layer, targets[layer.name], places[layer.name])
        for layer in _affordable(layers)
    }
    rng, done = np.random.default_rng(0), 0
    own, *blends = fitted
    total = len(samples) + sum(map(len, blends))

    def gather(values: dict[str, Array]) -> None:
        with np.errstate(over="ignore", invalid="ignore"):  # such a layer is left out below
            for name, each in gathered.items():
                each.add(values[entering[name]], values, rng)

    watching = _Watching(model, watched)
    for values in watching.run(samples, chunk):
        for name, spread in spreads.items():
            spread.add(values[name])
        if done < len(own):
            gather(values)
        done = min(len(samples), done + chunk)
        progress(done, total)
    for blended in blends:
        for values in watching.run(blended, chunk):
            gather(values)
            done = min(total, done + chunk)
            progress(done, total)
    with np.errstate(over="ignore", invalid="ignore"):
        finished = {name: each.finish() for name, each in gathered.items()}
    statistics = {name: each for name, each in finished.items() if each.is_finite}
    return Calibration(model.id, samples, spreads, statistics, fitted, chunk)


class _Gathered:
    """The statistics of one layer, chunk after chunk."""

    def __init__(self, node: ir.Node, layer: Layer, target: Target, rows: int) -> None:
        self.node, self.layer, self.target, self.rows = node, layer, target, rows
        self.sizes: Shape = ()
        self.places: list[Places] = []
        self.outputs: list[Floats] = []
        self.others: list[Floats] = []
        self.buffer: list[Floats] = []
        self.shift: Any = None  # near the mean, so that little is lost by centring at the end
        self.total: Any = 0.0
        self.square: Any = 0.0

    def add(self, data: Array, values: dict[str, Array], rng: np.random.Generator) -> None:
        """Take places of a chunk, `data` being what enters the layer."""
        output = values[self.target.tensor]
        self.sizes = output.shape[2:]
        count = output.size // self.layer.channels
        picked = np.arange(count)
        if count > self.rows:
            picked = np.sort(rng.choice(count, self.rows, replace=False))
        self.places.append(picked)
        self.outputs.append(output_rows(self.layer, output, picked))
        added = [output_rows(self.layer, values[name], picked) for name in self.target.later]
        if added:
            self.others.append(np.sum(added, axis=0))
        self.buffer.append(input_rows(self.node, self.layer, [(data, picked)], self.sizes))
        if sum(rows.shape[2] for rows in self.buffer) >= BUFFERED_ROWS:
            self._add_up()

    def _add_up(self) -> None:
        rows = np.concatenate(self.buffer, axis=2)
        if self.shift is None:
            self.shift = rows.mean(axis=2, keepdims=True)
        rows -= self.shift
        self.buffer = []
        kind = precision(rows.shape[1])
        self.total = self.total + rows.sum(axis=2).astype(np.float64)
        self.square = self.square + (rows @ rows.transpose(0, 2, 1)).astype(kind)

    def finish(self) -> LayerStatistics:
        """What was gathered."""
        if self.buffer:
            self._add_up()
        outputs = np.concatenate(self.outputs)
        mean = self.total / len(outputs)
        gram = self.square / len(outputs) - mean[:, :, None] * mean[:, None, :]
        gram = gram.astype(self.square.dtype)
        nothing = np.zeros((1, outputs.shape[1]), dtype=np.float32)
        others = np.concatenate(self.others) if self.others else nothing
        mean = mean + self.shift[:, :, 0]
        return LayerStatistics(tuple(self.places), self.sizes, outputs, others, gram, mean)


def _affordable(layers: list[Layer]) -> list[Layer]:
    """The layers whose Gram matrices fit into the budget, in graph order."""
    left, chosen = GRAM_BYTES, []
    for layer in layers:
        inputs = layer.weights // layer.channels
        left -= precision(inputs)().itemsize * inputs**2
        if left >= 0:
            chosen.append(layer)
    return chosen


def _fitted_samples(model: Model, samples: Dataset, chunk: int) -> tuple[Dataset, ...]:
    """The samples that layers are fitted to: as many as a walk may hold at once, in whole chunks.

    Blends come where there is room for more than all samples and the network is small: one of
    millions of weights gains next to nothing from them, and takes twice the time.
    """
    dims = infer_shapes(model).dims
    activations = [
        dims[str(v.name)] for n in model.graph_model.graph for v in n.outputs if v.name in dims
    ]
    batch = fixed_batch(model) or 1
    largest = max((element_count(shape) for shape in activations), default=1) / batch
    room = max(FEWEST_SAMPLES, int(LARGEST_BYTES // (4 * max(largest, 1))), chunk) // chunk * chunk
    is_small = _weights(find_layers(model)) <= SMALL_NETWORK
    blends = blend(model, samples, room - len(samples)) if is_small else None
    return (samples.head(room),) if blends is None else (samples, blends)


def _weights(layers: Iterable[Layer]) -> int:
    return sum(layer.weights for layer in layers)


def _chunk(model: Model, watched: list[str]) -> int:
    dims = infer_shapes(model).dims
    floats = sum(element_count(dims[name]) for name in watched if name in dims)
    return max(1, min(CHUNK, CHUNK_BYTES // (4 * max(floats, 1))))


def _rows_of_chunk(layers: list[Layer], chunks: int, rows: int) -> dict[str, int]:
    """Places of each layer in each chunk: more where more numbers enter an output."""
    channels = sum(layer.channels for layer in layers)
    most = min(rows, OUTPUT_BYTES // (4 * max(channels, 1)))
    fewest = MOST_ROWS if _weights(layers) <= SMALL_NETWORK else FEWEST_ROWS
    wanted = {
        layer.name: max(fewest, ROWS_OF_INPUT * layer.weights // layer.channels) for layer in layers
    }
    return {name: max(1, -(-min(most, count) // chunks)) for name, count in wanted.items()}


def find_spreads(model: Model, samples: Dataset) -> dict[str, Spread]:
    """The spread of each activation of a model that can be rounded."""
    points = activation_points(model)
    spreads = {name: Spread() for name in points}
    for values in _Watching(model, list(points)).run(samples, _chunk(model, list(points))):
        for name, spread in spreads.items():
            spread.add(values[name])
    return spreads


class _Watching:
    """A model, watched while samples run through it."""

    def __init__(self, model: Model, names: list[str]) -> None:
        self.model, self.names = model, names
        if names:
            self._watched = _watching(model, names)
            self._session = new_session(self._watched, SCORING_THREADS)

    def run(self, samples: Dataset, chunk: int) -> Iterator[dict[str, Array]]:
        """The named activations, chunk by chunk; nothing runs where none is named."""
        if not self.names:
            return
        for feed in samples.batches(self.model, chunk):
            values = run(self._watched, self._session, feed)
            yield dict(zip(self.names, values, strict=True))


def _watching(model: Model, names: list[str]) -> Model:
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
