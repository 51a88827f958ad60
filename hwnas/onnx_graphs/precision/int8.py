"""INT8 in the ONNX file as pairs of QuantizeLinear and DequantizeLinear, by the quantiser of onnxruntime."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import onnx

from hwnas.onnx_graphs.precision.calibration import Ranges
from hwnas.onnx_graphs.precision.checking import checked, onnxruntime_module, silent
from hwnas.onnx_graphs.precision.half import half_precision
from hwnas.onnx_graphs.precision.kinds import HALF_SCALES_OPSET, Dialect
from hwnas.onnx_graphs.precision.portable_int8 import with_portable_quantisers
from hwnas.onnx_graphs.versions import at_opset, opset_of

LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
"""Operators with weights: what a layer is, where layers are chosen."""


def layers_of(model: onnx.ModelProto) -> list[str]:
    """Return the names of the nodes that can be quantised, in graph order."""
    constants = {tensor.name for tensor in model.graph.initializer}
    return [
        node.name
        for node in model.graph.node
        if node.op_type in LAYERS and constants.intersection(node.input)
    ]


def quantised(
    model: onnx.ModelProto, ranges: Ranges, dialect: Dialect, *, keep: Collection[str] = ()
) -> onnx.ModelProto:
    """Return `model` with weights quantised per channel and activations per tensor.

    Args:
        model: float32, as `export_onnx` wrote it; it stays as it is.
        ranges: of its activations, symmetric for `Dialect.TENSORRT`.
        dialect: of the backend that will compute it.
        keep: names of layers that are not quantised, nor is what comes between them and the next layer:
            float16 for TensorRT, else float32.

    Raises:
        ExportError: if onnxruntime is missing, or the result is not valid.
    """
    quantiser = onnxruntime_module("onnxruntime.quantization.qdq_quantizer")
    registry = onnxruntime_module("onnxruntime.quantization.registry")
    types = onnxruntime_module("onnxruntime.quantization").QuantType
    is_tensorrt = dialect is Dialect.TENSORRT
    operators = (
        sorted(LAYERS) if is_tensorrt else sorted({*registry.QLinearOpsRegistry, *registry.QDQRegistry})
    )
    options: dict[str, Any] = {"WeightSymmetric": True}
    if is_tensorrt:
        # A pair behind a convolution would stand between it and its activation, which TensorRT joins.
        options |= {
            "ActivationSymmetric": True,
            "QuantizeBias": False,
            "OpTypesToExcludeOutputQuantization": operators,
        }
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    with silent():
        pairs = quantiser.QDQQuantizer(
            copy,
            per_channel=True,
            reduce_range=False,
            weight_qType=types.QInt8,
            activation_qType=types.QInt8 if is_tensorrt else types.QUInt8,
            tensors_range=ranges.tensors,
            nodes_to_quantize=[],
            nodes_to_exclude=sorted({*keep, *_neighbours(model, keep)}),
            op_types_to_quantize=operators,
            extra_options=options,
        )
        pairs.quantize_model()
    result = checked(pairs.model.model, "int8", like=model)
    if not dialect.has_fast_half:
        return result
    halves = half_precision(at_opset(result, max(opset_of(result), HALF_SCALES_OPSET)))
    return checked(with_portable_quantisers(halves), "int8", like=model)


def _neighbours(model: onnx.ModelProto, keep: Collection[str]) -> set[str]:
    """Return the nodes without weights between the layers `keep` and the layers before and after them.

    Exact values rounded to eight bits on the way in or out would make keeping a layer pointless; above all
    the input of the network, which padding before the first layer would otherwise round.
    """
    layers, exact = set(layers_of(model)), set[str]()
    after: set[str] = set()
    for node in model.graph.node:
        if node.name in keep or (node.name not in layers and after.intersection(node.input)):
            after.update(node.output)
            exact.add(node.name)
    before: set[str] = set()
    for node in reversed(model.graph.node):
        if node.name in keep or (node.name not in layers and before.intersection(node.output)):
            before.update(node.input)
            exact.add(node.name)
    return exact - layers
