"""Which counts a recipe needs, and how later ones join earlier ones. Loads nothing heavy."""

import json
from collections.abc import Collection, Mapping
from typing import Any

from explorer.preview.coverage import FIXED
from explorer.recipe import Recipe

MASKS = ("unstructured", "block")
BITS = "bits"

Counts = Mapping[str, Any]


def fixed_of(recipe: Recipe) -> dict[str, Any]:
    """What of a recipe isn't on the sliders."""
    return {name: getattr(recipe, name) for name in FIXED}


def needed(recipe: Recipe) -> frozenset[str]:
    """The parts that only some recipes need, as they take long to find."""
    masks = {recipe.pattern} & set(MASKS)
    return frozenset(masks | ({BITS} if recipe.spreads_bits else set()))


def known(counts: Counts | None) -> frozenset[str]:
    """The parts that counts have."""
    if counts is None:
        return frozenset()
    return frozenset({*counts["masks"], *([BITS] if "errors" in counts["bits"] else [])})


def lacks(counts: Counts | None, recipe: Recipe) -> bool:
    """True where the panel couldn't count a recipe."""
    return counts is None or counts["fixed"] != fixed_of(recipe) or bool(missing(counts, recipe))


def missing(counts: Counts | None, recipe: Recipe) -> Collection[str]:
    """The parts that a recipe needs and that aren't there."""
    return needed(recipe) - known(counts)


def name_of(counts: Counts) -> str:
    """Changes whenever the counts do."""
    return json.dumps([counts["model"], counts["fixed"], sorted(known(counts))])


def joined(earlier: Counts | None, later: Counts) -> Counts:
    """Counts with the parts of both, where they are for the same recipes."""
    if earlier is None or earlier["fixed"] != later["fixed"] or earlier["model"] != later["model"]:
        return later
    masks = {**earlier["masks"], **later["masks"]}
    bits = later["bits"] if "errors" in later["bits"] else earlier["bits"]
    return {**later, "masks": masks, "bits": bits}
