"""A confined process that does tasks: one JSON object a line comes in, and goes out.

Tasks come as {"step", "task", "arguments"} or {"cancel": step}; events go as {"step", "event":
"result" | "progress" | "hand_over" | "done" | "failed" | "cancelled", ...}.
"""

import json
import os
import queue
import socket
import tempfile
import threading
import traceback
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from explorer.errors import NO_MEMORY, ExplorerError, OutputError
from explorer.jobs import sandbox
from explorer.jobs.context import Cancelled, Context

if TYPE_CHECKING:
    from explorer.jobs.open_models import OpenModels

UNEXPECTED = (
    "An internal error occurred with this model or setting; the server's log has the details."
)
NO_DISK = "The server can't keep the result; its disk may be full, or the result too large for it."


def main(link: socket.socket, setup: dict[str, Any]) -> None:
    """Confine this process as the setup says (see `zygote`), and serve until the link closes."""
    folders = [Path(name) for name in setup["writable"]]
    _settle_in(folders, setup)
    sandbox.limit(sandbox.limits_here())
    sandbox.confine(folders)
    from explorer.jobs.open_models import OpenModels  # noqa: PLC0415 - already loaded where it
    from explorer.jobs.tasks import TASKS  # noqa: PLC0415 - was forked

    lines = link.makefile("r", encoding="utf-8")
    events = link.makefile("w", encoding="utf-8")
    inbox: queue.Queue[dict[str, Any] | None] = queue.Queue()
    cancelled: set[int] = set()
    threading.Thread(target=read_messages, args=(lines, inbox, cancelled), daemon=True).start()
    models = OpenModels()
    with suppress(ConnectionError):  # the server went away, and nobody waits for this work
        while (message := inbox.get()) is not None:
            _serve(TASKS[message["task"]], message, events, cancelled, models)


def _settle_in(folders: list[Path], setup: dict[str, Any]) -> None:
    os.nice(setup["nice"])
    os.sched_setaffinity(0, setup["cores"])
    os.umask(0o077)
    os.chdir(folders[0])
    os.environ["TMPDIR"] = tempfile.tempdir = str(folders[0])
    os.dup2(2, 1)  # what a library prints belongs in the log


def read_messages(
    lines: IO[str], inbox: "queue.Queue[dict[str, Any] | None]", cancelled: set[int]
) -> None:
    """Sort what the server sends into the inbox, None at its end, and the numbers to cancel."""
    with suppress(ConnectionError):  # the server went away with something still unread
        for line in lines:
            message = json.loads(line)
            if "cancel" in message:
                cancelled.add(message["cancel"])
            else:
                inbox.put(message)
    inbox.put(None)


def _serve(
    task: Any,
    message: dict[str, Any],
    events: IO[str],
    cancelled: set[int],
    models: "OpenModels",
) -> None:
    number = message["step"]

    def emit(event: str, **values: Any) -> None:
        print(json.dumps({"step": number, "event": event, **values}, allow_nan=False), file=events)
        events.flush()

    context = Context(emit, lambda: number in cancelled, models)
    try:
        task(context, **message["arguments"])
        emit("done")
    except Cancelled:
        emit("cancelled")
    except OutputError:
        emit("failed", error=NO_DISK)
    except ExplorerError as error:
        emit("failed", error=str(error))
    except MemoryError:
        emit("failed", error=NO_MEMORY)
    except ConnectionError:
        raise
    except Exception:  # noqa: BLE001 - the step's end, not the process's; the log has the rest
        traceback.print_exc()
        emit("failed", error=UNEXPECTED)
    cancelled.discard(number)
