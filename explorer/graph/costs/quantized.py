"""Products of integers and of weights in few bits: as many as in floating point."""

from explorer.graph.costs.products import NHWC
from explorer.graph.costs.registry import Call, formula
from explorer.graph.operators import CONTRIB
from explorer.graph.shapes import element_count


@formula("QLinearConv")
@formula("QLinearConv", CONTRIB)
@formula("QLinearConv", NHWC)
def qlinear_conv(call: Call) -> int:
    """As Conv; the weight (out, in / groups, *kernel) stands behind x, its scale and zero point."""
    return element_count(call.output()) * element_count(call.input(3)[1:])


@formula("QLinearConvTranspose", NHWC)
def qlinear_conv_transpose(call: Call) -> int:
    """As ConvTranspose; the weight is (in, out / groups, *kernel)."""
    return element_count(call.input(0)) * element_count(call.input(3)[1:])


@formula("QLinearMatMul")
@formula("MatMulIntegerToFloat DynamicQuantizeMatMul", CONTRIB)
def integer_product(call: Call) -> int:
    """As MatMul; the left operand is the first input."""
    return element_count(call.output()) * call.input(0)[-1]


@formula("QGemm", CONTRIB)
def qgemm(call: Call) -> int:
    """As Gemm."""
    left = call.input(0)
    return element_count(call.output()) * left[0 if call.number("transA") else 1]


@formula("MatMulNBits MatMulBnb4", CONTRIB)
def narrow_product(call: Call) -> int:
    """Rows of A (..., K) x K x N; B is packed, so its sizes are attributes."""
    return element_count(call.input(0)) * call.number("N")
