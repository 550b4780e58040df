"""ONNX files that are damaged, break the rules, or stand for far more than they hold."""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from bad_files.case import HARD_LINK, SYMBOLIC_LINK, Case, Content, Places, Verdict
from bad_files.models import (
    BOOL,
    INT64,
    data,
    good,
    good_proto,
    model,
    node,
    product,
    tensor,
    value,
    weight,
)

LOCAL = "local"
EXPORT = "torch.onnx.export"
DAMAGED = "cut short or damaged|holds no operators|without an ONNX graph|isn't a model"


def one(name: str, says: str, content: Content, **terms: Any) -> Case:
    return Case(f"onnx-{name}", says, {"network.onnx": content}, **terms)


def cut(share: float) -> bytes:
    whole = good()
    return whole[: int(len(whole) * share)]


def changed(change: Callable[[onnx.ModelProto], object]) -> bytes:
    """The good network with something done to it."""
    proto = good_proto()
    change(proto)
    data: bytes = proto.SerializeToString()
    return data


def with_weight(**fields: Any) -> bytes:
    """The good network whose weight's fields are others."""

    def change(proto: onnx.ModelProto) -> None:
        weights = proto.graph.initializer[0]
        for name, field in fields.items():
            if name == "dims":
                del weights.dims[:]
                weights.dims.extend(field)
            else:
                setattr(weights, name, field)

    return changed(change)


def set_opset(version: int) -> bytes:
    return changed(lambda proto: setattr(proto.opset_import[0], "version", version))


def function(name: str, *nodes: onnx.NodeProto) -> onnx.FunctionProto:
    imports = [helper.make_opsetid("", 17), helper.make_opsetid(LOCAL, 1)]
    return helper.make_function(LOCAL, name, ["a"], ["b"], nodes, imports)


def call(name: str, x: str, y: str) -> onnx.NodeProto:
    return node(name, x, y, domain=LOCAL)


def laughs(levels: int) -> bytes:
    """Functions of two calls each of the next one: 2**levels nodes in a few kilobytes."""
    functions = [
        function(f"f{at}", call(f"f{at + 1}", "a", "m"), call(f"f{at + 1}", "m", "b"))
        for at in range(levels)
    ]
    functions.append(function(f"f{levels}", node("Relu", "a", "b")))
    return data(call("f0", "x", "y"), functions=functions, domains=[LOCAL])


def chain(levels: int) -> bytes:
    functions = [function(f"f{at}", call(f"f{at + 1}", "a", "b")) for at in range(levels)]
    functions.append(function(f"f{levels}", node("Relu", "a", "b")))
    return data(call("f0", "x", "y"), functions=functions, domains=[LOCAL])


def called_in_circles() -> bytes:
    functions = [function("f", call("g", "a", "b")), function("g", call("f", "a", "b"))]
    return data(call("f", "x", "y"), functions=functions, domains=[LOCAL])


def nested(levels: int) -> bytes:
    """Branches in branches."""
    inside = node("Identity", "x", "v")
    for level in range(levels):
        branch = helper.make_graph([inside], "b", [], [value(inside.output[0], None)])
        inside = helper.make_node(
            "If", ["flag"], [f"v{level}"], then_branch=branch, else_branch=branch
        )
    inside.output[0] = "y"
    return data(inside, inputs=[value("x"), value("flag", (), BOOL)])


def nested_bytes(levels: int) -> bytes:
    """The same by hand, deeper than protobuf writes: a graph in an attribute of a node, again."""

    def field(number: int, content: bytes) -> bytes:
        length, sizes = len(content), b""
        while length > 127:
            sizes, length = sizes + bytes([length & 127 | 128]), length >> 7
        return bytes([number << 3 | 2]) + sizes + bytes([length]) + content

    graph = b""
    for _ in range(levels):
        graph = field(1, field(4, b"If") + field(5, field(1, b"then_branch") + field(6, graph)))
    return bytes([0x08, 8]) + field(7, graph) + field(8, b"\x0a\x00\x10\x11")


def renamed(name: str, change: str) -> bytes:
    """The good network with a name of a stranger's making at one place."""
    proto = good_proto()
    if change == "node":
        proto.graph.node[0].name = name
    elif change == "operator":
        proto.graph.node[0].op_type = name
    elif change == "weight":
        proto.graph.initializer[0].name = proto.graph.node[0].input[1] = name
    elif change == "input":
        proto.graph.input[0].name = proto.graph.node[0].input[0] = name
    data: bytes = proto.SerializeToString()
    return data


def not_text() -> bytes:
    return renamed("NOTATEXT", "input").replace(b"NOTATEXT", b"\xff\xfe\xc0\xaf\x80\x81\xf5\xff")


def outside(location: Callable[[Places], str], **entries: str) -> Callable[[Places], bytes]:
    """The good network with its weights in a second file, wherever that is said to be."""

    def content(places: Places) -> bytes:
        proto = good_proto()
        weights = proto.graph.initializer[0]
        weights.ClearField("raw_data")
        weights.data_location = TensorProto.EXTERNAL
        for key, text in {"location": location(places), **entries}.items():
            weights.external_data.add(key=key, value=text)
        data: bytes = proto.SerializeToString()
        return data

    return content


def sparse() -> bytes:
    proto = model(node("Add", "x s"))
    values, at = tensor("s", np.ones(1, np.float32)), tensor("i", np.zeros(1, np.int64))
    proto.graph.sparse_initializer.add(values=values, indices=at, dims=[4])
    data: bytes = proto.SerializeToString()
    return data


RULES = {
    "cut-to-0": ("is empty", b""),
    "cut-to-1-byte": (DAMAGED, good()[:1]),
    "cut-to-9-bytes": (DAMAGED, good()[:9]),
    **{
        f"cut-to-{round(share * 100)}-percent": (DAMAGED, cut(share))
        for share in (0.1, 0.25, 0.5, 0.75, 0.9, 0.99)
    },
    "zeros": ("isn't a model that the explorer can open", bytes(4096)),
    "noise": ("isn't a model that the explorer can open", np.random.default_rng(1).bytes(4096)),
    "wrong-first-byte": (DAMAGED, b"\x0b" + good()[1:]),
    "twice": ("more than one value|twice|two weights", good() + good()),
    "opset-999": ("opset 999", set_opset(999)),
    "opset-0": ("opset 0", set_opset(0)),
    "opset-negative": ("opset -7", set_opset(-7)),
    "no-opset": ("holds no operators", changed(lambda p: p.ClearField("opset_import"))),
    "format-of-the-future": ("newer version", changed(lambda p: setattr(p, "ir_version", 99))),
    "unknown-operator": ("operator 'Evil'", data(node("Evil", "x"))),
    "no-operator": ("ONNX", data(node("", "x"))),
    "unknown-domain": ("which version", data(node("Evil", "x", domain="evil"))),
    "circle": (
        "nothing before it gives",
        data(node("Add", "x b", "a"), node("Relu", "a", "b"), node("Relu", "b")),
    ),
    "own-input": ("nothing before it gives", data(node("Add", "x y"))),
    "undefined-input": ("nothing before it gives", data(node("Add", "x nowhere"))),
    "undefined-output": ("no node gives|which nothing", data(node("Relu", "x", "z"))),
    "output-twice": ("more than one value", data(node("Relu", "x"), node("Abs", "x"))),
    "input-twice": (
        "more than one value",
        data(node("Relu", "x"), inputs=[value("x"), value("x")]),
    ),
    "weight-twice": ("two weights", data(product(), tensors=[weight(), weight()])),
    "no-output": ("no outputs", data(node("Relu", "x"), outputs=[])),
    "wrong-attribute": ("attribute", data(node("Relu", "x", evil=1))),
    "attribute-of-a-wrong-type": ("attribute", data(node("Softmax", "x", axis="one"))),
    "too-many-inputs": ("inputs instead of", data(node("Relu", "x x x"))),
    "function-bomb": ("more than 50000 nodes", laughs(60)),
    "functions-in-circles": ("calls itself", called_in_circles()),
    "functions-100-deep": ("levels", chain(100)),
    "function-twice": (
        "twice",
        data(
            call("f", "x", "y"),
            domains=[LOCAL],
            functions=[function("f", node("Relu", "a", "b"))] * 2,
        ),
    ),
    "branches-17-deep": ("nested more than 16", nested(17)),
    "branches-300-deep": ("cut short or damaged", nested_bytes(300)),
    "not-text": ("a name in it isn't text|cut short or damaged", not_text()),
    "sparse": ("sparse", sparse()),
    "one-machine-only": (
        "one machine",
        data(
            node("Conv", "x w", domain="com.microsoft.nchwc"),
            tensors=[weight()],
            domains=["com.microsoft.nchwc"],
        ),
    ),
    "huge-dims": ("billion parameters", with_weight(dims=[2**30, 2**30])),
    "dims-past-64-bits": ("billion parameters", with_weight(dims=[2**62, 2**62])),
    "negative-dims": ("negative size", with_weight(dims=[-4, -3])),
    "33-axes": ("axes", with_weight(dims=[1] * 31 + [4, 3])),
    "short-weight": ("not as long", with_weight(raw_data=bytes(20))),
    "long-weight": ("not as long", with_weight(raw_data=bytes(2000))),
    "type-99": ("type that ONNX", with_weight(data_type=99)),
    "nan": ("not finite", with_weight(raw_data=np.full(12, np.nan, np.float32).tobytes())),
    "infinity": ("not finite", with_weight(raw_data=np.full(12, np.inf, np.float32).tobytes())),
    "weight-declared-of-type-99": (
        "types that it doesn't define",
        changed(lambda p: p.graph.value_info.append(value("w", (4, 3), 99))),
    ),
    "scale-0": (
        "scale of zero",
        data(
            node("QuantizeLinear", "x s z", "q"),
            node("DequantizeLinear", "q s z"),
            tensors=[tensor("s", np.float32(0)), tensor("z", np.uint8(0))],
        ),
    ),
}
SECOND_FILES = {
    "outside-absolute": ("isn't a file beside", outside(lambda places: str(places.secret))),
    "outside-passwd": ("isn't a file beside", outside(lambda places: "/etc/passwd", length="48")),
    "outside-above": ("isn't a file beside", outside(lambda places: f"../../{places.secret.name}")),
    "outside-link": ("not a link", outside(lambda places: SYMBOLIC_LINK)),
    "outside-hard-link": ("not a link", outside(lambda places: HARD_LINK)),
    "outside-missing": ("can't be read", outside(lambda places: "weights.bin")),
    "outside-memory": ("isn't a file beside", outside(lambda places: "*/_ORT_MEM_ADDR_/*")),
    "outside-offset": ("not as long", outside(lambda p: "w.bin", offset="-8", length="48")),
    "outside-folder": ("can't be read|isn't a file beside", outside(lambda places: ".")),
    "outside-device": ("isn't a file beside", outside(lambda places: "/dev/zero")),
}

CODE = '", None) or getattr(__import__("os"), "system")("touch {}") or ("'
HTML = '<img src=x onerror="alert(1)"><script>alert(1)</script>'
MARKDOWN = "![a](http://203.0.113.9/a.png) [b](javascript:alert(1)) **c** `d` $e$ :f:"
ANSI = "\x1b[31mred\x1b[0m\x07\x08\x00\r\n"
BIDI = "abc\u202egnp.exe\u2066\u200b\ufeff"
NAMES = {"html": HTML, "markdown": MARKDOWN, "ansi": ANSI, "bidi": BIDI, "long": "n" * 10**6}


def injected(places: Places) -> bytes:
    return renamed(CODE.format(places.markers[0]), "node")


def many_nodes(count: int) -> bytes:
    names = ["x", *(f"v{at}" for at in range(1, count)), "y"]
    return data(*(node("Relu", names[at], names[at + 1]) for at in range(count)))


CASES = (
    *(one(name, says, content) for name, (says, content) in RULES.items()),
    *(one(name, says, content) for name, (says, content) in SECOND_FILES.items()),
    one("100000-nodes", "more than 50000 nodes", lambda places: many_nodes(100_000)),
    one(
        "weight-declared-of-another-shape",
        "",
        changed(lambda p: p.graph.value_info.append(value("w", (9, 9), INT64))),
        verdict=Verdict.OPENS,
    ),
    one("code-as-a-name", "", injected, verdict=Verdict.OPENS),
    *(
        one(f"{kind}-as-a-{place}", says, renamed(name, place), verdict=verdict)
        for kind, name in NAMES.items()
        for place, says, verdict in (
            ("node", "", Verdict.OPENS),
            ("weight", "", Verdict.OPENS),
            ("input", "", Verdict.OPENS),
            ("operator", "has an operator|breaks a rule", Verdict.REFUSED),
        )
    ),
)
