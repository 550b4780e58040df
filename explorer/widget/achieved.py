"""The pruning ratio that a plan achieves, beside the one that was asked for."""

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

from explorer.digits import fixed
from explorer.recipe import Recipe
from explorer.widget.trials import View

Layers = Sequence[Mapping[str, Any]]


def achieved_ratio(recipe: Recipe, planned: Layers, weights: Mapping[str, int]) -> float | None:
    """The share of the channels that went where any can, or of the weights that became zero.

    `planned` are the layers of a plan as JSON, `weights` how many each has, by name. None where no
    one ratio was asked for: nothing is pruned, the pattern fixes it, or layers have their own.
    """
    if not recipe.prunes_by_ratio or not recipe.ratio or recipe.layers:
        return None
    if recipe.pattern == "channel":
        prunable = [layer for layer in planned if layer["removable"]]
        channels = sum(layer["channels"] for layer in prunable)
        return 1 - sum(layer["kept"] for layer in prunable) / channels if channels else 0.0
    counted = [(weights.get(layer["name"], 0), layer) for layer in planned if not layer["closed"]]
    total = sum(count for count, _ in counted)
    return sum(count * layer["sparsity"] for count, layer in counted) / total if total else 0.0


def achieved_text(view: View) -> str:
    """Asked 95 %, achieved 88 %; empty where they are alike, or not known yet."""
    if view.trial is None or "plan" not in view.trial.parts:
        return ""
    recipe, planned = view.trial.recipe, view.trial.parts["plan"].get("layers", ())
    described = (view.original.get("model") or {}).get("layers", ())
    weights = {layer["name"]: prod(layer["weight_shape"]) for layer in described}
    ratio = achieved_ratio(recipe, planned, weights)
    if ratio is None or fixed(100 * ratio) == fixed(100 * recipe.ratio):
        return ""
    return f"asked {fixed(100 * recipe.ratio)} %, achieved {fixed(100 * ratio)} %"
