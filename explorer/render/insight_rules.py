"""What a rule about a result sees, and what it may say."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from explorer.digits import fixed
from explorer.recipe import Recipe
from explorer.report import Latency, LayerPlan, Profile, Quality
from explorer.runs import Original

T = TypeVar("T")


@dataclass(frozen=True)
class Case:
    """A run beside its original; what isn't known yet is None."""

    recipe: Recipe
    layers: Sequence[LayerPlan]
    original: Original
    profile: Profile | None
    latency: Latency | None
    quality: Quality | None
    unreconstructed: Quality | None
    reading: str | None
    classes: Sequence[str] = ()

    @property
    def profiles(self) -> tuple[Profile, Profile] | None:
        return _both(self.original.profile, self.profile)

    @property
    def latencies(self) -> tuple[Latency, Latency] | None:
        return _both(self.original.latency, self.latency)

    @property
    def qualities(self) -> tuple[Quality, Quality] | None:
        return _both(self.original.quality, self.quality)


def _both(before: T | None, after: T | None) -> tuple[T, T] | None:
    return (before, after) if before is not None and after is not None else None


@dataclass(frozen=True)
class Insight:
    """A sentence about a result, and the setting that mends it where the rule knows one.

    `remedy` says what that setting does, in words for a button.
    """

    sentence: str
    remedy: str = ""
    recipe: Recipe | None = None


Rule = Callable[[Case], Iterator[str | Insight]]
RULES: dict[str, list[Rule]] = {}  # by the module that they stand in


def rule(function: Rule) -> Rule:
    """Add a rule; those of a module speak in the order in which they stand there."""
    RULES.setdefault(function.__module__, []).append(function)
    return function


def percent(share: float) -> str:
    """In whole percent."""
    return f"{fixed(100 * share)} %"


def counted(names: list[str]) -> str:
    """A layer by its name, or how many there are, and the first."""
    if len(names) == 1:
        return f"layer {names[0]!r}"
    return f"{len(names)} layers, among them {names[0]!r}"
