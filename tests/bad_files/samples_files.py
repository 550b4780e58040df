"""Samples: arrays, tables and images that are damaged, lie, or don't fit the network."""

import io
import struct
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

from bad_files.archives import packed
from bad_files.case import Case, Content
from bad_files.models import good, picture_model

ROWS = np.ones((30, 4), np.float32)
LABELS = np.arange(30) % 3


def npz(**arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def npy(header: str, content: bytes = b"", version: bytes = b"\x01\x00") -> bytes:
    text = header.encode("latin-1").ljust(118) + b"\n"
    size = struct.pack("<H" if version == b"\x01\x00" else "<I", len(text))
    return b"\x93NUMPY" + version + size + text + content


def described(descr: str, shape: str, content: bytes = bytes(16)) -> bytes:
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}}}"
    return packed({"x.npy": npy(text, content)})


class Innocent:
    """Would run a function when unpickled."""

    def __reduce__(self) -> tuple[object, ...]:
        return print, ("unpickled",)


def pickles() -> bytes:
    return npz(x=np.array([Innocent()] * 4, object))


ARRAYS: dict[str, tuple[str, Content]] = {
    "objects": ("pickle of Python objects", pickles()),
    "lies-long": ("isn't as large", described("'<f4'", "(1000000, 4)")),
    "lies-terabytes": ("isn't as large", described("'<f4'", "(1099511627776, 4)")),
    "lies-past-64-bits": (
        "isn't as large|can't be read",
        described("'<f4'", "(" + "9" * 40 + ", 4)"),
    ),
    "negative": ("isn't as large|can't be read", described("'<f4'", "(-1, 4)")),
    "zero-wide": ("isn't as large|can't be read", described("'V0'", "(99999999999,)")),
    "shape-of-text": ("can't be read", described("'<f4'", "('a', 4)")),
    "descr-of-noise": ("can't be read", described("'evil'", "(1, 4)")),
    "descr-of-code": ("can't be read", described("__import__('os')", "(1, 4)")),
    "descr-huge": ("can't be read|isn't as large", described("'V2147483647'", "(1, 4)")),
    "header-deep": ("can't be read", packed({"x.npy": npy("(" * 9000)})),
    "header-4-gb": ("can't be read", packed({"x.npy": b"\x93NUMPY\x02\x00\xff\xff\xff\xff{"})),
    "no-array": ("can't be read|no array|which", packed({"x.npy": b"hello", "y.npy": b"x"})),
    "member-that-is-none": (
        "which|arrays named",
        packed({"x.npy": npz()[:0] + b"", "evil.txt": b"x"}),
    ),
    "cut": ("damaged|cut short", npz(x=ROWS, y=LABELS)[:200]),
    "1001-arrays": ("most is 1,000", lambda places: packed({f"{i}.npy": b"" for i in range(1001)})),
    "other-names": ("name the arrays", npz(a=ROWS, b=ROWS)),
    "names-of-markup": ("name the arrays", npz(**{"<b>\x1b[31m": ROWS[:, :3]})),
    "other-shape": ("expects samples of 4", npz(x=np.ones((30, 5), np.float32), y=LABELS)),
    "images-instead": ("expects samples of 4", npz(x=np.ones((3, 8, 8, 3), np.uint8))),
    "no-samples": ("at least one|samples", npz(x=ROWS[:0], y=LABELS[:0])),
    "nan": ("not finite", npz(x=np.full((30, 4), np.nan, np.float32))),
    "infinity": ("not finite", npz(x=np.full((30, 4), np.inf, np.float32))),
    "too-large": ("too large", npz(x=np.full((30, 4), 1e300))),
    "texts": ("must hold numbers", npz(x=np.full((30, 4), "a"))),
    "complex": ("must hold numbers", npz(x=np.ones((30, 4), np.complex64))),
    "dates": ("must hold numbers", npz(x=np.zeros((30, 4), "M8[s]"))),
    "records": ("must hold numbers|expects", npz(x=np.zeros((30, 4), "f4,i4"))),
    "labels-negative": ("start at 0", npz(x=ROWS, y=np.arange(30) % 4 - 5)),
    "labels-beyond": ("3 classes", npz(x=ROWS, y=np.arange(30) % 4 + 7)),
    "labels-huge": ("has 3 classes", npz(x=ROWS, y=np.full(30, 2**60))),
    "labels-of-floats": ("real numbers such as 0.5", npz(x=ROWS, y=LABELS / 2)),
    "labels-too-few": ("give one each", npz(x=ROWS, y=LABELS[:7])),
    "labels-in-a-square": ("30 numbers for each", npz(x=ROWS, y=np.zeros((30, 30), int))),
}


def table(*lines: str, encoding: str = "utf-8") -> bytes:
    return "\n".join(lines).encode(encoding) + b"\n"


HEAD = "a,b,c,d,label"
LINE = "1.5,2.5,3.5,4.5,1"
TABLES: dict[str, tuple[str, Content]] = {
    "25-million-columns": ("first line of more than", lambda places: b"1," * 25_000_000 + b"1\n"),
    "60000-columns": ("columns", table(",".join(["1"] * 60_000), ",".join(["2"] * 60_000))),
    "ragged": ("cells in line", table(HEAD, LINE, "1,2,3")),
    "nan": ("lacks a value", table(HEAD, LINE, "nan,1,2,3,0")),
    "gaps": ("lacks a value", table(HEAD, LINE, "1,,2,3,0")),
    "infinity": ("holds the text|too large", table(HEAD, LINE, "inf,1,2,3,0")),
    "too-large": ("too large", table(HEAD, LINE, "1e300,1,2,3,0")),
    "texts": ("holds the text", table(HEAD, LINE, "x,y,z,w,0")),
    "formulas": ("holds the text", table(HEAD, LINE, "\"=cmd|'/c calc'!A1\",1,2,3,0")),
    "markup": ("holds the text", table(HEAD, LINE, "<img src=x>\x1b,1,2,3,0".replace("\x1b", ""))),
    "utf-16": ("UTF-16", table(HEAD, LINE, LINE, encoding="utf-16")),
    "latin-1": ("not text in UTF-8", table("größe,b,c,d,label", LINE, encoding="latin-1")),
    "nul": ("explorer can open|unknown kind", table(HEAD, "1,\x00,2,3,0")),
    "nul-late": (
        "holds the text|can't be read",
        lambda p: table(HEAD, *[LINE] * 9000, "1,\x00,2,3,0"),
    ),
    "endless-quote": ("cells in line 52", table(HEAD, '"1,2,3,4,0', *[LINE] * 50)),
    "endless-quote-late": (
        "cells in line|quote|can't be read",
        table(HEAD, *[LINE] * 50, '"1,2,3,4,0', LINE),
    ),
    "only-a-header": ("no rows", table(HEAD)),
    "only-blanks": ("is empty|text file", b"\n \n\n"),
    "one-name-twice": ("two columns named", table("a,a,c,d,label", LINE)),
    "too-few-columns": ("takes 4 for a sample", table("a,b,label", "1,2,0", "3,4,1")),
    "too-many-columns": ("takes 4 for a sample", table("a,b,c,d,e,f,label", "1,2,3,4,5,6,0")),
    "labels-beyond": ("3 classes", table(HEAD, *["1,2,3,4,9"] * 5)),
    "2-million-rows": ("takes 4", lambda places: b"1\n" * 2_000_000),
    "long-cell": ("can't be read as a table", table(HEAD, LINE, "9" * 10**6 + ",1,2,3,0")),
    "control-characters": (
        "explorer can open|unknown kind",
        table(HEAD, "\x1b[31m1,2,3,4,0"),
    ),
}


def picture(kind: str = "PNG", size: tuple[int, int] = (8, 8), mode: str = "L") -> bytes:
    file = io.BytesIO()
    Image.new(mode, size, 7).save(file, kind)
    return file.getvalue()


def chunk(name: bytes, content: bytes) -> bytes:
    return (
        struct.pack(">I", len(content))
        + name
        + content
        + struct.pack(">I", zlib.crc32(name + content))
    )


def png(width: int, height: int, *more: bytes, pixels: bytes = b"") -> bytes:
    head = chunk(b"IHDR", struct.pack(">2I5B", width, height, 8, 0, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(more) + body


def zipped(content: bytes, name: str = "a/1.png") -> bytes:
    return packed({name: content, "b/2.png": picture()}, zipfile.ZIP_STORED)


TEXT_BOMB = chunk(b"zTXt", b"Comment\x00\x00" + zlib.compress(bytes(10**8), 9))
DAMAGED = "damaged image|pixels"
PICTURES: dict[str, tuple[str, Content]] = {
    "bomb": ("million pixels", zipped(png(100_000, 100_000, pixels=bytes(10**5)))),
    "bomb-of-2-gigapixels": (DAMAGED, zipped(png(2**31 - 1, 2**31 - 1))),
    "text-bomb": (DAMAGED, lambda places: zipped(png(8, 8, TEXT_BOMB, pixels=bytes(72)))),
    "no-pixels": (DAMAGED, zipped(png(0, 0))),
    "cut-jpeg": (DAMAGED, zipped(picture("JPEG", (64, 64))[:300], "a/1.jpg")),
    "cut-png": (DAMAGED, zipped(picture("PNG", (64, 64), "RGB")[:60])),
    "wrong-checksum": (DAMAGED, zipped(png(8, 8, pixels=bytes(72)).replace(b"IHDR", b"IHDX"))),
    "svg": ("isn't a PNG or JPEG", zipped(b'<svg onload="alert(1)"/>')),
    "eps": ("isn't a PNG or JPEG", zipped(b"%!PS-Adobe-3.0 EPSF-3.0\n(/etc/passwd) (r) file\n")),
    "gif": ("isn't a PNG or JPEG", zipped(picture("GIF"))),
    "tiff": ("isn't a PNG or JPEG", zipped(picture("TIFF"))),
    "html": ("isn't a PNG or JPEG", zipped(b"<script>alert(1)</script>")),
    "only-texts": (
        "text files only|no PNG|isn't a PNG|neither",
        packed({"a.txt": b"x", "b.txt": b"y"}),
    ),
    "nested-folders": ("folders inside", packed({"a/b/1.png": picture(), "c/2.png": picture()})),
    "loose": ("some beside them", packed({"a/1.png": picture(), "2.png": picture()})),
    "three-classes": ("2 classes", packed({f"{c}/1.png": picture() for c in "abc"})),
    "names-of-markup": (
        "folders inside|2 classes",
        packed({f"<b>{c}\x1b[31m/1.png": picture() for c in "abc"}),
    ),
    "names-above": ("leads out", packed({"../../a/1.png": picture(), "b/2.png": picture()})),
    "20001": (
        "most is 20,000",
        lambda places: packed({f"a/{i}.png": b"\x89PNG\r\n\x1a\n" for i in range(20_001)}),
    ),
}
SINGLE = {
    "picture.png": ("single image|image", picture()),
    "picture.gif": ("image", picture("GIF")),
    "picture.jpg": ("single image|image", picture("JPEG")),
}


def with_network(
    family: str, network: bytes, name: str, cases: Mapping[str, tuple[str, Content]]
) -> tuple[Case, ...]:
    """Each beside a network that opens."""
    return tuple(
        Case(f"{family}-{case}", says, {"network.onnx": network, name: content})
        for case, (says, content) in cases.items()
    )


CASES = (
    *with_network("npz", good(), "samples.npz", ARRAYS),
    *with_network("csv", good(), "samples.csv", TABLES),
    *with_network("images", picture_model(), "images.zip", PICTURES),
    *(
        Case(f"single-{name}", says, {"network.onnx": picture_model(), name: content})
        for name, (says, content) in SINGLE.items()
    ),
    Case("table-of-nothing", "empty", {"network.onnx": good(), "x.csv": b""}),
)
