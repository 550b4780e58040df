"""Carrying out a plan: the graph is cloned, its tensors shrink, and a new file is written."""

from collections.abc import Callable
from enum import Enum

import onnx_ir as ir

from explorer.compress.blas_threads import with_fitting_threads
from explorer.compress.calibration import Calibration, check_calibration, find_spreads
from explorer.compress.compensation import (
    Compensated,
    compensate,
    plan_key,
    why_not_reconstructed,
)
from explorer.compress.equalisation import equalise
from explorer.compress.estimate import changes_nothing
from explorer.compress.naming import short_names, shorten
from explorer.compress.planned import check_plan, needed_opset
from explorer.compress.prune import cut_channels, lay_masks
from explorer.compress.quick import reconstruct_quickly
from explorer.compress.storage import name_mark
from explorer.compress.store import store
from explorer.errors import CompressionError, DataError, MeasurementError
from explorer.formats.data import Dataset
from explorer.graph.opset import upgrade
from explorer.graph.shapes import infer_shapes, input_sizes
from explorer.measure.fidelity import check_raised
from explorer.measure.quality import deviation
from explorer.model import Model, encode
from explorer.report import Plan


class Way(Enum):
    """How the weights that stay are made up."""

    PLAIN = "plain"
    QUICK = "quick"
    FULL = "full"


@with_fitting_threads
def apply(
    model: Model,
    plan: Plan,
    calibration: Calibration | None = None,
    check: Callable[[], None] = lambda: None,
) -> Model:
    """The compressed model; the original stays as it is, and is returned where nothing changes.

    Its input sizes are the original's.

    With calibration samples the remaining weights are reconstructed (see `compensation`), unless
    the recipe says no, or samples held out from the calibration fare worse with it. `check` is
    called between layers and may raise to stop the work.

    Raises:
        CompressionError: the plan or the calibration is for another model, or the plan rounds
            activations without calibration, or needs an opset that the graph can't be raised to.
    """
    check_plan(model, plan)
    check_calibration(model, calibration)
    if changes_nothing(model, plan):
        return model
    if plan.recipe.rounds_activations and calibration is None:
        raise CompressionError(
            "8-bit activations need samples to find their ranges; give calibration data."
        )
    check_raised(model, needed_opset(model, plan))
    if calibration is None or why_not_reconstructed(model, plan, calibration) is not None:
        return _carry_out(model, plan, calibration, Way.PLAIN, check)
    refitted = _carry_out(model, plan, calibration, Way.FULL, check)
    if calibration.held_out is None:
        return refitted
    plain = _carry_out(model, plan, calibration, Way.PLAIN, check)
    if not _is_nearer(plain, refitted, model, calibration.held_out):
        return refitted
    calibration.memory.worse.add(plan_key(plan))
    return plain


@with_fitting_threads
def apply_quickly(
    model: Model,
    plan: Plan,
    calibration: Calibration | None,
    check: Callable[[], None] = lambda: None,
) -> Model | None:
    """About the compressed model, much sooner (see `quick`); None where nothing is reconstructed.

    Raises:
        CompressionError: the plan or the calibration is for another model.
    """
    check_plan(model, plan)
    check_calibration(model, calibration)
    if calibration is None or why_not_reconstructed(model, plan, calibration) is not None:
        return None
    check_raised(model, needed_opset(model, plan))
    return _carry_out(model, plan, calibration, Way.QUICK, check)


def _is_nearer(plain: Model, refitted: Model, model: Model, samples: Dataset) -> bool:
    """True where the first gives outputs nearer to the model's on some samples than the second."""
    try:
        return deviation(plain, model, samples) < deviation(refitted, model, samples)
    except (DataError, MeasurementError):
        return False  # outputs without a row for each sample can't be compared


def _carry_out(
    model: Model,
    plan: Plan,
    calibration: Calibration | None,
    way: Way,
    check: Callable[[], None],
) -> Model:
    graph_model = model.graph_model.clone()
    _forget_shapes(graph_model)
    cut = cut_channels(model, plan, graph_model)
    found, is_other = Compensated(), cut
    if calibration is not None and way is Way.FULL:
        found = compensate(model, plan, graph_model, calibration, check)
    elif calibration is not None and way is Way.QUICK:
        found = Compensated(reconstruct_quickly(model, plan, graph_model, calibration, check))
        is_other = True
    else:
        is_other |= lay_masks(model, plan, graph_model)
        if calibration is not None and plan.recipe.compensate:
            is_other |= bool(equalise(model, plan, graph_model, calibration))
    graph_model = upgrade(graph_model, needed_opset(model, plan), infer_shapes(model))
    ranges = found.ranges
    if plan.recipe.rounds_activations and calibration is not None and not ranges:
        spreads = calibration.spreads
        if is_other:  # activations than the original's
            spreads = find_spreads(encode(graph_model, model.name), calibration.samples)
        ranges = {name: spread.full_range() for name, spread in spreads.items()}
    store(model, plan, graph_model, ranges, found.rounded)
    if plan.recipe.short_names:
        shorten(graph_model, short_names(model), name_mark(model))
    name = f"{model.name}-compressed"
    small = encode(graph_model, name, plan.recipe.keep_metadata)
    return small.with_changes(input_sizes=input_sizes(model))


def _forget_shapes(graph_model: ir.Model) -> None:
    """Drop what the graph says about intermediate tensors; it doesn't hold any more."""
    for node in graph_model.graph:
        for value in node.outputs:
            if not value.is_graph_output():
                value.shape, value.type = None, None
