"""ONNX files: the checks at the door, and the one normal form that the rest works on."""

import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
from google.protobuf.message import DecodeError
from onnx import helper
from onnx_ir.passes import common as passes

from explorer.errors import ModelError, reason_of
from explorer.formats.archive import Archive
from explorer.formats.onnx_limits import check_limits
from explorer.formats.onnx_sides import Part, beside, take_in
from explorer.formats.onnx_verdicts import AGAIN, verdict
from explorer.formats.signatures import HEAD_BYTES, check_not_foreign, refused, refused_zip
from explorer.graph import annotations
from explorer.graph.memory import QUANTIZE
from explorer.graph.normalize.simplify import simplify
from explorer.graph.operators import PRODUCTS, STANDARD_DOMAINS, WEIGHT_DTYPES
from explorer.graph.opset import has_spread_softmax, spread_softmaxes
from explorer.graph.shapes import Shapes, infer
from explorer.names import cleaned

OPSETS = range(7, 27)
PROTOBUF_LIMIT_BYTES = 2**31 - 1
IR_VERSION_WITHOUT_INPUT_WEIGHTS = 4  # from here on weights need not be graph inputs
BLOCKED_DOMAIN = "com.microsoft.nchwc"  # weights in blocks, as the layout optimiser writes them
INCONSISTENT = (ValueError, TypeError, LookupError, RuntimeError, AttributeError, AssertionError)
FLOATS = WEIGHT_DTYPES | {ir.DataType.BFLOAT16}


@dataclass(frozen=True, eq=False)
class OnnxFile:
    """A file that passed all checks: its `name`, its bytes, and its graph in normal form."""

    name: str
    data: bytes = field(repr=False)
    graph_model: ir.Model = field(repr=False)


def load(source: str | os.PathLike[str] | bytes, name: str | None = None) -> OnnxFile:
    """Read an ONNX model from a path or from its bytes.

    Weights in a side file are taken in when `source` is a path.

    Raises:
        ModelError: the file is missing, damaged, not ONNX, of an unknown opset, too large, breaks
            a rule of ONNX, or has weights that aren't numbers.
    """
    if isinstance(source, bytes | bytearray | memoryview):
        return load_with(bytes(source), None, name or "model")
    if not isinstance(source, str | os.PathLike):
        raise ModelError(
            f"The model is of type {type(source).__name__}; give the path or the bytes of an ONNX "
            "file."
        )
    path = Path(source)
    title = name or path.stem
    return load_with(_read(path), beside(path.parent, title), title)


def load_with(data: bytes, part: Part | None, title: str) -> OnnxFile:
    """Read a model from its bytes; `part` reads its second file, if it may have one.

    Raises:
        ModelError: as `load`.
    """
    proto = _decode(data, title)
    tensors = check_limits(proto, title)
    _check_kinds(proto, title)
    if take_in(tensors, part, title):
        data = _serialised(proto, title)
    declared = _serialised(proto, title) if _declare_outputs(proto) else data
    _check(proto, declared, title)
    graph_model = _normalise(proto)
    _check_ends(graph_model, title)
    _check_weights(graph_model, title)
    _check_scales(graph_model, title)
    return OnnxFile(title, data, graph_model)


def parse(data: bytes, rearranged: bool = True) -> ir.Model:
    """The normal form of a file that `load` or `encoded` has let through.

    Functions are inlined, constants are initialisers, initialisers aren't inputs, outputs have a
    type and a shape, every node has a unique name, and, if `rearranged`, detours are gone (see
    `graph.normalize`).
    """
    proto = onnx.load_model_from_string(data)
    _declare_outputs(proto)
    return _normalise(proto, rearranged)


def encoded(graph_model: ir.Model, name: str, keeps_metadata: bool = False) -> bytes:
    """A graph as a file, without notes beside nodes and tensors unless it keeps them.

    Raises:
        ModelError: the file would pass protobuf's limit of 2 GiB.
    """
    proto = bare_proto(graph_model, keeps_metadata)
    if proto.ByteSize() > PROTOBUF_LIMIT_BYTES:
        raise ModelError(f"{name} would be larger than 2 GiB, which one ONNX file can't hold.")
    data: bytes = proto.SerializeToString()
    return data


def bare_proto(graph_model: ir.Model, keeps_metadata: bool = False) -> onnx.ModelProto:
    """The graph as protobuf, without what can be inferred about intermediate tensors.

    Notes beside nodes and tensors go too, unless it `keeps_metadata`.
    """
    proto: onnx.ModelProto = ir.to_proto(graph_model)
    del proto.graph.value_info[:]
    if not keeps_metadata:
        annotations.clear(proto)
    return proto


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise ModelError(f"There is no file {path}.") from error
    except (OSError, ValueError) as error:
        reason = reason_of(error)
        raise ModelError(f"{path} can't be read: {reason}.") from error


def _decode(data: bytes, title: str) -> onnx.ModelProto:
    head = data[:HEAD_BYTES]
    check_not_foreign(head, title)
    if head[:1] == b"\x80":
        raise refused(title, "a PyTorch file")
    if head[:2] == b"PK":
        names = Archive(data, title, ModelError).names
        if any(name.endswith(".onnx") for name in names):
            raise ModelError(
                f"{title} is a zip archive; unpack it and choose the model file in it."
            )
        refusal = refused_zip(title, names)
        raise refusal or refused(title, "a PyTorch file or an archive")
    try:
        proto = onnx.load_model_from_string(data)
    except DecodeError as error:
        raise ModelError(f"{title} is not an ONNX model, or it is cut short or damaged.") from error
    if not proto.graph.node or not proto.opset_import:
        raise ModelError(f"{title} is not an ONNX model: it holds no operators.")
    return proto


def _check_kinds(proto: onnx.ModelProto, title: str) -> None:
    """Refuse what is no tensor of numbers one by one: sparse tensors, and maps."""
    if proto.graph.sparse_initializer:
        raise ModelError(f"{title} has sparse initializers; save its weights as dense tensors.")
    for node in proto.graph.node:
        if any(attribute.HasField("sparse_tensor") for attribute in node.attribute):
            where = cleaned(node.name or ", ".join(node.output))
            raise ModelError(
                f"{title} has a sparse constant in {where!r}; save its weights as dense tensors."
            )
    for values, verb in ((proto.graph.input, "takes"), (proto.graph.output, "gives")):
        for value in values:
            if _holds_map(value.type):
                raise ModelError(
                    f"{title} {verb} maps ({cleaned(value.name)!r}), and the explorer works on "
                    "tensors; convert it again with plain arrays (in skl2onnx with zipmap=False)."
                )


def _holds_map(kind: onnx.TypeProto) -> bool:
    if kind.HasField("sequence_type"):
        return _holds_map(kind.sequence_type.elem_type)
    if kind.HasField("optional_type"):
        return _holds_map(kind.optional_type.elem_type)
    return bool(kind.HasField("map_type"))


def _declare_outputs(proto: onnx.ModelProto) -> bool:
    """Say which type and shape the outputs have of which the file doesn't; whether there were any.

    ONNX demands both, and the runtime neither.
    """
    if all(value.type.tensor_type.HasField("shape") for value in proto.graph.output):
        return False
    try:
        inferred = onnx.shape_inference.infer_shapes(proto)
    except (onnx.shape_inference.InferenceError, ValueError, RuntimeError):
        return False  # the checker says what is wrong
    del proto.graph.output[:]
    proto.graph.output.extend(inferred.graph.output)
    given = {value.name: value.type for value in proto.graph.input}
    for tensor in proto.graph.initializer:
        spec = helper.make_tensor_type_proto(tensor.data_type, tensor.dims)
        given.setdefault(tensor.name, spec)
    for value in proto.graph.output:
        if value.name in given and not value.type.tensor_type.HasField("shape"):
            value.type.CopyFrom(given[value.name])
    return True


def _serialised(proto: onnx.ModelProto, title: str) -> bytes:
    if proto.ByteSize() > PROTOBUF_LIMIT_BYTES:
        raise ModelError(f"{title} is larger than 2 GiB, which the explorer can't hold.")
    data: bytes = proto.SerializeToString()
    return data


def _check(proto: onnx.ModelProto, data: bytes, title: str) -> None:
    for opset in _opsets(proto):
        if opset not in OPSETS:
            raise ModelError(
                f"{title} uses opset {opset}; the explorer reads opsets {OPSETS[0]} to "
                f"{OPSETS[-1]}, so export it again with one of these."
            )
    if any(node.domain == BLOCKED_DOMAIN for node in proto.graph.node):
        raise ModelError(
            f"{title} was rearranged by ONNX Runtime for one machine; open the file that it was "
            "made from."
        )
    try:
        onnx.checker.check_model(data)  # the bytes, as it would serialise a copy
    except (onnx.checker.ValidationError, ValueError, RuntimeError, TypeError) as error:
        raise verdict(str(error), title) from error


def _opsets(proto: onnx.ModelProto) -> set[int]:
    """Versions of ONNX's own operators that the graph and its functions use."""
    imports = [proto.opset_import, *(function.opset_import for function in proto.functions)]
    return {entry.version for each in imports for entry in each if entry.domain in STANDARD_DOMAINS}


def _normalise(proto: onnx.ModelProto, rearranged: bool = True) -> ir.Model:
    try:
        return _normalised(proto, rearranged)
    except INCONSISTENT as error:
        raise ModelError("The graph refers to tensors or types that it doesn't define.") from error


def _normalised(proto: onnx.ModelProto, rearranged: bool) -> ir.Model:
    for value in [value for value in proto.graph.value_info if _holds_map(value.type)]:
        proto.graph.value_info.remove(value)  # which nobody needs, and `ir` doesn't know
    model = ir.from_proto(proto)
    if model.functions:
        passes.InlinePass()(model)
    passes.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    passes.RemoveInitializersFromInputsPass()(model)
    for value in model.graph.initializers.values():  # whatever else the file says of its weights
        assert value.const_value is not None
        value.dtype, value.shape = (
            value.const_value.dtype,
            ir.Shape(value.const_value.shape.numpy()),
        )
    model.ir_version = max(model.ir_version, IR_VERSION_WITHOUT_INPUT_WEIGHTS)
    _open_dimensions(model)
    taken: set[str] = set()
    for index, node in enumerate(model.graph):
        if not node.name or node.name in taken:
            node.name = f"{node.op_type}_{index}"
        taken.add(node.name)
    if has_spread_softmax(model):
        spread_softmaxes(model, _shapes_of(model))
    if rearranged:
        simplify(model)
    return model


def _shapes_of(model: ir.Model) -> Shapes:
    """As far as they can be found: a graph whose sizes contradict each other says so when asked."""
    try:
        return infer(model)
    except ModelError:
        return Shapes({}, {})


def _open_dimensions(model: ir.Model) -> None:
    """A dimension of zero or less of an input or output is open."""
    for value in (*model.graph.inputs, *model.graph.outputs):
        if value.shape is not None and any(isinstance(d, int) and d <= 0 for d in value.shape):
            value.shape = ir.Shape(
                [None if isinstance(d, int) and d <= 0 else d for d in value.shape]
            )


def _check_ends(model: ir.Model, title: str) -> None:
    for values, what in ((model.graph.inputs, "inputs"), (model.graph.outputs, "outputs")):
        if not values:
            raise ModelError(f"{title} has no {what}, so there is nothing to run; {AGAIN}.")


def _check_weights(model: ir.Model, title: str) -> None:
    """Refuse weights that aren't numbers; infinities may stand in masks, but not in a product."""
    for name, value in model.graph.initializers.items():
        tensor = value.const_value
        if tensor is None or tensor.dtype not in FLOATS:
            continue
        try:
            array = tensor.numpy()
        except ValueError as error:
            raise ModelError(
                f"{title} is damaged: {cleaned(name)!r} is not as long as its shape says."
            ) from error
        # The sum is NaN or infinite if any weight is; only then is every weight looked at.
        with np.errstate(over="ignore", invalid="ignore"):
            if np.isfinite(array.sum(dtype=np.float64)):
                continue
        wide = array.astype(np.float32, copy=False)
        multiplied = any(node.op_type in PRODUCTS for node in value.consumers())
        if np.isnan(wide).any() or (multiplied and not np.isfinite(wide).all()):
            raise ModelError(
                f"{title} has weights that are not finite numbers (NaN or infinity) in "
                f"{cleaned(name)!r}; save it again from a training run that didn't diverge."
            )


def _check_scales(model: ir.Model, title: str) -> None:
    """Refuse division by zero, for which the runtime gives garbage and no error."""
    for node in model.graph:
        scale = node.inputs[1] if node.op_type == QUANTIZE and len(node.inputs) > 1 else None
        tensor = scale.const_value if scale is not None else None
        if tensor is not None and tensor.dtype in FLOATS and not np.all(tensor.numpy()):
            raise ModelError(
                f"{title} quantizes by a scale of zero in {cleaned(node.name or '')!r}; quantize "
                "it again with samples that reach that layer."
            )
