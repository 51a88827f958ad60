"""The kernels of networks, for spaces whose blocks are known here."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hwnas.architecture import Architecture
from hwnas.latency.predict.kernel_graph import Index
from hwnas.latency.predict.kernels import Rows
from hwnas.latency.predict.nas_cell_kernels import nas_cell_kernels
from hwnas.latency.predict.range_unet_kernels import range_unet_kernels
from hwnas.search_spaces.nas_cell import NAME as NAS_CELL
from hwnas.search_spaces.range_unet import NAME as RANGE_UNET

BLOCKS = (16, 8, 1)
"""Channels of a block that backends are known to use; 1 is plain."""

_KERNEL_GRAPHS: dict[str, Callable[[Sequence[Architecture], int], tuple[Rows, Index]]] = {
    NAS_CELL: nas_cell_kernels,
    RANGE_UNET: range_unet_kernels,
}


def kernel_graph_of(space: str, block: int) -> Callable[[Sequence[Architecture]], tuple[Rows, Index]] | None:
    """Return the function from networks of a space to kernels; None where blocks of the space are unknown.

    Args:
        space: name.
        block: channels that the backend keeps together, one of `BLOCKS`.
    """
    kernels_of = _KERNEL_GRAPHS.get(space)
    return None if kernels_of is None else lambda architectures: kernels_of(architectures, block)
