"""The trade-off as the panel draws it: every run, in the numbers of its file."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from explorer.fronts import Estimate, pareto_front, quality_range, unbeaten
from explorer.metrics import METRICS
from explorer.recipe import Recipe
from explorer.render.text import format_quality
from explorer.report import Quality, content_bytes
from explorer.widget.trials import Parts, Trial
from explorer.widget.words import describe

COSTS = ("file_bytes", "macs", "latency")


def tried(original: Parts, trials: Sequence[Trial], busy: bool) -> dict[str, Any]:
    """The original and all runs with measured numbers (`js/chart.js`).

    `trials` stand with the oldest first; `busy` says that numbers are still to come.
    """
    quality = _quality(original, trials)
    metric = METRICS[quality.metric if quality is not None else "accuracy"]
    least = metric.least_at(quality.value if quality is not None else 1.0)
    newest = {trial.recipe.to_json(): trial for trial in trials}
    points = [_original(original, quality)]
    points += [_point(trial.parts, trial.recipe) for trial in newest.values()]
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


def _point(parts: Mapping[str, Any], recipe: Recipe) -> dict[str, Any] | None:
    if not parts.get("quality") or not parts.get("profile"):
        return None
    quality = Quality(**parts["quality"])
    return {
        "label": describe(recipe),
        "recipe": asdict(recipe),
        "original": False,
        "costs": _costs(parts),
        "intervals": _intervals(parts.get("latency")),
        "beaten": [],
        "reliable": (parts.get("latency") or {}).get("reliable", True),
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


def _original(original: Parts, quality: Quality | None) -> dict[str, Any] | None:
    """From its own numbers, or from what the trials say about it."""
    if quality is None or quality.metric == "snr_db" or not original.get("profile"):
        return None  # against itself a model has no noise
    value = quality.value if quality.reference_value is None else quality.reference_value
    parts = {"latency": {"ratio": 1.0}, "profile": original["profile"]}
    own = original.get("quality")
    scored = own if own and own["metric"] == quality.metric and own["value"] == value else None
    return {
        "label": "original",
        "recipe": asdict(Recipe()),
        "original": True,
        "costs": _costs(parts),
        "intervals": {},
        "beaten": [],
        "reliable": True,
        "quality": value,
        "low": scored["low"] if scored else None,
        "high": scored["high"] if scored else None,
        "text": format_quality(quality, value),
    }


def _intervals(latency: Mapping[str, Any] | None) -> dict[str, tuple[float, float]]:
    """Of the costs that are measured."""
    return {"latency": (latency["ratio_low"], latency["ratio_high"])} if latency else {}


def _costs(parts: Mapping[str, Any]) -> dict[str, float | None]:
    profile, latency = parts["profile"], parts.get("latency")
    return {
        "file_bytes": content_bytes(profile),
        "macs": profile["macs"],
        "latency": latency["ratio"] if latency else None,
    }


def _quality(original: Parts, trials: Sequence[Trial]) -> Quality | None:
    """One that knows the original's value: its own, or else any trial's."""
    for parts in (original, *(trial.parts for trial in reversed(trials))):
        if parts.get("quality"):
            return Quality(**parts["quality"])
    return None


def _why_empty(busy: bool) -> str:
    if busy:
        return "Waiting for the first measurements."
    return (
        "There are no samples to score this model on. Add an .npz file with arrays named after "
        "the model's inputs, and with labels in y if you have them."
    )
