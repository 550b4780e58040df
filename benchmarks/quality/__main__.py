"""Points of accuracy that compression costs, by the explorer and by other tools.

    python -m benchmarks.quality [--sample NAME ...] [--seeds 0 1 2] [--json OUT]

Nothing is trained, and at most the calibration samples of each network are seen, without labels. A
cell is the accuracy lost on the whole test set, in percentage points: the median over the seeds,
and the worst in parentheses where it differs; then the share of the multiply-accumulates, or of the
weights, that is really gone. A seed chooses the order of the calibration samples, and so which of
them a method sees that doesn't take all. The other tools are in `benchmarks/requirements.txt`.
"""

import argparse
import contextlib
import io
import json
import logging
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.quality.host import describe_run
from benchmarks.quality.registry import METHODS
from benchmarks.quality.samples import NAMES, Sample
from benchmarks.quality.table import Cell, print_table
from benchmarks.quality.values import Method, Setting, settings_of


def main() -> None:
    """Print a table per network, and write all outcomes where asked to."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality", description=__doc__)
    parser.add_argument("--sample", nargs="+", choices=NAMES, default=NAMES, metavar="NAME")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], metavar="SEED")
    parser.add_argument("--json", type=Path, metavar="OUT")
    options = parser.parse_args()
    header, records = describe_run(), []
    print("\n".join(f"- {line}" for line in header))
    for name in options.sample:
        sample, rows = Sample(name), {}
        for setting in settings_of(name):
            with _silence():
                cells = [run(method, sample, setting, options.seeds) for method in METHODS]
            rows[setting.title] = cells
            records += to_records(sample, setting, cells, options.seeds)
        print_table(name, sample.accuracy, [method.title for method in METHODS], rows)
        if options.json:
            text = json.dumps({"run": header, "outcomes": records}, indent=1)
            options.json.write_text(text + "\n")


def run(method: Method, sample: Sample, setting: Setting, seeds: Sequence[int]) -> Cell:
    """An outcome for each seed, of the first alone where a method knows no chance."""
    first = method.run(sample, setting, seeds[0])
    if first is None:
        return None
    others = seeds[1:] if method.seeded else ()
    outcomes = [first, *(method.run(sample, setting, seed) for seed in others)]
    return [outcome for outcome in outcomes if outcome is not None]


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Keep progress bars and advice of other tools out of the output; exceptions come through."""
    with (
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(logging.NOTSET)


def to_records(
    sample: Sample, setting: Setting, cells: Sequence[Cell], seeds: Sequence[int]
) -> list[dict[str, Any]]:
    """One flat object for each outcome."""
    return [
        {
            "sample": sample.name,
            "setting": setting.title,
            "method": method.title,
            "seed": seed,
            "original_accuracy": sample.accuracy,
            **asdict(outcome),
        }
        for method, cell in zip(METHODS, cells, strict=True)
        for seed, outcome in zip(seeds, cell or (), strict=False)
    ]


if __name__ == "__main__":
    main()
