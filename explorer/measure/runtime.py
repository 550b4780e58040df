"""ONNX Runtime as the explorer uses it: one session per model, no spinning, errors in words."""

import math
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as native

from explorer.errors import DataError, MeasurementError
from explorer.formats.data import NUMBERS, Array, Dataset
from explorer.graph.memory import DEQUANTIZE, QUANTIZE
from explorer.graph.shapes import input_sizes
from explorer.measure.out_of_range import check_indices, is_out_of_range
from explorer.measure.sample_axis import rows_at_once
from explorer.model import Model
from explorer.names import cleaned
from explorer.network import Shape, ValueRange

# What the runtime raises; its exceptions have no common root of their own.
FAILURES = (
    native.Fail,
    native.InvalidArgument,
    native.InvalidGraph,
    native.InvalidProtobuf,
    native.NotImplemented,
    native.RuntimeException,
    native.EPFail,
    native.NotFound,
    RuntimeError,
    ValueError,
)

RUNTIME = f"onnxruntime {ort.__version__}"
BATCH = 64  # samples per call where the model takes any number: more don't stay in the cache
SCORING_THREADS = 2
MOST_EXAMPLE = 2**28  # numbers in an input that is made up
ONLY_ONES = ValueRange(1, 1, "")  # of a mask
ONE_BIT = ValueRange(0, 1, "")  # whole numbers that are made up where nothing limits them
RUN_LIMIT_S = 10.0  # for one run on one sample, which takes the largest networks a second or two
NAMELESS = "?"  # an open dimension without a name, in a `TensorSpec`
MASK = "mask"  # in the name of an input whose zeros leave out what another one holds
QUIET = 4  # log only what is fatal; everything else arrives as an exception
UNKNOWN_OP = re.compile(r"(\S+?)\(?-?\d*\)? is not a registered function/op")
NO_KERNEL = re.compile(r"implementation for ([\w.:]+)\(")


def open_session(model: Model, threads: int = 1) -> ort.InferenceSession:
    """A session on the CPU; the same one each time for the same model and thread count.

    Raises:
        MeasurementError: the runtime can't run the model.
    """
    key = ("session", threads)
    if key not in model.cache:
        model.cache[key] = new_session(model, threads)
    return model.cache[key]


def new_session(
    model: Model, threads: int = 1, profile_to: str | None = None
) -> ort.InferenceSession:
    """A session of its own, to be dropped after use.

    With `profile_to`, the start of a path, the runtime keeps a record of every node's time.
    """
    options = ort.SessionOptions()
    if profile_to is not None:
        options.enable_profiling = True
        options.profile_file_prefix = profile_to
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = QUIET
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if is_weight_only(model):
        options.add_session_config_entry("session.disable_quant_qdq", "1")
    try:
        data = _with_open_inputs(model)
        return ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except FAILURES as error:
        raise MeasurementError(explain(error, model.name)) from error


def _with_open_inputs(model: Model) -> bytes:
    """The file; where inputs have dimensions of zero, which the runtime takes at their word, open.

    It opens those below zero by itself.
    """
    if not any(NAMELESS in spec.shape for spec in model.inputs):
        return model.data
    proto = onnx.load_model_from_string(model.data)
    dims = [dim for value in proto.graph.input for dim in value.type.tensor_type.shape.dim]
    empty = [dim for dim in dims if dim.HasField("dim_value") and dim.dim_value == 0]
    for dim in empty:
        dim.ClearField("dim_value")
    data: bytes = proto.SerializeToString() if empty else model.data
    return data


def is_weight_only(model: Model) -> bool:
    """True where weights are quantized and activations aren't.

    Such a file must be opened with `session.disable_quant_qdq=1`: the runtime then unpacks the
    weights once, at load time, instead of at each run.
    """
    ops = {node.op_type for node in model.graph_model.graph}
    return DEQUANTIZE in ops and QUANTIZE not in ops


def run(model: Model, session: ort.InferenceSession, feed: dict[str, Array]) -> list[Array]:
    """One call.

    Raises:
        DataError: the inputs lead to an index that a table doesn't have.
        MeasurementError: the runtime fails on these inputs.
    """
    try:
        outputs: list[Array] = session.run(None, feed)
    except FAILURES as error:
        if is_out_of_range(error):
            check_indices(model, feed, _outputs_if_any)
        raise MeasurementError(explain(error, model.name)) from error
    return outputs


def run_plainly(
    data: bytes, name: str, feed: dict[str, Array], limit_s: float = RUN_LIMIT_S
) -> list[Array]:
    """Outputs of a file without the runtime's optimisations: each node by its own kernel.

    Raises:
        MeasurementError: the runtime can't run it, or takes longer than `limit_s`.
    """
    try:
        return run_limited(_plain_session(data), feed, limit_s)
    except FAILURES as error:
        raise MeasurementError(explain(error, name)) from error


def check_opens(data: bytes, name: str) -> None:
    """Refuse a file with which the runtime makes no session.

    Raises:
        MeasurementError: it doesn't know an operator, or rejects the graph.
    """
    try:
        _plain_session(data)
    except FAILURES as error:
        raise MeasurementError(explain(error, name)) from error


def _plain_session(data: bytes) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads, options.log_severity_level = 1, QUIET
    return ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def run_limited(
    session: ort.InferenceSession, feed: dict[str, Array], limit_s: float
) -> list[Array]:
    """One call that is stopped after a while; the runtime looks for that between two nodes.

    Raises:
        MeasurementError: the call takes longer than `limit_s`.
    """
    options = ort.RunOptions()
    options.log_severity_level = QUIET
    alarm = threading.Timer(limit_s, setattr, (options, "terminate", True))
    alarm.start()
    try:
        outputs: list[Array] = session.run(None, feed, options)
    except FAILURES as error:
        if options.terminate:
            raise TooSlowError(f"One sample takes longer than {limit_s:.0f} seconds.") from error
        raise
    finally:
        alarm.cancel()
    return outputs


class TooSlowError(MeasurementError):
    """A run takes longer than it may."""


def run_example(model: Model, session: ort.InferenceSession, feed: dict[str, Array]) -> None:
    """One call on inputs that were made up.

    Raises:
        MeasurementError: the runtime fails on them.
    """
    try:
        run(model, session, feed)
    except DataError as error:
        raise MeasurementError(
            f"{model.name} can't be timed: no inputs could be made up for it ({error})"
        ) from error


def _outputs_if_any(model: Model, feed: dict[str, Array]) -> list[Array] | None:
    """Outputs of a part of a graph that may fail as the whole has."""
    try:
        outputs: list[Array] = new_session(model).run(None, feed)
    except (MeasurementError, *FAILURES):
        return None
    return outputs


def run_all(model: Model, data: Dataset) -> Iterator[list[Array]]:
    """Outputs of all samples, batch by batch, without the padding of fixed batches.

    An output without a row for each sample beside others is empty: (samples, 0).

    Raises:
        MeasurementError: no output has a row for each sample, or the runtime can't run the model.
    """
    session, left = open_session(model, SCORING_THREADS), len(data)
    for feed in data.batches(model, rows_at_once(model, data, BATCH)):
        size = min(left, len(next(iter(feed.values()))))
        outputs = run(model, session, feed)
        has_rows = [output.ndim > 0 and len(output) >= size for output in outputs]
        if not any(has_rows):
            raise MeasurementError(
                f"{model.name} gives outputs without one row a sample; they can't be compared."
            )
        yield [
            output[:size] if each else np.empty((size, 0), output.dtype)
            for output, each in zip(outputs, has_rows, strict=True)
        ]
        left -= size


def example_inputs(
    model: Model, seed: int = 0, sizes: Mapping[str, Shape] | None = None
) -> dict[str, Array]:
    """Random inputs of the model's input sizes, or of other ones.

    Integers are 0 and 1, in a mask 1, or indices into their table.

    Raises:
        MeasurementError: an input takes no numbers, or more than fit into memory.
    """
    rng = np.random.default_rng(seed)
    sizes = input_sizes(model) if sizes is None else sizes
    feed: dict[str, Array] = {}
    for spec in model.inputs:
        shape = sizes.get(spec.name, ())
        if spec.dtype not in NUMBERS:
            raise MeasurementError(
                f"{model.name} takes {cleaned(spec.dtype)} values, which the explorer can't make "
                "up; it can't be timed."
            )
        if math.prod(shape) > MOST_EXAMPLE:
            raise MeasurementError(
                f"{model.name} takes more numbers at once than fit into memory; it can't be timed."
            )
        values: npt.NDArray[np.generic]
        if spec.dtype.startswith("float") and spec.values is None:
            values = rng.standard_normal(shape, dtype=np.float32)
        else:
            limits = spec.values or (ONLY_ONES if MASK in spec.name.lower() else ONE_BIT)
            values = rng.integers(min(max(0, limits.low), limits.high), limits.high + 1, shape)
        feed[spec.name] = values.astype(spec.dtype)
    return feed


def runs_with(model: Model, sizes: Mapping[str, Shape]) -> bool:
    """False where the runtime opens a model and refuses inputs of these shapes."""
    try:
        run_limited(open_session(model), example_inputs(model, sizes=sizes), RUN_LIMIT_S)
    except MeasurementError:
        return True  # too slow, or wrong in a way that no size would help
    except FAILURES:
        return False
    return True


def check_ends(model: Model, limit_s: float = RUN_LIMIT_S) -> None:
    """Run a model once, and stop it where it goes on for too long; other failures don't count.

    Raises:
        MeasurementError: one run takes longer than `limit_s`.
    """
    try:
        with suppress(*FAILURES):
            run_limited(open_session(model), example_inputs(model), limit_s)
    except TooSlowError as error:
        raise MeasurementError(
            f"{model.name} takes longer than {limit_s:.0f} seconds for one sample, or never ends; "
            "it is too slow for the explorer."
        ) from error
    except MeasurementError:
        return  # whoever measures the model will say so


def explain(error: Exception, name: str) -> str:
    """One sentence for a runtime's error, without its paths and internals."""
    text = str(error)
    for pattern in (UNKNOWN_OP, NO_KERNEL):
        match = pattern.search(text)
        if match:
            return f"{RUNTIME} can't run {name}: it has no operator {match.group(1).lstrip(':')}."
    if is_out_of_range(error):
        return (
            f"{RUNTIME} can't run {name} on these inputs: they lead to an index that a table in it "
            "doesn't have."
        )
    if "INVALID_ARGUMENT" in text or "Got invalid dimensions" in text:
        return f"{RUNTIME} can't run {name} on inputs of this shape."
    if "bad_alloc" in text or "Failed to allocate" in text:
        return f"{RUNTIME} ran out of memory on {name}."
    return f"{RUNTIME} can't run {name}: it rejects the graph."
