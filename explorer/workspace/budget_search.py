"""The search for a recipe within an accuracy budget, and its last result."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from explorer.events import Bought, newest
from explorer.findings import Sensitivity, Spent
from explorer.jobs import Job, State
from explorer.jobs.processes import BROKEN
from explorer.recipe import AIMS, Recipe
from explorer.workspace.runner import Request, Work
from explorer.workspace.sources import Source


@dataclass(frozen=True, eq=False)
class Search:
    """A search from the sensitivities that were `found` with a recipe on a model."""

    source: Source
    recipe: Recipe
    found: tuple[Sensitivity, ...]
    points: float
    on: str

    def arguments(self) -> dict[str, Any]:
        """The arguments of the task `spend`."""
        return {
            "source": self.source.arguments(),
            "recipe": self.recipe.to_json(),
            "found": [each.to_dict() for each in self.found],
            "points": self.points,
            "on": self.on,
        }


class BudgetSearch(Work):
    """One visitor's accuracy budget (`points`), what to minimize (`on`, of `AIMS`), and a search.

    `take_recipe` is called with the recipe that is found, unless that compresses nothing.
    """

    def __init__(self, take_recipe: Callable[[Recipe], None]) -> None:
        self.points = 1.0
        self.on = AIMS[0]
        self._take_recipe = take_recipe
        self._search: Search | None = None
        self._bought: tuple[Source, Recipe, Spent] | None = None

    @property
    def running(self) -> bool:
        """True while a recipe is being searched for."""
        return self._search is not None

    @property
    def progress(self) -> tuple[float, str]:
        """How far the search is, and what it does."""
        return self.job.progress if self.job is not None else (0.0, "")

    def bought(self, source: Source | None, recipe: Recipe) -> Spent | None:
        """The result of the last search, as long as its recipe is the current one."""
        if self._bought is None or (source, recipe) != self._bought[:2]:
            return None
        return self._bought[2]

    def start(self, source: Source, recipe: Recipe, found: Sequence[Sensitivity]) -> None:
        """Start a search, in place of the previous one."""
        self._search = Search(source, recipe, tuple(found), self.points, self.on)

    def stop(self) -> None:
        """End the search without a result."""
        self._search = None

    def follow(self, source: Source | None, recipe: Recipe) -> None:
        """A changed recipe or another open model ends the search."""
        search = self._search
        if search is not None and (source, recipe) != (search.source, search.recipe):
            self._search = None

    def request(self) -> Request | None:
        """The search."""
        search = self._search
        if search is None:
            return None
        return Request("spend", search.source.domain, search, search.arguments)

    def end(self, key: Search, job: Job) -> str | None:
        """Keep the result, and hand its recipe over."""
        if key is not self._search or job.state is State.CANCELLED:
            return None
        search, self._search = key, None
        if job.state is State.DONE:
            bought = newest(job.events, Bought)
            if bought is None:
                return BROKEN
            spent = bought.spent
            is_nothing = spent.recipe.is_identity
            recipe = search.recipe if is_nothing else spent.recipe
            self._bought = (search.source, recipe, spent)
            if not is_nothing:
                self._take_recipe(spent.recipe)
        return job.error

    def halt(self, error: str) -> None:
        """End the search."""
        self._search = None
