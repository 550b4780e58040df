"""The wheel: everything that the repository runs is in it, and it works elsewhere."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
import zipfile
from pathlib import Path

import pytest
from conftest import ROOT

PATIENCE_S = 60.0
TREES = ("explorer", "pages", "sample_models", ".streamlit")
FILES = ("app.py", "pyproject.toml", "README.md", "LICENSE", "requirements.txt")
NOT_RUN = {"sample_models/README.md"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of the files as they are, built without network."""
    folder = tmp_path_factory.mktemp("source")
    ignored = shutil.ignore_patterns("__pycache__", "packages")
    for name in TREES:
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    for name in FILES:
        shutil.copy(ROOT / name, folder)
    out = folder / "dist"
    options = ("--no-deps", "--no-build-isolation", "--no-index", "--quiet")
    command = [sys.executable, "-m", "pip", "wheel", *options, "--wheel-dir", str(out), str(folder)]
    subprocess.run(command, check=True)
    (built,) = out.glob("compression_explorer-*.whl")
    return built


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the wheel, and with the packages of this one to depend on."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    site = next(folder.glob("lib/python*/site-packages"))
    ours = Path(pytest.__file__).parents[1]
    (site / "dependencies.pth").write_text(f"{ours}\n")
    pip = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python")]
    options = ("--no-deps", "--no-index", "--quiet")
    subprocess.run([*pip, "install", *options, str(wheel)], check=True)
    return folder


def called(environment: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(environment / "bin" / "compression-explorer"), *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_everything_that_runs_is_in_the_wheel(wheel: Path) -> None:
    packed = set(zipfile.ZipFile(wheel).namelist())
    listed = subprocess.run(
        ["git", "ls-files", "--", *TREES, "app.py"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    inside = ("app.py", "pages/", ".streamlit/")
    wanted = {f"explorer/webapp/{x}" if x.startswith(inside) else x for x in listed}
    assert len(wanted) > 250
    assert wanted - NOT_RUN <= packed


def test_the_dependencies_are_those_of_the_requirements(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    (name,) = (each for each in archive.namelist() if each.endswith("METADATA"))
    lines = archive.read(name).decode().splitlines()
    needed = {line.removeprefix("Requires-Dist: ") for line in lines if "Requires-Dist" in line}
    assert needed == set((ROOT / "requirements.txt").read_text().split())


def test_the_command_compresses_from_another_folder(environment: Path, tmp_path: Path) -> None:
    site = next(environment.glob("lib/python*/site-packages"))
    model = site / "sample_models" / "vowels_cnn.onnx"
    options = ("--weight-bits", "8", "--out", "small.onnx", "--json")
    done = called(environment, tmp_path, "compress", str(model), *options)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)["compressed"]
    assert report["profile"]["file_bytes"] == (tmp_path / "small.onnx").stat().st_size
    refused = called(environment, tmp_path, "serve", "--port", "70000")
    assert refused.returncode == 2
    assert refused.stderr == "The port is 70000; it must be at least 1 and at most 65535.\n"
    assert "compression-explorer profile" in called(environment, tmp_path, "profile", "-h").stdout


def test_the_command_serves_the_app_from_another_folder(environment: Path, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    (tmp_path / "explorer").mkdir()  # of somebody else
    (tmp_path / "explorer" / "__init__.py").write_text("raise ValueError")
    log = tmp_path / "log"
    settings = {"EXPLORER_FOLDER": str(tmp_path / "kept"), "STREAMLIT_SERVER_HEADLESS": "true"}
    command = [str(environment / "bin" / "compression-explorer"), "serve", "--port", str(port)]
    with log.open("wb") as stream:
        server = subprocess.Popen(
            command,
            cwd=tmp_path,
            env={**os.environ, **settings},
            stdout=stream,
            stderr=subprocess.STDOUT,
        )
    try:
        assert "<title>" in answer(f"http://localhost:{port}/", server, log)
        assert answer(f"http://localhost:{port}/_stcore/health", server, log) == "ok"
        assert "Traceback" not in log.read_text()
    finally:
        server.terminate()
        server.wait()


def answer(address: str, server: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + PATIENCE_S
    while server.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(address) as response:
                found: str = response.read().decode()
                return found
        except OSError:
            time.sleep(0.1)
    raise AssertionError(log.read_text())
