"""Files that are neither models nor samples that open here, known by their first bytes.

Zip archives are known by the names in them.
"""

import codecs
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from pathlib import PurePosixPath

from explorer.errors import ModelError

HEAD_BYTES = 4096  # what a look at the beginning of a file takes
IMAGES = {".png", ".jpg", ".jpeg", ".gif", ".bmp", ".webp", ".tif", ".tiff"}
LONGEST_WORD = 4  # a signature no longer than this may be how a text begins, such as PAR1
EXPORT_HINT = (
    "export the network with `program = torch.export.export(module, (example,))` and then "
    '`torch.export.save(program, "model.pt2")`, or with '
    '`torch.onnx.export(module, (example,), "model.onnx")`'
)
TENSORFLOW_HINT = "convert the network to ONNX with tf2onnx, `python -m tf2onnx.convert --help`"
KNOWN = "ONNX, a zip of it with its weights, .pt2, TorchScript, state_dict, safetensors"


class Holds(Enum):
    """What is in a foreign file, which decides what to do instead of dropping it."""

    FILES = "files"  # to be unpacked
    NETWORK = "a network, or code of one"
    ARRAYS = "arrays"
    TABLE = "a table"
    IMAGE = "an image"
    NEITHER = "neither a network nor samples"


@dataclass(frozen=True)
class Foreign:
    """A kind of file that begins, at a place, with some bytes; `what` is what to call one.

    `remedy` says what to do instead of opening it as a model.
    """

    place: int
    magic: bytes
    what: str
    holds: Holds
    remedy: str = EXPORT_HINT


@dataclass(frozen=True)
class ForeignZip:
    """A kind of zip archive with a path in it of which `part` is a part, as in `/a/path/`."""

    part: str
    what: str
    holds: Holds
    remedy: str = EXPORT_HINT


HDF5 = b"\x89HDF\r\n\x1a\n"
PNG, JPEG, NUMPY = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"\x93NUMPY"
FOREIGN = (
    Foreign(0, b"\x1f\x8b", "a gzip archive", Holds.FILES),
    Foreign(4, b"1AY&SY", "a bzip2 archive", Holds.FILES),
    Foreign(0, b"\xfd7zXZ\x00", "an xz archive", Holds.FILES),
    Foreign(0, b"\x28\xb5\x2f\xfd", "a Zstandard archive", Holds.FILES),
    Foreign(0, b"\x04\x22\x4d\x18", "an LZ4 archive", Holds.FILES),
    Foreign(0, b"7z\xbc\xaf\x27\x1c", "a 7z archive", Holds.FILES),
    Foreign(0, b"Rar!\x1a\x07", "a rar archive", Holds.FILES),
    Foreign(257, b"ustar", "a tar archive", Holds.FILES),
    Foreign(0, b"\x7fELF", "a compiled library (ELF, .so)", Holds.NETWORK),
    Foreign(0, b"MZ", "a compiled library (PE, .dll)", Holds.NETWORK),
    Foreign(0, b"\xfe\xed\xfa\xce", "a compiled library (Mach-O, .dylib)", Holds.NETWORK),
    Foreign(0, b"\xfe\xed\xfa\xcf", "a compiled library (Mach-O, .dylib)", Holds.NETWORK),
    Foreign(0, b"\xce\xfa\xed\xfe", "a compiled library (Mach-O, .dylib)", Holds.NETWORK),
    Foreign(0, b"\xcf\xfa\xed\xfe", "a compiled library (Mach-O, .dylib)", Holds.NETWORK),
    Foreign(0, b"\xca\xfe\xba\xbe", "a compiled library (Mach-O or Java)", Holds.NETWORK),
    Foreign(4, b"TFL3", "a TensorFlow Lite model", Holds.NETWORK, TENSORFLOW_HINT),
    Foreign(4, b"ORTM", "a model in ONNX Runtime's own format (.ort)", Holds.NETWORK),
    Foreign(4, b"ET12", "an ExecuTorch program (.pte)", Holds.NETWORK),
    Foreign(0, b"GGUF", "a GGUF file of llama.cpp", Holds.NETWORK),
    Foreign(0, b"lmgg", "a GGML file of llama.cpp", Holds.NETWORK),
    Foreign(0, b"tjgg", "a GGML file of llama.cpp", Holds.NETWORK),
    Foreign(0, b"ptrt", "a TensorRT engine, built for one graphics card", Holds.NETWORK),
    Foreign(0, b"ftrt", "a TensorRT engine, built for one graphics card", Holds.NETWORK),
    Foreign(0, b"RKNN", "a Rockchip model (.rknn)", Holds.NETWORK),
    Foreign(0, HDF5, "an HDF5 file, as Keras and MATLAB write", Holds.ARRAYS, TENSORFLOW_HINT),
    Foreign(0, b"MATLAB 5.0", "a MATLAB file", Holds.ARRAYS),
    Foreign(0, NUMPY, "a single NumPy array (.npy)", Holds.ARRAYS),
    Foreign(0, b"\x00\x00\x08\x03", "a file of the IDX format (as of MNIST)", Holds.ARRAYS),
    Foreign(0, b"\x00\x00\x08\x01", "a file of the IDX format (as of MNIST)", Holds.ARRAYS),
    Foreign(0, b"\x78\x01", "compressed with zlib (as by joblib)", Holds.ARRAYS),
    Foreign(0, b"\x78\x5e", "compressed with zlib (as by joblib)", Holds.ARRAYS),
    Foreign(0, b"\x78\x9c", "compressed with zlib (as by joblib)", Holds.ARRAYS),
    Foreign(0, b"\x78\xda", "compressed with zlib (as by joblib)", Holds.ARRAYS),
    Foreign(0, b"PAR1", "a Parquet table", Holds.TABLE),
    Foreign(0, b"ARROW1", "an Arrow table", Holds.TABLE),
    Foreign(0, b"FEA1", "a Feather table", Holds.TABLE),
    Foreign(0, b"SQLite format 3\x00", "an SQLite database", Holds.TABLE),
    Foreign(0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Excel or Office file", Holds.TABLE),
    Foreign(0, PNG, "an image (PNG)", Holds.IMAGE),
    Foreign(0, JPEG, "an image (JPEG)", Holds.IMAGE),
    Foreign(0, b"GIF8", "an image (GIF)", Holds.IMAGE),
    Foreign(0, b"II*\x00", "an image (TIFF)", Holds.IMAGE),
    Foreign(0, b"MM\x00*", "an image (TIFF)", Holds.IMAGE),
    Foreign(0, b"RIFF", "an image (WebP) or a sound", Holds.IMAGE),
    Foreign(0, b"%PDF-", "a PDF document", Holds.NEITHER),
)
BITMAP = Foreign(0, b"BM", "an image (BMP)", Holds.IMAGE)
# How a text may begin, in lower case and after blanks.
TEXTS = (
    Foreign(0, b"version https://git-lfs", "a pointer of Git LFS to another file", Holds.NEITHER),
    Foreign(0, b"{\\rtf", "an RTF document", Holds.NEITHER),
    Foreign(0, b"<!doctype html", "a web page (HTML)", Holds.TABLE),
    Foreign(0, b"<html", "a web page (HTML)", Holds.TABLE),
    Foreign(0, b"<", "an XML file", Holds.TABLE),
    Foreign(0, b"{", "a JSON file", Holds.TABLE),
    Foreign(0, b"[", "a JSON file", Holds.TABLE),
)
XML_NETWORKS = (  # found anywhere in the head of an XML file
    Foreign(0, b"<pmml", "a PMML model (XML)", Holds.NETWORK),
    Foreign(0, b"<net ", "the description (XML) of an OpenVINO model", Holds.NETWORK),
)
ZIPS = (
    ForeignZip("/model.weights.h5/", "a Keras model (.keras)", Holds.NETWORK, TENSORFLOW_HINT),
    ForeignZip("/saved_model.pb/", "a TensorFlow SavedModel", Holds.NETWORK, TENSORFLOW_HINT),
    ForeignZip("/extern_modules/", "a package of torch.package", Holds.NETWORK),
    ForeignZip("com.apple.CoreML", "a Core ML package", Holds.NETWORK),
    ForeignZip(".mlmodelc/", "a Core ML package", Holds.NETWORK),
    ForeignZip("/MAR-INF/", "a TorchServe archive", Holds.NETWORK),
    ForeignZip("/[Content_Types].xml/", "an Excel workbook or Office document", Holds.TABLE),
)
TORCH_TAR = (b"sys_info", b"pickle", b"storages", b"tensors")  # members of the oldest torch files


def check_not_foreign(head: bytes, title: str) -> None:
    """Refuse what the first `HEAD_BYTES` of a file tell to be something else than a model here.

    Raises:
        ModelError: with the name of what it is.
    """
    if not head:
        raise ModelError(f"{title} is empty; choose another file.")
    if head[:100].rstrip(b"\0").rstrip(b"/") in TORCH_TAR:
        raise refused(title, "a PyTorch file in the oldest format (tar)")
    if (found := foreign(head)) is not None:
        if found.holds is Holds.FILES:
            raise ModelError(f"{title} is {found.what}; unpack it and choose the model file in it.")
        raise refused(title, found.what, found.remedy)
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or _text(head) is not None:
        raise refused(title, "a text file")


def refused(title: str, what: str, remedy: str = EXPORT_HINT) -> ModelError:
    """The error for a file of a kind that the explorer knows and doesn't open."""
    return ModelError(f"{title} is {what}, which the explorer can't open; {remedy}.")


def unknown(title: str) -> ModelError:
    """The error for a file of which nothing is known."""
    return ModelError(f"{title} isn't a model that the explorer can open ({KNOWN}); {EXPORT_HINT}.")


def is_safetensors(head: bytes) -> bool:
    """Eight bytes for the length of the header, which no file uses all of, then the header."""
    return head[5:9] == b"\0\0\0{"


def foreign(head: bytes) -> Foreign | None:
    """What a file is by its first bytes, such as a Parquet table; None where they don't tell."""
    head = head[:HEAD_BYTES]
    text = _text(head)
    for each in FOREIGN:
        is_enough = text is None or len(each.magic) > LONGEST_WORD
        if is_enough and head.startswith(each.magic, each.place):
            return each
    if text is not None:
        return _foreign_text(text.strip().lower().encode())
    reserved = head[6:10]  # always zero, which tells it from a protobuf file that starts with BM
    return BITMAP if head.startswith(BITMAP.magic) and reserved == bytes(4) else None


def foreign_zip(names: Iterable[str]) -> ForeignZip | None:
    """What a zip archive is by the names in it; None where they don't tell."""
    paths = [f"/{name}/" for name in names]
    return next((each for each in ZIPS if any(each.part in path for path in paths)), None)


def refused_zip(title: str, names: Iterable[str]) -> ModelError | None:
    """The error for a zip archive without a model, by its names; None where they don't tell."""
    names = tuple(names)
    if (found := foreign_zip(names)) is not None:
        return refused(title, found.what, found.remedy)
    endings = {PurePosixPath(name).suffix.lower() for name in names}
    if endings == {".npy"}:
        return refused(title, "an .npz file, so data and no network")
    if endings and endings <= IMAGES:
        return refused(title, "a zip of images, so data and no network")
    return None


def _foreign_text(text: bytes) -> Foreign | None:
    inside = (each for each in XML_NETWORKS if text.startswith(b"<") and each.magic in text)
    begins = (each for each in TEXTS if text.startswith(each.magic))
    return next(inside, None) or next(begins, None)


def _text(head: bytes) -> str | None:
    """The beginning of a file as text in UTF-8; None where it is none."""
    try:
        text = codecs.getincrementaldecoder("utf-8-sig")().decode(head)
    except UnicodeDecodeError:
        return None
    return text if all(c.isprintable() or c.isspace() for c in text) else None
