"""What the kernels of U-Nets of several spaces have in common: genes by column, and blocks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np

from hwnas.architecture import Architecture
from hwnas.kernel_graph.graph import HARDSWISH, RELU, KernelGraph
from hwnas.kernel_graph.images import Images, Index, Ints, Mask
from hwnas.models.blocks import BLOCKS
from hwnas.models.decoders import DECODERS
from hwnas.search_spaces.cells import OPERATIONS
from hwnas.search_spaces.range_unet_plan import STRIDES

_ACTIVATIONS = {"relu": RELU, "hardswish": HARDSWISH}
CODES_OF_GENES: Mapping[str, Mapping[str, int]] = MappingProxyType(
    {
        "block": {name: code for code, name in enumerate(BLOCKS)},
        "decoder": {name: code for code, name in enumerate(DECODERS)},
        "activation": _ACTIVATIONS,
        "stride": {name: code for code, name in enumerate(STRIDES)},
    }
)
_STRIDES = np.array(list(STRIDES.values()), np.int32)


class Genes:
    """Genes of many architectures by column; absent ones are 0."""

    def __init__(self, architectures: Sequence[Architecture]) -> None:
        self._genes = [dict(architecture.genes) for architecture in architectures]
        self._columns: dict[str, Ints] = {}
        shapes = [(*a.input_shape, a.outputs[0].channels) for a in architectures]
        self.shapes = np.array(shapes, np.int32).reshape(-1, 4)

    def __len__(self) -> int:
        return len(self._genes)

    def numbers(self, gene: str) -> Ints:
        """Return a gene of numbers or truth values."""
        if gene not in self._columns:
            values: Iterable[Any] = (genes.get(gene, 0) for genes in self._genes)
            self._columns[gene] = np.fromiter(values, np.int32, len(self))
        return self._columns[gene]

    def codes(self, gene: str) -> Ints:
        """Return the codes of a gene of names."""
        if gene not in self._columns:
            known: Mapping[Any, int] = CODES_OF_GENES[gene.rpartition("_")[2]]
            values = (known.get(genes.get(gene), -1) for genes in self._genes)
            self._columns[gene] = np.fromiter(values, np.int32, len(self))
        return self._columns[gene]

    def operations(self, gene: str) -> Ints:
        """Return the operation of an edge of a cell by its position in `OPERATIONS`."""
        known: Mapping[Any, int] = {name: code for code, name in enumerate(OPERATIONS)}
        return np.fromiter((known[genes[gene]] for genes in self._genes), np.int32, len(self))

    def strides(self, gene: str) -> tuple[Ints, Ints]:
        """Return a gene of strides as height and width; 1 where absent."""
        codes = np.maximum(self.codes(gene), 0)
        return _STRIDES[codes, 0], _STRIDES[codes, 1]


@dataclass(frozen=True)
class Block:
    """Settings of one block in n networks, as `BlockSettings`, each [n]."""

    channels: Ints
    kernel: Ints
    stride: tuple[Ints, Ints]
    has_excitation: Mask
    is_cyclic: Mask
    activation: Ints

    def take(self, where: Mask | Index) -> Block:
        """Return those of some networks."""
        down, across = self.stride
        return Block(
            self.channels[where],
            self.kernel[where],
            (down[where], across[where]),
            self.has_excitation[where],
            self.is_cyclic[where],
            self.activation[where],
        )

    def repeated(self) -> Block:
        """Return those of a block behind the first one of a stage."""
        one = np.ones_like(self.channels)
        return replace(self, stride=(one, one))

    def keeps_shape(self, images: Images) -> Mask:
        """Return where input and output can be added as they are."""
        stays: Mask = (images.channels == self.channels) & (self.stride[0] == 1) & (self.stride[1] == 1)
        return stays


def excite(graph: KernelGraph, images: Images, block: Block) -> Images:
    """Weigh channels where a block does so."""
    where = block.has_excitation
    chosen = images.take(where)
    return images.put(where, graph.scale_channels(chosen, np.maximum(4, chosen.channels // 4)))


def shortcut(graph: KernelGraph, images: Images, block: Block, *, is_shared: bool = False) -> Images:
    """Return the images in the shape of a block's output: by a convolution where it is another one."""
    where = ~block.keeps_shape(images)
    chosen = block.take(where)
    reshaped = graph.convolution(
        images.take(where), chosen.channels, (1, 1), stride=chosen.stride, is_shared=is_shared
    )
    return images.put(where, reshaped)


def basic_residual(graph: KernelGraph, images: Images, block: Block) -> Images:
    """Two convolutions and a shortcut."""
    size = (block.kernel, block.kernel)
    first = graph.convolution(
        images,
        block.channels,
        size,
        stride=block.stride,
        is_cyclic=block.is_cyclic,
        activation=block.activation,
    )
    second = graph.convolution(
        first, block.channels, size, is_cyclic=block.is_cyclic, is_shared=block.has_excitation
    )
    body = excite(graph, second, block)
    return graph.add(body, shortcut(graph, images, block), block.activation)
