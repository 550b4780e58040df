"""One plain sentence for every result that a newcomer would not expect.

Each rule looks at what was asked, achieved and measured, and either has
something to say or not.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from explorer.description import Description
from explorer.digits import fixed
from explorer.metrics import CLASS_METRICS, METRICS
from explorer.reasons import COUPLED, HIDDEN_WIDTH, Reason
from explorer.recipe import Recipe
from explorer.render.labels import RECIPE, capitalized
from explorer.render.text import counted_samples, format_bytes, relabelling_sentence
from explorer.report import Latency, LayerPlan, Profile, Quality
from explorer.runs import Original, View
from explorer.storage_types import holding, integer_type

NOTICEABLE = 0.015  # a difference between asked and reached that deserves a sentence
FEWEST_TO_TELL = 20  # samples, before an accuracy may be called chance
LEAST_SHOWN = 0.005  # that isn't rounded to 0 %
MUCH_LOST = 0.05  # of accuracy or agreement, by rounding alone

T = TypeVar("T")


@dataclass(frozen=True)
class _Case:
    recipe: Recipe
    layers: Sequence[LayerPlan]
    original: Original
    profile: Profile | None
    latency: Latency | None
    quality: Quality | None
    unreconstructed: Quality | None
    reading: str | None
    classes: Sequence[str] = ()

    @property
    def profiles(self) -> tuple[Profile, Profile] | None:
        return _both(self.original.profile, self.profile)

    @property
    def latencies(self) -> tuple[Latency, Latency] | None:
        return _both(self.original.latency, self.latency)

    @property
    def qualities(self) -> tuple[Quality, Quality] | None:
        return _both(self.original.quality, self.quality)


def _both(before: T | None, after: T | None) -> tuple[T, T] | None:
    return (before, after) if before is not None and after is not None else None


@dataclass(frozen=True)
class Insight:
    """A sentence about a result, and the setting that mends it where the rule knows one.

    `remedy` says what that setting does, in words for a button.
    """

    sentence: str
    remedy: str = ""
    recipe: Recipe | None = None


Rule = Callable[[_Case], Iterator[str | Insight]]
RULES: list[Rule] = []


def rule(function: Rule) -> Rule:
    """Add a rule; they speak in the order in which they stand here."""
    RULES.append(function)
    return function


def insights(view: View, reading: str | None = None, classes: Sequence[str] = ()) -> list[Insight]:
    """What is unexpected about one run; nothing before it is planned.

    `reading` is the title under which one can see how the samples were read, where they are a
    person's own, and `classes` names the labels.
    """
    run = view.run
    if run is None or run.plan is None:
        return []
    case = _Case(
        recipe=run.recipe,
        layers=run.layers,
        original=view.original,
        profile=view.profile,
        latency=view.latency,
        quality=view.quality,
        unreconstructed=run.unreconstructed if run.recipe.compensate else view.quality,
        reading=reading,
        classes=classes,
    )
    found = [each for function in RULES for each in function(case)]
    return [Insight(each) if isinstance(each, str) else each for each in found]


@rule
def original_guesses(case: _Case) -> Iterator[str | Insight]:
    quality, classes = case.original.quality, _classes(case.original.description)
    if quality is not None and case.original.relabelling is None:  # which says more
        yield from guessing(quality, classes, f"; see {case.reading!r}" if case.reading else "")


def guessing(quality: Quality, classes: int | None, more: str = "") -> Iterator[str]:
    """That an original does no better than guessing, where its quality says so.

    `classes` is how many it tells apart, where that is known; `more` ends the sentence.
    """
    metric = quality.metric
    if metric == "r2" and quality.high <= 0:
        yield (
            f"The original model has an R² of {METRICS['r2'].text(quality.value)}, no better "
            "than the mean of the labels: probably the samples, their preprocessing, or the "
            f"labels' unit don't fit this model{more}."
        )
    classes = 2 if metric == "binary" else classes
    if metric not in ("accuracy", "binary") or classes is None:
        return
    if quality.samples >= FEWEST_TO_TELL and quality.low <= 1 / classes:
        yield (
            f"The original model is right on {_percent(quality.value)} of "
            f"{counted_samples(quality.samples)}, no better than guessing among {classes} "
            "classes: probably the samples, their preprocessing, or the order of the labels don't "
            f"fit this model{more}."
        )


@rule
def agreement_says_nothing(case: _Case) -> Iterator[str | Insight]:
    quality = case.original.quality
    if quality and quality.metric == "agreement" and case.original.answers == 1:
        yield (
            "The original predicts the same class for all "
            f"{counted_samples(quality.samples)}, so agreement says little about the compressed "
            "model; add samples of several classes."
        )


@rule
def not_done_on_opening(case: _Case) -> Iterator[str | Insight]:
    if case.original.description is not None:
        yield from case.original.description.remarks


@rule
def labels_in_another_order(case: _Case) -> Iterator[str | Insight]:
    found = case.original.relabelling
    if found is not None:
        yield relabelling_sentence(found, case.classes)


@rule
def nothing_to_compress(case: _Case) -> Iterator[str | Insight]:
    if not case.layers and not case.recipe.is_identity:
        yield "This network has no layer with weights, so nothing in it can be compressed."


@rule
def asked_and_reached(case: _Case) -> Iterator[str | Insight]:
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
            f"You asked to prune {_percent(case.recipe.ratio)} of the channels; "
            f"{_percent(reached)} were pruned, as channel counts are aligned to multiples of "
            f"{case.recipe.round_to} where a layer is wide enough."
        )


@rule
def left_alone(case: _Case) -> Iterator[str | Insight]:
    reasons: dict[Reason, list[str]] = {}
    for layer in case.layers:
        if layer.closed and (reason := layer.unprunable_reason):
            reasons.setdefault(reason, []).append(layer.name)
    for reason, names in reasons.items():
        count = f"One layer ({names[0]!r})" if len(names) == 1 else f"{len(names)} layers"
        why = reason.sentence if len(names) == 1 else reason.several
        yield f"{count} {why}: counted, but not compressed."


@rule
def widths_stay(case: _Case) -> Iterator[str | Insight]:
    recipe = case.recipe
    if recipe.pattern != "channel" or not recipe.ratio or recipe.widths:
        return
    reasons = [(layer.name, layer.unprunable_reason) for layer in case.layers]
    held = [name for name, reason in reasons if reason is not None and reason.code == HIDDEN_WIDTH]
    if held:
        yield Insight(
            f"{_counted(held)} kept the hidden dimension, which a normalisation or a mean runs "
            "over (such as the residual width of a transformer).",
            RECIPE["widths"],
            replace(recipe, widths=True),
        )


@rule
def own_choices_and_reached(case: _Case) -> Iterator[str | Insight]:
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
                f"You asked to prune {_percent(choice.ratio)} of {choice.name!r}, but it keeps all "
                f"its channels: {_clause(reason)}."
            )
        elif abs(reached - choice.ratio) >= NOTICEABLE:
            yield (
                f"You asked to prune {_percent(choice.ratio)} of {choice.name!r}; with its coupled "
                f"layers and channel alignment, {_percent(reached)} were pruned."
            )


@rule
def choices_for_nothing(case: _Case) -> Iterator[str | Insight]:
    chosen = [choice.name for choice in case.recipe.layers if choice.ratio]
    if case.recipe.pattern == "none" and chosen:
        yield (
            f"The ratio override of {_counted(chosen)} has no effect: the pruning pattern is "
            "'none'."
        )


@rule
def zeros_stay(case: _Case) -> Iterator[str | Insight]:
    if case.recipe.pattern in ("none", "channel") or not _sparsity(case.layers):
        return
    narrow = case.recipe.weight_bits < 32 or case.recipe.rounds_activations
    what = "change neither file size nor latency" if narrow else "leave file size and latency alone"
    yield (
        f"The zeros stay in dense tensors: they {what}, but reduce the gzip and packed sizes, and "
        "the latency on runtimes with sparse kernels."
    )


@rule
def zeros_unsuited(case: _Case) -> Iterator[str | Insight]:
    if case.recipe.pattern in ("none", "channel"):
        return
    left = [layer.name for layer in case.layers if layer.skipped and not layer.sparsity]
    if left:
        yield (
            f"Pattern {case.recipe.pattern} does not fit {_counted(left)}; the Layers page says "
            "why."
        )


@rule
def weights_unpacked(case: _Case) -> Iterator[str | Insight]:
    if case.recipe.weight_bits == 32 or case.recipe.rounds_activations or not case.layers:
        return
    yield (
        "Only the weights are quantized: the runtime dequantizes them before it computes, so this "
        "reduces the file size but not the latency."
    )


@rule
def weights_left_wide(case: _Case) -> Iterator[str | Insight]:
    """Few bits were asked for, and the file can't hold them."""
    reasons: dict[str, list[str]] = {}
    for layer in case.layers:
        asked = case.recipe.choice(layer.name).weight_bits or case.recipe.weight_bits
        is_wide = layer.storage.startswith("float") and holding(asked).is_integer
        if is_wide and layer.skipped and not layer.closed:
            reasons.setdefault(layer.skipped, []).append(layer.name)
    for reason, names in reasons.items():
        verb = "keeps" if len(names) == 1 else "keep"
        who = _counted(names)
        yield f"{capitalized(who)} {verb} floating-point weights: {reason}."


@rule
def simulated_widths(case: _Case) -> Iterator[str | Insight]:
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
def activations_without_integer_weights(case: _Case) -> Iterator[str | Insight]:
    if case.recipe.rounds_activations and not 5 <= case.recipe.weight_bits <= 8:
        yield Insight(
            "Integer kernels need weights of 5 to 8 bits too: with these weights, the activations "
            "are quantized but the products still run in FP32, which takes longer.",
            "Quantize the weights to INT8 too",
            replace(case.recipe, weight_bits=8),
        )


@rule
def slow_integers(case: _Case) -> Iterator[str | Insight]:
    latencies = case.latencies
    if not case.recipe.rounds_activations or latencies is None or latencies[1].ratio_low <= 1:
        return
    if not 5 <= case.recipe.weight_bits <= 8:
        return
    sentence = "INT8 is slower than FP32 for this network on this machine."
    has_vnni = case.original.host.has_vnni if case.original.host is not None else None
    if has_vnni is False:
        sentence = "This CPU has no VNNI (8-bit dot products), so INT8 is slower here than FP32."
    elif has_vnni:
        sentence = (
            "INT8 is slower here although this CPU has 8-bit dot products: the network is so small "
            "that quantizing the activations costs more than the products save."
        )
    floats = replace(case.recipe, activation_bits=32)
    yield Insight(sentence, "Keep the activations in FP32", floats)


@rule
def pruned_but_not_faster(case: _Case) -> Iterator[str | Insight]:
    profiles, latencies = case.profiles, case.latencies
    if case.recipe.pattern != "channel" or profiles is None or latencies is None:
        return
    if not profiles[0].macs:
        return
    removed = 1 - profiles[1].macs / profiles[0].macs
    if removed >= 0.1 and 1 - latencies[1].ratio < removed / 2:
        why = "much of the latency is calling operators and moving data"
        if case.recipe.round_to < 8:
            why = "channel counts that are no multiple of 8 use the vector units badly"
        if case.recipe.rounds_activations:
            why = "quantizing the activations takes time too"
        sentence = f"{_percent(removed)} fewer MACs{_in_time(latencies[1])}: {why}."
        if case.recipe.round_to < 8 and not case.recipe.rounds_activations:
            aligned = replace(case.recipe, round_to=8)
            yield Insight(sentence, "Align channels to multiples of 8", aligned)
        else:
            yield sentence


def _in_time(latency: Latency) -> str:
    """The effect of fewer MACs, as the rest of a sentence."""
    saved = 1 - latency.ratio
    if latency.ratio_low <= 1 <= latency.ratio_high or abs(saved) < LEAST_SHOWN:
        return ", but no measurable change in latency"
    if saved < 0:
        return f", but {_percent(-saved)} more latency"
    return f", but only {_percent(saved)} less latency"


@rule
def noisy_machine(case: _Case) -> Iterator[str | Insight]:
    latency = case.latency
    if latency is not None and not latency.reliable:
        yield "The machine was busy during the measurement, so the latency is not reliable."


@rule
def accuracy_collapsed(case: _Case) -> Iterator[str | Insight]:
    qualities = case.qualities
    if qualities is None or qualities[1].metric not in CLASS_METRICS:
        return
    before, after = qualities[0].value, qualities[1].value
    if after < before / 2:
        pruned = any(x.kept < x.channels or x.sparsity for x in case.layers)
        why = "too much was pruned" if pruned else "the precision is too low"
        title = METRICS[qualities[1].metric].title
        yield f"{title} fell from {_percent(before)} to {_percent(after)}: {why}."


@rule
def one_scale_for_all(case: _Case) -> Iterator[str | Insight]:
    without = case.unreconstructed
    if case.recipe.granularity != "tensor" or without is None:
        return
    if not METRICS[without.metric].is_share:
        return
    rounded = [layer for layer in case.layers if integer_type(layer.storage)]
    pruned = any(layer.kept < layer.channels or layer.sparsity for layer in case.layers)
    lost = (without.reference_value or 0.0) - without.value
    if pruned or lost <= MUCH_LOST or all(layer.closed for layer in rounded):
        return
    yield Insight(
        f"Without reconstruction, this loses {100 * lost:.1f} pp: with per-tensor granularity, one "
        "scale must cover the widest channel, so narrow channels get few levels. Per-channel "
        "granularity gives every channel all the levels.",
        "Quantize per channel",
        replace(case.recipe, granularity="channel"),
    )


@rule
def no_quality_difference(case: _Case) -> Iterator[str | Insight]:
    quality = case.quality
    if quality is None or quality.p_value is None:
        return
    if quality.value != quality.reference_value and quality.p_value > 0.05:
        scored = counted_samples(quality.samples)
        yield (
            f"The difference in {METRICS[quality.metric].noun} is not significant on {scored} "
            f"(McNemar p = {quality.p_value:.2f})."
        )


@rule
def bigger_file(case: _Case) -> Iterator[str | Insight]:
    profiles = case.profiles
    narrow = case.recipe.weight_bits < 32 or case.recipe.rounds_activations
    if not (narrow and profiles):
        return
    before, after = (profile.content_bytes for profile in profiles)
    if after > before:
        extra = after - before
        yield (
            f"The file grew by {format_bytes(extra)}: the scales and the nodes that apply them "
            "take more bytes than the quantized weights save."
        )


def _classes(described: Description | None) -> int | None:
    """How many scores the scored output holds for a sample, where that is known."""
    if described is None or not described.outputs:
        return None
    place = described.scoring.output if described.scoring is not None else 0
    return class_count(described.outputs[place].shape)


def class_count(shape: Sequence[int | str | None]) -> int | None:
    """How many scores an output of this shape holds for a sample; None where it isn't known."""
    last = shape[-1] if shape else None
    return last if isinstance(last, int) and last > 1 else None


def _sparsity(layers: Sequence[LayerPlan]) -> bool:
    return any(layer.sparsity > 0 for layer in layers)


def _percent(share: float) -> str:
    return f"{fixed(100 * share)} %"


def _clause(reason: Reason) -> str:
    """A reason why no channel goes, with a subject of its own."""
    return reason.sentence if reason == COUPLED else f"it {reason}"


def _counted(names: list[str]) -> str:
    if len(names) == 1:
        return f"layer {names[0]!r}"
    return f"{len(names)} layers, among them {names[0]!r}"
