"""The model that is open, and another one that is to take its place."""

from collections.abc import Callable

from explorer.events import Described, newest
from explorer.jobs import Job, State
from explorer.runs import Original
from explorer.workspace.results import Results
from explorer.workspace.runner import Request, Work
from explorer.workspace.sources import Source

Changed = Callable[[Source | None, Source], None]


class ModelOnScreen:
    """The open model is `source`; `candidate` is being opened, and shown once that has worked.

    `opened` hears of a change, with the model before and the new one, and `refused` of a candidate
    that can't be opened. Two works belong to it: `opening` the candidate, and `measuring` what is
    missing of the `original`, for which nobody waits as long.
    """

    def __init__(
        self, results: Results, opened: Changed, refused: Callable[[Source], None]
    ) -> None:
        self.source: Source | None = None
        self.candidate: Source | None = None
        self.original = Original()
        self.opening: Work = _Part(self, lambda: self.candidate)
        self.measuring: Work = _Part(self, lambda: None if self._is_measured else self.source)
        self._results = results
        self._opened = opened
        self._refused = refused
        self._put_off: Source | None = None  # the first model, while another was dropped
        self._is_measured = False  # to the end; what failed isn't tried again by itself

    def open(self, source: Source) -> None:
        """Open another model; the one on the screen stays until that has worked."""
        if self.source is None:
            self._put_off = self.candidate
        self.candidate = source
        if self._results.original(source).description is not None:  # somebody has opened it before
            self._show(source)

    def stay(self) -> None:
        """Open no other model."""
        self.candidate = self._put_off = None

    def retry(self) -> None:
        """Measure anew what could not be measured of the original."""
        self._is_measured = self.original.is_complete

    def take(self, of: Source, job: Job) -> None:
        """Show the candidate once it is described, and then what is measured of it.

        What is known of a sample is kept for all, as soon as no number is missing.
        """
        if of == self.candidate and newest(job.events, Described) is not None:
            self._show(of)
        if of == self.source and self.candidate is None:
            self.original = self.original.after(job.events)
            if self.original.is_complete:
                self._results.keep_original(of, self.original)

    def end(self, of: Source, job: Job) -> str | None:
        """Measure no more, or refuse the candidate."""
        if job.state is State.CANCELLED:
            return None
        if of == self.candidate:
            self.give_up()
        elif of == self.source:
            self._is_measured = True
        return job.error

    def give_up(self) -> None:
        """Let go of a candidate that can't be opened."""
        refused, self.candidate, self._put_off = self.candidate, self._put_off, None
        if refused is not None:
            self._refused(refused)
        else:
            self._is_measured = True

    def _show(self, source: Source) -> None:
        before, self.source = self.source, source
        self.candidate = self._put_off = None
        self.original = self._results.original(source)
        self._is_measured = self.original.is_complete
        self._opened(before, source)


class _Part(Work):
    """A job that opens and measures the model that is `wanted`."""

    def __init__(self, model: ModelOnScreen, wanted: Callable[[], Source | None]) -> None:
        self._model = model
        self._wanted = wanted

    def request(self) -> Request | None:
        source = self._wanted()
        if source is None:
            return None
        return Request("open_model", source.domain, source, lambda: {"source": source.arguments()})

    def take(self, key: Source, job: Job) -> None:
        self._model.take(key, job)

    def end(self, key: Source, job: Job) -> str | None:
        return self._model.end(key, job)

    def halt(self, error: str) -> None:
        self._model.give_up()
