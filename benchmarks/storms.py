"""What a crash costs: processes killed again and again, while neighbours work on.

python -m benchmarks.storms [--count 100]

Each time one session computes, one measures latency and one waits; the process of the first is
killed. Printed are the jobs of the others that were lost, how long it took until the first was told
and until the waiting job was done, in seconds: median and longest.
"""

import argparse
import os
import signal
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from explorer import Recipe
from explorer.jobs import Domain, Job, LocalPool, State

SAMPLES = Path(__file__).resolve().parents[1] / "sample_models"
VOWELS = {
    "model": str(SAMPLES / "vowels_cnn.onnx"),
    "name": "vowels",
    "data": str(SAMPLES / "vowels_test.npz"),
    "calibration": str(SAMPLES / "vowels_calibration.npz"),
}
LIMIT_S = 60


@dataclass(frozen=True)
class Storm:
    """What came of it: neighbours' jobs lost, culprits not told, and the times of each crash."""

    lost: int
    untold: int
    told_s: list[float]
    ready_s: list[float]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=100)
    count = parser.parse_args().count
    with tempfile.TemporaryDirectory() as folder:
        storm = storm_of(count, Path(folder))
    print(f"{count} crashes: {storm.lost} jobs of others lost, {storm.untold} culprits not told")
    for what, times in (("culprit told", storm.told_s), ("next job done", storm.ready_s)):
        print(f"{what}: median {statistics.median(times):.3f} s, longest {max(times):.3f} s")


def storm_of(count: int, folder: Path) -> Storm:
    """Kill the process of a computing session `count` times, by two signals in turn."""
    pool, lost, untold = LocalPool(), 0, 0
    told, ready = [], []
    domains = [Domain(name, folder / name) for name in ("culprit", "measuring", "waiting")]
    for domain in domains:
        domain.folder.mkdir()
    try:
        for index in range(count):
            culprit = _running(_probe(pool, domains[0]))
            measuring, waiting = _latency(pool, domains[1]), _small(pool, domains[2])
            started = time.perf_counter()
            os.kill(_process_of(pool), (signal.SIGKILL, signal.SIGSEGV)[index % 2])
            culprit.wait(LIMIT_S)
            told.append(time.perf_counter() - started)
            waiting.wait(LIMIT_S)
            ready.append(time.perf_counter() - started)
            measuring.wait(LIMIT_S)
            untold += culprit.state is not State.FAILED or not culprit.error
            lost += sum(job.state is not State.DONE for job in (measuring, waiting))
    finally:
        pool.close()
    return Storm(lost, untold, told, ready)


def _probe(pool: LocalPool, domain: Domain) -> Job:
    """Work that would go on for long."""
    arguments = {"source": VOWELS, "recipe": Recipe().to_json(), "done": [], "slice_s": LIMIT_S}
    return pool.submit(domain.name, domain, "sensitivity", arguments)


def _latency(pool: LocalPool, domain: Domain) -> Job:
    file = {"path": VOWELS["model"], "name": "vowels"}
    return pool.submit(domain.name, domain, "latency", {"model": file, "against": file})


def _small(pool: LocalPool, domain: Domain) -> Job:
    """The shortest job that reads something: a model for import."""
    copy = domain.folder / "model"
    copy.write_bytes(Path(VOWELS["model"]).read_bytes())
    files = [{"path": str(copy), "name": "model"}]
    return pool.submit(domain.name, domain, "import_files", {"files": files, "current": None})


def _running(job: Job) -> Job:
    while not job.events and not job.ended:
        time.sleep(0.002)
    return job


def _process_of(pool: LocalPool) -> int:
    return next(pid for pid, task in pool.processes.items() if task == "sensitivity")


if __name__ == "__main__":
    main()
