"""Dropped files, from their bytes to an open model: through a session and real processes."""

import io
import json
import shutil
import time
import warnings
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import SAMPLES, npz_bytes, with_weights
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from values import known

from explorer import Recipe
from explorer.errors import FILES_GONE, DataError, JobError, QuotaError
from explorer.formats import preprocessing
from explorer.formats.frames import LAYOUTS
from explorer.jobs import LocalPool
from explorer.render.insights import insights
from explorer.ui import insight_notes, metric, reading, renumbering
from explorer.ui.input_sizes import shape_in
from explorer.workspace.folders import Storage
from explorer.workspace.workspace import Workspace
from sample_models.registry import ARCHITECTURES

LIMIT_S = 90
RESNET = (SAMPLES / "fashion_resnet.onnx").read_bytes()


@pytest.fixture(scope="module")
def pool() -> Iterator[LocalPool]:
    pool = LocalPool()
    yield pool
    pool.close()


@pytest.fixture
def workspace(pool: LocalPool, tmp_path: Path) -> Iterator[Workspace]:
    storage = Storage(tmp_path)
    workspace = Workspace(pool, storage.folder())
    yield workspace
    workspace.close()
    storage.close()


def drop(
    workspace: Workspace, *files: tuple[str, bytes], shape: tuple[int, ...] | None = None
) -> Workspace:
    workspace.receive(files, shape)
    return settled(workspace)


def settled(workspace: Workspace) -> Workspace:
    deadline = time.monotonic() + LIMIT_S
    while workspace.busy and time.monotonic() < deadline:
        time.sleep(0.02)
        workspace.advance()
    assert not workspace.busy
    return workspace


def pictures(count: int = 60) -> bytes:
    """Test images as PNG files in folders by class."""
    data = np.load(SAMPLES / "fashion_test.npz")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for index in range(count):
            image = io.BytesIO()
            Image.fromarray(data["x"][index, 0].astype(np.uint8)).save(image, "PNG")
            archive.writestr(f"{data['y'][index]}/{index}.png", image.getvalue())
    return packed.getvalue()


class Small(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Conv2d(1, 8, 3, padding=1),
            torch.nn.ReLU(),
            torch.nn.AdaptiveAvgPool2d(1),
            torch.nn.Flatten(),
            torch.nn.Linear(8, 4),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.layers(x)
        return y


def exported() -> bytes:
    file = io.BytesIO()
    torch.export.save(torch.export.export(Small().eval(), (torch.zeros(2, 1, 8, 8),)), file)
    return file.getvalue()


def scripted() -> bytes:
    file = io.BytesIO()
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        torch.jit.save(torch.jit.script(Small().eval()), file)
    return file.getvalue()


def test_a_model_with_images(workspace: Workspace) -> None:
    drop(workspace, ("my net.onnx", RESNET), ("pictures.zip", pictures()))
    assert workspace.notice is None
    source = workspace.source
    assert source is not None
    assert source.title == "my net with pictures"
    assert source.domain == workspace.folder.domain
    quality = workspace.original.quality
    assert (known(quality).metric, known(quality).samples) == ("accuracy", 48)
    assert known(quality).value > 0.8  # so colours, sizes and the range of values were found
    assert any("set aside for calibration" in note for note in source.notes)
    assert known(known(workspace.view.run).artifact).not_reconstructed is None


OPEN_SIZES = """
<ir_version: 8, opset_import: ["": 17]>
g (float[n, 1, h, w] x) => (float[n, 8] scores) {
  convolved = Conv<pads = [1, 1, 1, 1]>(x, kernel)
  pooled = GlobalAveragePool(convolved)
  scores = Flatten(pooled)
}
"""


def test_everything_is_counted_at_the_size_of_the_samples(workspace: Workspace) -> None:
    model = with_weights(OPEN_SIZES, kernel=(8, 1, 3, 3))
    x = np.random.default_rng(0).standard_normal((30, 1, 12, 20)).astype(np.float32)
    drop(workspace, ("open.onnx", model.data), ("wide.npz", npz_bytes(x=x)))
    assert counted(workspace) == ([1, 1, 12, 20], 12 * 20 * 9 * 8)
    workspace.set_input_sizes((("x", (1, 1, 10, 10)),))
    assert counted(settled(workspace)) == ([1, 1, 10, 10], 10 * 10 * 9 * 8)
    workspace.set_input_sizes(())
    assert counted(settled(workspace)) == ([1, 1, 12, 20], 12 * 20 * 9 * 8)
    drop(workspace, ("tall.npz", npz_bytes(x=x[:, :, :, :7])))
    assert counted(workspace) == ([1, 1, 12, 7], 12 * 7 * 9 * 8)


def counted(workspace: Workspace) -> tuple[list[int], int]:
    """The size of the input, and the MACs of the original."""
    assert workspace.notice is None
    profile = known(workspace.original.profile)
    return list(profile.input_sizes["x"]), profile.macs


def test_images_are_read_otherwise_on_request(workspace: Workspace) -> None:
    drop(workspace, ("net.onnx", RESNET), ("pictures.zip", pictures()))
    before = workspace.source
    assert before is not None
    assert before.drop is not None
    assert before.preparation is not None
    wrong = {**json.loads(before.preparation), "scale": "0..1"}
    workspace.read(replace(before.drop, asked=json.dumps(wrong)))
    settled(workspace)
    assert workspace.notice is None
    assert workspace.source != before
    assert workspace.source is not None
    assert json.loads(str(workspace.source.preparation))["scale"] == "0..1"
    assert known(workspace.original.quality).value < 0.5
    assert [each for each in workspace.sources.values() if each.drop] == [workspace.source]
    assert len(list(workspace.folder.path.glob("*-test.npz"))) == 1


def test_samples_alone_are_for_the_open_model(workspace: Workspace) -> None:
    drop(workspace, ("net.onnx", RESNET))
    assert workspace.source is not None
    assert workspace.source.made_up
    assert known(workspace.original.description).made_up
    drop(workspace, ("pictures.zip", pictures()))
    assert workspace.notice is None
    assert workspace.source.title == "net (own data)"
    assert not workspace.source.made_up
    assert known(workspace.original.quality).metric == "accuracy"


def lookup(*, shift: int = 0) -> bytes:
    """Ids and perhaps a shift for each place, looked up in a table of 20 rows."""
    table, matrix = (np.ones(shape, np.float32) for shape in ((20, 8), (8, 5)))
    tensors = [numpy_helper.from_array(table, "table"), numpy_helper.from_array(matrix, "w")]
    nodes = [helper.make_node("Gather", ["table", "places"], ["rows"])]
    if shift:
        tensors.append(numpy_helper.from_array(np.full(6, shift, np.int64), "shift"))
        nodes.insert(0, helper.make_node("Add", ["ids", "shift"], ["places"]))
    else:
        nodes.insert(0, helper.make_node("Identity", ["ids"], ["places"]))
    nodes.append(helper.make_node("ReduceMean", ["rows"], ["mean"], axes=[1], keepdims=0))
    nodes.append(helper.make_node("MatMul", ["mean", "w"], ["y"]))
    ids = helper.make_tensor_value_info("ids", TensorProto.INT64, ["n", 6])
    scores = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 5])
    graph = helper.make_graph(nodes, "g", [ids], [scores], tensors)
    opset = [helper.make_opsetid("", 17)]
    data: bytes = helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()
    return data


def test_ids_beyond_the_table_are_refused_by_their_value(workspace: Workspace) -> None:
    drop(workspace, ("words.onnx", lookup()), ("ids.npz", npz_bytes(ids=np.full((30, 6), 25))))
    assert workspace.source is None
    assert workspace.notice is not None
    assert workspace.notice.startswith("Input 'ids' holds 25, ")
    drop(workspace, ("words.onnx", lookup()), ("ids.npz", npz_bytes(ids=np.full((30, 6), 19))))
    assert workspace.notice is None


def test_the_metric_is_guessed_and_can_be_chosen(workspace: Workspace) -> None:
    ids = np.arange(240).reshape(40, 6) % 20
    labels = np.random.default_rng(0).standard_normal((40, 5))
    drop(workspace, ("words.onnx", lookup()), ("ids.npz", npz_bytes(ids=ids, y=labels)))
    assert known(workspace.original.quality).metric == "r2"
    scoring = known(known(workspace.original.description).scoring)
    assert "real numbers" in scoring.reason
    assert workspace.source is not None
    titles = [metric.title_of(name, scoring) for name in ("automatic", "mae")]
    assert titles == ["Automatic (R²)", "Mean absolute error"]
    before = workspace.runs
    workspace.set_metric("mae")
    settled(workspace)
    assert workspace.notice is None
    assert known(workspace.original.quality).metric == "mae"
    assert {known(run.quality).metric for run in workspace.runs} == {"mae"}
    workspace.set_metric("accuracy")
    settled(workspace)
    assert workspace.notice is not None
    assert "'accuracy' doesn't fit" in workspace.notice
    assert workspace.source.metric == "mae"
    assert workspace.sources[workspace.source.key] == workspace.source
    workspace.set_metric(None)
    settled(workspace)
    assert workspace.runs[: len(before)] == before


def scores(classes: int) -> bytes:
    """A network whose scores are its inputs."""
    sizes: list[str | int] = ["n", classes]
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, sizes)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, sizes)],
        [numpy_helper.from_array(np.eye(classes, dtype=np.float32), "w")],
    )
    opset = [helper.make_opsetid("", 17)]
    data: bytes = helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()
    return data


def test_labels_in_another_order_are_noticed_and_put_right(workspace: Workspace) -> None:
    names = ["north", "east", "south", "west"]  # in the order of the outputs
    lines = [f"{','.join(map(str, np.eye(4)[n % 4]))},{names[n % 4]}" for n in range(120)]
    drop(workspace, ("compass.onnx", scores(4)), ("compass.csv", "\n".join(lines).encode()))
    source, quality = workspace.source, workspace.original.quality
    assert source is not None
    assert source.drop is not None
    assert known(quality).value == 0.5
    assert source.pairs == (("east", 0), ("north", 1), ("south", 2), ("west", 3))
    told = " ".join(each.sentence for each in insights(workspace.view, None, source.classes))
    assert "on 100.0 % if 2 labels are renumbered ('east' as class 1, 'north' as class 0)" in told
    mapping = renumbering.renumbered(source.pairs, known(workspace.original.relabelling))
    workspace.read(replace(source.drop, mapping=json.dumps(mapping)))
    settled(workspace)
    assert workspace.source is not None
    assert known(workspace.original.quality).value == 1.0
    assert workspace.original.relabelling is None
    assert workspace.source.classes == tuple(names)
    assert "as chosen: 'east' = 1, 'north' = 0" in " ".join(workspace.source.notes)


def test_uploads_can_be_removed_so_the_ninth_file_finds_room(workspace: Workspace) -> None:
    def upload(number: int) -> None:
        try:
            drop(workspace, (f"net{number}.onnx", lookup(shift=-number)))
        except QuotaError as error:
            workspace.notice = str(error)

    for number in range(1, 9):
        upload(number)
    assert workspace.notice is None
    upload(9)
    assert workspace.notice is not None
    assert "remove it first" in workspace.notice
    opened = workspace.source
    assert opened is not None
    first, second = list(workspace.sources.values())[:2]
    workspace.remove(second.key)  # in the background
    assert not second.model.exists()
    assert workspace.source == opened
    workspace.remove(opened.key)  # the open one
    settled(workspace)
    assert workspace.source == first
    assert not opened.model.exists()
    assert opened.key not in workspace.sources
    for number in (9, 10):
        upload(number)
        assert workspace.notice is None
    assert len(workspace.sources) == 8
    leftovers = {path.name for path in workspace.folder.path.iterdir()}
    assert not any(second.model.name.removesuffix(".onnx") in name for name in leftovers)


def test_a_model_that_other_samples_need_stays(workspace: Workspace) -> None:
    drop(workspace, ("words.onnx", lookup()))
    alone = workspace.source
    ids = np.arange(240).reshape(40, 6) % 20
    drop(workspace, ("ids.npz", npz_bytes(ids=ids)))
    assert alone is not None
    assert workspace.source is not None
    assert workspace.source.model == alone.model
    workspace.remove(alone.key)
    settled(workspace)
    assert alone.model.exists()
    workspace.set_recipe(Recipe(weight_bits=8))
    settled(workspace)
    assert workspace.notice is None
    workspace.remove(workspace.source.key)  # there is no other to show
    assert workspace.source is not None


def test_a_model_without_inputs_that_fit_opens_and_says_why(workspace: Workspace) -> None:
    drop(workspace, ("words.onnx", lookup(shift=40)))
    assert workspace.source is not None
    assert "'ids' leads to index 4" in workspace.source.notes[-1]
    assert workspace.notice is not None
    assert "'ids' leads to index 4" in workspace.notice
    assert insight_notes.is_incomplete(workspace.view)


@pytest.mark.parametrize(
    ("name", "content", "shape"),
    [("a.pt2", exported, None), ("a.pt", scripted, (1, 1, 8, 8))],
    ids=["torch.export", "TorchScript"],
)
def test_torch_files_become_onnx(
    workspace: Workspace, name: str, content: object, shape: tuple[int, ...] | None
) -> None:
    drop(workspace, (name, content()), shape=shape)  # type: ignore[operator]
    assert workspace.notice is None
    assert known(workspace.original.profile).params == 8 * 9 + 8 + 8 * 4 + 4
    assert known(workspace.original.quality).metric == "agreement"


def test_torchscript_asks_for_a_shape(workspace: Workspace) -> None:
    drop(workspace, ("a.pt", scripted()))
    assert "give the shape" in str(workspace.notice)
    assert workspace.source is None
    assert not list(workspace.folder.path.glob("upload-*"))


def test_weights_of_a_known_architecture(workspace: Workspace) -> None:
    architecture = next(each for each in ARCHITECTURES if each.name == "fashion_mobilenet")
    file = io.BytesIO()
    torch.save(architecture.build().state_dict(), file)
    drop(workspace, ("weights.pth", file.getvalue()))
    assert workspace.notice is None
    assert known(workspace.original.profile).params > 60_000


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([("a.onnx", RESNET), ("b.onnx", RESNET + b"\x42\x00")], "2 models; drop one"),
        ([("a.zip", pictures(4))], "None of these files is a model"),
        ([("a.onnx", RESNET), ("b.zip", pictures(4)), ("c.zip", pictures(5))], "2 files of samp"),
        ([("<b>a</b>.onnx", b"\0\1\2")], "isn't a model that the explorer can open"),
    ],
    ids=["two models", "no model", "two files of samples", "no file that opens"],
)
def test_refusals(workspace: Workspace, files: list[tuple[str, bytes]], message: str) -> None:
    drop(workspace, *files)
    assert message in str(workspace.notice)
    assert workspace.source is None
    assert not list(workspace.folder.path.glob("upload-*"))


def test_files_that_are_gone_are_told_as_such(workspace: Workspace) -> None:
    drop(workspace, ("net.onnx", RESNET))
    opened = workspace.source
    assert opened is not None
    assert opened.drop is not None
    shutil.rmtree(workspace.folder.path)
    with pytest.raises(JobError, match="The files of this session are gone"):
        workspace.receive([("net.onnx", RESNET)])
    workspace.read(opened.drop)
    settled(workspace)
    assert workspace.notice == FILES_GONE
    assert workspace.source == opened


def test_a_new_setting_waits_for_the_import(workspace: Workspace) -> None:
    workspace.receive([("net.onnx", RESNET)])
    workspace.set_recipe(Recipe(weight_bits=4))
    settled(workspace)
    assert workspace.source is not None
    assert workspace.view.run is not None
    assert workspace.view.run.recipe == Recipe(weight_bits=4)


def test_a_closed_session_leaves_nothing(workspace: Workspace, pool: LocalPool) -> None:
    drop(workspace, ("net.onnx", RESNET))
    assert any(workspace.folder.path.iterdir())
    workspace.close()
    assert not workspace.folder.path.exists()


def test_the_choices_on_the_page_are_the_engines() -> None:
    assert tuple(reading.COLOURS) == preprocessing.COLOURS
    assert tuple(reading.SCALES) == preprocessing.SCALES
    assert tuple(reading.RESIZES) == preprocessing.RESIZES
    assert tuple(reading.LAYOUTS) == LAYOUTS


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("0.5", [0.5]), ("0.1, 0.2 0.3", [0.1, 0.2, 0.3]), ("", None), ("a", None)]
    + [(text, None) for text in ("nan", "0.5, inf", "1e400", "-1e400")],
)
def test_numbers_on_the_page(text: str, numbers: list[float] | None) -> None:
    assert reading.numbers_in(text) == numbers


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("", None),
        (" 1x3x224x224 ", (1, 3, 224, 224)),
        ("[1, 64]", (1, 64)),
        ("1 × 2", (1, 2)),
    ],
)
def test_shapes_on_the_page(text: str, shape: tuple[int, ...] | None) -> None:
    assert shape_in(text) == shape


@pytest.mark.parametrize("text", ["a", "1x", "0x2", "-1x2", "1x1x1x1x1x1x1x1x1", "1.5"])
def test_what_is_no_shape(text: str) -> None:
    with pytest.raises(DataError, match="must be numbers"):
        shape_in(text)
