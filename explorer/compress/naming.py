"""Short names for tensors and nodes, as `t12` for `/model/layers.3/attention/Softmax_output_0`.

Inputs and outputs of the network keep theirs, which other programs use. Estimates count on the
model with short names; a compressed graph gets them at the very end, so that all else speaks of
layers as the person knows them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import count

import onnx_ir as ir

from explorer.compress.storage import name_mark
from explorer.graph.weights import RECORD_KEY, read_record, written_record
from explorer.model import Model
from explorer.network import per_model
from explorer.report import Plan


@per_model
def short_names(model: Model) -> Mapping[str, str]:
    """Short names of all tensors and nodes of the main graph, by their names in the file."""
    graph = model.graph_model.graph
    kept = {str(value.name) for value in (*graph.inputs, *graph.outputs)}
    values = [*graph.initializers.values(), *(value for node in graph for value in node.outputs)]
    fresh = _fresh(kept | _names_inside(graph))
    names = {str(v.name): next(fresh) for v in values if v.name and v.name not in kept}
    for node in graph:
        output = str(node.outputs[0].name)
        names.setdefault(str(node.name), names.get(output, output))
    return names


def _names_inside(graph: ir.Graph) -> set[str]:
    """Names that subgraphs use, which may not come to mean an outer tensor."""
    inner = [each for each in graph.subgraphs() if each is not graph]
    names = {name for each in inner for name in each.initializers}
    names |= {str(value.name) for each in inner for value in each.inputs}
    return names | {str(value.name) for each in inner for node in each for value in node.outputs}


def _fresh(taken: set[str]) -> Iterator[str]:
    for number in count():
        if (name := f"t{number}") not in taken:
            yield name


@per_model
def shortened(model: Model) -> Model:
    """The model as its graph is with short names; for counting, as its file is the old one."""
    graph_model = model.graph_model.clone()
    shorten(graph_model, short_names(model), name_mark(model))
    renamed = model.with_changes()
    renamed.__dict__["graph_model"] = graph_model
    return renamed


def for_shortened(model: Model, plan: Plan) -> Plan:
    """The same plan in the names of the shortened model."""
    names = [layer.name for layer in shortened(model).layers]
    layers = [replace(each, name=name) for each, name in zip(plan.layers, names, strict=True)]
    return replace(plan, layers=tuple(layers))


def shorten(graph_model: ir.Model, names: Mapping[str, str], mark: str) -> None:
    """Rename tensors and nodes in place; what compressing added keeps its ending.

    `mark` stands between a name and such an ending.
    """
    graph = graph_model.graph
    kept = {str(value.name) for value in (*graph.inputs, *graph.outputs)}
    values = list(graph.initializers.values())
    graph.initializers.clear()  # all at once, as a new name may be another one's old name
    for value in values:
        if value.name not in kept:
            value.name = _short(str(value.name), names, mark)
    for value in values:
        graph.register_initializer(value)
    for node in graph:
        for value in node.outputs:
            if value.name and value.name not in kept:
                value.name = _short(value.name, names, mark)
        node.name = node.outputs[0].name
    record = read_record(graph_model)
    if record:
        renamed = {_short(name, names, mark): entry for name, entry in record.items()}
        graph_model.metadata_props[RECORD_KEY] = written_record(renamed)


def _short(name: str, names: Mapping[str, str], mark: str) -> str:
    """The short name; of a tensor that was added, that of its base with the ending."""
    if name in names:
        return names[name]
    base, found, ending = name.rpartition(mark)
    return f"{_short(base, names, mark)}{mark}{ending}" if found else name
