"""The page without a browser: what it shows, what it forgives, and what it never imports."""

import asyncio
import json
import re
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Coroutine
from dataclasses import fields, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pandas as pd
import pytest
import streamlit
from bad_files.onnx_runs import loop
from onnx import TensorProto, helper, numpy_helper
from onnx_net import Net
from pandas.io.formats.style import Styler
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from streamlit.testing.v1 import AppTest
from values import ARTIFACT, planned

import explorer
from explorer.digits import speedup
from explorer.findings import Probe, Sensitivity
from explorer.recipe import (
    AIMS,
    CRITERIA,
    GRANULARITIES,
    PATTERNS,
    SCOPES,
    WEIGHT_BITS,
    LayerChoice,
    Recipe,
)
from explorer.render import labels
from explorer.render.cards import cards, numbers, relative
from explorer.render.charts import LONGEST_NAME, PALETTE, loss_text, short_name
from explorer.render.explain import REDUCED, WEIGHT_ONLY
from explorer.render.insights import insights
from explorer.render.text import spent_sentence
from explorer.render.words import describe
from explorer.report import Latency, LayerPlan, Profile, Quality
from explorer.runs import FIRST_RECIPE, Original, Run, View
from explorer.ui import graph_view, layer_table, netron, panel, reading, sensitivity_map
from explorer.ui.current_outcome import outcome_of
from explorer.ui.offers import again_offers
from explorer.workspace.slices import base_of
from explorer.workspace.sources import sample_models

ROOT = Path(__file__).resolve().parents[1]
Handler = Callable[[Request], Coroutine[Any, Any, Response]]
PATIENCE_S = 120
PROFILE = Profile(1000, 1000, 5000, 4000, 3000, 4000, 100)
QUALITY = Quality("accuracy", 0.91, 0.90, 0.92, 1000, 0.93, 0.001)
LATENCY = Latency(
    1e-4, 1e-6, 9e-5, 50, 1, "onnxruntime", True, 0.5, 0.45, 0.55, 1.0, reference_median_s=2e-4
)


@pytest.fixture(scope="module")
def app() -> AppTest:
    page = AppTest.from_file(str(ROOT / "app.py"), default_timeout=PATIENCE_S).run()
    return settled(page)


def settled(page: AppTest) -> AppTest:
    """Run the page, as its polling fragment would, until no work is left."""
    deadline = time.monotonic() + PATIENCE_S
    while page.session_state["explorer"].busy and time.monotonic() < deadline:
        time.sleep(0.05)
        page.run()
    assert not page.exception
    assert not page.session_state["explorer"].busy
    return page


def drop(page: AppTest, box: str, *files: tuple[str, bytes]) -> None:
    """Drop files, (name, bytes) each, into the box for a model or a recipe."""
    (uploader,) = [found for found in page.file_uploader if box in found.label]
    uploader.set_value([(name, content, "application/octet-stream") for name, content in files])
    settled(page.run())


def widget(kind: Any, name: str) -> Any:
    """The one widget of a kind that shows what has this name."""
    (found,) = [each for each in kind if each.key and re.fullmatch(rf"w_{name}_\d+", each.key)]
    return found


def choose(page: AppTest, **changes: Any) -> None:
    """Ask for a setting, as the panel does when the hand lets go."""
    session = page.session_state["explorer"]
    session.set_recipe(replace(session.recipe, **changes))
    page.run()


def panel_of(page: AppTest) -> dict[str, Any]:
    """What was sent to the live panel."""
    sent = [element.proto for element in page.get("bidi_component")]
    (told,) = [each.json for each in sent if each.component_name == "explorer_mount"]
    found: dict[str, Any] = json.loads(told)
    return found


def kinds_of(page: AppTest) -> list[str]:
    """Where each number on the panel comes from."""
    return [number["kind"] for number in panel_of(page)["numbers"]]


def html_of(page: AppTest) -> str:
    return "".join(element.proto.body for element in page.get("html"))


def tried_of(page: AppTest) -> list[str]:
    """What the trade-off shows, by label."""
    return [point["label"] for point in panel_of(page)["tried"]["points"]]


def test_opens_with_the_first_sample_and_shows_measured_numbers(app: AppTest) -> None:
    assert widget(app.selectbox, "model").value == sample_models()[0].key
    assert [number["title"] for number in panel_of(app)["numbers"]] == [
        "File size",
        "Parameters",
        "MACs",
        "Peak activation memory",
        "Latency",
        "Accuracy",
    ]
    assert set(kinds_of(app)) <= {"computed", "measured", "noisy"}
    assert not app.error


@pytest.mark.parametrize("key", ["vowels_cnn", "language_transformer"])
def test_samples_of_series_and_of_text_show_measured_numbers(key: str) -> None:
    page = settled(AppTest.from_file(str(ROOT / "app.py"), default_timeout=PATIENCE_S).run())
    widget(page.selectbox, "model").set_value(key).run()
    settled(page)
    session = page.session_state["explorer"]
    assert session.source.key == key
    assert session.view.run.complete
    assert session.source.title in html_of(page)
    assert panel_of(page)["numbers"][-1]["title"] == "Accuracy"
    assert set(kinds_of(page)) <= {"computed", "measured", "noisy"}
    assert not page.error


def test_a_file_is_explained_where_it_is_downloaded() -> None:
    page = AppTest.from_file(str(ROOT / "app.py"), default_timeout=PATIENCE_S).run()
    widget(page.selectbox, "model").set_value("vowels_cnn").run()
    settled(page)
    integer_kernels, weights_only = Recipe(weight_bits=8, activation_bits=8), Recipe(weight_bits=8)
    for recipe, told in ((integer_kernels, REDUCED), (weights_only, WEIGHT_ONLY), (Recipe(), "")):
        page.session_state["explorer"].set_recipe(recipe)
        page.switch_page("pages/export.py")
        settled(page.run())
        captions = [text.value for text in page.run().caption]
        assert [text for text in captions if text in (REDUCED, WEIGHT_ONLY)] == [told] * bool(told)


def test_a_compressed_model_that_was_removed_can_be_made_again() -> None:
    page = page_on("vowels_cnn")
    session = page.session_state["explorer"]
    page.switch_page("pages/export.py")
    session.set_recipe(Recipe(pattern="channel", ratio=0.37))
    settled(page.run())
    assert graph_view.GONE not in [text.value for text in page.run().caption]
    session.view.run.file.unlink()
    assert graph_view.GONE in [text.value for text in page.run().caption]
    page.switch_page("pages/graph.py")
    assert graph_view.GONE in [text.value for text in page.run().caption]
    page.switch_page("pages/export.py")
    page.run()
    (again,) = [button for button in page.button if button.label == "Write it again"]
    again.click()
    settled(page.run())
    assert session.view.run.file is not None
    assert session.recipe.ratio == 0.37
    assert graph_view.GONE not in [text.value for text in page.run().caption]


def page_on(sample: str) -> AppTest:
    """The page, settled on a sample."""
    page = AppTest.from_file(str(ROOT / "app.py"), default_timeout=PATIENCE_S).run()
    settled(page)
    widget(page.selectbox, "model").set_value(sample).run()
    settled(page)
    return page


def test_sensitivity_is_measured_in_slices_and_other_work_goes_first() -> None:
    page = page_on("vowels_cnn").switch_page("pages/layers.py").run()
    session = page.session_state["explorer"]
    assert not page.get("plotly_chart")
    page.button(key="sensitivity_start").click().run()
    assert session.sensitivity.running
    wait_for_probes(page, 3)
    chart = json.loads(page.get("plotly_chart")[0].proto.spec)
    assert any("channels remain" in text for row in chart["data"][0]["text"] for text in row)
    choose(page, ratio=0.55)
    settled(page)
    assert session.view.run.recipe.ratio == 0.55
    assert session.sensitivity.running
    known = len(session.sensitivities)
    wait_for_probes(page, known + 2)
    page.button(key="sensitivity_cancel").click().run()
    assert not session.sensitivity.running
    found = session.sensitivities
    assert len(found) >= known + 2
    assert page.button(key="sensitivity_start").label == "Resume"
    widget(page.toggle, "compensate").set_value(False).run()
    settled(page)
    assert page.button(key="sensitivity_start").label == "Measure sensitivity"
    widget(page.toggle, "compensate").set_value(True).run()
    settled(page)
    assert session.sensitivities == found


def test_an_import_can_be_cancelled() -> None:
    page = page_on("vowels_cnn")
    session = page.session_state["explorer"]
    assert "import_cancel" not in [button.key for button in page.button]
    session.receive([("endless.onnx", loop(2**62))])
    page.run().button(key="import_cancel").click().run()
    settled(page.run())
    assert (session.notice, session.selected.key) == (None, "vowels_cnn")
    assert not list(session.folder.path.glob("upload-*"))
    assert "import_cancel" not in [button.key for button in page.run().button]


def test_points_buy_a_recipe_that_becomes_the_setting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    page = page_on("vowels_cnn").switch_page("pages/layers.py").run()
    session = page.session_state["explorer"]
    page.button(key="sensitivity_start").click().run()
    wait_for_probes(page, 3)
    assert not page.number_input
    page.button(key="sensitivity_cancel").click().run()
    monkeypatch.setattr(session.sensitivity, "is_complete", lambda *_: True)  # as if that were all
    page.run()
    page.number_input(key="w_points").set_value(5.0).run()
    page.button_group(key="w_spend_on").set_value("macs").run()
    page.button(key="spend_start").click().run()
    assert session.budget.running
    choose(page, ratio=0.55)
    assert not session.budget.running
    settled(page)
    assert session.recipe.ratio == 0.55
    page.button(key="spend_start").click().run()
    deadline = time.monotonic() + PATIENCE_S
    while session.budget.running and time.monotonic() < deadline:
        time.sleep(0.05)
        page.run()
    settled(page)
    assert not page.error
    assert session.recipe.ratio != 0.55
    assert not session.recipe.is_identity
    assert session.view.run.recipe == session.recipe
    spent = session.budget.bought(session.source, session.recipe)
    assert (spent.points, spent.on) == (5.0, "macs")
    assert session.view.profile == spent.profile
    assert session.view.quality == spent.quality  # there are few samples
    assert any(spent_sentence(spent) == text.value for text in page.caption)
    choose(page, ratio=0.1)
    settled(page)
    assert not any(" pp of accuracy, measured on" in text.value for text in page.caption)


def wait_for_probes(page: AppTest, count: int) -> None:
    """Run the page until so many results of the sensitivity have come."""
    session, deadline = page.session_state["explorer"], time.monotonic() + PATIENCE_S
    while len(session.sensitivities) < count:
        assert time.monotonic() < deadline
        assert session.sensitivity.running
        time.sleep(0.05)
        page.run()
    assert not page.exception


def test_every_card_and_the_chart_follow_a_changed_setting(app: AppTest) -> None:
    session = app.session_state["explorer"]
    before, tried = cards(session.view, busy=False), len(session.runs)
    choose(app, pattern="channel", ratio=0.6)
    settled(app)
    after = cards(session.view, busy=False)
    assert [card.title for card in before] == [card.title for card in after]
    assert all(old.value != new.value for old, new in zip(before, after, strict=True))
    assert len(session.runs) == tried + 1
    shown = tried_of(app)
    assert shown[0] == "original"
    assert describe(session.recipe) in shown
    assert len(shown) == len(session.runs) + 1


def test_a_sample_that_was_opened_before_is_there_at_once(app: AppTest) -> None:
    page = AppTest.from_file(str(ROOT / "app.py"), default_timeout=PATIENCE_S).run()
    session = page.session_state["explorer"]
    assert session.source == sample_models()[0]
    assert not session.busy
    assert set(kinds_of(page)) <= {"computed", "measured", "noisy"}
    assert session.counts is not None
    widget(page.selectbox, "model").set_value("vowels_cnn").run()
    widget(page.selectbox, "model").set_value(sample_models()[0].key).run()
    assert session.source == session.selected == sample_models()[0]
    settled(page)
    assert session.source == sample_models()[0]


def test_a_setting_tried_before_comes_from_memory(app: AppTest) -> None:
    session = app.session_state["explorer"]
    recipe = session.recipe
    choose(app, ratio=0.1)
    settled(app)
    choose(app, ratio=recipe.ratio)
    assert not session.busy
    assert session.view.run.recipe == recipe
    assert session.view.run.complete


@pytest.mark.parametrize(
    ("name", "content"),
    [("broken.onnx", b"not a model"), ("empty.onnx", b""), ("data.npz", b"PK\x03\x04cut")],
    ids=["not a model", "empty", "truncated data"],
)
def test_a_bad_upload_is_one_sentence_and_the_results_stay(
    app: AppTest, name: str, content: bytes
) -> None:
    session = app.session_state["explorer"]
    shown = session.view
    drop(app, "model", (name, content))
    assert len(app.error) == 1
    assert app.error[0].value.rstrip().endswith(".")
    assert "Traceback" not in app.error[0].value
    assert session.view == shown
    assert widget(app.selectbox, "model").value == sample_models()[0].key


def test_a_recipe_with_an_unknown_layer_is_refused_and_the_controls_stay(app: AppTest) -> None:
    session = app.session_state["explorer"]
    before = session.recipe
    recipe = Recipe(pattern="channel", ratio=0.5, layers=(LayerChoice("nowhere", 0.1),))
    drop(app, "recipe", ("recipe.json", recipe.to_json().encode()))
    assert "nowhere" in app.error[0].value
    assert session.recipe == before
    drop(app, "recipe", ("recipe.json", b'{"ratio": 2}'))
    assert "below 1" in app.error[0].value


def test_a_choice_for_one_layer_reaches_the_plan(app: AppTest) -> None:
    session = app.session_state["explorer"]
    name = session.original.description.layers[-1].name
    session.set_recipe(Recipe(pattern="channel", ratio=0.6, layers=(LayerChoice(name, None, 8),)))
    settled(app.run())
    bits = {layer.name: layer.weight_bits for layer in session.view.run.layers}
    assert bits[name] == 8
    assert set(bits.values()) == {8, 32}


def test_a_model_that_guesses_points_to_how_its_samples_were_read(
    app: AppTest, tmp_path: Path
) -> None:
    told = "the labels don&#x27;t fit this model"
    assert told not in html_of(app)
    drop(app, "model", *[(file.name, file.read_bytes()) for file in own_model(tmp_path)])
    assert not app.error
    assert f"{told}; see &#x27;{reading.TITLE}&#x27;" in html_of(app)
    assert reading.TITLE in [each.label for each in app.expander]


def test_without_labels_it_is_agreement(app: AppTest, tmp_path: Path) -> None:
    model, data = own_model(tmp_path)
    unlabelled = tmp_path / "unlabelled.npz"
    np.savez(unlabelled, x=np.load(data)["x"])
    drop(app, "model", *[(file.name, file.read_bytes()) for file in (model, unlabelled)])
    assert not app.error
    assert panel_of(app)["numbers"][-1]["title"] == "Agreement"


def test_without_samples_there_is_no_accuracy(app: AppTest, tmp_path: Path) -> None:
    model, _ = own_model(tmp_path)
    drop(app, "model", (model.name, model.read_bytes()))
    assert [error.value for error in app.error] == []
    number, page = panel_of(app)["numbers"][-1], html_of(app)
    assert (number["title"], number["kind_text"]) == ("Agreement", "on random inputs")
    assert "agreement with the original is measured on 256 random inputs" in page
    assert app.session_state["explorer"].view.run.artifact.not_reconstructed


def test_input_sizes_can_be_set(app: AppTest, tmp_path: Path) -> None:
    net = Net()
    x = net.do("Relu", net.do("Conv", net.input("image", "n", 3, "h", "w"), net.w(16, 3, 1, 1)))
    x = net.do("GlobalAveragePool", net.do("Conv", x, net.w(8, 16, 1, 1)))
    drop(app, "model", ("net.onnx", net.bytes(net.do("Flatten", x))))
    session = app.session_state["explorer"]
    assert "Input size: 1 x 3 x 224 x 224" in [each.label for each in app.expander]
    assert panel_of(app)["numbers"][2]["original"] == 224**2 * (48 + 128)
    before = panel_of(app)["model"], len(session.sources)

    set_sizes(app, "2 x 3 x 20 x 30")
    assert not app.error
    assert "Input size: 2 x 3 x 20 x 30" in [each.label for each in app.expander]
    assert panel_of(app)["numbers"][2]["original"] == 2 * 600 * (48 + 128)
    assert panel_of(app)["model"] != before[0]
    assert len(session.sources) == before[1]
    assert session.view.latency and session.view.quality
    with np.load(session.source.data) as made:
        assert made["x"].shape == (256, 3, 20, 30)
    script = again_offers(outcome_of(session))[0].content()
    assert "INPUT_SIZES = {'image': (2, 3, 20, 30)}" in script
    assert "load(MODEL, input_sizes=INPUT_SIZES)" in script

    for text, sentence in (
        ("1 x 4 x 20 x 30", "Input 'image' is n x 3 x h x w, so it can't be 1 x 4 x 20 x 30."),
        ("large", "The input shape must be numbers such as 1 x 3 x 224 x 224."),
    ):
        set_sizes(app, text)
        assert [each.value.replace("\\", "") for each in app.error] == [sentence]
        assert "Input size: 2 x 3 x 20 x 30" in [each.label for each in app.expander]

    set_sizes(app, "")
    assert "Input size: 1 x 3 x 224 x 224" in [each.label for each in app.expander]
    assert not app.error


def test_a_sample_can_have_other_input_sizes(app: AppTest) -> None:
    session = app.session_state["explorer"]
    session.open(sample_models()[0])
    settled(app.run())
    titles = [source.title for source in session.sources.values()]
    set_sizes(app, "4 x 1 x 28 x 28")
    assert panel_of(app)["numbers"][2]["original"] == 4 * explorer.profile(fashion()).macs
    assert [source.title for source in session.sources.values()] == titles
    set_sizes(app, "")
    assert session.source == sample_models()[0]


def set_sizes(page: AppTest, text: str) -> None:
    """Write into the only field of the input sizes, and take it."""
    (field,) = [each for each in page.text_input if (each.key or "").startswith("w_size_")]
    field.set_value(text)
    (button,) = [each for each in page.button if each.label == "Set sizes"]
    settled(button.click().run())


def fashion() -> explorer.Model:
    return explorer.load(sample_models()[0].model)


def test_a_model_that_the_runtime_cannot_run_is_still_counted(app: AppTest, tmp_path: Path) -> None:
    model, _ = own_model(tmp_path, last="Mystery", domain="com.example")
    drop(app, "model", (model.name, model.read_bytes()))
    assert len(app.error) == 1
    shown = {card.title: card for card in cards(app.session_state["explorer"].view, busy=False)}
    assert shown["Parameters"].original != "–"
    assert shown["Latency"].kind == "unknown"


def test_the_server_imports_no_runtime() -> None:
    script = """
import runpy, sys
from streamlit.testing.v1 import AppTest
import explorer.ui.netron
page = AppTest.from_file("app.py", default_timeout=120).run()
assert not page.exception, page.exception
print(sorted({"torch", "onnxruntime", "onnx", "onnx_ir"} & {m.split(".")[0] for m in sys.modules}))
"""
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_charts_use_the_colours_of_the_theme() -> None:
    theme = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text())["theme"]
    assert theme["light"]["chartCategoricalColors"] == list(PALETTE)
    assert theme["dark"]["chartCategoricalColors"] == list(PALETTE)
    assert len(PALETTE) == 10


FOUND = Sensitivity(
    probe=Probe("<b>b</b>", ("<b>b</b>", "c"), ratio=0.5),
    channels=16,
    kept=8,
    profile=PROFILE,
    quality=Quality("accuracy", 0.91, 0.90, 0.92, 1000, 0.93, 0.001),
    output_error=0.25,
)
BY_BITS = replace(FOUND, probe=Probe("a", ("a",), weight_bits=4))


def test_the_heat_map_has_a_place_a_row_and_a_setting_a_column() -> None:
    better = replace(BY_BITS, quality=replace(BY_BITS.quality, value=0.9304))
    figure, height = sensitivity_map.figure_of([FOUND, better], ["a", "<b>b</b>", "c"])
    heat, numbers = figure.data
    assert figure.layout.yaxis.ticktext == ("a", "&lt;b&gt;b&lt;/b&gt;")
    assert list(zip(numbers.x, numbers.y, numbers.text, strict=True)) == [
        (1, 1, "2.0"),
        (5, 0, "0.0"),
    ]
    assert heat.z[1][1] == pytest.approx(2**0.5)
    assert (heat.z[0][5], heat.z[0][0]) == (0, None)
    assert "8 of 16 channels remain: 2.00 lost<br>with c" in heat.text[1][1]
    assert "<b>b</b><br>" not in heat.text[1][1]
    assert "−0.04 lost" in heat.text[0][5]
    places = [replace(FOUND, probe=replace(FOUND.probe, place=name)) for name in "abc"]
    assert sensitivity_map.figure_of(places, "abc")[1] > height


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("blocks.0.attention.qkv", "blocks.0.attention.qkv"),
        ("blocks.0.attention.project", "…0.attention.project"),
        ("encoder.layer.10.attention.output.dense", "…10…output.dense"),
        ("/encoder/layer.10/attention/self/query/MatMul", "…10…self/query/MatMul"),
        ("a_single_word_of_thirty_letters", "…ord_of_thirty_letters"),
        ("", ""),
    ],
)
def test_a_long_name_keeps_its_numbers_and_its_end(name: str, shown: str) -> None:
    assert short_name(name) == shown
    assert len(shown) <= LONGEST_NAME


def test_losses_are_written_with_a_true_minus_and_zero_has_none() -> None:
    assert [loss_text(loss) for loss in (12.34, 0.0, -0.04, -0.06, -10.0)] == [
        "12.3",
        "0.0",
        "0.0",
        "−0.1",
        "−10.0",
    ]
    columns = {"loss_ratio": [None, -0.04], "loss_bits": [-0.06, 12.34]}
    styled = layer_table.with_minus_signs(pd.DataFrame({"layer": ["a", "b"], **columns}))
    assert isinstance(styled, Styler)
    assert "−0.1" in styled.to_html()
    assert "-0" not in re.sub("<[^>]*>", "", styled.to_html().partition("</style>")[2])
    losses = styled.data["loss_bits"]  # type: ignore[attr-defined]  # not in pandas-stubs
    assert list(losses) == [-0.06, 12.34]  # sorted as numbers


def test_columns_without_anything_to_say_are_left_out() -> None:
    dense = LayerPlan("a", "Gemm", 4, 4, 0.0, 32, "float32")
    sparse = replace(dense, sparsity=0.5)
    assert {"zeros", *layer_table.LOSSES}.isdisjoint(layer_table.shown_columns([dense], {}))
    assert "zeros" in layer_table.shown_columns([dense, sparse], {})
    assert set(layer_table.LOSSES) < set(layer_table.shown_columns([dense], {"loss_ratio": [1.0]}))


def test_losses_stand_beside_every_layer_of_a_group() -> None:
    assert sensitivity_map.table_columns([], ["a"]) == {}
    columns = sensitivity_map.table_columns([FOUND, BY_BITS], ["a", "<b>b</b>", "c"])
    assert columns["loss_ratio"] == [None, pytest.approx(2.0), pytest.approx(2.0)]
    assert columns["loss_bits"] == [pytest.approx(2.0), None, None]
    decibels = replace(FOUND.quality, metric="snr_db", reference_value=None)
    noise = replace(FOUND, quality=decibels)
    assert sensitivity_map.loss_of(noise) == 25.0
    assert "percent of their variance" in sensitivity_map.caption([noise])


def test_sensitivity_depends_on_how_but_not_on_how_much() -> None:
    recipe = Recipe(pattern="channel", ratio=0.4, weight_bits=4, layers=(LayerChoice("a", 0.1),))
    assert base_of(recipe) == base_of(Recipe(scope="layer", seed=3, group_size=16)) == Recipe()
    assert base_of(Recipe(compensate=False)) != Recipe()
    assert base_of(Recipe(criterion="random", seed=3)).seed == 3


def test_an_estimate_shows_at_once_and_what_is_not_measured_is_open() -> None:
    estimate = replace(PROFILE, params=500, nonzero_params=None, gzip_bytes=None)
    view = View(Original(profile=PROFILE), Run(Recipe(ratio=0.5), estimate=estimate))
    assert view.is_estimated
    shown = {card.title: card for card in cards(view, busy=True)}
    assert (shown["Parameters"].kind, shown["Parameters"].difference) == ("estimated", "−50 %")
    assert (shown["Latency"].kind, shown["Latency"].value) == ("coming", "–")


def test_cards_say_what_is_measured_and_how_sure_it_is() -> None:
    known: dict[str, Any] = {"profile": PROFILE, "latency": LATENCY, "quality": QUALITY}
    view = View(Original(**known), Run(Recipe(), **known))
    shown = {c.title: c for c in cards(view, busy=False)}
    assert shown["File size"].difference == "no change"
    assert (shown["Latency"].difference, shown["Latency"].interval) == (
        "2.00× faster",
        "1.82–2.22×",
    )
    assert shown["Accuracy"].difference == "−2.00 pp"
    assert shown["Accuracy"].original == "93.00 %"
    computed = [card.title for card in shown.values() if card.kind == "computed"]
    assert computed == ["File size", "Parameters", "MACs", "Peak activation memory"]
    assert {shown[title].interval for title in computed} == {"–"}  # no "exact" beside them
    assert {shown["Latency"].kind, shown["Accuracy"].kind} == {"measured"}
    (macs,) = numbers([shown["MACs"]])
    assert "FLOPs = 2 × MACs" in macs["definition"]
    assert (macs["value"], macs["original"]) == (PROFILE.macs, PROFILE.macs)


@pytest.mark.parametrize(
    ("metric", "value", "without", "note"),
    [
        ("accuracy", 0.91, 0.1634, "16.34 % (reconstruction gains 74.66 pp)"),
        ("accuracy", 0.91, 0.92, "92.00 % (reconstruction loses 1.00 pp)"),
        ("agreement", 0.91, 0.91, "91.00 % (no change)"),
        ("snr_db", 20.5, 12.25, "12.2 dB (reconstruction gains 8.25 dB)"),
    ],
)
def test_the_card_says_what_reconstruction_gains(
    metric: str, value: float, without: float, note: str
) -> None:
    quality = replace(QUALITY, metric=metric, value=value)
    run = Run(Recipe(ratio=0.3), artifact=ARTIFACT, estimate=PROFILE, quality=quality)
    assert cards(View(run=run), busy=True)[-1].note == "without reconstruction: measuring …"
    whole = replace(run, unreconstructed=replace(quality, value=without), complete=True)
    (card,) = [card for card in cards(View(run=whole), busy=False) if card.note]
    assert card.note == f"without reconstruction: {note}"
    assert numbers([card])[0]["note"] == card.note
    newer = Run(Recipe(ratio=0.4), estimate=PROFILE)
    assert cards(View(run=newer), busy=True)[-1].note == ""
    off = replace(ARTIFACT, not_reconstructed="it is switched off")
    plain = replace(run, artifact=off, complete=True)
    assert cards(View(run=plain), busy=False)[-1].note == ""


def test_what_it_is_without_reconstruction_reaches_the_sentences() -> None:
    recipe = Recipe(weight_bits=4, granularity="tensor")
    plan = planned(recipe, LayerPlan("a", "Gemm", 8, 8, 0.0, 4, "int4"))
    newer = Run(recipe, plan, estimate=PROFILE)
    scored = replace(newer, quality=QUALITY)
    collapsed = replace(scored, unreconstructed=replace(QUALITY, value=0.6))
    for newest, is_told in ((collapsed, True), (scored, False), (newer, False)):
        told = " ".join(each.sentence for each in insights(View(run=newest)))
        assert ("this loses 33.0 pp" in told) == is_told


def test_every_choice_of_a_recipe_has_a_label() -> None:
    assert set(labels.RECIPE) == {field.name for field in fields(Recipe)}
    assert set(labels.CRITERIA) == set(CRITERIA)
    assert set(labels.PATTERNS) == set(PATTERNS)
    assert set(labels.PRECISIONS) == set(WEIGHT_BITS)
    assert set(labels.SCOPES) == set(labels.ALLOCATIONS) == set(SCOPES)
    assert set(labels.GRANULARITIES) == set(GRANULARITIES)
    assert set(labels.AIMS) == set(AIMS)


def test_a_label_is_written_once() -> None:
    """No other module, on the server or in the browser, spells out a label of the recipe."""
    spelled = {label for label in labels.RECIPE.values() if " " in label}
    texts = {
        path: path.read_text()
        for path in sorted((ROOT / "explorer").rglob("*"))
        if path.suffix in (".py", ".js") and not path.name.startswith(("labels", "insights"))
    }
    assert not [
        (path.name, label) for path, text in texts.items() for label in spelled
        if f'"{label}"' in text
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("ratio", "text"),
    [(0.75, "1.33× faster"), (1.2, "1.20× slower"), (1.004, "same speed"), (1.0, "same speed")],
)
def test_a_ratio_of_latencies_is_said_as_a_speed(ratio: float, text: str) -> None:
    assert speedup(ratio) == text


def test_a_difference_that_the_clock_cannot_see_is_not_a_number() -> None:
    same = replace(LATENCY, ratio=0.99, ratio_low=0.97, ratio_high=1.02)
    view = View(run=Run(Recipe(), latency=same))
    card = next(card for card in cards(view, busy=False) if card.title == "Latency")
    assert (card.difference, card.tone) == ("not measurable", "even")


def test_relative_keeps_a_decimal_where_it_matters() -> None:
    assert relative(1000, 500) == "−50 %"
    assert relative(1000, 988) == "−1.2 %"
    assert relative(1000, 1200) == "+20 %"


def test_edits_in_the_table_become_layer_choices_and_back() -> None:
    recipe = layer_table.with_edits(Recipe(), ["a", "b"], {1: {"own_ratio": 40, "own_bits": 4}})
    assert recipe.layers == (LayerChoice("b", 0.4, 4),)
    cleared = {1: {"own_ratio": None, "own_bits": None}}
    assert layer_table.with_edits(recipe, ["a", "b"], cleared) == Recipe()


def test_settings_are_described_in_a_few_words() -> None:
    assert describe(Recipe()) == "no compression"
    recipe = Recipe(pattern="channel", ratio=0.3, weight_bits=8)
    assert describe(recipe) == "channels −30 %, INT8 weights"
    assert describe(replace(recipe, activation_bits=8)) == "channels −30 %, W8A8"
    spread = Recipe(weight_bits=4, bits_scope="global", granularity="group")
    assert describe(spread) == "INT4 weights, mixed precision, per-group (32)"
    odd = Recipe("channel", 0.3, scope="layer", criterion="l1", compensate=False)
    assert describe(odd) == ("channels −30 %, layer-wise, magnitude (L1), without reconstruction")
    choices = tuple(LayerChoice(name, 0.5) for name in "abcdefg")
    assert describe(Recipe("channel", layers=choices[:2])) == "a −50 %, b −50 %"
    assert describe(Recipe("channel", layers=choices)) == "7 layer overrides"


def test_netron_serves_a_model_only_for_its_token(tmp_path: Path) -> None:
    file = tmp_path / "model.onnx"
    file.write_bytes(b"bytes")
    token = netron.publish(file)
    answer = _ask(netron.model, token=token)
    assert isinstance(answer, FileResponse)
    assert answer.path == file
    netron.withdraw(token)
    assert _ask(netron.model, token=token).status_code == 404
    page = _ask(netron.asset, name="index.html")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert b'name="date"' not in page.body
    assert f"background-color: {netron.ITS_DARK}".encode() not in page.body
    assert f"background-color: {netron.DARK}".encode() in page.body
    for name in ("server.py", "../six.py", "nothing.js"):
        assert _ask(netron.asset, name=name).status_code == 404


def test_a_phone_shows_one_graph_and_a_desk_both() -> None:
    phone = "Mozilla/5.0 (Linux; Android 16; Pixel 10) Chrome/150.0.0.0 Mobile Safari/537.36"
    assert graph_view.first_choice(phone) == "Compressed"
    assert graph_view.first_choice("Mozilla/5.0 (X11; Linux x86_64) Chrome/150.0.0.0") == "Both"
    assert graph_view.first_choice("") == "Both"


def test_a_first_visit_to_any_page_has_the_navigation_of_the_app() -> None:
    script = """
import app
from streamlit.runtime.pages_manager import PagesManager
PagesManager("app.py")
print(PagesManager.uses_pages_directory)
"""
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "False", done.stdout + done.stderr


def _ask(handler: Handler, **parameters: str) -> Response:
    return asyncio.run(handler(Request({"type": "http", "path_params": parameters})))


def own_model(folder: Path, last: str = "Relu", domain: str = "") -> tuple[Path, Path]:
    """A convolutional network with random weights, and labelled samples for it.

    `last` and `domain` name its last activation.
    """
    random = np.random.default_rng(0)

    def weights(name: str, *shape: int) -> TensorProto:
        values = random.normal(0, 0.2, shape).astype(np.float32)
        return numpy_helper.from_array(values, name)

    nodes = [
        helper.make_node("Conv", ["image", "a.weight"], ["a"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "c.weight"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node(last, ["c"], ["d"], domain=domain),
        helper.make_node("GlobalAveragePool", ["d"], ["e"]),
        helper.make_node("Flatten", ["e"], ["f"]),
        helper.make_node("Gemm", ["f", "g.weight"], ["scores"], transB=1),
    ]
    constants = [
        weights("a.weight", 32, 3, 3, 3),
        weights("c.weight", 48, 32, 3, 3),
        weights("g.weight", 4, 48),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, 8, 8])
    scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", 4])
    graph = helper.make_graph(nodes, "graph", [image], [scores], constants)
    opsets = [helper.make_opsetid("", 17), *([helper.make_opsetid(domain, 1)] if domain else [])]
    proto = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    model, data = folder / "my model.onnx", folder / "samples.npz"
    onnx.save(proto, model)
    x = random.normal(size=(200, 3, 8, 8)).astype(np.float32)
    np.savez(data, x=x, y=random.integers(0, 4, 200))
    return model, data


@pytest.mark.parametrize(
    ("choice", "seen"),
    [
        (None, 1),
        ("recipe", 1),
        ({}, 1),
        ({"number": "2", "recipe": []}, 1),
        ({"number": 2, "recipe": {"ratio": 9}}, 2),
    ],
)
def test_whatever_the_panel_sends_is_a_recipe_or_one_sentence(
    choice: object, seen: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = {"panel": {"choice": choice}, "panel_seen": 1}
    monkeypatch.setattr(streamlit, "session_state", state)
    session: Any = SimpleNamespace(notice=None, set_recipe=pytest.fail, model_id=None)
    panel.take_choice(session)
    assert session.notice.endswith(".")
    assert state["panel_seen"] == seen


def test_a_choice_for_a_model_that_is_gone_does_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A browser sends a slider's move and a click on Remove at once where both came quickly."""
    session: Any = SimpleNamespace(notice="kept", set_recipe=pytest.fail, model_id="a")
    sent = {"number": 2, "opened": "b", "recipe": json.loads(FIRST_RECIPE.to_json())}
    state = {"panel": {"choice": sent}, "panel_seen": 1}
    monkeypatch.setattr(streamlit, "session_state", state)
    panel.take_choice(session)
    assert session.notice == "kept"
    assert state["panel_seen"] == 2
    taken: list[Recipe] = []
    session.set_recipe = taken.append
    for opened in ("a", None):
        state["panel"] = {"choice": {**sent, "opened": opened}}
        panel.take_choice(session)
    assert taken == [FIRST_RECIPE] * 2


def test_a_link_shows_the_same_model_and_setting() -> None:
    page = AppTest.from_file(str(ROOT / "app.py"), default_timeout=PATIENCE_S)
    page.query_params["model"] = "vowels_cnn"
    page.query_params["setting"] = (
        '{"weight_bits":4,"layers":[{"name":"classifier","weight_bits":8}]}'
    )
    page.run()
    session = page.session_state["explorer"]
    assert session.selected.key == "vowels_cnn"
    settled(page)
    assert session.view.run.recipe == Recipe(
        weight_bits=4, layers=(LayerChoice("classifier", weight_bits=8),)
    )
    choose(page, weight_bits=8, layers=())
    assert page.query_params["model"] == "vowels_cnn"
    assert json.loads(page.query_params["setting"]) == {"weight_bits": 8}
    settled(page)
    assert session.source.key == "vowels_cnn"
    assert session.view.run.recipe == Recipe(weight_bits=8)


@pytest.mark.parametrize("name", sorted(path.name for path in (ROOT / "pages").glob("*.py")))
def test_every_page_has_a_link(name: str) -> None:
    page = AppTest.from_file(str(ROOT / "pages" / name), default_timeout=PATIENCE_S)
    page.query_params["model"] = "vowels_cnn"
    page.query_params["setting"] = '{"weight_bits":4}'
    settled(page.run())
    page.run()
    assert not page.error
    assert page.session_state["explorer"].source.key == "vowels_cnn"
    assert page.session_state["explorer"].view.run.recipe == Recipe(weight_bits=4)
    assert page.query_params["model"] == "vowels_cnn"
    assert "INT4 weights" in html_of(page)


def answered(page: AppTest) -> AppTest:
    """Run the page until its questions are answered."""
    session, deadline = page.session_state["explorer"], time.monotonic() + PATIENCE_S
    while session.questions.running and time.monotonic() < deadline:
        time.sleep(0.05)
        page.run()
    assert not page.exception
    return page


def test_what_changed_is_told_by_class_by_sample_and_by_weight() -> None:
    page = page_on("vowels_cnn")
    choose(page, pattern="channel", ratio=0.85)
    settled(page)
    page.session_state["changes"] = "Classes"
    answered(page.run())
    assert '<th scope="row">Speaker 9</th>' in html_of(page)
    assert "ce-matrix" in html_of(page)
    page.session_state["changes"] = "Changed predictions"
    answered(page.run())
    assert html_of(page).count("<li") > 20
    assert "data:image/svg+xml;base64," in html_of(page)
    page.session_state["changes"] = "Weights"
    answered(page.run())
    assert "ce-weights" in html_of(page)
    (layer,) = [box for box in page.selectbox if box.label == "Layer"]
    layer.set_value("classifier").run()
    answered(page)
    assert "weights, no zeros" in html_of(page)


def test_layers_say_where_the_time_goes() -> None:
    page = page_on("vowels_cnn").switch_page("pages/layers.py").run()
    answered(page.run())
    assert html_of(page).count("ce-share") >= 9
    chart = json.loads(page.get("plotly_chart")[0].proto.spec)
    assert [trace["name"] for trace in chart["data"]] == ["roof", "original", "compressed"]
    assert any("Peak compute: " in text.value for text in page.caption)


@pytest.mark.parametrize(
    ("sizes", "read", "sentence"),
    [
        ('{"image":[3,1,28,28]}', (3, 1, 28, 28), None),
        ('{"image":[3,1,28]}', (1, 1, 28, 28), "Input 'image' has 4 dimensions"),
        ('{"image":3}', (1, 1, 28, 28), "The link's input sizes can't be used"),
        ("[" * 5000, (1, 1, 28, 28), "The link's input sizes can't be used"),
    ],
)
def test_a_link_may_say_input_sizes(
    sizes: str, read: tuple[int, ...], sentence: str | None
) -> None:
    page = AppTest.from_file(str(ROOT / "app.py"), default_timeout=PATIENCE_S)
    page.query_params["model"], page.query_params["sizes"] = "fashion_mlp", sizes
    settled(page.run())
    session = page.session_state["explorer"]
    assert session.original.profile.input_sizes == {"image": read}
    assert page.query_params["model"] == "fashion_mlp"
    assert ("sizes" in page.query_params) == (sentence is None)
    said = [each.value.replace("\\", "") for each in page.error]
    assert [sentence is not None and sentence in each for each in said] == [True] * bool(sentence)


@pytest.mark.parametrize("setting", ["[]", "{", '{"ratio":2}', "<img src=x>"])
def test_a_broken_link_is_one_sentence_and_the_page_is_there(setting: str) -> None:
    page = AppTest.from_file(str(ROOT / "app.py"), default_timeout=PATIENCE_S)
    page.query_params["model"] = "../../etc/passwd"
    page.query_params["setting"] = setting
    page.run()
    assert len(page.error) == 1
    said = page.error[0].value
    assert said.startswith("The link's model isn't a sample model here")
    assert "The link's setting can't be used" in said
    assert page.session_state["explorer"].selected.key == sample_models()[0].key


def test_a_remedy_is_one_click(app: AppTest) -> None:
    """8-bit activations alone: the page says what they need, and a button asks for it."""
    session = app.session_state["explorer"]
    session.open(sample_models()[0])
    app.run()
    settled(app)
    session.set_recipe(Recipe(activation_bits=8))
    app.run()
    settled(app)
    button = next(each for each in app.button if each.label == "Quantize the weights to INT8 too")
    button.click().run()
    settled(app)
    assert session.recipe == Recipe(weight_bits=8, activation_bits=8)
    assert not [each for each in app.button if each.label == button.label]
