"""The Trade-offs page: all settings in linked views, names and pins, and two side by side."""

import json
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import values
from exported import outcome
from streamlit.testing.v1 import AppTest
from test_app import LATENCY, PATIENCE_S, PROFILE, QUALITY, ROOT, html_of, settled, tried_of, widget
from test_slices import SOURCE
from values import DESCRIPTION, planned

from explorer.exports import figures
from explorer.exports.figures import costs_text
from explorer.exports.outcome import Point
from explorer.fronts import quality_range
from explorer.names import LONGEST_NAME
from explorer.recipe import LayerChoice, Recipe
from explorer.render.lines_chart import parallel
from explorer.render.tradeoff_charts import Mark, front_of, scatter
from explorer.report import LayerPlan
from explorer.runs import Original, Run
from explorer.search.sweep import Design
from explorer.ui import comparing, selecting, sweeps
from explorer.ui.tried import (
    COSTS,
    ORIGINAL_KEY,
    SETTINGS,
    columns_of,
    labels_of,
    marks_of,
    quality_axis,
    results_of,
)
from explorer.widget.tradeoff import tried
from explorer.workspace.results import LONGEST_NOTE, Results, Tag
from explorer.workspace.selected_runs import Selection

HOSTILE = "<img src=x onerror=alert(1)><b>a</b>"
LAYER = replace(values.LAYER, name=HOSTILE, channels=16)
MEASURED = Original(
    description=replace(DESCRIPTION, layers=(LAYER,)),
    profile=PROFILE,
    latency=replace(LATENCY, ratio=1.01),
    quality=replace(QUALITY, value=0.93),
)


def run(ratio: float, size: int, accuracy: float, **changes: Any) -> Run:
    recipe = Recipe(pattern="channel", ratio=ratio, **changes)
    return Run(
        recipe,
        planned(recipe, LayerPlan(HOSTILE, "Gemm", 16, 8, 0.0, recipe.weight_bits, "float32")),
        profile=replace(PROFILE, file_bytes=size),
        latency=LATENCY,
        quality=replace(QUALITY, value=accuracy),
        complete=True,
    )


GOOD, POOR, SMALL = run(0.3, 2000, 0.91), run(0.4, 3000, 0.90), run(0.6, 1000, 0.80)
KEYS = [each.recipe.to_json() for each in (GOOD, POOR, SMALL)]


def results(*runs: Run, **tags: Tag) -> tuple[Any, ...]:
    return results_of(MEASURED, runs or (GOOD, POOR, SMALL), tags)


def test_pinned_settings_stand_first_and_the_others_as_they_were_tried() -> None:
    assert [each.key for each in results()] == [ORIGINAL_KEY, *KEYS]
    pinned = {KEYS[2]: Tag(is_pinned=True)}
    assert [each.key for each in results(**pinned)] == [KEYS[2], ORIGINAL_KEY, *KEYS[:2]]


def test_a_pin_is_of_one_model_and_can_be_taken_away() -> None:
    known, other = Results(), replace(SOURCE, key="another model")
    known.toggle_pin(SOURCE, KEYS[2])
    assert known.tags(SOURCE) == {KEYS[2]: Tag(is_pinned=True)}
    assert known.tags(other) == {}
    known.toggle_pin(SOURCE, KEYS[2])
    assert known.tags(SOURCE) == {KEYS[2]: Tag()}


def test_the_original_stands_there_once_and_is_the_unit_of_time() -> None:
    (one, *_) = found = results(replace(GOOD, recipe=Recipe()), GOOD)
    assert [each.key for each in found] == [ORIGINAL_KEY, KEYS[0]]
    assert (one.setting, one.values["latency"], one.quality.value) == ("original", 1.0, 0.93)


def test_names_and_notes_are_cleaned_and_can_be_taken_away() -> None:
    known = Results()
    known.toggle_pin(SOURCE, KEYS[0])
    known.rename(SOURCE, KEYS[0], f"  {HOSTILE}\u202e\n{'x' * 100}")
    name = known.tags(SOURCE)[KEYS[0]].name
    assert name.startswith(HOSTILE)
    assert len(name) <= LONGEST_NAME
    assert name.isprintable()
    known.annotate(SOURCE, KEYS[0], f"{HOSTILE}\u202e\n{'x' * 1000}")
    note = known.tags(SOURCE)[KEYS[0]].note
    assert LONGEST_NAME < len(note) <= LONGEST_NOTE
    assert note.isprintable()
    known.rename(SOURCE, KEYS[0], " \n")
    known.annotate(SOURCE, KEYS[0], "")
    assert known.tags(SOURCE)[KEYS[0]] == Tag(is_pinned=True)


def test_a_selection_is_of_two_at_most_and_of_one_model() -> None:
    chosen = Selection()
    chosen.select("m", [KEYS[0], KEYS[0], KEYS[1], KEYS[2]])
    assert chosen.selected("m") == (KEYS[0], KEYS[1])
    assert chosen.selected("other") == ()
    epoch = chosen.epoch
    chosen.select("m", [KEYS[1]], is_shown=True)  # the table itself was clicked
    assert (chosen.selected("m"), chosen.epoch) == ((KEYS[1],), epoch)


def test_the_front_leaves_out_what_another_beats() -> None:
    found = results()
    quality = quality_axis(found)
    assert quality is not None
    marks = marks_of(found)
    kept = front_of(marks, COSTS["file_bytes"], quality)
    assert kept == [KEYS[2], KEYS[0], KEYS[1], ORIGINAL_KEY]  # as the intervals overlap
    figure = scatter(marks, COSTS["file_bytes"], quality, (KEYS[0], KEYS[1]))
    traces = {trace.name: trace for trace in figure.data if trace.name}
    line = traces["Pareto front"]
    assert list(line.x) == [1000, 2000, 4000, figure.layout.xaxis.range[1]]
    assert traces["Structured (channels)"].error_y.array[0] == pytest.approx(0.01)  # of all points
    assert list(traces["Structured (channels)"].customdata) == [[key] for key in KEYS]
    rings = [trace for trace in figure.data if trace.marker.symbol == "circle-open"]
    assert [list(ring.customdata) for ring in rings] == [[[KEYS[0]]], [[KEYS[1]]]]
    assert rings[0].error_y.array[0] == pytest.approx(0.01)
    assert rings[0].error_x.array is None  # a size is exact
    timed = scatter(marks, COSTS["latency"], quality, (KEYS[0],))
    (ring,) = [trace for trace in timed.data if trace.marker.symbol == "circle-open"]
    assert ring.error_x.array[0] == pytest.approx(0.05)


def test_lines_run_from_the_least_to_the_greatest_of_each_axis() -> None:
    marks = marks_of(results())
    figure = parallel(marks, (*SETTINGS, COSTS["file_bytes"]), (KEYS[2],))
    channels, chosen = (trace for trace in figure.data if list(trace.customdata or [])[-1:] == [
        [KEYS[2]]
    ])  # fmt: skip
    assert channels.y[-5:] == (1.0, 0.5, 0.5, 0.0, None)
    assert chosen.y == channels.y[-5:]
    assert {"60 %", "0 %", "4.00 kB", "1.00 kB"} <= set(figure.data[-1].text)


def test_charts_hold_no_markup_of_strangers() -> None:
    odd = run(0.2, 2500, 0.9, layers=(LayerChoice(HOSTILE, 0.5),))
    found = results(odd, **{odd.recipe.to_json(): Tag(HOSTILE)})
    marks, quality = marks_of(found), quality_axis(found)
    assert quality is not None
    for figure in (scatter(marks, COSTS["macs"], quality), parallel(marks, SETTINGS)):
        texts = [text for trace in figure.data for text in (trace.text or ())]
        assert any("&lt;img" in text for text in texts)
        assert not any("<img" in text or "<b>a" in text for text in texts)
    pair = (found[0], found[1])
    for drawn in (comparing.settings_html, comparing.numbers_html, comparing.layers_html):
        assert "<img" not in drawn(*pair)
        assert "&lt;img" in drawn(*pair)


def test_what_cannot_be_drawn_is_left_out_of_the_charts_only() -> None:
    untimed = Run(GOOD.recipe, planned(GOOD.recipe), profile=PROFILE, complete=True)
    found = results_of(Original(profile=PROFILE), (untimed,), {})
    assert len(found) == 2
    assert quality_axis(found) is None
    assert front_of(marks_of(found), COSTS["macs"], COSTS["latency"]) == []
    assert "–" in comparing.numbers_html(found[0], found[1])


def test_settings_alike_have_labels_of_their_own() -> None:
    choices = tuple(LayerChoice(name, 0.5) for name in "abcdefg")
    other = tuple(LayerChoice(name, 0.4) for name in "abcdefg")
    found = results(run(0.3, 1, 0.9, layers=choices), run(0.3, 1, 0.9, layers=other))
    labels = labels_of(found)
    assert len(set(labels.values())) == len(found) == 3


def test_two_results_differ_where_it_says() -> None:
    small = run(0.3, 1500, 0.91, weight_bits=8)
    slow = replace(small, latency=replace(LATENCY, ratio=0.58, ratio_low=0.53))
    original, good, bits = results(GOOD, slow)
    told = comparing.settings_html(good, bits)
    assert "Weight bits" in told
    assert "Pruning ratio" not in told
    assert "Difference" not in told
    numbers = comparing.numbers_html(good, bits)
    assert "−25 %" in numbers  # of the file
    assert "not measurable" in numbers  # the intervals of the times overlap
    assert "<td>0.50 (0.45–0.55)" in numbers
    assert "91.00 % (90.00–92.00 %)" in numbers
    assert "8 channels, FP32" in comparing.layers_html(good, bits)
    assert "−50 % channels" in comparing.layers_html(original, good)
    assert "−50 %" in comparing.numbers_html(original, good)  # of the time
    assert comparing.SAME_SETTINGS in comparing.settings_html(good, good)
    assert comparing.SAME_LAYERS in comparing.layers_html(good, good)


@pytest.mark.parametrize(
    ("chosen", "keys"),
    [
        ({"points": []}, []),
        ({"points": [{"customdata": [KEYS[1]]}]}, [KEYS[1]]),
        ({"points": [{"x": 1}]}, []),  # of the front
    ],
    ids=["nothing", "a point", "a point of no setting"],
)
def test_a_click_says_which_setting(chosen: Mapping[str, Any], keys: list[str]) -> None:
    assert selecting.clicked(chosen) == keys


def test_rows_say_which_settings_even_where_there_are_fewer_now() -> None:
    assert selecting.picked({"rows": [1, 7]}, KEYS) == [KEYS[1]]


def test_marks_of_unknown_kinds_are_drawn_too() -> None:
    mark = Mark("k", "", "label", "Of another time", {"macs": 1.0, "latency": 0.5}, {})
    figure = scatter([mark], COSTS["macs"], COSTS["latency"])
    assert "Of another time" in [trace.name for trace in figure.data]


def opened() -> AppTest:
    """The app, settled on a small sample that it was opened with."""
    page = AppTest.from_file(str(ROOT / "app.py"), default_timeout=PATIENCE_S)
    page.query_params["model"] = "vowels_cnn"
    return settled(page.run())


def spec_of(page: AppTest, place: int) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(page.get("plotly_chart")[place].proto.spec)
    return found


def run_until(page: AppTest, is_reached: Any) -> None:
    """Run the page, as its polling fragments would."""
    deadline = time.monotonic() + PATIENCE_S
    while not is_reached():
        assert time.monotonic() < deadline
        time.sleep(0.05)
        page.run()
    assert not page.exception


def test_a_sweep_adds_a_point_for_each_setting_and_waits_for_the_panel() -> None:
    page = opened().switch_page("pages/tradeoffs.py").run()
    session = page.session_state["explorer"]
    before, recipe = len(session.runs), session.recipe
    listed = widget(page.selectbox, "looked_at").key
    page.multiselect(key="w_sweep_weight_bits").set_value([8]).run()
    page.number_input(key="w_sweep_steps").set_value(3).run()
    page.slider(key="w_sweep_ratios").set_value((20, 60)).run()
    assert session.sweep.design == Design(
        lowest=0.2, highest=0.6, steps=3, weight_bits=(8,), activation_bits=(32,)
    )
    (button,) = [each for each in page.button if each.key == "sweep_start"]
    assert button.label == "Start 3 runs"
    button.click().run()
    run_until(page, lambda: session.sweep.progress[0] == 1)
    page.button(key="sweep_pause").click().run()
    run_until(page, lambda: session.sweep.current is None)
    assert session.sweep.paused
    page.button(key="sweep_go_on").click().run()
    session.set_recipe(Recipe(weight_bits=4))  # a hand on the panel meanwhile
    settled(page.run())
    assert session.view.run.recipe == Recipe(weight_bits=4)
    run_until(page, lambda: not session.sweep.running)
    assert (session.sweep.progress, session.sweep.failures) == ((3, 3), ())
    assert len(session.runs) == before + 4
    page.run()
    assert widget(page.selectbox, "looked_at").key == listed  # so that an open list stays open
    assert len(widget(page.selectbox, "looked_at").options) == before + 5
    shown = [
        trace for trace in spec_of(page, 0)["data"] if trace.get("name") == "Structured (channels)"
    ]
    swept = {json.loads(key)["ratio"] for (key,) in shown[0]["customdata"]}
    assert {0.2, 0.4, 0.6, recipe.ratio} <= swept
    session.set_recipe(Recipe(pattern="channel", ratio=0.4, weight_bits=8))
    assert not session.busy  # from memory
    page.switch_page("pages/explore.py").run()
    assert "channels −60 %, INT8 weights" in tried_of(page)


def test_a_result_is_looked_at_named_pinned_used_and_compared() -> None:
    page = opened()
    session = page.session_state["explorer"]
    session.set_recipe(Recipe(weight_bits=8))
    settled(page.run())
    page.switch_page("pages/tradeoffs.py").run()
    model, first = session.source.key, Recipe(pattern="channel", ratio=0.3).to_json()
    assert "trade_use" not in [button.key for button in page.button]
    session.selection.select(model, [first])
    page.run()
    older = widget(page.selectbox, "looked_at")
    widget(page.text_input, "name").set_value(HOSTILE).run()
    assert widget(page.selectbox, "looked_at").key != older.key  # whose labels don't know the name
    assert session.selection.selected(model) == (first,)
    widget(page.text_input, "note").set_value(f"{HOSTILE} is slow").run()
    page.button(key="trade_pin").click().run()
    assert session.tags[first] == Tag(HOSTILE, is_pinned=True, note=f"{HOSTILE} is slow")
    assert "&lt;img src=x" in html_of(page)
    assert "<img" not in html_of(page)
    assert "&lt;img src=x" in "".join(spec_of(page, 0)["data"][-1]["text"])
    table = page.dataframe[0].value
    assert (table["name"][0], table["pinned"][0]) == (HOSTILE, True)
    assert table["note"][0] == f"{HOSTILE} is slow"
    widget(page.selectbox, "compared").set_value(Recipe(weight_bits=8).to_json()).run()
    assert session.selection.selected(model) == (first, Recipe(weight_bits=8).to_json())
    assert "Weight bits" in html_of(page)
    assert "Difference" in html_of(page)
    page.button(key="trade_use").click().run()
    assert session.recipe.to_json() == first
    assert page.button(key="trade_use").disabled
    page.switch_page("pages/explore.py").run()
    page.switch_page("pages/tradeoffs.py").run()
    assert widget(page.text_input, "name").value == HOSTILE
    assert widget(page.text_input, "note").value == f"{HOSTILE} is slow"


def test_a_sweep_can_be_cancelled_and_one_too_large_is_refused() -> None:
    page = opened().switch_page("pages/tradeoffs.py").run()
    session = page.session_state["explorer"]
    page.multiselect(key="w_sweep_patterns").set_value(["channel", "unstructured", "block"]).run()
    page.number_input(key="w_sweep_steps").set_value(20).run()
    page.multiselect(key="w_sweep_weight_bits").set_value([32, 16, 8, 4]).run()
    assert any("runs, but this one has 240;" in text.value for text in page.caption)
    assert page.button(key="sweep_start").disabled
    page.button_group(key="w_sweep_way").set_value("random").run()
    page.number_input(key="w_sweep_count").set_value(5).run()
    page.button(key="sweep_start").click().run()
    assert session.sweep.running
    page.button(key="sweep_cancel").click().run()
    assert not session.sweep.running
    assert page.button(key="sweep_start").label == "Start 5 runs"


def test_failed_settings_are_listed_as_text() -> None:
    class Failed:
        failures = ((Recipe(layers=(LayerChoice(HOSTILE, 0.5),)), "It <b>crashed</b>."),)

    told = sweeps.failures_html(Failed())  # type: ignore[arg-type]
    assert "&lt;b&gt;crashed" in told
    assert "<img" not in told


@pytest.mark.parametrize("accuracy", [1.0, 0.999, 0.5, 0.001, 0.0])
@pytest.mark.parametrize("spread", [0.0, 0.001, 0.6])
def test_no_axis_of_accuracy_leaves_0_to_100_percent(accuracy: float, spread: float) -> None:
    low, high = max(0.0, accuracy - spread), min(1.0, accuracy + spread)
    scored = replace(QUALITY, value=accuracy, low=low, high=high, reference_value=high)
    good = replace(GOOD, quality=scored)
    original = replace(MEASURED, quality=replace(scored, value=high))
    found = results_of(original, (good,), {})
    quality = quality_axis(found)
    assert quality is not None
    figure = scatter(marks_of(found), COSTS["file_bytes"], quality)
    told = tried(original, (good,), busy=False)
    for least, most in (figure.layout.yaxis.range, told["range"]):
        assert 0 <= least < most <= 1
        assert least <= low <= high <= most
    assert quality_range([-3.0, 40.0], "dB", 1.0)[1] > 40  # what has no limit keeps its room
    assert quality_range([0.0, 2.0], "", 0.1, falls=True)[0] == 0  # no error lies below


def test_what_is_not_reliable_says_so_in_chart_table_and_report() -> None:
    noisy = replace(GOOD, latency=replace(LATENCY, reliable=False))
    found = results(noisy, POOR)
    columns = columns_of(found, ())
    assert columns["timing"] == ["reliable", "not reliable", "reliable"]  # so in the CSV, too
    marks, quality = marks_of(found), quality_axis(found)
    assert quality is not None
    assert "not reliable" in marks[1].label
    assert "not reliable" not in marks[0].label + marks[2].label
    for cost, symbols in (("latency", ["circle-open", "circle"]), ("macs", ["circle", "circle"])):
        figure = scatter(marks, COSTS[cost], quality)
        (trace,) = [each for each in figure.data if each.name == "Structured (channels)"]
        assert list(trace.marker.symbol) == symbols
    assert "not reliable" in comparing.numbers_html(found[0], found[1])
    points = tried(MEASURED, (noisy, POOR), busy=False)["points"]
    assert [point["reliable"] for point in points] == [True, False, True]
    point = Point("a", {"latency": 0.5, "file_bytes": 1.0}, 0.9, 0.8, 1.0, "90 %", False)
    assert costs_text(point)[2] == "0.50, not reliable"
    shown = outcome(points=(point,))
    timed, sized = figures.tradeoff(shown, "latency"), figures.tradeoff(shown, "file_bytes")
    assert timed is not None and sized is not None
    assert "not reliable" in timed
    assert "not reliable" not in sized
