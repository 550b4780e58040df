"""Results of sensitivity measurements and accuracy budgets, as values; loads nothing heavy."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from explorer.recipe import LayerChoice, Recipe
from explorer.report import Latency, Profile, Quality

PLAIN = Recipe()


@dataclass(frozen=True)
class Probe:
    """One place compressed in one way: a channel ratio of a group, or weight bits of a layer.

    `place` is the name of a layer, or of the first layer of a group; `members` are all its layers.
    """

    place: str
    members: tuple[str, ...]
    ratio: float | None = None
    weight_bits: int | None = None

    @property
    def key(self) -> str:
        """Tells the probes of a network apart."""
        return f"{self.place}:{self.weight_bits if self.ratio is None else self.ratio}"

    def recipe(self, base: Recipe) -> Recipe:
        """The recipe that does just this; seed, rounding and criterion are those of `base`."""
        return recipe_of([self], base)


def recipe_of(probes: Iterable[Probe], base: Recipe) -> Recipe:
    """The recipe that does all that the probes do."""
    choices: dict[str, LayerChoice] = {}
    for probe in probes:
        choice = choices.get(probe.place, LayerChoice(probe.place))
        if probe.ratio is not None:
            choices[probe.place] = replace(choice, ratio=probe.ratio)
        else:
            choices[probe.place] = replace(choice, weight_bits=probe.weight_bits)
    prunes = any(choice.ratio is not None for choice in choices.values())
    return replace(
        base,
        pattern="channel" if prunes else "none",
        ratio=0.0,
        weight_bits=32,
        activation_bits=32,
        layers=tuple(choices.values()),
    )


@dataclass(frozen=True)
class Sensitivity:
    """What a probe came to.

    `kept` channels of `channels` in the group (or of the layer). `output_error` is the squared
    error of the network's outputs relative to their variance.
    """

    probe: Probe
    channels: int
    kept: int
    profile: Profile
    quality: Quality
    output_error: float

    def to_dict(self) -> dict[str, Any]:
        """As JSON; the probe's fields stand beside the others."""
        values = asdict(self)
        return {**values.pop("probe"), **values}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Sensitivity":
        """The inverse of `to_dict`, also after a way through JSON."""
        probe = {field.name: values[field.name] for field in fields(Probe)}
        probe["members"] = tuple(probe["members"])
        return cls(
            probe=Probe(**probe),
            channels=values["channels"],
            kept=values["kept"],
            profile=Profile.from_dict(values["profile"]),
            quality=Quality(**values["quality"]),
            output_error=values["output_error"],
        )


@dataclass(frozen=True)
class Spent:
    """The recipe found within an accuracy budget, and what was measured of it.

    It loses `lost` of the `points` allowed (see `points_lost`) and saves the share `saved` of what
    was to be minimized, `on`: bytes of the file, MACs, or the time of one inference (`latency`).
    """

    recipe: Recipe
    on: str
    points: float
    lost: float
    saved: float
    profile: Profile
    quality: Quality
    output_error: float
    latency: Latency | None = None

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)
