"""How the benchmarks of the app print what they found: a table of figures beside their goals."""

import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

from benchmarks.users import Findings

MS, MB = 1e3, 1e6
MOST_LINES = 10  # of what went wrong

Row = tuple[str, str, str]  # name, figure, goal


class Run(Protocol):
    """What every run of people against the server leaves behind."""

    @property
    def findings(self) -> Findings:
        """What the people saw."""

    @property
    def heavy(self) -> list[str]:
        """Libraries in the server's process that don't belong there."""

    @property
    def trouble(self) -> list[str]:
        """Errors in the server's log."""


def print_start() -> None:
    """When it was, and how busy the machine was with other things."""
    load = Path("/proc/loadavg").read_text().split()[0]
    print(f"{time.strftime('%Y-%m-%d %H:%M')}, load of the machine before: {load}")


def print_figures(rows: Sequence[Row], run: Run) -> None:
    """A table of these rows and of what went wrong, then the first words of that."""
    found = run.findings
    wrong = (
        ("errors", f"{len(found.errors)}", "0"),
        ("foreign answers", f"{len(found.foreign)}", "0"),
        ("torch, onnx, onnxruntime in the server", ", ".join(run.heavy) or "none", "none"),
        ("errors in its log", f"{len(run.trouble)}", "0"),
    )
    print_rows([*rows, *wrong])
    for line in [*dict.fromkeys([*found.errors, *found.foreign, *run.trouble])][:MOST_LINES]:
        print(f"  {line}")


def print_rows(rows: Iterable[Row]) -> None:
    """A table, each row as soon as it is known."""
    print("| | measured | goal |\n|---|---:|---:|")
    for name, figure, goal in rows:
        print(f"| {name} | {figure} | {goal} |", flush=True)
