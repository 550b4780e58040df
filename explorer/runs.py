"""The original and the runs on it, as values that grow with the events that come of the work.

Loads nothing heavy.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path

from explorer.description import Artifact, Description, Host, Relabelling
from explorer.events import (
    Answered,
    Described,
    Encoded,
    Estimated,
    Event,
    Hosted,
    Planned,
    Profiled,
    Relabelled,
    Scored,
    ScoredQuickly,
    ScoredWithoutReconstruction,
    Timed,
)
from explorer.recipe import Recipe
from explorer.report import Latency, LayerPlan, Plan, Profile, Quality, Report

FIRST_RECIPE = Recipe(pattern="channel", ratio=0.3)


@dataclass(frozen=True)
class Original:
    """What is known of a model as it was brought; what isn't known yet is None.

    `first_quality` is that of the first samples only. `relabelling` is a numbering of the labels
    that fits much better, `answers` how many classes it chooses on samples without labels.
    """

    host: Host | None = None
    description: Description | None = None
    profile: Profile | None = None
    latency: Latency | None = None
    first_quality: Quality | None = None
    quality: Quality | None = None
    relabelling: Relabelling | None = None
    answers: int | None = None

    def after(self, events: Iterable[Event]) -> "Original":
        """The same with what events say; those of another kind of work say nothing."""
        return reduce(Original._with, events, self)

    def _with(self, event: Event) -> "Original":  # noqa: PLR0911 - one line for each kind
        match event:
            case Hosted(host):
                return replace(self, host=host)
            case Described(description):
                return replace(self, description=description)
            case Profiled(profile):
                return replace(self, profile=profile)
            case Timed(latency):
                return replace(self, latency=latency)
            case Scored(quality, on_first=True):
                return replace(self, first_quality=quality)
            case Scored(quality):
                return replace(self, quality=quality)
            case Relabelled(relabelling):
                return replace(self, relabelling=relabelling)
            case Answered(classes):
                return replace(self, answers=classes)
            case _:
                return self

    @property
    def samples(self) -> int | None:
        """How many there are to score it on; None while that isn't known."""
        return self.description.samples if self.description is not None else None

    @property
    def is_complete(self) -> bool:
        """True once nothing more will be measured of it."""
        return self.latency is not None and (not self.samples or self.quality is not None)

    def report(self, name: str | None = None) -> Report:
        """Once it is described and profiled; under a name of its own or under another."""
        assert self.description is not None
        assert self.profile is not None
        named = self.description.name if name is None else name
        return Report(self.description.id, named, self.profile, self.latency, self.quality)


@dataclass(frozen=True)
class Run:
    """One recipe on one model, with what has come of it; what isn't known yet is None.

    `first_quality` is that of the first samples only, `quick_quality` that of a quick
    reconstruction, `unreconstructed` that of the same recipe without any. `complete` says that
    nothing more will come.
    """

    recipe: Recipe
    plan: Plan | None = None
    estimate: Profile | None = None
    artifact: Artifact | None = None
    profile: Profile | None = None
    latency: Latency | None = None
    quick_quality: Quality | None = None
    first_quality: Quality | None = None
    quality: Quality | None = None
    unreconstructed: Quality | None = None
    complete: bool = False

    def after(self, events: Iterable[Event]) -> "Run":
        """The same with what events say; those of another kind of work say nothing."""
        return reduce(Run._with, events, self)

    def _with(self, event: Event) -> "Run":  # noqa: PLR0911 - one line for each kind
        match event:
            case Planned(plan):
                return replace(self, plan=plan)
            case Estimated(profile):
                return replace(self, estimate=profile)
            case Encoded(artifact):
                return replace(self, artifact=artifact)
            case Profiled(profile):
                return replace(self, profile=profile)
            case Timed(latency):
                return replace(self, latency=latency)
            case Scored(quality, on_first=True):
                return replace(self, first_quality=quality)
            case Scored(quality):
                return replace(self, quality=quality)
            case ScoredQuickly(quality):
                return replace(self, quick_quality=quality)
            case ScoredWithoutReconstruction(quality):
                return replace(self, unreconstructed=quality)
            case _:
                return self

    @property
    def layers(self) -> tuple[LayerPlan, ...]:
        """What becomes of each layer; none before it is planned."""
        return self.plan.layers if self.plan is not None else ()

    @property
    def file(self) -> Path | None:
        """The compressed model, while it is still there."""
        path = Path(self.artifact.path) if self.artifact is not None else None
        return path if path and path.is_file() and not path.is_symlink() else None

    @property
    def finished_file(self) -> Artifact | None:
        """The file once the run is complete, and as long as it is there."""
        return self.artifact if self.complete and self.file is not None else None

    def report(self) -> Report:
        """Once its file is there."""
        assert self.artifact is not None
        assert self.profile is not None
        file = self.artifact
        return Report(file.model_id, file.name, self.profile, self.latency, self.quality)


@dataclass(frozen=True)
class View:
    """What the screen shows: the original, and of a run what is known, estimated until it is.

    A number of another run never stands in its place.
    """

    original: Original = Original()
    run: Run | None = None

    @property
    def profile(self) -> Profile | None:
        """That of the file, or else the estimate."""
        return (self.run.profile or self.run.estimate) if self.run is not None else None

    @property
    def is_estimated(self) -> bool:
        """True where the profile is an estimate."""
        return self.profile is not None and self.run is not None and self.run.profile is None

    @property
    def latency(self) -> Latency | None:
        """That of the run."""
        return self.run.latency if self.run is not None else None

    @property
    def quality(self) -> Quality | None:
        """That on all samples, or else that on the first."""
        return (self.run.quality or self.run.first_quality) if self.run is not None else None

    @property
    def is_on_first(self) -> bool:
        """True where the quality is that of the first samples only."""
        return self.quality is not None and self.run is not None and self.run.quality is None

    @property
    def quick_quality(self) -> Quality | None:
        """About the quality, until that of the file is there."""
        return self.run.quick_quality if self.run is not None and self.quality is None else None

    @property
    def awaits_unreconstructed(self) -> bool:
        """True where the quality without weight reconstruction is still to come."""
        run = self.run
        if run is None or run.complete or run.quality is None or run.unreconstructed is not None:
            return False
        return run.artifact is not None and run.artifact.not_reconstructed is None
