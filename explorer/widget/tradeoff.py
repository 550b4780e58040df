"""The trade-off as the panel draws it: every run, in the numbers of its file."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from explorer.fronts import Estimate, pareto_front, quality_range, unbeaten
from explorer.metrics import METRICS
from explorer.recipe import Recipe
from explorer.render.text import format_quality
from explorer.render.words import describe
from explorer.report import Latency, Profile, Quality
from explorer.runs import Original, Run

COSTS = ("file_bytes", "macs", "latency")


def tried(original: Original, runs: Sequence[Run], busy: bool) -> dict[str, Any]:
    """The original and all runs with measured numbers (`js/chart.js`).

    `runs` stand with the oldest first; `busy` says that numbers are still to come.
    """
    quality = _quality(original, runs)
    metric = METRICS[quality.metric if quality is not None else "accuracy"]
    least = metric.least_at(quality.value if quality is not None else 1.0)
    newest = {run.recipe.to_json(): run for run in runs}
    points = [_original(original, quality)]
    points += [_point(run) for run in newest.values()]
    drawn = [point for point in points if point is not None]
    shown = [value for point in drawn for value in _qualities(point)]
    for cost in COSTS:
        _mark_beaten(drawn, cost, metric.falls)
    return {
        "points": drawn,
        "unit": metric.unit,
        "falls": metric.falls,
        "fronts": {cost: _front(drawn, cost, metric.falls) for cost in COSTS},
        "range": quality_range(shown, metric.unit, least, metric.falls) if shown else None,
        "empty": _why_empty(busy),
    }


def _point(run: Run) -> dict[str, Any] | None:
    quality, latency = run.quality, run.latency
    if quality is None or run.profile is None:
        return None
    return {
        "label": describe(run.recipe),
        "recipe": asdict(run.recipe),
        "original": False,
        "costs": _costs(run.profile, latency.ratio if latency is not None else None),
        "intervals": _intervals(latency),
        "beaten": [],
        "reliable": latency is None or latency.reliable,
        "quality": quality.value,
        "low": quality.low,
        "high": quality.high,
        "text": format_quality(quality),
    }


def _mark_beaten(points: Sequence[dict[str, Any]], cost: str, falls: bool) -> None:
    """Note with each point whether another dominates it beyond noise, where both have that cost."""
    known = [point for point in points if point["costs"][cost] is not None]
    runs = [
        (
            Estimate.of(point["costs"][cost], point["intervals"].get(cost)),
            Estimate.of(point["quality"], _interval(point)),
        )
        for point in known
    ]
    for point, is_kept in zip(known, unbeaten(runs, falls), strict=True):
        point["beaten"] += [] if is_kept else [cost]


def _interval(point: Mapping[str, Any]) -> tuple[float, float] | None:
    return None if point["low"] is None else (point["low"], point["high"])


def _front(points: Sequence[Mapping[str, Any]], cost: str, falls: bool) -> list[Any]:
    known = [point for point in points if point["costs"][cost] is not None]
    return pareto_front([(point["costs"][cost], point["quality"]) for point in known], falls)


def _qualities(point: Mapping[str, Any]) -> list[float]:
    """The quality of a point with its interval, as far as they are known."""
    return [point[name] for name in ("quality", "low", "high") if point[name] is not None]


def _original(original: Original, quality: Quality | None) -> dict[str, Any] | None:
    """From its own numbers, or from what the runs say about it."""
    if quality is None or quality.metric == "snr_db" or original.profile is None:
        return None  # against itself a model has no noise
    value = quality.value if quality.reference_value is None else quality.reference_value
    own = original.quality
    scored = own if own and own.metric == quality.metric and own.value == value else None
    return {
        "label": "original",
        "recipe": asdict(Recipe()),
        "original": True,
        "costs": _costs(original.profile, 1.0),
        "intervals": {},
        "beaten": [],
        "reliable": True,
        "quality": value,
        "low": scored.low if scored else None,
        "high": scored.high if scored else None,
        "text": format_quality(quality, value),
    }


def _intervals(latency: Latency | None) -> dict[str, tuple[float, float]]:
    """Of the costs that are measured."""
    return {"latency": (latency.ratio_low, latency.ratio_high)} if latency is not None else {}


def _costs(profile: Profile, ratio: float | None) -> dict[str, float | None]:
    """`ratio` is that of the latencies."""
    return {"file_bytes": profile.content_bytes, "macs": profile.macs, "latency": ratio}


def _quality(original: Original, runs: Sequence[Run]) -> Quality | None:
    """One that knows the original's value: its own, or else that of any run."""
    known = (original.quality, *(run.quality for run in reversed(runs)))
    return next((quality for quality in known if quality is not None), None)


def _why_empty(busy: bool) -> str:
    if busy:
        return "Waiting for the first measurements."
    return (
        "There are no samples to score this model on. Add an .npz file with arrays named after "
        "the model's inputs, and with labels in y if you have them."
    )
