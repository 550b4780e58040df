"""Files of each format, and what is done to their bytes and fields to break them."""

import io
import json
import random
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import Message

ROOT = Path(__file__).resolve().parents[1]
VOWELS = ROOT / "sample_models" / "vowels_cnn.onnx"
ODD = (0, 1, 2, 7, 127, 128, 255, 2**15, 2**31 - 1, 2**31, 2**62)
ODD_FLOATS = (0.0, -1.0, float("nan"), float("inf"), 1e30)
Mutation = Callable[[bytes, random.Random], bytes]


def network() -> onnx.ModelProto:
    """Two layers of a small image network, with the operators that files have most."""
    text = """
    <ir_version: 8, opset_import: ["" : 17]>
    g (float[N, 1, 8, 8] x) => (float[N, 3] y)
    <float[4, 1, 3, 3] w, float[4] b, float[3, 4] v, int64[2] shape = {0, 4}> {
        c = Conv <pads = [1, 1, 1, 1]> (x, w, b)
        r = Relu (c)
        p = GlobalAveragePool (r)
        f = Reshape (p, shape)
        y = Gemm <transB = 1> (f, v)
    }
    """
    proto = onnx.parser.parse_model(text)
    random_ = np.random.default_rng(0)
    for name, shape in (("w", (4, 1, 3, 3)), ("b", (4,)), ("v", (3, 4))):
        weights = random_.standard_normal(shape).astype(np.float32)
        proto.graph.initializer.append(onnx.numpy_helper.from_array(weights, name))
    return proto


def _zipped(members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def _onnx_zip() -> bytes:
    proto, weights = network(), b""
    for tensor in proto.graph.initializer:
        if tensor.raw_data:
            entries = {"location": "w.bin", "offset": len(weights), "length": len(tensor.raw_data)}
            weights += tensor.raw_data
            tensor.ClearField("raw_data")
            tensor.data_location = onnx.TensorProto.EXTERNAL
            for key, entry in entries.items():
                tensor.external_data.add(key=key, value=str(entry))
    return _zipped({"net.onnx": proto.SerializeToString(), "w.bin": weights})


def _module() -> Any:
    import torch

    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU())


def _script() -> bytes:
    import torch

    file = io.BytesIO()
    torch.jit.save(torch.jit.trace(_module(), torch.ones(1, 4)), file)
    return file.getvalue()


def _program() -> bytes:
    import torch

    file = io.BytesIO()
    torch.export.save(torch.export.export(_module(), (torch.ones(1, 4),)), file)
    return file.getvalue()


def _known_module() -> Any:
    """The smallest of the networks whose weights alone open."""
    import torch

    from sample_models.architectures import VowelsCNN

    torch.manual_seed(0)
    return VowelsCNN()


def _state_dict(module: Any) -> bytes:
    import torch

    file = io.BytesIO()
    torch.save(module.state_dict(), file)
    return file.getvalue()


def _safetensors(module: Any) -> bytes:
    from safetensors.torch import save

    content: bytes = save(module.state_dict())
    return content


def _npz() -> bytes:
    file = io.BytesIO()
    rows = np.random.default_rng(0).standard_normal((30, 1, 8, 8)).astype(np.float32)
    np.savez(file, x=rows, y=np.arange(30) % 3)
    return file.getvalue()


def _csv() -> bytes:
    rows = np.random.default_rng(0).standard_normal((30, 64))
    lines = [",".join([*(f"p{i}" for i in range(64)), "label"])]
    lines += [",".join([*(f"{v:.4f}" for v in row), str(i % 3)]) for i, row in enumerate(rows)]
    return "\n".join(lines).encode() + b"\n"


def _images() -> bytes:
    from PIL import Image

    members = {}
    for index in range(6):
        file = io.BytesIO()
        values = np.random.default_rng(index).integers(0, 255, (9, 8), np.uint8)
        Image.fromarray(values).save(file, "JPEG" if index % 2 else "PNG")
        members[f"{index % 3}/{index}.{'jpg' if index % 2 else 'png'}"] = file.getvalue()
    return _zipped(members)


FORMATS: dict[str, Callable[[], bytes]] = {
    "onnx": lambda: network().SerializeToString(),
    "onnx_zip": _onnx_zip,
    "torch_export": _program,
    "torch_script": _script,
    "state_dict": lambda: _state_dict(_module()),
    "safetensors": lambda: _safetensors(_module()),
    "npz": _npz,
    "csv": _csv,
    "images": _images,
}
SAMPLES = ("npz", "csv", "images")  # of the network above
# Weights in the formats above, of a network that is known: those above are read and then refused.
FITTING: dict[str, Callable[[], bytes]] = {
    "state_dict": lambda: _state_dict(_known_module()),
    "safetensors": lambda: _safetensors(_known_module()),
}
FITTING_SHARE = 0.1  # of their mutants, as each that opens takes a second


@cache
def valid(form: str) -> bytes:
    """A good file, which a format's mutants are made from."""
    return FORMATS[form]()


@cache
def fitting(form: str) -> bytes:
    """Another one for weights, which opens."""
    return FITTING[form]()


def prepare(form: str) -> None:
    """Make the good files, of which the mutants are then made without running anything."""
    valid(form)
    if form in FITTING:
        fitting(form)


def mutant(form: str, seed: int) -> bytes:
    """The same bytes for the same number."""
    chance = random.Random(f"{form}-{seed}")
    is_fitting = form in FITTING and chance.random() < FITTING_SHARE
    whole = fitting(form) if is_fitting else valid(form)
    for _ in range(chance.choice((1, 1, 2, 5))):
        whole = chance.choice(_mutations(form))(whole, chance)
    return whole


def _mutations(form: str) -> tuple[Mutation, ...]:
    if form == "onnx":
        return (*PLAIN, fields, fields, fields, fields)
    if form == "safetensors":
        return (*PLAIN, header, header, header)
    return PLAIN if form == "csv" else (*PLAIN, members, members, members, members)


def flip(whole: bytes, chance: random.Random) -> bytes:
    """A few bits the other way."""
    data = bytearray(whole)
    for _ in range(chance.choice((1, 1, 4, 32)) if data else 0):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    return bytes(data)


def overwrite(whole: bytes, chance: random.Random) -> bytes:
    """A number that is seldom right, at any place."""
    at, size = chance.randrange(len(whole) + 1), chance.choice((1, 2, 4, 8))
    number = (chance.choice(ODD) % 2 ** (8 * size)).to_bytes(size, "little")
    data: bytes = whole[:at] + number + whole[at + size :]
    return data


def cut(whole: bytes, chance: random.Random) -> bytes:
    """The end gone."""
    return whole[: chance.randrange(len(whole) + 1)]


def splice(whole: bytes, chance: random.Random) -> bytes:
    """A piece moved over another, left out, or put in twice."""
    ends = sorted(chance.randrange(len(whole) + 1) for _ in range(2))
    at = chance.randrange(len(whole) + 1)
    piece = whole[ends[0] : min(ends[1], ends[0] + 200)]
    return whole[:at] + piece + whole[at + chance.choice((0, len(piece))) :]


def swap(whole: bytes, chance: random.Random) -> bytes:
    """Two bytes that change places."""
    data = bytearray(whole)
    if data:
        one, other = chance.randrange(len(data)), chance.randrange(len(data))
        data[one], data[other] = data[other], data[one]
    return bytes(data)


PLAIN: tuple[Mutation, ...] = (flip, overwrite, cut, splice, swap)


def fields(whole: bytes, chance: random.Random) -> bytes:
    """One field of one message changed to another value of its type."""
    proto = onnx.ModelProto()
    try:
        proto.ParseFromString(whole)
    except Exception:  # noqa: BLE001 - broken by the mutation before
        return flip(whole, chance)
    messages = list(_messages(proto))
    _change(chance.choice(messages), chance)
    data: bytes = proto.SerializeToString()
    return data


def _messages(message: Message) -> Any:
    yield message
    for field, value in message.ListFields():
        if field.type == field.TYPE_MESSAGE:
            for each in [value] if isinstance(value, Message) else value:
                yield from _messages(each)


def _change(message: Message, chance: random.Random) -> None:
    present = message.ListFields()
    if not present:
        return
    field, value = chance.choice(present)
    if isinstance(value, int):
        known = (*ODD, *(-number for number in ODD), value + 1, value - 1)
        fitting = [n for n in known if -(2**31) <= n < 2**31 or "64" in str(field.cpp_type)]
        _set(message, field.name, chance.choice(fitting))
    elif isinstance(value, float):
        _set(message, field.name, chance.choice(ODD_FLOATS))
    elif isinstance(value, str):
        _set(message, field.name, chance.choice(("", "x", "Relu", value * 2, value[:-1])))
    elif isinstance(value, bytes):
        _set(message, field.name, flip(value, chance) if chance.random() < 0.5 else value[:-1])
    elif isinstance(value, Message) or chance.random() < 0.2:
        message.ClearField(field.name)
    elif len(value):
        _change_list(value, chance)


def _change_list(values: Any, chance: random.Random) -> None:
    at = chance.randrange(len(values))
    if isinstance(values[at], Message):
        if chance.random() < 0.5:
            del values[at]
        else:
            values.add().CopyFrom(values[at])
    elif isinstance(values[at], int):
        values[at] = chance.choice([n for n in ODD if n < 2**31] + [-1, -2, values[at] + 1])
    elif isinstance(values[at], float):
        values[at] = chance.choice(ODD_FLOATS)
    elif isinstance(values[at], str):
        values[at] = chance.choice(("", "x", "y", "w", values[at] + "x"))


def _set(message: Message, name: str, value: Any) -> None:
    try:
        setattr(message, name, value)
    except (ValueError, TypeError):
        message.ClearField(name)


def header(whole: bytes, chance: random.Random) -> bytes:
    """The JSON at the top of a safetensors file with one value changed, or cut."""
    length = int.from_bytes(whole[:8], "little")
    try:
        text = json.dumps(_changed(json.loads(whole[8 : 8 + length]), chance)).encode()
    except (ValueError, RecursionError):
        return flip(whole, chance)
    return len(text).to_bytes(8, "little") + text + whole[8 + length :]


def _changed(value: Any, chance: random.Random) -> Any:
    if isinstance(value, dict) and value and chance.random() < 0.9:
        key = chance.choice(list(value))
        return {**value, key: _changed(value[key], chance)}
    if isinstance(value, list) and value and chance.random() < 0.8:
        at = chance.randrange(len(value))
        return [*value[:at], _changed(value[at], chance), *value[at + 1 :]]
    return chance.choice((None, True, "", "F32", "I64", [], {}, -1, 1.5, *ODD))


def members(whole: bytes, chance: random.Random) -> bytes:
    """One member of a zip changed, with a right checksum; or left out, or renamed."""
    try:
        with zipfile.ZipFile(io.BytesIO(whole)) as archive:
            found = {name: archive.read(name) for name in archive.namelist()}
    except Exception:  # noqa: BLE001 - broken by the mutation before
        return flip(whole, chance)
    if not found:
        return whole
    name = chance.choice(list(found))
    kind = chance.random()
    if kind < 0.1:
        del found[name]
    elif kind < 0.2:
        found[name + "x"] = found.pop(name)
    elif name.endswith(".onnx"):
        found[name] = fields(found[name], chance)
    elif name.endswith(".json") and kind < 0.7:
        try:
            found[name] = json.dumps(_changed(json.loads(found[name]), chance)).encode()
        except (ValueError, RecursionError):
            found[name] = flip(found[name], chance)
    else:
        found[name] = chance.choice(PLAIN)(found[name], chance)
    return _zipped(found)
