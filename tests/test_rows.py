"""Layers as regressions: rows times weights give what ONNX Runtime gives, for every kind."""

import numpy as np
import pytest
from conftest import run_onnx, with_weights

import explorer
from explorer.compress.criteria import weight_array
from explorer.compress.regression import predict
from explorer.compress.rows import form_of, input_rows, is_regression, output_rows

CONV = """<ir_version: 8, opset_import: ["" : 17]>
g (float[n,{channels},{size}] x) => (float y) {{
    y = {op} <{attributes}> (x, w)
}}"""


def conv(op: str, channels: int, size: str, attributes: str, shape: tuple[int, ...]) -> str:
    rank = len(shape) - 2
    outputs = ",".join(["n", "c", *[f"d{place}" for place in range(rank)]])
    text = CONV.format(op=op, channels=channels, size=size, attributes=attributes)
    return text.replace("(float y)", f"(float[{outputs}] y)")


CASES = {
    "plain": ("Conv", 4, "9,7", "pads = [1,1,1,1]", (6, 4, 3, 3)),
    "stride and dilation": ("Conv", 4, "11,9", "strides=[2,3], dilations=[2,1]", (6, 4, 3, 2)),
    "uneven padding": ("Conv", 2, "8,8", "pads=[0,2,1,0]", (3, 2, 3, 3)),
    "same upper": ("Conv", 2, "7,6", 'auto_pad="SAME_UPPER", strides=[2,2]', (3, 2, 3, 3)),
    "same lower": ("Conv", 2, "7,6", 'auto_pad="SAME_LOWER", strides=[2,2]', (3, 2, 4, 3)),
    "grouped": ("Conv", 6, "6,6", "group = 3", (9, 2, 3, 3)),
    "depthwise": ("Conv", 5, "6,6", "group = 5, pads=[1,1,1,1]", (10, 1, 3, 3)),
    "one dimension": ("Conv", 3, "12", "strides=[2]", (4, 3, 5)),
    "transposed": ("ConvTranspose", 4, "5,6", "strides=[2,2], pads=[1,1,1,1]", (4, 3, 3, 3)),
    "transposed with output padding": (
        "ConvTranspose",
        2,
        "5,5",
        "strides=[2,3], output_padding=[1,2], dilations=[1,2]",
        (2, 3, 3, 3),
    ),
    "transposed and grouped": ("ConvTranspose", 6, "4,4", "group=2, strides=[2,2]", (6, 2, 2, 2)),
    "transposed to a shape": (
        "ConvTranspose",
        2,
        "4,4",
        "output_shape=[8,9], strides=[2,2]",
        (2, 3, 3, 3),
    ),
    "transposed with cropping": ("ConvTranspose", 2, "6,6", "pads=[2,2,2,2]", (2, 3, 2, 2)),
}


@pytest.mark.parametrize("name", CASES)
def test_rows_of_convolutions(name: str) -> None:
    op, channels, size, attributes, shape = CASES[name]
    model = with_weights(conv(op, channels, size, attributes, shape), w=shape)
    dims = tuple(int(part) for part in size.split(","))
    x = np.random.default_rng(1).standard_normal((3, channels, *dims)).astype(np.float32)
    check_rows(model, x)


@pytest.mark.parametrize("flag", [0, 1], ids=["plain", "transposed weight"])
def test_rows_of_a_gemm(flag: int) -> None:
    model = with_weights(
        f"""<ir_version: 8, opset_import: ["" : 17]>
        g (float[n,6] x) => (float[n,4] y) {{ y = Gemm <transB = {flag}> (x, w) }}""",
        w=(4, 6) if flag else (6, 4),
    )
    check_rows(model, np.random.default_rng(1).standard_normal((5, 6)).astype(np.float32))


def test_rows_of_a_product_over_positions() -> None:
    model = with_weights(
        """<ir_version: 8, opset_import: ["" : 17]>
        g (float[n,7,6] x) => (float[n,7,4] y) { y = MatMul (x, w) }""",
        w=(6, 4),
    )
    check_rows(model, np.random.default_rng(1).standard_normal((5, 7, 6)).astype(np.float32))


def check_rows(model: explorer.Model, x: np.ndarray) -> None:
    layer, node = model.layers[0], next(iter(model.graph_model.graph))
    output = run_onnx(model.data, {"x": x})[0]
    places = np.sort(np.random.default_rng(2).permutation(output.size // layer.channels)[:20])
    assert is_regression(node, layer)
    form = form_of(node, layer)
    weight = weight_array(model, layer.weight)
    matrix = form.to_matrix(weight)
    np.testing.assert_array_equal(form.to_tensor(matrix), weight)
    chunks = [(x, places[:7]), (x, places[7:])]
    rows = input_rows(node, layer, chunks, output.shape[2:])
    assert rows.shape[1:] == (layer.weights // layer.channels, len(places))
    np.testing.assert_allclose(
        predict(rows, matrix), output_rows(layer, output, places), rtol=1e-4, atol=1e-5
    )
