"""PyTorch's own files, and bare weights, to ONNX."""

from pathlib import Path

import torch

from explorer.errors import ModelError
from explorer.formats.archive import Archive, is_zip
from explorer.formats.kinds import Kind
from explorer.formats.onnx_file import OnnxFile
from explorer.formats.torch_module import finished
from explorer.formats.torch_script import convert_script, open_script
from explorer.formats.torch_weights import convert_weights, read_safetensors, read_state_dict
from explorer.formats.torch_words import in_own_words
from explorer.graph.ends import specs_of
from explorer.names import cleaned

Shapes = tuple[tuple[int, ...], ...]
Converted = tuple[OnnxFile, tuple[str, ...]]  # the model, and sentences on what was done or assumed


def convert(path: Path, kind: Kind, title: str, shapes: Shapes | None = None) -> Converted:
    """The model in a file of one of torch's kinds, and notes on how it was read.

    `shapes` are those of the inputs, batch included, for TorchScript that doesn't record them.
    The result has passed `onnx_file.load`.

    Raises:
        ModelError: the file is damaged, torch can't make ONNX of it, or its weights are those of
            no known architecture.
    """
    _check_contents(path, title)
    if kind is Kind.TORCH_EXPORT:
        return _convert_program(path, title)
    if kind is Kind.TORCH_SCRIPT:
        return convert_script(path, title, shapes)
    read = read_safetensors if kind is Kind.SAFETENSORS else read_state_dict
    return convert_weights(*read(path, title), title)


def open_once(path: Path, kind: Kind, title: str, shapes: Shapes | None = None) -> None:
    """Load a file of a kind that runs code, and run it once where it can be run as it is.

    Raises:
        ModelError: as `convert`.
    """
    _check_contents(path, title)
    if kind is Kind.TORCH_SCRIPT:
        open_script(path, title, shapes)
    else:
        _load_program(path, title)


def _check_contents(path: Path, title: str) -> None:
    """Read all of a zip once: torch itself doesn't look at the checksums."""
    with path.open("rb") as file:
        head = file.read(4)
    if is_zip(head):
        archive = Archive(path, title, ModelError)
        for name in archive.names:
            archive.read(name)


def _load_program(path: Path, title: str) -> torch.export.ExportedProgram:
    broken = (
        f"{title} can't be read by torch {_version()}: it is damaged, or from another version; "
        "export it again with torch.export.save(program, path)."
    )
    with in_own_words(title, broken):
        return torch.export.load(path)


def _convert_program(path: Path, title: str) -> Converted:
    program = _load_program(path, title)
    with in_own_words(title, f"{title} uses an operation that torch can't write as ONNX."):
        exported = torch.onnx.export(program, (), dynamo=True, verbose=False)
        assert exported is not None
        file = finished(exported.model, title)
    return file, ("Exported to ONNX from a torch.export program.", *_fixed_axes(file))


def _fixed_axes(file: OnnxFile) -> list[str]:
    """A sentence for each input that takes one batch only."""
    return [
        f"It takes only {spec.shape[0]} along the first axis of {cleaned(spec.name)}."
        for spec in specs_of(file.graph_model.graph.inputs)
        if spec.shape and isinstance(spec.shape[0], int)
    ]


def _version() -> str:
    return str(torch.__version__).partition("+")[0]
