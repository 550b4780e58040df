"""Pages are drawn one after another, each in the time that it takes alone.

Python runs one thread at a time anyway. Threads that compete to draw fifty pages only pass that one
place around, so that none of them ends soon and the server's own thread, which has to send what
they draw, gets to run last of all: a burst of changes then took seconds instead of milliseconds.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

_turn = threading.RLock()


@contextmanager
def turn() -> Iterator[None]:
    """Wait for one's turn to draw, and keep it until the end."""
    with _turn:
        yield
