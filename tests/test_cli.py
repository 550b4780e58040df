"""The command line, as another program calls it."""

import argparse
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT, SAMPLES, run_onnx
from onnx_net import Net

from explorer import cli, commands
from explorer.command_options import remarks_on
from explorer.recipe import LayerChoice, Recipe

MODEL = str(SAMPLES / "fashion_resnet.onnx")
TEST = str(SAMPLES / "fashion_test.npz")
CALIBRATION = str(SAMPLES / "fashion_calibration.npz")
PROFILE_KEYS = {
    "params", "nonzero_params", "macs", "file_bytes", "gzip_bytes", "packed_bytes",
    "peak_activation_bytes", "uncounted_ops", "input_sizes",
}  # fmt: skip
LATENCY_KEYS = {
    "median_s", "iqr_s", "runs", "threads", "runtime", "reliable",
    "ratio", "ratio_low", "ratio_high",
}  # fmt: skip
QUALITY_KEYS = {"metric", "value", "low", "high", "samples", "reference_value"}
LAYER_KEYS = {"name", "op", "channels", "kept", "sparsity", "weight_bits", "skipped"}


def call(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "explorer", *[str(a) for a in arguments]]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)


def answer(*arguments: object) -> dict[str, Any]:
    done = call(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert isinstance(result, dict)
    return result


def complaint(*arguments: object) -> str:
    done = call(*arguments)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    lines = [line for line in done.stderr.splitlines() if not line.endswith("...")]
    assert len(lines) == 1
    return lines[0]


def test_profile() -> None:
    report = answer("profile", MODEL)
    assert {"model_id", "name", "profile"} <= report.keys()
    assert report["profile"].keys() >= PROFILE_KEYS
    assert 60_000 <= report["profile"]["params"] <= 100_000


@pytest.fixture
def open_network(tmp_path: Path) -> str:
    net = Net()
    x = net.do("Relu", net.do("Conv", net.input("image", "n", 3, "h", "w"), net.w(16, 3, 1, 1)))
    x = net.do("GlobalAveragePool", net.do("Conv", x, net.w(8, 16, 1, 1)))
    path = tmp_path / "open.onnx"
    path.write_bytes(net.bytes(net.do("Flatten", x)))
    images = np.zeros((4, 3, 8, 8), np.float32)
    np.savez(tmp_path / "data.npz", x=images, y=np.arange(4))
    return str(path)


@pytest.mark.parametrize(
    "command",
    [
        ("profile", "{net}"),
        ("compress", "{net}", "--out", "{out}", "--pattern", "channel", "--ratio", "0.5"),
        ("latency", "{net}", "--against", "{net}"),
        ("evaluate", "{net}", "--data", "{data}"),
        ("sensitivity", "{net}", "--data", "{data}"),
    ],
    ids=lambda command: command[0],
)
def test_input_sizes(
    command: tuple[str, ...],
    open_network: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    places = {"net": open_network, "out": tmp_path / "o.onnx", "data": tmp_path / "data.npz"}
    words = [word.format(**places) for word in command]

    def printed(*more: str) -> str:
        assert cli.main([*words, *more]) == 0
        return capsys.readouterr().out

    found = json.loads(printed("--json"))
    found = found.get("original", found)
    side = 8 if "--data" in words else 224  # that of the samples
    assert found["profile"]["input_sizes"] == {"image": [1, 3, side, side]}
    size = ("--input-size", "image=2,3,20,30")
    told = json.loads(printed("--json", *size))
    for report in (told["original"], told["compressed"]) if "original" in told else (told,):
        assert report["profile"]["input_sizes"] == {"image": [2, 3, 20, 30]}
    assert told.get("original", told)["profile"]["macs"] == 2 * 600 * (48 + 128)
    assert "image 2 x 3 x 20 x 30" in printed(*size)


def test_compress_everything_at_once(tmp_path: Path) -> None:
    out = tmp_path / "out.onnx"
    result = answer(
        "compress", MODEL, "--out", out, "--pattern", "channel", "--ratio", 0.4,
        "--weight-bits", 8, "--activation-bits", 8, "--calibration", CALIBRATION,
        "--data", TEST, "--latency", "--seed", 3,
    )  # fmt: skip
    assert result.keys() == {"original", "compressed", "plan"}
    for report in (result["original"], result["compressed"]):
        assert report["profile"].keys() >= PROFILE_KEYS
        assert report["latency"].keys() >= LATENCY_KEYS
        assert report["quality"].keys() >= QUALITY_KEYS
        assert report["quality"]["samples"] == 10_000
    assert all(layer.keys() >= LAYER_KEYS for layer in result["plan"]["layers"])
    assert result["compressed"]["profile"]["file_bytes"] == out.stat().st_size
    assert result["compressed"]["profile"]["macs"] < result["original"]["profile"]["macs"]
    assert answer("profile", out)["profile"] == result["compressed"]["profile"]
    assert answer("evaluate", out, "--data", TEST)["quality"]["value"] == pytest.approx(
        result["compressed"]["quality"]["value"], abs=3e-4
    )


def test_accuracy_of_the_file_by_the_runtime_alone(tmp_path: Path) -> None:
    out = tmp_path / "out.onnx"
    result = answer("compress", MODEL, "--out", out, "--weight-bits", 4, "--data", TEST)
    test = np.load(TEST)
    logits = run_onnx(out.read_bytes(), {"image": test["x"].astype(np.float32)})[0]
    accuracy = float((logits.argmax(axis=1) == test["y"]).mean())
    assert result["compressed"]["quality"]["value"] == pytest.approx(accuracy, abs=3e-4)


def test_evaluate_and_latency_against_the_original(tmp_path: Path) -> None:
    out = tmp_path / "out.onnx"
    answer("compress", MODEL, "--out", out, "--pattern", "channel", "--ratio", 0.6)
    quality = answer("evaluate", out, "--data", TEST, "--reference", MODEL)["quality"]
    assert quality["reference_value"] > quality["value"]
    latency = answer("latency", out, "--against", MODEL)["latency"]
    assert latency["ratio_low"] <= latency["ratio"] <= latency["ratio_high"] < 1
    assert answer("latency", MODEL, "--threads", 2)["latency"]["threads"] == 2


def test_tables_are_for_people() -> None:
    text = call("profile", MODEL).stdout
    assert "MACs (FLOPs = 2 x MACs)" in text
    assert "fashion_resnet" in text


def test_a_recipe_and_flags_that_override_it(tmp_path: Path) -> None:
    recipe = tmp_path / "r.json"
    recipe.write_text('{"pattern": "channel", "ratio": 0.3, "weight_bits": 4}')
    out = tmp_path / "o.onnx"
    result = answer("compress", MODEL, "--out", out, "--recipe", recipe, "--ratio", 0.6)
    assert result["plan"]["recipe"]["ratio"] == 0.6
    assert result["plan"]["recipe"]["weight_bits"] == 4


@pytest.mark.parametrize(
    ("recipe", "flags", "remarks"),
    [
        (Recipe("2:4", 0.3), {}, ["the ratio has no effect with pattern '2:4'"]),
        (Recipe("channel"), {}, ["pattern 'channel' prunes nothing at a ratio of 0"]),
        (Recipe("channel", layers=(LayerChoice("stem", 0.5),)), {}, []),
        (
            Recipe(weight_bits=4, layers=(LayerChoice("stem", None, 8),)),
            {"weight_bits": 4},
            ["1 layer keeps the weight bits that the recipe gives"],
        ),
        (
            Recipe(weight_bits=16, bits_scope="global"),
            {"bits_scope": "global"},
            ["mixed precision has no effect at 16 weight bits"],
        ),
        (Recipe("channel", 0.3, weight_bits=4, bits_scope="global"), {"weight_bits": 4}, []),
    ],
    ids=["fixed ratio", "no ratio", "one layer", "own bits", "not spread", "plain"],
)
def test_what_has_no_effect_is_told(
    recipe: Recipe, flags: dict[str, object], remarks: list[str]
) -> None:
    given = {"weight_bits": None, "bits_scope": None, **flags}
    assert remarks_on(recipe, argparse.Namespace(**given)) == remarks


def test_remarks_and_steps_are_told_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, out = str(SAMPLES / "fashion_mlp.onnx"), str(tmp_path / "o.onnx")
    given = ["compress", model, "--out", out, "--pattern", "2:4", "--ratio", "0.3"]
    assert cli.main([*given, "--data", TEST]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert "the ratio has no effect with pattern '2:4'" in lines
    assert any(line.startswith("scoring all") and line.endswith(" ...") for line in lines)


def test_no_compensate_is_worse(tmp_path: Path) -> None:
    arguments = [
        "compress", MODEL, "--out", tmp_path / "o.onnx", "--pattern", "channel", "--ratio", 0.2,
        "--calibration", CALIBRATION, "--data", TEST,
    ]  # fmt: skip
    compensated = answer(*arguments)["compressed"]["quality"]["value"]
    naive = answer(*arguments, "--no-compensate")["compressed"]["quality"]["value"]
    assert compensated > naive + 0.3


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["profile", "nothing.onnx"], "There is no file"),
        (["profile", TEST], "an .npz file, so data and no network"),
        (["profile"], "required"),
        (["frobnicate", MODEL], "frobnicate"),
        (["profile", MODEL, "--colour"], "--colour"),
        (["compress", MODEL, "--out", "/nowhere/o.onnx"], "no folder"),
        (["compress", MODEL, "--out", "/"], "folder"),
        (["compress", MODEL], "--out"),
        (["compress", MODEL, "--out", "{tmp}/o.onnx", "--ratio", "1"], "below 1"),
        (["compress", MODEL, "--out", "{tmp}/o.onnx", "--ratio", "much"], "much"),
        (["compress", MODEL, "--out", "{tmp}/o.onnx", "--weight-bits", "9"], "9"),
        (["compress", MODEL, "--out", "{tmp}/o.onnx", "--pattern", "x"], "'x'"),
        (["compress", MODEL, "--out", "{tmp}/o.onnx", "--activation-bits", "8"], "calibration"),
        (["compress", MODEL, "--out", "{tmp}/o.onnx", "--recipe", "none.json"], "none.json"),
        (["compress", MODEL, "--out", "{tmp}/o.onnx", "--recipe", "{tmp}/bad.json"], "'nosuch'"),
        (["compress", MODEL, "--out", "{tmp}/o.onnx", "--data", MODEL], ".npz"),
        (["evaluate", MODEL, "--data", "none.npz"], "no data file"),
        (["evaluate", MODEL, "--data", CALIBRATION], "labels"),
        (["latency", MODEL, "--threads", "0"], "at least 1"),
        (["profile", MODEL, "--input-size", "image"], "such as image=1,3,320,320"),
        (["profile", MODEL, "--input-size", "image=1,1,28,x"], "such as image=1,3,320,320"),
        (["profile", MODEL, "--input-size", "im=1,1,28,28"], "There is no input 'im'"),
    ],
)
def test_complaints(arguments: list[str], part: str, tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text('{"layers": [{"name": "nosuch", "ratio": 0.5}]}')
    filled = [argument.replace("{tmp}", str(tmp_path)) for argument in arguments]
    assert part in complaint(*filled)
    assert [path.name for path in tmp_path.iterdir()] == ["bad.json"]


def test_what_is_read_is_never_written_over(tmp_path: Path) -> None:
    model = tmp_path / "model.onnx"
    model.write_bytes(Path(MODEL).read_bytes())
    assert "is also read" in complaint("compress", model, "--out", model, "--weight-bits", 8)
    spend = ("--data", TEST, "--spend", 1, "--save-recipe")
    assert "is also read" in complaint("sensitivity", model, *spend, model)
    assert model.read_bytes() == Path(MODEL).read_bytes()
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert "not an ordinary file" in complaint("sensitivity", model, *spend, pipe)
    assert pipe.is_fifo()


def test_numbers_that_json_does_not_know_are_null(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    result = {"a": [math.inf, (1.5, math.nan)], "b": 2}
    monkeypatch.setattr(commands, "profile", lambda options: result)
    assert cli.main(["profile", MODEL, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"a": [None, [1.5, None]], "b": 2}
