"""What a few settings come to, so that the panel can predict all others while a slider moves.

The squared errors that a network's outputs get from what is taken out, from narrow weights and from
rounded activations nearly add up, and so do those of single layers. So each of these is measured by
itself, at a few strengths; `preview/js/forecast.js` puts them together.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from explorer.events import latency_key
from explorer.model import Model
from explorer.recipe import Recipe
from explorer.search.sensitivity import find_probes

RATIOS = {
    "channel": (0.1, 0.3, 0.5, 0.7, 0.9),
    "unstructured": (0.2, 0.4, 0.6, 0.8, 0.95),
    "block": (0.2, 0.4, 0.6, 0.8, 0.95),
}
FIXED_PATTERNS = ("2:4", "4:8")
WEIGHT_BITS = (16, 8, 4, 3, 2)
TIMED_RATIOS = (0.3, 0.5, 0.7, 0.9)
TIMED_WIDTHS = (16, 4)  # the runtime unpacks narrow weights before it runs, so few tell of all
INTEGER_WIDTHS = (32, 8, 4, 2)  # with rounded activations each storage has its own kernels
INTEGER_RATIO = 0.6
PRUNED_WIDTHS = (32, 8, 4)  # and each saves in its own way when channels go
SINGLE_RATIO, SINGLE_BITS = 0.5, 3


@dataclass(frozen=True)
class Setting:
    """A recipe to score, by a name; `timed` asks for its latency too."""

    name: str
    recipe: Recipe
    timed: bool = False

    @property
    def keys(self) -> tuple[str, ...]:
        """Those of the results (see `explorer.events`)."""
        return (self.name, latency_key(self.name)) if self.timed else (self.name,)


def settings(model: Model, base: Recipe, rounds: bool) -> tuple[Setting, ...]:
    """All that is to be tried, what the sliders reach first at the beginning.

    `rounds` says whether activations can be rounded, for which there must be samples.
    """
    whole = [*_pruned(base, "channel"), *_narrow(base), *(_rounded(base) if rounds else ())]
    for pattern in ("unstructured", "block"):
        whole += _pruned(base, pattern)
    whole += [Setting(name, replace(base, pattern=name)) for name in FIXED_PATTERNS]
    return (*whole, *_single(model, base))


def _pruned(base: Recipe, pattern: str) -> Iterator[Setting]:
    for ratio in RATIOS[pattern]:
        recipe = replace(base, pattern=pattern, ratio=ratio)
        timed = pattern == "channel" and ratio in TIMED_RATIOS
        yield Setting(f"{pattern} {ratio}", recipe, timed=timed)


def _narrow(base: Recipe) -> Iterator[Setting]:
    for bits in WEIGHT_BITS:
        recipe = replace(base, weight_bits=bits)
        yield Setting(f"weights {bits}", recipe, timed=bits in TIMED_WIDTHS)


def _rounded(base: Recipe) -> Iterator[Setting]:
    integer = replace(base, activation_bits=8)
    for bits in INTEGER_WIDTHS:
        recipe = replace(integer, weight_bits=bits)
        yield Setting(f"integers {bits}", recipe, timed=True)
    pruned = replace(integer, pattern="channel", ratio=INTEGER_RATIO)
    for bits in PRUNED_WIDTHS:
        yield Setting(f"integers {bits} pruned", replace(pruned, weight_bits=bits), timed=True)


def _single(model: Model, base: Recipe) -> Iterator[Setting]:
    """Each layer and group by itself."""
    for probe in find_probes(model, base.widths):
        if probe.ratio == SINGLE_RATIO or probe.weight_bits == SINGLE_BITS:
            kind = "channels" if probe.ratio is not None else "bits"
            yield Setting(f"{kind} of {probe.place}", probe.recipe(base))
