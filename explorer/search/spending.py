"""The recipe that saves most bytes, MACs or seconds within an accuracy budget.

Sensitivity says what every setting of every place loses and saves alone. For the whole network,
losses and gains are taken to add up, and the settings that save most for a given sum of losses are
chosen (see `knapsack`). They add up only roughly, so that sum is not the budget: it is searched for
by bisection, and each time the whole network is compressed and scored. For MACs and seconds, a
global ratio of channels is searched for in the same way; the better one is taken.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial

from explorer.compress.apply import apply
from explorer.compress.calibration import Calibration
from explorer.compress.estimate import base_bytes
from explorer.compress.plan import plan
from explorer.findings import PLAIN, Sensitivity, Spent, recipe_of
from explorer.formats.data import Dataset
from explorer.graph.costs import macs_by_node
from explorer.measure.latency import measure_latency
from explorer.measure.nodes import run_nodes
from explorer.measure.profile import profile
from explorer.model import Model
from explorer.recipe import Recipe, check_aim
from explorer.report import points_lost
from explorer.search.knapsack import Offer, choose
from explorer.search.sensitivity import Attempt, attempt

STEPS, FINEST = 127, 2**-10  # sums of losses to choose from, down to this part of the largest
LARGEST_RATIO = 0.95

Path = Callable[[int], Recipe]


def spend(
    model: Model,
    found: Sequence[Sensitivity],
    points: float,
    on: str,
    data: Dataset,
    calibration: Calibration | None,
    base: Recipe = PLAIN,
    check: Callable[[], None] = lambda: None,
    progress: Callable[[float], None] = lambda fraction: None,
    metric: str | None = None,
) -> Spent:
    """The recipe that saves most `on` one of `AIMS` for at most `points` lost on the data.

    Data, calibration and base recipe are those that the sensitivities were `found` with. Of the
    base recipe all stays that says how, and nothing that says how much. Every budget asks the same
    questions of the same samples, so a larger one never chooses from less. `check` is called
    between steps and may raise to stop the work; `progress` gets the fraction that is done;
    `metric` is as for `evaluate`.

    Raises:
        RecipeError: there is no such aim.
        MeasurementError: the runtime can't run a model.
    """
    gains = find_gains(model, found, on, calibration, base, check)
    offers = [
        Offer((each.probe.place, each.probe.ratio is None), gain, loss)
        for each, gain, loss in zip(found, gains, expected_losses(found), strict=True)
    ]
    paths = _paths(found, offers, on, base)
    tries = partial(
        attempt, model=model, data=data, calibration=calibration, check=check, metric=metric
    )
    first, bought = tries(recipe_of([], base)), list[Spent]()
    for number, path in enumerate(paths):
        best = first
        if points > 0:
            own = _share_of(progress, number, len(paths))
            best = _furthest(path, points, first, tries, own)
        bought.append(_finish(model, best, points, on, check))
    return max(bought, key=lambda spent: spent.saved)


def _paths(
    found: Sequence[Sensitivity], offers: Sequence[Offer], on: str, base: Recipe
) -> list[Path]:
    """Recipes by step, from little to much: those of the offers, and those of a global ratio."""
    most, nothing = _largest_loss(offers) or 1.0, recipe_of([], base)

    def by_places(step: int) -> Recipe:
        chosen = choose(offers, most * FINEST ** (1 - step / STEPS))
        return recipe_of([found[position].probe for position in chosen], base)

    def by_ratio(step: int) -> Recipe:
        ratio = round(LARGEST_RATIO * step / STEPS, 2)  # a whole percent, as on the page
        return replace(nothing, pattern="channel", ratio=ratio)

    has_ratio = on != "size" and any(each.probe.ratio is not None for each in found)
    return [by_places, by_ratio] if has_ratio else [by_places]


def _share_of(
    progress: Callable[[float], None], number: int, count: int
) -> Callable[[float], None]:
    return lambda fraction: progress((number + fraction) / count)


def _furthest(
    path: Path,
    points: float,
    first: Attempt,
    tries: Callable[[Recipe], Attempt],
    progress: Callable[[float], None],
) -> Attempt:
    """The last step of a path, 1 to `STEPS`, that is found within the budget; or the first."""
    best, failed, low, high = first, first, 0, STEPS + 1
    while high - low > 1:
        progress(1 - math.log2(high - low) / math.log2(STEPS + 1))
        middle = (low + high) // 2
        recipe = path(middle)
        known = (each for each in (best, failed) if each.recipe == recipe)
        tried = next(known, None) or tries(recipe)
        if tried.lost <= points:
            best, low = tried, middle
        else:
            failed, high = tried, middle
    return best


def expected_losses(found: Sequence[Sensitivity]) -> list[float]:
    """Points that each probe is expected to lose: the mean of two views of it.

    Points measured on some hundred samples are few and noisy; the error of the outputs is smooth,
    but it knows no classes. It is put into points by what all probes together lose.
    """
    points = [max(0.0, points_lost(each.quality, each.output_error)) for each in found]
    errors = [min(1.0, each.output_error) for each in found]  # more than all can't be lost
    scale = sum(points) / (sum(errors) or 1.0) or 1.0
    return [(lost + scale * error) / 2 for lost, error in zip(points, errors, strict=True)]


def find_gains(
    model: Model,
    found: Sequence[Sensitivity],
    on: str,
    calibration: Calibration | None,
    base: Recipe,
    check: Callable[[], None] = lambda: None,
) -> list[float]:
    """What each probe saves `on` an aim: bytes, MACs, or seconds of the products that shrink.

    Seconds are measured, in the original and in the network with fewer channels, as kernels work
    on blocks of channels and don't get faster with each one that goes. Fewer bits save none:
    weights are unpacked before the network runs.

    Raises:
        RecipeError: there is no such aim.
        MeasurementError: the runtime can't run a model.
    """
    check_aim(on)
    if on == "size":
        size = base_bytes(model)
        return [float(size - each.profile.content_bytes) for each in found]
    if on == "macs":
        total = sum(macs_by_node(model).values())
        return [float(total - each.profile.macs) for each in found]
    macs_before, before = macs_by_node(model), run_nodes(model, check)
    gains = []
    for each in found:
        gain = 0.0
        if each.probe.ratio is not None:
            planned = plan(model, each.probe.recipe(base), calibration)
            small = apply(model, planned, check=check)  # not refitted, which changes no time
            macs, after = macs_by_node(small), run_nodes(small, check)
            shrunk = [name for name in after if name in before and macs[name] < macs_before[name]]
            gain = sum(before[name].seconds - after[name].seconds for name in shrunk)
        gains.append(gain)
    return gains


def _largest_loss(offers: Iterable[Offer]) -> float:
    largest: dict[object, float] = {}
    for offer in offers:
        largest[offer.key] = max(offer.loss, largest.get(offer.key, 0.0))
    return sum(largest.values())


def _finish(
    model: Model, best: Attempt, points: float, on: str, check: Callable[[], None]
) -> Spent:
    before, after, latency = profile(model, gzipped=False), profile(best.model), None
    saved = 0.0
    if on == "time":
        latency = measure_latency(best.model, model, check=check)
        saved = 1 - latency.ratio if best.model is not model else 0.0
    elif on == "size":
        saved = 1 - after.content_bytes / before.content_bytes
    elif before.macs:
        saved = 1 - after.macs / before.macs
    return Spent(
        best.recipe, on, points, best.lost, saved, after, best.quality, best.output_error, latency
    )
