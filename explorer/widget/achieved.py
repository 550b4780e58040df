"""The pruning ratio that a plan achieves, beside the one that was asked for."""

from collections.abc import Mapping, Sequence

from explorer.digits import fixed
from explorer.recipe import Recipe
from explorer.report import LayerPlan
from explorer.runs import View


def achieved_ratio(
    recipe: Recipe, planned: Sequence[LayerPlan], weights: Mapping[str, int]
) -> float | None:
    """The share of the channels that went where any can, or of the weights that became zero.

    `planned` are the layers of a plan, `weights` how many each has, by name. None where no
    one ratio was asked for: nothing is pruned, the pattern fixes it, or layers have their own.
    """
    if not recipe.prunes_by_ratio or not recipe.ratio or recipe.layers:
        return None
    if recipe.pattern == "channel":
        prunable = [layer for layer in planned if layer.removable]
        channels = sum(layer.channels for layer in prunable)
        return 1 - sum(layer.kept for layer in prunable) / channels if channels else 0.0
    counted = [(weights.get(layer.name, 0), layer) for layer in planned if not layer.closed]
    total = sum(count for count, _ in counted)
    return sum(count * layer.sparsity for count, layer in counted) / total if total else 0.0


def achieved_text(view: View) -> str:
    """Asked 95 %, achieved 88 %; empty where they are alike, or not known yet."""
    run, described = view.run, view.original.description
    if run is None or run.plan is None:
        return ""
    weights = {layer.name: layer.weights for layer in described.layers} if described else {}
    recipe, ratio = run.recipe, achieved_ratio(run.recipe, run.layers, weights)
    if ratio is None or fixed(100 * ratio) == fixed(100 * recipe.ratio):
        return ""
    return f"asked {fixed(100 * recipe.ratio)} %, achieved {fixed(100 * ratio)} %"
