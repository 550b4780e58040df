"""How long calibration and compensated compression take, and how much memory.

    python -m benchmarks.compensation [fashion_resnet] [mobilenet_v2] [resnet_50]

Each network runs in a process of its own: calibration, then files for recipes of which nothing is
remembered, then one whose last layer alone has changed. The two large networks have random weights
and inputs, so these are times, not accuracies.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

import explorer
from benchmarks.timing import ROOT, SAMPLES
from explorer import LayerChoice, Recipe

IMAGES = 128
PIXELS = 224
RECIPES = {
    "channels": Recipe(pattern="channel", ratio=0.5),
    "4 bits": Recipe(weight_bits=4),
    "80 % zeros": Recipe(pattern="unstructured", ratio=0.8),
    "8-bit": Recipe(weight_bits=8, activation_bits=8),
}
NETWORKS = ("fashion_resnet", "mobilenet_v2", "resnet_50")


def main() -> None:
    """Print one row per network, for all or those that are named."""
    heads = ["network", "parameters", "samples", "calibration", *RECIPES, "last layer", "memory"]
    print(f"| {' | '.join(heads)} |")
    print(f"|---|{'---:|' * (len(heads) - 1)}")
    for name in sys.argv[1:] or list(NETWORKS):
        command = [sys.executable, "-m", "benchmarks.compensation", "measure", name]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True, cwd=ROOT)
        row = json.loads(done.stdout)
        cells = [name, f"{row['params'] / 1e6:.2f} M", str(row["samples"])]
        cells += [f"{row[key]:.2f} s" for key in ("calibration", *RECIPES, "last")]
        cells.append(f"{row['peak_bytes'] / 2**30:.1f} GiB")
        print(f"| {' | '.join(cells)} |", flush=True)


def measure(name: str) -> dict[str, float]:
    """Times in seconds, and the largest memory in bytes."""
    model, samples = _open(name)
    explorer.profile(model, gzipped=False)
    started = time.perf_counter()
    calibration = explorer.calibrate(model, samples)
    row: dict[str, float] = {"calibration": time.perf_counter() - started}
    for title, recipe in RECIPES.items():
        row[title] = _seconds(model, recipe, calibration)
    last = LayerChoice(model.layers[-1].name, weight_bits=3)
    row["last"] = _seconds(model, replace(RECIPES["4 bits"], layers=(last,)), calibration)
    row["params"] = explorer.profile(model, gzipped=False).params
    row["samples"] = len(calibration.samples)
    row["peak_bytes"] = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return row


def _seconds(model: explorer.Model, recipe: Recipe, calibration: explorer.Calibration) -> float:
    started = time.perf_counter()
    explorer.apply(model, explorer.plan(model, recipe, calibration), calibration)
    return time.perf_counter() - started


def _open(name: str) -> tuple[explorer.Model, object]:
    if name == "fashion_resnet":
        return explorer.load(SAMPLES / f"{name}.onnx"), SAMPLES / "fashion_calibration.npz"
    import torch

    from benchmarks import networks

    network = {"mobilenet_v2": networks.mobilenet_v2, "resnet_50": networks.resnet50}[name]()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        image = torch.zeros(1, 3, PIXELS, PIXELS)
        explorer.Model.from_torch(network.eval(), (image,)).save(path)
        model = explorer.load(path)
    images = np.random.default_rng(0).standard_normal((IMAGES, 3, PIXELS, PIXELS), np.float32)
    return model, {model.inputs[0].name: images}


if __name__ == "__main__":
    if sys.argv[1:2] == ["measure"]:
        print(json.dumps(measure(sys.argv[2])))
    else:
        main()
