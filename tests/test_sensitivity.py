"""Sensitivity: equal to what really compressing that one place and evaluating gives."""

import json
import re
from pathlib import Path

import pytest
from conftest import SAMPLES

import explorer
from explorer import LayerChoice, Recipe
from explorer.cli import main
from explorer.formats.data import Dataset
from explorer.search.sensitivity import (
    RATIOS,
    WEIGHT_BITS,
    find_probes,
    measure_probe,
    measure_sensitivity,
)


def test_probes_are_gentle_first_and_cover_every_place(resnet: explorer.Model) -> None:
    probes = find_probes(resnet)
    ratios = [p.ratio for p in probes if p.ratio is not None]
    bits = [p.weight_bits for p in probes if p.weight_bits is not None]
    assert len(ratios) == 7 * len(RATIOS)
    assert len(bits) == len(resnet.layers) * len(WEIGHT_BITS)
    assert ratios == sorted(ratios)
    assert bits == sorted(bits, reverse=True)


@pytest.mark.parametrize("compensate", [True, False])
@pytest.mark.parametrize(
    "choice",
    [LayerChoice("stage3.0.conv1", ratio=0.5), LayerChoice("stage2.0.conv2", weight_bits=2)],
    ids=["channels", "bits"],
)
def test_a_probe_is_what_compressing_that_place_gives(
    resnet: explorer.Model,
    calibration: explorer.Calibration,
    test_data: Dataset,
    choice: LayerChoice,
    compensate: bool,
) -> None:
    base = Recipe(compensate=compensate)
    probe = next(
        p
        for p in find_probes(resnet)
        if (p.place, p.ratio, p.weight_bits) == (choice.name, choice.ratio, choice.weight_bits)
    )
    found = measure_probe(resnet, probe, test_data, calibration, base)
    pattern = "channel" if choice.ratio else "none"
    recipe = Recipe(pattern=pattern, layers=(choice,), compensate=compensate)
    plan = explorer.plan(resnet, recipe, calibration)
    small = explorer.apply(resnet, plan, calibration)
    quality = explorer.evaluate(small, test_data, resnet)
    assert found.quality.value == pytest.approx(quality.value, abs=1e-6)
    assert found.profile.macs == explorer.profile(small).macs
    changed = [layer.name for layer in plan.layers if layer.kept < layer.channels]
    assert set(changed) <= set(probe.members)


def test_what_is_done_is_not_measured_again(
    resnet: explorer.Model, calibration: explorer.Calibration, test_data: Dataset
) -> None:
    probes = find_probes(resnet)
    rest = measure_sensitivity(resnet, test_data.head(50), calibration, done=probes[:-1])
    assert [each.probe for each in rest] == [probes[-1]]


def test_the_command_prints_json_and_spends(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, data = SAMPLES / "vowels_cnn.onnx", SAMPLES / "vowels_test.npz"
    calibration = SAMPLES / "vowels_calibration.npz"
    arguments = [
        "sensitivity", str(model), "--data", str(data), "--calibration", str(calibration),
        "--spend", "1", "--save-recipe", str(tmp_path / "recipe.json"), "--json",
    ]  # fmt: skip
    assert main(arguments) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["quality"]["metric"] == "accuracy"
    places = {each["place"] for each in answer["sensitivity"]}
    assert places >= {layer.name for layer in explorer.load(model).layers}
    entry = answer["sensitivity"][0]
    assert entry["ratio"] == RATIOS[0]
    assert entry["kept"] < entry["channels"]
    assert set(entry["quality"]) >= {"value", "low", "high", "samples"}
    spent, out = answer["spent"], tmp_path / "small.onnx"
    assert spent["lost"] <= spent["points"] == 1
    assert Recipe.from_json((tmp_path / "recipe.json").read_bytes()).layers
    arguments = [
        "compress", str(model), "--recipe", str(tmp_path / "recipe.json"), "--out", str(out),
        "--calibration", str(calibration), "--data", str(data), "--json",
    ]  # fmt: skip
    assert main(arguments) == 0
    compressed = json.loads(capsys.readouterr().out)["compressed"]
    assert compressed["quality"] == spent["quality"]
    assert compressed["profile"] == spent["profile"]
    assert out.stat().st_size == spent["profile"]["file_bytes"]
    before = explorer.profile(explorer.load(model)).content_bytes
    assert spent["saved"] == 1 - out.stat().st_size / before > 0.5


def test_the_command_prints_a_table(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("explorer.search.sensitivity.RATIOS", (0.25,))
    monkeypatch.setattr("explorer.search.sensitivity.WEIGHT_BITS", ())
    model, data = SAMPLES / "vowels_cnn.onnx", SAMPLES / "vowels_test.npz"
    arguments = ["sensitivity", str(model), "--data", str(data), "--spend", "2", "--on", "macs"]
    assert main(arguments) == 0
    shown = capsys.readouterr().out
    assert "25% pruned" in shown
    assert re.search(
        r"Saves \d+ % of the MACs for [\d.]+ pp of accuracy, measured on the \d+ samples", shown
    )


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--spend", "0"], "accuracy budget is 0; it must be above 0"),
        (["--spend", "nan"], "accuracy budget is nan"),
        (["--spend", "1", "--on", "money"], "'money'; it must be one of size, macs, time"),
        (["--on", "size"], "add --spend"),
        (["--spend", "1", "--save-recipe", "nowhere/recipe.json"], "there is no folder nowhere"),
        (["--spend", "1", "--save-recipe", "/proc/recipe.json"], "can't be written"),
    ],
)
def test_a_wrong_budget_is_one_sentence_before_the_work(
    options: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sensitivity", "missing.onnx", "--data", "missing.npz", *options]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert complaint in line
