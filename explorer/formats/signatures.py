"""Files that are no models, or not of a kind that opens here, known by their first bytes."""

import codecs

from explorer.errors import ModelError

HEAD_BYTES = 4096  # what a look at the beginning of a file takes
EXPORT_HINT = (
    "export the network with `program = torch.export.export(module, (example,))` and then "
    '`torch.export.save(program, "model.pt2")`, or with '
    '`torch.onnx.export(module, (example,), "model.onnx")`'
)
KNOWN = "ONNX, a zip of it with its weights, .pt2, TorchScript, state_dict, safetensors"

ARCHIVES = (
    (0, b"\x1f\x8b", "a gzip archive"),
    (0, b"BZh", "a bzip2 archive"),
    (0, b"\xfd7zXZ\x00", "an xz archive"),
    (0, b"\x28\xb5\x2f\xfd", "a Zstandard archive"),
    (0, b"\x04\x22\x4d\x18", "an LZ4 archive"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (0, b"Rar!\x1a\x07", "a rar archive"),
    (257, b"ustar", "a tar archive"),
)
LIBRARY = "a compiled library ({}), which may hold custom operators but no network"
FOREIGN = (
    (0, b"\x7fELF", LIBRARY.format("ELF, .so")),
    (0, b"MZ", LIBRARY.format("PE, .dll")),
    (0, b"\xfe\xed\xfa\xce", LIBRARY.format("Mach-O, .dylib")),
    (0, b"\xfe\xed\xfa\xcf", LIBRARY.format("Mach-O, .dylib")),
    (0, b"\xce\xfa\xed\xfe", LIBRARY.format("Mach-O, .dylib")),
    (0, b"\xcf\xfa\xed\xfe", LIBRARY.format("Mach-O, .dylib")),
    (0, b"\xca\xfe\xba\xbe", LIBRARY.format("Mach-O or Java")),
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 file, such as Keras writes"),
    (4, b"TFL3", "a TensorFlow Lite model"),
    (4, b"ORTM", "a model in ONNX Runtime's own format (.ort)"),
    (4, b"ET12", "an ExecuTorch program (.pte)"),
    (0, b"GGUF", "a GGUF file of llama.cpp"),
    (0, b"lmgg", "a GGML file of llama.cpp"),
    (0, b"tjgg", "a GGML file of llama.cpp"),
    (0, b"ptrt", "a TensorRT engine, built for one graphics card"),
    (0, b"ftrt", "a TensorRT engine, built for one graphics card"),
    (0, b"RKNN", "a Rockchip model (.rknn)"),
    (0, b"\x93NUMPY", "a NumPy array, so data and no network"),
    (0, b"PAR1", "a Parquet table, so data and no network"),
    (0, b"SQLite format 3\x00", "an SQLite database"),
    (0, b"%PDF", "a PDF document"),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an Office document"),
    (0, b"\x89PNG\r\n\x1a\n", "an image (PNG)"),
    (0, b"\xff\xd8\xff", "an image (JPEG)"),
    (0, b"GIF8", "an image (GIF)"),
    (0, b"II*\x00", "an image (TIFF)"),
    (0, b"MM\x00*", "an image (TIFF)"),
    (8, b"WEBP", "an image (WebP)"),
)
ZLIB = (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda")
TORCH_TAR = (b"sys_info", b"pickle", b"storages", b"tensors")  # members of the oldest torch files
TEXTS = (  # how a text may begin, in lower case
    ("version https://git-lfs", "a pointer of Git LFS instead of the file that it stands for"),
    ("<!doctype html", "a web page (HTML), perhaps of the site with the model"),
    ("<html", "a web page (HTML), perhaps of the site with the model"),
    ("<", "an XML file"),
    ("{", "a JSON file"),
    ("[", "a JSON file"),
)
INSIDE = (("<pmml", "a PMML model (XML)"), ("<net ", "the description (XML) of an OpenVINO model"))


def check_not_foreign(head: bytes, title: str) -> None:
    """Refuse what the first `HEAD_BYTES` of a file tell to be something else than a model here.

    Raises:
        ModelError: with the name of what it is.
    """
    if not head:
        raise ModelError(f"{title} is empty; choose a model file.")
    if head[:100].rstrip(b"\0").rstrip(b"/") in TORCH_TAR:
        raise refused(title, "a PyTorch file in the oldest format (tar)")
    if what := _found(head, ARCHIVES):
        raise ModelError(f"{title} is {what}; unpack it and choose the model file in it.")
    if what := _found(head, FOREIGN) or _bitmap(head) or _compressed(head) or _text(head):
        raise refused(title, what)


def refused(title: str, what: str) -> ModelError:
    """The error for a file of a kind that the explorer knows and doesn't open."""
    return ModelError(f"{title} is {what}, which doesn't open here; {EXPORT_HINT}.")


def unknown(title: str) -> ModelError:
    """The error for a file of which nothing is known."""
    return ModelError(f"{title} is no model that opens here ({KNOWN}); {EXPORT_HINT}.")


def _found(head: bytes, table: tuple[tuple[int, bytes, str], ...]) -> str | None:
    return next((what for at, magic, what in table if head[at : at + len(magic)] == magic), None)


def _bitmap(head: bytes) -> str | None:
    reserved = head[6:10]  # always zero, which tells it from a protobuf file that starts with BM
    return "an image (BMP)" if head[:2] == b"BM" and reserved == bytes(4) else None


def _compressed(head: bytes) -> str | None:
    return "compressed with zlib (as by joblib)" if head[:2] in ZLIB else None


def _text(head: bytes) -> str | None:
    if head[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        return "a text file"
    try:
        text = codecs.getincrementaldecoder("utf-8-sig")().decode(head)
    except UnicodeDecodeError:
        return None
    if not all(c.isprintable() or c.isspace() for c in text):
        return None
    text = text.strip().lower()
    inside = next((what for mark, what in INSIDE if text[:1] == "<" and mark in text), None)
    begins = next((what for start, what in TEXTS if text.startswith(start)), None)
    return inside or begins or "a text file"
