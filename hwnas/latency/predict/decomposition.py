"""What a network consists of, as rows that can be summed: kernels where they are known, blocks elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np

from hwnas.architecture import Architecture
from hwnas.kernel_graph.images import Index
from hwnas.kernel_graph.kernels import (
    COLUMNS,
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
from hwnas.latency.predict.kernel_features import operations
from hwnas.search_spaces.base import (
    BlockSignature,
    SearchSpace,
    SupportsKernelDecomposition,
    checked_kernels,
)

BLOCKS = (16, 8, 1)
"""Channels of a block that backends are known to use; 1 is plain."""

Decompose = Callable[[Sequence[Architecture]], tuple[Rows, Index]]
"""From networks to their kernels, and the position of the network that each belongs to."""


def kernels_of_space(space: SearchSpace, block: int) -> Decompose | None:
    """Return the function from networks of a space to kernels; None for a space that does not tell them.

    Args:
        space: whose `kernels` are asked, see `SupportsKernelDecomposition`.
        block: channels that the backend keeps together, one of `BLOCKS`.
    """
    if not isinstance(space, SupportsKernelDecomposition):
        return None

    return lambda architectures: checked_kernels(space, architectures, block)


class Decomposition:
    """Turns networks of a space into rows with a kind, sizes and an owner."""

    def __init__(self, space: SearchSpace, block: int, kinds: Sequence[str] = ()) -> None:
        """Prepare.

        Args:
            space: that the networks are of.
            block: see `kernels_of_space`.
            kinds: names of block kinds met before, in order; new ones come behind them. Where there are some,
                networks consist of blocks even if the space tells kernels by now.
        """
        self._space = space
        self._decompose = None if kinds else kernels_of_space(space, block)
        self._kinds = {kind: code for code, kind in enumerate(kinds)}

    @property
    def are_kernels(self) -> bool:
        """Whether the rows are kernels, see `hwnas.kernel_graph.kernels`; blocks otherwise."""
        return self._decompose is not None

    @property
    def kinds(self) -> tuple[str, ...]:
        """Names of the kinds of blocks met so far."""
        return tuple(self._kinds)

    def rows(self, architectures: Sequence[Architecture]) -> tuple[Rows, Index]:
        """Return the parts of all architectures, and for each the index of its network."""
        if self._decompose is not None:
            return self._decompose(architectures)
        blocks = [self._space.blocks(architecture) for architecture in architectures]
        rows = [self._row(block) for own in blocks for block in own]
        owners = np.repeat(np.arange(len(blocks)), [len(own) for own in blocks])
        return np.array(rows, np.int32).reshape(-1, len(COLUMNS)), owners

    def _row(self, block: BlockSignature) -> list[int]:
        row = list(_sizes_of_block(block))
        named = f"{block.kind} " + " ".join(f"{name}={value}" for name, value in block.settings)
        row[KIND] = self._kinds.setdefault(named.strip(), len(self._kinds))
        return row


@lru_cache(maxsize=100_000)
def _sizes_of_block(block: BlockSignature) -> tuple[int, ...]:
    """Return a row without a kind: all channels read, and one tap, since what it computes is unknown."""
    row = [0] * len(COLUMNS)
    row[OUT], row[HEIGHT], row[WIDTH] = block.output_shape
    row[IN] = sum(channels for channels, _, _ in block.input_shapes)
    row[KERNEL_H] = row[KERNEL_W] = 1
    _, height, width = block.input_shapes[0]
    row[STRIDE_H] = max(height // row[HEIGHT], 1)
    row[STRIDE_W] = max(width // row[WIDTH], 1)
    return tuple(row)


def summed(rows: Rows, owners: Index, networks: int, kinds: int) -> np.ndarray:
    """Return for each network and kind: how many parts, their elements, their operations, and a square root.

    Returns:
        [networks, 4 * kinds]. The square root of operations times elements stands for parts that are
        neither busy computing nor busy moving.
    """
    values = rows.astype(np.float64)
    pixels = values[:, HEIGHT] * values[:, WIDTH]
    strides = np.maximum(values[:, STRIDE_H], 1) * np.maximum(values[:, STRIDE_W], 1)
    elements = pixels * (values[:, IN] * strides + values[:, OUT])
    work = np.where(values[:, KERNEL_H] > 0, operations(rows), 0.0)
    cells = owners * kinds + rows[:, KIND]
    amounts = (np.ones(len(rows)), elements, work, np.sqrt(elements * work))
    sums = [np.bincount(cells, amount, networks * kinds).reshape(networks, kinds) for amount in amounts]
    return np.concatenate(sums, axis=1)
