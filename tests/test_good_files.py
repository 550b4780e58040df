"""Files that must open: as people export, quantize, zip and save their networks today.

Each is made here by the tool that people use, opened by the one door, and gives what torch gives.
"""

import io
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
import torch
from conftest import run_onnx
from exporting import export_new, export_old, exported, quiet
from families import FAMILIES
from families.family import seeded
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)
from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer
from safetensors.torch import save_file
from torch import Tensor, nn

from explorer.formats.kinds import Kind
from explorer.formats.model_files import import_model
from explorer.model import encode
from sample_models.registry import ARCHITECTURES, Architecture

Inputs = tuple[Tensor, ...]
Array = npt.NDArray[Any]
OLD_FAMILIES = ("resnet_wide", "mobilenet_v3", "unet", "yolo_v8", "bert", "lstm_both", "swin")
NEW_FAMILIES = ("vit_sdpa", "convnext", "gru")
EXACT, HALF, BYTE = 1e-4, 2e-2, 0.25  # of the largest output, by the type of the weights


def rows(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(3))


@cache
def small() -> nn.Module:
    return seeded(
        lambda: nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Dropout(),
            nn.MaxPool2d(2),
            nn.Conv2d(8, 16, 3, padding=1),
            nn.ReLU6(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(16, 5),
        )
    )


def image() -> Inputs:
    return (rows(2, 3, 8, 8),)


def half_image() -> Inputs:
    return (image()[0].half(),)


class TwoInputs(nn.Module):
    """Text and numbers in, a recurrent cell between, two outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.cell = nn.Embedding(10, 6), nn.GRU(6, 7, batch_first=True)
        self.head = nn.Linear(7, 4)

    def forward(self, ids: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
        states, _ = self.cell(self.table(ids))
        return self.head(states.mean(1)) + shift, states


@cache
def two() -> nn.Module:
    return seeded(TwoInputs)


def ids_and_shift() -> Inputs:
    return torch.randint(0, 10, (2, 6), generator=torch.Generator().manual_seed(4)), rows(2, 4)


class Named(nn.Module):
    """Gives a dictionary, as segmentation networks do."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 2, 1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        y = torch.relu(self.body(x))
        return {"out": self.head(y), "aux": y}


class Looped(nn.Module):
    """Has an argument with a default, a loop over it and a branch on a value."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x: Tensor, times: int = 2) -> Tensor:
        for _ in range(times):
            x = torch.relu(self.layer(x))
        if bool(x.sum() > 0):
            x = x * 2
        return x


class OneBatch(nn.Module):
    """Has written down how many samples it takes."""

    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(2, 192) @ torch.ones(192, 3)


@dataclass(frozen=True)
class Good:
    """A file by its maker, and what it must give: `module` on `inputs`, to within `near`."""

    write: Callable[[Path], Path]
    module: Callable[..., Any]
    inputs: Callable[[], Inputs]
    kind: Kind = Kind.ONNX
    near: float = EXACT
    shapes: tuple[tuple[int, ...], ...] | None = None
    batches: tuple[int, ...] = (2, 3)


def of(data: Callable[[], bytes]) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        path = folder / "upload.bin"  # no ending tells what it is
        path.write_bytes(data())
        return path

    return write


def family(name: str, exporter: str, opset: int) -> Good:
    found = FAMILIES[name]
    data = of(lambda: exported(name, exporter, opset))
    return Good(data, found.module, found.inputs, batches=(2, 3) if found.open_batch else (2,))


@cache
def half(exporter: str) -> bytes:
    write = {"old": export_old, "new": export_new}[exporter]
    return write(halved(), half_image(), 18)


@cache
def halved() -> nn.Module:
    return seeded(lambda: small_copy().half())


def small_copy() -> nn.Module:
    buffer = io.BytesIO()
    torch.save(small(), buffer)
    buffer.seek(0)
    found: nn.Module = torch.load(buffer, weights_only=False)
    return found


class Calibrating(CalibrationDataReader):  # type: ignore[misc]  # the runtime has no types
    """A few random images."""

    def __init__(self) -> None:
        self.left = iter([{"input0": rows(8, 3, 8, 8).numpy()}] * 2)

    def get_next(self) -> dict[str, Array] | None:
        return next(self.left, None)


def static(folder: Path, how: QuantFormat, opset: int, **options: Any) -> Path:
    source = folder / "source.onnx"
    source.write_bytes(export_old(small(), image(), opset))
    path = folder / "quantized"
    quantize_static(source, path, Calibrating(), quant_format=how, **options)
    return path


def dynamic(folder: Path, weight_type: QuantType) -> Path:
    source = folder / "source.onnx"
    source.write_bytes(exported("mlp", "old", 17))
    quantize_dynamic(source, folder / "quantized", weight_type=weight_type)
    return folder / "quantized"


def four_bits(folder: Path) -> Path:
    proto = onnx.load_model_from_string(exported("mlp", "old", 17))
    quantizer = MatMulNBitsQuantizer(proto, block_size=16, is_symmetric=True)
    quantizer.process()
    path = folder / "quantized"
    path.write_bytes(quantizer.model.model.SerializeToString())
    return path


def zipped(folder: Path, inside: str, has_side: bool, method: int = zipfile.ZIP_DEFLATED) -> Path:
    proto = onnx.load_model_from_string(export_old(small(), image(), 17))
    side: dict[str, Any] = {
        "save_as_external_data": True,
        "location": "weights.data",
        "size_threshold": 0,
    }
    onnx.save(proto, str(folder / "net.onnx"), **(side if has_side else {}))
    path = folder / "upload.zip"
    with zipfile.ZipFile(path, "w", method) as file:
        for name in ("net.onnx", "weights.data")[: 1 + has_side]:
            file.write(folder / name, f"{inside}{name}")
        file.writestr("__MACOSX/._net.onnx", b"junk")
    return path


def with_folder(folder: Path) -> Path:
    zipped(folder, "", has_side=True)
    return folder / "net.onnx"


def program(module: nn.Module, inputs: Inputs, is_open: bool) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        batch = torch.export.Dim("batch")
        shapes = tuple({0: batch} for _ in inputs) if is_open else None
        with quiet():
            found = torch.export.export(module, inputs, dynamic_shapes=shapes)
            torch.export.save(found, folder / "upload.pt2")
        return folder / "upload.pt2"

    return write


def script(make: Callable[[], Any]) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        with quiet():  # it tells people to move to torch.export
            make().save(folder / "upload")
        return folder / "upload"

    return write


def traced(module: nn.Module, inputs: Inputs, **options: Any) -> Any:
    return torch.jit.trace(module, inputs, **options)


@cache
def known(name: str) -> tuple[Architecture, nn.Module]:
    found = next(each for each in ARCHITECTURES if each.name == name)
    return found, seeded(found.build)


def sample_inputs(name: str) -> Inputs:
    found, _ = known(name)
    if found.dtype.is_floating_point:
        return (rows(2, *found.shape),)
    return (torch.randint(0, 20, (2, *found.shape), generator=torch.Generator().manual_seed(5)),)


def weights(
    name: str,
    change: Callable[[dict[str, Tensor]], Any] = lambda found: found,
    kind: Kind = Kind.STATE_DICT,
    near: float = EXACT,
    **options: Any,
) -> Good:
    _, module = known(name)

    def write(folder: Path) -> Path:
        found = change(module.state_dict())
        if kind is Kind.SAFETENSORS:
            save_file(found, folder / "upload", metadata={"format": "pt"})
        else:
            torch.save(found, folder / "upload", **options)
        return folder / "upload"

    return Good(write, module, lambda: sample_inputs(name), kind, near)


def prefixed(prefix: str) -> Callable[[dict[str, Tensor]], Any]:
    return lambda found: {f"{prefix}{name}": tensor for name, tensor in found.items()}


def checkpoint(found: dict[str, Tensor]) -> Any:
    """As a training loop leaves it."""
    parameters = [nn.Parameter(rows(2))]
    optimizer = torch.optim.Adam(parameters)
    parameters[0].sum().backward()
    optimizer.step()
    return {
        "epoch": 3,
        "best": 0.9,
        "name": "run",
        "optimizer": optimizer.state_dict(),
        "state_dict": prefixed("module.")(found),
    }


def old_at(opset: int) -> Callable[[Path], Path]:
    return of(lambda: export_old(small(), image(), opset))


def new_at(opset: int) -> Callable[[Path], Path]:
    return of(lambda: export_new(small(), image(), opset))


PER_CHANNEL = {"per_channel": True, "weight_type": QuantType.QInt8}
GOOD: dict[str, Good] = {
    **{
        f"old exporter, opset {opset}": Good(old_at(opset), small(), image)
        for opset in range(9, 21)
    },
    **{
        f"new exporter, opset {opset}": Good(new_at(opset), small(), image)
        for opset in range(18, 24)
    },
    **{f"{name}, old": family(name, "old", 17) for name in OLD_FAMILIES},
    **{f"{name}, new": family(name, "new", 18) for name in NEW_FAMILIES},
    "two inputs, old": Good(
        of(lambda: export_old(two(), ids_and_shift(), 17)), two(), ids_and_shift
    ),
    "float16, old": Good(of(lambda: half("old")), halved(), half_image, near=HALF),
    "float16, new": Good(of(lambda: half("new")), halved(), half_image, near=HALF),
    "int8, dynamic": Good(
        lambda folder: dynamic(folder, QuantType.QInt8),
        FAMILIES["mlp"].module,
        FAMILIES["mlp"].inputs,
        near=BYTE,
    ),
    "uint8, dynamic": Good(
        lambda folder: dynamic(folder, QuantType.QUInt8),
        FAMILIES["mlp"].module,
        FAMILIES["mlp"].inputs,
        near=BYTE,
    ),
    "int8, QDQ": Good(
        lambda folder: static(folder, QuantFormat.QDQ, 13), small(), image, near=BYTE
    ),
    "int8, QDQ by channel, opset 17": Good(
        lambda folder: static(folder, QuantFormat.QDQ, 17, **PER_CHANNEL), small(), image, near=BYTE
    ),
    "int8, QOperator": Good(
        lambda folder: static(folder, QuantFormat.QOperator, 13), small(), image, near=BYTE
    ),
    "int4 in blocks": Good(
        four_bits, FAMILIES["mlp"].module, FAMILIES["mlp"].inputs, near=2 * BYTE
    ),
    "a zip of one file": Good(
        lambda folder: zipped(folder, "", has_side=False), small(), image, Kind.ONNX_ZIP
    ),
    "a zip with the weights": Good(
        lambda folder: zipped(folder, "", has_side=True), small(), image, Kind.ONNX_ZIP
    ),
    "a zip with the weights in a folder": Good(
        lambda folder: zipped(folder, "my net/", True, zipfile.ZIP_STORED),
        small(),
        image,
        Kind.ONNX_ZIP,
    ),
    "the weights beside it": Good(with_folder, small(), image),
    "pt2": Good(program(small(), image(), True), small(), image, Kind.TORCH_EXPORT),
    "pt2 of one batch": Good(
        program(small(), image(), False), small(), image, Kind.TORCH_EXPORT, batches=(2,)
    ),
    "pt2 of two inputs": Good(
        program(two(), ids_and_shift(), True), two(), ids_and_shift, Kind.TORCH_EXPORT
    ),
    "traced": Good(script(lambda: traced(small(), image())), small(), image, Kind.TORCH_SCRIPT),
    "traced with two inputs": Good(
        script(lambda: traced(two(), ids_and_shift())), two(), ids_and_shift, Kind.TORCH_SCRIPT
    ),
    "traced, no record": Good(
        script(lambda: traced(small(), image(), _store_inputs=False)),
        small(),
        image,
        Kind.TORCH_SCRIPT,
        shapes=((1, 3, 8, 8),),
    ),
    "traced, a dictionary": Good(
        script(lambda: traced(seeded(Named), image(), strict=False)),
        seeded(Named),
        image,
        Kind.TORCH_SCRIPT,
    ),
    "traced for one batch": Good(
        script(lambda: traced(OneBatch(), image())),
        OneBatch(),
        image,
        Kind.TORCH_SCRIPT,
        batches=(2,),
    ),
    "scripted": Good(
        script(lambda: torch.jit.script(small())),
        small(),
        image,
        Kind.TORCH_SCRIPT,
        shapes=((1, 3, 8, 8),),
    ),
    "scripted with two inputs": Good(
        script(lambda: torch.jit.script(two())),
        two(),
        ids_and_shift,
        Kind.TORCH_SCRIPT,
        shapes=((1, 6), (1, 4)),
    ),
    "scripted with a loop and a branch": Good(
        script(lambda: torch.jit.script(seeded(Looped))),
        seeded(Looped),
        lambda: (rows(2, 4),),
        Kind.TORCH_SCRIPT,
        shapes=((1, 4),),
    ),
    "frozen": Good(
        script(lambda: torch.jit.freeze(torch.jit.script(small()))),
        small(),
        image,
        Kind.TORCH_SCRIPT,
        shapes=((2, 3, 8, 8),),
    ),
    **{f"weights of {each.name}": weights(each.name) for each in ARCHITECTURES},
    "weights of a checkpoint": weights("vowels_cnn", checkpoint),
    "weights from DataParallel": weights("fashion_mlp", prefixed("module.")),
    "weights from torch.compile in a model": weights(
        "vowels_cnn", lambda found: {"model": prefixed("_orig_mod.")(found), "epoch": 1}
    ),
    "weights in the format before 1.6": weights("vowels_cnn", _use_new_zipfile_serialization=False),
    "weights in 16 bits": weights(
        "vowels_cnn", lambda found: {k: v.half() for k, v in found.items()}, near=HALF
    ),
    "weights without counters": weights(
        "vowels_cnn", lambda found: {k: v for k, v in found.items() if "num_batches" not in k}
    ),
    "weights in safetensors": weights("vowels_cnn", kind=Kind.SAFETENSORS),
    "weights in safetensors from DataParallel": weights(
        "fashion_mobilenet", prefixed("module."), Kind.SAFETENSORS
    ),
}


def expected(good: Good, inputs: Inputs) -> list[Array]:
    with torch.no_grad():
        found = good.module(*inputs)
    tensors = found.values() if isinstance(found, dict) else found
    return [each.numpy() for each in ((tensors,) if torch.is_tensor(tensors) else tensors)]


def of_batch(inputs: Inputs, size: int) -> Inputs:
    return tuple(torch.cat([each, each.flip(0)])[:size] for each in inputs)


@pytest.mark.parametrize("name", GOOD)
def test_it_opens_and_gives_what_torch_gives(name: str, tmp_path: Path) -> None:
    good = GOOD[name]
    found = import_model(good.write(tmp_path), "my net", good.shapes)
    assert found.kind is good.kind
    assert found.file.name == "my net"
    assert bool(found.notes) is good.kind.needs_torch
    again = encode(found.file.graph_model, "again")  # the normal form gives the same
    for size in good.batches:
        inputs = of_batch(good.inputs(), size)
        names = [spec.name for spec in again.inputs]
        feed = dict(zip(names, (each.numpy() for each in inputs), strict=True))
        for data in (found.file.data, again.data):
            for one, other in zip(run_onnx(data, feed), expected(good, inputs), strict=True):
                assert one.shape == other.shape
                assert np.abs(one - other).max() <= good.near * np.abs(other).max()


def test_there_are_enough() -> None:
    assert len(GOOD) >= 40
