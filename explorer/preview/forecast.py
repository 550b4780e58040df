"""The survey as the panel reads it, to predict with (`js/forecast.js`)."""

import hashlib
from collections.abc import Iterable
from dataclasses import asdict, replace
from functools import lru_cache
from typing import Any

from explorer.events import Event, Surveyed, SurveyTimed
from explorer.preview.coverage import SLIDERS, covers
from explorer.recipe import Recipe

NO_FORECASTS = "Latency and quality can't be predicted while you move a slider."
PLAIN = Recipe()


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


def surveyed(findings: Iterable[Event], basis: str) -> dict[str, Any]:
    """The `basis`, and as `points` each setting that was surveyed and is covered.

    A point has the output error and quality, and the latency's ratio where it was timed.
    """
    found = list(findings)
    ratios = {each.name: each.latency.ratio for each in found if isinstance(each, SurveyTimed)}
    settings = [each for each in found if isinstance(each, Surveyed) and covers(each.recipe)]
    points = [_point(each, ratios.get(each.name)) for each in settings]
    return {"basis": basis, "points": points}


@lru_cache(maxsize=2048)  # the page asks each time that it is drawn
def _point(each: Surveyed, latency: float | None) -> dict[str, Any]:
    """What wasn't scored is left out."""
    scores = ("output_error", "quality", "reference", "falls")
    scored = {name: getattr(each, name) for name in scores} if each.quality is not None else {}
    recipe = asdict(each.recipe)
    sliders = {name: recipe[name] for name in SLIDERS}
    return {"recipe": sliders, **scored, "latency": latency}
