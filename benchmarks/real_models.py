"""How long networks of the size that people bring take, beside one run of them.

    python -m benchmarks.real_models [NETWORK ...] [--folder FOLDER]

F is the time of the whole network over all calibration samples, one at a time on two threads.
Beside it stand the calibration, the quick reconstruction (the median over all settings that have
one), and files for settings of which nothing is remembered: the median of five of each kind. Each
network has a process of its own. `--folder` names a folder with more ONNX files; samples lie
beside each, in an `.npz` of the same name.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import TypeVar

import numpy as np

import explorer
from benchmarks.networks.catalog import NETWORKS, written
from benchmarks.networks.samples import Samples
from benchmarks.quality.host import describe_run
from benchmarks.timing import ROOT
from explorer import Recipe
from explorer.compress.apply import apply_quickly
from explorer.measure.runtime import new_session

THREADS = 2
RATIOS = (0.5, 0.3, 0.4, 0.6, 0.45)
RECIPES = {
    "channels": [Recipe(pattern="channel", ratio=ratio) for ratio in RATIOS],
    "4 bits": [
        Recipe(weight_bits=4, granularity="channel"),
        *(Recipe(weight_bits=4, granularity="group", group_size=size) for size in (16, 32, 64)),
        Recipe(weight_bits=3, granularity="channel"),
    ],
    "W8A8": [
        Recipe(weight_bits=8, activation_bits=8, granularity=granularity, int8_range=kind)
        for granularity, kind in (
            ("channel", "reduced"),
            ("tensor", "reduced"),
            ("channel", "full"),
            ("tensor", "full"),
            ("channel", "reduced"),
        )
    ],
    "zeros": [Recipe(pattern="unstructured", ratio=0.7 + ratio / 4) for ratio in RATIOS],
}

Row = dict[str, float]
T = TypeVar("T")


def main() -> None:
    """Print one row per network, for all or those that are named."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.real_models", description=__doc__)
    parser.add_argument("networks", nargs="*", metavar="NETWORK")
    parser.add_argument("--folder", type=Path, help="with more ONNX files")
    options = parser.parse_args()
    files = sorted(options.folder.glob("*.onnx")) if options.folder else []
    names = options.networks or [*NETWORKS, *map(str, files)]
    print("\n".join(f"- {line}" for line in describe_run()))
    heads = ["network", "parameters", "samples", "F", "calibration", "quick", *RECIPES, "memory"]
    print(f"\n| {' | '.join(heads)} |")
    print(f"|---|{'---:|' * (len(heads) - 1)}")
    for name in names:
        command = [sys.executable, "-m", "benchmarks.real_models", "--measure", name]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True, cwd=ROOT)
        print(f"| {' | '.join(_cells(name, json.loads(done.stdout)))} |", flush=True)


def _cells(name: str, row: Row) -> list[str]:
    whole = row["F"]
    cells = [Path(name).stem, f"{row['params'] / 1e6:.1f} M", f"{row['samples']:.0f}"]
    cells += [f"{whole:.2f} s"]
    for title in ("calibration", "quick", *RECIPES):
        cells.append(f"{row[title]:.2f} s = {row[title] / whole:.1f} F")
    return [*cells, f"{row['peak_bytes'] / 2**30:.1f} GiB"]


def measure(name: str) -> Row:
    """Times in seconds, and the largest memory in bytes."""
    with tempfile.TemporaryDirectory() as folder:
        if name in NETWORKS:
            path, samples = written(name, Path(folder))
        else:
            path = Path(name)
            with np.load(path.with_suffix(".npz")) as arrays:
                samples = next(iter(arrays.values()))
        model = explorer.load(path)
    data = {model.inputs[0].name: samples}
    row: Row = {"F": _whole(model, samples), "params": explorer.profile(model).params}
    calibration, row["calibration"] = _timed(lambda: explorer.calibrate(model, data))
    row["samples"] = len(samples)
    quick = []
    for title, recipes in RECIPES.items():
        times = []
        for recipe in recipes:
            plan = explorer.plan(model, recipe, calibration)
            if title != "W8A8":
                work = partial(apply_quickly, model, plan, calibration)
                quick.append(_timed(work)[1])
            times.append(_timed(partial(_file, model, recipe, calibration))[1])
            calibration.memory.solved.clear()
        row[title] = median(times)
    row["quick"] = median(quick)
    row["peak_bytes"] = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return row


def _whole(model: explorer.Model, samples: Samples) -> float:
    """Seconds of one run of the network over all samples."""
    session, name = new_session(model, THREADS), model.inputs[0].name

    def run() -> None:
        for each in samples:
            session.run(None, {name: each[None]})

    return median(_timed(run)[1] for _ in range(3))


def _file(model: explorer.Model, recipe: Recipe, calibration: explorer.Calibration) -> None:
    explorer.apply(model, explorer.plan(model, recipe, calibration), calibration)


def _timed(work: Callable[[], T]) -> tuple[T, float]:
    started = time.perf_counter()
    found = work()
    return found, time.perf_counter() - started


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        print(json.dumps(measure(sys.argv[2])))
    else:
        main()
