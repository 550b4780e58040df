"""Where the confined processes keep compressed models, and how they have them timed."""

import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from explorer.graph.shapes import input_sizes
from explorer.jobs.context import Context
from explorer.jobs.open_models import File
from explorer.jobs.terms import TERMS
from explorer.model import Model
from explorer.pipeline import Watch, time_here
from explorer.report import Latency

PASSING = "passing-"  # files that are there until they are timed


def file_of(path: str, model: Model) -> File:
    """A model's file, for a task that takes it up at the same input sizes."""
    return {"path": path, "name": model.name, "input_sizes": input_sizes(model)}


@dataclass
class Desk:
    """A `pipeline.Place` of a job: where that is confined, a separate process does the timing.

    `original` is the path of the original's file, `out` where the compressed model goes. Timing is
    handed over as soon as the file is there, so that it goes on beside the scoring.
    """

    context: Context
    original: str
    against: Model
    out: str = ""
    handed_over: int = field(default=0, init=False)

    def keep(self, model: Model) -> str:
        """Write the file, and have it timed."""
        model.save(self.out)
        self._hand_over(file_of(self.out, model))
        return self.out

    def time_original(self) -> None:
        """Have the original timed, beside itself."""
        self._hand_over(file_of(self.original, self.against))

    def time(
        self, model: Model, against: Model, watch: Watch, setting: str = ""
    ) -> Iterator[Latency]:
        """Nothing of what is handed over, a survey's models in files that are removed then."""
        if not self.context.is_confined:
            yield from time_here(model, against, watch)
        elif setting:
            path = Path.cwd() / f"{PASSING}{secrets.token_hex(8)}.onnx"
            model.save(path)
            self._hand_over(file_of(str(path), model), setting=setting)

    def _hand_over(self, candidate: File, **more: Any) -> None:
        if not self.context.is_confined:
            return
        original = file_of(self.original, self.against)
        self.context.hand_over("latency", model=candidate, against=original, **more)
        self.handed_over += 1


def remove_passing() -> None:
    """Remove files of slices that were stopped before they were timed."""
    for path in Path.cwd().glob(f"{PASSING}*.onnx"):
        if path.stat().st_mtime < time.time() - TERMS["survey"].limit_s:
            path.unlink(missing_ok=True)
