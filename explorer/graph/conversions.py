"""Operators whose form or meaning changed between opsets, rewritten to compute the same.

One function for each change, under the operators and the opset that brought it. It changes the node
in place, to what it must be from that opset on, or raises `NotConvertibleError`. The sources are
the operators' versions in ONNX's documentation (docs/Changelog.md of onnx/onnx); for `Upsample` and
`Resize` before opset 11, whose rounding the documentation leaves open, what ONNX Runtime computes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir

from explorer.graph.initializers import add_initializer
from explorer.graph.operators import WEIGHT_DTYPES, int_attribute
from explorer.graph.shapes import Shapes

Conversion = Callable[["Site"], None]
CONVERSIONS: dict[tuple[str, int], Conversion] = {}
AXES_AT_13 = "ReduceSum Squeeze Unsqueeze"
AXES_AT_18 = """
    ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd
    ReduceSumSquare
"""
SOFTMAXES = frozenset({"Hardmax", "LogSoftmax", "Softmax"})
GROWS = "grows"  # in the notes on a node that was an Upsample
ATTENTION_SCORES = 3  # the output of Attention that is for debugging
COUNTED_FROM_FRONT = 1  # the axis that Softmax had where none was said


class NotConvertibleError(Exception):
    """A node has no equal in a newer opset; the text says why, for the end of a sentence."""


@dataclass(frozen=True)
class Site:
    """A node to be rewritten, and what is known of the tensors of the `main` graph.

    `taken` are the names that are in use.
    """

    node: ir.Node
    main: ir.Graph
    shapes: Shapes
    taken: set[str]

    @property
    def graph(self) -> ir.Graph:
        """The graph or subgraph in which the node stands."""
        graph = self.node.graph
        assert isinstance(graph, ir.Graph)  # functions are inlined before
        return graph

    def take(self, attribute: str) -> Any:
        """Take an attribute from the node; None where it has none."""
        taken = self.node.attributes.pop(attribute, None)
        return taken.value if taken is not None else None

    def put(self, position: int, value: ir.Value) -> None:
        """Make a value an input of the node."""
        if len(self.node.inputs) <= position:
            self.node.resize_inputs(position + 1)
        self.node.replace_input_with(position, value)

    def constant(self, suffix: str, array: np.ndarray[Any, Any]) -> ir.Value:
        """A new initialiser, named after the node's output."""
        return add_initializer(self.graph, self._name(suffix), array)

    def integers(self, suffix: str, values: Sequence[int]) -> ir.Value:
        """A new initialiser of int64."""
        return self.constant(suffix, np.array(values, dtype=np.int64))

    def insert(
        self, op: str, inputs: Sequence[ir.Value | None], suffix: str, **attributes: Any
    ) -> ir.Value:
        """A new node before this one; its output."""
        name = self._name(suffix)
        new = ir.node(op, inputs, attributes, name=name)
        new.outputs[0].name = name
        self.graph.insert_before(self.node, new)
        return new.outputs[0]

    def rank(self) -> int | None:
        """Number of axes of the first input, where it is known."""
        source = self.node.inputs[0]
        assert source is not None
        if source.const_value is not None:
            return len(source.const_value.shape)
        dims = self.shapes.dims.get(str(source.name)) if source.graph is self.main else None
        return len(dims) if dims is not None else None

    def _name(self, suffix: str) -> str:
        name = f"{self.node.outputs[0].name}/{suffix}"
        while name in self.taken:
            name += "_"
        self.taken.add(name)
        return name


def conversion(ops: str, opset: int) -> Callable[[Conversion], Conversion]:
    """Register a function for operators that changed in an opset."""

    def register(function: Conversion) -> Conversion:
        for op in ops.split():
            if (op, opset) in CONVERSIONS:
                raise ValueError(f"{op} already has a conversion to opset {opset}")
            CONVERSIONS[op, opset] = function
        return function

    return register


def spread_softmax(site: Site) -> None:
    """Before opset 13 all axes from one on are one: Flatten, the operator, Reshape.

    The result is right in the old and the new meaning. Left alone where the axis is the last one.
    """
    node, rank = site.node, site.rank()
    axis = int_attribute(node, "axis", COUNTED_FROM_FRONT)
    if rank == 0 or (rank is not None and axis % rank == rank - 1):
        return
    if axis == 1 and _is_flat(node):
        return
    source, result = node.inputs[0], node.outputs[0]
    assert source is not None
    shape = site.insert("Shape", [source], "shape")
    flat = site.insert("Flatten", [source], "flat", axis=axis)
    scores = site.insert(node.op_type, [flat], "scores", axis=1)
    node.attributes.clear()
    node.op_type = "Reshape"
    node.replace_input_with(0, scores)
    site.put(1, shape)
    assert node.outputs[0] is result


def _is_flat(node: ir.Node) -> bool:
    source = node.inputs[0]
    producer = source.producer() if source is not None else None
    return producer is not None and producer.op_type == "Flatten"


@conversion("Hardmax LogSoftmax Softmax", 13)
def _softmax(site: Site) -> None:
    """Axis -1 by default, and that axis alone."""
    rank, node = site.rank(), site.node
    spread_softmax(site)
    if node.op_type in SOFTMAXES and rank is not None:
        node.attributes["axis"] = ir.AttrInt64("axis", -1)
    elif node.op_type in SOFTMAXES:
        node.attributes["axis"] = ir.AttrInt64("axis", 1)


@conversion(AXES_AT_13, 13)
@conversion(AXES_AT_18, 18)
def _axes(site: Site) -> None:
    """The axes become an input."""
    axes = site.take("axes")
    if axes:
        site.put(1, site.integers("axes", axes))


@conversion("Split", 13)
def _split(site: Site) -> None:
    """The sizes become an input."""
    sizes = site.take("split")
    if sizes:
        site.put(1, site.integers("split", sizes))


@conversion("Split", 18)
def _equal_split(site: Site) -> None:
    """Where no sizes are given, the number of parts must be said."""
    node = site.node
    if len(node.inputs) < 2 or node.inputs[1] is None:
        node.attributes["num_outputs"] = ir.AttrInt64("num_outputs", len(node.outputs))


@conversion("Slice", 10)
def _slice(site: Site) -> None:
    """Starts, ends and axes become inputs."""
    for position, name in enumerate(("starts", "ends", "axes"), start=1):
        values = site.take(name)
        if values is not None:
            site.put(position, site.integers(name, values))


@conversion("TopK", 10)
def _top_k(site: Site) -> None:
    """The number of elements becomes an input."""
    site.put(1, site.integers("k", [site.take("k")]))


@conversion("Pad", 11)
def _pad(site: Site) -> None:
    """Pads and value become inputs, the value in the type of the data."""
    site.put(1, site.integers("pads", site.take("pads")))
    value = site.take("value")
    if value:
        site.put(2, site.constant("value", _like(site, value)))


@conversion("Clip", 11)
def _clip(site: Site) -> None:
    """The limits become inputs, in the type of the data; without them nothing is cut, as before."""
    for position, name in enumerate(("min", "max"), start=1):
        limit = site.take(name)
        if limit is not None:
            site.put(position, site.constant(name, _like(site, limit)))


def _like(site: Site, number: float) -> np.ndarray[Any, Any]:
    """A scalar in the type of the node's first input."""
    source = site.node.inputs[0]
    assert source is not None
    dtype = source.dtype
    if dtype is None and source.graph is site.main:
        dtype = site.shapes.dtypes.get(str(source.name))
    if dtype is None:
        floats = {each for each in site.shapes.dtypes.values() if each in WEIGHT_DTYPES}
        if len(floats) != 1:
            raise NotConvertibleError("works on numbers of a type that the file doesn't say")
        dtype = floats.pop()
    if dtype not in WEIGHT_DTYPES:
        raise NotConvertibleError("works on numbers that are no floats, which it didn't before")
    largest = float(np.finfo(dtype.numpy()).max)
    return np.array(min(max(number, -largest), largest), dtype=dtype.numpy())


@conversion("Dropout", 10)
def _dropout_mask(site: Site) -> None:
    """The mask, if anybody reads it, was of the data's type."""
    _only_first_output(site, "a mask that is read")


@conversion("Dropout", 12)
def _dropout(site: Site) -> None:
    """Without a say in training it passes its input on; how much it would drop doesn't matter."""
    _only_first_output(site, "a mask that is read")
    site.take("ratio")


@conversion("BatchNormalization", 9)
def _batch_norm_over_places(site: Site) -> None:
    """There are no more statistics for each place of an image."""
    if site.take("spatial") == 0:
        raise NotConvertibleError("has statistics for each place of an image")


@conversion("BatchNormalization", 14)
def _batch_norm(site: Site) -> None:
    """What it gave besides its result was for training."""
    _only_first_output(site, "outputs for training")


def _only_first_output(site: Site, others: str) -> None:
    node = site.node
    if any(value.uses() or value.is_graph_output() for value in node.outputs[1:]):
        raise NotConvertibleError(f"has {others}")
    if len(node.outputs) > 1:
        node.resize_outputs(1)


@conversion("Scatter", 11)
def _scatter(site: Site) -> None:
    """It has another name now."""
    site.node.op_type = "ScatterElements"


@conversion("Upsample", 9)
def _upsample(site: Site) -> None:
    """The scales become an input."""
    site.put(1, site.constant("scales", np.array(site.take("scales"), dtype=np.float32)))


@conversion("Upsample", 10)
def _upsample_is_resize(site: Site) -> None:
    """It has another name now; that it only grows is kept in mind."""
    site.node.op_type = "Resize"
    site.node.meta[GROWS] = True


@conversion("Resize", 11)
def _resize(site: Site) -> None:
    """How places are found, and which one is nearest, must be said.

    Places are asymmetric (x / scale). The nearest is the one before, where an axis grows, and the
    one behind, where it shrinks.
    """
    node = site.node
    scales = node.inputs[1]
    node.attributes["coordinate_transformation_mode"] = ir.AttrString(
        "coordinate_transformation_mode", "asymmetric"
    )
    mode = node.attributes.get("mode")
    if mode is None or mode.as_string() == "nearest":
        rounding = "floor" if GROWS in node.meta else _rounding(scales)
        node.attributes["nearest_mode"] = ir.AttrString("nearest_mode", rounding)
    node.resize_inputs(3)
    node.replace_input_with(1, None)
    node.replace_input_with(2, scales)


def _rounding(scales: ir.Value | None) -> str:
    if scales is None or scales.const_value is None:
        raise NotConvertibleError("takes the nearest pixel at scales that the graph computes")
    factors = scales.const_value.numpy()
    if (factors < 1).any() and (factors > 1).any():
        raise NotConvertibleError(
            "takes the nearest pixel, and grows along one axis and shrinks along another"
        )
    return "ceil" if (factors < 1).any() else "floor"


@conversion("Resize", 13)
def _resize_modes(site: Site) -> None:
    """One way of finding places is gone."""
    mode = site.node.attributes.get("coordinate_transformation_mode")
    if mode is not None and mode.as_string() == "tf_half_pixel_for_nn":
        raise NotConvertibleError("finds places in a way that newer opsets don't have")


@conversion("RoiAlign", 16)
def _roi_align(site: Site) -> None:
    """Regions were not moved by half a pixel."""
    name = "coordinate_transformation_mode"
    site.node.attributes[name] = ir.AttrString(name, "output_half_pixel")


@conversion("DFT", 20)
def _fourier(site: Site) -> None:
    """The axis becomes an input, and another one is taken where none is given."""
    axis = site.take("axis")
    value = site.constant("axis", np.array(1 if axis is None else axis, dtype=np.int64))
    site.put(2, value)


@conversion("GridSample", 20)
def _grid_sample(site: Site) -> None:
    """The modes have other names now."""
    mode = site.node.attributes.get("mode")
    old = "bilinear" if mode is None else mode.as_string()
    new = {"bilinear": "linear", "bicubic": "cubic"}.get(old, old)
    site.node.attributes["mode"] = ir.AttrString("mode", new)


@conversion("Attention", 24)
def _attention(site: Site) -> None:
    """What its scores hold, where somebody reads them, isn't the same in all versions."""
    scores = site.node.outputs[ATTENTION_SCORES:]
    if any(value.uses() or value.is_graph_output() for value in scores):
        raise NotConvertibleError("gives its scores")


@conversion("Scan", 9)
def _scan(site: Site) -> None:
    """It ran over a batch, which it doesn't any more."""
    raise NotConvertibleError("runs over a batch, as newer opsets don't")
