"""Multiply-accumulates of each operator: one formula per op, on shapes alone.

Counted are the products of convolutions, matrix products (attention's too) and recurrent cells.
Element-wise arithmetic, pooling and normalisation have no multiply-accumulate of that kind and
count as zero by name; an operator in neither list is reported, never counted as zero.
"""

from collections.abc import Callable, Sequence

import onnx_ir as ir

from explorer.graph.layers import int_attribute, is_flag_set
from explorer.graph.shapes import element_count
from explorer.model import Shape

Dims = Sequence[Shape | None]
Formula = Callable[[ir.Node, Dims, Dims], int | None]

FORMULAS: dict[str, Formula] = {}

ZERO_MAC_OPS = frozenset(
    """
    Abs Acos Acosh Add And ArgMax ArgMin Asin Asinh Atan Atanh AveragePool BatchNormalization
    BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor Cast CastLike Ceil Celu CenterCropPad Clip
    Col2Im Compress Concat Constant ConstantOfShape Cos Cosh CumSum DepthToSpace DequantizeLinear
    Div Dropout DynamicQuantizeLinear Elu Equal Erf Exp Expand EyeLike Flatten Floor Gather
    GatherElements GatherND Gelu GlobalAveragePool GlobalLpPool GlobalMaxPool Greater
    GreaterOrEqual GroupNormalization HardSigmoid HardSwish Hardmax Identity InstanceNormalization
    IsInf IsNaN LRN LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax LpNormalization
    LpPool Max MaxPool MaxRoiPool MaxUnpool Mean MeanVarianceNormalization Min Mish Mod Mul Neg
    NonMaxSuppression NonZero Not OneHot Or PRelu Pad Pow QuantizeLinear RMSNormalization
    RandomNormal RandomNormalLike RandomUniform RandomUniformLike Range Reciprocal ReduceL1
    ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum
    ReduceSumSquare Relu Reshape Resize ReverseSequence Round Scatter ScatterElements ScatterND
    Selu Shape Shrink Sigmoid Sign Sin Sinh Size Slice Softmax Softplus Softsign SpaceToDepth Split
    Sqrt Squeeze Sub Sum Swish Tan Tanh ThresholdedRelu Tile TopK Transpose Trilu Unique Unsqueeze
    Upsample Where Xor
    """.split()
)


def formula(op: str) -> Callable[[Formula], Formula]:
    """Register the formula of an operator; a second one for the same op is a mistake."""

    def register(function: Formula) -> Formula:
        if op in FORMULAS or op in ZERO_MAC_OPS:
            raise ValueError(f"{op} already has a formula")
        FORMULAS[op] = function
        return function

    return register


def node_macs(node: ir.Node, inputs: Dims, outputs: Dims) -> int | None:
    """Multiply-accumulates of one node, or None where there is no formula or no shape for it."""
    if node.domain not in ("", "ai.onnx"):
        return None
    if node.op_type in ZERO_MAC_OPS:
        return 0
    function = FORMULAS.get(node.op_type)
    if function is None:
        return None
    needed = (*inputs[:2], *outputs[:1])
    if any(shape is None for shape in needed):
        return None
    return function(node, inputs, outputs)


def _known(shape: Shape | None) -> Shape:
    assert shape is not None  # node_macs lets only known shapes through
    return shape


@formula("Conv")
def conv(node: ir.Node, inputs: Dims, outputs: Dims) -> int:
    """Every output element sums over the weights of its filter, (in / groups) x kernel."""
    weight = _known(inputs[1])  # (out, in / groups, *kernel)
    return element_count(_known(outputs[0])) * element_count(weight[1:])


@formula("ConvTranspose")
def conv_transpose(node: ir.Node, inputs: Dims, outputs: Dims) -> int:
    """Every input element is spread over (out / groups) x kernel weights."""
    weight = _known(inputs[1])  # (in, out / groups, *kernel)
    return element_count(_known(inputs[0])) * element_count(weight[1:])


@formula("Gemm")
def gemm(node: ir.Node, inputs: Dims, outputs: Dims) -> int:
    """Rows x columns x inner dimension."""
    left = _known(inputs[0])
    inner = left[0] if is_flag_set(node, "transA") else left[1]
    return element_count(_known(outputs[0])) * inner


@formula("MatMul")
def matmul(node: ir.Node, inputs: Dims, outputs: Dims) -> int:
    """Elements of the product x inner dimension; attention's two products come through here."""
    return element_count(_known(outputs[0])) * _known(inputs[0])[-1]


@formula("Einsum")
def einsum(node: ir.Node, inputs: Dims, outputs: Dims) -> int | None:
    """For two operands: the product of all index sizes; for one: nothing is multiplied.

    Not counted with more operands, whose order isn't given, or with an ellipsis.
    """
    if len(inputs) == 1:
        return 0
    if len(inputs) > 2 or "..." in node.attributes["equation"].as_string():
        return None
    terms = node.attributes["equation"].as_string().replace(" ", "").split("->")[0].split(",")
    sizes: dict[str, int] = {}
    for term, shape in zip(terms, inputs, strict=True):
        sizes.update(zip(term, _known(shape), strict=True))
    return element_count(tuple(sizes.values()))


def _recurrent(gates: int) -> Formula:
    def count(node: ir.Node, inputs: Dims, outputs: Dims) -> int:
        sequence, weight = _known(inputs[0]), _known(inputs[1])
        steps, batch = sequence[:2]
        if int_attribute(node, "layout", 0):
            steps, batch = batch, steps
        directions, rows, inputs_per_step = weight  # (directions, gates x hidden, inputs)
        hidden = rows // gates
        return steps * batch * directions * rows * (inputs_per_step + hidden)

    return count


formula("RNN")(_recurrent(1))
formula("GRU")(_recurrent(3))
formula("LSTM")(_recurrent(4))
