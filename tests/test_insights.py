"""Sentences: each appears where it should, and only there."""

from dataclasses import replace
from typing import Any

import pytest
import values
from conftest import SAMPLES
from values import UNREMARKABLE, planned

from explorer import Recipe, load, plan
from explorer.description import Host
from explorer.network import TensorSpec
from explorer.reasons import COUPLED, Reason, held, on_request, quantized
from explorer.recipe import LayerChoice
from explorer.render.insights import insights
from explorer.report import LayerPlan, Quality
from explorer.runs import Original, Run, View

PROFILE = replace(values.PROFILE, params=100, macs=1000, file_bytes=1000, annotation_bytes=0)
QUALITY = Quality("accuracy", 0.9, 0.88, 0.92, 1000, 0.9, 1.0)
LATENCY = replace(values.LATENCY, ratio=1.0, ratio_low=0.98, ratio_high=1.02)
UNKNOWN = Original()
LAYER = LayerPlan("conv", "Conv", 16, 16, 0.0, 32, "float32", group="conv", removable=15)


def surprises(run: Run, original: Original = UNKNOWN, *more: Any) -> list[str]:
    """The sentences of `insights`."""
    return [insight.sentence for insight in insights(View(original, run), *more)]


def of_plan(recipe: Recipe, *layers: LayerPlan, **known: Any) -> Run:
    return Run(recipe, planned(recipe, *layers), **known)


def told(
    recipe: Recipe,
    layer: dict[str, Any] | None = None,
    has_vnni: bool = True,
    as_insights: bool = False,
    **measured: Any,
) -> Any:
    host = Host("a processor", 2, "onnxruntime 1.0", has_vnni)
    original = Original(host, profile=PROFILE, latency=LATENCY, quality=QUALITY)
    run = of_plan(
        recipe,
        replace(LAYER, **(layer or {})),
        profile=replace(PROFILE, **measured.get("profile", {})),
        latency=replace(LATENCY, **measured.get("latency", {})),
        quality=replace(QUALITY, **measured.get("quality", {})),
        unreconstructed=measured.get("unreconstructed"),
    )
    found = insights(View(original, run))
    return found if as_insights else " ".join(each.sentence for each in found)


def because(reason: Reason) -> dict[str, Any]:
    """What a plan says of a layer of which no channel goes."""
    return {"unprunable": str(reason), "unprunable_reason": reason}


def test_nothing_surprising_is_not_mentioned() -> None:
    assert told(Recipe()) == ""
    assert told(Recipe(pattern="channel", ratio=0.5), {"kept": 8}) == ""


CHANNEL = Recipe(pattern="channel", ratio=0.5)


@pytest.mark.parametrize(
    ("sentence", "part"),
    [
        (told(CHANNEL, {"kept": 12}), "You asked to prune 50 % of the channels"),
        (told(CHANNEL, {"removable": 0}), "No layer of this network can be pruned by channels"),
        (
            told(Recipe(), {"closed": True, **because(quantized(8))}),
            "One layer ('conv') is already stored in 8 bits: counted, but not compressed",
        ),
        (
            told(CHANNEL, because(on_request("is averaged over"))),
            "kept the hidden dimension, which a normalisation or a mean runs over",
        ),
        (told(Recipe(pattern="2:4"), {"sparsity": 0.5}), "zeros stay in dense tensors"),
        (told(Recipe(pattern="2:4"), {"skipped": "1 channel"}), "does not fit layer 'conv'"),
        (told(Recipe(weight_bits=8)), "the runtime dequantizes them before it computes"),
        (
            told(Recipe(weight_bits=3), {"weight_bits": 3, "storage": "int4"}),
            "stores them in INT4",
        ),
        (told(Recipe(activation_bits=8)), "Integer kernels need weights of 5 to 8 bits"),
        (
            told(
                Recipe(weight_bits=8, activation_bits=8),
                has_vnni=False,
                latency={"ratio": 1.3, "ratio_low": 1.2},
            ),
            "This CPU has no VNNI",
        ),
        (
            told(
                Recipe(weight_bits=8, activation_bits=8, int8_range="full"),
                {"storage": "int8-full"},
                has_vnni=False,
            ),
            "its 16-bit sums overflow",
        ),
        (
            told(Recipe(weight_bits=8, activation_bits=8), latency={"ratio_low": 1.2}),
            "although this CPU has 8-bit dot products",
        ),
        (told(CHANNEL, {"kept": 8}, latency={"reliable": False}), "machine was busy"),
        (told(CHANNEL, {"kept": 8}, quality={"value": 0.1, "p_value": 0.0}), "Accuracy fell"),
        (told(CHANNEL, {"kept": 8}, quality={"value": 0.89, "p_value": 0.3}), "McNemar p = 0.30"),
        (told(Recipe(weight_bits=8), profile={"file_bytes": 1100}), "The file grew by 100 B"),
    ],
)
def test_what_is_surprising_is_explained(sentence: str, part: str) -> None:
    assert part in sentence


@pytest.mark.parametrize(
    ("interval", "sentence"),
    [
        ((0.88, 0.9, 0.92), "50 % fewer MACs, but only 10 % less latency: much of the"),
        ((1.2, 1.25, 1.3), "50 % fewer MACs, but 25 % more latency: much of the"),
        ((0.98, 1.0, 1.02), "50 % fewer MACs, but no measurable change in latency: much"),
        ((1.0005, 1.001, 1.002), "50 % fewer MACs, but no measurable change in latency: much"),
        ((0.5, 0.6, 0.7), ""),
    ],
    ids=["faster", "slower", "the same", "hardly slower", "as fast as hoped"],
)
def test_what_fewer_macs_do_to_the_time(
    interval: tuple[float, float, float], sentence: str
) -> None:
    ratio = dict(zip(("ratio_low", "ratio", "ratio_high"), interval, strict=True))
    said = told(CHANNEL, {"kept": 8}, profile={"macs": 500}, latency=ratio)
    assert said.startswith(sentence)
    assert bool(said) == bool(sentence)


@pytest.mark.parametrize(
    "recipe", [CHANNEL, Recipe(weight_bits=8), Recipe(pattern="2:4")], ids=["channel", "8", "2:4"]
)
def test_a_network_without_layers_has_one_sentence(recipe: Recipe) -> None:
    known: dict[str, Any] = {"profile": replace(PROFILE, macs=0), "latency": LATENCY}
    assert surprises(of_plan(recipe, **known), Original(**known)) == [
        "This network has no layer with weights, so nothing in it can be compressed."
    ]
    assert surprises(of_plan(Recipe(), **known), Original(**known)) == []


def test_a_network_without_macs_has_none_to_save() -> None:
    known: dict[str, Any] = {"profile": replace(PROFILE, macs=0), "latency": LATENCY}
    assert surprises(of_plan(CHANNEL, replace(LAYER, kept=8), **known), Original(**known)) == []


BY_TENSOR = Recipe(weight_bits=4, granularity="tensor")
NARROW = {"weight_bits": 4, "storage": "int4"}
COLLAPSED = replace(QUALITY, value=0.562)


def test_what_one_scale_for_all_channels_costs_is_told() -> None:
    sentence = "Without reconstruction, this loses 33.8 pp: with per-tensor granularity, one scale"
    assert sentence in told(BY_TENSOR, NARROW, unreconstructed=COLLAPSED)
    not_refitted = replace(BY_TENSOR, compensate=False)
    assert sentence in told(not_refitted, NARROW, quality={"value": 0.562})


@pytest.mark.parametrize(
    ("recipe", "layer", "without"),
    [
        (replace(BY_TENSOR, granularity="channel"), NARROW, COLLAPSED),
        (BY_TENSOR, NARROW, replace(QUALITY, value=0.86)),
        (BY_TENSOR, NARROW, None),
        (BY_TENSOR, NARROW, replace(COLLAPSED, metric="snr_db", reference_value=None)),
        (BY_TENSOR, {**NARROW, "sparsity": 0.5}, COLLAPSED),
        (BY_TENSOR, {**NARROW, "kept": 8}, COLLAPSED),
        (BY_TENSOR, {**NARROW, "closed": True, **because(held("is in a loop"))}, COLLAPSED),
        (replace(BY_TENSOR, weight_bits=32), {}, COLLAPSED),
    ],
    ids="channel, little, unknown, decibels, masked, pruned, closed, float".split(", "),
)
def test_other_losses_are_not_put_down_to_the_scale(
    recipe: Recipe, layer: dict[str, Any], without: Quality | None
) -> None:
    assert "one scale" not in told(recipe, layer, unreconstructed=without)


def scored(quality: Quality, classes: int | str) -> Original:
    described = replace(UNREMARKABLE, outputs=(TensorSpec("y", "float32", ("n", classes)),))
    return Original(description=described, quality=quality)


def of_original(
    value: float, low: float, samples: int = 1000, classes: int | str = 10, **other: Any
) -> list[str]:
    quality = replace(QUALITY, value=value, low=low, samples=samples, **other)
    return surprises(of_plan(Recipe(), LAYER), scored(quality, classes), "How it was read")


def test_an_original_that_guesses_points_to_how_the_samples_were_read() -> None:
    assert of_original(0.11, 0.09) == [
        "The original model is right on 11 % of 1,000 samples, no better than guessing "
        "among 10 classes: probably the samples, their preprocessing, or the order of the "
        "labels don't fit this model; see 'How it was read'."
    ]
    assert of_original(0.02, 0.01)
    (said,) = surprises(of_plan(Recipe(), LAYER), scored(replace(QUALITY, low=0.1), 10))
    assert said.endswith("don't fit this model.")


@pytest.mark.parametrize(
    "said",
    [
        of_original(0.13, 0.11),
        of_original(1.0, 0.44, samples=3, classes=2),
        of_original(0.11, 0.09, classes="classes"),
        of_original(0.11, 0.09, metric="agreement"),
    ],
    ids=["better", "few samples", "classes unknown", "no labels"],
)
def test_other_originals_are_not_said_to_guess(said: list[str]) -> None:
    assert said == []


def own(ratio: float, pattern: str = "channel") -> Recipe:
    return Recipe(pattern=pattern, layers=(LayerChoice("conv", ratio),))


@pytest.mark.parametrize(
    ("recipe", "layer", "sentence"),
    [
        (
            own(0.5),
            because(held("feeds graph output 'y'")),
            "You asked to prune 50 % of 'conv', but it keeps all its channels: it feeds",
        ),
        (
            own(0.5),
            because(COUPLED),
            "all its channels: none of its channels can be pruned without another layer's.",
        ),
        (own(0.1), {}, "You asked to prune 10 % of 'conv'; with its coupled layers"),
        (own(0.5), {"kept": 8}, ""),
        (own(0.0), because(held("feeds graph output 'y'")), ""),
        (
            own(0.5, "none"),
            {},
            "override of layer 'conv' has no effect: the pruning pattern is 'none'",
        ),
    ],
    ids=["fixed", "tied", "coupled", "reached", "nothing asked", "no pattern"],
)
def test_a_choice_for_one_layer_that_has_no_effect_is_explained(
    recipe: Recipe, layer: dict[str, Any], sentence: str
) -> None:
    said = told(recipe, {"removable": 15 * ("unprunable" not in layer), **layer})
    assert sentence in said
    assert bool(said) == bool(sentence)


def test_a_choice_for_the_last_layer_of_a_sample_is_explained() -> None:
    recipe = Recipe(pattern="channel", ratio=0.3, layers=(LayerChoice("classifier", 0.5),))
    found = plan(load(SAMPLES / "fashion_resnet.onnx"), recipe)
    assert surprises(Run(recipe, found)) == [
        "You asked to prune 50 % of 'classifier', but it keeps all its channels: it feeds graph "
        "output "
        "'logits'."
    ]


def test_results_that_are_not_there_yet_are_no_surprise() -> None:
    assert surprises(of_plan(CHANNEL, replace(LAYER, kept=8))) == []
    assert surprises(Run(CHANNEL, profile=PROFILE)) == []


REFUSED = "int8 needs opset 13, which the graph can't be raised to: Resize 'up' grows"


@pytest.mark.parametrize(
    ("recipe", "changes", "said"),
    [
        (Recipe(weight_bits=8), {"skipped": REFUSED}, True),
        (Recipe(layers=(LayerChoice("conv", None, 4),)), {"skipped": REFUSED}, True),
        (Recipe(weight_bits=8), {"storage": "int8", "weight_bits": 8}, False),
        (Recipe(), {"skipped": "has a ratio, but the pattern is 'none'"}, False),
    ],
)
def test_weights_that_can_not_be_stored_in_few_bits_say_why(
    recipe: Recipe, changes: dict[str, Any], said: bool
) -> None:
    sentence = f"Layer 'conv' keeps floating-point weights: {REFUSED}."
    assert (sentence in told(recipe, changes)) == said


def test_what_was_not_done_on_opening_is_said() -> None:
    original = Original(description=replace(UNREMARKABLE, remarks=("It is used as it is.",)))
    assert surprises(of_plan(Recipe(), LAYER), original) == ["It is used as it is."]


HELD = because(on_request("is averaged over"))
SLOW = {"ratio": 1.3, "ratio_low": 1.2, "ratio_high": 1.4}
LOSSY = replace(QUALITY, value=0.6)


@pytest.mark.parametrize(
    ("recipe", "facts", "change"),
    [
        (Recipe(activation_bits=8), {}, {"weight_bits": 8}),
        (Recipe(weight_bits=4, activation_bits=8), {}, {"weight_bits": 8}),
        (Recipe(weight_bits=8, activation_bits=8), {"latency": SLOW}, {"activation_bits": 32}),
        (CHANNEL, {"layer": {"kept": 8, **HELD}}, {"widths": True}),
        (
            replace(CHANNEL, round_to=1),
            {"layer": {"kept": 8}, "profile": {"macs": 500}},
            {"round_to": 8},
        ),
        (
            Recipe(weight_bits=8, granularity="tensor"),
            {"layer": {"weight_bits": 8, "storage": "int8"}, "unreconstructed": LOSSY},
            {"granularity": "channel"},
        ),
    ],
)
def test_an_insight_that_knows_the_remedy_offers_it_and_is_gone_with_it(
    recipe: Recipe, facts: dict[str, Any], change: dict[str, Any]
) -> None:
    offered = [each for each in told(recipe, as_insights=True, **facts) if each.recipe is not None]
    assert [each.recipe for each in offered] == [replace(recipe, **change)]
    assert offered[0].remedy
    cured = told(offered[0].recipe, as_insights=True, **facts)
    assert offered[0].remedy not in [each.remedy for each in cured]
