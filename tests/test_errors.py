"""docs/errors.md lists every sentence that refuses something, and nothing else."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from conftest import ROOT

from explorer import errors, notebook
from explorer.formats.onnx_verdicts import AGAIN, VERDICTS
from explorer.jobs import import_tasks, in_thread, local, processes, worker
from explorer.ui import guard

PLACE = ROOT / "docs" / "errors.md"
TREE = {name for name, each in vars(errors).items() if isinstance(each, type)}
RAISERS = TREE | {"error", "_error"}  # the latter two are an error type that was handed in
IN_OWN_WORDS = "in_own_words"  # whose second argument is the sentence
VARIES = "…"
CONSTANTS = (
    *(processes.CRASHED, processes.STOPPED, processes.BROKEN, local.TOO_LONG),
    *(worker.UNEXPECTED, worker.NO_DISK, import_tasks.LEAKY),
    *(errors.FILES_GONE, errors.NO_MEMORY),
    *(in_thread.CLOSED, in_thread.MISTAKE, notebook.GONE),
    *(guard.NO_HOST, guard.NO_ORIGIN, guard.NO_LENGTH, guard.FULL),
    *(f"{{title}} {sentence}; {AGAIN}." for _, sentence in VERDICTS),
)


def rows() -> list[str]:
    """The sentences in the left column."""
    lines = [line for line in PLACE.read_text().splitlines() if line.startswith("| ")]
    cells = [line.strip("| ").split(" | ") for line in lines]
    assert all(len(row) == 2 for row in cells)
    return [row[0] for row in cells if row[0] not in ("Sentence", "---")]


def template(text: str) -> str:
    """A sentence with its places for `str.format` as dots."""
    return re.sub(r"\{[^{}]*\}", VARIES, text)


def templates_in(node: ast.expr | None, names: dict[str, list[ast.expr]]) -> Iterator[str]:
    """The sentences that an expression can be; `names` are what was assigned to names."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield template(node.value) if "{" in node.value else node.value
    elif isinstance(node, ast.JoinedStr):
        parts = [str(p.value) if isinstance(p, ast.Constant) else VARIES for p in node.values]
        yield "".join(parts)
    elif isinstance(node, ast.IfExp):
        yield from templates_in(node.body, names)
        yield from templates_in(node.orelse, names)
    elif isinstance(node, ast.Name):
        for value in names.get(node.id, []):
            yield from templates_in(value, names)
    elif isinstance(node, ast.Call) and called(node) == "format":
        assert isinstance(node.func, ast.Attribute)
        yield from templates_in(node.func.value, names)


def called(node: ast.Call) -> str:
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def assigned(tree: ast.Module) -> dict[str, list[ast.expr]]:
    found: dict[str, list[ast.expr]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            found.setdefault(node.targets[0].id, []).append(node.value)
    return found


def explained(tree: ast.Module) -> Iterator[ast.expr]:
    """What a function gives whose sentence is raised by others."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name == "explain":
            yield from (n.value for n in ast.walk(node) if isinstance(n, ast.Return) and n.value)


@cache
def sources() -> dict[str, str]:
    """Every sentence in the code, and where it stands."""
    found = {template(text): "a constant" for text in CONSTANTS}
    for path in sorted((ROOT / "explorer").rglob("*.py")):
        tree, where = ast.parse(path.read_text()), str(path.relative_to(ROOT))
        names, said = assigned(tree), list(explained(tree))
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and node.args:
                if called(node) in RAISERS:
                    said.append(node.args[0])
                elif called(node) == IN_OWN_WORDS:
                    said.append(node.args[1])
        for each in said:
            found |= {text: where for text in templates_in(each, names) if " " in text}
    return {text: where for text, where in found.items() if text.strip(f"{VARIES} ;.")}


def test_every_sentence_has_one_row() -> None:
    listed = rows()
    assert len(set(listed)) == len(listed)
    missing = {text: where for text, where in sources().items() if text not in listed}
    assert not missing


def test_every_row_has_a_source() -> None:
    assert [row for row in rows() if row not in sources()] == []


def pattern(row: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, row.split(VARIES))), re.DOTALL)


def is_listed(message: str) -> bool:
    """Whether a message is one of those in the table."""
    return any(pattern(row).fullmatch(message) for row in rows())


@pytest.mark.parametrize(
    ("message", "is_so"),
    [("net is empty.", True), ("Segmentation fault", False), ("KeyError: 'x'", False)],
)
def test_messages_are_told_from_others(message: str, is_so: bool) -> None:
    assert is_listed(message) == is_so


def test_the_scan_finds_a_sentence(tmp_path: Path) -> None:
    tree = ast.parse('broken = f"{x} is bad."\nraise ModelError(broken)')
    raised = next(node for node in ast.walk(tree) if isinstance(node, ast.Call))
    assert list(templates_in(raised.args[0], assigned(tree))) == ["… is bad."]
