"""Raising a graph's opset, so that newer storage types may stand in it."""

import onnx
import onnx_ir as ir

from explorer.errors import CompressionError
from explorer.graph.shapes import SMALL_TENSOR
from explorer.model import Model

# Its scale and bias changed their shape in opset 21 under unchanged names.
CHANGED_IN_MEANING = frozenset({"GroupNormalization"})


def opset_of(graph_model: ir.Model) -> int:
    """Version of the standard operator set that a graph uses."""
    imports = graph_model.opset_imports
    return int(imports.get("", imports.get("ai.onnx", 1)))


def can_upgrade(model: Model, target: int) -> bool:
    """True where `upgrade` will succeed; found out once per model and target."""
    key = ("can_upgrade", target)
    if key not in model._cache:
        try:
            upgrade(model.graph_model.clone(), target)
            model._cache[key] = True
        except CompressionError:
            model._cache[key] = False
    return bool(model._cache[key])


def upgrade(graph_model: ir.Model, target: int) -> ir.Model:
    """The same graph at opset `target` or newer; names of tensors and weights stay.

    Raises:
        CompressionError: ONNX's converter can't do it.
    """
    current = opset_of(graph_model)
    if current >= target:
        return graph_model
    if all(_means_the_same(node, current, target) for node in graph_model.graph.all_nodes()):
        graph_model.opset_imports[""] = target
        return _with_ir_version(graph_model, target)
    return _convert(graph_model, target)


def _means_the_same(node: ir.Node, current: int, target: int) -> bool:
    """True where both versions of an op differ in nothing but the types they admit."""
    if node.domain not in ("", "ai.onnx"):
        return True
    try:
        old = onnx.defs.get_schema(node.op_type, current)
        new = onnx.defs.get_schema(node.op_type, target)
    except onnx.defs.SchemaError:
        return False
    if old.since_version == new.since_version:
        return True
    optional = onnx.defs.OpSchema.FormalParameterOption.Optional
    return (
        node.op_type not in CHANGED_IN_MEANING
        and not new.deprecated
        and [x.name for x in old.inputs] == [x.name for x in new.inputs[: len(old.inputs)]]
        and all(x.option == optional for x in new.inputs[len(old.inputs) :])
        and [x.name for x in old.outputs] == [x.name for x in new.outputs]
        and all(_same_attribute(name, old, new) for name in old.attributes)
        and not any(
            new.attributes[name].required for name in set(new.attributes) - set(old.attributes)
        )
    )


def _same_attribute(name: str, old: onnx.defs.OpSchema, new: onnx.defs.OpSchema) -> bool:
    if name not in new.attributes:
        return False
    before, after = old.attributes[name].default_value, new.attributes[name].default_value
    return bool(before.SerializeToString() == after.SerializeToString())


def _with_ir_version(graph_model: ir.Model, target: int) -> ir.Model:
    needed = onnx.helper.find_min_ir_version_for([onnx.helper.make_opsetid("", target)])
    graph_model.ir_version = max(graph_model.ir_version, needed)
    return graph_model


def _convert(graph_model: ir.Model, target: int) -> ir.Model:
    """By ONNX's own converter, which is shown the graph without its large weights."""
    graph = graph_model.graph
    weights = {}
    for name, value in list(graph.initializers.items()):
        tensor = value.const_value
        if tensor is not None and tensor.size > SMALL_TENSOR:
            weights[name] = tensor
            value.type = ir.TensorType(tensor.dtype)
            value.shape = ir.Shape(tensor.shape.numpy())
            value.const_value = None
            del graph.initializers[name]
            graph.inputs.append(value)
    try:
        converted = ir.from_proto(
            onnx.version_converter.convert_version(ir.to_proto(graph_model), target)
        )
    except (RuntimeError, ValueError, onnx.version_converter.ConvertError) as error:
        raise CompressionError(
            f"The graph can't be raised to opset {target}, which these storage types need; "
            f"export it again with opset {target} or newer."
        ) from error
    for value in list(converted.graph.inputs):
        if value.name in weights:
            converted.graph.inputs.remove(value)
            value.const_value = weights[value.name]
            converted.graph.initializers[value.name] = value
    return _with_ir_version(converted, target)
