"""Text that no runtime reads goes from compressed files, and is told apart from the rest."""

import re
from dataclasses import replace
from functools import cache

import numpy as np
import onnx
import pytest
import torch
from conftest import run_onnx, with_weights
from exporting import export_new, export_old
from torch import nn
from values import PROFILE

import explorer
from explorer import Recipe
from explorer.render.cards import cards
from explorer.render.text_tables import report_table
from explorer.runs import Original, Run, View

IMAGES = np.random.default_rng(0).standard_normal((4, 3, 8, 8)).astype(np.float32)
RECIPES = {
    "bits": Recipe(weight_bits=2, compensate=False),
    "channels": Recipe(pattern="channel", ratio=0.5, compensate=False),
}
TRACE = "pkg.torch.onnx.stack_trace"


@cache
def annotated() -> bytes:
    """A network with stack traces, doc strings, shapes, and metadata of its own."""
    module = nn.Sequential(
        nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Conv2d(16, 16, 3), nn.Flatten(), nn.Linear(256, 5)
    ).eval()
    proto = onnx.load_model_from_string(export_new(module, (torch.from_numpy(IMAGES),), 20))
    for node in proto.graph.node:
        node.metadata_props.add(key=TRACE, value=f"File /home/somebody/{node.name}.py, line 7")
        node.doc_string = "made on a Friday"
    proto.graph.initializer[0].doc_string = "the first weight"
    proto.metadata_props.add(key="names", value="{0: 'cat', 1: 'dog'}")
    proto.doc_string = "Pets"
    onnx.checker.check_model(proto)
    data: bytes = proto.SerializeToString()
    return data


@pytest.mark.parametrize("name", RECIPES)
def test_notes_go_and_what_the_model_says_of_itself_stays(name: str) -> None:
    model = explorer.load(annotated())
    small = explorer.apply(model, explorer.plan(model, RECIPES[name]))
    proto = onnx.load_model_from_string(small.data)
    for text in (b"/home/somebody", b"Friday", b"the first weight", b"pkg.torch"):
        assert text in model.data
        assert text not in small.data
    assert not proto.graph.value_info
    metadata = {entry.key: entry.value for entry in proto.metadata_props}
    assert metadata["names"] == "{0: 'cat', 1: 'dog'}"
    assert proto.doc_string == "Pets"
    assert [value.name for value in proto.graph.input] == [spec.name for spec in model.inputs]


@pytest.mark.parametrize("name", RECIPES)
def test_notes_stay_on_request_and_change_no_output(name: str) -> None:
    model = explorer.load(annotated())
    kept = Recipe(**{**vars(RECIPES[name]), "keep_metadata": True})
    plain, full = (
        explorer.apply(model, explorer.plan(model, recipe)) for recipe in (RECIPES[name], kept)
    )
    assert b"/home/somebody" in full.data
    feed = {model.inputs[0].name: IMAGES}
    np.testing.assert_array_equal(run_onnx(plain.data, feed)[0], run_onnx(full.data, feed)[0])


@pytest.mark.parametrize("keeps", [False, True])
@pytest.mark.parametrize("name", RECIPES)
def test_estimates_know_of_the_notes(name: str, keeps: bool) -> None:
    model = explorer.load(annotated())
    plan = explorer.plan(model, Recipe(**{**vars(RECIPES[name]), "keep_metadata": keeps}))
    told, found = explorer.estimate(model, plan), explorer.profile(explorer.apply(model, plan))
    assert told.file_bytes == pytest.approx(found.file_bytes, rel=0.01)
    assert told.annotation_bytes == pytest.approx(found.annotation_bytes, rel=0.01)
    assert (found.annotation_bytes > 0) == keeps


def test_what_is_a_note_is_what_clearing_it_saves() -> None:
    """Every field by hand, as protobuf writes them."""
    data = annotated()
    proto = onnx.load_model_from_string(data)
    for node in proto.graph.node:
        node.ClearField("metadata_props")
        node.ClearField("doc_string")
    for value in (*proto.graph.input, *proto.graph.output, *proto.graph.initializer):
        value.ClearField("metadata_props")
        value.ClearField("doc_string")
    proto.graph.ClearField("value_info")
    proto.graph.ClearField("metadata_props")
    profile = explorer.profile(explorer.load(data))
    assert profile.annotation_bytes == len(data) - proto.ByteSize()
    assert profile.content_bytes == proto.ByteSize()


def test_a_file_without_notes_has_none() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU()).eval()
    proto = onnx.load_model_from_string(export_old(module, (torch.from_numpy(IMAGES),), 17))
    del proto.graph.value_info[:]
    assert explorer.profile(explorer.load(proto.SerializeToString())).annotation_bytes == 0


def test_the_card_compares_like_with_like() -> None:
    before = replace(PROFILE, file_bytes=55_442, annotation_bytes=22_648)
    after = replace(PROFILE, file_bytes=16_397, annotation_bytes=0)
    view = View(Original(profile=before), Run(Recipe(), profile=after))
    card = cards(view, busy=False)[0]
    assert (card.original, card.value, card.difference) == ("32.8 kB", "16.4 kB", "−50 %")
    assert card.note == "without 22.6 kB of exporter metadata, 41 % of the original file"


def test_the_table_in_the_shell_names_them() -> None:
    model = explorer.load(annotated())
    report = explorer.Report(model.id, model.name, explorer.profile(model))
    assert "of which exporter metadata" in report_table([report])
    bare = replace(report, profile=replace(report.profile, annotation_bytes=0))
    assert "metadata" not in report_table([bare])


SHORT = (
    Recipe(short_names=True, weight_bits=4, compensate=False),
    Recipe(short_names=True, pattern="channel", ratio=0.5, compensate=False),
    Recipe(short_names=True, pattern="unstructured", ratio=0.5, weight_bits=3, compensate=False),
    Recipe(short_names=True, weight_bits=8, activation_bits=8, compensate=False),
)


@pytest.mark.parametrize("recipe", SHORT, ids=["bits", "channels", "zeros", "activations"])
def test_short_names_change_no_output_and_keep_inputs_and_outputs(recipe: Recipe) -> None:
    model = explorer.load(annotated())
    feed = {model.inputs[0].name: IMAGES}
    calibration = explorer.calibrate(model, feed)
    plans = [explorer.plan(model, each) for each in (recipe, replace(recipe, short_names=False))]
    short, plain = (explorer.apply(model, plan, calibration) for plan in plans)
    assert short.inputs[0].name == model.inputs[0].name
    assert short.outputs[0].name == model.outputs[0].name
    np.testing.assert_array_equal(run_onnx(short.data, feed)[0], run_onnx(plain.data, feed)[0])
    assert len(short.data) < len(plain.data)
    names = [node.name for node in onnx.load_model_from_string(short.data).graph.node]
    ends = "|".join(spec.name for spec in (*model.inputs, *model.outputs))
    assert all(re.fullmatch(rf"(t\d+|{ends})(/\w+)?", name) for name in names)
    told, found = explorer.estimate(model, plans[0]), explorer.profile(short)
    assert told.file_bytes == found.file_bytes
    assert (told.params, told.packed_bytes) == (found.params, found.packed_bytes)


@pytest.mark.parametrize("names", [("t1", "t0"), ("t10", "t0"), ("t2", "t1")])
def test_short_names_that_the_file_has_already_lose_no_weight(names: tuple[str, str]) -> None:
    text = (
        '<ir_version: 8, opset_import: ["" : 17]> g (float[n,6] x) => (float[n,5] y) '
        f"{{ a = MatMul (x, {names[0]})  r = Relu (a)  y = MatMul (r, {names[1]}) }}"
    )
    model = with_weights(text, **dict(zip(names, ((6, 8), (8, 5)), strict=True)))
    x = np.random.default_rng(0).standard_normal((3, 6)).astype(np.float32)
    for bits in (16, 8):
        recipe = Recipe(short_names=True, weight_bits=bits, compensate=False)
        small = explorer.apply(model, explorer.plan(model, recipe))
        found, wanted = (run_onnx(each.data, {"x": x})[0] for each in (small, model))
        assert np.abs(found - wanted).max() < 0.05 * np.abs(wanted).max()
