"""Export of a trained torch network to one ONNX file with readable names and nothing private.

Torch's exporter leaves a stack trace with local paths on every node, names such as `getitem_3`,
and a Reshape where the network has a Flatten. All of that is put right here.
"""

import ast
from collections.abc import Set
from pathlib import Path

import onnx
import onnx_ir as ir
import torch
from torch import nn

from sample_models.dataset import Dataset

OPSET = 20
PRODUCER = "compression-explorer sample_models"
OUTPUT, BATCH = "logits", "batch"

_SCOPES = "pkg.torch.onnx.name_scopes"
_WEIGHTED = ("Conv", "Gemm", "MatMul")
_CONSTANT_INPUTS = {
    "Clip": ("min", "max"),
    "Gather": ("indices",),
    "Mul": ("factor",),
    "ReduceMean": ("axes",),
    "Reshape": ("shape",),
}


def export(network: nn.Module, data: Dataset, path: Path) -> None:
    """Write `network`, which takes a batch of what `data` describes, to `path` as ONNX.

    The exporter's optimizer folds the batch normalisations into the convolutions.

    Raises:
        onnx.checker.ValidationError: the exported model is not valid ONNX.
    """
    program = torch.onnx.export(
        network.eval(),
        (torch.zeros(2, *data.shape, dtype=data.dtype),),
        input_names=[data.input],
        output_names=[OUTPUT],
        opset_version=OPSET,
        dynamic_shapes=({0: torch.export.Dim(BATCH)},),
        dynamo=True,
        verbose=False,
    )
    assert program is not None
    model = program.model
    _restore_flatten(model.graph)
    _name_nodes_and_values(model.graph)
    _name_initializers(model.graph, network.state_dict().keys())
    _strip(model)
    proto = ir.to_proto(model)
    onnx.checker.check_model(proto, full_check=True)
    path.write_bytes(proto.SerializeToString(deterministic=True))


def _restore_flatten(graph: ir.Graph) -> None:
    """Turn every Reshape to (-1, features) back into the Flatten that it was in torch."""
    for node in list(graph):
        if node.op_type != "Reshape":
            continue
        data, shape = node.inputs
        assert data is not None and shape is not None and shape.const_value is not None
        assert data.shape is not None and data.shape[0] == BATCH
        assert shape.const_value.numpy()[0] == -1
        if len(shape.const_value.numpy()) != 2:
            continue
        flatten = ir.node("Flatten", [data], {"axis": 1}, metadata_props=node.metadata_props)
        ir.convenience.replace_nodes_and_values(
            graph, node, [node], [flatten], node.outputs, flatten.outputs
        )
        graph.initializers.pop(str(shape.name))


def _name_nodes_and_values(graph: ir.Graph) -> None:
    """Name each node after its place in the torch network, and its output after the node."""
    taken: set[str] = set()
    for node in graph:
        node.name = _unique(_place(node), taken)
        (output,) = node.outputs
        if not output.is_graph_output():
            output.name = node.name


def _place(node: ir.Node) -> str:
    """`stage1.0.conv1` for a layer with weights, `stage1.0.relu` for an operation in a module."""
    *_, module, _operation = ast.literal_eval(node.metadata_props[_SCOPES])
    if not _has_weight(node):
        return f"{module}.{node.op_type.lower()}".lstrip(".")
    weight = node.inputs[1]
    assert weight is not None
    name = str(weight.name)
    return name.removesuffix(".weight") if name.endswith(".weight") else str(module)


def _has_weight(node: ir.Node) -> bool:
    weight = node.inputs[1] if len(node.inputs) > 1 else None
    return node.op_type in _WEIGHTED and weight is not None and weight.is_initializer()


def _name_initializers(graph: ir.Graph, given: Set[str]) -> None:
    """Name what torch's exporter made; what is `given` a name in torch keeps it.

    `linear.weight` for a transposed weight, `conv.bias` for the bias that folding made, `clip.min`
    and the like for constants, which nodes may share.
    """
    taken = given & graph.initializers.keys()
    for node in graph:
        if _has_weight(node):
            names: tuple[str, ...] = (f"{node.name}.weight", f"{node.name}.bias")
        else:
            constants = _CONSTANT_INPUTS.get(node.op_type, ())
            names = tuple(f"{node.op_type.lower()}.{constant}" for constant in constants)
        for value, name in zip(node.inputs[1:], names, strict=False):
            assert value is not None
            if value.is_initializer() and value.name not in taken:
                value.name = _unique(name, taken)


def _unique(base: str, taken: set[str]) -> str:
    """Add `base`, or `base_2` and so on where it is taken, to the names taken."""
    name, copy = base, 1
    while name in taken:
        copy += 1
        name = f"{base}_{copy}"
    taken.add(name)
    return name


def _strip(model: ir.Model) -> None:
    """Remove all metadata and documentation strings, which hold paths of this machine."""
    model.producer_name, model.producer_version = PRODUCER, None
    graph = model.graph
    values = [*graph.inputs, *graph.initializers.values()]
    for node in graph:
        values += node.outputs
    for owner in (model, graph, *graph, *values):
        owner.metadata_props.clear()
        owner.doc_string = None
