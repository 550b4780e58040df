"""What both sides of the speed benchmark share: the steps, the ratios, and the stopwatch."""

import time
from pathlib import Path
from typing import Protocol

ROOT = Path(__file__).resolve().parents[1]
SAMPLES = ROOT / "sample_models"
STEPS = ("profile", "file", "latency", "accuracy")
RATIOS = (0.5, 0.3, 0.4, 0.55, 0.45, 0.6)  # the first one warms up
SCORED = 1000  # samples

Times = dict[str, list[float]]


class Side(Protocol):
    """One way from a changed ratio to numbers; each step builds on the one before."""

    def profile(self, ratio: float) -> None:
        """Count what is left of the network."""

    def file(self) -> None:
        """Write the compressed network."""

    def latency(self) -> None:
        """Time it."""

    def accuracy(self) -> None:
        """Score it on 1,000 samples."""


def time_steps(side: Side, ratios: tuple[float, ...], scored: bool) -> Times:
    """Seconds of every step for every ratio; without the accuracy where nothing is scored."""
    times: Times = {name: [] for name in STEPS[: 4 if scored else 3]}
    for ratio in ratios:
        for name in times:
            started = time.perf_counter()
            if name == "profile":
                side.profile(ratio)
            else:
                getattr(side, name)()
            times[name].append(time.perf_counter() - started)
    return times
