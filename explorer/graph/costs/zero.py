"""Operators that multiply and sum nothing, by domain and name.

Interpolation (Resize, GridSample, RoiAlign) mixes a few neighbours by weights that it computes
itself, and reductions add without multiplying: they are in the same class as pooling.
"""

from explorer.graph.operators import CONTRIB

_STANDARD = """
    Abs Acos Acosh Add And ArgMax ArgMin Asin Asinh Atan Atanh AveragePool BatchNormalization
    Bernoulli BitCast BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor BlackmanWindow Cast
    CastLike Ceil Celu CenterCropPad Clip Col2Im Compress Concat ConcatFromSequence Constant
    ConstantOfShape Cos Cosh CumProd CumSum DepthToSpace DequantizeLinear Div Dropout
    DynamicQuantizeLinear Elu Equal Erf Exp Expand EyeLike Flatten Floor Gather GatherElements
    GatherND Gelu GlobalAveragePool GlobalLpPool GlobalMaxPool Greater GreaterOrEqual GridSample
    GroupNormalization HammingWindow HannWindow HardSigmoid HardSwish Hardmax Identity
    InstanceNormalization IsInf IsNaN LRN LayerNormalization LeakyRelu Less LessOrEqual Log
    LogSoftmax LpNormalization LpPool Max MaxPool MaxRoiPool MaxUnpool Mean
    MeanVarianceNormalization Min Mish Mod Mul Multinomial Neg NonMaxSuppression NonZero Not OneHot
    Optional OptionalGetElement OptionalHasElement Or PRelu Pad Pow QuantizeLinear
    RMSNormalization RandomNormal RandomNormalLike RandomUniform RandomUniformLike Range
    Reciprocal ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin
    ReduceProd ReduceSum ReduceSumSquare Relu Reshape Resize ReverseSequence RoiAlign
    RotaryEmbedding Round Scatter ScatterElements ScatterND Selu SequenceAt SequenceConstruct
    SequenceEmpty SequenceErase SequenceInsert SequenceLength Shape Shrink Sigmoid Sign Sin Sinh
    Size Slice Softmax Softplus Softsign SpaceToDepth Split SplitToSequence Sqrt Squeeze Sub Sum
    Swish Tan Tanh TensorScatter ThresholdedRelu Tile TopK Transpose Trilu Unique Unsqueeze
    Upsample Where Xor
"""
_CONTRIB = """
    BiasAdd BiasDropout BiasGelu BiasSoftmax BiasSplitGelu BitmaskBiasDropout BitmaskDropout
    CropAndResize DequantizeLinear DequantizeWithOrder EmbedLayerNormalization ExpandDims FastGelu
    GatedAdd GatherBlockQuantized GatherND Gelu GemmaRotaryEmbedding GridSample GroupNorm
    MaxpoolWithMask MulInteger NhwcMaxPool Pad QEmbedLayerNormalization QLinearAdd
    QLinearAveragePool QLinearConcat QLinearGlobalAveragePool QLinearLeakyRelu QLinearMul
    QLinearReduceMean QLinearSigmoid QLinearSoftmax QLinearWhere QuantizeLinear QuantizeWithOrder
    QuickGelu Range ReduceSumInteger RemovePadding RestorePadding RotaryEmbedding ScaledSiLU
    SimplifiedLayerNormalization SkipGroupNorm SkipLayerNormalization
    SkipSimplifiedLayerNormalization SwiGLU Trilu UnfoldTensor Unique
"""
_CHANNELS_LAST = """
    AveragePool BatchNormalization DepthToSpace GlobalAveragePool GlobalLpPool GlobalMaxPool
    GridSample InstanceNormalization LRN LpPool MaxPool MaxUnpool QLinearAveragePool Resize
    SpaceToDepth
"""
_BLOCKED = "AveragePool GlobalAveragePool GlobalMaxPool MaxPool ReorderInput ReorderOutput Upsample"

ZERO_MAC_OPS: frozenset[tuple[str, str]] = frozenset(
    (domain, op)
    for domain, ops in (
        ("", _STANDARD),
        # ONNX Runtime writes this one into ONNX's own domain.
        ("", "SimplifiedLayerNormalization"),
        (CONTRIB, _CONTRIB),
        ("com.ms.internal.nhwc", _CHANNELS_LAST),
        ("com.microsoft.nchwc", _BLOCKED),
    )
    for op in ops.split()
)
