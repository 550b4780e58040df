"""Spending a budget of lost quality: what is being bought, and what has been.

The search is a job like others; a changed setting or another model
ends it.
"""

from collections.abc import Callable, Sequence

from explorer.errors import ExplorerError
from explorer.events import Bought, require
from explorer.findings import Sensitivity, Spent
from explorer.jobs import Job, Pool, State
from explorer.recipe import AIMS, Recipe
from explorer.workspace.sources import Source


class BudgetSearch:
    """One visitor's budget: `points` to spend `on` one of `AIMS`, and at most one search."""

    def __init__(self, pool: Pool, session: str) -> None:
        self.points = 1.0
        self.on = AIMS[0]
        self._pool = pool
        self._session = session
        self._job: Job | None = None
        self._wanted: tuple[Source, Recipe] | None = None
        self._bought: tuple[Source, Recipe, Spent] | None = None

    @property
    def running(self) -> bool:
        """True while a recipe is being searched for."""
        return self._job is not None

    @property
    def progress(self) -> tuple[float, str]:
        """How far the search is, and what it does."""
        return self._job.progress if self._job is not None else (0.0, "")

    def bought(self, source: Source | None, recipe: Recipe) -> Spent | None:
        """The result of the last search, a `Spent`, as long as its recipe is the current one."""
        if self._bought is None or (source, recipe) != self._bought[:2]:
            return None
        return self._bought[2]

    def start(self, source: Source, recipe: Recipe, found: Sequence[Sensitivity]) -> str | None:
        """Search for a recipe; `advance` takes it. Returns the sentence to show if that fails."""
        self.stop()
        arguments = {
            "source": source.arguments(),
            "recipe": recipe.to_json(),
            "found": [each.to_dict() for each in found],
            "points": self.points,
            "on": self.on,
        }
        try:
            self._job = self._pool.submit(self._session, source.domain, "spend", arguments)
        except ExplorerError as error:
            return str(error)
        self._wanted = (source, recipe)
        return None

    def stop(self) -> None:
        """End the search without a result."""
        if self._job is not None:
            self._pool.cancel(self._job)
        self._job = self._wanted = None

    def advance(
        self, source: Source | None, recipe: Recipe, take: Callable[[Recipe], None]
    ) -> str | None:
        """Hand a recipe that has been found to `take`; one that does nothing is left alone.

        Returns the sentence to show where something went wrong.
        """
        job = self._job
        if job is None:
            return None
        if source is None or (source, recipe) != self._wanted:
            self.stop()
            return None
        if not job.ended:
            return None
        self._job = self._wanted = None
        if job.state is State.DONE:
            spent = require(job.events, Bought).spent
            is_nothing = spent.recipe.is_identity
            self._bought = (source, recipe if is_nothing else spent.recipe, spent)
            if not is_nothing:
                take(spent.recipe)
        return job.error
