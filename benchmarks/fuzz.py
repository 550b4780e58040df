"""Mutation fuzzing of everything that reads strangers' files: `make fuzz`.

Mutants of good files go through the door in confined processes, many to a process. A fault is
anything but success or a sentence: another exception, a crash, no end, or a library's own words.
Mutants with faults are kept in `fuzz-faults/`, to become cases of `tests/bad_files`.
"""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.mutants import FORMATS, ROOT, SAMPLES, mutant, network, prepare
from explorer import Recipe

MUTANTS = 10_000
BATCH = 250  # to a process
LIMIT_S = 30.0  # for one mutant
KEPT = ROOT / "fuzz-faults"
RECIPE = Recipe(pattern="channel", ratio=0.3)  # what the page does with every model
SHAPES = ((1, 4),)  # of the scripts that lose their record of them
OF_A_LIBRARY = re.compile(
    rf"/tmp|{re.escape(str(ROOT))}|/root|site-packages|Traceback|\x1b|onnxruntime::|torch/csrc|\w\.cc\b|\w{{3,}}Error\b"
)


@dataclass(frozen=True)
class Fault:
    """What went wrong with one mutant."""

    form: str
    seed: int
    reason: str


def fuzz(form: str, seeds: range, folder: Path) -> tuple[Counter[str], list[Fault]]:
    """Outcomes by their names, and all faults, of the mutants with these numbers."""
    outcomes: Counter[str] = Counter()
    faults: list[Fault] = []
    left = list(seeds)
    while left:
        done = _run(form, left[:BATCH], folder)
        for seed, outcome, reason in done:
            outcomes[outcome] += 1
            if outcome == "fault":
                faults.append(Fault(form, seed, reason))
        left = left[len(done) :]
    return outcomes, faults


def _run(form: str, seeds: list[int], folder: Path) -> list[tuple[int, str, str]]:
    """Outcomes of as many mutants as one process lives to see; the one that ends it is a fault."""
    command = [sys.executable, "-m", "benchmarks.fuzz", "--child", form, str(folder)]
    options: dict[str, Any] = {
        "stdout": subprocess.PIPE,
        "stderr": subprocess.DEVNULL,
        "cwd": ROOT,
        "text": True,
    }
    with subprocess.Popen([*command, json.dumps(seeds)], **options) as child:
        assert child.stdout is not None
        done = [tuple(json.loads(line)) for line in child.stdout]
    code = child.returncode
    if len(done) < len(seeds):
        hung = code == -signal.SIGALRM
        reason = "no end" if hung else f"the process ended with {code}"
        done.append((seeds[len(done)], "fault", reason))
    return done


def serve(form: str, folder: Path, seeds: list[int]) -> None:
    """The child: confine this process, try each mutant, and print how it went."""
    from explorer import apply, estimate, plan
    from explorer.errors import ExplorerError
    from explorer.formats.model_files import import_model
    from explorer.formats.onnx_file import load
    from explorer.formats.samples import import_samples
    from explorer.jobs import sandbox
    from explorer.measure.profile import profile
    from explorer.model import Model

    if form not in ("onnx", "onnx_zip", *SAMPLES):
        import explorer.formats.torch_files  # noqa: F401 - before there are limits
    inputs = Model.of_file(load(network().SerializeToString(), "network")).inputs
    prepare(form)  # which takes what the sandbox forbids
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    sandbox.limit(sandbox.limits_here())
    sandbox.confine([folder])
    os.chdir(folder)
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder)
    path = folder / f"mutant-{os.getpid()}"

    def attempt() -> tuple[str, str]:
        try:
            if form in SAMPLES:
                import_samples(path, "it", inputs)
            else:
                shapes = SHAPES if form == "torch_script" else None
                model = Model.of_file(import_model(path, "it", shapes).file)
                profile(model)
                planned = plan(model, RECIPE)
                estimate(model, planned)
                apply(model, planned)
        except ExplorerError as error:
            told = str(error)
            is_foreign = OF_A_LIBRARY.search(told) or not told.isprintable()
            return ("fault", told) if is_foreign else ("refused", "")
        except MemoryError:
            return "refused", ""  # which the worker puts into words
        except Exception as error:  # noqa: BLE001 - any is a fault
            return "fault", f"{type(error).__name__}: {error}"[:300]
        return "opened", ""

    for seed in seeds:
        path.write_bytes(mutant(form, seed))
        signal.alarm(int(LIMIT_S))
        outcome, reason = attempt()
        signal.alarm(0)
        print(json.dumps((seed, outcome, reason)), file=out, flush=True)


def main() -> None:
    """Fuzz all formats, or those named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("formats", nargs="*", default=list(FORMATS))
    parser.add_argument("--mutants", type=int, default=MUTANTS)
    parser.add_argument("--first", type=int, default=0)
    options = parser.parse_args()
    all_faults = []
    for form in options.formats:
        started = time.monotonic()
        seeds = range(options.first, options.first + options.mutants)
        with tempfile.TemporaryDirectory() as folder:
            outcomes, faults = fuzz(form, seeds, Path(folder))
        seconds = time.monotonic() - started
        print(f"{form:13} {dict(outcomes)} in {seconds:.0f} s", flush=True)
        for fault in faults:
            KEPT.mkdir(exist_ok=True)
            (KEPT / f"{form}-{fault.seed}").write_bytes(mutant(form, fault.seed))
            print(f"  {form}-{fault.seed}: {fault.reason}", flush=True)
        all_faults += faults
    if all_faults:
        sys.exit(f"{len(all_faults)} faults")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        serve(sys.argv[2], Path(sys.argv[3]), json.loads(sys.argv[4]))
    else:
        main()
