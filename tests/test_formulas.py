"""Formulas of operators against sums done by hand, and Einsum against torch."""

from typing import Any

import onnx
import onnx_ir as ir
import pytest
import torch
from conftest import with_weights
from counters import torch_macs
from onnx import TensorProto, helper
from onnxruntime.capi.onnxruntime_pybind11_state import get_all_operator_schema
from torch import nn

import explorer
from explorer.formats.onnx_file import OPSETS
from explorer.graph.costs import FORMULAS, ZERO_MAC_OPS, node_macs
from explorer.graph.costs.registry import UnknownShapeError


def macs_of(text: str, **shapes: tuple[int, ...]) -> explorer.Profile:
    head = '<ir_version: 10, opset_import: ["" : 23, "com.microsoft" : 1]> g '
    return explorer.profile(with_weights(head + text, **shapes), gzipped=False)


EQUATIONS = [
    ("ij,jk->ik", (2, 3), (3, 5)),
    ("ij->ji", (2, 3)),
    ("ii->i", (4, 4)),
    ("bhqd,bhkd->bhqk", (2, 3, 4, 5), (2, 3, 6, 5)),
    ("...ij,...jk->...ik", (4, 2, 3), (4, 3, 5)),
    ("...ij,jk->...ik", (2, 4, 2, 3), (3, 5)),
    ("ij,jk,kl->il", (2, 3), (3, 4), (4, 5)),
    ("ij,kl,jk->il", (2, 3), (4, 5), (3, 4)),
    ("i,j->ij", (3,), (4,)),
    ("ij,ij->ij", (3, 4), (3, 4)),
    ("ij,ij->", (3, 4), (3, 4)),
    ("ij,k->k", (3, 4), (5,)),
    ("ijl,jk->ik", (2, 3, 7), (3, 5)),
    ("iij,jk->ik", (2, 2, 3), (3, 5)),
    ("ij,jk", (2, 3), (3, 5)),
    ("bi,oi,bo->b", (2, 3), (4, 3), (2, 4)),
]


class EinsteinSum(nn.Module):
    def __init__(self, equation: str) -> None:
        super().__init__()
        self.equation = equation

    def forward(self, *operands: torch.Tensor) -> torch.Tensor:
        return torch.einsum(self.equation, *operands)


@pytest.mark.parametrize("equation", EQUATIONS, ids=lambda equation: equation[0])
def test_einsum_equals_torch(equation: tuple[str, *tuple[tuple[int, ...], ...]]) -> None:
    text, *shapes = equation
    inputs = [helper.make_tensor_value_info(f"i{k}", 1, s) for k, s in enumerate(shapes)]
    names = [value.name for value in inputs]
    node = helper.make_node("Einsum", names, ["y"], equation=text)
    operands = [torch.randn(shape) for shape in shapes]
    result = EinsteinSum(text)(*operands)
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, list(result.shape))
    model = helper.make_model(
        helper.make_graph([node], "g", inputs, [output]),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    profile = explorer.profile(explorer.load(model.SerializeToString()), gzipped=False)
    expected = torch_macs(EinsteinSum(text), *operands)
    assert (profile.macs, profile.uncounted_ops) == (expected, ())


STANDARD = {
    # heads x queries x keys x (width + value width), for all query heads
    "four axes": (
        "(float[1,4,6,8] q, float[1,2,5,8] k, float[1,2,5,3] v) => (float[1,4,6,3] y) "
        "{ y = Attention (q, k, v) }",
        4 * 6 * 5 * (8 + 3),
    ),
    "three axes": (
        "(float[1,6,32] q, float[1,5,16] k, float[1,5,6] v) => (float[1,6,12] y) "
        "{ y = Attention <q_num_heads = 4, kv_num_heads = 2> (q, k, v) }",
        4 * 6 * 5 * (8 + 3),
    ),
    "past keys": (
        "(float[1,4,1,8] q, float[1,4,1,8] k, float[1,4,1,8] v, float[1,4,9,8] p, "
        "float[1,4,9,8] o) => (float[1,4,1,8] y, float[1,4,10,8] a, float[1,4,10,8] b) "
        "{ y, a, b = Attention (q, k, v, , p, o) }",
        4 * 1 * 10 * (8 + 8),
    ),
    "deformable": (
        "(float[1,4,5,5] x, float[6,4,3,3] w, float[1,18,5,5] o) => (float[1,6,5,5] y) "
        "{ y = DeformConv <pads = [1,1,1,1]> (x, w, o) }",
        25 * 6 * 4 * 9,
    ),
    "regions": (
        "(float[1,4,5,5] x, float[3,4] r, int64[3] i) => (float[3,4,2,2] y) "
        "{ y = RoiAlign <output_height = 2, output_width = 2> (x, r, i) }",
        0,
    ),
    "grid": (
        "(float[1,4,5,5] x, float[1,3,3,2] g) => (float[1,4,3,3] y) { y = GridSample (x, g) }",
        0,
    ),
    "affine grid": (
        "(float[1,2,3] t) => (float[1,3,5,2] y) <int64[4] s = {1, 1, 3, 5}> "
        "{ y = AffineGrid (t, s) }",
        3 * 5 * 2 * 3,
    ),
    "integers": (
        "(uint8[2,3] a, uint8[3,5] b) => (int32[2,5] y) { y = MatMulInteger (a, b) }",
        2 * 3 * 5,
    ),
    "integer convolution": (
        "(uint8[1,4,5,5] x, uint8[6,2,3,3] w) => (int32[1,6,3,3] y) "
        "{ y = ConvInteger <group = 2> (x, w) }",
        9 * 6 * 2 * 9,
    ),
    "quantized product": (
        "(uint8[2,3] a, float s, uint8 z, uint8[3,5] b) => (uint8[2,5] y) "
        "{ y = QLinearMatMul (a, s, z, b, s, z, s, z) }",
        2 * 3 * 5,
    ),
    "quantized convolution": (
        "(uint8[1,4,5,5] x, float s, uint8 z, uint8[6,2,3,3] w) => (uint8[1,6,3,3] y) "
        "{ y = QLinearConv <group = 2> (x, s, z, w, s, z, s, z) }",
        9 * 6 * 2 * 9,
    ),
    "both directions, batch first": (
        "(float[2,5,3] x, float[2,12,3] w, float[2,12,4] r) => (float[2,5,2,4] y) "
        '{ y = GRU <hidden_size = 4, direction = "bidirectional", layout = 1> (x, w, r) }',
        2 * 5 * 2 * 12 * (3 + 4),
    ),
}


@pytest.mark.parametrize("name", STANDARD)
def test_standard_operators_by_hand(name: str) -> None:
    text, macs = STANDARD[name]
    profile = macs_of(text)
    assert (profile.macs, profile.uncounted_ops) == (macs, ())


# Each with the shapes of all inputs and outputs given to the formula, as no inference is at hand.
Shapes = list[tuple[int, ...] | None]
FUSED: dict[str, tuple[str, dict[str, Any], Shapes, Shapes, int]] = {
    "FusedConv": ("FusedConv", {}, [(1, 4, 5, 5), (6, 2, 3, 3)], [(1, 6, 5, 5)], 25 * 6 * 18),
    "NhwcConv": ("NhwcConv", {}, [(1, 5, 5, 4), (6, 4, 3, 3)], [(1, 5, 5, 6)], 25 * 6 * 36),
    "FusedGemm": ("FusedGemm", {"transA": 1}, [(3, 2), (3, 5)], [(2, 5)], 30),
    "FusedMatMul": ("FusedMatMul", {"transA": 1}, [(4, 3, 2), (4, 3, 5)], [(4, 2, 5)], 120),
    "FusedMatMul stack": (
        "FusedMatMul",
        {"transBatchA": 1},
        [(2, 4, 3), (4, 3, 5)],
        [(4, 2, 5)],
        120,
    ),
    "QGemm": ("QGemm", {}, [(2, 3), (), (), (3, 5)], [(2, 5)], 30),
    "DynamicQuantizeMatMul": ("DynamicQuantizeMatMul", {}, [(2, 3), (3, 5)], [(2, 5)], 30),
    "MatMulIntegerToFloat": ("MatMulIntegerToFloat", {}, [(2, 3), (3, 5)], [(2, 5)], 30),
    "MatMulNBits": ("MatMulNBits", {"K": 3, "N": 5}, [(7, 2, 3), (5, 1, 2)], [(7, 2, 5)], 210),
    "QLinearConv": (
        "QLinearConv",
        {"channels_last": 1},
        [(1, 5, 5, 4), (), (), (6, 4, 3, 3)],
        [(1, 5, 5, 6)],
        25 * 6 * 36,
    ),
    "Attention": (
        "Attention",
        {"num_heads": 2},
        [(1, 5, 8), (8, 24)],
        [(1, 5, 8)],
        5 * 8 * 24 + 2 * 5 * 5 * 8,
    ),
    "Attention of other widths": (
        "Attention",
        {"num_heads": 2, "qkv_hidden_sizes": [8, 8, 4]},
        [(1, 5, 8), (8, 20)],
        [(1, 5, 4)],
        5 * 8 * 20 + 5 * 5 * (8 + 4),
    ),
    "QAttention with a past": (
        "QAttention",
        {"num_heads": 2},
        [(1, 5, 8), (8, 24), (24,), (), (), None, None, None, (2, 1, 2, 3, 4)],
        [(1, 5, 8)],
        5 * 8 * 24 + 2 * 5 * 8 * 8,
    ),
    "MultiHeadAttention": (
        "MultiHeadAttention",
        {"num_heads": 2},
        [(1, 5, 8), (1, 7, 8), (1, 7, 4)],
        [(1, 5, 4)],
        5 * 7 * (8 + 4),
    ),
    "MultiHeadAttention packed": (
        "MultiHeadAttention",
        {"num_heads": 2},
        [(1, 5, 2, 3, 4)],
        [(1, 5, 8)],
        5 * 5 * 16,
    ),
    "MultiHeadAttention across": (
        "MultiHeadAttention",
        {"num_heads": 2},
        [(1, 5, 8), (1, 2, 7, 4), (1, 2, 7, 4)],
        [(1, 5, 8)],
        5 * 7 * 16,
    ),
    "GroupQueryAttention": (
        "GroupQueryAttention",
        {"num_heads": 4, "kv_num_heads": 2},
        [(1, 1, 16), (1, 1, 8), (1, 1, 8), (1, 2, 9, 4)],
        [(1, 1, 16)],
        10 * (16 + 16),
    ),
    "GroupQueryAttention packed": (
        "GroupQueryAttention",
        {"num_heads": 4, "kv_num_heads": 2},
        [(1, 5, 32)],
        [(1, 5, 16)],
        5 * 5 * (16 + 16),
    ),
    "DecoderMaskedMultiHeadAttention": (
        "DecoderMaskedMultiHeadAttention",
        {"num_heads": 2},
        [(1, 1, 8), (1, 1, 8), (1, 1, 8), None, None, (1, 2, 9, 4)],
        [(1, 1, 8), None],
        9 * 16,
    ),
    "DynamicQuantizeLSTM": (
        "DynamicQuantizeLSTM",
        {"hidden_size": 4},
        [(5, 1, 3), (2, 3, 16), (2, 4, 16)],
        [(5, 2, 1, 4)],
        5 * 2 * 16 * (3 + 4),
    ),
    "SkipLayerNormalization": ("SkipLayerNormalization", {}, [(1, 5, 8)] * 2, [(1, 5, 8)], 0),
    "EmbedLayerNormalization": ("EmbedLayerNormalization", {}, [(1, 5)], [(1, 5, 8)], 0),
    "FastGelu": ("FastGelu", {}, [(1, 5, 8)], [(1, 5, 8)], 0),
    "BiasGelu": ("BiasGelu", {}, [(1, 5, 8), (8,)], [(1, 5, 8)], 0),
    "QLinearAdd": ("QLinearAdd", {}, [(1, 5)], [(1, 5)], 0),
}


@pytest.mark.parametrize("name", FUSED)
def test_fused_operators_by_hand(name: str) -> None:
    op, attributes, inputs, outputs, macs = FUSED[name]
    names = [f"i{k}" if shape is not None else "" for k, shape in enumerate(inputs)]
    results = [f"o{k}" if shape is not None else "" for k, shape in enumerate(outputs)]
    proto = helper.make_node(op, names, results, domain="com.microsoft", **attributes)
    schema = next(s for s in get_all_operator_schema() if (s.domain, s.name) == _key(proto))
    assert len(names) <= len(schema.inputs)
    assert attributes.keys() <= schema.attributes.keys()
    assert node_macs(ir.serde.deserialize_node(proto), inputs, outputs) == macs


def _key(proto: onnx.NodeProto) -> tuple[str, str]:
    return proto.domain, proto.op_type


def test_a_formula_without_its_shapes_counts_nothing() -> None:
    node = ir.serde.deserialize_node(helper.make_node("MatMul", ["a", "b"], ["c"]))
    assert node_macs(node, [(2, 3), (3, 4)], [(2, 4)]) == 24
    for inputs, outputs in (([None, (3, 4)], [(2, 4)]), ([(2, 3), (3, 4)], [None])):
        with pytest.raises(UnknownShapeError):
            node_macs(node, inputs, outputs)


def test_every_operator_of_onnx_is_counted_or_known_not_to_be() -> None:
    """What has no formula is about text, signals or training, or holds a graph of its own."""
    newest = {
        s.name: onnx.defs.get_schema(s.name, OPSETS[-1])
        for s in onnx.defs.get_all_schemas()
        if s.domain == "" and s.since_version <= OPSETS[-1]
    }
    schemas = [schema for schema in newest.values() if not schema.deprecated]
    known = {op for domain, op in ZERO_MAC_OPS | FORMULAS.keys() if domain == ""}
    left = {schema.name for schema in schemas} - known
    assert left == {
        *("DFT", "Det", "ImageDecoder", "If", "Loop", "MelWeightMatrix", "STFT", "Scan"),
        *("NegativeLogLikelihoodLoss", "SequenceMap", "SoftmaxCrossEntropyLoss"),
        *("RegexFullMatch", "StringConcat", "StringNormalizer", "StringSplit", "TfIdfVectorizer"),
    }


W = {"w": (8, 8), "v": (8, 16), "u": (16, 8)}
LOOP = """(float[n,8] x, bool more, int64 some) => (float[n,8] y)
<int64 five = {5}, bool true = {1}> {
    y = Loop (TRIPS, true, x) <body = body (int64 i, bool go, float[n,8] s)
        => (bool next, float[n,8] t) { next = NEXT  t = MatMul (s, w) }>
}"""


def test_the_dearer_branch_counts() -> None:
    text = """(float[n,8] x, bool c) => (float[n,8] y) {
        y = If (c) <
            then_branch = one () => (float[n,8] p) { p = MatMul (x, w) },
            else_branch = two () => (float[n,8] q) { a = MatMul (x, v)  q = MatMul (a, u) }>
    }"""
    assert macs_of(text, **W).macs == 2 * 8 * 16


@pytest.mark.parametrize("trips", ["five", "some"])
@pytest.mark.parametrize("next_", ["Identity (go)", "Identity (more)"])
def test_a_loop_counts_where_its_trips_are_known(trips: str, next_: str) -> None:
    profile = macs_of(LOOP.replace("TRIPS", trips).replace("NEXT", next_), w=(8, 8))
    known = trips == "five" and next_ == "Identity (go)"
    assert profile.macs == (5 * 8 * 8 if known else 0)
    assert profile.uncounted_ops == (() if known else ("Loop",))


def test_a_scan_counts_once_for_each_step() -> None:
    text = """(float[8] s, float[3,7,8] x) => (float[8] e, float[7,8] y) {
        e, y = Scan <num_scan_inputs = 1, scan_input_axes = [1], body = body
            (float[8] a, float[3,8] b) => (float[8] c, float[3,8] d)
            { c = MatMul (a, w)  d = MatMul (b, w) }> (s, x)
    }""".replace("float[7,8] y", "float[7,3,8] y")
    assert macs_of(text, w=(8, 8)).macs == 7 * (8 * 8 + 3 * 8 * 8)


def test_bodies_name_what_they_can_not_count() -> None:
    text = """(float[n,8,8] x, bool c) => (float[n] y) {
        y = If (c) <
            then_branch = one () => (float[n] p) { p = Det (x) },
            else_branch = two () => (float[n] q) { a = MatMul (x, w)  q = Det (a) }>
    }"""
    profile = macs_of(text, w=(8, 8))
    assert (profile.macs, profile.uncounted_ops) == (8 * 8 * 8, ("Det",))
