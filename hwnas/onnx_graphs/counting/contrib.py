"""Operators of ONNX Runtime's domain `com.microsoft`: their work, and shapes that onnx cannot tell.

Source: docs/ContribOperators.md of microsoft/onnxruntime. What is not here is named as unknown where it may
multiply, and its outputs are unknown.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from hwnas.onnx_graphs.counting.inference import inferred_as
from hwnas.onnx_graphs.counting.operators import Counter, convolution, matrix_product, transposed_convolution
from hwnas.onnx_graphs.counting.values import (
    UNKNOWN,
    Call,
    Shape,
    UnknownShapeError,
    Value,
    as_int,
    tensor_type,
)

DOMAIN = "com.microsoft"
Inference = Callable[[Call], Sequence[Value | None]]
_FLOAT = 1


@dataclass(frozen=True)
class Rule:
    """What is known of one operator.

    Attributes:
        infer: returns what is known of its outputs.
        count: returns its work; None if it multiplies and adds up nothing.
        weights: inputs that are weights whatever their type.
        settings: inputs that are none: scales, zero points, masks.
    """

    infer: Inference
    count: Counter | None = None
    weights: tuple[int, ...] = ()
    settings: tuple[int, ...] = ()


def _like(index: int) -> Inference:
    """Return an inference of an output like one of the inputs."""

    def infer(call: Call) -> Sequence[Value | None]:
        source = call.given(index)
        return [Value(source.type) if source is not None else UNKNOWN]

    return infer


def _as(operator: str, *inputs: int) -> Inference:
    """Return an inference that takes some inputs for those of an operator of ONNX."""

    def infer(call: Call) -> Sequence[Value | None]:
        return [inferred_as(operator, [call.given(index) for index in inputs], call.attributes)]

    return infer


def _channels_last(operator: str, image: int, *others: int, is_always: bool = False) -> Inference:
    """Return an inference of an operator whose image, but not weights, may have its channels last."""

    def infer(call: Call) -> Sequence[Value | None]:
        is_last = is_always or bool(call.number("channels_last"))
        source = call.given(image) or UNKNOWN
        given = [
            _moved(source, to_first=True) if is_last else source,
            *(call.given(index) for index in others),
        ]
        found = inferred_as(operator, given, call.attributes)
        return [_moved(found, to_first=False) if is_last else found]

    return infer


def _moved(value: Value, *, to_first: bool) -> Value:
    shape = value.shape
    if shape is None or len(shape) < 2:
        return UNKNOWN
    moved = (shape[0], shape[-1], *shape[1:-1]) if to_first else (shape[0], *shape[2:], shape[1])
    return Value(tensor_type(value.element, moved))


def _shaped(call: Call, *shape: int | None, like: int = 0) -> Value:
    return Value(tensor_type((call.given(like) or UNKNOWN).element or _FLOAT, shape))


def _fused_matmul(call: Call) -> Sequence[Value | None]:
    """Matrices may be transposed first; moving batches, too, is not known here."""
    if call.number("transBatchA") or call.number("transBatchB"):
        return [UNKNOWN]
    swapped = [
        _swapped(call.given(index) or UNKNOWN) if call.number(name) else call.given(index)
        for index, name in enumerate(("transA", "transB"))
    ]
    return [inferred_as("MatMul", swapped, {})]


def _swapped(value: Value) -> Value:
    shape: Shape = value.shape or ()
    if len(shape) < 2:
        return value
    return Value(tensor_type(value.element, (*shape[:-2], shape[-1], shape[-2])))


def _dynamic_product(call: Call) -> Sequence[Value | None]:
    """Integers in, floats out; types are set alike, since only shapes matter to the inference."""
    given = [call.given(index) for index in (0, 1)]
    shapes = [None if value is None else Value(tensor_type(_FLOAT, value.shape)) for value in given]
    return [inferred_as("MatMul", shapes, {})]


def _quantised_gemm(call: Call) -> Sequence[Value | None]:
    given = [call.given(index) or UNKNOWN for index in (0, 3)]
    return [inferred_as("Gemm", [Value(tensor_type(_FLOAT, v.shape)) for v in given], call.attributes)]


def _few_bits(call: Call) -> Sequence[Value | None]:
    shape = (call.given(0) or UNKNOWN).shape
    return [_shaped(call, *shape[:-1], call.number("N"))] if shape else [UNKNOWN]


def _few_bits_macs(call: Call) -> int:
    rows = call.sizes(0)
    return math.prod(rows[:-1]) * call.number("K") * call.number("N")


@dataclass(frozen=True)
class _Attention:
    """Sizes of an attention: items, queries, keys with the past, width of all heads of queries and values."""

    batch: int
    queries: int
    keys: int
    query_width: int
    value_width: int

    @property
    def macs(self) -> int:
        return self.batch * self.queries * self.keys * (self.query_width + self.value_width)


def _past(call: Call, index: int, axis: int) -> int:
    return call.sizes(index)[axis] if call.given(index) is not None else 0


def _attention(call: Call, past: int) -> _Attention:
    batch, length, _ = call.sizes(0)
    width = call.sizes(1)[1]
    sizes = list(call.attributes.get("qkv_hidden_sizes", ())) or [width // 3] * 3
    return _Attention(batch, length, length + _past(call, past, 3), sizes[0], sizes[2])


def _attention_macs(call: Call, past: int) -> int:
    """The projection of the input, and the products of attention."""
    return math.prod(call.sizes(0)) * call.sizes(1)[1] + _attention(call, past).macs


def _attention_types(call: Call, past: int) -> Sequence[Value | None]:
    sizes, heads = _attention(call, past), call.number("num_heads", 1)
    present = (2, sizes.batch, heads, sizes.keys, sizes.query_width // heads)
    return [_shaped(call, sizes.batch, sizes.queries, sizes.value_width), _shaped(call, *present)]


def _many_heads(call: Call) -> _Attention:
    query, heads = call.sizes(0), call.number("num_heads", 1)
    past = _past(call, 6, 2)
    if len(query) == 5:  # queries, keys and values in one: [B, S, heads, 3, width]
        width = query[2] * query[4]
        return _Attention(query[0], query[1], query[1] + past, width, width)
    key = call.sizes(1)
    if len(key) == 5:  # keys and values in one: [B, L, heads, 2, width]
        return _Attention(query[0], query[1], key[1] + past, query[2], key[2] * key[4])
    value = call.sizes(2)
    if len(key) == 4:  # from another attention: [B, heads, L, width]
        return _Attention(query[0], query[1], key[2] + past, query[2], heads * value[3])
    return _Attention(query[0], query[1], key[1] + past, query[2], value[2])


def _many_heads_types(call: Call) -> Sequence[Value | None]:
    sizes, heads = _many_heads(call), call.number("num_heads", 1)
    cache = (sizes.batch, heads, sizes.keys)
    return [
        _shaped(call, sizes.batch, sizes.queries, sizes.value_width),
        _shaped(call, *cache, sizes.query_width // heads),
        _shaped(call, *cache, sizes.value_width // heads),
    ]


def _grouped(call: Call) -> _Attention:
    query, heads, kv_heads = call.sizes(0), call.number("num_heads", 1), call.number("kv_num_heads", 1)
    is_packed = call.given(1) is None
    width = query[2] // (heads + 2 * kv_heads) if is_packed else query[2] // heads
    known = as_int(call.given(6))
    keys = known if known is not None else query[1] + _past(call, 3, 2)
    return _Attention(query[0], query[1], keys, heads * width, heads * width)


def _grouped_types(call: Call) -> Sequence[Value | None]:
    sizes, kv_heads = _grouped(call), call.number("kv_num_heads", 1)
    width = sizes.query_width // call.number("num_heads", 1)
    cache = (sizes.batch, kv_heads, max(sizes.keys, _past(call, 3, 2)), width)
    return [
        _shaped(call, sizes.batch, sizes.queries, sizes.query_width),
        _shaped(call, *cache),
        _shaped(call, *cache),
    ]


def _embedding(call: Call) -> Sequence[Value | None]:
    batch, length = call.sizes(0)
    out = _shaped(call, batch, length, call.sizes(2)[1], like=2)
    return [out, _shaped(call, batch), out]


def _dynamic_lstm(call: Call) -> Sequence[Value | None]:
    sequence, batch, _ = call.sizes(0)
    directions, hidden, _ = call.sizes(2)
    state = _shaped(call, directions, batch, hidden)
    return [_shaped(call, sequence, directions, batch, hidden), state, state]


def _dynamic_lstm_macs(call: Call) -> int:
    """As LSTM, with both weights transposed."""
    sequence, batch, inputs = call.sizes(0)
    directions, hidden, rows = call.sizes(2)
    return sequence * batch * directions * rows * (inputs + hidden)


def _pooled(call: Call) -> Sequence[Value | None]:
    shape = (call.given(0) or UNKNOWN).shape
    if shape is None:
        return [UNKNOWN]
    ones = [1] * (len(shape) - 2)
    is_last = bool(call.number("channels_last"))
    return [_shaped(call, *((shape[0], *ones, shape[-1]) if is_last else (shape[0], shape[1], *ones)))]


def _joined(call: Call) -> Sequence[Value | None]:
    """Scale and zero point of the output, then data, scale and zero point of each input."""
    return [inferred_as("Concat", [call.given(i) for i in range(2, len(call.inputs), 3)], call.attributes)]


def _broadcast(call: Call) -> Sequence[Value | None]:
    return [inferred_as("Add", [_as_float(call.given(0)), _as_float(call.given(3))], {})]


def _as_float(value: Value | None) -> Value:
    return Value(tensor_type(_FLOAT, (value or UNKNOWN).shape))


def _dequantised(call: Call) -> Sequence[Value | None]:
    scale = call.given(1) or UNKNOWN
    return [Value(tensor_type(scale.element or _FLOAT, (call.given(0) or UNKNOWN).shape))]


def _quantised(call: Call) -> Sequence[Value | None]:
    zero = call.given(2)
    element = zero.element if zero is not None else 2
    return [Value(tensor_type(element, (call.given(0) or UNKNOWN).shape))]


def _halved(call: Call) -> Sequence[Value | None]:
    shape = (call.given(0) or UNKNOWN).shape
    return [_shaped(call, *shape[:-1], shape[-1] // 2)] if shape and shape[-1] else [UNKNOWN]


def _any_quantised_convolution(call: Call) -> int:
    return convolution(call, weight=3, channels_last=bool(call.number("channels_last")))


_SAME = Rule(_like(0))
_SCALED = Rule(_like(0), settings=(1, 2, 3, 4))
_GEMM_INPUTS = (0, 1, 2)
RULES: Mapping[str, Rule] = {
    **dict.fromkeys(
        ("BiasAdd", "BiasGelu", "BiasSoftmax", "FastGelu", "Gelu", "GroupNorm", "Inverse", "QuickGelu"), _SAME
    ),
    **dict.fromkeys(
        ("RotaryEmbedding", "SimplifiedLayerNormalization", "SkipLayerNormalization", "SkipGroupNorm"), _SAME
    ),
    "SkipSimplifiedLayerNormalization": _SAME,
    **dict.fromkeys(("QLinearLeakyRelu", "QLinearSigmoid", "QLinearSoftmax"), _SCALED),
    "Attention": Rule(
        partial(_attention_types, past=4), partial(_attention_macs, past=4), weights=(1, 2), settings=(3,)
    ),
    "BiasSplitGelu": Rule(_halved),
    "DequantizeLinear": Rule(_dequantised, settings=(1, 2)),
    "DynamicQuantizeLSTM": Rule(
        _dynamic_lstm, _dynamic_lstm_macs, weights=(1, 2, 3, 7), settings=(4, 8, 9, 10, 11)
    ),
    "DynamicQuantizeMatMul": Rule(_dynamic_product, matrix_product, weights=(1, 4), settings=(2, 3)),
    "EmbedLayerNormalization": Rule(_embedding),
    "FusedConv": Rule(_as("Conv", *_GEMM_INPUTS), convolution, weights=(1, 2)),
    "FusedGemm": Rule(_as("Gemm", *_GEMM_INPUTS), partial(matrix_product, transposed="transA"), _GEMM_INPUTS),
    "FusedMatMul": Rule(_fused_matmul, partial(matrix_product, transposed="transA"), (0, 1)),
    "GemmFastGelu": Rule(_as("MatMul", 0, 1), matrix_product, (1, 2)),
    "GroupQueryAttention": Rule(_grouped_types, lambda call: _grouped(call).macs, settings=(5, 6, 7, 8)),
    "MatMulInteger16": Rule(_as("MatMulInteger", 0, 1), matrix_product, (0, 1)),
    "MatMulIntegerToFloat": Rule(_dynamic_product, matrix_product, weights=(0, 1, 6), settings=(2, 3, 4, 5)),
    "MatMulNBits": Rule(_few_bits, _few_bits_macs, settings=(2, 3, 4)),
    "MultiHeadAttention": Rule(_many_heads_types, lambda call: _many_heads(call).macs, settings=(4,)),
    "NhwcConv": Rule(
        _channels_last("Conv", 0, 1, is_always=True), partial(convolution, channels_last=True), (1, 2)
    ),
    "NhwcFusedConv": Rule(
        _channels_last("Conv", 0, 1, is_always=True), partial(convolution, channels_last=True), (1, 2)
    ),
    "NhwcMaxPool": Rule(_channels_last("MaxPool", 0, is_always=True)),
    "QAttention": Rule(
        partial(_attention_types, past=8), partial(_attention_macs, past=8), (1, 2), settings=(3, 4, 5, 6, 7)
    ),
    "QGemm": Rule(
        _quantised_gemm,
        lambda call: matrix_product(call, first=0, second=3, transposed="transA"),
        weights=(3, 6),
        settings=(1, 2, 4, 5, 7, 8),
    ),
    **dict.fromkeys(("QLinearAdd", "QLinearMul"), Rule(_broadcast, settings=(1, 2, 4, 5, 6, 7))),
    "QLinearAveragePool": Rule(_channels_last("AveragePool", 0), settings=(1, 2, 3, 4)),
    "QLinearConcat": Rule(_joined),
    "QLinearConv": Rule(
        _channels_last("Conv", 0, 3), _any_quantised_convolution, weights=(3, 8), settings=(1, 2, 4, 5, 6, 7)
    ),
    "QLinearGlobalAveragePool": Rule(_pooled, settings=(1, 2, 3, 4)),
    "QuantizeLinear": Rule(_quantised, settings=(1, 2)),
    "TransposeMatMul": Rule(_fused_matmul, partial(matrix_product, transposed="transA"), (0, 1)),
    "ConvTransposeWithDynamicPads": Rule(lambda _: [UNKNOWN], transposed_convolution, (1,), settings=(2,)),
}


def rule_of(operator: str) -> Rule | None:
    """Return what is known of an operator, None if nothing is."""
    return RULES.get(operator)


def outputs_of(rule: Rule, call: Call) -> list[Value | None]:
    """Return what is known of the outputs of a call, which names those that are used."""
    try:
        found = list(rule.infer(call))
    except (UnknownShapeError, ValueError, IndexError, ZeroDivisionError):
        found = []  # sizes that are not known, or not those that the operator takes
    return [
        None if place is None else (found[index] or UNKNOWN if index < len(found) else UNKNOWN)
        for index, place in enumerate(call.outputs)
    ]


def parameters_of_few_bits(call: Call) -> int:
    """Return the weights of a MatMulNBits, whose tensor holds several in a byte."""
    return call.number("K") * call.number("N")
