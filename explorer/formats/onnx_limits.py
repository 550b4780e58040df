"""What an ONNX file may hold, checked on its messages before any library follows them.

Small files can stand for huge ones: functions that call functions twice each, a thousand levels
deep; tensors that say they have 2^60 numbers. All of it is counted here by arithmetic.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import onnx
import onnx_ir as ir
from google.protobuf.message import Message

from explorer.errors import ModelError
from explorer.graph.operators import STANDARD_DOMAINS
from explorer.names import cleaned

MOST_NODES = 50_000  # with each call of a function counted as the nodes in it
MOST_NESTED = 16  # graphs within graphs
MOST_CALLS_DEEP = 64  # functions that call functions
MOST_PARAMS = 1_100_000_000  # a file of 1 GiB in int8 has fewer
MOST_AXES = 32
EXTERNAL = onnx.TensorProto.EXTERNAL
STRING = onnx.TensorProto.STRING
BITS = {
    each.value: each.bitwidth
    for each in ir.DataType
    if each not in (ir.DataType.UNDEFINED, ir.DataType.STRING)
}
# Where the numbers stand that aren't raw bytes, and how many entries a number takes.
FIELDS: dict[int, tuple[str, int]] = {
    onnx.TensorProto.FLOAT: ("float_data", 1),
    onnx.TensorProto.COMPLEX64: ("float_data", 2),
    onnx.TensorProto.DOUBLE: ("double_data", 1),
    onnx.TensorProto.COMPLEX128: ("double_data", 2),
    onnx.TensorProto.INT64: ("int64_data", 1),
    onnx.TensorProto.UINT32: ("uint64_data", 1),
    onnx.TensorProto.UINT64: ("uint64_data", 1),
}
Key = tuple[str, str, str]  # domain, name and overload of an operator or function


@dataclass
class _Body:
    """A graph or function with all graphs inside it: its nodes, which functions they may call."""

    nodes: int = 0
    calls: Counter[Key] = field(default_factory=Counter)


def check_limits(proto: onnx.ModelProto, title: str) -> list[onnx.TensorProto]:
    """Refuse what would grow beyond measure; all tensors of the file, for whoever reads on.

    Raises:
        ModelError: there are too many nodes, levels or numbers, a function calls itself, a
            tensor isn't as long as its shape says, or a name is no text.
    """
    _check_texts(proto, title)
    census = _Census(title)
    main = census.body(proto.graph.node, proto.graph)
    functions: dict[Key, _Body] = {}
    for function in proto.functions:
        key = _key(function.domain, function.name, function.overload)
        if key in functions:
            raise ModelError(f"{title} defines the function {_quoted(key[1])} twice.")
        functions[key] = census.body(function.node, function)
    for training in proto.training_info:
        for graph in (training.initialization, training.algorithm):
            census.body(graph.node, graph)
    if _expanded(main, functions, title) > MOST_NODES:
        raise _too_many_nodes(title)
    _check_tensors(census.tensors, title)
    return census.tensors


def byte_count(tensor: onnx.TensorProto) -> int:
    """How many bytes a tensor of numbers takes, by its type and shape."""
    bits: int = math.prod(tensor.dims) * BITS[tensor.data_type]
    return -(-bits // 8)


def _check_texts(message: Message, title: str) -> None:
    """Refuse texts that aren't UTF-8, which protobuf reads without complaint and can't write."""
    for kind, value in message.ListFields():
        values = [value] if isinstance(value, str | bytes | Message) else value
        if kind.type == kind.TYPE_MESSAGE:
            for each in values:
                _check_texts(each, title)
        elif kind.type == kind.TYPE_STRING and any(isinstance(each, bytes) for each in values):
            raise ModelError(f"{title} is damaged: a name in it isn't text.")


class _Census:
    """Counts nodes and collects tensors, and stops as soon as there are too many."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.tensors: list[onnx.TensorProto] = []
        self._seen = 0

    def body(
        self, nodes: Iterable[onnx.NodeProto], owner: onnx.GraphProto | onnx.FunctionProto
    ) -> _Body:
        body = _Body()
        if isinstance(owner, onnx.GraphProto):
            self.tensors += _own_tensors(owner)
        else:
            self._attributes(owner.attribute_proto, body, 1)
        self._nodes(nodes, body, 1)
        return body

    def _nodes(self, nodes: Iterable[onnx.NodeProto], body: _Body, depth: int) -> None:
        if depth > MOST_NESTED:
            raise ModelError(
                f"{self.title} has graphs nested more than {MOST_NESTED} deep, more than the "
                "explorer can open."
            )
        for node in nodes:
            self._seen += 1
            if self._seen > MOST_NODES:
                raise _too_many_nodes(self.title)
            body.nodes += 1
            body.calls[_key(node.domain, node.op_type, node.overload)] += 1
            self._attributes(node.attribute, body, depth)

    def _attributes(
        self, attributes: Iterable[onnx.AttributeProto], body: _Body, depth: int
    ) -> None:
        for attribute in attributes:
            if attribute.HasField("t"):
                self.tensors.append(attribute.t)
            self.tensors += attribute.tensors
            for sparse in _sparse(attribute):
                self.tensors += (sparse.values, sparse.indices)
            for graph in _graphs(attribute):
                self.tensors += _own_tensors(graph)
                self._nodes(graph.node, body, depth + 1)


def _own_tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)


def _graphs(attribute: onnx.AttributeProto) -> Iterator[onnx.GraphProto]:
    if attribute.HasField("g"):
        yield attribute.g
    yield from attribute.graphs


def _sparse(attribute: onnx.AttributeProto) -> Iterator[onnx.SparseTensorProto]:
    if attribute.HasField("sparse_tensor"):
        yield attribute.sparse_tensor
    yield from attribute.sparse_tensors


def _key(domain: str, name: str, overload: str) -> Key:
    return ("" if domain in STANDARD_DOMAINS else domain, name, overload)


def _expanded(main: _Body, functions: dict[Key, _Body], title: str) -> int:
    """Nodes of the main graph once every call is replaced by what the function holds."""
    known: dict[Key, int] = {}
    under_way: set[Key] = set()

    def expand(body: _Body) -> int:
        calls = [(key, times) for key, times in body.calls.items() if key in functions]
        inside = sum(times * cost(key) for key, times in calls)
        return body.nodes - sum(times for _, times in calls) + inside

    def cost(key: Key) -> int:
        if key in under_way:
            raise ModelError(
                f"{title} has a function {_quoted(key[1])} that calls itself, which ONNX forbids."
            )
        if len(under_way) >= MOST_CALLS_DEEP:
            raise ModelError(
                f"{title} has functions that call each other over {MOST_CALLS_DEEP} levels; save "
                "it with its functions inlined."
            )
        if key not in known:
            under_way.add(key)
            known[key] = min(expand(functions[key]), MOST_NODES + 1)
            under_way.remove(key)
        return known[key]

    for key in functions:
        cost(key)
    return expand(main)


def _check_tensors(tensors: list[onnx.TensorProto], title: str) -> None:
    params = 0
    for tensor in tensors:
        name = _quoted(tensor.name) if tensor.name else "a constant"
        if len(tensor.dims) > MOST_AXES:
            axes = len(tensor.dims)
            raise ModelError(f"{title} has {name} with {axes} axes; the most is {MOST_AXES}.")
        if any(dim < 0 for dim in tensor.dims):
            raise ModelError(f"{title} is damaged: {name} has a negative size.")
        if tensor.data_type not in BITS and tensor.data_type != STRING:
            raise ModelError(f"{title} is damaged: {name} is of a type that ONNX doesn't have.")
        params += math.prod(tensor.dims)
        if params > MOST_PARAMS:
            raise ModelError(
                f"{title} has more than {MOST_PARAMS / 1e9:.1f} billion parameters, more than "
                "the explorer can open."
            )
        if tensor.data_location != EXTERNAL and not _is_complete(tensor):
            raise ModelError(f"{title} is damaged: {name} is not as long as its shape says.")


def _is_complete(tensor: onnx.TensorProto) -> bool:
    """Whether there are as many bytes, or entries, as the shape and the type need."""
    count: int = math.prod(tensor.dims)
    if tensor.data_type == STRING:
        return bool(len(tensor.string_data) == count)
    if tensor.HasField("raw_data"):
        return bool(len(tensor.raw_data) == byte_count(tensor))
    place, entries = FIELDS.get(tensor.data_type, ("int32_data", 1))
    packed = max(1, 8 // BITS[tensor.data_type])  # numbers in an entry
    return bool(len(getattr(tensor, place)) == -(-count * entries // packed))


def _quoted(name: str) -> str:
    return repr(cleaned(name))


def _too_many_nodes(title: str) -> ModelError:
    return ModelError(
        f"{title} has more than {MOST_NODES} nodes, with its functions written out; that is more "
        "than the explorer can open."
    )
