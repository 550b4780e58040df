"""The real server in a process of its own, with files in a folder of its own, and how it fares."""

import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.timing import ROOT

PATIENCE_S = 120.0
TICK_S = 1 / os.sysconf("SC_CLK_TCK")
HEAVY = ("torch", "onnx", "onnxruntime")
TROUBLE = re.compile(r"Traceback|\[ERROR\]|Exception in ")


@dataclass(frozen=True)
class Server:
    """A running server: where it answers, its process, its visitors' files, and its log."""

    address: str
    pid: int
    folder: Path
    log: Path

    @property
    def cpu_s(self) -> float:
        """Of the server process alone, without its workers."""
        return _cpu_s(self.pid)

    @property
    def rss_bytes(self) -> int:
        """Memory of the server process alone."""
        return int(_status(self.pid, "VmRSS")) * 1024

    @property
    def threads(self) -> int:
        return int(_status(self.pid, "Threads"))

    @property
    def open_files(self) -> int:
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

    @property
    def heavy(self) -> list[str]:
        """Libraries of networks that the server process has loaded, which it never should."""
        maps = Path(f"/proc/{self.pid}/maps").read_text()
        return [name for name in HEAVY if f"/site-packages/{name}/" in maps]

    @property
    def visits(self) -> list[str]:
        """Folders of visitors that are still there."""
        kept = [p for own in self.folder.iterdir() for p in own.iterdir() if p.is_dir()]
        return [path.name for path in kept if path.name != "samples"]

    @property
    def zygotes(self) -> list[int]:
        return _children(self.pid)

    @property
    def workers(self) -> list[int]:
        return [worker for zygote in self.zygotes for worker in _children(zygote)]

    @property
    def measuring(self) -> list[int]:
        """Workers that time something: the only ones that aren't nice to others."""
        return [pid for pid in self.workers if _niceness(pid) == 0]

    @property
    def trouble(self) -> list[str]:
        """Lines of the log that tell of errors."""
        return [line for line in self.log.read_text().splitlines() if TROUBLE.search(line)]

    def busy_workers(self, for_s: float = 1.0) -> list[int]:
        """Workers that use the processor while one looks."""
        before = {pid: _cpu_s(pid) for pid in self.workers}
        time.sleep(for_s)
        return [pid for pid, used_s in before.items() if _cpu_s(pid) > used_s + 5 * TICK_S]


@contextmanager
def serving(folder: Path, *options: str) -> Iterator[Server]:
    """The app on a free port, with its files below `folder`; `options` are Streamlit's."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    where = ["--server.port", str(port), "--server.address", "127.0.0.1"]
    visits, log = folder / "visits", folder / "log.txt"
    told = {"EXPLORER_FOLDER": str(visits), "STREAMLIT_SERVER_HEADLESS": "true"}
    with log.open("w") as output:
        app = subprocess.Popen(
            [sys.executable, "-m", "streamlit", "run", "app.py", *where, *options],
            cwd=ROOT,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **told},
        )
    try:
        server = Server(f"http://127.0.0.1:{port}/", app.pid, visits, log)
        _wait_for(server, app)
        yield server
    finally:
        app.terminate()
        app.wait(20)


def _wait_for(server: Server, app: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if app.poll() is not None:
            break
        try:
            with urllib.request.urlopen(f"{server.address}_stcore/health", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise RuntimeError(f"The server doesn't answer: {server.log.read_text()}")


def _cpu_s(pid: int) -> float:
    """User and system time that a process has used; 0 where it is gone."""
    fields = _stat(pid)
    return (int(fields[14]) + int(fields[15])) * TICK_S if fields else 0.0


def _niceness(pid: int) -> int | None:
    """None where the process is gone."""
    fields = _stat(pid)
    return int(fields[19]) if fields else None


def _stat(pid: int) -> list[str]:
    """The fields of proc(5), counted from 1 as there; none where the process is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return ["", str(pid), "", *text.rpartition(")")[2].split()]  # the name may hold anything


def _status(pid: int, name: str) -> str:
    text = Path(f"/proc/{pid}/status").read_text()
    found = re.search(rf"^{name}:\s+(\d+)", text, re.MULTILINE)
    assert found is not None
    return found[1]


def _children(pid: int) -> list[int]:
    """The processes that a process has started and that haven't ended."""
    found = []
    for thread in Path(f"/proc/{pid}/task").iterdir():
        try:
            found += [int(child) for child in (thread / "children").read_text().split()]
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found
