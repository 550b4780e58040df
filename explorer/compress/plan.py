"""From what was asked to what this graph allows."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from explorer.compress.allocation import allocate
from explorer.compress.bits import allocate_bits
from explorer.compress.blas_threads import with_fitting_threads
from explorer.compress.calibration import Calibration, check_calibration, newest_calibration
from explorer.compress.coupling import find_couplings
from explorer.compress.criteria import by_weight, unit_scores
from explorer.compress.patterns import N_OF_M, fixed_sparsity, unsuited
from explorer.compress.planned import storage_opset, units_alive, weights_left
from explorer.compress.portions import Portions, by_error, by_score, take
from explorer.compress.prune import array_of
from explorer.compress.quantizers import storage_for
from explorer.compress.selection import find_removal
from explorer.compress.storage import INTEGER_PRODUCTS
from explorer.errors import RecipeError
from explorer.graph.channels import ChannelGroup, find_channels
from explorer.graph.layers import find_layers
from explorer.graph.memory import QUANTIZE
from explorer.graph.others import describe_others
from explorer.graph.weights import find_weights
from explorer.measure.fidelity import why_not_raised
from explorer.model import Model
from explorer.network import Layer, per_model
from explorer.reasons import (
    MISREAD_INT2,
    NO_GROUPS,
    RATIO_WITHOUT_PATTERN,
    Reason,
    needs_opset,
    sentence_of,
    too_large,
)
from explorer.recipe import RECONSTRUCTION, Recipe
from explorer.report import GroupPlan, LayerPlan, Plan
from explorer.storage_types import (
    FLOAT16,
    FLOAT32,
    INT2,
    INT4,
    KERNEL_TYPES,
    STORAGE_TYPES,
    StorageType,
    wider_types,
)

NAMES_SHOWN = 8  # layer names listed in a message
INFINITE_HALF = 65_520.0  # rounds to infinity, from half a step above the largest number on


@with_fitting_threads
def plan(model: Model, recipe: Recipe, calibration: Calibration | None = None) -> Plan:
    """Decide what happens to each layer; weights are looked at but not copied.

    With a calibration, by default the newest one of this model, criterion `reconstruction` knows
    what each channel and weight is worth; without one, or without weight reconstruction, it
    judges by the weights alone, as `l2` does.

    Raises:
        RecipeError: it is no recipe, or names a layer that the model doesn't have.
        CompressionError: the calibration is for another model.
    """
    if not isinstance(recipe, Recipe):
        raise RecipeError(
            f"The recipe is of type {type(recipe).__name__}; give an explorer.Recipe."
        )
    layers = find_layers(model)
    _check_names(model.layers, recipe)
    check_calibration(model, calibration)
    calibration = calibration or newest_calibration(model)
    if recipe.criterion != RECONSTRUCTION or not recipe.compensate:
        calibration = None
    groups = _choose_channels(model, recipe, calibration)
    sparsity, reasons = _choose_masks(model, layers, recipe, calibration)
    widths = _choose_widths(model, layers, recipe, groups, calibration)
    return _assemble(model, recipe, groups, sparsity, reasons, widths)


def _assemble(
    model: Model,
    recipe: Recipe,
    groups: tuple[GroupPlan, ...],
    sparsity: dict[str, float],
    mask_reasons: dict[str, Reason],
    widths: dict[str, int],
) -> Plan:
    """The plan that follows from the removed channels, the sparsity and the bits of each layer."""
    channels = find_channels(model)
    alive = units_alive(model, groups)
    couplings = find_couplings(model, recipe.widths)
    planned = []
    for layer in model.layers:
        if layer.closed is not None:
            planned.append(_leave(model, layer, layer.closed, recipe))
            continue
        units = channels.outputs.get(layer.name)
        kept = layer.channels if units is None else int(alive[units].sum())
        width = widths[layer.name]
        bits, storage, notes = choose_storage(model, layer, recipe, width, kept)
        pruning_reason = mask_reasons.get(layer.name)
        coupling = couplings[layer.name]
        if recipe.pattern == "channel":
            pruning_reason = coupling.unprunable_reason
        reasons = notes if pruning_reason is None else (pruning_reason, *notes)
        planned.append(
            LayerPlan(
                name=layer.name,
                op=layer.op,
                channels=layer.channels,
                kept=kept,
                sparsity=sparsity.get(layer.name, 0.0),
                weight_bits=bits,
                storage=storage.name,
                skipped=sentence_of(*reasons),
                skipped_reasons=reasons,
                unprunable=sentence_of(coupling.unprunable_reason),
                **vars(coupling),
            )
        )
    return Plan(model.id, recipe, tuple(planned), groups, describe_others(model))


def _leave(model: Model, layer: Layer, reason: Reason, recipe: Recipe) -> LayerPlan:
    """A layer that stays as it is, with its true width."""
    bits = {weight.name: weight.bits for weight in find_weights(model)}
    return LayerPlan(
        name=layer.name,
        op=layer.op,
        channels=layer.channels,
        kept=layer.channels,
        sparsity=0.0,
        weight_bits=bits[layer.weight],
        storage=layer.dtype,
        skipped=None if recipe.is_identity else str(reason),
        skipped_reasons=() if recipe.is_identity else (reason,),
        unprunable=str(reason),
        unprunable_reason=reason,
        closed=True,
    )


def _check_names(layers: tuple[Layer, ...], recipe: Recipe) -> None:
    names = [layer.name for layer in layers]
    for choice in recipe.layers:
        if choice.name not in names:
            more = len(names) - NAMES_SHOWN
            listed = ", ".join(names[:NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")
            raise RecipeError(
                f"There is no layer {choice.name!r}; the model has {listed or 'none'}."
            )


def _choose_channels(
    model: Model, recipe: Recipe, calibration: Calibration | None
) -> tuple[GroupPlan, ...]:
    groups = find_channels(model).groups
    if recipe.pattern != "channel":
        return tuple(group_plan(group, np.zeros(0, dtype=np.int64)) for group in groups)
    asked = [_group_ratio(group, recipe) for group in groups]
    portions = portions_by_place(model, recipe, calibration)
    taken = {}
    for place, each in portions.items():
        ratio = asked[place]
        taken[place] = each.closest((recipe.ratio if ratio is None else ratio) * len(each.order))
    shared = [place for place in portions if asked[place] is None and recipe.scope == "global"]
    if shared and recipe.ratio:
        sharing = [portions[place] for place in shared]
        sequence = _sequence(model, shared, sharing, recipe, calibration)
        taken.update(zip(shared, take(sharing, sequence, recipe.ratio), strict=True))
    nothing = np.zeros(0, dtype=np.int64)
    return tuple(
        group_plan(group, portions[place].first(taken[place]) if place in taken else nothing)
        for place, group in enumerate(groups)
    )


def portions_by_place(
    model: Model, recipe: Recipe, calibration: Calibration | None
) -> Mapping[int, Portions]:
    """The portions of each group that may shrink, by its place among all groups.

    Found once for all recipes that judge and round channels alike; `calibration` is None where the
    recipe doesn't use it.
    """
    kept = model.cache if calibration is None else calibration.memory.portions
    key = ("portions", recipe.criterion, recipe.seed, recipe.round_to, recipe.widths)
    if key not in kept:
        kept[key] = {
            place: _portions_of(model, group, recipe, calibration)
            for place, group in enumerate(find_channels(model).groups)
            if group.guard is None or recipe.widths
        }
    portions: Mapping[int, Portions] = kept[key]
    return portions


def _portions_of(
    model: Model, group: ChannelGroup, recipe: Recipe, calibration: Calibration | None
) -> Portions:
    """A group's channels in the order in which they go."""
    weight = float(_channels_of_units(model)[group.units].mean())
    if calibration is not None:
        removal = find_removal(model, calibration, group)
        places = {unit: place for place, unit in enumerate(group.units.tolist())}
        order = np.array([places[unit] for unit in removal.order.tolist()])
        return Portions(order, removal.errors, weight, recipe.round_to)
    scores = unit_scores(model, by_weight(recipe.criterion), recipe.seed)[group.units]
    order = np.argsort(scores, kind="stable")
    return Portions(order, scores[order], weight, recipe.round_to)


def _sequence(
    model: Model,
    places: list[int],
    portions: list[Portions],
    recipe: Recipe,
    calibration: Calibration | None,
) -> list[int]:
    """In which order the groups give away their portions."""
    if calibration is None:
        return by_score(portions)
    key = ("sequence", tuple(places), recipe.round_to)
    sequences = calibration.memory.sequences
    if key not in sequences:
        sequences[key] = by_error(model, portions, places)
    return sequences[key]


@per_model
def _channels_of_units(model: Model) -> npt.NDArray[np.int64]:
    """How many output channels of all layers belong to each unit, (units + 1,)."""
    channels = find_channels(model)
    rows = [np.zeros(0, dtype=np.int64), *channels.outputs.values()]
    return np.bincount(np.concatenate(rows), minlength=channels.unit_count + 1)


def group_plan(group: ChannelGroup, removed: npt.NDArray[np.int64]) -> GroupPlan:
    positions = tuple(int(position) for position in np.sort(removed))
    return GroupPlan(
        group.name, group.members, len(group.units), positions, group.joined_by, group.guard
    )


def _group_ratio(group: ChannelGroup, recipe: Recipe) -> float | None:
    """The ratio chosen for a group; coupled layers with different choices get the gentlest."""
    choices = [recipe.choice(member).ratio for member in group.members]
    return min((ratio for ratio in choices if ratio is not None), default=None)


def _choose_masks(
    model: Model,
    layers: tuple[Layer, ...],
    recipe: Recipe,
    calibration: Calibration | None,
) -> tuple[dict[str, float], dict[str, Reason]]:
    """Sparsity of each masked layer, and why others have none."""
    pattern = recipe.pattern
    if pattern in ("none", "channel"):
        asked = {c.name for c in recipe.layers if c.ratio} if pattern == "none" else set()
        return {}, dict.fromkeys(asked, RATIO_WITHOUT_PATTERN)
    reasons = {layer.name: why for layer in layers if (why := unsuited(layer, pattern))}
    owners = {layer.weight: layer for layer in reversed(layers)}  # a shared weight's first user
    suited = tuple(layer for layer in owners.values() if layer.name not in reasons)[::-1]
    overrides = {c.name: c.ratio for c in recipe.layers if c.ratio is not None}
    if pattern in N_OF_M:
        fixed = fixed_sparsity(pattern)
        by_owner = {x.name: fixed for x in suited if overrides.get(x.name, fixed) > 0}
    else:
        shares = allocate(model, suited, recipe, overrides, calibration)
        by_owner = {share.layer.name: share.sparsity for share in shares}
    sparsity = {layer.name: by_owner.get(owners[layer.weight].name, 0.0) for layer in layers}
    return sparsity, reasons


def _choose_widths(
    model: Model,
    layers: tuple[Layer, ...],
    recipe: Recipe,
    groups: tuple[GroupPlan, ...],
    calibration: Calibration | None,
) -> dict[str, int]:
    """Weight bits that are asked for, by layer name; the first user of a weight decides."""
    users = {layer.weight: layer for layer in reversed(layers)}
    own = {user.name: recipe.choice(user.name).weight_bits for user in users.values()}
    bits = {name: width or recipe.weight_bits for name, width in own.items()}
    if recipe.spreads_bits:
        shared = [user for user in users.values() if own[user.name] is None]
        left = weights_left(model, groups)
        bits.update(allocate_bits(model, shared, left, recipe, calibration))
    return {layer.name: bits[users[layer.weight].name] for layer in layers}


def choose_storage(
    model: Model, layer: Layer, recipe: Recipe, bits: int, kept: int
) -> tuple[int, StorageType, tuple[Reason, ...]]:
    """Width, storage type, and why it isn't as asked for; `kept` output channels stay."""
    before = STORAGE_TYPES[layer.dtype]
    if bits >= min(before.bits, FLOAT32.bits):
        return before.bits, before, ()
    is_grouped = recipe.granularity == "group"
    rounds = recipe.rounds_activations or _rounds_activations(model)
    in_kernel = rounds and layer.op in INTEGER_PRODUCTS
    kernel_type = KERNEL_TYPES[recipe.int8_range] if in_kernel else None
    wanted = storage_for(bits, layer.dtype, rounds, kernel_type)
    if wanted == FLOAT16 and layer.weight in _too_large_for_half(model):
        return before.bits, before, (too_large(_too_large_for_half(model)[layer.weight]),)
    notes = [NO_GROUPS] if is_grouped and wanted.in_kernels else []
    if wanted == INT2 and layer.weight in _right_operands(model) and kept % INT2.per_byte:
        wanted = INT4
        notes.append(MISREAD_INT2)
    for storage in wider_types(wanted):
        opset = storage_opset(layer, storage, recipe)
        obstacle = why_not_raised(model, opset)
        if obstacle is None:
            return bits, storage, tuple(notes)
        if storage == wanted:
            notes.append(needs_opset(storage.name, opset, obstacle))
    return before.bits, before, (notes[-1],)


@per_model
def _right_operands(model: Model) -> frozenset[str]:
    """Weights (inputs, outputs) of products, by name.

    ONNX Runtime 1.32 makes MatMulNBits of a product with such a weight in int2 and takes the
    outputs for a multiple of four, as many as lie in a byte; else its results are wrong.
    """
    return frozenset(
        layer.weight
        for layer in find_layers(model)
        if layer.op in ("Gemm", "MatMul") and layer.out_axis == len(layer.weight_shape) - 1
    )


@per_model
def _too_large_for_half(model: Model) -> dict[str, float]:
    """The largest magnitude of each weight that float16 would round to infinity, by its name."""
    values = model.graph_model.graph.initializers
    largest = {}
    for name in {layer.weight for layer in find_layers(model)}:
        array = array_of(values[name])
        largest[name] = float(max(array.max(), -array.min()))
    return {name: value for name, value in largest.items() if value >= INFINITE_HALF}


@per_model
def _rounds_activations(model: Model) -> bool:
    """True for a file that rounds activations already."""
    return any(node.op_type == QUANTIZE for node in model.graph_model.graph)
