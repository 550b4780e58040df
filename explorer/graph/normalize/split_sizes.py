"""A Split into equal parts says how long they are, so that they may shrink one by one.

So y1, y2 = Split(x) of an x with 12 channels becomes y1, y2 = Split(x, (6, 6)).
"""

import numpy as np
import onnx_ir as ir

from explorer.graph.normalize.rewriting import new_constant
from explorer.graph.operators import (
    SPLIT_INPUT_OPSET,
    constant_ints,
    int_attribute,
    is_standard,
    opset_of,
)
from explorer.graph.shapes import probe


def write_out_splits(graph_model: ir.Model) -> None:
    """Give each Split its sizes, where the axis has the same length at all open sizes."""
    graph = graph_model.graph
    unsized = [node for node in graph if _splits_equally(node)]
    if not unsized:
        return
    probes, has_input = probe(graph_model), opset_of(graph_model) >= SPLIT_INPUT_OPSET
    for node in unsized:
        source, axis = node.inputs[0], int_attribute(node, "axis", 0)
        assert source is not None
        shapes = probes.dims(str(source.name))
        lengths = {shape[axis] for shape in shapes}
        if len(lengths) != 1 or not probes.settles(len(shapes)):
            continue
        sizes = _equal_sizes(lengths.pop(), len(node.outputs))
        node.attributes.pop("num_outputs", None)
        if has_input:
            value = new_constant(graph, f"{node.name}/split", np.array(sizes, dtype=np.int64))
            node.resize_inputs(2)
            node.replace_input_with(1, value)
        else:
            node.attributes["split"] = ir.AttrInt64s("split", sizes)


def _splits_equally(node: ir.Node) -> bool:
    is_split = node.op_type == "Split" and is_standard(node)
    return is_split and constant_ints(node, 1, "split") == []


def _equal_sizes(length: int, parts: int) -> list[int]:
    """All alike, but the last one, which has what is left."""
    size = -(-length // parts)
    return [*[size] * (parts - 1), length - size * (parts - 1)]
