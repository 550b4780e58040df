"""The clock and the data, with times and answers that are known beforehand."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import SAMPLE_NAMES, SAMPLES, npz_bytes, with_weights

import explorer
from explorer.errors import DataError
from explorer.formats.data import load_data
from explorer.graph.costs import macs_by_node
from explorer.measure import crowding
from explorer.measure.latency import measure_latency, summarise
from explorer.measure.nodes import find_product, run_nodes
from explorer.measure.quality import mcnemar_p_value, wilson_interval
from explorer.render.text import doubt_text
from explorer.render.text_tables import report_rows
from explorer.report import Profile, Report

MS = 1e-3
PROFILE = Profile(1, 1, 1, 1, 1, 1, 1)


def test_a_clear_ratio_is_found() -> None:
    rng = np.random.default_rng(0)
    noise = 1 + 0.05 * rng.random((2, 60))
    latency = summarise(2 * MS * noise[0], 4 * MS * noise[1], threads=1, busy=False)
    assert latency.ratio == pytest.approx(0.5, rel=0.02)
    assert latency.ratio_low < latency.ratio < latency.ratio_high < 0.55
    assert latency.changed
    assert latency.reliable


def test_equal_times_are_no_change() -> None:
    rng = np.random.default_rng(1)
    noise = 1 + 0.2 * rng.random((2, 60))
    latency = summarise(MS * noise[0], MS * noise[1], threads=1, busy=False)
    assert not latency.changed


def test_one_slow_half_is_unreliable() -> None:
    own = np.full(60, 2 * MS)
    own[0] = 1 * MS  # the minimum says twice as fast, the median says equal
    latency = summarise(own, np.full(60, 2 * MS), threads=1, busy=False)
    assert not latency.reliable
    assert not summarise(np.full(60, MS), np.full(60, MS), threads=1, busy=True).reliable


def test_the_times_that_are_shown_have_the_ratio_beside_them() -> None:
    rng = np.random.default_rng(0)
    own, other = 3 * MS * (1 + rng.random(60)), 4 * MS * (1 + rng.random(60))
    latency = summarise(own, other, threads=1, busy=False)
    original = latency.of_reference()
    assert original.min_s == pytest.approx(other.min())
    assert original.median_s == pytest.approx(np.median(other))
    assert latency.min_s / original.min_s == pytest.approx(latency.ratio)
    assert not original.changed
    rows = report_rows(
        [Report("a", "big", PROFILE, original), Report("b", "small", PROFILE, latency)]
    )
    cells = next(row for row in rows if row[0].startswith("latency"))
    shown = [float(cell.split(" ")[0]) for cell in cells[1:]]
    assert shown[1] / shown[0] == pytest.approx(latency.ratio, rel=0.01)
    assert f"ratio {latency.ratio:.2f} (" in cells[2]


class Clock:
    """Time passes only when it is looked at, a little more each time."""

    def __init__(self, step_s: float) -> None:
        self.now, self.step_s = 0.0, step_s

    def __call__(self) -> float:
        self.now += self.step_s
        return self.now


def test_a_slow_clock_gives_few_pairs_and_a_fast_one_enough(resnet: explorer.Model) -> None:
    assert measure_latency(resnet, clock=Clock(0.1)).runs < 15
    assert measure_latency(resnet, clock=Clock(0.001)).runs >= 15


def test_a_real_measurement_of_a_much_smaller_model(resnet: explorer.Model) -> None:
    plan = explorer.plan(resnet, explorer.Recipe(pattern="channel", ratio=0.7))
    latency = measure_latency(explorer.apply(resnet, plan), resnet)
    assert latency.ratio < 0.9
    assert latency.runtime.startswith("onnxruntime ")
    assert latency.threads == 1


@pytest.mark.parametrize("name", SAMPLE_NAMES)
def test_every_product_has_its_time(name: str) -> None:
    model = explorer.load(SAMPLES / f"{name}.onnx")
    macs = macs_by_node(model)
    runs = run_nodes(model)
    assert not any(run.is_integer for run in runs.values())
    seconds = {name: run.seconds for name, run in runs.items()}
    assert sum(macs[name] for name in seconds) > 0.9 * explorer.profile(model).macs
    assert set(seconds) <= set(macs)
    if name == "fashion_resnet":
        assert seconds["stage1.0.conv1"] > 2 * seconds["classifier"]
        assert sum(seconds.values()) < 5 * explorer.measure_latency(model).median_s


@pytest.mark.parametrize(
    ("name", "op", "product"),
    [
        ("stage1.0.conv1", "FusedConv", "stage1.0.conv1"),
        ("stage1.0.conv2_nchwc", "Conv", "stage1.0.conv2"),
        ("stage1.0.relu_nchwc", "Conv", "stage1.0.conv1"),
        ("fused stage1.0.conv1", "FusedConv", "stage1.0.conv1"),
        ("stage1.0.relu", "Relu", None),
        ("stage1.0.conv1/MadeUpFusion/", "Conv", "stage1.0.conv1"),
        ("ReorderOutput", "ReorderOutput", None),
    ],
)
def test_fused_nodes_are_told_by_name_and_operator(
    resnet: explorer.Model, name: str, op: str, product: str | None
) -> None:
    nodes = {str(node.name): node for node in resnet.graph_model.graph}
    products = macs_by_node(resnet)
    assert find_product(name, op, nodes, products) == product


def test_wilson_interval_by_hand() -> None:
    low, high = wilson_interval(8, 10)  # the textbook's example
    assert (low, high) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert wilson_interval(0, 10)[0] == 0


def test_mcnemar_by_hand() -> None:
    assert mcnemar_p_value(0, 0) == 1
    assert mcnemar_p_value(0, 5) == pytest.approx(2 / 2**5)
    assert mcnemar_p_value(3, 1) == pytest.approx(2 * (1 + 4) / 2**4)


CLASSIFIER = """<ir_version: 8, opset_import: ["" : 17]>
g (float[n,3] x) => (float[n,3] y) { y = MatMul (x, w) }"""


@pytest.fixture
def chooser() -> explorer.Model:
    """Its class is the position of the largest input."""
    from conftest import onnx_bytes

    text = CLASSIFIER.replace("{ y", "<float[3,3] w = {1,0,0,0,1,0,0,0,1}> { y")
    return explorer.load(onnx_bytes(text), "chooser")


def test_accuracy_by_hand(chooser: explorer.Model) -> None:
    data = {"x": np.eye(3, dtype=np.float32), "y": np.array([0, 1, 0])}
    quality = explorer.evaluate(chooser, data)
    assert (quality.metric, quality.value, quality.samples) == ("accuracy", 2 / 3, 3)
    paired = explorer.evaluate(chooser, data, chooser)
    assert (paired.reference_value, paired.p_value) == (2 / 3, 1.0)


def test_without_labels_it_is_agreement(chooser: explorer.Model) -> None:
    other = with_weights(CLASSIFIER, w=(3, 3))
    data = {"x": np.eye(3, dtype=np.float32)}
    assert explorer.evaluate(chooser, data, chooser).value == 1
    quality = explorer.evaluate(other, data, chooser)
    assert quality.metric == "agreement"
    with pytest.raises(DataError, match="reference"):
        explorer.evaluate(chooser, data)


def test_signal_to_noise_by_hand() -> None:
    from conftest import onnx_bytes

    text = """<ir_version: 8, opset_import: ["" : 17]>
    g (float[n,1,2] x) => (float[n,1,2] y) <float c = {SCALE}> { y = Mul (x, c) }"""
    one, other = (explorer.load(onnx_bytes(text.replace("SCALE", s))) for s in ("1.0", "0.9"))
    quality = explorer.evaluate(other, {"x": np.ones((4, 1, 2), np.float32)}, one)
    assert quality.metric == "snr_db"
    assert quality.value == pytest.approx(20, abs=1e-4)  # noise a tenth of the signal


X = np.eye(3, dtype=np.float32)
BAD_DATA = {
    "not an archive": (b"nothing", "not an .npz"),
    "truncated": (npz_bytes(x=X)[:100], "cut short"),
    "wrong name": (npz_bytes(z=X[:, :2]), "'z'"),
    "an array too many": (npz_bytes(x=X, w=X), "'w'"),
    "wrong shape": (npz_bytes(x=np.ones((2, 4), np.float32)), "samples of 3"),
    "wrong rank": (npz_bytes(x=np.ones((2, 3, 3), np.float32)), "samples of 3"),
    "no samples": (npz_bytes(x=np.ones((0, 3), np.float32)), "at least one"),
    "not finite": (npz_bytes(x=np.full((2, 3), np.nan)), "NaN"),
    "text": (npz_bytes(x=np.array([["a", "b", "c"]])), "must hold numbers"),
    "labels too many": (npz_bytes(x=X, y=np.zeros(4, int)), "3 samples"),
    "labels of floats": (npz_bytes(x=X, y=np.array([0, 1, 0.5])), "real numbers such as 0.5"),
    "labels in several numbers": (npz_bytes(x=X, y=np.ones((3, 2))), "2 numbers for each sample"),
    "labels negative": (npz_bytes(x=X, y=np.array([0, -1, 1])), "start at 0"),
    "labels out of range": (npz_bytes(x=X, y=np.array([0, 3, 1])), "0 to 2"),
}


@pytest.mark.parametrize("case", BAD_DATA)
def test_bad_data_gets_one_sentence(chooser: explorer.Model, case: str) -> None:
    data, part = BAD_DATA[case]
    with pytest.raises(DataError) as caught:
        explorer.evaluate(chooser, data)
    assert part in str(caught.value)
    assert "\n" not in str(caught.value)


def test_objects_in_an_archive_are_not_unpickled(chooser: explorer.Model) -> None:
    with pytest.raises(DataError, match="can't be read"):
        explorer.evaluate(chooser, npz_bytes(x=np.array([[object()] * 3], dtype=object)))


def test_integers_become_the_models_type(resnet: explorer.Model) -> None:
    data = load_data(SAMPLES / "fashion_test.npz", resnet)
    assert data.inputs["image"].dtype == np.uint8
    assert next(data.batches(resnet, 2))["image"].dtype == np.float32


def test_a_fixed_batch_is_filled_up() -> None:
    model = with_weights(
        """<ir_version: 8, opset_import: ["" : 17]>
        g (float[4,3] x) => (float[4,3] y) { y = MatMul (x, w) }""",
        w=(3, 3),
    )
    samples = np.random.default_rng(0).standard_normal((10, 3)).astype(np.float32)
    quality = explorer.evaluate(model, {"x": samples}, model)
    assert (quality.samples, quality.value) == (10, 1.0)


def test_a_missing_data_file(resnet: explorer.Model, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="There is no data file"):
        explorer.evaluate(resnet, tmp_path / "none.npz")


@pytest.mark.parametrize(
    ("crowded", "quiet", "looks_before"),
    [
        ([], True, crowding.QUIET_LOOKS),
        ([True, False, True], True, 3 + crowding.QUIET_LOOKS),
        ([True] * 10_000, False, crowding.MOST_LOOKS),
    ],
)
def test_timing_waits_for_a_quiet_moment_but_not_for_ever(
    resnet: explorer.Model,
    monkeypatch: pytest.MonkeyPatch,
    crowded: list[bool],
    quiet: bool,
    looks_before: int,
) -> None:
    """And says when there was none, and that the times can't be trusted then."""
    monkeypatch.setattr(crowding, "LOOK_S", 0.0)
    looks = iter(crowded)
    seen: list[bool] = []

    def is_crowded() -> bool:
        seen.append(next(looks, False))
        return seen[-1]

    told = measure_latency(resnet, clock=Clock(0.01), is_crowded=is_crowded)
    assert len(seen) == looks_before + told.runs // 2  # and one between any two samples
    assert told.quiet == quiet
    if not quiet:
        assert not told.reliable
        assert "the machine stayed busy" in doubt_text(told)


def test_a_machine_that_is_crowded_most_of_the_time_is_not_trusted(resnet: explorer.Model) -> None:
    looks = iter([False] * crowding.QUIET_LOOKS)
    told = measure_latency(resnet, clock=Clock(0.01), is_crowded=lambda: next(looks, True))
    assert told.quiet
    assert not told.reliable
    assert doubt_text(told) == "not reliable: the machine was busy"
    assert doubt_text(replace(told, reliable=True)) == ""


@pytest.mark.skipif(crowding.waits() is None, reason="this kernel doesn't count waits")
def test_who_takes_the_same_core_is_a_crowd() -> None:
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})  # of this thread, and of what it starts
    busy = subprocess.Popen(
        [sys.executable, "-c", "print(flush=True)\nwhile True: pass"], stdout=subprocess.PIPE
    )
    try:
        assert busy.stdout is not None
        busy.stdout.readline()
        seen = crowding.Crowding()
        looks = []
        for _ in range(10):
            crowding.spin()
            looks.append(seen.look())
    finally:
        busy.kill()
        busy.communicate()
        os.sched_setaffinity(0, cores)
    assert sum(looks) >= 8


@pytest.mark.parametrize(
    ("run", "waited", "is_crowded"),
    [(10**7, 0, False), (10**7, 10**5, False), (10**7, 10**7, True)],
)
def test_a_look_is_at_the_time_since_the_last_one(
    monkeypatch: pytest.MonkeyPatch, run: int, waited: int, is_crowded: bool
) -> None:
    counted = iter([(5, 10**9), (5 + run, 10**9 + waited)])
    monkeypatch.setattr(crowding, "waits", lambda: next(counted))
    assert crowding.Crowding().look() == is_crowded
