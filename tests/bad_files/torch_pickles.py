"""Files of torch.save that would run code, or make tensors that lie; and bare safetensors."""

import io
import json
import pickle
import struct
import zipfile
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from bad_files.case import Case, Content, Places


class Call:
    """Unpickles to whatever a function gives."""

    def __init__(self, function: str, *arguments: object) -> None:
        self.function, self.arguments = function, arguments


def pickled(*calls: Call) -> bytes:
    """A pickle, written by hand, that calls functions by their names; nothing runs here."""
    parts = [b"\x80\x02}q\x00"]
    for call in calls:
        module, _, name = call.function.rpartition(".")
        parts.append(f"c{module}\n{name}\n".encode() + b"(")
        for argument in call.arguments:
            parts.append(
                b"X" + struct.pack("<I", len(str(argument).encode())) + str(argument).encode()
                if isinstance(argument, str)
                else b"\x8a\x08" + struct.pack("<q", int(str(argument)))
            )
        parts.append(b"tR0")
    return b"".join(parts) + b"."


def torch_zip(data: bytes, **members: bytes) -> bytes:
    """The file that torch.save writes, around any pickle."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("m/data.pkl", data)
        archive.writestr("m/version", b"3\n")
        for name, content in members.items():
            archive.writestr(f"m/{name.replace('__', '/')}", content)
    return file.getvalue()


def saved(content: object, **options: Any) -> bytes:
    file = io.BytesIO()
    torch.save(content, file, **options)
    return file.getvalue()


def touch(function: str, *before: object) -> Callable[[Places], bytes]:
    """A state dict that would run a command, which leaves a file behind."""

    def content(places: Places) -> bytes:
        commands = " ".join(f"touch {path};" for path in places.markers)
        return torch_zip(pickled(Call(function, *before, commands)))

    return content


def opened(places: Places) -> bytes:
    calls = [Call("io.open", str(path), "w") for path in places.markers]
    return torch_zip(pickled(*calls))


def executed(places: Places) -> bytes:
    code = "; ".join(f"open({str(path)!r}, 'w')" for path in places.markers)
    return torch_zip(pickled(Call("builtins.exec", code)))


def resolved(places: Places) -> bytes:
    return torch_zip(pickled(Call("pkgutil.resolve_name", "os:system")))


def legacy(places: Places) -> bytes:
    """The format before torch 1.6: pickles one after another."""
    head = bytes.fromhex("80028a0a6cfc9c46f9206aa850192e") + pickle.dumps(1001, 2)
    return head + pickle.dumps({}, 2) + pickled(Call("posix.system", f"touch {places.markers[0]}"))


def sparse(layout: str) -> bytes:
    """A sparse tensor whose indices point far outside it."""
    with torch.sparse.check_sparse_tensor_invariants(False):
        if layout == "coo":
            places, values = torch.tensor([[10**9]]), torch.tensor([1.0])
            made = torch.sparse_coo_tensor(places, values, (4,), check_invariants=False)
        else:
            made = torch.sparse_csr_tensor(
                [0, 10**9, 1], [7], [1.0], (2, 2), check_invariants=False
            )
        return saved({"w": made})


def quantized() -> bytes:
    return saved({"w": torch.quantize_per_tensor(torch.ones(4), 0.1, 0, torch.qint8)})


def with_storage(*size: int, numel: int, stored: bytes = bytes(16)) -> bytes:
    """A tensor of a size, on a storage that says it has `numel` numbers."""
    file = io.BytesIO()

    class Pickler(pickle.Pickler):
        def persistent_id(self, found: object) -> object:
            storage = ("storage", torch.FloatStorage, "0", "cpu", numel)
            return storage if isinstance(found, Call) else None

    class Lie:
        def __reduce__(self) -> tuple[object, ...]:
            stride = tuple(1 for _ in size)
            parts: tuple[object, ...] = (Call(""), 0, size, stride, False, {})
            return torch._utils._rebuild_tensor_v2, parts

    Pickler(file, 2).dump({"w": Lie()})
    return torch_zip(file.getvalue(), data__0=stored)


def nested_module() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 3), nn.ReLU())


def damaged(at: float) -> bytes:
    """A state dict with a byte of a weight flipped."""
    whole = bytearray(saved({"w": torch.arange(4000.0)}))
    whole[int(len(whole) * at)] ^= 0xFF
    return bytes(whole)


MISFIT = "none of the known architectures"
MORE = "more than tensors"
WHOLE = saved({"w": torch.ones(4)})
PICKLES: dict[str, tuple[str, Content]] = {
    "system": (MORE, touch("posix.system")),
    "os-system": (MORE, touch("os.system")),
    "eval": (MORE, torch_zip(pickled(Call("builtins.eval", "1")))),
    "exec": (MORE, executed),
    "subprocess": (MORE, touch("subprocess.getoutput")),
    "open": (MORE, opened),
    "resolve-name": (MORE, resolved),
    "import-module": (MORE, torch_zip(pickled(Call("importlib.import_module", "antigravity")))),
    "jit-load": (MORE, torch_zip(pickled(Call("torch.jit.load", "/etc/passwd")))),
    "torch-load": (MORE, torch_zip(pickled(Call("torch.load", "/etc/passwd", "cpu")))),
    "hub": (MORE, torch_zip(pickled(Call("torch.hub.load", "evil/evil", "net")))),
    "numpy": (MORE, torch_zip(pickled(Call("numpy.core.multiarray._reconstruct", "x")))),
    "getattr": (MORE, torch_zip(pickled(Call("builtins.getattr", "x", "y")))),
    "bytearray-bomb": (MORE, torch_zip(pickled(Call("builtins.bytearray", 2**39)))),
    "tensor-bomb": (
        "torch.Tensor|no named tensors|damaged|memory",
        torch_zip(pickled(Call("torch.Tensor", 2**38))),
    ),
    "legacy-system": ("more than tensors|pickled module", legacy),
    "module": ("whole pickled module", lambda places: saved(nested_module())),
    "module-in-a-checkpoint": ("whole pickled module", lambda p: saved({"model": nested_module()})),
    "optimizer-objects": (MORE, lambda places: saved({"w": torch.ones(2), "when": complex})),
    "sparse-coo": ("sparse", lambda places: sparse("coo")),
    "sparse-csr": ("sparse", lambda places: sparse("csr")),
    "quantized": ("quantized", lambda places: quantized()),
    "meta": ("without values", lambda places: saved({"w": torch.ones(2, device="meta")})),
    "nested-tensor": (
        "nested|more than",
        lambda p: saved({"w": torch.nested.nested_tensor([torch.ones(2)])}),
    ),
    "complex": (
        "isn't a plain tensor",
        lambda places: saved({"w": torch.ones(2, dtype=torch.complex64)}),
    ),
    "size-beyond-storage": ("damaged", with_storage(10**6, numel=4)),
    "storage-beyond-file": ("damaged", with_storage(4, numel=10**9)),
    "negative-size": ("damaged", with_storage(-4, numel=4)),
    "flipped-weight": ("can't be unpacked", lambda places: damaged(0.6)),
    "cut-in-the-middle": ("damaged zip", WHOLE[: len(WHOLE) // 2]),
    "only-a-tensor": ("no named tensors", lambda places: saved(torch.ones(3))),
    "a-list": ("no named tensors", lambda places: saved([torch.ones(3)])),
    "nothing": ("no named tensors", lambda places: saved({})),
    "numbers-as-names": ("no named tensors", lambda places: saved({1: torch.ones(3)})),
    "no-architecture": (MISFIT, lambda places: saved({"layer.weight": torch.ones(3, 4)})),
    "names-of-markup": (MISFIT, lambda p: saved({"<img src=x>\x1b[31m\u202e" * 9: torch.ones(3)})),
    "protocol-4": ("protocol 4", lambda places: saved({"w": torch.ones(3)}, pickle_protocol=4)),
    "20001-tensors": ("over 20000 tensors", torch_zip(b"\x80\x02}" + b"NQ0" * 20_001 + b".")),
    "pickle-cut-short": ("damaged or cut short", torch_zip(pickled(Call("a.b", "x"))[:-4])),
    "pickle-of-noise": ("damaged or cut short", torch_zip(b"\x80\x02\xff\xfe\xfd" * 9)),
    "pickle-of-texts": (
        "damaged or cut short|no named|too long",
        torch_zip(b"\x80\x02" + b"N0" * 1_000_001),
    ),
    "oldest-tar": ("oldest format", b"sys_info".ljust(100, b"\0") + bytes(157) + b"ustar"),
}


def headed(header: object, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def entry(shape: list[Any], begin: int, end: int, dtype: str = "F32") -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


CUT = "damaged or cut short"
UNDESCRIBED = "doesn't describe tensors"
HEADERS: dict[str, tuple[str, bytes]] = {
    "cut-header": (CUT, headed(b'{"w": {"dtype"')),
    "cut-data": (CUT, headed({"w": entry([4], 0, 16)}, bytes(3))),
    "more-data": (CUT, headed({"w": entry([1], 0, 4)}, bytes(40))),
    "deep-header": (CUT, headed(b'{"w":' + b"[" * 100_000)),
    "header-past-the-end": (UNDESCRIBED, (10**6).to_bytes(8, "little") + b'{"w":1}'),
    "header-of-a-terabyte": ("most is 10000000", (2**39).to_bytes(8, "little") + b'{"w":1}'),
    "no-tensors": ("holds no tensors", headed({"__metadata__": {"a": "b"}})),
    "a-list": (CUT + "|" + UNDESCRIBED, headed(b'{"w":[1]}'[:9])),
    "negative-shape": (UNDESCRIBED, headed({"w": entry([-1], 0, 4)}, bytes(4))),
    "negative-offset": (UNDESCRIBED, headed({"w": entry([1], -4, 0)}, bytes(4))),
    "text-for-shape": (UNDESCRIBED, headed({"w": entry(["1"], 0, 4)}, bytes(4))),
    "shape-past-64-bits": (CUT, headed({"w": entry([2**40, 2**40], 0, 4)}, bytes(4))),
    "unknown-type": (CUT, headed({"w": entry([1], 0, 4, "EVIL")}, bytes(4))),
    "overlap": (CUT, headed({"v": entry([1], 0, 4), "w": entry([1], 0, 4)}, bytes(4))),
    "hole": (CUT, headed({"v": entry([1], 0, 4), "w": entry([1], 8, 12)}, bytes(12))),
    "many-tensors": ("most is 20000", headed({f"w{i}": entry([0], 0, 0) for i in range(20_001)})),
    "names-of-markup": (MISFIT, headed({"<b>\u001b[31m": entry([1], 0, 4)}, bytes(4))),
    "empty-weights": (MISFIT, headed({"w": entry([0], 0, 0)})),
}
CASES = (
    *(
        Case(f"torch-{name}", says, {"weights.pt": content})
        for name, (says, content) in PICKLES.items()
    ),
    *(
        Case(f"safetensors-{name}", says, {"weights.safetensors": content})
        for name, (says, content) in HEADERS.items()
    ),
)
