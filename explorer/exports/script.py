"""A Python script and a notebook that do it all again."""

import json
from typing import Any

from explorer.exports.outcome import Outcome
from explorer.exports.steps import OUT, steps
from explorer.render.markdown import escaped

ABOUT = (
    "Reproduces a compressed model of the compression explorer, and compares its numbers with "
    "those of the page."
)
WHERE = (
    "Run it in the explorer's Python environment, in the folder of these files; if Python doesn't "
    "find `explorer` there, add its folder to PYTHONPATH."
)


def script(outcome: Outcome) -> str:
    """A script; what it prints has the page's numbers beside its own."""
    head = f'"""{ABOUT}\n\n{WHERE}\nIt writes {OUT}.\n"""\n'
    body = [f"# {about}\n{code}\n" for about, code in steps(outcome)]
    return "\n".join([head, *body])


def notebook(outcome: Outcome) -> str:
    """The same as a Jupyter notebook (nbformat 4.5)."""
    title = f"# {escaped(outcome.title)}: {escaped(outcome.setting)}\n\n{ABOUT} {WHERE}"
    cells = [_cell("markdown", title, "about")]
    for number, (about, code) in enumerate(steps(outcome), 1):
        cells.append(_cell("markdown", about, f"about-{number}"))
        cells.append(_cell("code", code, f"step-{number}"))
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    content = {
        "cells": cells,
        "metadata": {"kernelspec": kernel, "language_info": {"name": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return json.dumps(content, indent=1) + "\n"


def _cell(kind: str, text: str, name: str) -> dict[str, Any]:
    cell: dict[str, Any] = {"cell_type": kind, "id": name, "metadata": {}}
    if kind == "code":
        cell |= {"execution_count": None, "outputs": []}
    return {**cell, "source": text.splitlines(keepends=True)}
