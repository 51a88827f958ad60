"""Multiplications and additions of every operator of ONNX's own domains.

Counted is what multiplies and adds up: convolutions, matrix products, recurrent layers, attention, Einsum and
linear models. A bias, normalisation, activations, pooling, resampling and everything elementwise counts
nothing, as is usual; masks spare nothing, since whether they do depends on the runtime. A size that is not
known is never taken for 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial

from hwnas.onnx_graphs.counting.einsum import einsum_macs
from hwnas.onnx_graphs.counting.values import Call, ContradictionError, UnknownShapeError
from hwnas.onnx_graphs.versions import REDUCTIONS

Counter = Callable[[Call], int]


def convolution(call: Call, *, weight: int = 1, channels_last: bool = False) -> int:
    """Every weight is used once at every place of the output; groups are in the shape of the weights."""
    out, weights = call.output_sizes(), call.sizes(weight)
    places = out[1:-1] if channels_last else out[2:]
    image = call.given(0)
    channels = None if image is None or not image.shape else image.shape[-1 if channels_last else 1]
    if channels is not None and not channels_last and channels != weights[1] * call.number("group", 1):
        taken = weights[1] * call.number("group", 1)
        raise ContradictionError(f"its weights take {taken} channels, but its input has {channels}")
    return math.prod(weights) * out[0] * math.prod(places)


def transposed_convolution(call: Call) -> int:
    """Every weight is used once at every place of the input."""
    image = call.sizes(0)
    return math.prod(call.sizes(1)) * image[0] * math.prod(image[2:])


def matrix_product(call: Call, *, first: int = 0, second: int = 1, transposed: str = "") -> int:
    """Every value of the output is a sum over the inner axis."""
    a, b = call.given(first), call.given(second)
    is_transposed = bool(transposed) and call.number(transposed)
    inner = None
    if a is not None and a.shape:
        inner = a.shape[-2 if is_transposed and len(a.shape) > 1 else -1]
    if b is not None and b.shape and not transposed:
        rows = b.shape[-2] if len(b.shape) > 1 else b.shape[0]
        if None not in (inner, rows) and inner != rows:
            raise ContradictionError(f"its first matrix has {inner} columns, but its second one {rows} rows")
        inner = rows if inner is None else inner
    if inner is None:
        raise UnknownShapeError
    return math.prod(call.output_sizes()) * inner


def recurrent(call: Call, *, gates: int) -> int:
    """Per step, direction and gate: hidden x (inputs + hidden)."""
    sequence, batch, inputs = call.sizes(0)  # `layout` swaps the first two, which are multiplied anyway
    directions, rows, hidden = call.sizes(2)
    if rows != gates * hidden:
        raise ContradictionError(
            f"its weights have {rows} rows for {gates} gates of {hidden} values, expected {gates * hidden}"
        )
    return sequence * batch * directions * rows * (inputs + hidden)


def attention(call: Call) -> int:
    """Queries times keys, and probabilities times values, of every head; see Attention-23."""
    query, key, value = (call.sizes(index) for index in range(3))
    past = call.sizes(4)[2] if call.given(4) is not None else 0
    if len(query) == 4:
        batch, heads, length, width = query
        return batch * heads * length * (key[2] + past) * (width + value[3])
    batch, length, hidden = query
    heads, kv_heads = call.number("q_num_heads"), call.number("kv_num_heads")
    return batch * length * (key[1] + past) * (hidden + heads * value[2] // kv_heads)


def flex_attention(call: Call) -> int:
    """The products of attention; what its graphs do with single scores is elementwise."""
    (batch, heads, length, width), key, value = (call.sizes(index) for index in range(3))
    return batch * heads * length * key[2] * (width + value[3])


def linear_attention(call: Call) -> int:
    """Per token and head: write the state, read it, and correct it where the rule is a delta."""
    query, value = call.sizes(0), call.sizes(2)
    heads, kv_heads = call.number("q_num_heads"), call.number("kv_num_heads")
    of_state = (query[2] // heads) * (value[2] // kv_heads)
    corrections = kv_heads if "delta" in str(call.attributes.get("update_rule", "gated_delta")) else 0
    return query[0] * query[1] * of_state * (heads + kv_heads + corrections)


def affine_grid(call: Call) -> int:
    """Every point of the grid is a product with one row of the matrix for each of its coordinates."""
    return math.prod(call.output_sizes()) * call.sizes(0)[2]


def linear_model(call: Call) -> int:
    """Every row of the input meets every coefficient."""
    rows = call.sizes(0)[0] if len(call.sizes(0)) > 1 else 1
    return rows * len(call.attributes.get("coefficients", ()))


def support_vectors(call: Call) -> int:
    """Every row of the input meets every support vector and every coefficient."""
    vectors = len(call.attributes.get("support_vectors", ()))
    return linear_model(call) + (linear_model(call) // max(len(call.attributes["coefficients"]), 1)) * vectors


def causal_convolution(call: Call) -> int:
    """One kernel for each channel."""
    return math.prod(call.output_sizes()) * call.sizes(1)[2]


def einsum(call: Call) -> int:
    """Products of the operands from left to right, see `einsum_macs`."""
    shapes = [call.sizes(index) for index in range(len(call.inputs))]
    return einsum_macs(str(call.attributes["equation"]), shapes)


COUNTED: Mapping[str, Counter] = {
    "AffineGrid": affine_grid,
    "Attention": attention,
    "CausalConvWithState": causal_convolution,
    "Conv": convolution,
    "ConvInteger": convolution,
    "ConvTranspose": transposed_convolution,
    "DeformConv": convolution,
    "Einsum": einsum,
    "GRU": partial(recurrent, gates=3),
    "Gemm": partial(matrix_product, transposed="transA"),
    "LSTM": partial(recurrent, gates=4),
    "LinearAttention": linear_attention,
    "MatMul": matrix_product,
    "MatMulInteger": matrix_product,
    "QLinearConv": partial(convolution, weight=3),
    "QLinearMatMul": partial(matrix_product, first=0, second=3),
    "RNN": partial(recurrent, gates=1),
    "ai.onnx.ml.LinearClassifier": linear_model,
    "ai.onnx.ml.LinearRegressor": linear_model,
    "ai.onnx.ml.SVMClassifier": support_vectors,
    "ai.onnx.ml.SVMRegressor": support_vectors,
    "ai.onnx.preview.FlexAttention": flex_attention,
}
"""By operator, with its domain where that is not ONNX's main one."""

UNCOUNTABLE = frozenset({"DFT", "Det", "STFT", "ai.onnx.preview.training.Gradient"})
"""Their work depends on the algorithm that a runtime chooses; they are named as unknown."""

CONTROL_FLOW = frozenset({"If", "Loop", "Scan", "SequenceMap"})
"""Their bodies are counted, see `interpreter`."""

FREE = frozenset(
    """
    Abs Acos Acosh Add And ArgMax ArgMin Asin Asinh Atan Atanh AveragePool BatchNormalization Bernoulli
    BitCast BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor BlackmanWindow Cast CastLike Ceil Celu
    CenterCropPad Clip Col2Im Compress Concat ConcatFromSequence Constant ConstantOfShape Cos Cosh CumProd
    CumSum DepthToSpace DequantizeLinear Div Dropout DynamicQuantizeLinear Elu Equal Erf Exp Expand EyeLike
    Flatten Floor Gather GatherElements GatherND Gelu GlobalAveragePool GlobalLpPool GlobalMaxPool Greater
    GreaterOrEqual GridSample GroupNormalization HammingWindow HannWindow HardSigmoid HardSwish Hardmax
    Identity ImageDecoder InstanceNormalization IsInf IsNaN LRN LayerNormalization LeakyRelu Less LessOrEqual
    Log LogSoftmax LpNormalization LpPool Max MaxPool MaxRoiPool MaxUnpool Mean MeanVarianceNormalization
    MelWeightMatrix Min Mish Mod Mul Multinomial Neg NegativeLogLikelihoodLoss NonMaxSuppression NonZero Not
    OneHot Optional OptionalGetElement OptionalHasElement Or PRelu Pad Pow QuantizeLinear RMSNormalization
    RandomNormal RandomNormalLike RandomUniform RandomUniformLike Range Reciprocal ReduceL1 ReduceL2
    ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare
    RegexFullMatch Relu Reshape Resize ReverseSequence RoiAlign RotaryEmbedding Round Scatter ScatterElements
    ScatterND Selu SequenceAt SequenceConstruct SequenceEmpty SequenceErase SequenceInsert SequenceLength
    Shape Shrink Sigmoid Sign Sin Sinh Size Slice Softmax SoftmaxCrossEntropyLoss Softplus Softsign
    SpaceToDepth Split SplitToSequence Sqrt Squeeze StringConcat StringNormalizer StringSplit Sub Sum SwiGLU
    Swish Tan Tanh TensorScatter TfIdfVectorizer ThresholdedRelu Tile TopK Transpose Trilu Unique Unsqueeze
    Upsample Where Xor ai.onnx.ml.ArrayFeatureExtractor ai.onnx.ml.Binarizer ai.onnx.ml.CastMap
    ai.onnx.ml.CategoryMapper ai.onnx.ml.DictVectorizer ai.onnx.ml.FeatureVectorizer ai.onnx.ml.Imputer
    ai.onnx.ml.LabelEncoder ai.onnx.ml.Normalizer ai.onnx.ml.OneHotEncoder ai.onnx.ml.Scaler
    ai.onnx.ml.TreeEnsemble ai.onnx.ml.TreeEnsembleClassifier ai.onnx.ml.TreeEnsembleRegressor
    ai.onnx.ml.ZipMap ai.onnx.preview.training.Adagrad ai.onnx.preview.training.Adam
    ai.onnx.preview.training.Momentum
    """.split()  # noqa: SIM905 - 200 names in a list are no easier to read
)
"""Operators that count nothing."""

# Weights of these operators count whatever their type and number; of others, only float tensors do.
WEIGHT_INPUTS: Mapping[str, tuple[int, ...]] = {
    "BatchNormalization": (1, 2),
    "CausalConvWithState": (1, 2),
    "Conv": (1, 2),
    "ConvInteger": (1,),
    "ConvTranspose": (1, 2),
    "DeformConv": (1, 3),
    "GRU": (1, 2, 3),
    "Gemm": (0, 1, 2),
    "GroupNormalization": (1, 2),
    "InstanceNormalization": (1, 2),
    "LSTM": (1, 2, 3, 7),
    "LayerNormalization": (1, 2),
    "MatMul": (0, 1),
    "MatMulInteger": (0, 1),
    "PRelu": (1,),
    "QLinearConv": (3, 8),
    "QLinearMatMul": (0, 3),
    "RMSNormalization": (1,),
    "RNN": (1, 2, 3),
}

# What says how an operator works, and is no weight: scales, zero points, limits, statistics, shapes, axes,
# indices.
SETTING_INPUTS: Mapping[str, tuple[int, ...]] = {
    "BatchNormalization": (3, 4),
    "CenterCropPad": (1,),
    "Clip": (1, 2),
    "Compress": (1,),
    "ConstantOfShape": (0,),
    "ConvInteger": (2, 3),
    "CumProd": (1,),
    "CumSum": (1,),
    "DequantizeLinear": (1, 2),
    "Dropout": (1, 2),
    "Expand": (1,),
    "EyeLike": (0,),
    "Gather": (1,),
    "GatherElements": (1,),
    "GatherND": (1,),
    "GRU": (4, 5),
    "LSTM": (4, 5, 6),
    "RNN": (4, 5),
    "MatMulInteger": (2, 3),
    "NonMaxSuppression": (2, 3, 4),
    "OneHot": (1, 2),
    "Pad": (1, 2, 3),
    "Pow": (1,),
    "QLinearConv": (1, 2, 4, 5, 6, 7),
    "QLinearMatMul": (1, 2, 4, 5, 6, 7),
    "QuantizeLinear": (1, 2),
    "Range": (0, 1, 2),
    "Reshape": (1,),
    "Resize": (1, 2, 3),
    "ReverseSequence": (1,),
    "ScatterElements": (1,),
    "ScatterND": (1,),
    "Shape": (0,),
    "Size": (0,),
    "Slice": (1, 2, 3, 4),
    "Split": (1,),
    "Squeeze": (1,),
    "Tile": (1,),
    "TopK": (1,),
    "Trilu": (1,),
    "Unsqueeze": (1,),
    "Upsample": (1,),
    **dict.fromkeys((*REDUCTIONS, "ReduceSum"), (1,)),
}
