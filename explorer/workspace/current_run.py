"""One visitor's settings: the one that is being made, and the one that is shown meanwhile.

A setting is a job; nothing that it does wrong takes the one before away.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from explorer.errors import ExplorerError
from explorer.jobs import Job, Pool, State
from explorer.recipe import Recipe
from explorer.render.text import WENT_BACK
from explorer.runs import FIRST_RECIPE, Original, Run, View
from explorer.workspace.folders import TRIED, make_room
from explorer.workspace.results import Results
from explorer.workspace.sources import Source

BEGAN_ANEW = "The default setting is used instead."


class CurrentRun:
    """See the module; what is found out goes into the `memory`."""

    def __init__(self, pool: Pool, session: str, memory: Results) -> None:
        self._pool = pool
        self._session = session
        self._memory = memory
        self._making: tuple[Source, Recipe, Job] | None = None
        self._is_again = False
        self._out = ""  # where the file of that goes
        self._running: Run | None = None
        self._shown: Run | None = None

    @property
    def job(self) -> Job | None:
        """That of the setting being made."""
        return self._making[2] if self._making else None

    @property
    def shown(self) -> Run | None:
        """The setting that was made last, or shown from memory."""
        return self._shown

    @property
    def shown_file(self) -> Path | None:
        """The file of that, which has to stay."""
        return self._shown.file if self._shown else None

    @property
    def due_at_once(self) -> Job | None:
        """The job whose estimate is about to come: at most one that is being stopped is ahead."""
        job = self.job
        return job if job is not None and self._running is None and job.position <= 1 else None

    def view(self, original: Original, asked: Recipe) -> View:
        """What to draw of the setting that is `asked` for, beside the `original`."""
        run = self._running or self._shown
        if run is not None and run.recipe != asked:
            run = None
        waits = run is None and (self._making is not None or self._shown is not None)
        return View(original, Run(asked) if waits else run)

    def tried(self, source: Source) -> tuple[Run, ...]:
        """Every run on a model that has numbers, oldest first."""
        runs = self._memory.tried(source)
        if self._running is not None and self._running.quality is not None:
            runs[self._running.recipe.to_json()] = self._running
        return tuple(runs.values())

    def recall(self, source: Source, recipe: Recipe) -> bool:
        """Show a setting as it was measured before; False where it wasn't."""
        known = self._memory.recall(source, recipe)
        self._shown = known or self._shown
        return known is not None

    def start(self, source: Source, recipe: Recipe, again: bool = False) -> str | None:
        """Make a setting; `advance` takes it. Returns the sentence to show if that fails.

        `again` says that it is measured anew, whatever is known of it.
        """
        self._is_again = again
        folder = source.domain.folder
        make_room(folder, self.shown_file)
        self._out = str(TRIED.new_file(folder))
        arguments = {
            "source": source.arguments(),
            "recipe": recipe.to_json(),
            "out": self._out,
            "counted": self._memory.counted(source, recipe),
        }
        try:
            job = self._pool.submit(self._session, source.domain, "compress", arguments)
        except ExplorerError as error:
            return str(error)
        self._making, self._running = (source, recipe, job), None
        return None

    def stop(self) -> None:
        """Forget the setting that is being made, but keep what was measured of it."""
        if self._making is None:
            return
        source, _, job = self._making
        run = self._running
        self._pool.cancel(job)
        self._making = self._running = None
        if run is not None and run.quality is not None:
            self._memory.remember(source, run)
            self._shown = run

    def clear(self) -> None:
        """Show nothing: another model is open."""
        self.stop()
        self._shown = None

    def advance(self, asked: Recipe, go_back: Callable[[Recipe], None]) -> str | None:
        """Take in what has come; the setting that is shown goes to `go_back` where nothing does.

        Only if nothing else was `asked` for meanwhile. Returns the sentence to show where something
        went wrong.
        """
        if self._making is None:
            return None
        source, recipe, job = self._making
        is_open = job.state is State.WAITING and not self._is_again
        if is_open and self.recall(source, asked):  # another visitor was first
            self.stop()
            return None
        ended, known = job.ended, self._memory.taken(source, recipe, job.events, self._out)
        if known.estimate is not None:
            self._running = replace(known, complete=job.state is State.DONE)
        if not ended:
            return None
        run, self._making, self._running = self._running, None, None
        if run is not None and run.artifact is not None and job.state is not State.CANCELLED:
            self._keep(source, replace(run, complete=True), job.state is State.DONE)
        elif asked == recipe and self._shown is not None:
            go_back(self._shown.recipe)
            if job.state is State.FAILED and recipe != self._shown.recipe:
                return f"{job.error} {WENT_BACK}"
        elif asked == recipe != FIRST_RECIPE and job.state is State.FAILED:  # a link's
            go_back(FIRST_RECIPE)
            return f"{job.error} {BEGAN_ANEW}"
        return job.error if job.state is State.FAILED else None

    def _keep(self, source: Source, run: Run, is_whole: bool) -> None:
        self._memory.remember(source, run)
        self._shown = run
        if is_whole:
            self._memory.share(source, run)
