"""What a compressed file and its run will take, as sums over tensors and nodes.

The same quantities as in `estimate`, with the lengths of axes left open (`sizes`).
"""

import json
from collections import ChainMap
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import onnx_ir as ir

from explorer.compress.estimate import (
    base_bytes,
    constant_bytes,
    data_of,
    kept_record,
    planned_dims,
    read_both_ways,
    renaming_bytes,
)
from explorer.compress.naming import shortened
from explorer.compress.plan import group_plan, plan
from explorer.compress.planned import activation_opset
from explorer.compress.portions import Portions
from explorer.compress.quantizers import Grid, grid_for
from explorer.compress.resize import NewConstant, new_constants
from explorer.compress.storage import (
    TensorForm,
    activation_form,
    activation_points,
    bias_form,
    name_mark,
    stored_form,
)
from explorer.graph.channels import find_channels
from explorer.graph.costs import count_node
from explorer.graph.layers import find_all_layers, find_layers, find_nodes
from explorer.graph.memory import find_lifetimes
from explorer.graph.operators import element_type, opset_of
from explorer.graph.shapes import element_count, infer_shapes
from explorer.graph.weights import (
    LOST_IN_HALF,
    RECORD_KEY,
    StoredWeight,
    find_weights,
    packed_bits,
    scale_bytes,
)
from explorer.measure.profile import tensor_bytes
from explorer.model import Model
from explorer.network import Layer
from explorer.preview.axis_sizes import Dims, Sizes
from explorer.preview.product_macs import Term, terms_of
from explorer.recipe import Recipe
from explorer.storage_types import FLOAT16, INT8, STORAGE_TYPES, StorageType


class File:
    """Collects the sums of a model; `sizes` lists the lengths that they come to need."""

    def __init__(
        self, model: Model, recipe: Recipe, sizes: Sizes, portions: Mapping[int, Portions]
    ) -> None:
        self.inexact: list[str] = []
        model = shortened(model) if recipe.short_names else model
        self._model, self._recipe, self._sizes, self._portions = model, recipe, sizes, portions
        self._graph = model.graph_model.graph
        self._mark = name_mark(model)
        self._points = activation_points(model)
        self._places = {layer.name: place for place, layer in enumerate(find_all_layers(model))}
        shapes = infer_shapes(model)
        self._dims: dict[str, Dims] = {name: list(dims) for name, dims in shapes.dims.items()}
        channels = find_channels(model)
        for (name, axis), units in channels.cuts.items():
            self._dims[name][axis] = sizes.of(units)
        for name, at in channels.activations.items():
            if name in self._dims:
                repeats = np.full(len(at.units), at.repeat)
                self._dims[name][at.axis] = sizes.of(at.units, repeats)

    def counts(self, opsets: Sequence[int]) -> dict[str, Any]:
        """All sums; `opsets` are those that storage types ask for."""
        model = self._model
        rounding = activation_opset(model) if self._points else 0
        needed = sorted({0, rounding, *opsets})
        forms = [activation_form(name, self._dtype_of(name), self._mark) for name in self._points]
        return {
            "file_bytes": len(model.data),
            "base_bytes": {opset: self._base_bytes(opset) for opset in needed},
            "types": {
                name: [int(element_type(kind)), kind.bits, kind.in_kernels]
                for name, kind in STORAGE_TYPES.items()
            },
            "mark": len(self._mark.encode()),
            "record": {
                "key": len(RECORD_KEY.encode()),
                "kept": [
                    len(json.dumps({name: entry}, separators=(",", ":"))) - len("{}")
                    for name, entry in kept_record(model).items()
                ],
            },
            "rounding": {
                "opset": rounding,
                "points": len(forms),
                "file_bytes": sum(f.file_bytes for f in forms)
                + sum(
                    renaming_bytes(model, name, form.dequantize.output)
                    for name, form in zip(self._points, forms, strict=True)
                ),
                "scale_bytes": sum(f.scale.data_bytes + f.zero_point.data_bytes for f in forms),
            },
            **self._tensors(),
            "constants": self._constants(),
            "macs": self._macs(),
            "memory": self._memory(),
            "inexact": sorted(set(self.inexact)),
        }

    def _base_bytes(self, opset: int) -> int:
        needed = opset if opset > opset_of(self._model.graph_model) else 0
        return base_bytes(self._model, needed, self._recipe.keep_metadata)

    def _dtype_of(self, name: str) -> ir.DataType:
        return infer_shapes(self._model).dtypes[name]

    def _tensors(self) -> dict[str, Any]:
        """Those that a recipe can change, one by one, and the rest in sum."""
        model = self._model
        parameters = {weight.name: weight for weight in find_weights(model)}
        layers: dict[str, Layer] = {}
        for layer in find_layers(model):
            layers.setdefault(layer.weight, layer)
        biases = self._biases()
        tensors: list[dict[str, Any]] = []
        places: dict[str, int] = {}
        for name in self._graph.initializers:
            shrinks = any(at < 0 for at in self._dims[name])
            if shrinks or name in layers or name in biases:
                places[name] = len(tensors)
                found = parameters.pop(name, None)
                tensors.append(self._tensor(name, found, layers.get(name)))
        return {
            "tensors": tensors,
            "biases": [{**told, "tensor": places[name]} for name, told in biases.items()],
            "rest": {
                "params": sum(weight.size for weight in parameters.values()),
                "packed_bits": sum(_packed_bits(weight) for weight in parameters.values()),
                "scale_bytes": scale_bytes(model),
            },
        }

    def _tensor(
        self, name: str, parameter: StoredWeight | None, layer: Layer | None
    ) -> dict[str, Any]:
        dtype = self._graph.initializers[name].dtype
        assert dtype is not None
        old = TensorForm(name, dtype, infer_shapes(self._model).dims[name])
        told: dict[str, Any] = {
            "name": len(name.encode()),
            "type": int(dtype),
            "width": dtype.bitwidth,
            "dims": self._dims[name],
            "elements": element_count(old.dims),
            "file_bytes": old.file_bytes,
        }
        if parameter is not None:
            told["bits"] = parameter.bits
            told["operand"] = parameter.operand
            told["nonzero"] = self._nonzero(parameter, 0.0)
            if parameter.loses_small:
                told["nonzero_half"] = self._nonzero(parameter, LOST_IN_HALF)
        if layer is not None:
            told |= self._layer(layer, dtype)
        return told

    def _nonzero(self, weight: StoredWeight, lost: float) -> int | None:
        """How many of those that stay are larger than what is lost, as a size; None where all."""
        if not weight.may_be_sparse:
            return None
        is_filled = np.abs(weight.tensor.numpy()) > lost
        count = int(np.count_nonzero(is_filled))
        if count == weight.size:
            return None
        cuts = find_channels(self._model).cuts
        axes = [axis for axis in range(len(self._dims[weight.name])) if (weight.name, axis) in cuts]
        if not axes:
            return count
        if len(axes) > 1:
            self.inexact.append("packed_bytes")
            return count
        others = tuple(a for a in range(len(self._dims[weight.name])) if a != axes[0])
        filled = np.count_nonzero(is_filled, axis=others)
        return self._sizes.of(cuts[weight.name, axes[0]], np.asarray(filled, dtype=np.int64))

    def _layer(self, layer: Layer, dtype: ir.DataType) -> dict[str, Any]:
        """What turns a layer's weight back into floats, in all forms that it can have."""
        shape = layer.weight_shape
        channel = grid_for(layer, shape, "channel", self._recipe.group_size)
        assert channel.axis is not None
        summed = layer.in_axis if channel.axis == layer.out_axis else layer.out_axis
        grids = (Grid(None), channel, Grid(summed, self._recipe.group_size))
        form = partial(stored_form, layer.weight, shape, dtype=dtype, mark=self._mark)

        scale = form(storage=INT8, bits=8, grid=grids[0]).scale
        assert scale is not None

        def node_bytes(storage: StorageType, bits: int, grid: Grid) -> int:
            stored = form(storage=storage, bits=bits, grid=grid)
            return sum(x.file_bytes for x in (stored.node, stored.cast) if x is not None)

        return {
            "layer": self._places[layer.name],
            "scale_type": [int(scale.dtype), scale.dtype.bitwidth],
            "scaled": channel.axis,
            "summed": summed,
            "one_scale": layer.weight in read_both_ways(self._model),
            "one_scale_in_kernels": not layer.is_linear,
            "cast": node_bytes(FLOAT16, 16, grids[0]),
            "dequantize": [[node_bytes(INT8, bits, grid) for grid in grids] for bits in (8, 2)],
            "renaming": renaming_bytes(
                self._model, layer.weight, f"{layer.weight}{self._mark}float"
            ),
            "quoted": len(json.dumps(layer.weight)),
        }

    def _biases(self) -> dict[str, dict[str, Any]]:
        """Biases that an integer kernel may add, by name, each with its layer."""
        model, found = self._model, {}
        for layer in find_layers(model):
            if layer.bias is None or data_of(model)[layer.name] not in self._points:
                continue
            value = self._graph.initializers[layer.bias]
            if len(value.uses()) != 1 or value.is_graph_output():
                continue
            if len(self._dims[layer.bias]) != 1 or value.dtype is None:
                continue
            form = partial(bias_form, layer.bias, (1,), dtype=value.dtype, mark=self._mark)
            nodes = [form(scale_dims=dims).node for dims in ((), (1,))]
            found[layer.bias] = {
                "layer": self._places[layer.name],
                "out_axis": layer.out_axis,
                "dequantize": [node.file_bytes for node in nodes if node is not None],
                "renaming": renaming_bytes(model, layer.bias, f"{layer.bias}{self._mark}float"),
            }
        return found

    def _constants(self) -> list[dict[str, Any]]:
        """Constants of nodes that change as soon as one of some groups does."""
        found: dict[tuple[str, str], tuple[NewConstant, list[int]]] = {}
        groups = find_channels(self._model).groups
        if not find_channels(self._model).sized:
            return []
        base = plan(self._model, replace(self._recipe, pattern="none", layers=()))
        for place, portions in self._portions.items():
            if not len(portions.ends):
                continue
            changed = list(base.groups)
            changed[place] = group_plan(groups[place], portions.first(1))
            planned = replace(base, groups=tuple(changed))
            for new in new_constants(self._model, planned, planned_dims(self._model, planned)):
                if new.position is not None:
                    found.setdefault((new.node, new.argument), (new, []))[1].append(place)
        return [self._constant(new, places) for new, places in found.values()]

    def _constant(self, new: NewConstant, places: list[int]) -> dict[str, Any]:
        value = (
            find_nodes(self._model)[new.node].inputs[new.position or 0] if new.in_place else None
        )
        name = new.name if value is None else str(value.name)
        dtype = ir.DataType.from_numpy(new.integers.dtype)
        length = len(new.integers)
        form = TensorForm(name, dtype, (length,))
        return {
            "groups": places,
            "name": len(name.encode()),
            "type": int(dtype),
            "width": dtype.bitwidth,
            "dims": [self._chosen(new) if new.argument == "indices" else length],
            "more": constant_bytes(self._model, new) - form.file_bytes,
        }

    def _chosen(self, new: NewConstant) -> int:
        """How many of the channels that a Gather chooses stay."""
        node = find_nodes(self._model)[new.node]
        source, indices = (value for value in node.inputs[:2] if value is not None)
        at = find_channels(self._model).activations[str(source.name)]
        assert indices.const_value is not None
        chosen = indices.const_value.numpy().reshape(-1) % (len(at.units) * at.repeat)
        return self._sizes.of(at.units[chosen // at.repeat])

    def _macs(self) -> dict[int, list[Term]]:
        """Products of sizes, by the layers whose node it is (the others together under -1)."""
        dims = infer_shapes(self._model).dims
        layer_at: dict[str, int] = {}
        for layer in find_all_layers(self._model):
            layer_at.setdefault(layer.node, self._places[layer.name])
        terms: dict[int, list[Term]] = {}
        for node in self._graph:
            full, _ = count_node(node, dims)
            if not full:
                continue
            found = self._terms(node)
            if found is None:
                self.inexact.append("macs")
                found = [(full, 1, [])]
            terms.setdefault(layer_at.get(str(node.name), -1), []).extend(found)
        return terms

    def _terms(self, node: ir.Node) -> list[Term] | None:
        known = infer_shapes(self._model).dims
        names = {str(v.name) for v in (*node.inputs, *node.outputs) if v is not None}
        own = {name: self._dims[name] for name in names if name in self._dims}
        places = sorted({-1 - at for dims in own.values() for at in dims if at < 0})

        def count(lengths: Sequence[int]) -> int:
            at = dict(zip(places, lengths, strict=True))
            asked = {
                name: tuple(length if length >= 0 else at[-1 - length] for length in dims)
                for name, dims in own.items()
            }
            return count_node(node, ChainMap(asked, known))[0]

        return terms_of(count, places, [self._sizes.full[place] for place in places])

    def _memory(self) -> list[dict[str, Any]]:
        """Activations: first and last step of each, its elements, and bytes of one."""
        lifetimes, shapes = find_lifetimes(self._model), infer_shapes(self._model)
        inputs = {str(value.name) for value in self._graph.inputs}
        told = []
        for name, first, last in zip(
            lifetimes.names, lifetimes.first.tolist(), lifetimes.last.tolist(), strict=True
        ):
            dims = self._dims.get(name)
            size = tensor_bytes(shapes, name, shapes.dims.get(name))
            point = name in self._points
            if dims is not None and (size or point):
                width = shapes.dtypes[name].bitwidth if size else 0
                kind = {"rounded": True, "given": name in inputs} if point else {}
                told.append({"steps": [first, last], "dims": dims, "width": width, **kind})
        return told


def _packed_bits(weight: StoredWeight) -> int:
    """Of a weight that no recipe changes."""
    zeros = weight.size - weight.count_nonzero() if weight.may_be_sparse else 0
    return packed_bits(weight.size, weight.bits, zeros)
