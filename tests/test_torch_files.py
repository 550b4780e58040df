"""PyTorch's files and bare weights: what is asked for, assumed and said when they don't open."""

import json
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from exporting import quiet
from families.family import seeded
from safetensors.torch import save_file
from torch import Tensor, nn

from explorer.errors import ModelError
from explorer.formats.model_files import Imported, import_model
from explorer.model import Model
from sample_models.architectures import VowelsCNN
from sample_models.registry import ARCHITECTURES

Shapes = tuple[tuple[int, ...], ...]


def model_of(imported: Imported) -> Model:
    return Model.of_file(imported.file)


def said(path: Path, shapes: Shapes | None = None) -> str:
    """The refusal: one sentence with nothing of torch's in it."""
    with pytest.raises(ModelError) as caught:
        import_model(path, "the upload", shapes)
    message = str(caught.value)
    assert message.isprintable() and message.endswith(".")
    for foreign in (str(path.parent), "weights_only", "Error", "site-packages", "torch/csrc"):
        assert foreign not in message
    return message


def script(folder: Path, make: Callable[[], Any]) -> Path:
    with quiet():
        make().save(folder / "upload")
    return folder / "upload"


def traced(module: nn.Module, *inputs: Tensor, **options: Any) -> Callable[[], Any]:
    return lambda: torch.jit.trace(module.eval(), inputs, check_trace=False, **options)


class Random(nn.Module):
    """Adds noise of its own, which no two runs share."""

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.rand_like(x)


class Decomposed(nn.Module):
    """Uses what ONNX has no operator for."""

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = torch.linalg.svd(x)[1]
        return y


class Counted(nn.Module):
    """Takes a number that isn't a tensor."""

    def forward(self, x: Tensor, times: int) -> Tensor:
        return x * times


class Shuffled(nn.Module):
    """Takes the batch along its second axis."""

    def forward(self, x: Tensor) -> Tensor:
        return x.permute(1, 0, 2).reshape(x.shape[1], 8)


def linear() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 3))


def test_a_shape_is_asked_for_and_taken(tmp_path: Path) -> None:
    path = script(tmp_path, lambda: torch.jit.script(linear()))
    assert "give the shape of one input, such as 1x3x224x224" in said(path)
    assert "2 shapes were given" in said(path, ((1, 4), (1, 4)))
    assert "doesn't run on inputs of 1x5" in said(path, ((1, 5),))
    assert "at least 1" in said(path, ((0, 4),))
    assert "too large" in said(path, ((2**20, 2**20),))
    found = import_model(path, "the upload", ((1, 4),))
    assert model_of(found).inputs[0].shape == ("batch", 4)
    assert [layer.weight for layer in model_of(found).layers] == ["0.weight"]  # as torch names it
    assert "1x4 (float32), as was said" in found.notes[0]


def test_recorded_types_and_shapes_are_taken(tmp_path: Path) -> None:
    table = nn.Sequential(nn.Embedding(9, 3), nn.Flatten())
    ids = torch.zeros(2, 5, dtype=torch.int32)
    found = import_model(script(tmp_path, traced(table, ids)), "the upload")
    assert (model_of(found).inputs[0].dtype, model_of(found).inputs[0].shape) == (
        "int32",
        ("batch", 5),
    )
    assert "2x5 (int32), as the file records" in found.notes[0]


def test_integers_are_tried_where_floats_do_not_run(tmp_path: Path) -> None:
    path = script(tmp_path, lambda: torch.jit.script(nn.Embedding(9, 3)))
    assert model_of(import_model(path, "the upload", ((2, 5),))).inputs[0].dtype == "int64"


def test_an_axis_that_is_no_batch_stays_as_it_was_run(tmp_path: Path) -> None:
    found = import_model(script(tmp_path, traced(Shuffled(), torch.ones(2, 3, 4))), "the upload")
    assert model_of(found).inputs[0].shape == (2, 3, 4)
    assert any("takes only the batch" in note for note in found.notes)


@pytest.mark.parametrize(
    ("make", "shape", "part"),
    [
        (traced(Random(), torch.ones(2, 3)), None, "gives other outputs as ONNX"),
        (traced(Decomposed(), torch.ones(2, 3)), None, "can't write as ONNX"),
        (lambda: torch.jit.script(Counted()), ((1, 4),), "aren't all tensors"),
    ],
    ids=["random", "no operator", "a number"],
)
def test_scripts_that_onnx_can_not_say(
    make: Callable[[], Any], shape: Shapes | None, part: str, tmp_path: Path
) -> None:
    assert part in said(script(tmp_path, make), shape)


def rezipped(path: Path, change: Callable[[str, bytes], bytes]) -> Path:
    """The same zip with changed members, whose checksums are right."""
    with zipfile.ZipFile(path) as file:
        members = {name: file.read(name) for name in file.namelist()}
    with zipfile.ZipFile(path, "w") as file:
        for name, content in members.items():
            file.writestr(name, change(name, content))
    return path


def program(folder: Path) -> Path:
    with quiet():
        found = torch.export.export(linear(), (torch.ones(2, 4),))
        torch.export.save(found, folder / "m.pt2")
    return folder / "m.pt2"


def test_a_program_of_another_version(tmp_path: Path) -> None:
    def change(name: str, content: bytes) -> bytes:
        if not name.endswith("models/model.json"):
            return content
        return json.dumps(
            {**json.loads(content), "schema_version": {"major": 99, "minor": 0}}
        ).encode()

    assert "or from another version" in said(rezipped(program(tmp_path), change))


def test_a_program_or_script_with_a_member_missing(tmp_path: Path) -> None:
    def cut(name: str, content: bytes) -> bytes:
        return b"" if name.endswith((".json", ".py", "data.pkl")) else content

    assert "or from another version" in said(rezipped(program(tmp_path), cut))
    path = script(tmp_path, traced(linear(), torch.ones(2, 4)))
    assert "TorchScript file that torch can't read" in said(rezipped(path, cut))


def test_whole_numbers_for_a_network_of_floats(tmp_path: Path) -> None:
    architecture = ARCHITECTURES[0]
    weights = {
        name: tensor.mul(100).to(torch.int8) if tensor.ndim > 1 else tensor
        for name, tensor in architecture.build().state_dict().items()
    }
    path = saved(tmp_path, weights)
    with pytest.raises(
        ModelError, match=f"holds int8 values in '.*, where {architecture.name} has"
    ):
        import_model(path, "net")


def saved(folder: Path, content: object, **options: Any) -> Path:
    torch.save(content, folder / "upload", **options)
    return folder / "upload"


def state() -> dict[str, Tensor]:
    return seeded(VowelsCNN).state_dict()


def test_a_flipped_weight_is_noticed(tmp_path: Path) -> None:
    path = saved(tmp_path, state())
    content = bytearray(path.read_bytes())
    weight = bytes(state()["classifier.weight"].numpy().tobytes())
    content[content.index(weight)] ^= 1
    path.write_bytes(content)
    assert "damaged" in said(path)


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (
            {"w": torch.ones(2)},
            "none of the known architectures (fashion_resnet, fashion_mobilenet",
        ),
        ({**state(), "head.weight": torch.ones(3)}, "vowels_cnn"),
        ({**state(), "head.weight": torch.ones(3)}, "but head.weight is not part of it"),
        ({**state(), "classifier.bias": torch.ones(3)}, "classifier.bias is 3 instead of 9"),
        ({k: v for k, v in state().items() if k != "stem.weight"}, "but stem.weight is missing"),
        ({**state(), "stem.weight": torch.ones(32, 12, 3) * torch.nan}, "not finite numbers"),
        ([torch.ones(2)], "no named tensors"),
        ({"state_dict": {"epoch": 3}}, "no named tensors"),
        (
            {**state(), "classifier.bias": torch.ones(9, dtype=torch.complex64)},
            "isn't a plain tensor",
        ),
    ],
)
def test_weights_that_fit_nothing(content: object, part: str, tmp_path: Path) -> None:
    assert part in said(saved(tmp_path, content))


def test_a_dictionary_that_holds_itself(tmp_path: Path) -> None:
    content: dict[str, object] = {}
    content["state_dict"] = content
    assert "no named tensors" in said(saved(tmp_path, content))


def test_a_misfit_is_told_how_to_export(tmp_path: Path) -> None:
    message = said(saved(tmp_path, {"w": torch.ones(2)}))
    assert 'torch.export.save(program, "model.pt2")' in message


def test_without_the_samples_no_architecture_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "sample_models", None)
    assert "none of the known architectures (none)" in said(saved(tmp_path, state()))


def safetensors(folder: Path, header: object, data: bytes = b"") -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path = folder / "upload"
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    return path


def entry(shape: list[Any], begin: int, end: int) -> dict[str, object]:
    return {"dtype": "F32", "shape": shape, "data_offsets": [begin, end]}


HEADERS: dict[str, tuple[object, bytes, str]] = {
    "cut": (b'{"w": {"dtype"', b"", "its header is no JSON"),
    "deep": (b'{"w":' + b"[" * 100_000, b"", "its header is no JSON"),
    "empty": ({"__metadata__": {}}, b"", "no tensors"),
    "negative": ({"w": entry([-1], 0, 4)}, bytes(4), "doesn't describe tensors"),
    "no offsets": ({"w": {"dtype": "F32", "shape": [1]}}, bytes(4), "doesn't describe tensors"),
    "text": ({"w": entry(["1"], 0, 4)}, bytes(4), "doesn't describe tensors"),
    "beyond the end": ({"w": entry([4], 0, 16)}, bytes(4), "damaged or cut short"),
    "overlap": ({"v": entry([1], 0, 4), "w": entry([1], 0, 4)}, bytes(4), "damaged or cut short"),
    "many": ({f"w{i}": entry([0], 0, 0) for i in range(20_001)}, b"", "the most is 20000"),
}


@pytest.mark.parametrize("case", HEADERS)
def test_headers_of_safetensors(case: str, tmp_path: Path) -> None:
    header, data, part = HEADERS[case]
    assert part in said(safetensors(tmp_path, header, data))


def test_a_header_that_says_it_is_huge(tmp_path: Path) -> None:
    path = tmp_path / "upload"
    path.write_bytes((10_000_001).to_bytes(8, "little") + b'{"w":1}')
    assert "header of 10000001 bytes" in said(path)


def notes(found: Imported) -> str:
    return " ".join(found.notes)


def test_notes_tell_what_was_done(tmp_path: Path) -> None:
    content = {"state_dict": {f"module.{name}": x.half() for name, x in state().items()}}
    found = import_model(saved(tmp_path, content), "the upload")
    assert "Recognised as vowels_cnn" in notes(found)
    assert "taken from 'state_dict'" in notes(found)
    assert "prefix 'module.'" in notes(found)
    assert "widened to float32" in notes(found)
    save_file(state(), tmp_path / "plain")
    assert len(import_model(tmp_path / "plain", "the upload").notes) == 1


def test_the_registry_has_all_samples_as_they_are_built() -> None:
    from sample_models.build import SAMPLES

    built = {each.name: (each.network, each.data.shape, each.data.dtype) for each in SAMPLES}
    known = {each.name: (each.build, each.shape, each.dtype) for each in ARCHITECTURES}
    assert built.items() <= known.items()


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=lambda each: each.name)
def test_architectures_take_their_example(architecture: Any) -> None:
    module = architecture.build().eval()
    assert len(module(architecture.example())) == 2
    shapes = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    assert architecture.weight_shapes() == shapes
