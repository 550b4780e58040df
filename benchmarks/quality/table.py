"""Outcomes as a markdown table."""

import statistics
from collections.abc import Mapping, Sequence

from benchmarks.quality.values import Outcome

Cell = Sequence[Outcome] | None  # an outcome for each seed, or a method that doesn't do a setting


def print_table(
    title: str, accuracy: float, columns: Sequence[str], rows: Mapping[str, Sequence[Cell]]
) -> None:
    """One table: settings down, methods across, and footnotes for what has one.

    `accuracy` is the original's, in [0, 1]; `rows` has a cell per column.
    """
    notes: list[str] = []
    print(f"\n### {title}: {100 * accuracy:.2f} %\n")
    print(f"| pp lost | {' | '.join(columns)} |")
    print("|---|" + "---:|" * len(columns))
    for name, cells in rows.items():
        print(f"| {name} | {' | '.join(format_cell(cell, accuracy, notes) for cell in cells)} |")
    print()
    for number, note in enumerate(notes, start=1):
        print(f"[{number}] {note}  ")


def format_cell(cell: Cell, accuracy: float, notes: list[str]) -> str:
    """Points lost: the median, the worst in parentheses, what is gone, the number of a footnote.

    A footnote that isn't among the `notes` yet is added to them.

    >>> format_cell([Outcome(0.9, 0.5), Outcome(0.88, 0.5), Outcome(0.9, 0.5)], 0.95, [])
    '5.00 (7.00), 50.0 % gone'
    """
    if cell is None:
        return "-"
    lost = [100 * (accuracy - outcome.accuracy) for outcome in cell]
    text, worst = _points(statistics.median(lost)), _points(max(lost))
    if worst != text:
        text += f" ({worst})"
    if cell[0].removed is not None:
        text += f", {100 * min(outcome.removed or 0 for outcome in cell):.1f} % gone"
    for note in dict.fromkeys(outcome.note for outcome in cell if outcome.note):
        if note not in notes:
            notes.append(note)
        text += f" [{notes.index(note) + 1}]"
    return text


def _points(lost: float) -> str:
    """Two decimals, without a sign on zero."""
    return f"{lost:.2f}".replace("-0.00", "0.00")
