"""What a file is, by its content; and the one sentence for what doesn't open."""

import io
import pickle
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from conftest import ROOT, SAMPLES, zipped
from exporting import quiet
from safetensors.torch import save
from torch import nn

from explorer.errors import ModelError
from explorer.formats import pickles
from explorer.formats.kinds import Kind, identify


def said(path: Path) -> str:
    """The refusal of a file: one sentence, without a path and without control characters."""
    with pytest.raises(ModelError) as caught:
        identify(path, "the upload")
    message = str(caught.value)
    assert message.startswith("the upload ") and message.endswith(".")
    assert message.isprintable()
    assert str(path.parent) not in message
    return message


def wrote(folder: Path, content: bytes) -> Path:
    path = folder / "upload.onnx"  # the ending is wrong for nearly all of them
    path.write_bytes(content)
    return path


def a_zip(folder: Path, *names: str) -> Path:
    path = folder / "upload"
    path.write_bytes(zipped(dict.fromkeys(names, b"content")))
    return path


def saved(folder: Path, content: object, **options: Any) -> Path:
    path = folder / "upload"
    torch.save(content, path, **options)
    return path


class Net(nn.Module):
    """A module of a class that only this file knows."""


class Innocent:
    """Would run a function when unpickled."""

    def __reduce__(self) -> tuple[object, ...]:
        return (Path("/tmp/explorer-was-here").touch, ())


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 3), nn.ReLU())


def a_script(folder: Path) -> Path:
    path = folder / "upload"
    with quiet():
        torch.jit.script(mlp()).save(path)
    return path


def a_program(folder: Path) -> Path:
    path = folder / "upload"
    torch.export.save(torch.export.export(mlp(), (torch.ones(1, 2),)), folder / "m.pt2")
    return (folder / "m.pt2").rename(path)


def a_safetensors(folder: Path) -> Path:
    return wrote(folder, save(mlp().state_dict()))


KINDS: dict[Kind, Callable[[Path], Path]] = {
    Kind.ONNX: lambda folder: SAMPLES / "fashion_mlp.onnx",
    Kind.ONNX_ZIP: lambda folder: a_zip(folder, "net.onnx", "net.data"),
    Kind.TORCH_EXPORT: a_program,
    Kind.TORCH_SCRIPT: a_script,
    Kind.STATE_DICT: lambda folder: saved(folder, mlp().state_dict()),
    Kind.SAFETENSORS: a_safetensors,
}


@pytest.mark.parametrize("kind", Kind, ids=lambda kind: kind.name)
def test_every_kind_is_known_whatever_its_name(kind: Kind, tmp_path: Path) -> None:
    assert identify(KINDS[kind](tmp_path), "it") is kind


def test_what_needs_care() -> None:
    assert {kind for kind in Kind if kind.runs_code} == {Kind.TORCH_EXPORT, Kind.TORCH_SCRIPT}
    assert {kind for kind in Kind if not kind.needs_torch} == {Kind.ONNX, Kind.ONNX_ZIP}


HEADS = {
    "ELF": b"\x7fELF\x02\x01",
    "PE, .dll": b"MZ\x90\x00",
    "Mach-O": b"\xcf\xfa\xed\xfe\x07",
    "HDF5": b"\x89HDF\r\n\x1a\n",
    "TensorFlow Lite": b"\x1c\x00\x00\x00TFL3",
    "ONNX Runtime's own format": b"\x1c\x00\x00\x00ORTM",
    "ExecuTorch": b"\x1c\x00\x00\x00ET12",
    "GGUF": b"GGUF\x03\x00\x00\x00",
    "TensorRT": b"ftrt\x00\x00",
    "NumPy array": b"\x93NUMPY\x01\x00",
    "image (PNG)": b"\x89PNG\r\n\x1a\n",
    "image (JPEG)": b"\xff\xd8\xff\xe0",
    "image (WebP)": b"RIFF\x00\x00\x00\x00WEBPVP8 ",
    "image (BMP)": b"BM\x36\x00\x00\x00\x00\x00\x00\x00\x36\x00",
    "PDF": b"%PDF-1.7",
    "joblib": b"\x78\x9c\x00\x01",
    "PMML": b'<?xml version="1.0"?>\n<PMML version="4.4">',
    "OpenVINO": b'<?xml version="1.0"?>\n<net name="x" version="11">',
    "JSON": b' {"a": 1}',
    "HTML": b"<!DOCTYPE html><html>",
    "Git LFS": b"version https://git-lfs.github.com/spec/v1\noid sha256:00",
    "text file": "Größe: 3\n".encode(),
    "Core ML": b"\x08\x05\x12\x02\x0a\x00\xa2\x1f\x02\x00\x00",
    "TensorFlow's": b"\x08\x01\x12\x02\x0a\x00",
    "isn't a model that the explorer can open": b"\xff\x01\xfd" + b"\x00" * 20,
}


@pytest.mark.parametrize("part", HEADS)
def test_foreign_files_are_refused_by_name(part: str, tmp_path: Path) -> None:
    message = said(wrote(tmp_path, HEADS[part]))
    assert part in message
    if part in ("HDF5", "TensorFlow Lite", "TensorFlow's"):
        assert "python -m tf2onnx.convert" in message
    else:
        assert "torch.export.export(module, (example,))" in message
        assert "torch.onnx.export(module, (example,)" in message


PACKED = {
    "gzip": b"\x1f\x8b\x08\x00",
    "7z": b"7z\xbc\xaf\x27\x1c",
    "rar": b"Rar!\x1a\x07\x01",
    "tar": b"a.onnx".ljust(257, b"\x00") + b"ustar\x0000",
}


@pytest.mark.parametrize("part", PACKED)
def test_other_archives_are_to_be_unpacked(part: str, tmp_path: Path) -> None:
    message = said(wrote(tmp_path, PACKED[part]))
    assert f"a {part} archive" in message and "unpack it" in message


def test_nothing_and_no_file(tmp_path: Path) -> None:
    assert said(wrote(tmp_path, b"")).endswith("is empty; choose another file.")
    assert "can't be read" in said(tmp_path)
    assert "can't be read" in said(tmp_path / "missing")


ZIPS = {
    "Keras": ("metadata.json", "config.json", "model.weights.h5"),
    "SavedModel": ("net/saved_model.pb", "net/variables/variables.index"),
    "Core ML": ("n.mlpackage/Manifest.json", "n.mlpackage/Data/com.apple.CoreML/model.mlmodel"),
    "torch.package": ("p/.data/extern_modules", "p/.data/version"),
    "images": ("cat/1.png", "dog/2.JPG"),
    "npz": ("x.npy", "y.npy"),
    "Office": ("[Content_Types].xml", "word/document.xml"),
    "neither a model nor samples": ("readme.txt",),
    "compiled code": ("m/archive_format", "m/data/aotinductor/model/a.so"),
    "without its code": ("m/data.pkl", "m/constants.pkl", "m/bytecode.pkl"),
}


@pytest.mark.parametrize("part", ZIPS)
def test_foreign_zips_are_refused_by_name(part: str, tmp_path: Path) -> None:
    assert part in said(a_zip(tmp_path, *ZIPS[part]))


def test_a_damaged_zip(tmp_path: Path) -> None:
    content = a_zip(tmp_path, "net.onnx").read_bytes()
    assert "cut short" in said(wrote(tmp_path, content[:-10]))


@pytest.mark.parametrize("is_new", [True, False], ids=["zip", "before 1.6"])
def test_pickled_modules_are_named_and_never_made(is_new: bool, tmp_path: Path) -> None:
    options = {"_use_new_zipfile_serialization": is_new}
    message = said(saved(tmp_path, Net(), **options))
    assert f"a whole pickled module ({__name__}.Net)" in message
    assert "pickled module (torch.nn" in said(saved(tmp_path, {"model": mlp()}, **options))
    message = said(saved(tmp_path, {"w": torch.ones(2), "x": Innocent()}, **options))
    assert "more than tensors (" in message
    assert not Path("/tmp/explorer-was-here").exists()
    assert "numpy" in said(saved(tmp_path, {"w": torch.ones(2), "x": np.float64(1)}, **options))


def test_plain_pickles(tmp_path: Path) -> None:
    assert "a pickle of Python" in said(wrote(tmp_path, pickle.dumps({"a": 1})))
    by_joblib = b"\x80\x02cjoblib.numpy_pickle\nNumpyArrayWrapper\n."
    assert "joblib or scikit-learn" in said(wrote(tmp_path, by_joblib))
    assert "pickle protocol 4" in said(saved(tmp_path, mlp().state_dict(), pickle_protocol=4))


def test_the_oldest_torch_format(tmp_path: Path) -> None:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("sys_info"))
    assert "oldest format (tar)" in said(wrote(tmp_path, file.getvalue()))


@pytest.mark.parametrize("part", ["quantized", "sparse", "meta"])
def test_tensors_that_are_no_plain_numbers(part: str, tmp_path: Path) -> None:
    with quiet():
        sparse = torch.sparse_coo_tensor(torch.tensor([[0]]), torch.ones(1), (3,))
        quantized = torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8)
    tensors = {"sparse": sparse, "quantized": quantized, "meta": torch.ones(3, device="meta")}
    assert part in said(saved(tmp_path, {"w": tensors[part]}))


def test_pickles_of_any_length_are_looked_at_in_bounded_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pickles, "MOST_STEPS", 100)
    assert "too long" in said(saved(tmp_path, dict.fromkeys(map(str, range(200)), 1)))
    monkeypatch.undo()
    monkeypatch.setattr(pickles, "MOST_TENSORS", 3)
    assert "over 3 tensors" in said(saved(tmp_path, [torch.ones(1) for _ in range(4)]))


@pytest.mark.parametrize("cut", [3, 20, 60, 200])
def test_pickles_cut_short(cut: int, tmp_path: Path) -> None:
    path = saved(tmp_path, mlp().state_dict(), _use_new_zipfile_serialization=False)
    assert "cut short" in said(wrote(tmp_path, path.read_bytes()[:cut]))


def test_names_of_classes_are_cleaned(tmp_path: Path) -> None:
    evil = b"\x80\x02c" + b"x\x1b[31m![](http://a)" * 40 + b"\nC\n."
    path = tmp_path / "upload"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("m/data.pkl", evil)
    assert len(said(path)) < 400


def test_a_cut_onnx_file_is_still_one(tmp_path: Path) -> None:
    content = (SAMPLES / "fashion_mlp.onnx").read_bytes()
    assert identify(wrote(tmp_path, content[: len(content) // 2]), "it") is Kind.ONNX


def test_onnx_with_its_fields_in_another_order(tmp_path: Path) -> None:
    proto = onnx.load(SAMPLES / "fashion_mlp.onnx")
    head = onnx.ModelProto(ir_version=proto.ir_version, opset_import=proto.opset_import)
    proto.ClearField("ir_version")
    proto.ClearField("opset_import")
    path = wrote(tmp_path, proto.SerializeToString() + head.SerializeToString())
    assert identify(path, "it") is Kind.ONNX


def test_looking_loads_neither_torch_nor_onnx() -> None:
    code = "import sys, explorer.formats.kinds\nprint(*sys.modules)"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    assert not set(done.stdout.split()) & {"torch", "onnx", "onnx_ir", "onnxruntime", "numpy"}
