"""The confinement: nothing leaks where it holds, and the test of it sees where it doesn't."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, zipped

ALL = {
    "write outside their folder",
    "read system files",
    "see other processes",
    "open a connection",
    "send packets",
    "signal other processes",
    "start programs",
    "write a file of any size",
}


def in_a_process(code: str, folder: Path) -> dict[str, Any]:
    """What a program prints last, as JSON, that runs in a process of its own in a folder."""
    head = "import json, os, sys\nfrom pathlib import Path\nfrom explorer.jobs import sandbox\n"
    done = subprocess.run(
        [sys.executable, "-c", head + code],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


CONFINED = """
sandbox.limit(sandbox.Limits())
sandbox.confine([Path.cwd()])
"""
REPORT = "print(json.dumps({'leaks': sandbox.leaks(Path.cwd())}))"


def test_nothing_leaks(tmp_path: Path) -> None:
    assert in_a_process(CONFINED + REPORT, tmp_path) == {"leaks": []}


def test_without_confinement_everything_does(tmp_path: Path) -> None:
    found = in_a_process(REPORT, tmp_path)
    assert set(found["leaks"]) == ALL
    assert not list(tmp_path.parent.glob("*.leak"))


@pytest.mark.parametrize(
    ("absent", "leaks"),
    [
        (
            "sandbox.LANDLOCK_CREATE_RULESET = -1",  # a system call that no kernel has
            {"write outside their folder", "read system files", "see other processes"},
        ),
        ("sandbox.MACHINES = {}", {"send packets", "start programs"}),
    ],
    ids=["files", "calls"],
)
def test_a_missing_layer_is_seen(tmp_path: Path, absent: str, leaks: set[str]) -> None:
    found = in_a_process(absent + CONFINED + REPORT, tmp_path)
    assert leaks <= set(found["leaks"])


def test_a_process_tries_once_and_its_child_anew(tmp_path: Path) -> None:
    code = """
tries = []
def note(event, arguments):
    is_tried = event in ("socket.__new__", "subprocess.Popen", "os.kill")
    if is_tried or event == "open" and str(arguments[0]).endswith(("leak", "passwd", "environ")):
        tries.append(event)
sys.addaudithook(note)
found = [sandbox.leaks(Path.cwd()) for _ in range(2)]
trials = len(tries)
child = os.fork()
if child == 0:
    sandbox.limit(sandbox.Limits())
    sandbox.confine([Path.cwd()])
    os._exit(len(sandbox.leaks(Path.cwd())) + 100 * (len(tries) == 2 * trials))
_, status = os.waitpid(child, 0)
leaks_of_child = os.waitstatus_to_exitcode(status) - 100
print(json.dumps({"trials": trials, "is_same": found[0] == found[1], "in_child": leaks_of_child}))
"""
    found = in_a_process(code, tmp_path)
    assert found == {"trials": len(ALL), "is_same": True, "in_child": 0}


@pytest.mark.parametrize("task", ["try_out", "convert"])
def test_no_code_runs_where_the_test_fails(tmp_path: Path, task: str) -> None:
    members = {"m/data.pkl": b"", "m/constants.pkl": b"", "m/code/net.py": b""}
    (tmp_path / "script").write_bytes(zipped(members))
    code = f"""
from explorer.errors import ModelError
from explorer.jobs import import_tasks
from explorer.jobs.context import Context
from explorer.jobs.open_models import OpenModels
context = Context(lambda event, **values: None, lambda: False, OpenModels())
file = {{"path": "script", "name": "the script"}}
try:
    import_tasks.{task}(context, file, None, None, None)
except ModelError as error:
    print(json.dumps({{"says": str(error), "has_torch": "torch" in sys.modules}}))
"""
    found = in_a_process(code, tmp_path)
    assert "its sandbox lets programs write outside their folder" in str(found["says"])
    assert not found["has_torch"]


def test_secrets_beside_the_code_and_other_visitors_files_are_out_of_reach(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (tmp_path / "theirs").write_text("secret")
    paths = [str(ROOT / "README.md"), str(ROOT / ".streamlit" / "config.toml"), "../theirs"]
    code = f"""
found = {{}}
for path in {paths!r}:
    try:
        found[path] = open(path).read()
    except OSError as error:
        found[path] = type(error).__name__
print(json.dumps(sorted(set(found.values()))))
"""
    assert in_a_process(CONFINED + code, mine) == ["PermissionError"]  # type: ignore[comparison-overlap]


def test_the_rest_of_the_project_is_there(tmp_path: Path) -> None:
    code = f"""
from explorer import load, profile
model = load({str(ROOT / "sample_models" / "vowels_cnn.onnx")!r})
model.save("copy.onnx")
print(json.dumps({{"params": profile(load("copy.onnx")).params}}))
"""
    assert in_a_process(CONFINED + code, tmp_path)["params"]


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("bytearray(2**40)", "MemoryError"),
        ("open('x', 'wb').write(bytes(2**21))", "OSError"),
        ("[open(f'{i}', 'w') for i in range(400)]", "OSError"),
        ("os.chmod('.', 0o777)", "PermissionError"),
        ("os.fork()", "PermissionError"),
        ("os.symlink('/etc/passwd', 'link'); open('link')", "PermissionError"),
        ("os.link('/etc/passwd', 'link')", "OSError"),
        ("__import__('resource').setrlimit(7, (512, 512))", "ValueError"),
    ],
    ids=["memory", "file size", "open files", "rights", "fork", "link", "hard link", "limits"],
)
def test_limits(tmp_path: Path, code: str, error: str) -> None:
    program = f"""
sandbox.limit(sandbox.Limits(file_bytes=2**20))
sandbox.confine([Path.cwd()])
try:
    kept = {code.split(";", maxsplit=1)[0]}
    {code.partition(";")[2].strip() or "pass"}
    print(json.dumps({{"error": None}}))
except (OSError, MemoryError, ValueError) as error:
    print(json.dumps({{"error": type(error).__name__}}))
"""
    assert in_a_process(program, tmp_path) == {"error": error}


def test_threads_are_still_possible(tmp_path: Path) -> None:
    code = """
import threading
ran = []
thread = threading.Thread(target=lambda: ran.append(1))
thread.start()
thread.join()
print(json.dumps({"ran": ran}))
"""
    assert in_a_process(CONFINED + code, tmp_path) == {"ran": [1]}
