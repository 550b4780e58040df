"""What kind of model file this is, told from its content and never from its name.

Nothing is imported for it that could run what is in the file: neither torch nor onnx.
"""

from collections.abc import Iterator
from enum import Enum
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from explorer.errors import ModelError, reason_of
from explorer.formats.archive import Archive, is_zip
from explorer.formats.pickles import MOST_BYTES, TORCH_MAGIC, check_state_dict, look
from explorer.formats.signatures import (
    HEAD_BYTES,
    TENSORFLOW_HINT,
    check_not_foreign,
    is_safetensors,
    refused,
    refused_zip,
    unknown,
)

# The fields of ONNX's ModelProto: number to protobuf's wire type.
ONNX_FIELDS = {1: 0, 5: 0, **dict.fromkeys((2, 3, 4, 6, 7, 8, 14, 20, 25, 26), 2)}
COREML_FIELDS = range(200, 4000)  # of the one network in a Core ML file
MOST_FIELDS = 10_000  # looked at
MOST_LENGTH = 2**40
VARINT, BYTES = 0, 2  # wire types
NATIVE = (".so", ".dll", ".dylib", ".o", ".cpp", ".cubin")
PICKLE = b"\x80"


class Kind(Enum):
    """The kinds of model files that open here; the value is what to call one."""

    ONNX = "ONNX"
    ONNX_ZIP = "ONNX with its weights in a second file, zipped"
    TORCH_EXPORT = "torch.export (.pt2)"
    TORCH_SCRIPT = "TorchScript"
    STATE_DICT = "PyTorch weights (state_dict)"
    SAFETENSORS = "safetensors"

    @property
    def runs_code(self) -> bool:
        """True where opening a file may run code that is in it."""
        return self in (Kind.TORCH_EXPORT, Kind.TORCH_SCRIPT)

    @property
    def needs_torch(self) -> bool:
        """True where torch is needed to make ONNX of it."""
        return self.runs_code or self in (Kind.STATE_DICT, Kind.SAFETENSORS)


def identify(path: Path, title: str) -> Kind:
    """The kind of the file at `path`, called `title` in messages.

    Raises:
        ModelError: it can't be read, is damaged, or is of a kind that doesn't open here, which
            the message names.
    """
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
            if is_safetensors(head):
                return Kind.SAFETENSORS
            if head.startswith(PICKLE):
                return _kind_of_pickle(head + file.read(MOST_BYTES), title)
            kind = None if is_zip(head) else _kind_of_plain(head, file, title)
    except OSError as error:
        raise ModelError(f"{title} can't be read: {reason_of(error)}.") from error
    return kind or _kind_of_zip(Archive(path, title, ModelError))


def _kind_of_plain(head: bytes, file: BinaryIO, title: str) -> Kind:
    check_not_foreign(head, title)
    if _is_onnx(file, title):
        return Kind.ONNX
    raise unknown(title)


def _kind_of_pickle(data: bytes, title: str) -> Kind:
    if data.startswith(TORCH_MAGIC):
        check_state_dict(data, title, is_legacy=True)
        return Kind.STATE_DICT
    names = look(data, title).names
    by_joblib = any(name.startswith(("joblib.", "sklearn.")) for name in names)
    raise refused(title, f"a pickle {'of joblib or scikit-learn' if by_joblib else 'of Python'}")


def _kind_of_zip(archive: Archive) -> Kind:
    names = archive.names
    if any(name.endswith(".onnx") for name in names):
        return Kind.ONNX_ZIP
    if "serialized_exported_program.json" in names or _within(names, "archive_format"):
        return _checked_export(archive)
    if (root := _within(names, "data.pkl")) is not None:
        return _kind_of_torch_zip(archive, root)
    if (refusal := refused_zip(archive.title, names)) is not None:
        raise refusal
    raise ModelError(
        f"{archive.title} is a zip archive with neither a model nor samples that open from one; "
        "zip an .onnx file with its weights, or PNG or JPEG images, and give other files as they "
        "are."
    )


def _checked_export(archive: Archive) -> Kind:
    native = next((name for name in archive.names if name.lower().endswith(NATIVE)), None)
    if native:
        raise refused(archive.title, "a torch.export file with compiled code (AOTInductor) in it")
    return Kind.TORCH_EXPORT


def _kind_of_torch_zip(archive: Archive, root: str) -> Kind:
    names = archive.names
    if f"{root}constants.pkl" in names:
        if any(name.startswith(f"{root}code/") for name in names):
            return Kind.TORCH_SCRIPT
        raise refused(archive.title, "a TorchScript file without its code")
    if archive.size(f"{root}data.pkl") > MOST_BYTES:
        raise ModelError(f"{archive.title} is a PyTorch file whose list of tensors is too long.")
    check_state_dict(archive.read(f"{root}data.pkl"), archive.title)
    return Kind.STATE_DICT


def _within(names: tuple[str, ...], wanted: str) -> str | None:
    """The folder, "" or ending in a slash, of a file at the top or one folder below it."""
    found = [name for name in names if PurePosixPath(name).name == wanted and name.count("/") < 2]
    return min(found, key=len).removesuffix(wanted) if found else None


def _is_onnx(file: BinaryIO, title: str) -> bool:
    """Whether the fields at the top are those of a ModelProto, as far as the file goes."""
    found = set()
    for number, wire in _fields(file):
        if number in COREML_FIELDS and 1 in found:
            raise refused(title, "a Core ML model (.mlmodel)")
        if ONNX_FIELDS.get(number) != wire:
            return False
        found.add(number)
    if found and found <= {1, 2}:
        what = "a protobuf file without an ONNX graph (such as TensorFlow's)"
        raise refused(title, what, TENSORFLOW_HINT)
    return bool(found)


def _fields(file: BinaryIO) -> Iterator[tuple[int, int]]:
    """Number and wire type of each protobuf field at the top; an unknown type ends the file."""
    file.seek(0)
    for _ in range(MOST_FIELDS):
        key = _varint(file)
        if key is None:
            return
        number, wire = key >> 3, key & 7
        yield number, wire
        length = _varint(file)
        if length is None or wire not in (VARINT, BYTES):
            return
        if wire == BYTES:
            file.seek(min(length, MOST_LENGTH), 1)


def _varint(file: BinaryIO) -> int | None:
    value = 0
    for shift in range(0, 63, 7):
        byte = file.read(1)
        if not byte:
            return None
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return value
    return None
