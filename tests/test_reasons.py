"""Why something is left alone: values that decide, and their sentences for people."""

import json
from dataclasses import asdict, replace

import pytest
from conftest import SAMPLES
from values import planned

import explorer
from explorer import Recipe
from explorer.compress.patterns import unsuited
from explorer.reasons import (
    COUPLED,
    HIDDEN_WIDTH,
    NO_GROUPS,
    RATIO_WITHOUT_PATTERN,
    Reason,
    Uncounted,
    fused,
    held,
    indivisible,
    inside,
    needs_opset,
    on_request,
    quantized,
    sentence_of,
    too_large,
)
from explorer.recipe import LayerChoice
from explorer.render.insights import insights
from explorer.report import LayerPlan, Plan
from explorer.runs import Run, View

EVERY = [
    quantized(4), inside("Loop", "l"), fused("FusedMatMul", "m"), COUPLED, on_request("is summed"),
    held("feeds graph output 'y'"), indivisible(3, "input", "groups of 4"), too_large(7e4),
    needs_opset("int4", 21, "Scan 's' runs over a batch"), NO_GROUPS, RATIO_WITHOUT_PATTERN,
]  # fmt: skip


@pytest.fixture(scope="module")
def transformer() -> explorer.Model:
    return explorer.load(SAMPLES / "language_transformer.onnx")


def test_no_two_reasons_share_a_code() -> None:
    assert len({reason.code for reason in EVERY}) == len(EVERY)


@pytest.mark.parametrize("reason", EVERY, ids=lambda reason: reason.code)
def test_a_reason_comes_back_from_json(reason: Reason) -> None:
    assert Reason.from_dict(json.loads(json.dumps(asdict(reason)))) == reason
    assert f"{reason}" == reason.sentence


@pytest.mark.parametrize(
    "operator", [Uncounted("Det"), Uncounted("Conv", True), Uncounted("acme.Odd op")], ids=str
)
def test_an_uncounted_operator_comes_back_from_its_text(operator: Uncounted) -> None:
    assert Uncounted.from_text(str(operator)) == operator


def test_several_reasons_are_one_sentence_and_none_is_none() -> None:
    assert sentence_of(COUPLED, None, NO_GROUPS) == f"{COUPLED}; {NO_GROUPS}"
    assert sentence_of() is sentence_of(None) is None


def test_a_plan_says_its_reasons_as_sentences_and_as_values(transformer: explorer.Model) -> None:
    recipes = [
        Recipe(pattern="channel", ratio=0.5),
        Recipe(pattern="block", ratio=0.5, weight_bits=2, activation_bits=8, granularity="group"),
        Recipe(layers=(LayerChoice(transformer.layers[0].name, ratio=0.5),)),
    ]
    for recipe in recipes:
        planned = explorer.plan(transformer, recipe)
        assert any(layer.skipped_reasons for layer in planned.layers)
        for layer in planned.layers:
            assert layer.skipped == sentence_of(*layer.skipped_reasons)
            assert layer.unprunable == sentence_of(layer.unprunable_reason)
        assert Plan.from_dict(json.loads(json.dumps(planned.to_dict()))) == planned


def test_hidden_widths_are_known_by_their_code(transformer: explorer.Model) -> None:
    """Exactly the layers that asking for widths frees."""
    recipe = Recipe(pattern="channel", ratio=0.5)
    closed, open_ = (
        {
            layer.name
            for layer in explorer.plan(transformer, replace(recipe, widths=widths)).layers
            if layer.unprunable_reason and layer.unprunable_reason.code == HIDDEN_WIDTH
        }
        for widths in (False, True)
    )
    assert closed
    assert not open_


def test_patterns_say_what_they_can_not_divide(transformer: explorer.Model) -> None:
    layer = replace(transformer.layers[0], weight_shape=(5, 1), out_axis=0, in_axis=1)
    assert str(unsuited(layer, "2:4")) == "1 input channel can't be divided into groups of 4"
    assert str(unsuited(layer, "block")) == "5 output channels can't be divided into blocks of 4"
    assert unsuited(layer, "unstructured") is None


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        (quantized(8), "2 layers are already stored in 8 bits"),
        (inside("Loop", "l"), "2 layers stand inside Loop 'l'"),
        (fused("FusedMatMul", "m"), "2 layers belong to the fused operator FusedMatMul 'm'"),
    ],
    ids=lambda each: getattr(each, "code", ""),
)
def test_layers_that_share_a_reason_are_counted(reason: Reason, said: str) -> None:
    layers = [
        LayerPlan(
            name,
            "Gemm",
            channels=4,
            kept=4,
            sparsity=0.0,
            weight_bits=8,
            storage="int8",
            unprunable=str(reason),
            unprunable_reason=reason,
            closed=True,
        )
        for name in "ab"
    ]
    run = Run(Recipe(), planned(Recipe(), *layers))
    sentences = [each.sentence for each in insights(View(run=run))]
    assert f"{said}: counted, but not compressed." in sentences
