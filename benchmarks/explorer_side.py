"""The explorer's steps, for a process of their own; `benchmarks.speed` starts it."""

import json
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import explorer
from benchmarks.timing import RATIOS, SAMPLES, SCORED, time_steps
from explorer.formats.data import load_data


class ExplorerSide:
    """From the ONNX file; the model stays open between changes, as in the app."""

    def __init__(self, path: Path, scored: bool, out: Path) -> None:
        self.model, self.out = explorer.load(path), out
        self.small: explorer.Model | None = None
        if scored:
            self.data = load_data(SAMPLES / "fashion_test.npz", self.model).head(SCORED)

    def profile(self, ratio: float) -> None:
        recipe = explorer.Recipe(pattern="channel", ratio=ratio)
        self.plan = explorer.plan(self.model, recipe)
        explorer.estimate(self.model, self.plan)

    def file(self) -> None:
        self.small = None  # as in the app, the result before is gone by now
        self.small = explorer.apply(self.model, self.plan)
        self.small.save(self.out)

    def latency(self) -> None:
        assert self.small is not None
        explorer.measure_latency(self.small, self.model)

    def accuracy(self) -> None:
        assert self.small is not None
        explorer.evaluate(self.small, self.data)


def compensated_s(model: explorer.Model) -> float:
    """Median time to a file whose weights are refitted on the calibration split."""
    calibration = explorer.calibrate(model, SAMPLES / "fashion_calibration.npz")
    taken = []
    for ratio in RATIOS:
        started = time.perf_counter()
        plan = explorer.plan(model, explorer.Recipe(pattern="channel", ratio=ratio))
        explorer.apply(model, plan, calibration)
        taken.append(time.perf_counter() - started)
    return statistics.median(taken[1:])


def main(path: Path, size: str) -> None:
    """Print times and peak memory as JSON."""
    scored = size == "small"
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        side = ExplorerSide(path, scored, Path(folder) / "small.onnx")
        side.profile(0.2)
        result: dict[str, Any] = {"first_s": time.perf_counter() - started}
        result["times"] = time_steps(side, RATIOS, scored)
        result["peak_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        if scored:
            result["compensated_s"] = compensated_s(side.model)
    print(json.dumps(result))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
