"""Rules about what was measured."""

from collections.abc import Iterator
from dataclasses import replace

from explorer.metrics import CLASS_METRICS, METRICS
from explorer.render.insight_rules import Case, Insight, percent, rule
from explorer.render.text import counted_samples, format_bytes
from explorer.report import Latency
from explorer.storage_types import INT8_FULL, integer_type

LEAST_SHOWN = 0.005  # that isn't rounded to 0 %
MUCH_LOST = 0.05  # of accuracy or agreement, by rounding alone


@rule
def slow_integers(case: Case) -> Iterator[str | Insight]:
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
def overflowing_integers(case: Case) -> Iterator[str | Insight]:
    has_vnni = case.original.host.has_vnni if case.original.host is not None else None
    if has_vnni is not False or not any(x.storage == INT8_FULL.name for x in case.layers):
        return
    yield Insight(
        "This CPU has no VNNI: with the full INT8 range its 16-bit sums overflow, so the accuracy "
        "shown here is lower than on a processor with VNNI or on Arm.",
        "Use the reduced INT8 range",
        replace(case.recipe, int8_range="reduced"),
    )


@rule
def pruned_but_not_faster(case: Case) -> Iterator[str | Insight]:
    profiles, latencies = case.profiles, case.latencies
    if case.recipe.pattern != "channel" or profiles is None or latencies is None:
        return
    if not profiles[0].macs:
        return
    removed = 1 - profiles[1].macs / profiles[0].macs
    if removed >= 0.1 and 1 - latencies[1].ratio < removed / 2:
        why = "much of the latency is calling operators and moving data"
        if case.recipe.round_to < 8:
            why = "channel counts that aren't multiples of 8 use the vector units poorly"
        if case.recipe.rounds_activations:
            why = "quantizing the activations takes time too"
        sentence = f"{percent(removed)} fewer MACs{_in_time(latencies[1])}: {why}."
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
        return f", but {percent(-saved)} more latency"
    return f", but only {percent(saved)} less latency"


@rule
def noisy_machine(case: Case) -> Iterator[str | Insight]:
    latency = case.latency
    if latency is not None and not latency.reliable:
        yield "The machine was busy during the measurement, so the latency is not reliable."


@rule
def accuracy_collapsed(case: Case) -> Iterator[str | Insight]:
    qualities = case.qualities
    if qualities is None or qualities[1].metric not in CLASS_METRICS:
        return
    before, after = qualities[0].value, qualities[1].value
    if after < before / 2:
        pruned = any(x.kept < x.channels or x.sparsity for x in case.layers)
        why = "too much was pruned" if pruned else "the precision is too low"
        title = METRICS[qualities[1].metric].title
        yield f"{title} fell from {percent(before)} to {percent(after)}: {why}."


@rule
def one_scale_for_all(case: Case) -> Iterator[str | Insight]:
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
        "scale must cover the channel with the largest weights, so channels with small weights get "
        "few levels. Per-channel granularity gives every channel all levels.",
        "Quantize per channel",
        replace(case.recipe, granularity="channel"),
    )


@rule
def no_quality_difference(case: Case) -> Iterator[str | Insight]:
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
def bigger_file(case: Case) -> Iterator[str | Insight]:
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
