"""Measuring sensitivity in slices, between all else: what is wanted, and what has been found.

No Streamlit here. Results are kept by model and by what of the recipe they depend on; a slice is a
job like others, which the settings of the page push aside.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from explorer.errors import ExplorerError
from explorer.jobs import Job, Pool, State
from explorer.recipe import Recipe
from explorer.ui.sources import Source

Found = Mapping[str, Any]  # a `Sensitivity` as a dictionary
PREFIX = "sensitivity:"
PLAIN = Recipe()


def base_of(recipe: Recipe) -> Recipe:
    """What of a recipe sensitivity depends on; all else is as in the empty recipe."""
    return replace(
        recipe,
        pattern=PLAIN.pattern,
        ratio=PLAIN.ratio,
        scope=PLAIN.scope,
        weight_bits=PLAIN.weight_bits,
        bits_scope=PLAIN.bits_scope,
        activation_bits=PLAIN.activation_bits,
        group_size=recipe.group_size if recipe.granularity == "group" else PLAIN.group_size,
        seed=recipe.seed if recipe.criterion == "random" else PLAIN.seed,
        layers=(),
    )


class Probing:
    """One visitor's measurements of sensitivity; at most one model at a time is measured."""

    def __init__(self, pool: Pool, session: str) -> None:
        self._pool = pool
        self._session = session
        self._wanted: tuple[Source, Recipe] | None = None
        self._job: Job | None = None
        self._parts: dict[tuple[str, str], dict[str, Any]] = {}

    @property
    def running(self) -> bool:
        """True from the start until all is measured, or until it is stopped."""
        return self._wanted is not None

    def found(self, source: Source | None, recipe: Recipe) -> tuple[Found, ...]:
        """What is known so far of a model with these base settings."""
        parts = self._of(source, base_of(recipe)) if source else {}
        return tuple(value for name, value in parts.items() if name.startswith(PREFIX))

    def progress(self, source: Source | None, recipe: Recipe) -> tuple[int, int | None]:
        """Probes done and to do; the latter is None before the first slice."""
        parts = self._of(source, base_of(recipe)) if source else {}
        return sum(name.startswith(PREFIX) for name in parts), parts.get("probes")

    def is_complete(self, source: Source | None, recipe: Recipe) -> bool:
        """True where nothing is left to measure."""
        done, count = self.progress(source, recipe)
        return count is not None and done >= count

    def start(self, source: Source, recipe: Recipe) -> None:
        """Measure what is not yet known; `advance` does the rest."""
        self.stop()
        self._wanted = (source, base_of(recipe))

    def stop(self) -> None:
        """End the work and keep what has come."""
        self._take()
        self.make_way()
        self._wanted = self._job = None

    def make_way(self) -> None:
        """Let another job go first: the slice ends at its next step, and a later one goes on."""
        if self._job is not None:
            self._pool.cancel(self._job)

    def advance(self, source: Source | None, recipe: Recipe, free: bool) -> str | None:
        """Take in what has come, and where the session is `free` start the next slice.

        Another model, or other base settings, end the work. Returns the sentence to show where
        something went wrong.
        """
        if self._wanted is None:
            return None
        if source is None or (source, base_of(recipe)) != self._wanted:
            self.stop()
            return None
        job = self._job
        if job is not None:
            ended = job.ended  # looked at first: no part comes after the end
            self._take()
            if not ended:
                return None
            self._job = None
            empty = not any(name.startswith(PREFIX) for name in job.parts)
            if job.state is State.FAILED or (job.state is State.DONE and empty):
                self._wanted = None
                return job.error
        if self.is_complete(*self._wanted):
            self._wanted = None
            return None
        return self._submit(*self._wanted) if free else None

    def _submit(self, source: Source, base: Recipe) -> str | None:
        done = [name for name in self._of(source, base) if name.startswith(PREFIX)]
        arguments = {"source": source.arguments(), "recipe": base.to_json(), "done": done}
        try:
            self._job = self._pool.submit(self._session, source.domain, "sensitivity", arguments)
        except ExplorerError as error:
            self._wanted = None
            return str(error)
        return None

    def _take(self) -> None:
        if self._job is not None and self._wanted is not None:
            self._of(*self._wanted).update(self._job.parts)

    def _of(self, source: Source, base: Recipe) -> dict[str, Any]:
        return self._parts.setdefault((source.key, base.to_json()), {})
