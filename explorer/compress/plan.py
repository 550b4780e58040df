"""From what was asked to what this graph allows."""

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from explorer.compress.coupling import find_couplings
from explorer.compress.criteria import unit_scores
from explorer.compress.patterns import N_OF_M, allocate, fixed_sparsity, unsuited
from explorer.compress.quantizers import grid_for, storage_for
from explorer.compress.storage import activation_points
from explorer.errors import RecipeError
from explorer.graph.channels import ChannelGroup, find_channels
from explorer.graph.layers import find_layers
from explorer.graph.memory import QUANTIZE
from explorer.graph.opset import can_upgrade, opset_of
from explorer.graph.shapes import infer_shapes
from explorer.graph.weights import find_weights
from explorer.model import Layer, Model, per_model
from explorer.recipe import Recipe
from explorer.report import GroupPlan, LayerPlan, Plan

NAMES_SHOWN = 8  # layer names listed in a message
STORAGE_OPSETS = {"int8": 13, "uint8": 13, "int4": 21, "int2": 25}
BLOCKED_OPSET = 21
FLOAT16_SCALE_OPSET = 19
ACTIVATION_OPSET = 13


def plan(model: Model, recipe: Recipe) -> Plan:
    """Decide what happens to each layer; weights are looked at but not copied.

    Raises:
        RecipeError: the recipe names a layer that the model doesn't have.
    """
    layers = find_layers(model)
    _check_names(model.layers, recipe)
    channels = find_channels(model)
    groups = _choose_channels(model, channels.groups, recipe)
    alive = units_alive(model, groups)
    sparsity, mask_reasons = _choose_masks(model, layers, recipe)
    couplings = find_couplings(model, recipe.widths)
    planned = []
    for layer in model.layers:
        if layer.closed is not None:
            planned.append(_leave(model, layer, layer.closed, recipe))
            continue
        units = channels.outputs.get(layer.name)
        bits, storage, storage_reason = _choose_storage(model, layer, recipe)
        pruning_reason = mask_reasons.get(layer.name)
        coupling = couplings[layer.name]
        if recipe.pattern == "channel":
            pruning_reason = coupling.unprunable
        reasons = [reason for reason in (pruning_reason, storage_reason) if reason]
        planned.append(
            LayerPlan(
                name=layer.name,
                op=layer.op,
                channels=layer.channels,
                kept=layer.channels if units is None else int(alive[units].sum()),
                sparsity=sparsity.get(layer.name, 0.0),
                weight_bits=bits,
                storage=storage,
                skipped="; ".join(reasons) or None,
                **vars(coupling),
            )
        )
    return Plan(model.id, recipe, tuple(planned), groups)


def _leave(model: Model, layer: Layer, reason: str, recipe: Recipe) -> LayerPlan:
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
        skipped=None if recipe.is_identity else reason,
        unprunable=reason,
        closed=True,
    )


def units_alive(model: Model, groups: tuple[GroupPlan, ...]) -> npt.NDArray[np.bool_]:
    """Which units of coupled channels stay, (units + 1,); unit 0 always does."""
    channels = find_channels(model)
    alive = np.ones(channels.unit_count + 1, dtype=bool)
    for planned, group in zip(groups, channels.groups, strict=True):
        alive[group.units[list(planned.removed)]] = False
    return alive


def removed_channels(model: Model, plan_: Plan) -> dict[str, tuple[int, ...]]:
    """Output channels that each layer loses, by layer name; layers that lose none aren't listed."""
    alive = units_alive(model, plan_.groups)
    gone = {
        name: tuple(int(index) for index in np.flatnonzero(~alive[units]))
        for name, units in find_channels(model).outputs.items()
    }
    return {name: indices for name, indices in gone.items() if indices}


def round_step(channels: int, round_to: int) -> int:
    """Channels are removed so that a multiple of this stays.

    A layer narrower than two steps uses the largest power of two that is at most a quarter of it.
    """
    if channels >= 2 * round_to:
        return round_to
    step = 1
    while step * 8 <= channels:
        step *= 2
    return min(step, round_to)


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
    model: Model, groups: tuple[ChannelGroup, ...], recipe: Recipe
) -> tuple[GroupPlan, ...]:
    if recipe.pattern != "channel":
        return tuple(_group_plan(group, np.zeros(0, dtype=np.int64)) for group in groups)
    scores = unit_scores(model, recipe.criterion, recipe.seed)
    closed = [group.guard is not None and not recipe.widths for group in groups]
    counts = _channels_of_units(model)
    chunks = [
        _Chunks(scores[group.units], float(counts[group.units].mean()), recipe.round_to)
        for group in groups
    ]
    asked = [_group_ratio(group, recipe) for group in groups]
    shared = [
        index
        for index, ratio in enumerate(asked)
        if ratio is None and recipe.scope == "global" and not closed[index]
    ]
    taken = [
        0 if shut else chunk.closest((recipe.ratio if ratio is None else ratio) * len(chunk.order))
        for chunk, ratio, shut in zip(chunks, asked, closed, strict=True)
    ]
    for index, count in zip(
        shared, _spread([chunks[i] for i in shared], recipe.ratio), strict=True
    ):
        taken[index] = count
    return tuple(
        _group_plan(group, chunk.first(count))
        for group, chunk, count in zip(groups, chunks, taken, strict=True)
    )


@per_model
def _channels_of_units(model: Model) -> npt.NDArray[np.int64]:
    """How many output channels of all layers belong to each unit, (units + 1,)."""
    channels = find_channels(model)
    rows = [np.zeros(0, dtype=np.int64), *channels.outputs.values()]
    return np.bincount(np.concatenate(rows), minlength=channels.unit_count + 1)


def _group_plan(group: ChannelGroup, removed: npt.NDArray[np.int64]) -> GroupPlan:
    positions = tuple(int(position) for position in np.sort(removed))
    return GroupPlan(
        group.name, group.members, len(group.units), positions, group.joined_by, group.guard
    )


def _group_ratio(group: ChannelGroup, recipe: Recipe) -> float | None:
    """The ratio chosen for a group; coupled layers with different choices get the gentlest."""
    choices = [recipe.choice(member).ratio for member in group.members]
    return min((ratio for ratio in choices if ratio is not None), default=None)


class _Chunks:
    """A group's channels from least to most important, cut into the portions that may go.

    After any number of whole portions a multiple of the rounding step is left, and never nothing.
    """

    def __init__(self, scores: npt.NDArray[np.float64], weight: float, round_to: int) -> None:
        """`scores` of the group's units; `weight` is how many channels of layers go with each."""
        self.order = np.argsort(scores, kind="stable")
        self.weight = weight
        step = round_step(len(scores), round_to)
        first = len(scores) % step or step
        self.ends = np.arange(first, len(scores), step)  # channels gone after each portion
        starts = np.concatenate([[0], self.ends[:-1]]) if len(self.ends) else self.ends
        self.sizes = self.ends - starts
        cumulated = np.concatenate([[0.0], np.cumsum(scores[self.order])])
        self.scores = (cumulated[self.ends] - cumulated[starts]) / np.maximum(self.sizes, 1)

    def closest(self, channels: float) -> int:
        """Number of portions that removes nearly `channels` channels."""
        return int(np.argmin(np.abs(np.concatenate([[0], self.ends]) - channels)))

    def first(self, portions: int) -> npt.NDArray[np.int64]:
        """Positions of the channels in the first portions."""
        removed = self.order[: self.ends[portions - 1]] if portions else self.order[:0]
        return removed.astype(np.int64)


def _spread(chunks: list[_Chunks], ratio: float) -> list[int]:
    """Portions to take from each group so that `ratio` of all layers' channels goes, worst first.

    The portions are taken in one fixed order, so a larger ratio removes all that a smaller one did.
    """
    if not chunks:
        return []
    owner = np.concatenate([np.full(len(c.ends), index) for index, c in enumerate(chunks)])
    scores = np.concatenate([c.scores for c in chunks])
    sizes = np.concatenate([c.sizes * c.weight for c in chunks])
    order = np.argsort(scores, kind="stable")
    total = sum(len(c.order) * c.weight for c in chunks)
    removed = np.concatenate([[0], np.cumsum(sizes[order])])
    count = int(np.argmin(np.abs(removed - ratio * total)))
    taken = np.bincount(owner[order[:count]], minlength=len(chunks))
    return [int(portions) for portions in taken]


def _choose_masks(
    model: Model, layers: tuple[Layer, ...], recipe: Recipe
) -> tuple[dict[str, float], dict[str, str]]:
    """Sparsity of each masked layer, and why others have none."""
    pattern = recipe.pattern
    if pattern in ("none", "channel"):
        asked = {c.name for c in recipe.layers if c.ratio} if pattern == "none" else set()
        return {}, dict.fromkeys(asked, "has a ratio, but the pattern is 'none'")
    reasons = {layer.name: why for layer in layers if (why := unsuited(layer, pattern))}
    owners = {layer.weight: layer for layer in reversed(layers)}  # a shared weight's first user
    suited = tuple(layer for layer in owners.values() if layer.name not in reasons)[::-1]
    overrides = {c.name: c.ratio for c in recipe.layers if c.ratio is not None}
    if pattern in N_OF_M:
        fixed = fixed_sparsity(pattern)
        by_owner = {x.name: fixed for x in suited if overrides.get(x.name, fixed) > 0}
    else:
        shares = allocate(
            model, suited, pattern, recipe.ratio, recipe.criterion, recipe.scope, overrides
        )
        by_owner = {share.layer.name: share.sparsity for share in shares}
    sparsity = {layer.name: by_owner.get(owners[layer.weight].name, 0.0) for layer in layers}
    return sparsity, reasons


def _choose_storage(model: Model, layer: Layer, recipe: Recipe) -> tuple[int, str, str | None]:
    """Width, storage type, and why it isn't the one asked for."""
    bits = recipe.choice(_first_users(model)[layer.weight]).weight_bits or recipe.weight_bits
    own_bits = 16 if layer.dtype == "float16" else 32
    if bits >= own_bits:
        return own_bits, layer.dtype, None
    blocked = recipe.granularity == "group"
    activation_bits = 8 if _rounds_activations(model) else recipe.activation_bits
    storage = storage_for(bits, layer.dtype, activation_bits, blocked)
    opset = _needed_opset(layer, storage, recipe)
    if opset > opset_of(model.graph_model) and not can_upgrade(model, opset):
        return (
            own_bits,
            layer.dtype,
            f"{storage} needs opset {opset}, which the graph can't be raised to",
        )
    return bits, storage, None


@per_model
def _first_users(model: Model) -> dict[str, str]:
    """The layer that decides on a weight, by the weight's name: the first that reads it."""
    return {layer.weight: layer.name for layer in reversed(find_layers(model))}


@per_model
def _rounds_activations(model: Model) -> bool:
    """True for a file that rounds activations already."""
    return any(node.op_type == QUANTIZE for node in model.graph_model.graph)


def _needed_opset(layer: Layer, storage: str, recipe: Recipe) -> int:
    if storage == "float16":
        return 0
    opset = STORAGE_OPSETS[storage]
    if layer.dtype == "float16":
        opset = max(opset, FLOAT16_SCALE_OPSET)
    grid = grid_for(layer, layer.weight_shape, recipe.granularity, recipe.group_size)
    return max(opset, BLOCKED_OPSET) if grid.block is not None else opset


def needed_opset(model: Model, plan_: Plan) -> int:
    """Smallest opset in which everything that the plan stores can stand."""
    layers = {layer.name: layer for layer in find_layers(model)}
    opset = 0
    if plan_.recipe.activation_bits == 8:
        dtypes = infer_shapes(model).dtypes
        half = any(dtypes[name] == ir.DataType.FLOAT16 for name in activation_points(model))
        opset = FLOAT16_SCALE_OPSET if half else ACTIVATION_OPSET
    for planned in plan_.layers:
        layer = layers.get(planned.name)
        if layer is not None and planned.storage != layer.dtype:
            opset = max(opset, _needed_opset(layer, planned.storage, plan_.recipe))
    return opset
