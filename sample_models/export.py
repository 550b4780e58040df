"""Export of a trained torch network to one ONNX file with readable names and nothing private.

Torch's exporter leaves a stack trace with local paths on every node, names such as `getitem_3`,
and a Reshape where the network has a Flatten. All of that is put right here.
"""

import ast
from pathlib import Path

import onnx
import onnx_ir as ir
import torch
from torch import nn

OPSET = 20
PRODUCER = "compression-explorer sample_models"
INPUT, OUTPUT, BATCH = "image", "logits", "batch"

_SCOPES = "pkg.torch.onnx.name_scopes"
_WEIGHTED = ("Conv", "Gemm")
_CONSTANT_INPUTS = {"Clip": ("min", "max"), "ReduceMean": ("axes",)}


def export(network: nn.Module, path: Path) -> None:
    """Write `network`, which takes (batch, 1, 28, 28) float32, to `path` as ONNX.

    The exporter's optimizer folds the batch normalisations into the convolutions.

    Raises:
        onnx.checker.ValidationError: the exported model is not valid ONNX.
    """
    program = torch.onnx.export(
        network.eval(),
        (torch.zeros(2, 1, 28, 28),),
        input_names=[INPUT],
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
    _name_initializers(model.graph)
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
        assert shape.const_value.numpy()[0] == -1 and len(shape.const_value.numpy()) == 2
        flatten = ir.node("Flatten", [data], {"axis": 1}, metadata_props=node.metadata_props)
        ir.convenience.replace_nodes_and_values(
            graph, node, [node], [flatten], node.outputs, flatten.outputs
        )
        graph.initializers.pop(str(shape.name))


def _name_nodes_and_values(graph: ir.Graph) -> None:
    """Name each node after its place in the torch network, and its output after the node."""
    taken: set[str] = set()
    for node in graph:
        base = _place(node)
        name, copy = base, 1
        while name in taken:
            copy += 1
            name = f"{base}_{copy}"
        taken.add(name)
        node.name = name
        (output,) = node.outputs
        if not output.is_graph_output():
            output.name = name


def _place(node: ir.Node) -> str:
    """`stage1.0.conv1` for a layer with weights, `stage1.0.relu` for an operation in a module."""
    if node.op_type in _WEIGHTED:
        weight = node.inputs[1]
        assert weight is not None
        return str(weight.name).removesuffix(".weight")
    *_, module, _operation = ast.literal_eval(node.metadata_props[_SCOPES])
    return f"{module}.{node.op_type.lower()}".lstrip(".")


def _name_initializers(graph: ir.Graph) -> None:
    """`conv.bias` for the bias that folding made, `clip.min` and the like for constants."""
    for node in graph:
        inputs = node.inputs[1:]
        if node.op_type in _WEIGHTED and len(inputs) == 2:
            names: tuple[str, ...] = (f"{node.name}.weight", f"{node.name}.bias")
        else:
            names = tuple(
                f"{node.op_type.lower()}.{name}" for name in _CONSTANT_INPUTS.get(node.op_type, ())
            )
        for value, name in zip(inputs, names, strict=False):
            assert value is not None
            value.name = name


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
