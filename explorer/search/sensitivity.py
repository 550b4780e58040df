"""What it costs to compress one place of a network only: measured, place by place.

A *probe* prunes the channels of one group, or rounds the weights of one layer, and leaves all else
as it is. Each one is a recipe like any other: the network is compressed with it and
reconstructed, and the result is evaluated on real data.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from explorer.compress.apply import apply
from explorer.compress.calibration import Calibration
from explorer.compress.estimate import estimate
from explorer.compress.plan import plan
from explorer.findings import PLAIN, Probe, Sensitivity
from explorer.formats.data import Dataset
from explorer.graph.channels import find_channels
from explorer.graph.layers import find_layers
from explorer.measure.quality import evaluate, output_error
from explorer.model import Model
from explorer.recipe import Recipe
from explorer.report import Plan, Quality, points_lost

RATIOS = (0.25, 0.5, 0.75)
WEIGHT_BITS = (8, 6, 4, 3, 2)


def find_probes(model: Model, widths: bool = False) -> tuple[Probe, ...]:
    """All probes of a model: groups first, gentle ones first."""
    groups: dict[str, tuple[str, ...]] = {}  # one that a split tensor makes of two has one name
    for group in find_channels(model).groups:
        if group.guard is None or widths:
            groups[group.name] = tuple(dict.fromkeys((*groups.get(group.name, ()), *group.members)))
    layers = find_layers(model)
    first = {layer.weight: layer for layer in reversed(layers)}  # a shared weight has one width
    return (
        *(
            Probe(name, members, ratio=ratio)
            for ratio in RATIOS
            for name, members in groups.items()
        ),
        *(
            Probe(layer.name, (layer.name,), weight_bits=bits)
            for bits in WEIGHT_BITS
            for layer in layers
            if first[layer.weight] is layer
        ),
    )


@dataclass(frozen=True, eq=False)
class Attempt:
    """A recipe that was planned, carried out and scored; `model` is the result."""

    recipe: Recipe
    planned: Plan
    model: Model
    quality: Quality
    output_error: float

    @property
    def lost(self) -> float:
        """Points, see `points_lost`."""
        return points_lost(self.quality, self.output_error)


def attempt(
    recipe: Recipe,
    model: Model,
    data: Dataset,
    calibration: Calibration | None,
    check: Callable[[], None] = lambda: None,
    metric: str | None = None,
) -> Attempt:
    """Compress a model and score the result against the original.

    Raises:
        DataError: the data doesn't fit the model.
    """
    planned = plan(model, recipe, calibration)
    small = apply(model, planned, calibration, check)
    quality = evaluate(small, data, model, check, metric)
    return Attempt(recipe, planned, small, quality, output_error(small, data, model, check))


def measure_sensitivity(
    model: Model,
    data: Dataset,
    calibration: Calibration | None,
    base: Recipe = PLAIN,
    done: Collection[Probe] = (),
    check: Callable[[], None] = lambda: None,
    metric: str | None = None,
) -> Iterator[Sensitivity]:
    """Measure one probe after the other, but for those `done`.

    Without a calibration, or where the base recipe has it off, there is no reconstruction.
    `check` is called between steps and may raise to stop the work; `metric` is as for `evaluate`.

    Raises:
        DataError: the data or the metric don't fit the model.
    """
    for probe in find_probes(model, base.widths):
        if probe not in done:
            check()
            yield measure_probe(model, probe, data, calibration, base, check, metric)


def measure_probe(
    model: Model,
    probe: Probe,
    data: Dataset,
    calibration: Calibration | None,
    base: Recipe = PLAIN,
    check: Callable[[], None] = lambda: None,
    metric: str | None = None,
) -> Sensitivity:
    """Compress one place and evaluate the whole network."""
    tried = attempt(probe.recipe(base), model, data, calibration, check, metric)
    kept = next(layer for layer in tried.planned.layers if layer.name == probe.place)
    return Sensitivity(
        probe=probe,
        channels=kept.channels,
        kept=kept.kept,
        profile=estimate(model, tried.planned),
        quality=tried.quality,
        output_error=tried.output_error,
    )
