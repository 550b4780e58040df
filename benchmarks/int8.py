"""How fast 8-bit files are, beside those of ONNX Runtime's own quantizer.

    python -m benchmarks.int8 [NETWORK ...] [--seconds 10]

Each network is quantized by the explorer (both INT8 ranges) and by `quantize_static` (signed
weights per tensor and per channel, in 7 bits, unsigned). All files run in turns on one thread.
`time` is the median against FP32, below 1 is faster; `error` that of the outputs, relative to the
deviation of the original's over samples that no method has seen; `integer` how many of the products
an integer kernel runs. It depends on the processor, which is named first.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import onnx
import onnxruntime as ort
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quant_pre_process,
    quantize_static,
)

import explorer
from benchmarks.networks.catalog import NETWORKS, written
from benchmarks.networks.samples import Samples
from benchmarks.quality.host import describe_run
from benchmarks.quality.samples import NAMES, Sample
from explorer import Recipe

CALIBRATED, SCORED = 16, 16  # samples
STATIC = {
    "quantize_static": {},
    "the same, per channel": {"per_channel": True},
    "the same, 7 bits": {"reduce_range": True},
    "the same, unsigned": {"weight_type": QuantType.QUInt8},
}
PRODUCTS = ("Conv", "FusedConv", "Gemm", "FusedGemm", "MatMul", "FusedMatMul", "NhwcFusedConv")
INTEGERS = ("QLinearConv", "QGemm", "QLinearMatMul", "MatMulIntegerToFloat", "ConvInteger")


class Reader(CalibrationDataReader):  # type: ignore[misc] # untyped
    """Samples one by one."""

    def __init__(self, name: str, samples: Samples) -> None:
        self._left: Iterator[dict[str, Samples]] = iter({name: each[None]} for each in samples)

    def get_next(self) -> dict[str, Samples] | None:
        """The next sample; None behind the last."""
        return next(self._left, None)


def main() -> None:
    """Print a table for each network."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.int8", description=__doc__)
    parser.add_argument("networks", nargs="*", default=[*NETWORKS, *NAMES], metavar="NETWORK")
    parser.add_argument("--seconds", type=float, default=10.0, help="of timing, for each network")
    options = parser.parse_args()
    print("\n".join(f"- {line}" for line in describe_run()))
    print("\n| network | file | time | error | integer |\n|---|---|---:|---:|---:|")
    for name in options.networks:
        with tempfile.TemporaryDirectory() as folder:
            for row in rows(name, Path(folder), options.seconds):
                print(f"| {name} | {' | '.join(row)} |", flush=True)


def rows(name: str, folder: Path, seconds: float) -> Iterator[tuple[str, ...]]:
    """Title, time, error and integer products of each file of a network."""
    path, samples = _opened(name, folder)
    files = {"FP32": path, **explorer_files(path, samples, folder)}
    files |= static_files(path, samples, folder)
    sessions = {title: _session(file, folder) for title, file in files.items()}
    [feed] = {session.get_inputs()[0].name for session in sessions.values()}
    times = interleaved(
        {
            title: partial(session.run, None, {feed: samples[:1]})
            for title, session in sessions.items()
        },
        seconds,
    )
    seen = {
        title: np.concatenate(
            [session.run(None, {feed: each[None]})[0] for each in samples[-SCORED:]]
        )
        for title, session in sessions.items()
    }
    exact = seen["FP32"]
    spread = float(np.sqrt(((exact - exact.mean(0)) ** 2).mean()))
    for title in files:
        error = float(np.sqrt(((seen[title] - exact) ** 2).mean())) / spread
        ratio = median(np.divide(times[title], times["FP32"]))
        integers = _integers(folder / f"{files[title].stem}.optimized")
        yield title, f"{ratio:.2f}", f"{error:.3f}", integers


def explorer_files(path: Path, samples: Samples, folder: Path) -> dict[str, Path]:
    """Those of the explorer, by title."""
    model = explorer.load(path)
    calibration = explorer.calibrate(model, {model.inputs[0].name: samples[:CALIBRATED]})
    found = {}
    for kind in ("reduced", "full"):
        recipe = Recipe(weight_bits=8, activation_bits=8, int8_range=kind)
        file = folder / f"explorer_{kind}.onnx"
        explorer.apply(model, explorer.plan(model, recipe, calibration), calibration).save(file)
        found[f"explorer, {kind} range"] = file
    return found


def static_files(path: Path, samples: Samples, folder: Path) -> dict[str, Path]:
    """Those of `quantize_static`, by title."""
    prepared, found = folder / "prepared.onnx", {}
    quant_pre_process(path, prepared, skip_symbolic_shape=True)
    name = onnx.load(path, load_external_data=False).graph.input[0].name
    for place, (title, given) in enumerate(STATIC.items()):
        file = folder / f"static_{place}.onnx"
        quantize_static(
            prepared,
            file,
            Reader(name, samples[:CALIBRATED]),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8,
            **{"weight_type": QuantType.QInt8, **given},
        )
        found[title] = file
    return found


def interleaved(runs: Mapping[str, Callable[[], object]], seconds: float) -> dict[str, list[float]]:
    """Seconds of each run, taken in turns."""
    times: dict[str, list[float]] = {title: [] for title in runs}
    for run in runs.values():
        run()
    deadline = time.perf_counter() + seconds
    while time.perf_counter() < deadline or len(times["FP32"]) < 5:
        for title, run in runs.items():
            started = time.perf_counter()
            run()
            times[title].append(time.perf_counter() - started)
    return times


def _opened(name: str, folder: Path) -> tuple[Path, Samples]:
    if name in NETWORKS:
        return written(name, folder)
    sample = Sample(name)
    samples: Samples = sample.calibration(seed=0)  # type: ignore[assignment] # float32
    return sample.path, samples


def _session(file: Path, folder: Path) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    options.optimized_model_filepath = str(folder / f"{file.stem}.optimized")
    return ort.InferenceSession(file, options, providers=["CPUExecutionProvider"])


def _integers(optimized: Path) -> str:
    ops = [node.op_type for node in onnx.load(optimized).graph.node]
    integers = sum(op in INTEGERS for op in ops)
    return f"{integers} of {integers + sum(op in PRODUCTS for op in ops)}"


if __name__ == "__main__":
    main()
