"""The survey as the panel reads it, to predict with (`js/forecast.js`)."""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from explorer.recipe import Recipe

LATENCY = ":latency"
NO_FORECASTS = "Latency and quality can't be predicted while you move a slider."
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


def basis_of(source: str, recipe: Recipe) -> str:
    """What predictions are made from: the model with its samples, by a key, and a survey's base.

    Predictions of one basis say nothing about numbers of another.
    """
    return hashlib.sha256(f"{source} {survey_base(recipe).to_json()}".encode()).hexdigest()[:16]


def surveyed(parts: Mapping[str, Any], basis: str) -> dict[str, Any]:
    """The `basis`, and as `points` each setting that was surveyed.

    A point has the output error and quality, and the latency's ratio where it was timed. `parts`
    are those of a survey (`explorer.jobs.steps.survey`), by the setting's name.
    """
    points = []
    for name, part in parts.items():
        if not name.endswith(LATENCY):
            latency = parts.get(f"{name}{LATENCY}")
            recipe = {key: part["recipe"][key] for key in SLIDERS}
            time = {"latency": latency["ratio"] if latency else None}
            points.append({**part, "recipe": recipe, **time})
    return {"basis": basis, "points": points}
