"""A network as the explorer holds it: the bytes of an ONNX file, and the graph read from them.

The bytes are what is measured and what is downloaded. The graph is read once, on first use, and is
never changed; whoever wants another graph clones it.
"""

import hashlib
import os
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import onnx_ir as ir

from explorer.errors import OutputError, reason_of
from explorer.formats.onnx_file import OnnxFile, encoded, parse
from explorer.graph.ends import specs_of
from explorer.graph.layers import find_all_layers
from explorer.graph.lookups import value_ranges
from explorer.network import Layer, Shape, TensorSpec


@dataclass(frozen=True, eq=False)
class Model:
    """A network: `data` is the ONNX file, `name` what to call it.

    `remarks` are sentences about what was not done with it when it was opened. `input_sizes` are
    shapes of inputs that were set, by name; what they leave open is found (see `graph.shapes`).
    `runs_with` tries the model with inputs of such shapes, where only a run tells whether they fit.
    `cache` holds what was worked out (see `network.per_model`). It is a `network.Network`.
    """

    name: str
    data: bytes = field(repr=False)
    remarks: tuple[str, ...] = ()
    input_sizes: Mapping[str, Shape] = field(default_factory=dict)
    runs_with: "Callable[[Model, Mapping[str, Shape]], bool] | None" = field(
        default=None, repr=False
    )
    cache: dict[Any, Any] = field(default_factory=dict, repr=False)

    @cached_property
    def id(self) -> str:
        """SHA-256 of the file, in hex: equal files are equal models."""
        return hashlib.sha256(self.data).hexdigest()

    @cached_property
    def graph_model(self) -> ir.Model:
        """The graph, normalised (see `formats.onnx_file.parse`); treat it as read-only."""
        return parse(self.data)

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """The tensors that an inference needs."""
        ranges = value_ranges(self)
        specs = specs_of(self.graph_model.graph.inputs)
        return tuple(replace(spec, values=ranges.get(spec.name)) for spec in specs)

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """The tensors that an inference gives."""
        return specs_of(self.graph_model.graph.outputs)

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers with weights, in the order in which they run."""
        return find_all_layers(self)

    def with_changes(self, **changes: Any) -> "Model":
        """The same file with other `input_sizes`, or another `name`, and nothing else of it kept.

        It is not read again.
        """
        changed = replace(self, **changes, cache={})
        if "graph_model" in self.__dict__:
            changed.__dict__["graph_model"] = self.graph_model
        return changed

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the file; either all of it is there afterwards or nothing has changed.

        Raises:
            OutputError: the path can't be written.
        """
        write_atomically(Path(path), self.data)

    @classmethod
    def from_torch(cls, module: Any, example_inputs: Any, name: str = "model") -> "Model":
        """Export a `torch.nn.Module` once, with its first dimension left open.

        `example_inputs` is a tensor, or a tuple of all arguments.

        Raises:
            ModelError: torch can't export the module.
        """
        from explorer.formats.torch_module import export  # noqa: PLC0415 - imports torch

        return cls.of_file(export(module, example_inputs, name))

    @classmethod
    def of_file(cls, file: OnnxFile) -> "Model":
        """The model of a file that was read; its graph isn't read again."""
        model = cls(file.name, file.data)
        model.__dict__["graph_model"] = file.graph_model
        return model


def encode(graph_model: ir.Model, name: str, keeps_metadata: bool = False) -> Model:
    """Write a graph into a new model, without notes beside nodes and tensors unless it keeps them.

    The graph, in normal form, is the model's from then on.

    Raises:
        ModelError: the file would pass protobuf's limit of 2 GiB.
    """
    return Model.of_file(OnnxFile(name, encoded(graph_model, name, keeps_metadata), graph_model))


def write_atomically(path: Path, data: bytes) -> None:
    """Write bytes beside the target, then rename: no reader ever sees half a file.

    Raises:
        OutputError: the path can't be written.
    """
    temporary = None
    try:
        path = Path(os.path.realpath(path))  # a link stays one
        mode = path.stat().st_mode & 0o777 if path.exists() else None
        temporary = path.parent / f".{secrets.token_hex(8)}.part"
        with temporary.open("xb") as file:
            file.write(data)
        if mode is not None and mode != temporary.stat().st_mode & 0o777:
            temporary.chmod(mode)
        temporary.replace(path)
    except (OSError, ValueError) as error:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        reason = reason_of(error)
        raise OutputError(f"{path} can't be written: {reason}.") from error
