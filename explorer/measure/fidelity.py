"""Whether a graph that was rewritten still computes what the file does, by running both.

Rewriting is meant to change nothing; here it is checked, on random inputs, in ONNX Runtime without
its own optimisations, so that the same kernels run on both sides.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import onnx_ir as ir

from explorer.errors import CompressionError, MeasurementError, ModelError
from explorer.formats.data import Array
from explorer.formats.onnx_file import bare_proto, parse
from explorer.graph.operators import opset_of
from explorer.graph.opset import CannotRaiseError, upgrade
from explorer.graph.shapes import infer_shapes
from explorer.measure.runtime import RUNTIME, check_opens, example_inputs, run_plainly
from explorer.model import Model
from explorer.network import per_model

TOLERANCE = 1e-4  # of the largest number in an output
HALF_TOLERANCE = 5e-3  # where the graph holds half-precision numbers, which have 3 digits
HALVES = (ir.DataType.FLOAT16, ir.DataType.BFLOAT16)
NOT_REARRANGED = (
    "The graph is used as it is, because the explorer's usual simplification would change its "
    "outputs; fewer channels may be prunable."
)


def checked(model: Model) -> Model:
    """A model that was just loaded, with its graph rearranged only where that changes no output.

    Where it does change them, a remark of the model says so.

    Raises:
        ModelError: the graph gives other outputs even in its plainest form.
    """
    wanted = expected_outputs(model)
    if wanted is None or _gives(model, model.graph_model, wanted):
        return model
    plain = parse(model.data, rearranged=False)
    if not _gives(model, plain, wanted):
        raise ModelError(
            f"{model.name} gives other outputs once its functions and constants are written out; "
            "export it again without functions."
        )
    found = replace(model, remarks=(*model.remarks, NOT_REARRANGED), cache={})
    found.__dict__["graph_model"] = plain
    return found


def why_not_raised(model: Model, opset: int) -> str | None:
    """Why a model's graph can't be written at an opset; None where it can.

    Its outputs must stay as they are; looked at once for each opset.
    """
    if opset <= opset_of(model.graph_model):
        return None
    key = ("why_not_raised", opset)
    if key not in model.cache:
        model.cache[key] = _why_not_raised(model, opset)
    reason: str | None = model.cache[key]
    return reason


def check_raised(model: Model, opset: int) -> None:
    """Refuse an opset at which a model's graph can't be written.

    Raises:
        CompressionError: it can't, for the reason that the message gives.
    """
    reason = why_not_raised(model, opset)
    if reason is not None:
        raise CompressionError(f"The graph can't be raised to opset {opset}: {reason}.")


def _why_not_raised(model: Model, opset: int) -> str | None:
    try:
        raised = upgrade(model.graph_model.clone(), opset, infer_shapes(model))
    except CannotRaiseError as error:
        return error.why
    wanted = expected_outputs(model)
    try:
        if wanted is None:
            return _why_not_opened(model, raised)
        outputs = _outputs(model, raised)
    except MeasurementError as error:
        return f"there, {str(error).rstrip('.')}"
    return None if _are_alike(outputs, wanted, model) else f"{RUNTIME} gives other outputs there"


def _why_not_opened(model: Model, graph_model: ir.Model) -> str | None:
    """Why the runtime opens a rewritten graph no more; None where it never opened the file."""
    try:
        check_opens(model.data, model.name)
    except MeasurementError:
        return None  # whoever measures the model will say so
    check_opens(bare_proto(graph_model).SerializeToString(), model.name)
    return None


@per_model
def expected_outputs(model: Model) -> list[Array] | None:
    """What the file itself gives on random inputs; None where that tells nothing.

    The runtime may not run it, or give something else each time.
    """
    try:
        feed = example_inputs(model)
        first, second = (run_plainly(model.data, model.name, feed) for _ in range(2))
    except MeasurementError:
        return None  # whoever measures the model will say so
    return first if _are_alike(first, second, model) else None


def _gives(model: Model, graph_model: ir.Model, wanted: list[Array]) -> bool:
    try:
        return _are_alike(_outputs(model, graph_model), wanted, model)
    except MeasurementError:
        return False


def _outputs(model: Model, graph_model: ir.Model) -> list[Array]:
    data = bare_proto(graph_model).SerializeToString()
    return run_plainly(data, model.name, example_inputs(model))


def _are_alike(outputs: Sequence[object], wanted: Sequence[object], model: Model) -> bool:
    if len(outputs) != len(wanted):
        return False
    tolerance = HALF_TOLERANCE if _has_halves(model) else TOLERANCE
    return all(is_alike(a, b, tolerance) for a, b in zip(outputs, wanted, strict=True))


def is_alike(output: object, wanted: object, tolerance: float = TOLERANCE) -> bool:
    """True for two outputs, also sequences and maps, that differ by rounding at most.

    `tolerance` is that of floating-point numbers, relative to the largest that is wanted.
    """
    if isinstance(wanted, list | tuple) and isinstance(output, list | tuple):
        pairs = zip(output, wanted, strict=False)
        return len(output) == len(wanted) and all(is_alike(a, b, tolerance) for a, b in pairs)
    if isinstance(wanted, dict) and isinstance(output, dict):
        return output.keys() == wanted.keys() and all(
            is_alike(output[key], wanted[key], tolerance) for key in wanted
        )
    if output is None or wanted is None:
        return output is wanted
    array, reference = np.asarray(output), np.asarray(wanted)
    if array.shape != reference.shape or array.dtype != reference.dtype:
        return False
    if reference.dtype.kind not in "fc":
        return bool((array == reference).all())
    largest = np.abs(reference[np.isfinite(reference)]).max(initial=0.0)
    return bool(np.allclose(array, reference, 0.0, tolerance * float(largest), equal_nan=True))


@per_model
def _has_halves(model: Model) -> bool:
    return any(dtype in HALVES for dtype in infer_shapes(model).dtypes.values())
