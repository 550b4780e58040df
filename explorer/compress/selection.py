"""Which channels a network can do without, found from the Gram matrices of a calibration.

Taking a channel out of a layer's input, with all other weights refitted, raises the layer's squared
error by tr W_u' ([A^-1]_uu)^-1 W_u, with W_u the weights that read the channel and A the Gram
matrix of the inputs (the optimal brain surgeon of Hassibi & Stork 1993, for blocks of weights). The
channels of a group are taken out one after the other, always the one whose loss harms its readers
least, and the others take over its work before the next one is chosen. Each reader's error counts
relative to the variance of what it is part of; that of the last layer counts more, as nothing makes
up for it.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from explorer.compress.calibration import Calibration
from explorer.compress.cholesky import Factor, Matrix
from explorer.compress.criteria import unit_scores
from explorer.compress.need import SMALLEST, need_of, original_weights
from explorer.compress.regression import WIDE, with_ridge
from explorer.compress.rows import kernel_size
from explorer.graph.channels import ChannelGroup, find_channels
from explorer.graph.layers import find_layers
from explorer.model import Model

MOST_STEPS = 64  # in which a group is emptied
FEW_STEPS = 24  # where each one is dear
ROUNDING = 1e-6  # relative to what stands on the diagonal: what updates may have lost
ROWS_AT_ONCE = 512  # of an update, which then stays in the cache

Units = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Removal:
    """The units of a group in the order in which they go, and the error that each one adds."""

    order: Units
    errors: npt.NDArray[np.float64]


def find_removal(model: Model, calibration: Calibration, group: ChannelGroup) -> Removal:
    """How a group is emptied; looked for once."""
    removals: dict[int, Removal] = calibration.memory.removals
    key = int(group.units[0])  # no unit is in two groups
    if key not in removals:
        removals[key] = _empty(model, calibration, group)
    return removals[key]


def _empty(model: Model, calibration: Calibration, group: ChannelGroup) -> Removal:
    readers = _readers(model, calibration, group)
    alone = _unread_errors(model, calibration, group, readers)
    left, order, errors = np.array(group.units), [], []
    is_wide = any(len(reader.units) >= WIDE for reader in readers)
    at_once = -(-len(left) // (FEW_STEPS if is_wide else MOST_STEPS))
    while len(left):
        harm = np.array([alone.get(unit, 0.0) for unit in left.tolist()])
        for reader in readers:
            harm += reader.harm(left)
        chosen = np.argsort(harm, kind="stable")[:at_once]
        order.append(left[chosen])
        errors.append(harm[chosen])
        for reader in readers:
            reader.remove(left[chosen])
        left = np.delete(left, chosen)
    return Removal(np.concatenate(order), np.concatenate(errors))


class _Reader:
    """A layer that reads the channels of a group: what the loss of each would do to it."""

    def __init__(self, gram: Matrix, matrix: Matrix, units: Units, need: float) -> None:
        """`units` of the inputs (inputs,), 0 for what isn't of the group."""
        self.inverse, self.matrix = Factor.of(with_ridge(gram)[None]).inverse()[0], matrix
        self.units, self.need = units, need

    def harm(self, units: Units) -> npt.NDArray[np.float64]:
        """Error that the loss of each unit adds."""
        harm = np.zeros(len(units))
        order = np.argsort(self.units, kind="stable")
        own = self.units[order]
        starts, ends = np.searchsorted(own, units), np.searchsorted(own, units, side="right")
        for size in np.unique(ends - starts):
            if not size:
                continue
            which = np.flatnonzero(ends - starts == size)
            rows = order[starts[which][:, None] + np.arange(size)]  # (units, inputs of a unit)
            weights = self.matrix[rows]
            block = self.inverse[rows[:, :, None], rows[:, None, :]]
            power = weights @ weights.transpose(0, 2, 1)
            if size == 1:
                harm[which] = (power / block)[:, 0, 0]
            else:
                harm[which] = np.trace(np.linalg.solve(block, power), axis1=1, axis2=2)
        return self.need * harm

    def remove(self, units: Units) -> None:
        """Take units out and let the other inputs take over."""
        gone = np.isin(self.units, units)
        left = len(gone) - int(gone.sum())
        if left == len(gone):
            return
        self._move_to_end(gone, left)
        block = with_ridge(self.inverse[None, left:, left:], ROUNDING)
        root = Factor.of(block).root[0]
        across, taken = root @ self.inverse[left:, :left], root @ self.matrix[left:]
        self.inverse, self.matrix = self.inverse[:left, :left], self.matrix[:left]
        for start in range(0, left, ROWS_AT_ONCE):
            rows = slice(start, start + ROWS_AT_ONCE)
            self.inverse[rows] -= across[:, rows].T @ across
        self.matrix -= across.T @ taken
        self.units = self.units[:left]

    def _move_to_end(self, gone: npt.NDArray[np.bool_], left: int) -> None:
        """Put the inputs that go behind the `left` ones that stay, by as few swaps as it takes."""
        holes, fillers = np.flatnonzero(gone[:left]), left + np.flatnonzero(~gone[left:])
        ahead, behind = np.concatenate([holes, fillers]), np.concatenate([fillers, holes])
        self.inverse[ahead] = self.inverse[behind]
        self.inverse[:, ahead] = self.inverse[:, behind]
        self.matrix[ahead] = self.matrix[behind]
        self.units[ahead] = self.units[behind]


def _readers(model: Model, calibration: Calibration, group: ChannelGroup) -> list[_Reader]:
    channels, readers = find_channels(model), []
    for layer in find_layers(model):
        statistics = calibration.layers.get(layer.name)
        units = channels.cuts.get((layer.weight, layer.in_axis))
        if statistics is None or units is None or len(statistics.gram) > 1:
            continue
        own = np.where(np.isin(units, group.units), units, 0)
        if own.any():
            matrix, _ = original_weights(model, layer, statistics)
            columns = np.repeat(own, kernel_size(layer))
            need = need_of(model, layer, statistics)
            readers.append(_Reader(statistics.gram[0], matrix[0], columns, need))
    return readers


def _unread_errors(
    model: Model, calibration: Calibration, group: ChannelGroup, readers: list[_Reader]
) -> dict[int, float]:
    """Error of each unit that no reader knows: its share of the power of what its layers give."""
    read = np.concatenate([np.zeros(0, dtype=np.int64), *(reader.units for reader in readers)])
    unread = np.setdiff1d(group.units, read)
    if not len(unread):
        return {}
    errors = np.zeros(len(unread))
    channels, known = find_channels(model), False
    for member in group.members:
        statistics = calibration.layers.get(member)
        if statistics is None or not statistics.outputs.size:
            continue
        power = (statistics.outputs.astype(np.float64) ** 2).mean(axis=0)
        share = power / max(float(power.sum()), SMALLEST)
        own = channels.outputs[member]
        errors += [float(share[own == unit].sum()) for unit in unread]
        known = True
    if not known:
        scores = unit_scores(model, "l2", 0)[unread]
        errors = scores / max(float(scores.sum()), SMALLEST)
    return dict(zip(unread.tolist(), errors.tolist(), strict=True))
