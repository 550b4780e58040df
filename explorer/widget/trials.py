"""Settings that were tried, and what the screen shows of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from explorer.recipe import Recipe
from explorer.report import Report

WENT_BACK = "Reverted to the previous setting."
FIRST_RECIPE = Recipe(pattern="channel", ratio=0.3)
Parts = Mapping[str, Any]
MEASURED = ("profile", "latency", "quality")


@dataclass(frozen=True)
class Trial:
    """One setting on one model, with the parts that have come of it (`explorer.jobs.tasks`)."""

    recipe: Recipe
    parts: Parts = field(default_factory=dict)
    complete: bool = False

    @property
    def file(self) -> Path | None:
        """The compressed model, while it is still there."""
        path = Path(self.parts["file"]["path"]) if "file" in self.parts else None
        return path if path and path.is_file() and not path.is_symlink() else None

    @property
    def named_file(self) -> dict[str, Any] | None:
        """The file as tasks name it, once it is complete and as long as it is there."""
        if not self.complete or self.file is None:
            return None
        return {key: self.parts["file"][key] for key in ("path", "name", "input_sizes")}


def report_of(model_id: str, name: str, parts: Parts) -> Report:
    """What is known of one model by its parts."""
    known = {part: parts.get(part) for part in MEASURED}
    return Report.from_dict({"model_id": model_id, "name": name, **known})


@dataclass(frozen=True)
class View:
    """What the screen shows of one setting; a number of another one never stands in its place.

    `compressed` holds `profile`, `latency` and `quality` as far as known; `estimated` says that
    the profile is an estimate, `first_samples` that the quality is that of the first samples
    only. `naive` is the quality of the same setting without reconstruction, where that is known;
    `naive_coming` says that it will be.
    """

    original: Parts
    compressed: Parts
    trial: Trial | None
    estimated: bool = False
    first_samples: bool = False
    naive: Parts | None = None
    naive_coming: bool = False


def view_of(original: Parts, trial: Trial | None) -> View:
    """A trial's numbers as far as they are known, estimates in the place of those to come."""
    if trial is None:
        return View(original, {}, None)
    parts = dict(trial.parts)
    estimated = "profile" not in parts and "estimate" in parts
    if estimated:
        parts["profile"] = parts["estimate"]
    first_samples = "quality" not in parts and "first_quality" in parts
    if first_samples:
        parts["quality"] = parts["first_quality"]
    compressed = {name: parts[name] for name in MEASURED if name in parts}
    naive = parts.get("naive_quality")
    refitted = "file" in parts and parts["file"]["not_compensated"] is None
    coming = refitted and naive is None and "quality" in parts and not trial.complete
    return View(original, compressed, trial, estimated, first_samples, naive, coming)
