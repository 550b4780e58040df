"""The child process: parts that arrive in order, newest wins, and a dead child is replaced."""

import json
import os
import signal
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from conftest import SAMPLES

from explorer import Recipe, apply, calibrate, evaluate, load, plan
from explorer.formats.data import load_data
from explorer.jobs import Job, Pool, State
from explorer.search.sensitivity import find_probes, measure_probe

LIMIT_S = 120


@pytest.fixture(scope="module")
def pool() -> Iterator[Pool]:
    pool = Pool()
    yield pool
    pool.close()


def source(model: Path = SAMPLES / "fashion_resnet.onnx") -> dict[str, Any]:
    return {
        "model": str(model),
        "name": "sample",
        "data": str(SAMPLES / "fashion_test.npz"),
        "calibration": str(SAMPLES / "fashion_calibration.npz"),
    }


def compress(pool: Pool, out: Path, ratio: float = 0.3, session: str = "one") -> Job:
    recipe = Recipe(pattern="channel", ratio=ratio).to_json()
    return pool.submit(session, "compress", {"source": source(), "recipe": recipe, "out": str(out)})


def vowels(**changed: Any) -> dict[str, Any]:
    """A small source; names of its files, or None, may be given otherwise."""
    files = {"data": "vowels_test.npz", "calibration": "vowels_calibration.npz", **changed}
    paths = {key: name and str(SAMPLES / name) for key, name in files.items()}
    return {"model": str(SAMPLES / "vowels_cnn.onnx"), "name": "vowels", **paths}


def run_vowels(pool: Pool, folder: Path, recipe: Recipe, **changed: Any) -> Job:
    """Compress the small source and wait."""
    arguments = {"source": vowels(**changed), "recipe": recipe.to_json()}
    job = pool.submit("one", "compress", {**arguments, "out": str(folder / "small.onnx")})
    assert job.wait(LIMIT_S)
    assert (job.state, job.error) == (State.DONE, None)
    return job


def test_opening_a_model(pool: Pool) -> None:
    job = pool.submit("one", "open_model", {"source": source()})
    assert job.wait(LIMIT_S)
    assert (job.state, job.error) == (State.DONE, None)
    assert set(job.parts) == {"host", "profile", "model", "latency", "first_quality", "quality"}
    assert job.parts["quality"]["samples"] == 10_000
    assert job.parts["model"]["labelled"]


def test_compressing(pool: Pool, tmp_path: Path) -> None:
    job = compress(pool, tmp_path / "o.onnx")
    assert job.wait(LIMIT_S)
    assert list(job.parts)[:2] == ["plan", "estimate"]
    assert job.parts["estimate"]["macs"] == job.parts["profile"]["macs"]
    assert (tmp_path / "o.onnx").stat().st_size == job.parts["profile"]["file_bytes"]


def test_a_compensated_setting_also_says_what_it_comes_to_without(
    pool: Pool, tmp_path: Path
) -> None:
    model = load(SAMPLES / "vowels_cnn.onnx")
    data = load_data(SAMPLES / "vowels_test.npz", model)
    job = run_vowels(pool, tmp_path, Recipe(pattern="channel", ratio=0.6))
    assert list(job.parts)[-2:] == ["quality", "naive_quality"]
    naive = plan(model, Recipe(pattern="channel", ratio=0.6, compensate=False))
    expected = evaluate(apply(model, naive), data, model)
    assert job.parts["naive_quality"] == asdict(expected)
    assert job.parts["quality"]["value"] > expected.value


@pytest.mark.parametrize(
    ("recipe", "reason"),
    [
        (Recipe(pattern="channel", ratio=0.3, compensate=False), "it is switched off"),
        (Recipe(weight_bits=16), "nothing was removed"),
    ],
    ids=["switched off", "nothing to refit"],
)
def test_nothing_is_naive_where_nothing_is_refitted(
    pool: Pool, tmp_path: Path, recipe: Recipe, reason: str
) -> None:
    job = run_vowels(pool, tmp_path, recipe)
    assert reason in job.parts["file"]["not_compensated"]
    assert "quality" in job.parts
    assert "naive_quality" not in job.parts


def test_without_samples_there_is_no_score(pool: Pool, tmp_path: Path) -> None:
    job = run_vowels(pool, tmp_path, Recipe(pattern="channel", ratio=0.3), data=None)
    assert job.parts["file"]["not_compensated"] is None
    assert not {"quality", "naive_quality"} & set(job.parts)
    job = run_vowels(
        pool, tmp_path, Recipe(pattern="channel", ratio=0.3), data=None, calibration=None
    )
    assert "samples" in job.parts["file"]["not_compensated"]


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
    pool: Pool, tmp_path: Path, recipe: Recipe, weight_only: bool
) -> None:
    job = run_vowels(pool, tmp_path, recipe, data=None)
    assert job.parts["file"]["weight_only"] is weight_only


def probe_vowels(pool: Pool, done: list[str], **changed: Any) -> Job:
    """A slice of one probe."""
    arguments = {"source": vowels(**changed), "recipe": Recipe().to_json(), "done": done}
    job = pool.submit("one/sensitivity", "sensitivity", {**arguments, "slice_s": 0.0})
    assert job.wait(LIMIT_S)
    return job


def test_sensitivity_comes_in_slices_and_leaves_out_what_is_done(pool: Pool) -> None:
    model = load(SAMPLES / "vowels_cnn.onnx")
    data = load_data(SAMPLES / "vowels_test.npz", model)
    calibration = calibrate(model, SAMPLES / "vowels_calibration.npz")
    probes = find_probes(model)
    names = [f"sensitivity:{p.place}:{p.ratio or p.weight_bits}" for p in probes]
    done = [names[0], *names[2:-1]]
    for left in (1, len(probes) - 1):
        job = probe_vowels(pool, done)
        assert (job.state, job.error) == (State.DONE, None)
        assert list(job.parts) == ["probes", names[left]]
        assert job.parts["probes"] == len(probes)
        found = measure_probe(model, probes[left], data, calibration)
        expected = json.loads(json.dumps(found.to_dict()))
        error = expected.pop("output_error")
        assert job.parts[names[left]].pop("output_error") == pytest.approx(error, rel=1e-3)
        assert job.parts[names[left]] == expected
        done.append(names[left])
    assert list(probe_vowels(pool, names).parts) == ["probes"]


def test_sensitivity_needs_samples(pool: Pool) -> None:
    job = probe_vowels(pool, [], data=None)
    assert job.state is State.FAILED
    assert "no samples" in str(job.error)


def test_spending_needs_samples(pool: Pool) -> None:
    arguments = {"source": vowels(data=None), "recipe": Recipe().to_json(), "found": []}
    job = pool.submit("one/spending", "spend", {**arguments, "points": 1.0, "on": "size"})
    assert job.wait(LIMIT_S)
    assert job.state is State.FAILED
    assert "no samples" in str(job.error)


def test_the_newest_setting_wins(pool: Pool, tmp_path: Path) -> None:
    jobs = [compress(pool, tmp_path / f"{i}.onnx", ratio=i / 10) for i in range(6)]
    assert jobs[-1].wait(LIMIT_S)
    assert all(job.wait(LIMIT_S) for job in jobs)
    assert jobs[-1].state is State.DONE
    assert [job.state for job in jobs[1:-1]] == [State.CANCELLED] * 4


def test_another_session_is_not_dropped(pool: Pool, tmp_path: Path) -> None:
    mine = compress(pool, tmp_path / "a.onnx", session="a")
    theirs = compress(pool, tmp_path / "b.onnx", session="b")
    assert mine.wait(LIMIT_S)
    assert theirs.wait(LIMIT_S)
    assert (mine.state, theirs.state) == (State.DONE, State.DONE)


def test_a_mistake_is_a_sentence(pool: Pool, tmp_path: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no model at all")
    job = pool.submit("one", "open_model", {"source": source(broken)})
    assert job.wait(LIMIT_S)
    assert job.state is State.FAILED
    assert "is a text file" in str(job.error)


def test_a_cancelled_job_stops_at_once_and_the_child_lives(pool: Pool, tmp_path: Path) -> None:
    assert compress(pool, tmp_path / "0.onnx").wait(LIMIT_S)
    pid = pool.child_pid
    job = compress(pool, tmp_path / "1.onnx", ratio=0.4)
    while "estimate" not in job.parts and not job.ended:
        job.wait(0.01)
    pool.cancel(job)
    assert job.wait(LIMIT_S)
    assert job.state is State.CANCELLED
    assert "quality" not in job.parts
    assert pool.child_pid == pid


def test_a_mistake_of_our_own_is_told_and_the_child_lives(pool: Pool) -> None:
    pid = pool.child_pid
    job = pool.submit("one", "compress", {"source": source()})  # two arguments are missing
    assert job.wait(LIMIT_S)
    assert job.state is State.FAILED
    assert "made a mistake" in str(job.error)
    assert pool.child_pid == pid


def test_a_killed_child_is_told_and_replaced(pool: Pool, tmp_path: Path) -> None:
    assert compress(pool, tmp_path / "0.onnx").wait(LIMIT_S)
    job = compress(pool, tmp_path / "1.onnx", ratio=0.5)
    pid = pool.child_pid
    assert pid is not None
    os.kill(pid, signal.SIGSEGV)
    assert job.wait(LIMIT_S)
    assert job.state is State.FAILED
    assert "restarted" in str(job.error)
    after = compress(pool, tmp_path / "2.onnx", ratio=0.5)
    assert after.wait(LIMIT_S)
    assert after.state is State.DONE
    assert pool.child_pid != pid


def test_closing_settles_what_waits(tmp_path: Path) -> None:
    pool = Pool()
    jobs = [compress(pool, tmp_path / "x.onnx", session=name) for name in "ab"]
    pool.close()
    assert [job.state for job in jobs] == [State.CANCELLED] * 2
    assert pool.child_pid is None
