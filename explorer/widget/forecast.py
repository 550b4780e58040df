"""The survey as the panel reads it, to predict with (`js/forecast.js`)."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from explorer.recipe import Recipe

LATENCY = ":latency"
NO_FORECASTS = "Latency and quality can't be predicted while the hand moves."
PLAIN = Recipe()
SLIDERS = ("pattern", "ratio", "scope", "weight_bits", "activation_bits", "bits_scope", "layers")


def survey_base(recipe: Recipe) -> Recipe:
    """What of a recipe a survey depends on: all that isn't on the sliders."""
    return replace(
        recipe,
        pattern=PLAIN.pattern,
        ratio=PLAIN.ratio,
        weight_bits=PLAIN.weight_bits,
        activation_bits=PLAIN.activation_bits,
        group_size=recipe.group_size if recipe.granularity == "group" else PLAIN.group_size,
        seed=recipe.seed if recipe.criterion == "random" else PLAIN.seed,
        layers=(),
    )


def surveyed(parts: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Each setting with its output error and quality, and its latency's ratio where it was timed.

    `parts` are those of a survey (`explorer.jobs.steps.survey`), by the setting's name.
    """
    points = []
    for name, part in parts.items():
        if not name.endswith(LATENCY):
            latency = parts.get(f"{name}{LATENCY}")
            recipe = {key: part["recipe"][key] for key in SLIDERS}
            time = {"latency": latency["ratio"] if latency else None}
            points.append({**part, "recipe": recipe, **time})
    return points
