"""What the time of a kernel depends on, as real numbers."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hwnas.arrays import DoubleArray
from hwnas.kernel_graph.kernels import (
    ACTIVATION,
    ACTIVATIONS,
    ADDS,
    CODES,
    DILATION,
    HEIGHT,
    IN,
    KERNEL_H,
    KERNEL_W,
    KIND,
    OUT,
    STRIDE_H,
    STRIDE_W,
    WIDTH,
    Rows,
)

_TILE_BLOCKS = 4
"""Blocks of output channels that one pass of a convolution computes."""
_BLOCK = 16


def operations(rows: Rows) -> DoubleArray:
    """Return the multiply-accumulate operations of every kernel, padding of channels included."""
    values = rows.astype(np.float64)
    kind = values[:, KIND]
    each = np.where(kind == CODES["depthwise"], values[:, OUT], values[:, IN] * values[:, OUT])
    # A transposed convolution uses each weight at the positions of its input.
    strides = np.where(
        kind == CODES["transposed-convolution"], values[:, STRIDE_H] * values[:, STRIDE_W], 1.0
    )
    return each * values[:, HEIGHT] * values[:, WIDTH] * values[:, KERNEL_H] * values[:, KERNEL_W] / strides


def is_convolution(rows: Rows) -> npt.NDArray[np.bool_]:
    """Return which kernels have weights."""
    return rows[:, KERNEL_H] > 0


def basis(rows: Rows) -> DoubleArray:
    """Return what the logarithm of a kernel's time is a weighted sum of, roughly: [n, 5].

    A one, and logarithms of operations, of elements read and written, and of weights.
    """
    values = np.maximum(rows.astype(np.float64), 1.0)
    pixels = values[:, HEIGHT] * values[:, WIDTH]
    read = values[:, IN] * pixels * values[:, STRIDE_H] * values[:, STRIDE_W]
    weights = np.where(is_convolution(rows), operations(rows) / pixels, 1.0)
    work = np.where(is_convolution(rows), operations(rows), 1.0)
    columns = [work, read, values[:, OUT] * pixels, np.maximum(weights, 1.0)]
    return np.column_stack([np.ones(len(rows)), *(np.log2(np.maximum(column, 1.0)) for column in columns)])


def coordinates(rows: Rows) -> DoubleArray:
    """Return where a kernel lies, for telling how alike two of them are: [n, 10].

    Logarithms of channels, sizes, taps and strides; dilation; whether there is a costly activation or a sum;
    how much of the last pass over output channels is left empty.
    """
    values = np.maximum(rows.astype(np.float64), 1.0)
    blocks = np.ceil(values[:, OUT] / _BLOCK)
    emptiness = np.ceil(blocks / _TILE_BLOCKS) * _TILE_BLOCKS / blocks
    return np.column_stack(
        [
            np.log2(values[:, IN]),
            np.log2(values[:, OUT]),
            np.log2(values[:, HEIGHT]),
            np.log2(values[:, WIDTH]),
            np.log2(values[:, KERNEL_H] * values[:, KERNEL_W]),
            np.log2(values[:, STRIDE_H]),
            np.log2(values[:, STRIDE_W]),
            values[:, DILATION],
            (rows[:, ACTIVATION] == ACTIVATIONS["HardSwish"]) + 0.5 * rows[:, ADDS],
            np.log2(emptiness),
        ]
    )
