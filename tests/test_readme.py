"""What the README shows works."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

README = (ROOT / "README.md").read_text()


def snippet(language: str, place: int = 0) -> str:
    found: str = re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)[place]
    return found


def run(command: list[str], folder: Path) -> str:
    (folder / "sample_models").symlink_to(ROOT / "sample_models")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (folder / "small.onnx").stat().st_size < 200_000
    return done.stdout


def test_the_python_snippet(tmp_path: Path) -> None:
    output = run([sys.executable, "-c", snippet("python")], tmp_path)
    assert "MACs instead of" in output
    assert "Quality(metric='accuracy'" in output


def test_the_notebook_snippet(tmp_path: Path) -> None:
    after = "panel.model.save('small.onnx')\nprint(panel.report)\npanel.close()"
    output = run([sys.executable, "-c", f"{snippet('python', 1)}\n{after}"], tmp_path)
    assert "metric='accuracy'" in output


def test_the_shell_snippet(tmp_path: Path) -> None:
    words = snippet("shell").replace("\\\n", " ").split()
    output = run([sys.executable, *words[1:]], tmp_path)
    assert "accuracy, measured" in output


@pytest.mark.parametrize("path", re.findall(r"\]\(([\w./-]+)\)", README))
def test_links_lead_somewhere(path: str) -> None:
    assert (ROOT / path).exists()


def test_every_module_has_its_place() -> None:
    for path in (ROOT / "explorer").iterdir():
        if path.is_dir() and (path / "__init__.py").exists():
            assert f"explorer/{path.name}/" in README
        elif path.suffix == ".py" and not path.name.startswith("__"):
            assert f"{path.name}" in README
