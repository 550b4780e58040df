"""What the tasks send, in which order, and what they say where they fail."""

import queue
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import SAMPLES
from values import known

from explorer import Recipe, apply, calibrate, evaluate, load, pipeline, plan
from explorer.events import (
    Described,
    Encoded,
    Estimated,
    Hosted,
    Planned,
    Probed,
    ProbesCounted,
    Profiled,
    Relabelled,
    Scored,
    ScoredQuickly,
    ScoredWithoutReconstruction,
    Surveyed,
    SurveyTimed,
    Timed,
    newest,
)
from explorer.formats.data import load_data
from explorer.jobs import Domain, Job, LocalPool, State, worker
from explorer.jobs.context import Cancelled, Context
from explorer.jobs.open_models import OpenModels
from explorer.runs import Original, Run
from explorer.search.sensitivity import find_probes, measure_probe

LIMIT_S = 120


class Desk:
    """A pool, and a domain that may write wherever these tests do."""

    def __init__(self, folder: Path) -> None:
        self.pool, self.domain = LocalPool(), Domain("tests", folder)

    def submit(self, task: str, arguments: dict[str, Any]) -> Job:
        return self.pool.submit("one", self.domain, task, arguments)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    desk = Desk(tmp_path_factory.getbasetemp())
    yield desk
    desk.pool.close()


def source(model: Path = SAMPLES / "fashion_resnet.onnx") -> dict[str, Any]:
    return {
        "model": str(model),
        "name": "sample",
        "data": str(SAMPLES / "fashion_test.npz"),
        "calibration": str(SAMPLES / "fashion_calibration.npz"),
    }


def compress(desk: Desk, out: Path, ratio: float = 0.3) -> Job:
    recipe = Recipe(pattern="channel", ratio=ratio).to_json()
    return desk.submit("compress", {"source": source(), "recipe": recipe, "out": str(out)})


def vowels(**changed: Any) -> dict[str, Any]:
    """A small source; names of its files, or None, may be given otherwise."""
    files = {"data": "vowels_test.npz", "calibration": "vowels_calibration.npz", **changed}
    paths = {key: name and str(SAMPLES / name) for key, name in files.items()}
    return {"model": str(SAMPLES / "vowels_cnn.onnx"), "name": "vowels", **paths}


def run_vowels(desk: Desk, folder: Path, recipe: Recipe, **changed: Any) -> Job:
    """Compress the small source and wait."""
    arguments = {"source": vowels(**changed), "recipe": recipe.to_json()}
    job = desk.submit("compress", {**arguments, "out": str(folder / "small.onnx")})
    assert job.wait(LIMIT_S)
    assert (job.state, job.error) == (State.DONE, None)
    return job


def test_opening_a_model(desk: Desk) -> None:
    job = desk.submit("open_model", {"source": source()})
    assert job.wait(LIMIT_S)
    assert (job.state, job.error) == (State.DONE, None)
    kinds = {Hosted, Profiled, Described, Timed, Scored, Relabelled}
    assert {type(event) for event in job.events} == kinds
    original = Original().after(job.events)
    assert known(original.first_quality).samples == 1000
    assert known(original.quality).samples == 10_000
    assert known(original.description).labelled


def test_compressing(desk: Desk, tmp_path: Path) -> None:
    job = compress(desk, tmp_path / "o.onnx")
    assert job.wait(LIMIT_S)
    assert [type(event) for event in job.events[:2]] == [Planned, Estimated]
    kinds = [type(event) for event in job.events]
    assert kinds.index(ScoredQuickly) < kinds.index(Encoded) < kinds.index(Scored)
    run = Run(Recipe()).after(job.events)
    assert known(run.quick_quality).samples == 250
    assert known(run.estimate).macs == known(run.profile).macs
    assert (tmp_path / "o.onnx").stat().st_size == known(run.profile).file_bytes


def test_a_compensated_setting_also_says_what_it_comes_to_without(
    desk: Desk, tmp_path: Path
) -> None:
    model = load(SAMPLES / "vowels_cnn.onnx")
    data = load_data(SAMPLES / "vowels_test.npz", model)
    job = run_vowels(desk, tmp_path, Recipe(pattern="channel", ratio=0.6))
    run = Run(Recipe()).after(job.events)
    scores = [
        event for event in job.events if isinstance(event, Scored | ScoredWithoutReconstruction)
    ]
    assert [type(event) for event in scores] == [Scored, ScoredWithoutReconstruction]
    naive = plan(model, Recipe(pattern="channel", ratio=0.6, compensate=False))
    expected = evaluate(apply(model, naive), data, model)
    assert run.unreconstructed == expected
    assert known(run.quality).value > expected.value


@pytest.mark.parametrize(
    ("recipe", "reason"),
    [
        (Recipe(pattern="channel", ratio=0.3, compensate=False), "it is switched off"),
        (Recipe(weight_bits=16), "nothing was removed"),
    ],
    ids=["switched off", "nothing to refit"],
)
def test_nothing_is_naive_where_nothing_is_refitted(
    desk: Desk, tmp_path: Path, recipe: Recipe, reason: str
) -> None:
    run = Run(recipe).after(run_vowels(desk, tmp_path, recipe).events)
    assert reason in known(known(run.artifact).not_reconstructed)
    assert run.quality is not None
    assert run.unreconstructed is None


def test_without_samples_there_is_no_score(desk: Desk, tmp_path: Path) -> None:
    recipe = Recipe(pattern="channel", ratio=0.3)
    run = Run(recipe).after(run_vowels(desk, tmp_path, recipe, data=None).events)
    assert known(run.artifact).not_reconstructed is None
    assert (run.quality, run.unreconstructed) == (None, None)
    job = run_vowels(desk, tmp_path, recipe, data=None, calibration=None)
    artifact = known(Run(recipe).after(job.events).artifact)
    assert "samples" in known(artifact.not_reconstructed)


@pytest.mark.parametrize(
    ("recipe", "weight_only"),
    [
        (Recipe(weight_bits=4), True),
        (Recipe(weight_bits=16), False),
        (Recipe(weight_bits=8, activation_bits=8), False),
    ],
    ids=["integer weights", "float16", "integer activations too"],
)
def test_the_file_says_whether_only_weights_are_quantized(
    desk: Desk, tmp_path: Path, recipe: Recipe, weight_only: bool
) -> None:
    job = run_vowels(desk, tmp_path, recipe, data=None)
    assert known(Run(recipe).after(job.events).artifact).weight_only is weight_only


def probe_vowels(desk: Desk, done: list[str], **changed: Any) -> Job:
    """A slice of one probe."""
    arguments = {"source": vowels(**changed), "recipe": Recipe().to_json(), "done": done}
    job = desk.submit("sensitivity", {**arguments, "slice_s": 0.0})
    assert job.wait(LIMIT_S)
    return job


def test_sensitivity_comes_in_slices_and_leaves_out_what_is_done(desk: Desk) -> None:
    model = load(SAMPLES / "vowels_cnn.onnx")
    data = load_data(SAMPLES / "vowels_test.npz", model)
    calibration = calibrate(model, SAMPLES / "vowels_calibration.npz")
    probes = find_probes(model)
    keys = [probe.key for probe in probes]
    done = [keys[0], *keys[2:-1]]
    for left in (1, len(probes) - 1):
        job = probe_vowels(desk, done)
        assert (job.state, job.error) == (State.DONE, None)
        count, event = job.events
        assert count == ProbesCounted(len(probes))
        assert isinstance(event, Probed)
        assert event.key == keys[left]
        found, sent = measure_probe(model, probes[left], data, calibration), event.sensitivity
        assert sent.output_error == pytest.approx(found.output_error, rel=1e-3)
        assert replace(sent, output_error=found.output_error) == found
        done.append(event.key)
    assert probe_vowels(desk, keys).events == (ProbesCounted(len(probes)),)


def test_a_survey_comes_in_slices_and_leaves_no_files(desk: Desk) -> None:
    arguments = {"source": vowels(), "recipe": Recipe().to_json()}
    found: dict[str, Surveyed | SurveyTimed] = {}
    for _ in range(3):
        job = desk.submit("survey", {**arguments, "done": list(found), "slice_s": 0.0})
        assert job.wait(LIMIT_S)
        assert (job.state, job.error) == (State.DONE, None)
        new = {each.key: each for each in job.events if isinstance(each, Surveyed | SurveyTimed)}
        assert len(new) == 1
        assert not new.keys() & found.keys()
        found |= new
    first, timed = found["channel 0.1"], found["channel 0.3:latency"]
    assert isinstance(first, Surveyed)
    assert isinstance(timed, SurveyTimed)
    assert first.recipe.ratio == 0.1
    assert first.output_error is not None and 0 < first.output_error < 0.1
    assert first.quality is not None and first.reference is not None
    assert 0.9 < first.quality <= first.reference + 0.02
    assert 0.1 < timed.latency.ratio < 2
    assert not list(desk.domain.folder.glob("compressed-*.onnx"))


def test_a_survey_without_samples_only_times(desk: Desk) -> None:
    arguments = {"source": vowels(data=None, calibration=None), "recipe": Recipe().to_json()}
    job = desk.submit("survey", {**arguments, "done": [], "slice_s": 0.0})
    assert job.wait(LIMIT_S)
    assert newest(job.events, Surveyed) == Surveyed(
        "channel 0.1", Recipe(pattern="channel", ratio=0.1)
    )


def test_sensitivity_needs_samples(desk: Desk) -> None:
    job = probe_vowels(desk, [], data=None)
    assert job.state is State.FAILED
    assert "no samples" in str(job.error)


def test_spending_needs_samples(desk: Desk) -> None:
    arguments = {"source": vowels(data=None), "recipe": Recipe().to_json(), "found": []}
    job = desk.submit("spend", {**arguments, "points": 1.0, "on": "size"})
    assert job.wait(LIMIT_S)
    assert job.state is State.FAILED
    assert "no samples" in str(job.error)


def test_a_mistake_is_a_sentence(desk: Desk, tmp_path: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no model at all")
    job = desk.submit("open_model", {"source": source(broken)})
    assert job.wait(LIMIT_S)
    assert job.state is State.FAILED
    assert "is a text file" in str(job.error)


def test_a_mistake_of_our_own_is_told(desk: Desk) -> None:
    job = desk.submit("compress", {"source": source()})  # two arguments are missing
    assert job.wait(LIMIT_S)
    assert job.state is State.FAILED
    assert "internal error occurred" in str(job.error)


@pytest.mark.parametrize(
    ("patience_s", "goes_on"), [(60.0, True), (0.0, False)], ids=["short", "long"]
)
def test_a_short_calibration_outlives_its_job(
    monkeypatch: pytest.MonkeyPatch, patience_s: float, goes_on: bool
) -> None:
    monkeypatch.setattr(pipeline, "CALIBRATION_S", patience_s)
    models = OpenModels()
    opened = models.source(vowels())
    opened.model.cache.clear()
    cancelled = Context(lambda event, **values: None, lambda: True, models)
    if goes_on:
        assert pipeline.calibration_of(opened, cancelled) is not None
    else:
        with pytest.raises(Cancelled):
            pipeline.calibration_of(opened, cancelled)


def test_a_worker_whose_server_goes_away_just_ends() -> None:
    """A socket that is closed with something unread is reset, not closed, at the other end."""
    server, link = socket.socketpair()
    lines = link.makefile("r", encoding="utf-8")
    inbox: queue.Queue[Any] = queue.Queue()
    server.sendall(b'{"task": "look", "step": 1}\n')
    link.sendall(b"an event that nobody reads\n")
    server.close()
    worker.read_messages(lines, inbox, set())
    assert inbox.get_nowait() in ({"task": "look", "step": 1}, None)
    lines.close()
    link.close()
