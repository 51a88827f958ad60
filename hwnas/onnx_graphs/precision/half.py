"""Half precision in the ONNX file, by the converter of onnxruntime."""

from __future__ import annotations

from collections.abc import Collection

import onnx

from hwnas.onnx_graphs.precision.checking import checked, onnxruntime_module

SMALLEST_HALF = 2.0**-24
"""The smallest positive half, subnormal; weights below half of it would become zero."""
LARGEST_HALF = 65504.0


def half_precision(model: onnx.ModelProto, *, keep: Collection[str] = ()) -> onnx.ModelProto:
    """Return `model` computed in float16 throughout; its inputs and outputs stay float32.

    Args:
        model: float32, perhaps with quantised parts; it stays as it is.
        keep: names of nodes that stay in float32.

    Raises:
        ExportError: if onnxruntime is missing, or the result is not valid.
    """
    converter = onnxruntime_module("onnxruntime.transformers.float16")
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    # The types of values between nodes are inferred anew; the converter would mix old and new ones.
    del copy.graph.value_info[:]
    copy = onnx.shape_inference.infer_shapes(copy, data_prop=True)
    result = converter.convert_float_to_float16(
        copy,
        min_positive_val=SMALLEST_HALF,
        max_finite_val=LARGEST_HALF,
        keep_io_types=True,
        op_block_list=[],
        node_block_list=sorted(keep),
    )
    return checked(result, "float16", like=model)
