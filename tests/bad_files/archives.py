"""Zip archives that are damaged, lead elsewhere, or unpack to far more than they hold."""

import io
import stat
import struct
import zipfile
import zlib

from bad_files.case import Case, Content
from bad_files.models import good

MODEL = "network.onnx"


def packed(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def with_entry(entry: zipfile.ZipInfo, content: bytes) -> bytes:
    """The good network beside a member made by hand."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(MODEL, good())
        archive.writestr(entry, content)
    return file.getvalue()


def link() -> bytes:
    entry = zipfile.ZipInfo("weights.bin")
    entry.create_system, entry.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    return with_entry(entry, b"/etc/passwd")


def replaced(old: bytes, new: bytes, whole: bytes) -> bytes:
    assert old in whole
    return whole.replace(old, new)


def bomb() -> bytes:
    """A member of 300 MB of zeros, packed to 300 kB."""
    return packed({MODEL: good(), "weights.bin": bytes(3 * 10**8)})


def declared(size: int) -> bytes:
    """A network that says it has `size` bytes."""
    real = struct.pack("<I", len(good()))
    return replaced(real, struct.pack("<I", size), packed({MODEL: good()}))


def wrong_checksum() -> bytes:
    content = good()
    crc = struct.pack("<I", zlib.crc32(content))
    return replaced(crc, b"\x01\x02\x03\x04", packed({MODEL: content}))


def encrypted() -> bytes:
    whole = bytearray(packed({MODEL: good()}))
    whole[6] |= 1  # the flags in the header of the member
    whole[whole.index(b"PK\x01\x02") + 8] |= 1
    return bytes(whole)


def overlapping() -> bytes:
    """Two names whose bytes are the same, as in the bombs of David Fifield (2019)."""
    whole = packed({MODEL: good(), "second.onnx": good()}, zipfile.ZIP_STORED)
    first, second = whole.index(b"PK\x01\x02"), whole.rindex(b"PK\x01\x02")
    changed = bytearray(whole)
    changed[second + 42 : second + 46] = changed[first + 42 : first + 46]
    return bytes(changed)


def twice() -> bytes:
    whole = packed({MODEL: good(), "xetwork.onnx": good()})
    return whole.replace(b"xetwork.onnx", b"network.onnx")


def crowd(places: object) -> bytes:
    """100,001 empty files, written by hand as the library takes long for it."""
    local, central = bytearray(), bytearray()
    for at in range(100_001):
        name = f"{at:06}".encode()
        start = len(local)
        local += struct.pack("<4s5H3I2H", b"PK\3\4", 20, 0, 0, 0, 33, 0, 0, 0, 6, 0) + name
        central += struct.pack(
            "<4s6H3I5H2I", b"PK\1\2", 20, 20, 0, 0, 0, 33, 0, 0, 0, 6, 0, 0, 0, 0, 0, start
        )
        central += name
    count = min(100_001, 0xFFFF)
    at, size = len(local), len(central)
    far = struct.pack("<4sQ2H2I4Q", b"PK\6\6", 44, 45, 45, 0, 0, 100_001, 100_001, size, at)
    place = struct.pack("<4sIQI", b"PK\6\7", 0, at + size, 1)
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, count, count, size, at, 0)
    return bytes(local + central + far + place + end)


WHOLE = packed({MODEL: good()})
ARCHIVES: dict[str, tuple[str, Content]] = {
    "cut-in-the-middle": ("damaged zip", WHOLE[: len(WHOLE) // 2]),
    "cut-of-its-end": ("damaged zip", WHOLE[:-5]),
    "only-its-end": ("zip archive with neither a model nor samples", packed({})),
    "bomb": ("fold when unpacked", lambda places: bomb()),
    "declared-smaller": ("can't be unpacked", declared(10)),
    "declared-larger": ("isn't as long|without", declared(10**6)),
    "declared-4-gb": ("larger than 2 GiB", declared(2**32 - 2)),
    "wrong-checksum": ("can't be unpacked", wrong_checksum()),
    "encrypted": ("encrypted", encrypted()),
    "overlapping": ("overlap", overlapping()),
    "one-name-twice": ("more than once", twice()),
    "link": ("leads out", link()),
    "name-above": ("leads out", packed({MODEL: good(), "../../evil": b"x"})),
    "name-absolute": ("leads out", packed({MODEL: good(), "/tmp/evil": b"x"})),
    "name-of-a-drive": ("leads out", packed({MODEL: good(), "C:\\evil": b"x"})),
    "name-with-backslashes": ("leads out", packed({MODEL: good(), "..\\..\\evil": b"x"})),
    "name-of-markup": ("holds 2 .onnx", packed({MODEL: good(), "<b>\x1b[31m\u202e.onnx": b"x"})),
    "zip-in-a-zip": ("zip archive with neither a model nor samples", packed({"inner.zip": WHOLE})),
    "two-networks": ("exactly one", packed({MODEL: good(), "other.onnx": good()})),
    "three-files": ("nothing else", packed({MODEL: good(), "a.bin": b"", "b.bin": b""})),
    "damaged-network": ("cut short or damaged", packed({MODEL: good()[:99]})),
    "uncommon-packing": ("uncommon method", packed({MODEL: good()}, zipfile.ZIP_LZMA)),
    "too-many-files": ("most is 100000", crowd),
    "keras": ("Keras", packed({"model.weights.h5": b"\x89HDF", "config.json": b"{}"})),
    "saved-model": ("SavedModel", packed({"saved/saved_model.pb": b"x"})),
    "core-ml": ("Core ML", packed({"a.mlpackage/Data/com.apple.CoreML/m": b"x"})),
    "office": ("Office", packed({"[Content_Types].xml": b"<x/>"})),
    "torch-package": ("torch.package", packed({"x/extern_modules": b"", "x/.data/version": b"6"})),
    "torchserve": ("TorchServe", packed({"MAR-INF/MANIFEST.json": b"{}"})),
    "java": (
        "neither a model nor samples",
        packed({"META-INF/MANIFEST.MF": b"", "A.class": b"\xca\xfe"}),
    ),
}
CASES = tuple(
    Case(f"zip-{name}", says, {"network.zip": content})
    for name, (says, content) in ARCHIVES.items()
)
