"""The profile that a plan will have, without making the file.

Equal to `profile(apply(model, plan))`: exactly for parameters, MACs and peak memory, and to the
byte up to protobuf's framing for the file.
"""

import numpy as np
import onnx
import onnx_ir as ir

from explorer.compress.naming import for_shortened, shortened
from explorer.compress.planned import check_plan, needed_opset, units_alive
from explorer.compress.quantizers import Grid, grid_for
from explorer.compress.resize import NewConstant, new_constants
from explorer.compress.storage import (
    ActivationForm,
    StoredForm,
    TensorForm,
    activation_form,
    activation_points,
    bias_form,
    field_bytes,
    name_mark,
    stored_form,
)
from explorer.formats.onnx_file import bare_proto
from explorer.graph.annotations import annotation_bytes
from explorer.graph.channels import find_channels
from explorer.graph.layers import find_layers, find_nodes
from explorer.graph.memory import find_lifetimes, peak_bytes
from explorer.graph.opset import upgrade
from explorer.graph.shapes import SMALL_TENSOR, element_count, infer_shapes, input_sizes
from explorer.graph.weights import (
    LOST_IN_HALF,
    RECORD_KEY,
    StoredWeight,
    find_weights,
    packed_bits,
    read_record,
    scale_bytes,
    written_record,
)
from explorer.measure.profile import count_macs, tensor_bytes
from explorer.model import Model
from explorer.network import Layer, Shape, per_model
from explorer.recipe import Recipe
from explorer.report import LayerPlan, Plan, Profile
from explorer.storage_types import FLOAT16, StorageType


def estimate(model: Model, plan: Plan) -> Profile:
    """Profile of the model that `apply(model, plan)` would make, in milliseconds.

    Raises:
        CompressionError: the plan is for another model.
    """
    check_plan(model, plan)
    dims = planned_dims(model, plan)
    macs, uncounted = count_macs(model, dims)
    forms = stored_forms(model, plan, dims)
    biases = integer_biases(model, plan, dims, forms)
    return Profile(
        params=sum(_size(weight, dims) for weight in find_weights(model)),
        nonzero_params=None,
        macs=macs,
        file_bytes=_file_bytes_as_named(model, plan, dims, {**forms, **biases}),
        gzip_bytes=None,
        packed_bytes=_packed_bytes(model, plan, dims, forms, biases),
        peak_activation_bytes=_peak_bytes(model, plan, dims),
        annotation_bytes=_annotation_bytes(model, plan),
        uncounted_ops=uncounted,
        input_sizes=input_sizes(model),
    )


def _annotation_bytes(model: Model, plan: Plan) -> int:
    """Notes that stay: all of them where nothing changes, else those that the recipe keeps."""
    if changes_nothing(model, plan):
        return annotation_bytes(model)
    if not plan.recipe.keep_metadata:
        return 0
    opset = needed_opset(model, plan)
    return base_bytes(model, opset, keeps_metadata=True) - base_bytes(model, opset)


def changes_nothing(model: Model, plan: Plan) -> bool:
    """True where the plan leaves the file as it is."""
    layers = {layer.name: layer for layer in find_layers(model)}
    untouched = all(
        x.kept == x.channels and x.sparsity == 0 and x.storage == layers[x.name].dtype
        for x in plan.layers
        if x.name in layers
    )
    return untouched and not (plan.recipe.rounds_activations and activation_points(model))


def planned_dims(model: Model, plan: Plan) -> dict[str, Shape]:
    """Shapes of all tensors once the plan's channels are gone."""
    channels, alive = find_channels(model), units_alive(model, plan.groups)
    dims = dict(infer_shapes(model).dims)
    if alive.all():
        return dims
    places = [(name, axis, units, 1) for (name, axis), units in channels.cuts.items()]
    places += [(n, at.axis, at.units, at.repeat) for n, at in channels.activations.items()]
    for name, axis, units, repeat in places:
        shape = dims.get(name)
        if shape is None:
            continue  # inference couldn't find it, here as in the compressed file
        size = repeat * int(np.count_nonzero(alive[units]))
        dims[name] = (*shape[:axis], size, *shape[axis + 1 :])
    return dims


def stored_forms(model: Model, plan: Plan, dims: dict[str, Shape]) -> dict[str, StoredForm]:
    """Storage of every layer's weight, by the weight's name."""
    planned = {layer.name: layer for layer in plan.layers}
    forms: dict[str, StoredForm] = {}
    for layer in find_layers(model):
        if layer.weight not in forms:
            shape = dims[layer.weight]
            choice, dtype = planned[layer.name], _dtype(model, layer.weight)
            grid = planned_grid(model, layer, shape, plan.recipe, choice.storage_type)
            forms[layer.weight] = stored_form(
                layer.weight,
                shape,
                choice.storage_type,
                choice.weight_bits,
                dtype,
                grid,
                name_mark(model),
            )
    return forms


def planned_grid(
    model: Model, layer: Layer, shape: Shape, recipe: Recipe, storage: StorageType
) -> Grid:
    """Where the scales of a layer lie; `shape` is the weight's after pruning.

    A weight that two layers read along different axes has one scale for all.
    """
    if layer.weight in read_both_ways(model):
        return Grid(None)
    return grid_for(layer, shape, recipe.granularity, recipe.group_size, storage)


@per_model
def read_both_ways(model: Model) -> frozenset[str]:
    """Weights whose outputs lie on different axes for different layers."""
    axes: dict[str, int] = {}
    layers = find_layers(model)
    return frozenset(
        layer.weight
        for layer in layers
        if axes.setdefault(layer.weight, layer.out_axis) != layer.out_axis
    )


def integer_biases(
    model: Model, plan: Plan, dims: dict[str, Shape], forms: dict[str, StoredForm]
) -> dict[str, StoredForm]:
    """Biases that become int32, by name: those of layers that an integer kernel runs."""
    if not plan.recipe.rounds_activations:
        return {}
    points = set(activation_points(model))
    planned = {layer.name: layer for layer in plan.layers}
    biases: dict[str, StoredForm] = {}
    for layer in find_layers(model):
        form, in_kernel = forms[layer.weight], planned[layer.name].storage_type.in_kernels
        if layer.bias is None or not in_kernel or data_of(model)[layer.name] not in points:
            continue
        value = model.graph_model.graph.initializers[layer.bias]
        shape = dims[layer.bias]
        own = len(value.uses()) == 1 and not value.is_graph_output()
        full = len(shape) == 1 and shape[0] == form.weight.dims[layer.out_axis]
        if form.scale is not None and own and full:
            biases[layer.bias] = bias_form(
                layer.bias, shape, form.scale.dims, _dtype(model, layer.bias), name_mark(model)
            )
    return biases


@per_model
def data_of(model: Model) -> dict[str, str]:
    """The tensor that enters each layer, by layer name."""
    nodes = find_nodes(model)
    entering = {layer.name: nodes[layer.node].inputs[0] for layer in find_layers(model)}
    return {name: str(value.name) for name, value in entering.items() if value is not None}


def record_of(model: Model, plan: Plan, forms: dict[str, StoredForm]) -> str:
    """What the file says about itself: true widths and masks that its types don't show."""
    planned = {layer.name: layer for layer in plan.layers}
    record = kept_record(model)
    for layer in find_layers(model):
        choice, form = planned[layer.name], forms[layer.weight].weight
        entry = {}
        if choice.weight_bits != form.dtype.bitwidth:
            entry["bits"] = choice.weight_bits
        if choice.sparsity:
            entry["zeros"] = round(choice.sparsity * element_count(form.dims))
        if entry:
            record.setdefault(layer.weight, entry)
    return written_record(record)


def kept_record(model: Model) -> dict[str, dict[str, int]]:
    """What the file says already of tensors that are no layer's weight, which stays."""
    of_layers = {layer.weight for layer in find_layers(model)}
    earlier = read_record(model.graph_model)
    return {name: entry for name, entry in earlier.items() if name not in of_layers}


def _dtype(model: Model, name: str) -> ir.DataType:
    dtype = model.graph_model.graph.initializers[name].dtype
    assert dtype is not None
    return dtype


def base_bytes(model: Model, opset: int = 0, keeps_metadata: bool = False) -> int:
    """Size of the normalised file, at an opset, with or without notes beside nodes and tensors.

    It is what a compressed file would come to if nothing were compressed.
    """
    key = ("base_bytes", opset, keeps_metadata)
    if key not in model.cache:
        graph_model = upgrade(model.graph_model.clone(), opset, infer_shapes(model))
        graph_model.metadata_props.pop(RECORD_KEY, None)
        initializers, size = graph_model.graph.initializers, 0
        for name, value in list(initializers.items()):
            if value.const_value is not None and value.const_value.size > SMALL_TENSOR:
                dims = tuple(int(dim) for dim in value.const_value.shape.numpy())
                size += TensorForm(name, value.const_value.dtype, dims).file_bytes
                initializers.pop(name)  # counted, so that no weight is copied to be measured
        model.cache[key] = size + int(bare_proto(graph_model, keeps_metadata).ByteSize())
    return int(model.cache[key])


def _file_bytes_as_named(
    model: Model, plan: Plan, dims: dict[str, Shape], forms: dict[str, StoredForm]
) -> int:
    if not plan.recipe.short_names or changes_nothing(model, plan):
        return _file_bytes(model, plan, dims, forms)
    model, plan = shortened(model), for_shortened(model, plan)
    dims = planned_dims(model, plan)
    forms = stored_forms(model, plan, dims)
    biases = integer_biases(model, plan, dims, forms)
    return _file_bytes(model, plan, dims, {**forms, **biases})


def _file_bytes(
    model: Model, plan: Plan, dims: dict[str, Shape], forms: dict[str, StoredForm]
) -> int:
    if changes_nothing(model, plan):
        return len(model.data)
    old_dims = infer_shapes(model).dims
    size = base_bytes(model, needed_opset(model, plan), plan.recipe.keep_metadata)
    for name in model.graph_model.graph.initializers:
        form = forms.get(name)
        if form is None and dims[name] == old_dims[name]:
            continue
        dtype = _dtype(model, name)
        new = form.weight if form is not None else TensorForm(name, dtype, dims[name])
        size += new.file_bytes - TensorForm(name, dtype, old_dims[name]).file_bytes
        if form is not None and form.node is not None:
            size += form.extra_bytes + renaming_bytes(model, name, form.output)
    for name, pair in _activation_forms(model, plan).items():
        size += pair.file_bytes + renaming_bytes(model, name, pair.dequantize.output)
    for constant in new_constants(model, plan, dims):
        size += constant_bytes(model, constant)
    record = record_of(model, plan, forms)
    if record:
        entry = onnx.StringStringEntryProto(key=RECORD_KEY, value=record)
        size += field_bytes(int(entry.ByteSize()))
    return size


def constant_bytes(model: Model, new: NewConstant) -> int:
    """What new integers of a node add; those that stand in an attribute take what they took."""
    if new.position is None:
        return 0
    inputs = find_nodes(model)[new.node].inputs
    value = inputs[new.position] if len(inputs) > new.position else None
    dtype = ir.DataType.from_numpy(new.integers.dtype)
    if value is not None and value.const_value is not None and new.in_place:
        old = field_bytes(int(ir.to_proto(value.const_value).ByteSize()))
        return TensorForm(str(value.name), dtype, new.integers.shape).file_bytes - old
    naming = field_bytes(len(new.name.encode()))
    if value is not None:
        naming -= field_bytes(len(str(value.name).encode()))
    return TensorForm(new.name, dtype, new.integers.shape).file_bytes + naming


@per_model
def _reader_counts(model: Model) -> dict[str, int]:
    graph = model.graph_model.graph
    values = [*graph.initializers.values(), *graph.inputs]
    values += [value for node in graph for value in node.outputs]
    return {str(value.name): len(value.uses()) for value in values}


def renaming_bytes(model: Model, old: str, new: str) -> int:
    """What it costs that all readers of one tensor name another."""
    return _reader_counts(model)[old] * (len(new.encode()) - len(old.encode()))


def _activation_forms(model: Model, plan: Plan) -> dict[str, ActivationForm]:
    """The 8-bit pairs behind activations, by name; none where these stay as they are."""
    if not plan.recipe.rounds_activations:
        return {}
    dtypes, mark = infer_shapes(model).dtypes, name_mark(model)
    return {name: activation_form(name, dtypes[name], mark) for name in activation_points(model)}


def _packed_bytes(
    model: Model,
    plan: Plan,
    dims: dict[str, Shape],
    forms: dict[str, StoredForm],
    biases: dict[str, StoredForm],
) -> int:
    owners: dict[str, LayerPlan] = {}
    planned = {layer.name: layer for layer in plan.layers}
    for layer in find_layers(model):
        owners.setdefault(layer.weight, planned[layer.name])
    bits = 0
    for weight in find_weights(model):
        size, choice = _size(weight, dims), owners.get(weight.name)
        if not size:
            continue
        if weight.fixed:
            choice = None
        width = choice.weight_bits if choice is not None else weight.bits
        if choice is not None and choice.sparsity:
            zeros = round(choice.sparsity * size)
        elif width < FLOAT16.bits or not weight.may_be_sparse or weight.name in biases:
            zeros = 0
        else:
            zeros = size - _count_kept_nonzero(model, plan, weight, size, width)
        bits += packed_bits(size, width, zeros)
    scales = [
        part
        for form in (*forms.values(), *biases.values())
        for part in (form.scale, form.zero_point)
    ]
    pairs = _activation_forms(model, plan).values()
    scales += [part for pair in pairs for part in (pair.scale, pair.zero_point)]
    new_bytes = sum(part.data_bytes for part in scales if part is not None)
    return (bits + 7) // 8 + new_bytes + scale_bytes(model)


def _size(weight: StoredWeight, dims: dict[str, Shape]) -> int:
    return weight.size if weight.fixed else weight.params_of(element_count(dims[weight.name]))


def _count_kept_nonzero(
    model: Model, plan: Plan, weight: StoredWeight, size: int, width: int
) -> int:
    """How many of the `size` weights that stay aren't zero at a width, looked for where some are.

    In float16 the smallest become zero.
    """
    key = ("nonzero", weight.name)
    if key not in model.cache:
        model.cache[key] = weight.count_nonzero()
    rounds = width == FLOAT16.bits and weight.loses_small
    if (model.cache[key] == weight.size or weight.fixed) and not rounds:
        return size - (weight.size - int(model.cache[key]))
    alive = units_alive(model, plan.groups)
    cuts = {axis: u for (name, axis), u in find_channels(model).cuts.items() if name == weight.name}
    array = weight.tensor.numpy()
    for axis, units in cuts.items():
        array = np.compress(alive[units], array, axis=axis)
    return int(np.count_nonzero(np.abs(array) > LOST_IN_HALF if rounds else array))


def _peak_bytes(model: Model, plan: Plan, dims: dict[str, Shape]) -> int:
    lifetimes, shapes = find_lifetimes(model), infer_shapes(model)
    first, last = list(lifetimes.first), list(lifetimes.last)
    sizes = [tensor_bytes(shapes, name, dims.get(name)) for name in lifetimes.names]
    if plan.recipe.rounds_activations:
        position = {name: index for index, name in enumerate(lifetimes.names)}
        inputs = {value.name for value in model.graph_model.graph.inputs}
        for name in activation_points(model):
            index = position[name]
            if name in inputs:  # the caller's wide copy is there until it has been rounded
                first.append(first[index])
                last.append(first[index])
                sizes.append(sizes[index])
            sizes[index] = element_count(dims[name]) if name in dims else 0  # one byte each
    return peak_bytes(*(np.array(each, dtype=np.int64) for each in (first, last, sizes)))
