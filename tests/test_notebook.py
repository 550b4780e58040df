"""The widget without a browser: what it holds, what it sends, and what it forgives."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import SAMPLES, with_weights

import explorer
from explorer import ExplorerError, LayerChoice, Recipe, pipeline
from explorer.errors import CompressionError, DataError, JobError, ModelError, RecipeError
from explorer.formats.data import load_data
from explorer.jobs.context import Cancelled
from explorer.jobs.in_thread import ThreadPool
from explorer.jobs.open_models import GivenModel
from explorer.notebook import Explorer
from explorer.pipeline import Opened
from explorer.render.text import WENT_BACK
from explorer.runs import FIRST_RECIPE
from explorer.workspace.folders import storage
from explorer.workspace.following import Follower
from explorer.workspace.sources import Source
from explorer.workspace.workspace import Workspace

MODEL, DATA = SAMPLES / "vowels_cnn.onnx", SAMPLES / "vowels_test.npz"
CALIBRATION = SAMPLES / "vowels_calibration.npz"
HALF = Recipe(pattern="channel", ratio=0.5)


@pytest.fixture
def view() -> Iterator[Explorer]:
    """On a sample with all its data."""
    made = Explorer(MODEL, DATA, CALIBRATION)
    yield made
    made.close()


@pytest.fixture
def bare() -> Iterator[Explorer]:
    """On a sample without data."""
    made = Explorer(MODEL)
    yield made
    made.close()


def state(view: Explorer, name: str) -> Any:
    """What the browser is sent under a name."""
    return view.get_state(name)[name]


def kinds(view: Explorer) -> list[str]:
    """Where each number on the panel comes from."""
    return [number["kind"] for number in state(view, "_shown")["numbers"]]


def let_go(view: Explorer, recipe: Recipe, number: int = 1) -> None:
    """What the panel sends when the hand lets go."""
    sent = {
        "number": number,
        "opened": state(view, "_shown")["opened"],
        "recipe": json.loads(recipe.to_json()),
    }
    view._take_choice(sent)


def test_it_holds_what_the_hand_reached(view: Explorer) -> None:
    let_go(view, HALF)
    report, model = view.report, view.model
    assert view.recipe == HALF
    assert report.profile == explorer.profile(model)
    assert report.model_id == model.id != view.original.model_id
    assert report.quality == explorer.evaluate(model, DATA, explorer.load(MODEL))
    assert report.latency is not None
    assert view.original.profile == explorer.profile(explorer.load(MODEL))
    original = explorer.load(MODEL)
    assert view.original.quality == explorer.evaluate(original, DATA, original)


def test_the_model_is_what_the_library_makes(view: Explorer) -> None:
    model = explorer.load(MODEL)
    calibration = explorer.calibrate(model, CALIBRATION)
    made = explorer.apply(model, explorer.plan(model, view.recipe, calibration), calibration)
    assert view.model.data == made.data


def test_code_moves_the_sliders(view: Explorer) -> None:
    view.recipe = HALF
    assert Recipe.from_json(json.dumps(state(view, "_shown")["recipe"])) == HALF
    assert view.report.profile.macs < view.original.profile.macs
    assert [point["label"] for point in state(view, "_shown")["tried"]["points"]][
        -1
    ] == "channels −50 %"


def test_a_setting_tried_before_is_there_at_once(view: Explorer) -> None:
    first = view.report
    view.recipe = HALF
    assert view.report != first
    let_go(view, Recipe(pattern="channel", ratio=0.3))
    assert Recipe.from_json(json.dumps(state(view, "_shown")["recipe"])) == view.recipe
    assert view.report == first


def test_what_is_sent_is_plain_and_complete(view: Explorer) -> None:
    assert view.report.quality is not None
    sent = {name: view.get_state(name)[name] for name in ("_shown", "_counts", "_status")}
    assert json.loads(json.dumps(sent, allow_nan=False)) == sent
    assert sent["_shown"]["model"] == sent["_counts"]["name"]
    assert set(kinds(view)) <= {"computed", "measured", "noisy"}
    assert sent["_status"]["setting"] == "channels −30 %"


def test_the_panel_is_told_which_choice_was_taken_in(view: Explorer) -> None:
    let_go(view, HALF, number=3)
    assert view.report
    assert state(view, "_shown")["seen"] == 3
    let_go(view, Recipe(weight_bits=4), number=2)  # of another panel, which shows the same
    assert view.report
    assert state(view, "_shown")["seen"] == 3
    let_go(view, view.recipe, number=4)  # what is there already
    assert state(view, "_shown")["seen"] == 4


@pytest.mark.parametrize("sent", [None, "recipe", {}, {"number": 2, "recipe": {"ratio": 9}}])
def test_whatever_the_panel_sends_is_a_recipe_or_one_sentence(view: Explorer, sent: Any) -> None:
    before = view.report
    view._take_choice(sent)
    assert state(view, "_status")["notice"].endswith(".")
    assert view.report == before
    let_go(view, HALF)
    assert view.report != before
    assert state(view, "_status")["notice"] == ""


def test_without_data_there_is_no_quality(bare: Explorer) -> None:
    assert bare.report.quality is None
    assert bare.original.quality is None
    assert kinds(bare)[-1] == "unscored"
    assert "no samples" in state(bare, "_shown")["tried"]["empty"]


def test_what_cant_be_made_is_one_sentence_and_nothing_is_lost(bare: Explorer) -> None:
    before, recipe = bare.report, bare.recipe
    let_go(bare, Recipe(activation_bits=8))
    assert bare.report == before  # of the setting that the panel shows
    assert bare.recipe == recipe
    assert state(bare, "_status")["notice"].endswith("calibration data. " + WENT_BACK)
    assert set(kinds(bare)[:4]) == {"computed"}


def test_code_hears_that_its_setting_cant_be_made(bare: Explorer) -> None:
    before = bare.report
    bare.recipe = Recipe(activation_bits=8)
    with pytest.raises(CompressionError, match="8-bit activations need samples"):
        _ = bare.model
    assert bare.report == before
    bare.recipe = Recipe(layers=(LayerChoice("nobody", ratio=0.5),))
    with pytest.raises(RecipeError, match="nobody"):
        _ = bare.report


def test_a_recipe_is_a_recipe(bare: Explorer) -> None:
    with pytest.raises(RecipeError, match=r"0\.5; it must be an explorer\.Recipe\."):
        bare.recipe = 0.5  # type: ignore[assignment]
    with pytest.raises(RecipeError):
        Explorer(MODEL, recipe=None)  # type: ignore[arg-type]


def test_what_doesnt_fit_is_refused_at_the_door(tmp_path: Path) -> None:
    other = explorer.load(SAMPLES / "fashion_mlp.onnx")
    with pytest.raises(ModelError):
        Explorer(b"no model")
    with pytest.raises(ModelError):
        Explorer(tmp_path / "missing.onnx")
    with pytest.raises(DataError):
        Explorer(other, DATA)
    with pytest.raises(DataError, match="The metric is 'foo'; it must be one of"):
        Explorer(other, metric="foo")
    with pytest.raises(DataError):
        Explorer(MODEL, calibration=SAMPLES / "fashion_calibration.npz")
    with pytest.raises(CompressionError):
        Explorer(MODEL, calibration=explorer.calibrate(other, SAMPLES / "fashion_calibration.npz"))


def test_it_takes_what_the_library_has(view: Explorer) -> None:
    model = explorer.load(MODEL)
    own = Explorer(
        model, load_data(DATA, model), explorer.calibrate(model, CALIBRATION), recipe=HALF
    )
    view.recipe = HALF
    assert own.model.data == view.model.data
    assert own.report.quality == view.report.quality
    own.close()


def test_numbers_come_as_they_are_known() -> None:
    model = explorer.load(SAMPLES / "fashion_mlp.onnx")
    data = load_data(SAMPLES / "fashion_test.npz", model).head(1200)
    opened = Opened(model, data, SAMPLES / "fashion_calibration.npz")
    workspace = opened_workspace(opened)
    seen: list[str] = []

    def look() -> None:
        run = workspace.view.run
        names = [name for name, value in vars(run).items() if value is not None] if run else []
        seen.extend(name for name in names if name not in seen)

    follower = Follower(workspace, look)
    follower.wake()
    follower.wait(lambda: workspace.current_run.shown is not None, 60)
    follower.close()
    order = ["estimate", "first_quality", "quality", "latency", "unreconstructed"]
    assert [name for name in seen if name in order] == order


def opened_workspace(opened: Opened) -> Workspace:
    """One that works in a thread, with a model on its way."""
    folder = storage().folder()
    workspace = Workspace(ThreadPool(GivenModel(opened)), folder)
    file = folder.path / "original.onnx"
    workspace.open(Source(key="m", title="M", domain=folder.domain, model=file))
    return workspace


def test_the_newest_setting_takes_the_place_of_older_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, made = [], []
    waiting = threading.Event()

    def slow(model: Any, planned: Any, calibration: Any, check: Callable[[], None]) -> Any:
        begun.append(planned.recipe.ratio)
        waiting.set()
        while planned.recipe.ratio != 0.7:
            check()
        made.append(planned.recipe.ratio)
        return explorer.apply(model, planned, calibration)

    monkeypatch.setattr(pipeline, "apply", slow)
    view = Explorer(MODEL, recipe=Recipe(pattern="channel", ratio=0.2))
    assert waiting.wait(60)
    for ratio in (0.3, 0.4, 0.5, 0.6, 0.7):
        let_go(view, Recipe(pattern="channel", ratio=ratio))
    assert view.report.profile == explorer.profile(view.model)
    assert made == [0.7]
    assert begun[0] == 0.2
    assert view.recipe.ratio == 0.7
    view.close()


def test_a_mistake_is_told_and_the_next_setting_works(
    bare: Explorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, raised, is_raised = bare.report, [], threading.Event()

    def note(told: threading.ExceptHookArgs) -> None:
        raised.append(told.exc_type)
        is_raised.set()

    monkeypatch.setattr(threading, "excepthook", note)
    with monkeypatch.context() as broken:
        broken.setattr(pipeline, "apply", lambda *_: 1 / 0)
        bare.recipe = HALF
        with pytest.raises(JobError, match="internal error occurred"):
            _ = bare.report
    assert is_raised.wait(10)  # the thread tells of it after the sentence is there
    assert raised == [ZeroDivisionError]
    assert bare.report == before
    bare.recipe = HALF
    assert bare.report != before


def test_closing_stops_the_work() -> None:
    before = set(threading.enumerate())
    view = Explorer(MODEL, DATA)
    threads = set(threading.enumerate()) - before
    assert threads
    view.close()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    with pytest.raises(ExplorerError, match="closed"):
        _ = view.report


def test_after_closing_the_results_are_of_the_recipe_or_there_are_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    view = Explorer(MODEL)
    before, begun = view.report, threading.Event()

    def endless(*given: Any) -> Any:
        begun.set()
        while True:
            given[-1]()  # its check
            time.sleep(0.01)

    monkeypatch.setattr(pipeline, "apply", endless)
    view.recipe = HALF
    assert begun.wait(60)
    view.close()
    for _ in range(2):
        with pytest.raises(JobError, match="closed"):
            _ = view.report
    view.recipe = FIRST_RECIPE  # which is known
    assert view.report == before
    view.recipe = Recipe(weight_bits=4)
    with pytest.raises(JobError, match="closed"):
        _ = view.model
    assert (view.recipe, view.report) == (FIRST_RECIPE, before)


def test_waiting_ends_when_asked_to(monkeypatch: pytest.MonkeyPatch) -> None:
    held = threading.Event()

    def stuck(*_: Any) -> None:
        assert held.wait(60)
        raise Cancelled

    monkeypatch.setattr(pipeline, "plan", stuck)
    workspace = opened_workspace(Opened(explorer.load(MODEL)))
    follower = Follower(workspace, lambda: None)
    follower.wake()
    with pytest.raises(TimeoutError, match=r"after 0\.05 seconds"):
        follower.wait(lambda: workspace.current_run.shown is not None, 0.05)
    follower.close()
    workspace.close()
    held.set()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_nobody_waits_for_ever_where_the_explorer_made_a_mistake(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    workspace = opened_workspace(Opened(explorer.load(MODEL)))
    follower = Follower(workspace, lambda: None)

    def mistaken() -> None:
        raise RuntimeError("a mistake")

    with monkeypatch.context() as patched:
        patched.setattr(workspace, "advance", mistaken)
        follower.wake()
        follower.wait(lambda: False, 60)
    follower.wake()  # and goes on, once something is asked for again
    follower.wait(lambda: workspace.current_run.shown is not None, 60)
    assert workspace.current_run.shown is not None
    follower.close()
    workspace.close()


def test_a_model_without_weights_opens() -> None:
    model = with_weights(
        '<ir_version: 8, opset_import: ["" : 17]> g (float[n,4] x) => (float[n,4] y) {y = Relu(x)}'
    )
    view = Explorer(model, {"x": np.ones((4, 4), np.float32)})
    assert view.report.profile.params == 0
    view.close()
