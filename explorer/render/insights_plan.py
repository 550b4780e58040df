"""Rules about what was asked, and what the graph allows of it."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from explorer.reasons import COUPLED, HIDDEN_WIDTH, Reason
from explorer.render.insight_rules import Case, Insight, counted, percent, rule
from explorer.render.labels import RECIPE, capitalized
from explorer.report import LayerPlan
from explorer.storage_types import holding, integer_type

NOTICEABLE = 0.015  # a difference between asked and reached that deserves a sentence


@rule
def nothing_to_compress(case: Case) -> Iterator[str | Insight]:
    if not case.layers and not case.recipe.is_identity:
        yield "This network has no layer with weights, so nothing in it can be compressed."


@rule
def asked_and_reached(case: Case) -> Iterator[str | Insight]:
    if case.recipe.pattern != "channel" or not case.layers:
        return
    free = [layer for layer in case.layers if layer.removable]
    channels = sum(layer.channels for layer in free)
    if case.recipe.ratio and not channels:
        yield "No layer of this network can be pruned by channels; the Layers page says why."
        return
    if not channels or case.recipe.layers:
        return
    reached = 1 - sum(layer.kept for layer in free) / channels
    if abs(reached - case.recipe.ratio) >= NOTICEABLE:
        yield (
            f"You asked to prune {percent(case.recipe.ratio)} of the channels; "
            f"{percent(reached)} were pruned, as channel counts are aligned to multiples of "
            f"{case.recipe.round_to} where a layer is wide enough."
        )


@rule
def left_alone(case: Case) -> Iterator[str | Insight]:
    reasons: dict[Reason, list[str]] = {}
    for layer in case.layers:
        if layer.closed and (reason := layer.unprunable_reason):
            reasons.setdefault(reason, []).append(layer.name)
    for reason, names in reasons.items():
        count = f"One layer ({names[0]!r})" if len(names) == 1 else f"{len(names)} layers"
        why = reason.sentence if len(names) == 1 else reason.several
        yield f"{count} {why}: counted, but not compressed."


@rule
def widths_stay(case: Case) -> Iterator[str | Insight]:
    recipe = case.recipe
    if recipe.pattern != "channel" or not recipe.ratio or recipe.widths:
        return
    reasons = [(layer.name, layer.unprunable_reason) for layer in case.layers]
    held = [name for name, reason in reasons if reason is not None and reason.code == HIDDEN_WIDTH]
    if held:
        yield Insight(
            f"{counted(held)} kept the hidden dimension, which a normalisation or a mean runs "
            "over (such as the residual width of a transformer).",
            RECIPE["widths"],
            replace(recipe, widths=True),
        )


@rule
def own_choices_and_reached(case: Case) -> Iterator[str | Insight]:
    if case.recipe.pattern != "channel":
        return
    by_name = {layer.name: layer for layer in case.layers}
    for choice in case.recipe.layers:
        layer = by_name.get(choice.name)
        if layer is None or choice.ratio is None or layer.closed:  # `left_alone` tells of these
            continue
        reached = 1 - layer.kept / layer.channels
        reason = layer.unprunable_reason
        if choice.ratio and not reached and reason is not None:
            yield (
                f"You asked to prune {percent(choice.ratio)} of {choice.name!r}, but it keeps all "
                f"its channels: {_clause(reason)}."
            )
        elif abs(reached - choice.ratio) >= NOTICEABLE:
            yield (
                f"You asked to prune {percent(choice.ratio)} of {choice.name!r}; with its coupled "
                f"layers and channel alignment, {percent(reached)} were pruned."
            )


@rule
def choices_for_nothing(case: Case) -> Iterator[str | Insight]:
    chosen = [choice.name for choice in case.recipe.layers if choice.ratio]
    if case.recipe.pattern == "none" and chosen:
        yield (
            f"The ratio override of {counted(chosen)} has no effect: the pruning pattern is 'none'."
        )


@rule
def zeros_stay(case: Case) -> Iterator[str | Insight]:
    if case.recipe.pattern in ("none", "channel") or not _sparsity(case.layers):
        return
    narrow = case.recipe.weight_bits < 32 or case.recipe.rounds_activations
    what = "change neither file size nor latency" if narrow else "leave file size and latency alone"
    yield (
        f"The zeros stay in dense tensors: they {what}, but reduce the gzip and packed sizes, and "
        "the latency on runtimes with sparse kernels."
    )


@rule
def zeros_unsuited(case: Case) -> Iterator[str | Insight]:
    if case.recipe.pattern in ("none", "channel"):
        return
    left = [layer.name for layer in case.layers if layer.skipped and not layer.sparsity]
    if left:
        yield (
            f"Pattern {case.recipe.pattern} does not fit {counted(left)}; the Layers page says why."
        )


@rule
def weights_unpacked(case: Case) -> Iterator[str | Insight]:
    if case.recipe.weight_bits == 32 or case.recipe.rounds_activations or not case.layers:
        return
    yield (
        "Only the weights are quantized: the runtime dequantizes them before it computes, so this "
        "reduces the file size but not the latency."
    )


@rule
def weights_left_wide(case: Case) -> Iterator[str | Insight]:
    """Few bits were asked for, and the file can't hold them."""
    reasons: dict[str, list[str]] = {}
    for layer in case.layers:
        asked = case.recipe.choice(layer.name).weight_bits or case.recipe.weight_bits
        is_wide = layer.storage.startswith("float") and holding(asked).is_integer
        if is_wide and layer.skipped and not layer.closed:
            reasons.setdefault(layer.skipped, []).append(layer.name)
    for reason, names in reasons.items():
        verb = "keeps" if len(names) == 1 else "keep"
        who = counted(names)
        yield f"{capitalized(who)} {verb} floating-point weights: {reason}."


@rule
def simulated_widths(case: Case) -> Iterator[str | Insight]:
    widths = {(layer.weight_bits, layer.storage) for layer in case.layers}
    for bits, storage in sorted(widths):
        kind = integer_type(storage)
        if kind is not None and bits < kind.bits:
            stored = kind.bits
            yield (
                f"{bits}-bit weights have {2**bits} levels, but the file stores them in "
                f"INT{stored}, the next type that the runtime supports; the packed size counts "
                f"{bits} bits."
            )


@rule
def activations_without_integer_weights(case: Case) -> Iterator[str | Insight]:
    if case.recipe.rounds_activations and not 5 <= case.recipe.weight_bits <= 8:
        yield Insight(
            "Integer kernels need weights of 5 to 8 bits too: with these weights, the activations "
            "are quantized but the products still run in FP32, which takes longer.",
            "Quantize the weights to INT8 too",
            replace(case.recipe, weight_bits=8),
        )


def _sparsity(layers: Sequence[LayerPlan]) -> bool:
    return any(layer.sparsity > 0 for layer in layers)


def _clause(reason: Reason) -> str:
    """A reason why no channel goes, with a subject of its own."""
    return reason.sentence if reason == COUPLED else f"it {reason}"
