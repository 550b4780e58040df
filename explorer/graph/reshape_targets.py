"""Constants that could stand for a shape which the graph computes."""

import onnx_ir as ir

from explorer.graph.shapes import infer_probes
from explorer.network import Network, Shape


def reshape_target(model: Network, node: ir.Node, dims: dict[str, Shape]) -> list[int] | None:
    """A constant target for a Reshape whose own may be computed; `dims` are the shapes to reach.

    Sizes that follow an open dimension are copied from the same axis of the input (0), or, for one
    of them, left to the runtime (-1). None where that isn't enough.
    """
    source, target, name = node.inputs[0], node.inputs[1], str(node.outputs[0].name)
    if target is not None and target.const_value is not None:
        return [int(size) for size in target.const_value.numpy().reshape(-1)]
    probes = infer_probes(model)
    if source is None:
        return None
    known = [each.dims for each in probes.shapes if {name, str(source.name)} <= each.dims.keys()]
    before, after = [each[str(source.name)] for each in known], [each[name] for each in known]
    ranks = {len(shape) for shape in after}
    if not probes.settles(len(known)) or len(ranks) > 1:
        return None
    found: list[int] = []
    for axis, sizes in enumerate(zip(*after, strict=True)):
        if len(set(sizes)) == 1:
            found.append(dims[name][axis])
        elif all(axis < len(b) and b[axis] == size for b, size in zip(before, sizes, strict=True)):
            found.append(0)
        else:
            found.append(-1)
    return None if found.count(-1) > 1 else found


def names_all_sizes(node: ir.Node, rank: int) -> bool:
    """True for a Resize whose constant sizes are those of all axes."""
    sizes = node.inputs[3]
    assert sizes is not None and sizes.const_value is not None  # the caller has seen it
    return int(sizes.const_value.size) == rank and "axes" not in node.attributes
