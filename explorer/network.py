"""What a network is to those who work on its graph: its tensors and layers, and where both lie.

Functions on graphs ask for a `Network`, of which `model.Model` is the one there is. So they don't
know the model, which knows them: it is read, described and sized by them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    import onnx_ir as ir

from explorer.reasons import Reason

Shape = tuple[int, ...]
Kind = TypeVar("Kind", bound="Network")
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
    leaves the layer alone (it is quantized already, or is inside a subgraph).
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
    closed: Reason | None = None

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


class Network(Protocol):
    """What functions on graphs need of a model; see `model.Model` for what each part is."""

    @property
    def data(self) -> bytes:
        """The ONNX file."""

    @property
    def graph_model(self) -> "ir.Model":
        """Its graph, which nobody changes."""

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """The tensors that an inference needs."""

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """The tensors that an inference gives."""

    @property
    def input_sizes(self) -> Mapping[str, Shape]:
        """Shapes of inputs that were set, by name."""

    @property
    def runs_with(self) -> "Callable[[Any, Mapping[str, Shape]], bool] | None":
        """Tries the model with inputs of such shapes."""

    @property
    def cache(self) -> dict[Any, Any]:
        """What was worked out, by whoever did; see `per_model`."""


def per_model(function: Callable[[Kind], Result]) -> Callable[[Kind], Result]:
    """Compute once per model and keep the result as long as the model lives."""

    @wraps(function)
    def cached(model: Kind) -> Result:
        if function not in model.cache:
            model.cache[function] = function(model)
        result: Result = model.cache[function]
        return result

    return cached
