"""The direction of imports, and what importing costs."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

HEAVY = (
    "streamlit", "torch", "onnx", "onnx_ir", "onnxruntime", "scipy", "plotly", "pandas",
    "anywidget",
)  # fmt: skip
# A package may import those with a smaller number, and itself.
LEVELS = {
    "errors": 0, "digits": 0, "recipe": 0, "metrics": 0, "fronts": 0, "report": 0, "model": 0,
    "reasons": 0, "formats": 1, "graph": 1,
    "compress": 2, "measure": 2, "search": 3, "widget": 3, "opening": 3, "jobs": 4, "render": 2,
    "exports": 5, "ui": 6, "cli": 6, "notebook": 6,
    "__main__": 7, "__init__": 7,
}  # fmt: skip
SHELLS = {"ui", "cli", "notebook"}


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


def package_of(dotted: str) -> str:
    parts = dotted.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def top_level_imports(tree: ast.Module) -> list[str]:
    """Modules imported when this one is; those inside functions or for the type checker aren't."""
    found = []
    for node in tree.body:
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.append(node.module)
    return [name for name in found if name.split(".")[0] == "explorer"]


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_down(path: Path) -> None:
    dotted = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    own = package_of(dotted.removesuffix(".__init__"))
    for name in top_level_imports(ast.parse(path.read_text())):
        other = package_of(name)
        assert other == own or LEVELS[other] <= LEVELS[own], f"{dotted} imports {name}"
        assert not ({own, other} <= SHELLS and own != other)


def test_only_the_readers_of_its_files_import_torch() -> None:
    for path in modules():
        imports = [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Import)]
        uses = any(alias.name.split(".")[0] == "torch" for node in imports for alias in node.names)
        assert not uses or (path.parent.name == "formats" and path.name.startswith("torch_"))


def test_every_package_has_its_level() -> None:
    assert {package_of(".".join(p.relative_to(ROOT).with_suffix("").parts)) for p in modules()} <= (
        LEVELS.keys() | {"__init__"}
    )
