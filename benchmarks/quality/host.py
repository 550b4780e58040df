"""When, of which version, with what, and on which processor; without any path."""

import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks.timing import ROOT

PACKAGES = ("onnxruntime", "onnx", "nncf", "torch-pruning", "torch", "numpy")
FLAGS = ("avx2", "avx_vnni", "avx512f", "avx512_vnni")  # what integer kernels go by
CPU_INFO = Path("/proc/cpuinfo")


def describe_run() -> list[str]:
    """Lines for the top of the output."""
    lines = CPU_INFO.read_text().split("\n\n")[0].splitlines() if CPU_INFO.exists() else []
    fields = {key.strip(): value for key, _, value in (line.partition(":") for line in lines)}
    flags = fields.get("flags", "").split()
    return [
        f"date: {datetime.now(UTC):%Y-%m-%d}",
        f"commit: {_commit()}",
        f"versions: {', '.join(f'{name} {_version(name)}' for name in PACKAGES)}",
        f"processor: {fields.get('model name', 'unknown').strip()}; "
        + ", ".join(f"{flag} {'yes' if flag in flags else 'no'}" for flag in FLAGS),
    ]


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"
