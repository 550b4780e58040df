"""A thread does for a shell without pages what a page does whenever it is drawn: it advances."""

import threading
from collections.abc import Callable

from explorer.workspace.workspace import Workspace

LOOK_S = 0.1  # at progress; numbers are taken in as they come


class Follower:
    """Advances a workspace as its jobs go on; `changed` is called after that, with its lock held.

    The thread ends where there is nothing to follow, until `wake` is called.
    """

    def __init__(self, workspace: Workspace, changed: Callable[[], None]) -> None:
        self._workspace = workspace
        self._changed = changed
        self._moved = threading.Condition(workspace.lock)
        self._thread: threading.Thread | None = None
        self._is_closed = False

    def wake(self) -> None:
        """Something was asked of the workspace."""
        with self._moved:
            self._tell()
            if self._thread is None and not self._is_closed:
                self._thread = threading.Thread(target=self._follow, daemon=True)
                self._thread.start()

    def wait(self, until: Callable[[], bool], timeout_s: float | None = None) -> None:
        """Wait until something is so of the workspace, or there is nothing more to come.

        Raises:
            TimeoutError: it takes longer.
        """
        with self._moved:
            is_over = self._moved.wait_for(lambda: until() or self._thread is None, timeout_s)
        if not is_over:
            raise TimeoutError(f"The explorer is still at work after {timeout_s} seconds.")

    def close(self) -> None:
        """Follow no more."""
        with self._moved:
            self._is_closed, self._thread = True, None
            self._moved.notify_all()

    def _follow(self) -> None:
        try:
            while self._is_followed:
                self._workspace.waiting.await_news(LOOK_S)
                with self._moved:
                    if not self._is_closed:
                        self._advance()
        except BaseException:
            with self._moved:  # whoever waits must not wait for ever
                self._thread = None
                self._moved.notify_all()
            raise

    @property
    def _is_followed(self) -> bool:
        with self._moved:
            return self._thread is threading.current_thread()

    def _advance(self) -> None:
        self._workspace.advance()
        if self._workspace.is_idle:
            self._thread = None
        self._tell()

    def _tell(self) -> None:
        self._changed()
        self._moved.notify_all()
