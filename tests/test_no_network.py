"""Nothing leaves the machine: the whole flow in a network namespace that leads nowhere.

There the kernel counts each packet for which it finds no way out, whoever wanted to send it, so a
native library is seen as well as Python.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

PROGRAM = '''
import ctypes, fcntl, json, os, socket, struct, subprocess, sys, time, urllib.request
from pathlib import Path

CLONE_NEWUSER, CLONE_NEWNET, SIOCSIFFLAGS, IFF_UP = 0x10000000, 0x40000000, 0x8914, 1
if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWUSER | CLONE_NEWNET):
    print(json.dumps({"namespace": False}))
    sys.exit()


def loopback_up():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", IFF_UP))


def unroutable():
    """How many packets had nowhere to go so far."""
    names, values = [
        line.split()
        for line in Path("/proc/net/snmp").read_text().splitlines()
        if line.startswith("Ip:")
    ]
    return int(values[names.index("OutNoRoutes")])


def served(folder):
    """Ask the app for its page, and wait until it has one."""
    command = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.port", "8599"]
    server = subprocess.Popen(
        [*command, "--server.headless", "true"],
        env={**os.environ, "EXPLORER_FOLDER": str(folder)},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(200):
            try:
                with urllib.request.urlopen("http://localhost:8599/") as answer:
                    return answer.status
            except OSError:
                time.sleep(0.1)
    finally:
        server.terminate()
        server.wait()


def worked(folder):
    """Open and compress a sample as the page does."""
    from explorer import Recipe
    from explorer.jobs import Domain, LocalPool

    samples = Path("sample_models").resolve()
    source = {
        "model": str(samples / "vowels_cnn.onnx"),
        "name": "vowels",
        "data": str(samples / "vowels_test.npz"),
        "calibration": str(samples / "vowels_calibration.npz"),
    }
    recipe = {"recipe": Recipe(pattern="channel", ratio=0.3).to_json(), "out": f"{folder}/o.onnx"}
    pool, domain, states = LocalPool(), Domain("here", folder), []
    for task, more in (("open_model", {}), ("compress", recipe)):
        job = pool.submit("one", domain, task, {"source": source, **more})
        job.wait(60)
        states.append(job.state.value)
    pool.close()
    return states


folder = Path(sys.argv[1])
loopback_up()
before = unroutable()
found = {"namespace": True, "page": served(folder), "work": worked(folder)}
found["sent"] = unroutable() - before
try:
    socket.create_connection(("192.0.2.1", 80), timeout=1)
except OSError:
    pass
found["seen when something is sent"] = unroutable() - before > found["sent"]
print(json.dumps(found))
'''


def test_no_packet_leaves(tmp_path: Path) -> None:
    # Continuous integration and unit tests are known to some libraries, which then keep quiet.
    quiet = ("CI", "GITHUB_ACTIONS", "ORT_DISABLE_TELEMETRY", "ORT_RUNNING_UNIT_TESTS")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if name not in quiet},
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout.splitlines()[-1])
    if not found["namespace"]:
        pytest.skip("no network namespaces without privileges here")
    assert found == {
        "namespace": True,
        "page": 200,
        "work": ["done", "done"],
        "sent": 0,
        "seen when something is sent": True,
    }


def test_the_runtime_keeps_no_diary_of_models() -> None:
    """It would, where it is not told before it is loaded: names and hashes, to be sent later."""
    code = (
        "import explorer.measure.runtime, os\n"
        "print([os.readlink(f'/proc/self/fd/{n}') for n in os.listdir('/proc/self/fd') "
        "if os.path.exists(f'/proc/self/fd/{n}')])"
    )
    quiet = ("CI", "GITHUB_ACTIONS", "ORT_DISABLE_TELEMETRY", "ORT_RUNNING_UNIT_TESTS")
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if name not in quiet},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ".onnxruntime" not in done.stdout
