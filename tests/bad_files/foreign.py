"""Files of other programs, and file names that are markup or paths."""

import gzip
import io
import pickle
import tarfile

import numpy as np

from bad_files.case import Case, Verdict
from bad_files.models import good


def tar() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        member = tarfile.TarInfo("network.onnx")
        member.size = len(good())
        archive.addfile(member, io.BytesIO(good()))
    return file.getvalue()


def npy() -> bytes:
    file = io.BytesIO()
    np.save(file, np.ones(3))
    return file.getvalue()


KNOWN = {
    "model.h5": ("HDF5", b"\x89HDF\r\n\x1a\n" + bytes(100)),
    "model.tflite": ("TensorFlow Lite", b"\x1c\x00\x00\x00TFL3" + bytes(100)),
    "model.gguf": ("GGUF", b"GGUF\x03\x00\x00\x00" + b"\xff" * 16),
    "model.ggml": ("GGML", b"lmgg" + bytes(100)),
    "model.pte": ("ExecuTorch", b"\x1c\x00\x00\x00ET12" + bytes(100)),
    "model.ort": ("own format", b"\x1c\x00\x00\x00ORTM" + bytes(100)),
    "model.engine": ("TensorRT", b"ptrt" + bytes(100)),
    "model.rknn": ("Rockchip", b"RKNN" + bytes(100)),
    "model.mlmodel": ("Core ML", b"\x08\x05\x12\x02\x0a\x00\xa2\x1f\x02\x00\x00"),
    "frozen.pb": (
        "isn't a model that the explorer can open",
        b"\x0a\x02\x0a\x00" + b"\x12\x02\x0a\x00",
    ),
    "library.so": ("compiled library", b"\x7fELF\x02\x01\x01" + bytes(100)),
    "library.dll": ("compiled library", b"MZ\x90\x00" + bytes(100)),
    "model.onnx.gz": ("gzip", gzip.compress(good())),
    "model.tar": ("tar archive", tar()),
    "model.7z": ("7z", b"7z\xbc\xaf\x27\x1c" + bytes(100)),
    "model.joblib": ("joblib|Python", pickle.dumps({"a": 1})),
    "model.pkl": ("joblib or scikit-learn", b"\x80\x02csklearn.tree\nDecisionTree\n)\x81."),
    "array.npy": ("NumPy array", npy()),
    "model.xml": ("OpenVINO", b'<?xml version="1.0"?><net name="n" version="11"></net>'),
    "model.pmml": ("PMML", b'<?xml version="1.0"?><PMML version="4.4"></PMML>'),
    "model.onnx": ("Git LFS", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"),
    "page.onnx": ("HTML", b"<!DOCTYPE html><html><script>alert(1)</script></html>"),
    "document.pdf": ("PDF", b"%PDF-1.7\n"),
    "data.parquet": ("Parquet", b"PAR1" + bytes(100)),
    "data.sqlite": ("SQLite", b"SQLite format 3\x00" + bytes(100)),
    "picture.svg": ("XML", b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>'),
    "picture.eps": ("is a model|text", b"%!PS-Adobe-3.0 EPSF-3.0\n(/etc/passwd) (r) file\n"),
}
TITLES = {
    "markup": "<img src=x onerror=alert(1)>.onnx",
    "markdown": "![x](http://203.0.113.9/x.png).onnx",
    "path": "../../../../etc/passwd.onnx",
    "windows-path": "C:\\Windows\\System32\\evil.onnx",
    "control": "a\x1b[31m\x00\n\u202eb.onnx",
    "nothing": "\x00\x01.onnx",
    "dots": "..",
    "long": "n" * 10_000 + ".onnx",
}
CASES = (
    *(Case(f"foreign-{name}", says, {name: content}) for name, (says, content) in KNOWN.items()),
    *(Case(f"title-{kind}", "", {name: good()}, Verdict.OPENS) for kind, name in TITLES.items()),
    *(
        Case(f"title-{kind}-refused", "cut short or damaged", {name: good()[:50]})
        for kind, name in TITLES.items()
    ),
    Case("two-networks", "2 models", {"a.onnx": good(), "b.onnx": good() + b"\x12\x00"}),
    Case("one-network-twice", "2 models", {"a.onnx": good(), "b.onnx": good()}),
    Case("samples-without-a-network", "is a model", {"x.csv": b"a,b,label\n1,2,0\n3,4,1\n"}),
)
