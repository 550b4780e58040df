"""Dropped files on their way to a model that can be opened."""

from collections.abc import Callable
from dataclasses import replace

from explorer.errors import JobError
from explorer.jobs import Job, State
from explorer.workspace.folders import Folder
from explorer.workspace.runner import Request, Work
from explorer.workspace.sources import Drop, Source


class FileImport(Work):
    """One visitor's imports, of which at most one goes on.

    `opened` takes the model that one makes, `refused` the files of one that failed.
    """

    def __init__(
        self, folder: Folder, opened: Callable[[Source], None], refused: Callable[[Drop], None]
    ) -> None:
        self._folder = folder
        self._opened = opened
        self._refused = refused
        self._drop: Drop | None = None

    @property
    def running(self) -> bool:
        """True while files are being imported."""
        return self._drop is not None

    def start(self, drop: Drop) -> None:
        """Import files, in place of those that are being imported, which are refused."""
        before, self._drop = self._drop, drop
        if before is not None:
            left = tuple(file for file in before.files if file not in drop.files)
            self._refused(replace(before, files=left))

    def request(self) -> Request | None:
        """The import of the files that were dropped last."""
        drop = self._drop
        if drop is None:
            return None
        return Request("import_files", self._folder.domain, drop, drop.arguments)

    def end(self, key: Drop, job: Job) -> str | None:
        """Open what has come of it, or refuse its files."""
        if key != self._drop:
            return None
        drop, self._drop = key, None
        error = job.error
        if job.state is State.DONE:
            try:
                source = drop.source(self._folder.domain, job.events)
            except JobError as broken:
                error = str(broken)
            else:
                self._opened(source)
                return None
        self._refused(drop)
        return error

    def halt(self, error: str) -> None:
        """Let go of the files."""
        drop, self._drop = self._drop, None
        assert drop is not None
        self._refused(drop)
