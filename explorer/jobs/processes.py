"""The processes of the pool, as the server sees them: what is said to them, and heard."""

import json
import math
import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from explorer.errors import JobError
from explorer.jobs.pool import Domain
from explorer.jobs.sandbox import MEMORY

ROOT = Path(__file__).resolve().parents[2]
PRELOADED = {False: ("explorer.jobs.tasks",), True: ("explorer.jobs.tasks", "torch")}
# Of the server's environment, which may hold secrets. With other kernels of OpenBLAS the last bits
# of a sum are others, and a script outside would not make the same file.
KERNELS = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
PASSED_ON = (
    *("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "PYTHONPATH", "VIRTUAL_ENV", MEMORY),
    *KERNELS,
)
SEND_S = 2.0
MESSAGE_BYTES = 2**16  # of a zygote
LINE_BYTES = 2**26  # of one event
READ_BYTES = 2**20

CRASHES = (signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGABRT, signal.SIGFPE)
CRASHED = "This model or setting crashed the process that worked on it; nothing else is affected."
STOPPED = (
    "The process that did the work was stopped from outside, most likely because memory ran out."
)
BROKEN = "The process that did the work stopped unexpectedly; nothing else is affected."

Message = dict[str, Any]


class Zygote:
    """The process that others are forked from (see `zygote`), with torch or without.

    Raises:
        JobError: it can't be started.
    """

    def __init__(self, torch: bool) -> None:
        self.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        command = [sys.executable, "-m", "explorer.jobs.zygote", str(theirs.fileno())]
        try:
            self.process = subprocess.Popen(  # noqa: S603 - our own program
                [*command, *PRELOADED[torch]],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                cwd=ROOT,
                env={**environment, "TORCH_FORCE_WEIGHTS_ONLY_LOAD": "1"},
            )
        except OSError as error:
            self.control.close()
            raise JobError("The process that does the work can't be started.") from error
        finally:
            theirs.close()
        self.control.settimeout(SEND_S)

    def say(self, message: Message, *handles: int) -> None:
        """Send a message, with files to pass on."""
        with suppress(OSError):  # it has died, and will be heard of
            socket.send_fds(self.control, [json.dumps(message).encode()], handles)

    def hear(self) -> Message | None:
        """The next message; None where it has died."""
        try:
            data = self.control.recv(MESSAGE_BYTES)
        except OSError:
            return None
        message: Message | None = json.loads(data) if data else None
        return message

    def close(self) -> None:
        """End it, and with it all that were forked from it."""
        self.control.close()
        self.process.kill()
        self.process.wait()


@dataclass(eq=False)
class Worker:
    """A process of a domain, from the order to start it until its end has been reported."""

    number: int
    domain: Domain
    torch: bool
    link: socket.socket
    cores: tuple[int, ...]
    pid: int | None = None
    idle_since: float = 0.0
    is_ending: bool = False
    _heard: bytearray = field(default_factory=bytearray)

    @property
    def is_open(self) -> bool:
        """True until it has said its last word."""
        return self.link.fileno() >= 0

    def say(self, message: Message) -> bool:
        """Send a message; False where it has died or doesn't listen."""
        try:
            self.link.settimeout(SEND_S)
            self.link.sendall(json.dumps(message).encode() + b"\n")
            self.link.setblocking(False)
        except OSError:
            return False
        return True

    def hear(self) -> list[Message] | None:
        """What it has said since; None at its end.

        Raises:
            ValueError, RecursionError: that is no JSON, too long, or holds a number that isn't
                finite.
        """
        try:
            data = self.link.recv(READ_BYTES)
        except BlockingIOError:
            return []
        except OSError:
            data = b""
        if not data:
            return None
        *lines, self._heard = (self._heard + data).split(b"\n")
        if len(self._heard) > LINE_BYTES:
            raise ValueError(len(self._heard))
        return [json.loads(line, parse_float=_finite, parse_constant=_finite) for line in lines]

    def pin(self, cores: tuple[int, ...]) -> None:
        """Leave it these cores."""
        if self.pid is not None and self.cores != cores:
            self.cores = cores
            with suppress(OSError):  # it has just ended
                for thread in Path(f"/proc/{self.pid}/task").iterdir():
                    os.sched_setaffinity(int(thread.name), cores)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


def reason_of_end(status: int | None) -> str:
    """Why a job failed whose process ended with a status, as `subprocess` gives it."""
    if status is not None and -status in CRASHES:
        return CRASHED
    return STOPPED if status == -signal.SIGKILL else BROKEN
