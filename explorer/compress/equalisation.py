"""Equalising the channels between two layers, so that one range serves a rounded activation.

An 8-bit activation has one range for all channels: small ones are left with a few levels. Where
only channelwise operators f with f(s y) = s f(y) for s > 0 stand between a layer and the only one
that reads it, the network stays the same if each channel is divided by s in the first layer and
multiplied by s in the second one's weights (Nagel et al., arXiv 1906.04721). With r the largest
magnitude that a channel reaches and w the largest weight that reads it,

    s = sqrt(r / w)

leaves both at sqrt(r w), but for a factor that all channels share, neither the activation nor the
weights being hard to round (Xiao et al., arXiv 2211.10438, equation 4, with a migration strength of
a half). Masks that go by the size of weights go by those of the original.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from explorer.compress.calibration import Calibration, LayerStatistics
from explorer.compress.planned import removed_channels, rounded_activations
from explorer.compress.prune import array_of, replace_array
from explorer.compress.ranges import LEVELS
from explorer.compress.rows import CONVOLUTIONS, Array, Form, form_of, kernel_size
from explorer.compress.targets import find_targets
from explorer.graph.layers import find_layers
from explorer.graph.operators import is_standard
from explorer.model import Model
from explorer.network import Layer, per_model
from explorer.report import Plan
from explorer.storage_types import INT8

POOLS = frozenset({"AveragePool", "GlobalAveragePool", "MaxPool"})  # channelwise along axis 1
LEAK = 0.01  # LeakyRelu's default slope below zero
# Least ratio of the expected squared errors before and after from which a pair is scaled: one bit.
# With the channels of the convolutional samples scaled apart by exp(sigma z), z normal, the ratios
# are mostly 1 to 3 for sigma up to 0.25, and the measured error changes by a factor of 0.8 to 1.1;
# from 4 to 8 for 0.5, where it falls by a factor of 1.3 to 1.8; above 10 for 0.75 (2.6 to 4.5).
GAIN = 4.0
WEAKEST = 2.0**-4  # of the average r w, that each channel is taken to have at least
# Rows from which the largest magnitude of a channel is close to that on other samples: scaled
# channels have no headroom. With 36 rows of 64 channels, 49 of them silent, outputs got 5 dB worse.
FEWEST_ROWS = 256
LIMIT = 2.0**10  # of s and 1/s, relative to their geometric mean
INTEGER_BITS = INT8.bits  # and fewer; weights of more are floats, with no error to speak of

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Pair:
    """Two layers by name; `between` are the activations from the one to the other.

    `slope` is what is left of numbers below zero behind the operators between them.
    """

    layer: str
    reader: str
    between: tuple[str, ...]
    slope: float


@dataclass(frozen=True, eq=False)
class Scaled:
    """What a pair was scaled by: `factors` (channels,) divide what `layer` gives.

    `weights` names the weights of both layers, the divided and the multiplied.
    """

    layer: str
    weights: tuple[str, str]
    factors: Floats


@per_model
def find_pairs(model: Model) -> tuple[Pair, ...]:
    """All pairs between which scales can move, in graph order."""
    layers = {layer.node: layer for layer in find_layers(model)}
    values = {str(v.name): v for node in model.graph_model.graph for v in node.outputs}
    targets = find_targets(model)
    found = []
    for layer in layers.values():
        target = targets.get(layer.name)
        if target is not None and not (target.addends or target.later):
            pair = _follow(layer, values[target.tensor], layers)
            if pair is not None and pair.reader in targets:
                found.append(pair)
    return tuple(found)


def _follow(layer: Layer, value: ir.Value, layers: dict[str, Layer]) -> Pair | None:
    """Follow what a layer gives to its only reader."""
    between, slope = [str(value.name)], 1.0
    while len(value.uses()) == 1 and not value.is_graph_output():
        node, place = next(iter(value.uses()))
        reader = layers.get(str(node.name))
        if reader is not None:
            alike = (reader.op in CONVOLUTIONS) == (layer.op in CONVOLUTIONS)
            is_data = place == 0 and alike
            return Pair(layer.name, reader.name, tuple(between), slope) if is_data else None
        if not is_standard(node):
            return None
        if node.op_type == "Relu":
            slope = 0.0
        elif node.op_type == "LeakyRelu":
            alpha = node.attributes.get("alpha")
            slope *= LEAK if alpha is None else abs(alpha.as_float())
        elif node.op_type != "Identity" and not (
            node.op_type in POOLS and layer.op in CONVOLUTIONS
        ):
            return None
        value = node.outputs[0]
        between.append(str(value.name))
    return None


def equalise(
    model: Model, plan: Plan, graph_model: ir.Model, calibration: Calibration
) -> list[Scaled]:
    """Scale the pairs of a pruned clone around rounded activations, in place, where it helps.

    From the last pair to the first, so that a layer's outputs are scaled before its inputs.
    """
    points, gone = rounded_activations(model, plan), removed_channels(model, plan)
    layers = {layer.name: layer for layer in find_layers(model)}
    nodes = {str(node.name): node for node in graph_model.graph}
    bits = {layer.name: layer.weight_bits for layer in plan.layers}
    done = []
    for pair in reversed(find_pairs(model)):
        statistics = calibration.layers.get(pair.layer)
        if statistics is None or points.isdisjoint(pair.between):
            continue
        if len(statistics.outputs) < FEWEST_ROWS:
            continue
        reach = np.delete(_reach(statistics, pair.slope), list(gone.get(pair.layer, ())))
        layer, reader = layers[pair.layer], layers[pair.reader]
        node = nodes[reader.node]
        factors = find_factors(reach, _read(node, reader), pair.slope, bits[reader.name])
        if factors is not None:
            _multiply_inputs(node, reader, factors)
            _divide_outputs(nodes[layer.node], layer, factors)
            _divide_bias(graph_model, find_targets(model)[layer.name].bias, factors)
            done.append(Scaled(layer.name, (layer.weight, reader.weight), factors))
    return done


def find_factors(reach: Floats, read: Floats, slope: float, bits: int) -> Floats | None:
    """The factors s of channels that reach `reach` and are read by weights up to `read`.

    Channels that are silent on the samples say nothing of how far they reach: they get what they
    had before, the range of the strongest channel, as far as their weights allow it.

    None where they would take away less than one bit of the error.
    """
    if not np.isfinite(read).all() or not (reach * read).any():
        return None
    product = reach * read
    least = WEAKEST * np.exp(np.log(product[product > 0]).mean())
    high = np.maximum(reach, least / np.where(read > 0, read, np.inf))
    wide = np.maximum(read, least / np.where(reach > 0, reach, np.inf))
    is_used = (reach > 0) & (wide > 0)
    factors = np.ones_like(reach)
    factors[is_used] = np.sqrt(high[is_used] / wide[is_used])
    factors[is_used] /= np.exp(np.log(factors[is_used]).mean())
    factors = np.clip(factors, 1 / LIMIT, LIMIT)
    is_silent = (reach == 0) & (read > 0)
    headroom = reach.max() / (reach / factors).max()
    most = (read * factors)[is_used].max() / read[is_silent]
    factors[is_silent] = np.minimum(headroom, most)
    before = expected_error(reach, read, slope, bits)
    after = expected_error(reach / factors, read * factors, slope, bits)
    return factors if before > GAIN * after else None


def expected_error(reach: Floats, read: Floats, slope: float, bits: int) -> float:
    """Squared error behind the reader, from the steps of its inputs and those of its weights.

    Steps are the same for all channels; magnitudes stand for all values of a channel. A channel
    that is always zero has no error of rounding.
    """
    heard = read[reach > 0]
    activation_step = (1 + slope) * reach.max() / LEVELS
    weight_step = 2 * read.max() / (2**bits - 1) if bits <= INTEGER_BITS else 0.0
    return float(activation_step**2 * (heard @ heard) + weight_step**2 * (reach @ reach))


def _reach(statistics: LayerStatistics, slope: float) -> Floats:
    """Largest magnitude of each channel behind the activation function, (channels,)."""
    outputs = statistics.outputs
    above, below = outputs.max(axis=0), -outputs.min(axis=0)
    reach: Floats = np.maximum(np.maximum(above, slope * below), 0).astype(np.float64)
    return reach


def _read(node: ir.Node, layer: Layer) -> Floats:
    """Largest magnitude of the weights that read each input channel, (channels,)."""
    matrix = np.abs(form_of(node, layer).to_matrix(_weight(node)))
    taps = matrix.max(axis=2).reshape(-1, kernel_size(layer))  # (channels, kernel)
    read: Floats = taps.max(axis=1).astype(np.float64)
    return read


def _multiply_inputs(node: ir.Node, layer: Layer, factors: Floats) -> None:
    form = form_of(node, layer)
    matrix = form.to_matrix(_weight(node))  # (groups, channels x kernel, outputs of a group)
    each = np.repeat(factors, kernel_size(layer)).reshape(len(matrix), -1, 1)
    _rewrite(node, form, matrix * each)


def _divide_outputs(node: ir.Node, layer: Layer, factors: Floats) -> None:
    form = form_of(node, layer)
    matrix = form.to_matrix(_weight(node))
    _rewrite(node, form, matrix / factors.reshape(len(matrix), 1, -1))


def _divide_bias(graph_model: ir.Model, name: str | None, factors: Floats) -> None:
    if name is not None:
        value = graph_model.graph.initializers[name]
        bias = array_of(value)
        replace_array(value, _as(bias, bias / factors.reshape(bias.shape)))


def _weight(node: ir.Node) -> Array:
    weight = node.inputs[1]
    assert weight is not None
    return array_of(weight)


def _rewrite(node: ir.Node, form: Form, matrix: Floats) -> None:
    weight = node.inputs[1]
    assert weight is not None
    replace_array(weight, _as(array_of(weight), form.to_tensor(matrix)))


def _as(old: Array, new: Array) -> Array:
    """In the type of what it replaces, within its limits."""
    limits = np.finfo(old.dtype)
    clipped: Array = np.clip(new, limits.min, limits.max).astype(old.dtype)
    return clipped
