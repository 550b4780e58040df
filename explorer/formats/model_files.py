"""The one door for model files from strangers: what they are, and the model in them."""

from dataclasses import dataclass
from pathlib import Path

from explorer.formats.kinds import Kind, identify
from explorer.formats.onnx_file import OnnxFile, load
from explorer.formats.onnx_zip import load_zip

Shapes = tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Imported:
    """A model as ONNX, the kind of file that it came in, and what was done or assumed."""

    file: OnnxFile
    kind: Kind
    notes: tuple[str, ...] = ()


def import_model(path: Path, title: str, shapes: Shapes | None = None) -> Imported:
    """Open a model file of any kind, called `title` in messages.

    `shapes` are those of the inputs, batch included, for TorchScript that doesn't record them.
    Some kinds run code that is in the file (`Kind.runs_code`): call this where that does no harm.

    Raises:
        ModelError: the file is of no kind that opens here, is damaged, or can't be converted.
    """
    kind = identify(path, title)
    if kind is Kind.ONNX:
        return Imported(load(path, title), kind)
    if kind is Kind.ONNX_ZIP:
        return Imported(load_zip(path, title), kind)
    from explorer.formats.torch_files import convert  # noqa: PLC0415 - imports torch

    file, notes = convert(path, kind, title, shapes)
    return Imported(file, kind, notes)
