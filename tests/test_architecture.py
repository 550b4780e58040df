"""The direction of imports, and what importing costs."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from conftest import ROOT

import explorer

HEAVY = (
    "streamlit", "torch", "onnx", "onnx_ir", "onnxruntime", "scipy", "plotly", "pandas",
    "anywidget",
)  # fmt: skip
# A package may import those with a smaller number, and itself. Imports inside functions count too;
# those for the type checker alone don't.
LEVELS = {
    "description": 0, "digits": 0, "errors": 0, "events": 0, "findings": 0, "fronts": 0,
    "metrics": 0, "names": 0, "network": 0, "reasons": 0, "recipe": 0, "report": 0, "runs": 0,
    "storage_types": 0, "typed_json": 0,
    "graph": 1, "render": 1, "formats": 2, "model": 3, "measure": 4, "compress": 5,
    "search": 6, "opening": 6, "preview": 6, "pipeline": 7, "widget": 7, "jobs": 8, "exports": 8,
    "workspace": 9,
    "__init__": 10, "command_options": 10, "commands": 11, "ui": 11, "notebook": 11,
    "cli": 12, "__main__": 13,
}  # fmt: skip
# Leaves: a value may know another, and nothing else of ours.
LEAVES = {name for name, level in LEVELS.items() if level == 0}


def loaded_by(statement: str) -> set[str]:
    code = f"{statement}\nimport sys\nprint(*sys.modules)"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    return {name.split(".")[0] for name in done.stdout.split()}


@pytest.mark.parametrize(
    "name",
    [
        "explorer",
        "explorer.jobs",
        "explorer.render.insights",
        "explorer.events",
        "explorer.render.text",
        "explorer.exports.page",
    ],
)
def test_importing_loads_nothing_heavy(name: str) -> None:
    assert not loaded_by(f"import {name}") & set(HEAVY)


def test_the_engine_loads_no_torch_and_no_streamlit() -> None:
    engine = "from explorer import load, plan, apply, estimate, profile, evaluate, measure_latency"
    assert not loaded_by(engine) & {"streamlit", "torch", "plotly", "pandas"}


def test_the_notebook_loads_no_torch_and_no_streamlit() -> None:
    loaded = loaded_by("from explorer.notebook import Explorer")
    assert not loaded & {"streamlit", "torch", "plotly", "pandas"}
    assert "anywidget" in loaded


def modules() -> list[Path]:
    return sorted((ROOT / "explorer").rglob("*.py"))


def dotted(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def home_of(name: str) -> str:
    """The module behind a name of the package itself."""
    module = f"explorer.{name}"
    return module if module in KNOWN else str(getattr(explorer, name).__module__)


def package_of(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


KNOWN = {dotted(path) for path in modules()}


def imports_of(path: Path) -> set[str]:
    """Modules of ours that a module imports, at its top or in its functions.

    `explorer` itself loads nothing: a name that is asked of it there counts as its own module.
    """
    tree = ast.parse(path.read_text())
    only_typed = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    found = set()
    for node in ast.walk(tree):
        if node in only_typed:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module == "explorer":
            found |= {home_of(each.name) for each in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = {f"{node.module}.{each.name}" for each in node.names}
            found |= (inner & KNOWN) or {node.module}
    return {name for name in found if name.split(".")[0] == "explorer"} - {dotted(path)}


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_down(path: Path) -> None:
    own = package_of(dotted(path))
    for name in imports_of(path):
        other = package_of(name)
        is_below = LEVELS[other] < LEVELS[own] or {own, other} <= LEAVES
        assert other == own or is_below, f"{dotted(path)} imports {name}"


def test_no_module_imports_itself_by_way_of_others() -> None:
    graph = {dotted(path): imports_of(path) for path in modules()}
    graph["explorer"] = set()  # brings its names when they are asked for
    TopologicalSorter(graph).prepare()  # raises CycleError, which names them


def test_no_two_modules_share_a_basename() -> None:
    """But for the families of operators, of which each has a formula and a rule."""
    families = {ROOT / "explorer" / "graph" / name for name in ("costs", "rules")}
    names = [path.name for path in modules() if path.parent not in families]
    assert {name for name in names if names.count(name) > 1} == {"__init__.py"}


def test_only_the_readers_of_its_files_import_torch() -> None:
    for path in modules():
        imports = [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Import)]
        uses = any(alias.name.split(".")[0] == "torch" for node in imports for alias in node.names)
        assert not uses or (path.parent.name == "formats" and path.name.startswith("torch_"))


def test_every_package_has_its_level() -> None:
    assert {package_of(dotted(path)) for path in modules()} == LEVELS.keys()
