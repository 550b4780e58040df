"""A two-stage detector (arXiv 1506.01497), written as a graph: torch alone has no RoiAlign."""

from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

SIDE, CELL, ANCHORS, PROPOSALS, CLASSES = 32, 4, 3, 16, 4
PLACES = (SIDE // CELL) ** 2 * ANCHORS
LAYERS, PRUNABLE = 8, 4
PRUNABLE_NMS_FIRST = 2  # what feeds a number of boxes that depends on the image stays


class _Builder:
    def __init__(self) -> None:
        self.random = np.random.default_rng(0)
        self.nodes: list[onnx.NodeProto] = []
        self.tensors: list[onnx.TensorProto] = []

    def constant(self, name: str, array: npt.NDArray[np.generic]) -> str:
        self.tensors.append(numpy_helper.from_array(array, name))
        return name

    def weight(self, name: str, *shape: int) -> str:
        values = self.random.standard_normal(shape) / np.sqrt(max(1, prod(shape[1:])))
        return self.constant(name, values.astype(np.float32))

    def node(self, op: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(op, inputs, [output], name=output, **attributes))
        return output

    def conv(self, x: str, name: str, inputs: int, outputs: int, size: int, stride: int = 1) -> str:
        weights = [self.weight(f"{name}.weight", outputs, inputs, size, size)]
        weights.append(self.weight(f"{name}.bias", outputs))
        pads = [size // 2] * 4
        return self.node("Conv", [x, *weights], f"{name}_out", pads=pads, strides=[stride] * 2)

    def linear(self, x: str, name: str, inputs: int, outputs: int) -> str:
        weights = [
            self.weight(f"{name}.weight", outputs, inputs),
            self.weight(f"{name}.bias", outputs),
        ]
        return self.node("Gemm", [x, *weights], f"{name}_out", transB=1)


def _anchors() -> npt.NDArray[np.float32]:
    """Boxes of three sizes at each cell, (1, places, 4): x1, y1, x2, y2."""
    middles = (np.arange(SIDE // CELL) + 0.5) * CELL
    y, x = np.meshgrid(middles, middles, indexing="ij")
    rows = [
        np.stack([x - size, y - size, x + size, y + size], -1)[:, :, None] for size in (4, 6, 9)
    ]
    return np.concatenate(rows, 2).reshape(1, PLACES, 4).astype(np.float32)


def two_stage(nms_first: bool) -> bytes:
    """Backbone, region proposals, RoiAlign, head; (1, 3, 32, 32) to scores and boxes.

    The proposals are the best `PROPOSALS` places, or what non-maximum suppression leaves, whose
    number depends on the image.
    """
    b = _Builder()
    early = b.node("Relu", [b.conv("image", "conv1", 3, 16, 3, 2)], "early")
    features = b.node("Relu", [b.conv(early, "conv2", 16, 24, 3, 2)], "features")
    shared = b.node("Relu", [b.conv(features, "rpn", 24, 16, 3)], "shared")
    scores = b.node("Sigmoid", [b.conv(shared, "objectness", 16, ANCHORS, 1)], "all_scores")
    deltas = b.conv(shared, "deltas", 16, 4 * ANCHORS, 1)
    boxes = _decode(b, deltas)
    scores = _flat_scores(b, scores)
    chosen = _suppress(b, boxes, scores) if nms_first else _best(b, scores)
    boxes = b.node("Squeeze", [boxes, b.constant("zero", np.array([0]))], "box_rows")
    regions = b.node("Gather", [boxes, chosen], "regions", axis=0)
    image_of = b.node("Mul", [chosen, b.constant("none", np.array([0]))], "image_of")
    pooled = b.node(
        "RoiAlign",
        [features, regions, image_of],
        "pooled",
        output_height=3,
        output_width=3,
        sampling_ratio=2,
        spatial_scale=1 / CELL,
    )
    flat = b.node("Flatten", [pooled], "flat")
    hidden = b.node("Relu", [b.linear(flat, "fc1", 24 * 9, 32)], "hidden")
    b.node("Softmax", [b.linear(hidden, "fc_class", 32, CLASSES)], "classes", axis=-1)
    b.node("Add", [b.linear(hidden, "fc_box", 32, 4), "regions"], "boxes")
    rows = "proposals" if nms_first else PROPOSALS
    graph = helper.make_graph(
        b.nodes,
        "two_stage",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, SIDE, SIDE])],
        [
            helper.make_tensor_value_info("classes", TensorProto.FLOAT, [rows, CLASSES]),
            helper.make_tensor_value_info("boxes", TensorProto.FLOAT, [rows, 4]),
        ],
        b.tensors,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    data: bytes = model.SerializeToString()
    return data


def _decode(b: _Builder, deltas: str) -> str:
    rows = b.node("Transpose", [deltas], "deltas_last", perm=[0, 2, 3, 1])
    rows = b.node("Reshape", [rows, b.constant("box_shape", np.array([1, -1, 4]))], "delta_rows")
    return b.node("Add", [rows, b.constant("anchors", _anchors())], "all_boxes")


def _flat_scores(b: _Builder, scores: str) -> str:
    last = b.node("Transpose", [scores], "scores_last", perm=[0, 2, 3, 1])
    return b.node("Reshape", [last, b.constant("row", np.array([1, 1, -1]))], "score_rows")


def _best(b: _Builder, scores: str) -> str:
    count = b.constant("count", np.array([PROPOSALS]))
    b.nodes.append(helper.make_node("TopK", [scores, count], ["best", "best_at"], name="best"))
    return b.node("Reshape", ["best_at", b.constant("flat_shape", np.array([-1]))], "chosen")


def _suppress(b: _Builder, boxes: str, scores: str) -> str:
    limits = [
        b.constant("most", np.array([PROPOSALS])),
        b.constant("overlap", np.array([0.5], np.float32)),
    ]
    found = b.node("NonMaxSuppression", [boxes, scores, *limits], "suppressed")
    return b.node("Gather", [found, b.constant("third", np.array(2))], "chosen", axis=1)
