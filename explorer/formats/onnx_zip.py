"""An ONNX model with the one file of its weights, zipped together."""

from pathlib import Path, PurePosixPath

from explorer.errors import ModelError
from explorer.formats.archive import Archive
from explorer.formats.onnx_file import OnnxFile, load_with
from explorer.formats.onnx_sides import Part
from explorer.names import file_name

MOST_FILES = 2


def load_zip(path: Path, title: str) -> OnnxFile:
    """Read a zip of exactly one .onnx file and at most one file with its weights beside it.

    Raises:
        ModelError: there are other files in it, the weights aren't where the model says, or the
            model is refused by `load`.
    """
    archive = Archive(path, title, ModelError)
    model, side = _members(archive)
    return load_with(archive.read(model), _inside(archive, side), title)


def _members(archive: Archive) -> tuple[str, str | None]:
    title, names = archive.title, archive.names
    models = [name for name in names if name.endswith(".onnx")]
    if len(models) != 1:
        raise ModelError(f"{title} holds {len(models)} .onnx files; pack exactly one.")
    others = [name for name in names if name != models[0]]
    if len(names) > MOST_FILES:
        raise ModelError(
            f"{title} holds {len(names)} files; pack the .onnx file with the one file of its "
            "weights and nothing else."
        )
    if any(PurePosixPath(name).parent != PurePosixPath(models[0]).parent for name in others):
        raise ModelError(
            f"{title} holds its two files in different folders; pack them side by side."
        )
    return models[0], others[0] if others else None


def _inside(archive: Archive, side: str | None) -> Part:
    """Reads the second file of the archive, which is unpacked once."""
    read: list[bytes] = []

    def part(name: str, offset: int, length: int) -> bytes | None:
        if side is None or PurePosixPath(side).name != name:
            raise ModelError(
                f"{archive.title} lacks the file {file_name(name)!r} that its model keeps weights "
                "in; pack it beside the .onnx file."
            )
        if not read:
            read.append(archive.read(side))
        return read[0][offset : offset + length] if offset + length <= len(read[0]) else None

    return part
