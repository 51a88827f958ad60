"""The computations that a backend's kernels do, as rows of integers.

Many networks are described by one array with a row for every kernel, so that predicting ten thousand of them
is a matter of array operations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.int32]
"""Kernels, [n, len(COLUMNS)]."""

COLUMNS = (
    "kind",
    "in_channels",
    "out_channels",
    "height",
    "width",
    "kernel_height",
    "kernel_width",
    "stride_height",
    "stride_width",
    "dilation",
    "activation",
    "adds",
)
"""Channels are those that the kernel works on, padding included; height and width are those of the output
(of the input where the kernel reduces or takes a piece). `adds` is 1 where a second image is added."""

KIND, IN, OUT, HEIGHT, WIDTH, KERNEL_H, KERNEL_W, STRIDE_H, STRIDE_W, DILATION, ACTIVATION, ADDS = range(12)

KINDS = (
    "other",
    "convolution",
    "pointwise",
    "depthwise",
    "direct-convolution",
    "vector-convolution",
    "transposed-convolution",
    "reorder-input",
    "reorder-output",
    "slice",
    "pad",
    "concatenation",
    "add",
    "multiply",
    "scale",
    "activation",
    "mean",
    "resize",
    "blocked-resize",
    "move",
    "pool",
)
"""Kinds of kernels, by code. `direct-convolution` reads an image that is not blocked; `vector-convolution`
works on one pixel; `pad` continues an image over its edges; `scale` weighs channels; `move` only moves;
`pool` is the mean of 3 x 3 pixels. New ones come at the end: tables that were made before know the first
ones."""

CODES = {kind: code for code, kind in enumerate(KINDS)}
ACTIVATIONS = {"": 0, "Relu": 1, "HardSwish": 2, "HardSigmoid": 3}

_HASH_FACTOR = np.uint64(0x9E3779B97F4A7C15)
"""2^64 over the golden ratio: Fibonacci hashing, Knuth, The Art of Computer Programming 3, section 6.4."""

_OPERATORS = {
    "ReorderInput": "reorder-input",
    "ReorderOutput": "reorder-output",
    "Slice": "slice",
    "Add": "add",
    "Relu": "activation",
    "HardSigmoid": "activation",
    "HardSwish": "activation",
    "ReduceMean": "mean",
    "GlobalAveragePool": "mean",
    "Resize": "resize",
    "Upsample": "blocked-resize",
    "AveragePool": "pool",
}
_MOVES = {"DepthToSpace": (2, 2), "Transpose": (1, 2)}
"""Moving operators, told apart by their factors in `range-unet`."""


def convolution_kind(in_channels: int, out_channels: int, group: int, pixels: int, kernel: int) -> str:
    """Return the kind of a convolution.

    Args:
        in_channels: of one group, as the kernel reads them.
        out_channels: of all groups.
        group: number of groups.
        pixels: of the output.
        kernel: number of taps.
    """
    if group > 1 and group == out_channels:
        return "depthwise"
    if pixels == 1:
        return "vector-convolution"
    if in_channels % 4 or in_channels < 16:
        return "direct-convolution"
    return "pointwise" if kernel == 1 else "convolution"


def row_of_kernel(kernel: Mapping[str, Any]) -> list[int]:
    """Return the row of a kernel as an agent describes it, see `read_kernels`.

    What is not an image [1, C, H, W] or not known becomes the kind `other`, with its size as channels.
    """
    operator, attributes = str(kernel["operator"]), kernel["attributes"]
    outputs: Sequence[Sequence[int]] = kernel["output_shapes"]
    inputs: Sequence[Sequence[int]] = kernel["input_shapes"]
    row = [0] * len(COLUMNS)
    output = list(outputs[0]) if outputs else []
    if operator in _MOVES or operator == "Reshape" or len(output) != 4:
        return _flat_row(row, operator, output)
    row[OUT], row[HEIGHT], row[WIDTH] = output[1:]
    row[IN] = inputs[0][1] if inputs and len(inputs[0]) == 4 else output[1]
    if operator in {"Conv", "ConvTranspose"}:
        return _convolution_row(row, kernel)
    kind = _OPERATORS.get(operator, "other")
    if operator == "Concat":
        kind = "pad" if attributes.get("axis") == 3 else "concatenation"
        row[IN] = row[OUT]
    elif operator == "Mul":
        kind = "multiply" if inputs[0] == inputs[1] else "scale"
    elif kind == "mean":
        row[HEIGHT], row[WIDTH] = inputs[0][2:]
    elif kind in {"resize", "blocked-resize"}:
        row[STRIDE_H], row[STRIDE_W] = (output[axis] // inputs[0][axis] for axis in (2, 3))
    elif kind in {"reorder-input", "reorder-output"}:
        row[OUT] = row[IN]  # before the change: plain channels, or those with padding
    elif kind == "activation":
        row[ACTIVATION] = ACTIVATIONS[operator]
    row[KIND] = CODES[kind]
    return row


def _convolution_row(row: list[int], kernel: Mapping[str, Any]) -> list[int]:
    attributes = kernel["attributes"]
    row[KERNEL_H], row[KERNEL_W] = attributes["kernel_shape"]  # a packed weight has no shape any more
    group = int(attributes.get("group") or 1)
    row[STRIDE_H], row[STRIDE_W] = attributes.get("strides") or (1, 1)
    row[DILATION] = max(attributes.get("dilations") or (1,))
    row[ACTIVATION] = ACTIVATIONS.get(attributes.get("activation") or "", 0)
    row[ADDS] = int(list(kernel["output_shapes"][0]) in list(kernel["input_shapes"][1:]))
    taps = row[KERNEL_H] * row[KERNEL_W]
    kind = convolution_kind(row[IN], row[OUT], group, row[HEIGHT] * row[WIDTH], taps)
    row[KIND] = CODES["transposed-convolution" if kernel["operator"] == "ConvTranspose" else kind]
    return row


def _flat_row(row: list[int], operator: str, shape: Sequence[int]) -> list[int]:
    """Return a row in which only the size matters; reshaping moves nothing."""
    if operator in _MOVES:
        row[KIND], row[IN], row[OUT], row[HEIGHT] = CODES["move"], 1, 1, 1
        row[WIDTH] = int(np.prod(shape))
        row[STRIDE_H], row[STRIDE_W] = _MOVES[operator]
    return row


def group_rows(rows: Rows) -> tuple[Rows, npt.NDArray[np.intp]]:
    """Return every different row once, and for each row the index of its like."""
    # One number a row instead of comparing rows: two different rows share it with a chance of about 2^-64.
    keys = np.zeros(len(rows), np.uint64)
    for column in rows.T:
        keys = (keys ^ column.astype(np.uint64)) * _HASH_FACTOR
        keys ^= keys >> np.uint64(29)
    _, first, index = np.unique(keys, return_index=True, return_inverse=True)
    return rows[first], index


def signature(row: Sequence[int]) -> str:
    """Return a readable name of a kernel, the same for equal rows."""
    named = zip(COLUMNS[1:], row[1:], strict=True)
    return KINDS[row[0]] + "".join(f" {column}={value}" for column, value in named if value)


def parse_signature(name: str) -> list[int]:
    """Return the row of a kernel from its `signature`.

    Raises:
        ValueError: if it is none.
    """
    kind, *pairs = name.split(" ")
    if kind not in CODES:
        raise ValueError(f"{kind!r} is no kind of kernel; known are {list(KINDS)}.")
    row = [0] * len(COLUMNS)
    row[KIND] = CODES[kind]
    for pair in pairs:
        column, _, value = pair.partition("=")
        row[COLUMNS.index(column)] = int(value)
    return row
