"""Dropped files on their way to a model that can be opened.

Files that were refused are removed, so that they don't count any more.
"""

from collections.abc import Iterable

from explorer.errors import ExplorerError, JobError
from explorer.jobs import Job, Pool, State
from explorer.workspace.folders import Folder
from explorer.workspace.sources import Drop, Source


class FileImport:
    """One visitor's imports, of which at most one goes on: `job`."""

    def __init__(self, pool: Pool, folder: Folder) -> None:
        self.job: Job | None = None
        self._pool = pool
        self._folder = folder
        self._drop: Drop | None = None

    def start(self, drop: Drop) -> str | None:
        """Import files; `advance` does the rest. Returns the sentence to show if that fails."""
        self.stop()
        domain = self._folder.domain
        try:
            self.job = self._pool.submit(domain.name, domain, "import_files", drop.arguments())
        except ExplorerError as error:
            return str(error)
        self._drop = drop
        return None

    def stop(self) -> None:
        """End the import without a result."""
        if self.job is not None:
            self._pool.cancel(self.job)
        self.job = self._drop = None

    def cancel(self) -> None:
        """Have the import end soon; `advance` tells when it has, and removes its files."""
        if self.job is not None:
            self._pool.cancel(self.job)

    def advance(self, known: Iterable[Source]) -> tuple[Source | None, str | None]:
        """The result: something to open, or the sentence to show.

        `known` are the sources whose files must stay.
        """
        job, drop = self.job, self._drop
        if job is None or drop is None or not job.ended:
            return None, None
        self.job = self._drop = None
        error = job.error
        if job.state is State.DONE:
            try:
                return drop.source(self._folder.domain, job.events), None
            except JobError as broken:
                error = str(broken)
        self.let_go(drop, known)
        return None, error

    def remove(self, source: Source, known: Iterable[Source]) -> None:
        """Remove all files of a model, but for those of `known` sources."""
        known = list(known)
        kept = {path for each in known for path in (each.model, each.data, each.calibration)}
        for path in {source.model, source.data, source.calibration} - kept:
            if path is not None and path.parent == self._folder.path:
                path.unlink(missing_ok=True)
        if source.drop is not None:
            self.let_go(source.drop, known)

    def let_go(self, drop: Drop, known: Iterable[Source]) -> None:
        """Remove files that were refused, unless a known source came of them."""
        used = {path for source in known if source.drop for _, path in source.drop.files}
        for _, path in drop.files:
            if path not in used:
                self._folder.drop(path)
