"""From a changed recipe to numbers, beside the usual pipeline, in one run.

    python -m benchmarks.speed [small] [large]

The pipeline is Torch-Pruning + thop + torch.onnx.export + ONNX Runtime, which starts from the torch
module; the explorer starts from the ONNX file. Each step is the median of several changes of the
ratio, after one to warm up: profile, compressed file, measured latency, accuracy on 1,000 samples.
The explorer runs in a process of its own, which also tells its peak memory.
"""

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.networks import resnet50
from benchmarks.pipeline_side import PipelineSide
from benchmarks.timing import RATIOS, ROOT, SAMPLES, STEPS, Times, time_steps
from sample_models.architectures import ResNet

IMPORTS = 5
PIPELINE_RATIOS = {"small": RATIOS, "large": RATIOS[:3]}  # the large one takes its time


def main() -> None:
    """Print both networks, or those that are named."""
    print(f"import explorer: {1000 * import_s():.0f} ms")
    for size in sys.argv[1:] or ["small", "large"]:
        with tempfile.TemporaryDirectory() as folder:
            path = SAMPLES / "fashion_resnet.onnx"
            if size == "large":
                path = Path(folder) / "large.onnx"
                export_large(path)
            command = [sys.executable, "-m", "benchmarks.explorer_side", str(path), size]
            done = subprocess.run(command, stdout=subprocess.PIPE, check=True, cwd=ROOT)
            small = size == "small"
            side = PipelineSide(
                *((ResNet(), (1, 28, 28)) if small else (resnet50(), (3, 224, 224)))
            )
            theirs = time_steps(side, PIPELINE_RATIOS[size], scored=small)
            print_table(size, path.stat().st_size, json.loads(done.stdout), theirs)


def import_s() -> float:
    """Median time of `import explorer` in fresh interpreters, beyond starting them."""
    code = "import time; t = time.perf_counter(); import explorer; print(time.perf_counter() - t)"
    command = [sys.executable, "-c", code]
    runs = [
        subprocess.run(command, stdout=subprocess.PIPE, check=True, cwd=ROOT)
        for _ in range(IMPORTS)
    ]
    return statistics.median(float(run.stdout) for run in runs)


def export_large(path: Path) -> None:
    """Write the large network, in a process that ends."""
    code = (
        "import sys, torch, explorer; from benchmarks.networks import resnet50; "
        "explorer.Model.from_torch(resnet50(), (torch.randn(2, 3, 224, 224),)).save(sys.argv[1])"
    )
    subprocess.run(
        [sys.executable, "-c", code, str(path)], check=True, cwd=ROOT, stderr=subprocess.DEVNULL
    )


def print_table(size: str, file_bytes: int, ours: dict[str, Any], theirs: Times) -> None:
    """Both in milliseconds, and how many times faster."""
    print(f"\n{size} network, {file_bytes / 1e6:.1f} MB; ", end="")
    print(f"opened and planned for the first time in {1000 * ours['first_s']:.0f} ms")
    print(f"{'step':<10}{'explorer':>13}{'pipeline':>13}{'faster':>9}")
    sums = [0.0, 0.0]
    for step in [name for name in STEPS if name in theirs]:
        pair = [statistics.median(times[step][1:]) for times in (ours["times"], theirs)]
        sums = [total + part for total, part in zip(sums, pair, strict=True)]
        print_row(step, *pair)
    print_row("all", *sums)
    if "compensated_s" in ours:
        print(f"file with refitted weights: {1000 * ours['compensated_s']:.0f} ms")
    limit = 5 * file_bytes + 500e6
    print(
        f"peak memory: {ours['peak_bytes'] / 1e6:.0f} MB (5 x file + 500 MB: {limit / 1e6:.0f} MB)"
    )


def print_row(name: str, mine_s: float, usual_s: float) -> None:
    """One line of the table."""
    print(f"{name:<10}{1000 * mine_s:>10.1f} ms{1000 * usual_s:>10.1f} ms{usual_s / mine_s:>8.1f}x")


if __name__ == "__main__":
    main()
