"""Convolutions and matrix products in floating point; what is fused to them costs nothing more."""

from explorer.graph.costs.registry import Call, formula
from explorer.graph.operators import CONTRIB
from explorer.graph.shapes import element_count
from explorer.network import Shape

NHWC, BLOCKED = "com.ms.internal.nhwc", "com.microsoft.nchwc"


@formula("Conv")
@formula("Conv", NHWC)
@formula("Conv", BLOCKED)
@formula("FusedConv NhwcConv NhwcFusedConv", CONTRIB)
@formula("ConvInteger")
def conv(call: Call) -> int:
    """Every output element sums over the weights of its filter, (in / groups) x kernel.

    ONNX operators, Conv: y[n, o] = sum over i, k of x[n, i, ...] w[o, i, k]. The weight is
    (out, in / groups, *kernel) in every layout of the data.
    """
    return element_count(call.output()) * element_count(call.input(1)[1:])


@formula("DeformConv")
def deform_conv(call: Call) -> int:
    """As Conv (Dai et al., arXiv 1703.06211, equation 2), without the interpolation in it."""
    return conv(call)


@formula("ConvTranspose")
@formula("ConvTranspose", NHWC)
@formula("ConvTransposeWithDynamicPads", CONTRIB)
def conv_transpose(call: Call) -> int:
    """Every input element is spread over (out / groups) x kernel weights.

    The gradient of Conv (Dumoulin and Visin, arXiv 1603.07285, section 4); the weight is
    (in, out / groups, *kernel).
    """
    return element_count(call.input(0)) * element_count(call.input(1)[1:])


@formula("Gemm")
@formula("FusedGemm GemmFloat8", CONTRIB)
def gemm(call: Call) -> int:
    """Rows x columns x inner dimension; A is (rows, inner), or transposed with `transA`."""
    left = call.input(0)
    return element_count(call.output()) * left[0 if call.number("transA") else -1]


@formula("MatMul MatMulInteger")
@formula("GemmFastGelu MatMulInteger16", CONTRIB)
def matmul(call: Call) -> int:
    """Elements of the product x inner dimension; attention's two products come through here."""
    return element_count(call.output()) * call.input(0)[-1]


@formula("FusedMatMul FusedMatMulActivation TransposeMatMul", CONTRIB)
def fused_matmul(call: Call) -> int:
    """As MatMul; `transA` puts the inner dimension in front of the rows.

    `transBatchA` puts the rows or, with `transA` too, the inner dimension in front of the stack.
    """
    left = call.input(0)
    if call.number("transBatchA"):
        inner = -1 if not call.number("transA") else 0
    else:
        inner = -2 if call.number("transA") else -1
    return element_count(call.output()) * left[inner]


@formula("AffineGrid")
def affine_grid(call: Call) -> int:
    """Each place of the grid is a matrix of 2 x 3 or 3 x 4 times its coordinates and a one."""
    grid = call.output()  # (batch, *size, axes)
    return element_count(grid) * (grid[-1] + 1)


@formula("CDist", CONTRIB)
def distances(call: Call) -> int:
    """A square for each pair of rows and each coordinate: (m, k) and (n, k) give (m, n)."""
    return element_count(call.output()) * call.input(0)[-1]


@formula("Einsum")
def einsum(call: Call) -> int:
    """Operands two by two from the left, as NumPy and torch do where no order is given.

    A pair costs the product of all its index sizes once something is summed over both, as the
    matrix product that torch makes of it; otherwise it is an element-wise or outer product, which
    counts as zero. An index of one operand alone that nobody needs later is summed before.
    """
    equation = call.node.attributes["equation"].as_string().replace(" ", "")
    terms, result = _indices(equation, [call.input(k) for k in range(len(call.inputs))])
    sizes: dict[str, int] = {}
    for term, shape in terms:
        for index, size in zip(term, shape, strict=True):
            sizes[index] = max(size, sizes.get(index, 1))
    present = [{index for index, n in zip(*term, strict=True) if n != 1} for term in terms]
    done, macs = present[0], 0
    for position, other in enumerate(present[1:], start=1):
        later = set(result).union(*present[position + 1 :])
        summed = done & other - later
        if summed:
            used = (done & (later | other)) | (other & (later | done))
            macs += element_count(tuple(sizes[index] for index in used))
        done = (done | other) & later
    return macs


def _indices(equation: str, shapes: list[Shape]) -> tuple[list[tuple[list[str], Shape]], list[str]]:
    """The indices of each operand with its shape, and those of the result.

    An ellipsis becomes the indices `.1`, `.2`... counted from behind, as it broadcasts.
    """
    left, arrow, right = equation.partition("->")
    terms = []
    for text, shape in zip(left.split(","), shapes, strict=True):
        hidden = len(shape) - len(text.replace("...", ""))
        terms.append((_expand(text, hidden), shape))
    hidden = max(
        (sum(index.startswith(".") for index in term) for term, _ in terms),
        default=0,
    )
    if arrow:
        return terms, _expand(right, hidden)
    letters = left.replace(",", "").replace("...", "")
    alone = sorted(letter for letter in set(letters) if letters.count(letter) == 1)
    return terms, _expand("..." * ("..." in left), hidden) + alone


def _expand(text: str, hidden: int) -> list[str]:
    before, dots, after = text.partition("...")
    middle = [f".{count}" for count in range(hidden, 0, -1)] if dots else []
    return [*before, *middle, *after]
