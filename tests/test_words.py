"""What people read has the words of the field, one for one thing (`docs/glossary.md`)."""

import ast
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from conftest import ROOT

FORBIDDEN = {  # what must not be read anywhere, and what to say instead
    r"\btak(?:e|es|en|ing) (?:whole channels )?out\b": "prune, remove",
    r"\btaken? nothing out\b": "prunes nothing",
    r"\bwhole channels\b(?= (?:out|away)\b)|^Whole channels$": "structured (channels)",
    r"\bsingle weights\b": "unstructured",
    r"\b(?:2 of every 4|4 of every 8|2 of 4|4 of 8)\b": "2:4, 4:8",
    r"^Spread\b|\bspread (?:of bits|by need)\b|\bby need\b": "scope, mixed precision",
    r"\bimportance\b(?! \w+\.)": "pruning criterion",
    r"\brefit\w*|\bcompensat(?:e|es|ed|ion|ing)\b": "weight reconstruction",
    r"\bnaive(?:ly)?\b": "without reconstruction",
    r"\bleast error after\b": "reconstruction error",
    r"\bkeep multiples of\b": "channel alignment",
    r"\bnormalised widths\b": "hidden dimension",
    r"\bone scale for each\b|\bscale (?:for each|a) tensor\b": "quantization granularity",
    r"(?-i:^Memory$)": "peak activation memory",
    r"\bweights,? packed\b": "packed size",
    r"\bmeasured · exact\b": "computed",
    r"(?<!percentage )\bpoints (?:of (?:accuracy|agreement|error)|lost|spent|to spend|buy)\b|"
    r"\d points\b|\bin points\b|\bspends? points\b": "percentage points, pp",
    r"\b(?:not|un)[ -]?beaten\b": "Pareto-optimal",
    r"\bsettings? tried\b|\btr(?:y|ying|ied) (?:many )?settings\b|^At random$|^A grid$": "run",
    r"(?-i:^Can go$)|\bchannels? (?:that )?can(?:'t| not)? go\b|\bcan go\b": "prunable",
    r"(?-i:^Kept$)|\bown (?:ratio|bits|choices?)\b": "remaining, override",
    r"\b(?:choices?|ratio) of (?:its|their) own\b": "override",
    r"\bshrinks? with\b|\bshrink(?:ing)? together\b": "coupled with",
    r"\bwhy not, or\b|\bnot as asked\b": "constraint",
    r"%(?:<br>| )out\b": "pruned",
    r"\bput right\b|^Confusions$|\bchange[sd]? sides\b|\bsamples that changed\b": "corrected",
    r"\bsignal-to-noise\b": "SQNR",
    r"\bin other storages\b|\bmake it with\b": "other precisions, quantize to",
    r"\btell others\b|\breproduce it\b|\bthe same again\b": "share, reproduce",
    r"^Minus\b|^Divided by\b|\bcut the rest\b|\bhow the files were read\b": "preprocessing",
    r"\bmore choices\b|\bwhat to know\b": "advanced settings, insights",
    r"\bmake a recipe of it\b": "generate recipe",
    r"\bwhat the graph allowed\b": "achieved ratio",
    r"× (?:\d|\{)(?!\d* MACs?\b)": "1.33× faster, or the ratio alone",
    r"\b\d+ \((?:float|integer)\)|\b8-bit integers\b": "FP32, INT8",
    r"\bthe hand\b|\blets? go\b(?! of)|\bgrain of salt\b": "release the slider",
    r"\b(?:what (?:became|becomes|came) of|stands? in for|comes? of it)\b": "result",
    r"\bis on its way\b|\bsetting before\b|\bthe one before\b": "previous setting",
}
ALLOWED = {  # the contract's flags and values, and code, keep their names
    "--no-compensate", "no_compensate", "naive_quality", "compensate",
}  # fmt: skip
CODE = re.compile(r"`[^`\n]*`|```.*?```|https?://\S+|\]\([^)]*\)", re.DOTALL)
TEMPLATE = re.compile(r'"(?:[^"\\\n]|\\.)*"|`(?:[^`\\]|\\.)*`')
TAG = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}", re.DOTALL)
SHOWN = ("ui", "render", "preview", "widget", "exports")
ONE_RULE = re.compile("|".join(f"(?:{pattern})" for pattern in FORBIDDEN), re.IGNORECASE | re.M)

Text = tuple[str, int, str]  # where: file and line; what


def literals(path: Path) -> Iterator[Text]:
    """The string literals of a Python module that may be shown: no docstrings, no names."""
    tree = ast.parse(path.read_text())
    holders = (ast.Module, ast.ClassDef, ast.FunctionDef)
    prose = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, holders) and node.body and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = [v.value if isinstance(v, ast.Constant) else "{}" for v in node.values]
            yield str(path.relative_to(ROOT)), node.lineno, "".join(map(str, parts))
        elif (
            isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose
        ):
            yield str(path.relative_to(ROOT)), node.lineno, node.value


def scripts(path: Path) -> Iterator[Text]:
    """The strings of a JavaScript module, without its comments."""
    for number, line in enumerate(path.read_text().splitlines(), 1):
        for literal in TEMPLATE.findall(re.sub(r"(?:^|\s)//.*", "", line)):
            yield str(path.relative_to(ROOT)), number, re.sub(r"\$\{[^}]*\}", "{}", literal[1:-1])


def templates(path: Path) -> Iterator[Text]:
    """The lines of a template, with what Jinja puts in left open."""
    text = TAG.sub(lambda found: "{}" + "\n" * found.group().count("\n"), path.read_text())
    for number, line in enumerate(text.splitlines(), 1):
        yield str(path.relative_to(ROOT)), number, line


def paragraphs(path: Path) -> Iterator[Text]:
    """The text of a page of docs, without code and addresses."""
    text = CODE.sub(lambda found: "\n" * found.group().count("\n"), path.read_text())
    for number, line in enumerate(text.splitlines(), 1):
        yield str(path.relative_to(ROOT)), number, line


@cache
def texts() -> tuple[Text, ...]:
    """Everything that people read."""
    modules = [p for folder in SHOWN for p in sorted((ROOT / "explorer" / folder).glob("*.py"))]
    modules += [*sorted((ROOT / "pages").glob("*.py")), ROOT / "app.py"]
    modules += [
        ROOT / "explorer" / f"{name}.py" for name in ("cli", "metrics", "reasons", "recipe")
    ]
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
    pages += [*sorted((ROOT / "sample_models").glob("*.md"))]
    found = [text for path in modules for text in literals(path)]
    for script in sorted((ROOT / "explorer").glob("*/js/*.js")):
        found += scripts(script)
    for template in sorted((ROOT / "explorer/render/templates").glob("*.jinja")):
        found += templates(template)
    for page in pages:
        found += paragraphs(page)
    for book in sorted((ROOT / "notebooks").glob("*.ipynb")):
        cells = json.loads(book.read_text())["cells"]
        prose = [cell for cell in cells if cell["cell_type"] == "markdown"]
        found += [(f"notebooks/{book.name}", 0, "".join(cell["source"])) for cell in prose]
    return tuple(found)


def complaint(text: str) -> str:
    """What is forbidden in a text, with what to say instead; empty where nothing is."""
    if text in ALLOWED or not ONE_RULE.search(text):
        return ""
    return "; ".join(
        f"{found.group()!r}: say {instead}"
        for pattern, instead in FORBIDDEN.items()
        if (found := re.search(pattern, text, re.IGNORECASE | re.MULTILINE))
    )


def test_people_read_the_words_of_the_field() -> None:
    found = [
        f"{where}:{line}: {told}" for where, line, text in texts() if (told := complaint(text))
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "text",
    [
        "Take out", "Importance", "Spread", "Refitting wins", "−2.99 points", "Not beaten",
        "Settings tried", "Can go", "Own ratio", "Why not, or not as asked", "50 % out",
        "Signal-to-noise", "In other storages", "Tell others", "Minus (mean)", "What to know",
        "× 0.75", "Whole channels", "8 (integer)", "while the hand moves", "let go to measure",
        "a layer with choices of its own", "Memory", "points of accuracy", "2 of every 4 weights",
    ],
)  # fmt: skip
def test_a_forbidden_word_is_found(text: str) -> None:
    assert complaint(text)


@pytest.mark.parametrize(
    "text",
    [
        "There isn't enough memory for this model.", "the points of a chart", "1.33× faster",
        "FLOPs = 2 × MACs", "Structured pruning removes whole channels.", "1 x 3 x 224 x 224",
        "peak activation memory", "zero points", "kept", "2 percentage points of accuracy",
    ],
)  # fmt: skip
def test_other_meanings_are_left_alone(text: str) -> None:
    assert not complaint(text)


def test_the_texts_are_found() -> None:
    where = {place for place, _, _ in texts()}
    assert {"README.md", "explorer/cli.py", "explorer/widget/js/controls.js"} <= where
    assert any(text == "Pruning criterion" for _, _, text in texts())
    assert len(texts()) > 2000
