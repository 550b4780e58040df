"""What the panel needs to know of a model, so that it can plan and count by itself.

The browser follows the slider without asking: it decides what a recipe does to each layer and what
comes of it, exactly as `plan` and `estimate` do. All that has to do with weights, samples or the
graph is found here, once, and sent as plain numbers: the order in which each group's channels, each
layer's weights and each layer's bits go, which doesn't depend on how far the sliders are moved; the
lengths of axes (`sizes`); and what each tensor takes in the file and in memory. The keys are
explained where they are read, in `js/plan.js` and `js/estimate.js`.
"""

import base64
import json
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from explorer.compress.allocation import PORTION, order_of_need, score_histogram
from explorer.compress.bits import WIDTHS, errors_by_width
from explorer.compress.calibration import Calibration
from explorer.compress.criteria import by_weight
from explorer.compress.patterns import BLOCK, N_OF_M, unsuited
from explorer.compress.plan import choose_storage, portions_by_place
from explorer.compress.planned import storage_opset
from explorer.compress.portions import Portions, shares_of
from explorer.graph.channels import find_channels
from explorer.graph.layers import find_all_layers, find_layers
from explorer.graph.weights import find_weights
from explorer.model import Model
from explorer.network import Layer
from explorer.preview.axis_sizes import Sizes
from explorer.preview.file import File
from explorer.preview.parts import BITS, MASKS, fixed_of
from explorer.recipe import ACTIVATION_BITS, RECONSTRUCTION, WEIGHT_BITS, Recipe
from explorer.storage_types import INT2


def counts(
    model: Model,
    recipe: Recipe,
    calibration: Calibration | None,
    parts: Collection[str] = (*MASKS, BITS),
) -> dict[str, Any]:
    """Everything that the panel counts with, as plain values for JSON.

    They hold for all recipes that agree with `recipe` on what isn't on the sliders, and need no
    other `parts` (see `needed`) than these. `inexact` names the numbers that the panel only comes
    close to.
    """
    if recipe.criterion != RECONSTRUCTION or not recipe.compensate:
        calibration = None
    channels = find_channels(model)
    portions = portions_by_place(model, recipe, calibration)
    sizes = Sizes(channels, portions, channels.groups)
    layers = _layers(model, recipe, sizes)
    tables = [table for layer in layers for table in layer.get("storage", {}).values()]
    asked = {opset for table in tables for row in table.values() for opset in row[2::2]}
    file = File(model, recipe, sizes, portions).counts(sorted(asked))
    return {
        "model": _identity(model),
        "fixed": fixed_of(recipe),
        "layers": layers,
        "groups": _groups(model, portions),
        "turns": _turns(model, portions, calibration),
        "masks": {
            name: _masks(model, name, recipe, calibration) for name in MASKS if name in parts
        },
        "bits": _bits(model, recipe, calibration, BITS in parts),
        **file,
        "sizes": sizes.listed,  # at last, as the others list them
    }


def _identity(model: Model) -> str:
    """Of the file, and of the input sizes that were set: counts are of these."""
    sizes = sorted(model.input_sizes.items())
    return f"{model.id} {json.dumps(sizes)}" if sizes else model.id


def _layers(model: Model, recipe: Recipe, sizes: Sizes) -> list[dict[str, Any]]:
    """In the order in which they run; `user` is the place of the first layer with the weight."""
    open_ = {layer.name: layer for layer in find_layers(model)}
    outputs = find_channels(model).outputs
    widths = {weight.name: weight.bits for weight in find_weights(model)}
    every = find_all_layers(model)
    users: dict[str, int] = {}
    told: list[dict[str, Any]] = []
    for place, layer in enumerate(every):
        told.append({"name": layer.name, "op": layer.op, "channels": layer.channels})
        if layer.name not in open_:
            told[-1] |= {"closed": str(layer.closed), "bits": widths[layer.weight]}
            continue
        units = outputs.get(layer.name)
        told[-1] |= {
            "kept": layer.channels if units is None else sizes.of(units),
            "user": users.setdefault(layer.weight, place),
            "storage": {bits: _storage(model, layer, recipe, bits) for bits in ACTIVATION_BITS},
            "unsuited": [p for p in (*MASKS, *N_OF_M) if unsuited(layer, p) is not None],
        }
    return told


def _storage(
    model: Model, layer: Layer, recipe: Recipe, activation_bits: int
) -> dict[int, list[Any]]:
    """By bits of the weights: the width they become, the type in the file, and its opset.

    Where the type depends on the output channels that stay, type and opset for numbers of them
    that are no multiple of four follow.
    """
    asked = Recipe(
        activation_bits=activation_bits,
        granularity=recipe.granularity,
        group_size=recipe.group_size,
    )
    rows: dict[int, list[Any]] = {}
    for bits in WEIGHT_BITS:
        row: list[Any] = []
        for kept in (INT2.per_byte, 1):
            width, storage, _ = choose_storage(model, layer, asked, bits, kept)
            opset = 0 if storage.name == layer.dtype else storage_opset(layer, storage, asked)
            if storage.name not in row:
                row += [storage.name, opset] if row else [width, storage.name, opset]
        rows[bits] = row
    return rows


def _groups(model: Model, portions: Mapping[int, Portions]) -> list[dict[str, Any]]:
    places = {layer.name: place for place, layer in enumerate(find_all_layers(model))}
    told: list[dict[str, Any]] = []
    for place, group in enumerate(find_channels(model).groups):
        members = [places[name] for name in group.members]
        told.append({"members": members, "channels": len(group.units)})
        if place in portions:
            own = portions[place]
            told[-1] |= {"ends": own.ends.tolist(), "weight": own.weight}
    return told


def _turns(
    model: Model, portions: Mapping[int, Portions], calibration: Calibration | None
) -> dict[str, Any]:
    """What decides which group's turn it is; rows are layers, columns all groups."""
    if calibration is None:
        means = {p: own.sums / np.maximum(own.sizes, 1) for p, own in portions.items()}
        return {"means": {place: row.tolist() for place, row in means.items()}}
    shares = shares_of(model)
    return {
        "errors": {p: np.maximum.accumulate(own.sums).tolist() for p, own in portions.items()},
        "macs": shares.macs.tolist(),
        "inputs": _sparse(shares.inputs),
        "outputs": _sparse(shares.outputs),
    }


def _sparse(table: npt.NDArray[np.float64]) -> list[list[tuple[int, float]]]:
    """For each row (column, value) of what isn't zero."""
    return [[(int(c), float(row[c])) for c in np.flatnonzero(row)] for row in table]


def _masks(
    model: Model, pattern: str, recipe: Recipe, calibration: Calibration | None
) -> dict[str, Any]:
    """How a ratio of weights is spread over the layers that a pattern suits."""
    layers = find_layers(model)
    places = {layer.name: place for place, layer in enumerate(find_all_layers(model))}
    owners = {layer.weight: layer for layer in reversed(layers)}
    suited = [x for x in owners.values() if unsuited(x, pattern) is None][::-1]
    told: dict[str, Any] = {"layers": [places[layer.name] for layer in suited]}
    block = BLOCK if pattern == "block" else 1
    sizes = {layer.name: layer.weights // block for layer in suited}
    told["pieces"] = [sizes[layer.name] for layer in suited]
    told["least"] = [min(sizes[layer.name], max(1, layer.channels // block)) for layer in suited]
    if not suited or recipe.criterion == "random":
        return told
    if calibration is not None:
        order = order_of_need(model, suited, pattern, calibration, sizes)
        return {**told, "portion": PORTION, "order": _packed(order)}
    criterion = by_weight(recipe.criterion)
    found = [score_histogram(model, layer, pattern, criterion) for layer in suited]
    bins = [np.flatnonzero(histogram) for histogram in found]
    filled = [histogram[own] for histogram, own in zip(found, bins, strict=True)]
    return {**told, "bins": [*map(_packed, bins)], "counts": [*map(_packed, filled)]}


def _bits(
    model: Model, recipe: Recipe, calibration: Calibration | None, spread: bool
) -> dict[str, Any]:
    """What rounding the weights of each layer to each width costs, in the order that decides."""
    layers = find_layers(model)
    places = {layer.name: place for place, layer in enumerate(find_all_layers(model))}
    users = [*{layer.weight: layer for layer in reversed(layers)}.values()]
    told: dict[str, Any] = {"layers": [places[layer.name] for layer in users], "widths": WIDTHS}
    if spread:
        errors = [errors_by_width(model, layer, recipe, calibration) for layer in users]
        told["errors"] = [[float(error) for error in row] for row in errors]
    return told


def _packed(integers: npt.NDArray[np.int64]) -> str:
    """Base64 of little-endian uint32."""
    return base64.b64encode(integers.astype("<u4").tobytes()).decode()
