"""The plan explains itself: which layers are coupled and why, and what is prunable."""

from dataclasses import replace

from conftest import with_weights

import explorer
from explorer import Recipe
from explorer.compress.planned import removed_channels
from explorer.render.explain import FULL, REDUCED, WEIGHT_ONLY, few, file_sentences, group_sentences
from explorer.render.text import counted_samples
from explorer.render.text_tables import plan_table
from explorer.report import GroupPlan, LayerPlan, Plan

RESIDUAL = """
    <ir_version: 8, opset_import: ["" : 17]>
    toy (float[n, 3, 8, 8] x) => (float[n, 5] boxes) {
        a = Conv <kernel_shape=[1, 1]> (x, first_weight)
        b = Conv <kernel_shape=[1, 1]> (a, second_weight)
        sum = Add (a, b)
        pooled = GlobalAveragePool (sum)
        flat = Flatten (pooled)
        boxes = Gemm <transB=1> (flat, head_weight)
    }
"""
SHAPES = {"first_weight": (16, 3, 1, 1), "second_weight": (16, 16, 1, 1), "head_weight": (5, 16)}


def planned() -> Plan:
    model = with_weights(RESIDUAL, **SHAPES)
    return explorer.plan(model, Recipe(pattern="channel", ratio=0.5))


def test_each_layer_says_what_it_belongs_to_or_why_it_stays() -> None:
    first, second, head = planned().layers
    assert (first.group, second.group, head.group) == ("first", "first", None)
    assert (first.shrinks_with, second.shrinks_with) == (("second",), ("first",))
    assert [tie.split()[0] for tie in first.joined_by] == ["Add"]
    assert (first.removable, head.removable) == (15, 0)
    assert first.unprunable is None
    assert head.unprunable == "feeds graph output 'boxes'"


def test_the_reason_does_not_depend_on_the_recipe() -> None:
    model = with_weights(RESIDUAL, **SHAPES)
    for recipe in (Recipe(), Recipe(weight_bits=4), Recipe(pattern="channel", ratio=0.5)):
        head = explorer.plan(model, recipe).layers[-1]
        assert head.unprunable == "feeds graph output 'boxes'"
        assert (head.skipped is not None) == (recipe.pattern == "channel")


def test_the_table_and_the_sentences_name_the_tie() -> None:
    plan = planned()
    (sentence,) = group_sentences(plan.groups)
    assert sentence.startswith("first and second are coupled: Add ")
    assert sentence.endswith("adds them channel by channel.")
    table = plan_table(plan)
    assert sentence in table and "coupled with" in table and "feeds graph output 'boxes'" in table


def test_plans_survive_the_way_through_json() -> None:
    import json

    plan = planned()
    assert Plan.from_dict(json.loads(json.dumps(plan.to_dict()))) == plan


def test_long_groups_are_shortened_and_guards_are_told() -> None:
    names = tuple(f"l{index}" for index in range(9))
    ties = tuple(f"Add 'a{index}'" for index in range(5))
    (sentence,) = group_sentences([GroupPlan("l0", names, 8, (), ties, "is normalised over by N")])
    assert "l5 and 3 more are coupled" in sentence
    assert "2 more nodes do the same" in sentence
    assert sentence.endswith("so it is only pruned where hidden dimensions are pruned too.")
    assert few(["a", "b"]) == "a, b"


def test_groups_of_one_layer_need_no_sentence() -> None:
    assert group_sentences([GroupPlan("a", ("a",), 8, (1,))]) == []


def test_a_channel_that_is_all_there_is_in_a_tensor_stays() -> None:
    text = """
        <ir_version: 8, opset_import: ["" : 17]>
        toy (float[n, 3, 8, 8] x) => (float[n, 4, 8, 8] y)
        <int64[2] sizes = {1, 15}> {
            a = Conv <kernel_shape=[1, 1]> (x, first_weight)
            gate, rest = Split <axis=1> (a, sizes)
            left = Conv <kernel_shape=[1, 1]> (gate, left_weight)
            right = Conv <kernel_shape=[1, 1]> (rest, right_weight)
            y = Add (left, right)
        }
    """
    shapes = {"first_weight": (16, 3, 1, 1), "left_weight": (4, 1, 1, 1)}
    model = with_weights(text, **shapes, right_weight=(4, 15, 1, 1))
    for seed in range(20):
        recipe = Recipe(
            pattern="channel", ratio=0.9, round_to=1, scope="layer", criterion="random", seed=seed
        )
        plan = explorer.plan(model, recipe)
        assert 2 <= plan.layers[0].kept <= 4
        assert 0 not in removed_channels(model, plan)["first"]
        explorer.profile(explorer.apply(model, plan))


def test_a_file_says_how_its_weights_are_stored_and_how_to_open_it() -> None:
    floats = LayerPlan("a", "Gemm", 4, 4, 0.0, 32, "float32")
    reduced, full = (replace(floats, storage=name) for name in ("int8-reduced", "int8-full"))
    assert file_sentences([floats, reduced], is_weight_only=False) == [REDUCED]
    assert file_sentences([floats, full], is_weight_only=False) == [FULL]
    assert file_sentences([replace(floats, storage="int8")], is_weight_only=True) == [WEIGHT_ONLY]
    assert file_sentences([floats, replace(full, closed=True)], is_weight_only=False) == []


def test_one_sample_is_no_plural() -> None:
    assert [counted_samples(count) for count in (1, 2, 10_000)] == [
        "1 sample",
        "2 samples",
        "10,000 samples",
    ]
