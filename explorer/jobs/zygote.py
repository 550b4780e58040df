"""The process from which all others are forked, with their libraries loaded and nothing else.

It reads no foreign byte itself. Starting a process this way takes milliseconds, where importing
the libraries takes seconds. It listens on a socket, inherited as the number on its command line:

    {"spawn": worker, "writable": [folder], "cores": [n], "nice": n}   with the worker's socket
    {"kill": worker}

and answers {"started": worker, "pid": pid} and {"ended": worker, "status": code}, the code negative
for a signal, as in `subprocess`. When the socket closes, all its processes end.
"""

import ctypes
import gc
import importlib
import json
import os
import selectors
import signal
import socket
import sys
import traceback
from typing import Any, NoReturn

from explorer.jobs import worker

PR_SET_PDEATHSIG = 1
MESSAGE_BYTES = 2**16
CRASHED = 70  # exit status after an exception, as EX_SOFTWARE in sysexits.h


def main() -> None:
    """Serve until the socket closes."""
    control = socket.socket(fileno=int(sys.argv[1]))
    for name in sys.argv[2:]:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()  # what is loaded stays shared with the children
    _Nursery(control).serve()


class _Nursery:
    def __init__(self, control: socket.socket) -> None:
        self.control = control
        self.selector = selectors.DefaultSelector()
        self.selector.register(control, selectors.EVENT_READ)
        self.pids: dict[int, int] = {}  # by worker

    def serve(self) -> None:
        while True:
            for key, _ in self.selector.select():
                if key.fileobj is self.control:
                    if not self._hear():
                        return self._end_all()
                else:
                    self._bury(key.fd, key.data)

    def _hear(self) -> bool:
        data, handles, _, _ = socket.recv_fds(self.control, MESSAGE_BYTES, 1)
        if not data:
            return False
        message = json.loads(data)
        if "kill" in message:
            if message["kill"] in self.pids:
                os.kill(self.pids[message["kill"]], signal.SIGKILL)
        else:
            self._spawn(message, handles[0])
        return True

    def _spawn(self, message: dict[str, Any], handle: int) -> None:
        number, parent = message["spawn"], os.getpid()
        pid = os.fork()
        if pid == 0:
            _become(message, handle, parent)
        os.close(handle)
        self.pids[number] = pid
        self.selector.register(os.pidfd_open(pid), selectors.EVENT_READ, number)
        self._say({"started": number, "pid": pid})

    def _bury(self, pidfd: int, number: int) -> None:
        self.selector.unregister(pidfd)
        os.close(pidfd)
        _, status = os.waitpid(self.pids.pop(number), 0)
        self._say({"ended": number, "status": os.waitstatus_to_exitcode(status)})

    def _say(self, message: dict[str, Any]) -> None:
        self.control.send(json.dumps(message).encode())

    def _end_all(self) -> None:
        for pid in self.pids.values():
            os.kill(pid, signal.SIGKILL)


def _become(message: dict[str, Any], handle: int, parent: int) -> NoReturn:
    """The rest of a child's life."""
    status = CRASHED
    try:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it died in between
            os._exit(CRASHED)
        os.closerange(3, handle)
        os.closerange(handle + 1, os.sysconf("SC_OPEN_MAX"))
        worker.main(socket.socket(fileno=handle), message)
        status = 0
    except BaseException:  # noqa: BLE001 - the log has it; nothing of the parent may run here
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    main()
