"""The child process: reads tasks from standard input, writes events to standard output.

One JSON object a line. Tasks come as {"job", "task", "arguments"} or {"cancel": job}; events go as
{"job", "event": "part" | "progress" | "done" | "failed" | "cancelled", ...}.
"""

import json
import os
import queue
import sys
import threading
import traceback
from typing import IO, Any

from explorer.errors import ExplorerError
from explorer.jobs import tasks
from explorer.jobs.context import Cancelled, Context

UNEXPECTED = (
    "The explorer made a mistake on this model or setting; the server's log has the details."
)


def main() -> None:
    """Serve until standard input closes."""
    # Whatever a library prints must not end up among the events.
    events = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    inbox: queue.Queue[dict[str, Any] | None] = queue.Queue()
    cancelled: set[int] = set()
    threading.Thread(target=_read, args=(inbox, cancelled), daemon=True).start()
    while (message := inbox.get()) is not None:
        _serve(message, events, cancelled)


def _read(inbox: "queue.Queue[dict[str, Any] | None]", cancelled: set[int]) -> None:
    for line in sys.stdin:
        message = json.loads(line)
        if "cancel" in message:
            cancelled.add(message["cancel"])
        else:
            inbox.put(message)
    inbox.put(None)


def _serve(message: dict[str, Any], events: IO[str], cancelled: set[int]) -> None:
    number = message["job"]

    def emit(event: str, **values: Any) -> None:
        events.write(json.dumps({"job": number, "event": event, **values}, allow_nan=False) + "\n")

    context = Context(emit, lambda: number in cancelled)
    try:
        tasks.TASKS[message["task"]](context, **message["arguments"])
        emit("done")
    except Cancelled:
        emit("cancelled")
    except ExplorerError as error:
        emit("failed", error=str(error))
    except MemoryError:
        emit("failed", error="There isn't enough memory for this model on this machine.")
    except Exception:  # noqa: BLE001 - the job's end, not the process's; the log has the rest
        traceback.print_exc()
        emit("failed", error=UNEXPECTED)
    cancelled.discard(number)


if __name__ == "__main__":
    main()
