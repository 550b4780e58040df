"""What a visitor takes away leads to the file and to the numbers that were on the screen."""

import gzip
import json
import os
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import onnx
import pytest
from conftest import ROOT
from streamlit.testing.v1 import AppTest
from test_app import PATIENCE_S, choose, drop, own_model, page_on, settled

from explorer import LayerChoice, Recipe
from explorer.render.text import command_line, format_bytes
from explorer.runs import Run
from explorer.ui import export, offers
from explorer.ui.current_outcome import files_of, outcome_of
from explorer.workspace.sources import Source
from explorer.workspace.workspace import Workspace

SETTING = Recipe(pattern="channel", ratio=0.3, weight_bits=8)
HOSTILE = "$(touch x) `y` 'z' \"{q}\" </script> %s"


@pytest.fixture(scope="module")
def sample() -> AppTest:
    """The Export page with a compressed sample."""
    page = page_on("vowels_cnn").switch_page("pages/export.py")
    page.session_state["explorer"].set_recipe(SETTING)
    return settled(page.run())


def session_of(page: AppTest) -> Workspace:
    found: Workspace = page.session_state["explorer"]
    return found


def run_of(workspace: Workspace) -> Run:
    run = workspace.view.run
    assert run is not None
    return run


def file_of(run: Run | None) -> Path:
    assert run is not None and run.file is not None
    return run.file


def source_of(workspace: Workspace) -> Source:
    assert workspace.source is not None
    return workspace.source


def buttons_of(page: AppTest) -> list[str]:
    return [each.proto.label for each in page.get("download_button")]


def content_of(workspace: Workspace, label: str) -> bytes | str:
    """What is downloaded by that button."""
    run, source, outcome = run_of(workspace), source_of(workspace), outcome_of(workspace)
    offered = [
        *offers.file_offers(run, file_of(run), source.stem),
        *offers.given_offers(source),
        *offers.again_offers(outcome),
        *offers.telling_offers(outcome),
    ]
    (found,) = [offer for offer in offered if offer.label == label]
    return found.content()


def text_of(workspace: Workspace, label: str) -> str:
    content = content_of(workspace, label)
    assert isinstance(content, str)
    return content


def run(command: list[str], folder: Path) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_each_download_says_what_it_is_and_is_made_when_asked_for(sample: AppTest) -> None:
    assert buttons_of(sample) == [
        "Compressed model (.onnx)",
        "With gzip (.onnx.gz)",
        "FP32 weights (.onnx)",  # tried when the page was opened
        "Recipe (.json)",
        "Python script (.py)",
        "Jupyter notebook (.ipynb)",
        "Report (.html)",
        "Model card (.md)",
    ]
    assert all(each.proto.deferred_file_id for each in sample.get("download_button"))
    told = [
        each for each in sample.get("html") if each.proto.body.startswith('<p class="ce-about"')
    ]
    assert len(told) == len(buttons_of(sample))


def test_the_file_with_gzip_is_as_large_as_the_page_says(sample: AppTest) -> None:
    workspace = session_of(sample)
    packed = content_of(workspace, "With gzip (.onnx.gz)")
    assert isinstance(packed, bytes)
    assert len(packed) == run_of(workspace).report().profile.gzip_bytes
    assert gzip.decompress(packed) == file_of(workspace.view.run).read_bytes()


def test_the_script_makes_the_same_file(sample: AppTest, tmp_path: Path) -> None:
    workspace = session_of(sample)
    (tmp_path / "sample_models").symlink_to(ROOT / "sample_models")
    (tmp_path / "again.py").write_text(text_of(workspace, "Python script (.py)"))
    printed = run([sys.executable, "again.py"], tmp_path)
    assert (tmp_path / "compressed.onnx").read_bytes() == file_of(workspace.view.run).read_bytes()
    assert "the same file as on the page, byte for byte" in printed
    quality, latency = workspace.view.quality, workspace.view.latency
    assert quality is not None and latency is not None
    lines = [line.split() for line in printed.splitlines()]
    assert ["value", str(quality.value), str(quality.value)] in lines
    assert ["runtime", *2 * latency.runtime.split()] in lines


def test_the_cells_of_the_notebook_make_the_same_file(sample: AppTest, tmp_path: Path) -> None:
    workspace = session_of(sample)
    (tmp_path / "sample_models").symlink_to(ROOT / "sample_models")
    cells = json.loads(text_of(workspace, "Jupyter notebook (.ipynb)"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    told = run([sys.executable, "-c", "\n".join([*code, "print(small.id)"])], tmp_path)
    assert (tmp_path / "compressed.onnx").read_bytes() == file_of(workspace.view.run).read_bytes()
    assert told.splitlines()[-1] == run_of(workspace).report().model_id
    assert "byte for byte" in told


def test_the_script_stops_at_another_model(sample: AppTest, tmp_path: Path) -> None:
    outcome = outcome_of(session_of(sample))
    wrong = replace(outcome, original=replace(outcome.original, model_id="0" * 64))
    (tmp_path / "sample_models").symlink_to(ROOT / "sample_models")
    (again,) = [o for o in offers.again_offers(wrong) if o.name.endswith(".py")]
    command = [sys.executable, "-c", again.content()]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "is not the model that was open on the page" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_report_and_the_card_have_the_numbers_of_the_screen(sample: AppTest) -> None:
    workspace = session_of(sample)
    report = run_of(workspace).report()
    assert report.quality is not None
    size, accuracy = format_bytes(report.profile.file_bytes), f"{100 * report.quality.value:.2f} %"
    for label in ("Report (.html)", "Model card (.md)"):
        text = text_of(workspace, label)
        assert size in text
        assert accuracy in text
        assert run_of(workspace).report().model_id in text


def test_other_storages_are_files_of_their_own(sample: AppTest) -> None:
    workspace = session_of(sample)
    assert "make_8" not in [button.key for button in sample.button]
    before = run_of(workspace)
    sample.button(key="make_4").click()
    settled(sample.run())
    assert run_of(workspace).recipe == replace(SETTING, weight_bits=4)
    assert "INT8 weights (.onnx)" in buttons_of(sample.run())
    known = dict(export.variants(workspace, workspace.recipe))
    saved = known[SETTING]
    assert saved is not None
    assert file_of(saved).read_bytes() != file_of(workspace.view.run).read_bytes()
    told = offers.numbers_text(saved)
    assert told.startswith(format_bytes(file_of(saved).stat().st_size))
    assert "weights in int8" in told
    choose(sample, weight_bits=8)
    settled(sample.run())
    assert run_of(workspace).recipe == before.recipe


@pytest.fixture(scope="module")
def upload(tmp_path_factory: pytest.TempPathFactory) -> AppTest:
    """The Export page with a stranger's model, names and samples."""
    page = AppTest.from_file(str(ROOT / "app.py"), default_timeout=PATIENCE_S).run()
    settled(page)
    model, data = own_model(tmp_path_factory.mktemp("own"))
    proto = onnx.load(model)
    weight = f'{HOSTILE}\n""".weight'
    proto.graph.initializer[0].name = proto.graph.node[0].input[1] = weight
    dropped = (f"{HOSTILE}.onnx", proto.SerializeToString()), (data.name, data.read_bytes())
    drop(page, "model", *dropped)
    assert not page.error
    page.switch_page("pages/export.py")
    return settled(page.run())


def take_all(workspace: Workspace, folder: Path) -> None:
    """Download what the command reads, under its names."""
    for offer in offers.given_offers(source_of(workspace)):
        content = offer.content()
        assert isinstance(content, bytes)
        (folder / offer.name).write_bytes(content)


def test_the_command_works_on_what_a_visitor_downloads(upload: AppTest, tmp_path: Path) -> None:
    workspace = session_of(upload)
    assert {"Original (.onnx)", "Test samples (.npz)", "Calibration samples (.npz)"} < set(
        buttons_of(upload)
    )
    take_all(workspace, tmp_path)
    files = files_of(source_of(workspace))
    assert files.data is not None and files.calibration is not None
    line = command_line(workspace.recipe, files.model, files.data, files.calibration)
    assert line in [code.value for code in upload.code]
    words = [sys.executable, *shlex.split(line)[1:], "--json"]
    answer = json.loads(run(words, tmp_path))["compressed"]
    assert answer["model_id"] == run_of(workspace).report().model_id
    assert answer["quality"] == run_of(workspace).report().to_dict()["quality"]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        [files.model, files.data, files.calibration, "compressed.onnx"]
    )


def test_the_script_works_on_what_a_visitor_downloads(upload: AppTest, tmp_path: Path) -> None:
    workspace = session_of(upload)
    name = outcome_of(workspace).plan.layers[0].name
    assert '"""' in name
    choose(upload, layers=(LayerChoice(name, 0.5),))
    settled(upload.run())
    take_all(workspace, tmp_path)
    (tmp_path / "again.py").write_text(text_of(workspace, "Python script (.py)"))
    printed = run([sys.executable, "again.py"], tmp_path)
    assert "byte for byte" in printed
    assert (tmp_path / "compressed.onnx").read_bytes() == file_of(workspace.view.run).read_bytes()


def test_samples_that_come_with_the_explorer_need_no_download(sample: AppTest) -> None:
    assert list(offers.given_offers(source_of(session_of(sample)))) == []


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("my model.onnx", "my model.onnx"),
        ("compressed.onnx", "compressed_original.onnx"),
        ("-rf.onnx", "rf_original.onnx"),
        ("a;b.onnx", "a_b_original.onnx"),
    ],
)
def test_a_command_names_files_so_that_any_system_takes_them(
    upload: AppTest, name: str, shown: str
) -> None:
    source = source_of(session_of(upload))
    named = replace(source, files=(name, *source.files[1:]))
    assert files_of(named).model == shown


def test_a_name_is_no_flag() -> None:
    assert " compress ./-x.onnx " in command_line(Recipe(), "-x.onnx")


def test_without_samples_or_without_a_kernel_there_is_still_something_to_take(
    tmp_path: Path,
) -> None:
    page = AppTest.from_file(str(ROOT / "app.py"), default_timeout=PATIENCE_S).run()
    settled(page)
    model, _ = own_model(tmp_path)
    drop(page, "model", (model.name, model.read_bytes()))
    page.switch_page("pages/export.py")
    settled(page.run())
    workspace = session_of(page)
    assert {"Original (.onnx)", "Report (.html)"} < set(buttons_of(page))
    assert "Test samples (.npz)" not in buttons_of(page)
    text = text_of(workspace, "Python script (.py)")
    assert "calibration = None" in text
    assert "evaluate" not in text
    assert "There were no samples" in content_of(workspace, "Model card (.md)")
    unknown, _ = own_model(tmp_path, last="Mystery", domain="com.example")
    drop(page, "model", (unknown.name, unknown.read_bytes()))
    assert not page.run().exception
    assert len(page.error) == 1
