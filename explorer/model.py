"""A network as the explorer holds it: the bytes of an ONNX file, and the graph read from them.

The bytes are what is measured and what is downloaded. The graph is read once, on first use, and is
never changed; whoever wants another graph clones it.
"""

import hashlib
import os
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, wraps
from pathlib import Path
from typing import Any, TypeVar

import onnx_ir as ir

from explorer.errors import OutputError, reason_of

Shape = tuple[int, ...]
Result = TypeVar("Result")


@dataclass(frozen=True)
class ValueRange:
    """The whole numbers `low` to `high` that an input may hold: they are indices into `table`."""

    low: int
    high: int
    table: str


@dataclass(frozen=True)
class TensorSpec:
    """An input or output: its name, element type (`float32`, `int64`...) and dimensions.

    A dimension that the file leaves open (or gives as zero or less) is its symbol, or `?` where it
    has none. `values` limits those of an input that the graph uses as indices; None where it is not
    known to do so.
    """

    name: str
    dtype: str
    shape: tuple[int | str, ...]
    values: ValueRange | None = None


@dataclass(frozen=True)
class Layer:
    """A node with a weight: a convolution, a matrix product, an embedding, or a recurrent cell.

    `weight` names its initialiser of `weight_shape`; `channels` are its outputs on the weight axis
    `out_axis`, its inputs lie on `in_axis`. A recurrent cell is two layers, of its input weights
    and of its recurrent weights, whose channels are its hidden units. `closed` says why compressing
    leaves the layer alone (it is quantized already, or stands inside a subgraph).
    """

    name: str
    op: str
    node: str
    weight: str
    bias: str | None
    weight_shape: Shape
    dtype: str
    channels: int
    out_axis: int
    in_axis: int
    depthwise: bool = False
    closed: str | None = None

    @property
    def is_linear(self) -> bool:
        """False for a MatMul whose weight stands on the left, or is another one in each batch."""
        return self.op != "MatMul" or (len(self.weight_shape) == 2 and self.out_axis == 1)

    @property
    def weights(self) -> int:
        """Number of weights, without the bias."""
        count = 1
        for dim in self.weight_shape:
            count *= dim
        return count


@dataclass(frozen=True, eq=False)
class Model:
    """A network: `data` is the ONNX file, `name` what to call it.

    `remarks` are sentences about what was not done with it when it was opened. `input_sizes` are
    shapes of inputs that were set, by name; what they leave open is found (see `graph.shapes`).
    `runs_with` tries the model with inputs of such shapes, where only a run tells whether they fit.
    """

    name: str
    data: bytes = field(repr=False)
    remarks: tuple[str, ...] = ()
    input_sizes: Mapping[str, Shape] = field(default_factory=dict)
    runs_with: "Callable[[Model, Mapping[str, Shape]], bool] | None" = field(
        default=None, repr=False
    )
    _cache: dict[Any, Any] = field(default_factory=dict, repr=False)

    @cached_property
    def id(self) -> str:
        """SHA-256 of the file, in hex: equal files are equal models."""
        return hashlib.sha256(self.data).hexdigest()

    @cached_property
    def graph_model(self) -> ir.Model:
        """The graph, normalised (see `formats.onnx_file.parse`); treat it as read-only."""
        from explorer.formats.onnx_file import parse  # noqa: PLC0415 - a model reads its own bytes

        return parse(self.data)

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """The tensors that an inference needs."""
        from explorer.graph.lookups import value_ranges  # noqa: PLC0415 - the model's own view

        ranges = value_ranges(self)
        specs = (_spec(value) for value in self.graph_model.graph.inputs)
        return tuple(replace(spec, values=ranges.get(spec.name)) for spec in specs)

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """The tensors that an inference gives."""
        return tuple(_spec(value) for value in self.graph_model.graph.outputs)

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers with weights, in the order in which they run."""
        from explorer.graph.layers import find_all_layers  # noqa: PLC0415 - the model's own view

        return find_all_layers(self)

    def with_changes(self, **changes: Any) -> "Model":
        """The same file with other `input_sizes`, or another `name`, and nothing else of it kept.

        It is not read again.
        """
        changed = replace(self, **changes, _cache={})
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

        return export(module, example_inputs, name)


def per_model(function: Callable[[Model], Result]) -> Callable[[Model], Result]:
    """Compute once per model and keep the result as long as the model lives."""

    @wraps(function)
    def cached(model: Model) -> Result:
        if function not in model._cache:
            model._cache[function] = function(model)
        result: Result = model._cache[function]
        return result

    return cached


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


def _spec(value: ir.Value) -> TensorSpec:
    dims = value.shape if value.shape is not None else ()
    shape = tuple(dim if isinstance(dim, int) else str(dim.value or "?") for dim in dims)
    dtype = value.dtype.name.lower() if value.dtype is not None else "unknown"
    return TensorSpec(
        value.name or "", {"float": "float32", "double": "float64"}.get(dtype, dtype), shape
    )
