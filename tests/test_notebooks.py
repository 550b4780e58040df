"""The notebooks run from the first cell to the last, and compute what they show."""

import os
import time
from pathlib import Path
from typing import Any

import nbformat
import pytest
from conftest import ROOT
from nbclient import NotebookClient

LIMIT_S = 240  # for a cell, on a busy machine
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
CHECKS = {
    "tour": """
from explorer.recipe import Recipe
assert estimated.params == counted.params and estimated.macs == counted.macs
assert abs(estimated.file_bytes - counted.file_bytes) <= counted.file_bytes / 100
assert panel.recipe == Recipe(pattern="channel", ratio=0.5, weight_bits=8)
assert panel.report.profile == explorer.profile(panel.model)
assert counted.macs < explorer.profile(model).macs and latency.runs > 0
assert quality.metric == naive.metric == "accuracy" and quality.value > naive.value
assert {each.probe.place for each in found} <= {layer.name for layer in model.layers}
assert panel.original.profile == explorer.profile(model)
""",
    "pruning_against_quantization": """
for quantized, pruned, both in rows:
    size = quantized.profile.file_bytes
    assert max(pruned.profile.file_bytes, both.profile.file_bytes) <= 1.01 * size
    assert pruned.profile.macs < both.profile.macs <= quantized.profile.macs
    assert quantized.profile.macs == explorer.profile(model).macs
sizes = [points[0].profile.file_bytes for points in rows]
assert sizes == sorted(sizes, reverse=True) and len(figure.data) == 3
assert len(conclusions) == len(rows)
for (quantized, pruned, both), sentence in zip(rows, conclusions):
    assert ("beat" in sentence.split(";")[0]) == (
        explorer.evaluate(quantized.model, data, pruned.model).p_value < SIGNIFICANT
    )
""",
}


def test_every_notebook_is_checked() -> None:
    assert {path.stem for path in NOTEBOOKS} == CHECKS.keys()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_and_computes_what_it_shows(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    monkeypatch.setenv("JUPYTER_CONFIG_DIR", str(tmp_path))
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.append(nbformat.v4.new_code_cell(CHECKS[path.stem]))
    resources = {"metadata": {"path": str(path.parent)}}
    started = time.monotonic()
    NotebookClient(notebook, timeout=LIMIT_S, kernel_name="python3", resources=resources).execute()
    print(f"{path.stem}: {time.monotonic() - started:.0f} s on {os.cpu_count()} cores")
    assert outputs_of(notebook, "stderr") == []


def outputs_of(notebook: Any, stream: str) -> list[str]:
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    return [output["text"] for output in outputs if output.get("name") == stream]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_stored_without_what_came_out(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        assert cell.get("outputs", []) == []
        assert cell.get("execution_count") is None
