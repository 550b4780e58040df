"""What the estimator in the browser covers: the fields of a recipe, and the values of each.

The browser reads the same (`js/coverage.js`). A recipe with another field or value isn't estimated
there; its numbers come from Python, once the slider is released.
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from explorer.recipe import Recipe

Coverage = Mapping[str, Any]

EVERY = "every"  # in the place of values: all that a recipe takes

# The same counts hold for all values of these.
SLIDERS: Coverage = {
    "pattern": ("none", "channel", "unstructured", "2:4", "4:8", "block"),
    "ratio": EVERY,
    "scope": ("global", "layer"),
    "weight_bits": (32, 16, 8, 7, 6, 5, 4, 3, 2),
    "activation_bits": (32, 8),
    "bits_scope": ("global", "layer"),
    "layers": {  # the fields of each choice
        "name": EVERY,
        "ratio": EVERY,
        "weight_bits": (None, 32, 16, 8, 7, 6, 5, 4, 3, 2),
    },
}
# What isn't on the sliders; counts hold for a recipe's own values of these.
FIXED: Coverage = {
    "criterion": ("reconstruction", "l1", "l2", "random"),
    "round_to": EVERY,
    "int8_range": ("reduced", "full"),
    "granularity": ("tensor", "channel", "group"),
    "group_size": EVERY,
    "widths": (False, True),
    "compensate": (False, True),
    "keep_metadata": (False, True),
    "short_names": (False, True),
    "seed": EVERY,
}
COVERAGE: Coverage = {**SLIDERS, **FIXED}


def covers(recipe: Recipe) -> bool:
    """True where the browser may estimate a recipe."""
    return _covers(COVERAGE, asdict(recipe))


def _covers(coverage: Coverage, values: Mapping[str, Any]) -> bool:
    return all(name in coverage and _holds(coverage[name], value) for name, value in values.items())


def _holds(covered: Any, value: Any) -> bool:
    if covered == EVERY:
        return True
    if isinstance(covered, Mapping):
        return all(_covers(covered, each) for each in value)
    return value in covered
