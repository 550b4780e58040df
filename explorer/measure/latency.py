"""The clock: time of one inference, and its ratio to another model's, measured side by side.

Candidate and reference alternate (A B B A), so that whatever else the machine does hits both. The
headline is the ratio of the two minima: over twenty repeats its spread was 0.2 to 1 %, where
sequential medians spread by 9 to 14 %.
"""

import gc
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from explorer.formats.data import Array
from explorer.graph.shapes import input_sizes
from explorer.measure.crowding import MOST_LOOKS, QUIET_LOOKS, Crowding, spin
from explorer.measure.runtime import RUNTIME, example_inputs, open_session, run_example
from explorer.model import Model
from explorer.network import Shape
from explorer.report import Latency

WARM_UPS = 3
MIN_SAMPLE_S = 0.002  # calls are batched until one sample takes this long
MIN_PAIRS = 15
ENOUGH_S = 0.3  # once there are enough pairs
LONGEST_S = 1.0  # whether there are enough pairs or not
FEWEST_PAIRS = 3
DISAGREEMENT = 0.10  # minima and medians further apart than this can't both be right
SUBSAMPLES = 200

Clock = Callable[[], float]
Seconds = npt.NDArray[np.float64]


def measure_latency(
    model: Model,
    against: Model | None = None,
    threads: int = 1,
    clock: Clock = time.perf_counter,
    check: Callable[[], None] = lambda: None,
    is_crowded: Callable[[], bool] | None = None,
) -> Latency:
    """Time one inference of `model`, and its ratio to `against`.

    Without one it is timed against itself for the control, and the ratio tells nothing.

    Both get inputs of the model's input sizes; of those of `against` where only these were set.

    It waits for a quiet moment, half a second at most; the result says where none came, and
    whether others took the core most of the time. `is_crowded` tells that of the time since it was
    asked before.

    `check` is called between samples and may raise to stop the measurement.

    Raises:
        MeasurementError: the runtime can't run one of them.
    """
    *_, latency = latencies(model, against, threads, clock, check, is_crowded)
    return latency


def latencies(
    model: Model,
    against: Model | None = None,
    threads: int = 1,
    clock: Clock = time.perf_counter,
    check: Callable[[], None] = lambda: None,
    is_crowded: Callable[[], bool] | None = None,
) -> Iterator[Latency]:
    """The result of `measure_latency`, and before it one from the first pairs, where more follow.

    Raises:
        MeasurementError: the runtime can't run one of them.
    """
    reference = against if against is not None else model
    sizes = _common_sizes(model, reference)
    times = [_Timed(m, threads, clock, sizes) for m in (model, reference)]
    own: list[float] = []
    other: list[float] = []
    crowded = is_crowded or Crowding().look
    quiet = _await_quiet(crowded, check)
    looks: list[bool] = []
    is_told = False
    with _without_collection():
        started = clock()
        while not _enough(len(own), clock() - started):
            check()
            looks.append(crowded())
            if len(own) >= MIN_PAIRS and not is_told:
                yield summarise(np.array(own), np.array(other), threads, _mostly(looks), quiet)
                is_told = True
            own.append(times[0].sample())
            other.append(times[1].sample())
            other.append(times[1].sample())
            own.append(times[0].sample())
    found = summarise(np.array(own), np.array(other), threads, _mostly(looks), quiet)
    yield found if against is not None else found.alone()


@contextmanager
def _without_collection() -> Iterator[None]:
    """Collect no garbage meanwhile: it would take time of what is measured."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def summarise(
    own: Seconds, other: Seconds, threads: int, busy: bool, quiet: bool = True
) -> Latency:
    """A `Latency` from two rows of interleaved times, in seconds a call.

    The interval holds the middle 95 % of the ratio over random halves of the pairs (subsampling,
    which unlike the bootstrap is consistent for a minimum: Politis, Romano & Wolf, 1999), widened
    by what two halves of the reference's own times differ: the A/A control.
    """
    ratio = float(own.min() / other.min())
    medians = float(np.median(own) / np.median(other))
    control = float(other[::2].min() / other[1::2].min())
    rng = np.random.default_rng(0)
    half = max(1, len(own) // 2)
    halves = [rng.permutation(len(own))[:half] for _ in range(SUBSAMPLES)]
    ratios = [own[rows].min() / other[rows].min() for rows in halves]
    doubt = max(control, 1 / control)
    low, high = np.percentile(ratios, [2.5, 97.5])
    quartiles, others = np.percentile(own, [25, 75]), np.percentile(other, [25, 75])
    return Latency(
        median_s=float(np.median(own)),
        iqr_s=float(quartiles[1] - quartiles[0]),
        min_s=float(own.min()),
        runs=len(own),
        threads=threads,
        runtime=RUNTIME,
        reliable=abs(medians / ratio - 1) <= DISAGREEMENT and not busy,
        ratio=ratio,
        ratio_low=min(float(low), ratio) / doubt,
        ratio_high=max(float(high), ratio) * doubt,
        control_ratio=control,
        reference_median_s=float(np.median(other)),
        reference_iqr_s=float(others[1] - others[0]),
        quiet=quiet,
    )


class _Timed:
    """A model ready to be timed, with as many calls a sample as the clock needs."""

    def __init__(
        self, model: Model, threads: int, clock: Clock, sizes: Mapping[str, Shape] | None
    ) -> None:
        self.session: ort.InferenceSession = open_session(model, threads)
        self.feed: dict[str, Array] = example_inputs(model, sizes=sizes)
        self.clock = clock
        self.calls = 1
        run_example(model, self.session, self.feed)  # fails in words if it fails
        fastest = min(self.sample() for _ in range(WARM_UPS))
        self.calls = max(1, math.ceil(MIN_SAMPLE_S / max(fastest, 1e-9)))

    def sample(self) -> float:
        started = self.clock()
        for _ in range(self.calls):
            self.session.run(None, self.feed)
        return (self.clock() - started) / self.calls


def _common_sizes(model: Model, reference: Model) -> Mapping[str, Shape] | None:
    """Input sizes that both models take; None where each has to be timed at its own."""
    is_set = bool(reference.input_sizes) and not model.input_sizes
    sizes = input_sizes(reference if is_set else model)
    return sizes if _takes(model, sizes) and _takes(reference, sizes) else None


def _takes(model: Model, sizes: Mapping[str, Shape]) -> bool:
    """Whether the shapes are those of the model's inputs, as far as its file fixes them."""
    shapes = {spec.name: spec.shape for spec in model.inputs}
    return shapes.keys() == sizes.keys() and all(
        len(shape) == len(sizes[name])
        and all(isinstance(a, str) or a == b for a, b in zip(shape, sizes[name], strict=True))
        for name, shape in shapes.items()
    )


def _enough(samples: int, elapsed_s: float) -> bool:
    pairs = samples  # each A B B A adds two samples of each
    if elapsed_s >= LONGEST_S:
        return pairs >= FEWEST_PAIRS
    return pairs >= MIN_PAIRS and elapsed_s >= ENOUGH_S


def _await_quiet(is_crowded: Callable[[], bool], check: Callable[[], None]) -> bool:
    """Wait until the core is quiet for a few looks in a row; False where it never is."""
    quiet_looks = 0
    for _ in range(MOST_LOOKS):
        check()
        spin()
        quiet_looks = 0 if is_crowded() else quiet_looks + 1
        if quiet_looks == QUIET_LOOKS:
            return True
    return False


def _mostly(looks: list[bool]) -> bool:
    return 2 * sum(looks) > len(looks)
