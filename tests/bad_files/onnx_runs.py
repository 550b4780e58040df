"""ONNX files that are well formed and do harm, or nothing sensible, when they are run."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from bad_files.case import Case, Verdict
from bad_files.models import BOOL, FLOAT, INT64, data, model, node, product, tensor, value, weight

TERA = 2**40
LATER, OPENS = Verdict.FAILS_LATER, Verdict.OPENS
NO_MEMORY = "memory"
RUNS_NOT = "can't run network|memory"


def one(name: str, says: str, content: bytes, verdict: Verdict = LATER, **terms: Any) -> Case:
    return Case(f"onnx-{name}", says, {"network.onnx": content}, verdict, **terms)


def ints(name: str, *numbers: int) -> onnx.TensorProto:
    return tensor(name, np.array(numbers, np.int64))


def floats(name: str, *numbers: float) -> onnx.TensorProto:
    return tensor(name, np.array(numbers, np.float32))


def after(op: str, inputs: str, *tensors: onnx.TensorProto, **attributes: Any) -> bytes:
    """One operator behind a product, so that there is a layer too."""
    first = product("first", y="h")
    opset = attributes.pop("opset", 17)
    shape = attributes.pop("input_shape", ("N", 4))
    last = node(op, inputs, **attributes)
    outputs = [value("y", ("N", "M"))]
    return data(
        first,
        last,
        tensors=[weight(), *tensors],
        inputs=[value("x", shape)],
        outputs=outputs,
        opset=opset,
    )


def loop(trips: int, *body: onnx.NodeProto, scanned: bool = False) -> bytes:
    """A loop that goes on for so many trips, or for as long as memory lasts."""
    nodes = [node("Identity", "go", "on"), *body, node("Relu", "state", "next")]
    outputs = [value("on", (), BOOL), value("next", None)]
    if scanned:
        nodes.append(node("Identity", "state", "kept"))
        outputs.append(value("kept", None))
    inside = helper.make_graph(
        nodes, "body", [value("i", (), INT64), value("go", (), BOOL), value("state", None)], outputs
    )
    out = "l kept_" if scanned else "l"
    first = product("first", y="h")
    run = node("Loop", "trips yes h", out, body=inside)
    tensors = [weight(), tensor("trips", np.int64(trips)), tensor("yes", np.bool_(True))]
    return data(first, run, node("Relu", "l"), tensors=tensors)


def typed(kind: int, *nodes: onnx.NodeProto, **parts: Any) -> bytes:
    chosen: Iterable[onnx.NodeProto] = nodes or (node("Identity", "x"),)
    inputs, outputs = [value("x", ("N", 4), kind)], [value("y", ("N", "M"), kind)]
    return data(*chosen, **{"inputs": inputs, "outputs": outputs, **parts})


def doubles() -> bytes:
    w = tensor("w", np.ones((4, 3)))
    return typed(TensorProto.DOUBLE, product(), tensors=[w])


def no_input() -> bytes:
    return data(node("Relu", "w"), tensors=[weight()], inputs=[])


def nothing_wide() -> bytes:
    """A layer of no channels."""
    return data(product(), tensors=[weight(shape=(4, 0))])


def of_input(*dims: int | str | None) -> bytes:
    return data(node("Relu", "x"), inputs=[value("x", dims)])


def custom() -> bytes:
    return data(
        product(y="h"), node("Evil", "h", domain="evil"), tensors=[weight()], domains=["evil"]
    )


def unknown_shape() -> bytes:
    return data(product(), tensors=[weight()], inputs=[value("x", None)])


PICTURES = (value("y", ("N", "C", "H", "W")),)


def conv(**attributes: Any) -> bytes:
    w = tensor("w", np.ones((4, 3, 3, 3), np.float32))
    return data(
        node("Conv", "x w", name="first", **attributes),
        tensors=[w],
        inputs=[value("x", ("N", 3, 8, 8))],
        outputs=PICTURES,
    )


def pool(op: str = "MaxPool", **attributes: Any) -> bytes:
    return data(node(op, "x", **attributes), inputs=[value("x", ("N", 3, 8, 8))], outputs=PICTURES)


def lstm(hidden: int) -> bytes:
    w, r = weight("w", (1, 12, 4)), weight("r", (1, 12, 3))
    return data(
        node("LSTM", "x w r", "y", hidden_size=hidden),
        tensors=[w, r],
        inputs=[value("x", (5, "N", 4))],
    )


def tree() -> bytes:
    """A decision tree whose first node leads back to itself."""
    whole: dict[str, Any] = {
        "nodes_treeids": [0, 0],
        "nodes_nodeids": [0, 1],
        "nodes_featureids": [0, 0],
        "nodes_truenodeids": [0, 0],
        "nodes_falsenodeids": [1, 0],
        "nodes_hitrates": [1.0, 1.0],
        "nodes_missing_value_tracks_true": [0, 0],
        "nodes_values": [0.0, 0.0],
        "nodes_modes": ["BRANCH_LEQ", "LEAF"],
        "target_treeids": [0],
        "target_nodeids": [1],
        "target_ids": [0],
        "target_weights": [1.0],
        "n_targets": 1,
    }
    proto = model(node("TreeEnsembleRegressor", "x", domain="ai.onnx.ml", **whole))
    proto.opset_import.add(domain="ai.onnx.ml", version=3)
    data: bytes = proto.SerializeToString()
    return data


CASES = (
    one("loop-without-end", "longer than", loop(2**62), Verdict.REFUSED, is_slow=True),
    one(
        "loop-that-keeps-all",
        "longer than|memory",
        loop(2**62, scanned=True),
        Verdict.REFUSED,
        is_slow=True,
    ),
    one("expand-terabytes", NO_MEMORY, after("Expand", "h s", ints("s", TERA, 1, 3))),
    one("tile-terabytes", RUNS_NOT, after("Tile", "h s", ints("s", TERA, 1))),
    one(
        "range-terabytes",
        RUNS_NOT,
        data(
            node("Range", "a b c", "r"),
            node("Add", "x r"),
            inputs=[value("x", (1,))],
            tensors=[tensor(n, np.float32(v)) for n, v in (("a", 0), ("b", 1e30), ("c", 1e-3))],
        ),
    ),
    one(
        "range-of-integers",
        NO_MEMORY,
        data(
            node("Range", "a b c", "r"),
            node("Cast", "r", "f", to=FLOAT),
            node("Add", "x f"),
            tensors=[tensor(n, np.int64(v)) for n, v in (("a", 0), ("b", TERA), ("c", 1))],
            inputs=[value("x", (1,))],
        ),
    ),
    one(
        "constant-terabytes",
        NO_MEMORY,
        data(
            node("ConstantOfShape", "s", "c"),
            node("Add", "x c"),
            tensors=[ints("s", TERA)],
            inputs=[value("x", (1,))],
        ),
    ),
    one(
        "one-hot-terabytes",
        NO_MEMORY,
        data(
            node("Cast", "x", "i", to=INT64),
            node("OneHot", "i d v"),
            tensors=[tensor("d", np.int64(TERA)), floats("v", 0, 1)],
        ),
    ),
    one(
        "random-terabytes",
        RUNS_NOT,
        data(node("RandomNormal", "", "r", shape=[TERA]), node("Add", "x r")),
    ),
    one(
        "resize-terabytes",
        NO_MEMORY,
        data(
            node("Resize", "x _ s", "y", mode="nearest"),
            tensors=[floats("s", 1, 1, 2**20, 2**20)],
            inputs=[value("x", (1, 1, 8, 8))],
        ),
    ),
    one("pad-terabytes", NO_MEMORY, after("Pad", "h p", ints("p", 0, TERA, 0, TERA))),
    one(
        "outer-product",
        NO_MEMORY,
        data(
            node("ConstantOfShape", "s", "a"),
            node("ConstantOfShape", "t", "b"),
            node("MatMul", "a b", "c"),
            node("ReduceSum", "c", "d", keepdims=0),
            node("Add", "x d"),
            tensors=[ints("s", 2**20, 1), ints("t", 1, 2**20)],
        ),
    ),
    one("input-of-terabytes", NO_MEMORY, of_input("N", TERA)),
    one("input-past-64-bits", NO_MEMORY, of_input("N", 2**40, 2**40)),
    one("batch-0", "", of_input(0, 4), OPENS),
    one("no-inputs", "no inputs", no_input(), Verdict.REFUSED),
    one("no-width", "", nothing_wide(), OPENS),
    one("no-shape", "how many axes", unknown_shape(), Verdict.REFUSED),
    one("unknown-domain-declared", "no operator", custom()),
    one("float64", "", doubles(), OPENS),
    one("complex", RUNS_NOT, typed(TensorProto.COMPLEX64)),
    one("text", "string values", typed(TensorProto.STRING)),
    one("bfloat16", "bfloat16 values", typed(TensorProto.BFLOAT16)),
    one(
        "sequence",
        RUNS_NOT,
        data(
            node("SequenceConstruct", "x x", "s"),
            node("SequenceAt", "s i"),
            tensors=[tensor("i", np.int64(7))],
        ),
    ),
    one("conv-group-0", RUNS_NOT, conv(group=0)),
    one("conv-stride-0", RUNS_NOT, conv(strides=[0, 0])),
    one("conv-negative-pads", RUNS_NOT, conv(pads=[-9, -9, -9, -9])),
    one("conv-huge-pads", RUNS_NOT, conv(pads=[2**30, 2**30, 2**30, 2**30])),
    one("conv-dilation-0", RUNS_NOT, conv(dilations=[0, 0])),
    one("pool-kernel-0", RUNS_NOT, pool(kernel_shape=[0, 0])),
    one("pool-stride-0", RUNS_NOT, pool(kernel_shape=[2, 2], strides=[0, 0])),
    one("pool-huge-kernel", RUNS_NOT, pool("AveragePool", kernel_shape=[2**31, 2**31])),
    one("pool-p-0", "", pool("LpPool", kernel_shape=[2, 2], p=0), OPENS),
    one("reshape-minus-two", RUNS_NOT, after("Reshape", "h s", ints("s", -2, 3))),
    one("reshape-to-more", RUNS_NOT, after("Reshape", "h s", ints("s", 1, 4000))),
    one("gather-beyond", RUNS_NOT, after("Gather", "h i", ints("i", 10**9), axis=1)),
    one(
        "gather-elements-beyond",
        RUNS_NOT,
        after("GatherElements", "h i", tensor("i", np.full((1, 3), -99))),
    ),
    one("gather-nd-beyond", RUNS_NOT, after("GatherND", "h i", tensor("i", np.full((1, 2), 99)))),
    one(
        "scatter-beyond",
        RUNS_NOT,
        after(
            "ScatterElements",
            "h i u",
            tensor("i", np.full((1, 1), 10**6)),
            tensor("u", np.ones((1, 1), np.float32)),
        ),
    ),
    one(
        "scatter-nd-beyond",
        RUNS_NOT,
        after("ScatterND", "h i u", tensor("i", np.full((1, 2), 10**6)), floats("u", 1)),
    ),
    one(
        "slice-step-0",
        RUNS_NOT,
        after("Slice", "h a b c d", ints("a", 0), ints("b", 3), ints("c", 1), ints("d", 0)),
    ),
    one(
        "split-to-minus",
        RUNS_NOT,
        data(
            node("Split", "x s", "y z", axis=1),
            tensors=[ints("s", -4, 8)],
            outputs=[value("y"), value("z")],
        ),
    ),
    one("top-k-minus", RUNS_NOT, data(node("TopK", "x k", "y z"), tensors=[ints("k", -1)])),
    one("transpose-twice-one-axis", RUNS_NOT, after("Transpose", "h", perm=[0, 0])),
    one("concat-beyond", RUNS_NOT, after("Concat", "h h", axis=9)),
    one(
        "integer-division-by-0",
        RUNS_NOT,
        data(
            node("Cast", "x", "i", to=INT64),
            node("Div", "i z", "d"),
            node("Cast", "d", "y", to=FLOAT),
            tensors=[ints("z", 0)],
        ),
    ),
    one(
        "mod-0",
        RUNS_NOT,
        data(
            node("Cast", "x", "i", to=INT64),
            node("Mod", "i z", "d"),
            node("Cast", "d", "y", to=FLOAT),
            tensors=[ints("z", 0)],
        ),
    ),
    one("lstm-of-another-size", RUNS_NOT, lstm(2**30)),
    one("lstm-of-size-0", RUNS_NOT, lstm(0)),
    one("einsum-nonsense", RUNS_NOT, after("Einsum", "h h", equation="ij,jk->zz")),
    one(
        "einsum-terabytes",
        RUNS_NOT,
        after("Einsum", "h h h h", equation=",".join(["ab"] * 4) + "->" + "a" * 40),
    ),
    one(
        "dft-of-length-0",
        RUNS_NOT,
        data(
            node("DFT", "x n", axis=1),
            tensors=[tensor("n", np.int64(0))],
            inputs=[value("x", (1, 8, 1))],
        ),
    ),
    one(
        "roi-align-beyond",
        RUNS_NOT,
        data(
            node("RoiAlign", "x r b", output_height=2**20, output_width=2**20),
            tensors=[tensor("r", np.full((1, 4), 1e30, np.float32)), ints("b", 99)],
            inputs=[value("x", (1, 1, 8, 8))],
        ),
    ),
    one("tree-in-circles", RUNS_NOT, tree()),
    one(
        "depth-to-space-0",
        RUNS_NOT,
        data(node("DepthToSpace", "x", blocksize=0), inputs=[value("x", (1, 4, 2, 2))]),
    ),
    one(
        "instance-of-other-width",
        RUNS_NOT,
        data(
            node("InstanceNormalization", "x s b"),
            tensors=[floats("s", 1), floats("b", 1)],
            inputs=[value("x", (1, 3, 8, 8))],
        ),
    ),
    one("gemm-of-other-width", RUNS_NOT, data(node("Gemm", "x w"), tensors=[weight(shape=(9, 3))])),
)
