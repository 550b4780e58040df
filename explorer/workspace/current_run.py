"""One visitor's runs: the one that is being made, and the one that is shown meanwhile.

If a run fails, the previous one stays.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from explorer.jobs import Job, State
from explorer.recipe import Recipe
from explorer.render.text import WENT_BACK
from explorer.runs import FIRST_RECIPE, Original, Run, View
from explorer.workspace.folders import TRIED, make_room
from explorer.workspace.results import Results
from explorer.workspace.runner import Request, Work
from explorer.workspace.sources import Source

BEGAN_ANEW = "The default setting is used instead."


@dataclass(frozen=True, eq=False)
class Asked:
    """A recipe on a model; `again`: to be measured anew, whatever is known of it."""

    source: Source
    recipe: Recipe
    again: bool


class CurrentRun(Work):
    """See the module; finished runs are kept in the `results`.

    When a run fails, `go_back` is called with the recipe to return to.
    """

    def __init__(self, results: Results, go_back: Callable[[Recipe], None]) -> None:
        self._results = results
        self._go_back = go_back
        self._asked: Asked | None = None
        self._out = ""  # where the file goes
        self._running: Run | None = None
        self._shown: Run | None = None

    @property
    def running(self) -> bool:
        """True while a run is being made, or waits for that."""
        return self._asked is not None

    @property
    def shown(self) -> Run | None:
        """The run that was made last, or shown from memory."""
        return self._shown

    @property
    def shown_file(self) -> Path | None:
        """Its file, which must not be removed."""
        return self._shown.file if self._shown else None

    @property
    def due_at_once(self) -> Job | None:
        """The job whose estimate is about to come: at most one that is being stopped is ahead."""
        job = self.job
        return job if job is not None and self._running is None and job.position <= 1 else None

    def view(self, original: Original, asked: Recipe) -> View:
        """What to draw for the recipe that is `asked` for, beside the `original`."""
        run = self._running or self._shown
        if run is not None and run.recipe != asked:
            run = None
        waits = run is None and (self.running or self._shown is not None)
        return View(original, Run(asked) if waits else run)

    def runs(self, source: Source) -> tuple[Run, ...]:
        """Every run on a model that has numbers, oldest first."""
        runs = self._results.runs(source)
        if self._running is not None and self._running.quality is not None:
            runs[self._running.recipe.to_json()] = self._running
        return tuple(runs.values())

    def ask(self, source: Source, recipe: Recipe, again: bool = False) -> None:
        """Show a run that is known, or make it; `again` says to make it anew in any case."""
        self._drop()
        if again or not self._recall(source, recipe):
            self._asked = Asked(source, recipe, again)

    def clear(self) -> None:
        """Show nothing: another model is open."""
        self._drop()
        self._shown = None

    def request(self) -> Request | None:
        """The run that is asked for."""
        asked = self._asked
        if asked is None:
            return None
        return Request("compress", asked.source.domain, asked, self._arguments)

    def take(self, key: Asked, job: Job) -> None:
        """Take in the numbers as they come; another visitor may have been first to make them."""
        if key is not self._asked:
            return
        is_open = job.state is State.WAITING and not key.again
        if is_open and self._recall(key.source, key.recipe):
            self._asked = None
            return
        known = self._results.taken(key.source, key.recipe, job.events, self._out)
        if known.estimate is not None:
            self._running = replace(known, complete=job.state is State.DONE)

    def end(self, key: Asked, job: Job) -> str | None:
        """Show the run, or go back to one that could be made."""
        if key is not self._asked or job.state is State.CANCELLED:
            return None
        run, self._asked, self._running = self._running, None, None
        if run is not None and run.artifact is not None:
            self._keep(key.source, replace(run, complete=True), job.state is State.DONE)
            return job.error
        error = job.error
        if self._shown is None and key.recipe != FIRST_RECIPE and error:  # that of a link
            self._go_back(FIRST_RECIPE)
            return f"{error} {BEGAN_ANEW}"
        return self._return_from(key.recipe, error)

    def halt(self, error: str) -> str | None:
        """Drop the run that was asked for; what is shown stays, with its recipe."""
        assert self._asked is not None
        recipe, self._asked, self._running = self._asked.recipe, None, None
        return self._return_from(recipe, error)

    def _return_from(self, recipe: Recipe, error: str | None) -> str | None:
        """Go back to what is shown, if anything is; the sentence to show."""
        shown = self._shown
        if shown is None:
            return error
        self._go_back(shown.recipe)
        return f"{error} {WENT_BACK}" if error and shown.recipe != recipe else error

    def _drop(self) -> None:
        """Forget the run that is being made, but keep what was measured of it."""
        asked, run = self._asked, self._running
        self._asked = self._running = None
        if asked is not None and run is not None and run.quality is not None:
            self._results.remember(asked.source, run)
            self._shown = run

    def _recall(self, source: Source, recipe: Recipe) -> bool:
        """Show a run as it was measured before; False where it wasn't."""
        known = self._results.recall(source, recipe)
        self._shown = known or self._shown
        return known is not None

    def _arguments(self) -> dict[str, Any]:
        assert self._asked is not None
        source, recipe = self._asked.source, self._asked.recipe
        make_room(source.domain.folder, self.shown_file)
        self._out = str(TRIED.new_file(source.domain.folder))
        return self._results.compress_arguments(source, recipe, self._out)

    def _keep(self, source: Source, run: Run, is_whole: bool) -> None:
        self._results.remember(source, run)
        self._shown = run
        if is_whole:
            self._results.share(source, run)
