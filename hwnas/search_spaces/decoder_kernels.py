"""The kernels of decoders, in many networks at once; follows `hwnas.models.decoders`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from hwnas.kernel_graph.graph import KernelGraph
from hwnas.kernel_graph.images import Images, Index, Ints, Mask
from hwnas.search_spaces.unet_kernels import CODES_OF_GENES, Genes


def add_decoders(
    graph: KernelGraph,
    genes: Genes,
    levels: list[Images],
    strides: list[tuple[Ints, Ints]],
    activation: Ints,
) -> None:
    """Add decoder, head, and enlarging of the logits of every network.

    Args:
        graph: collects the kernels.
        genes: of all networks.
        levels: images of all levels of all networks, finest first; a network has its first `num_stages` + 1.
        strides: how much coarser each level is than the one before.
        activation: code for each network.
    """
    for name, rule in _DECODERS.items():
        rows = np.flatnonzero(genes.codes("decoder") == CODES_OF_GENES["decoder"][name])
        for depth in range(2, len(levels) + 1):
            chosen = rows[genes.numbers("num_stages")[rows] == depth - 1]
            if len(chosen):
                _decode(graph, genes, rule, chosen, levels[:depth], strides[: depth - 1], activation)


@dataclass(frozen=True)
class _Decoder:
    """Levels and settings of a decoder in n networks of equal depth."""

    levels: list[Images]
    strides: list[tuple[Ints, Ints]]
    width: Ints
    is_cyclic: Mask
    activation: Ints


def _decode(
    graph: KernelGraph,
    genes: Genes,
    rule: Callable[[KernelGraph, _Decoder], Images],
    rows: Index,
    levels: list[Images],
    strides: list[tuple[Ints, Ints]],
    activation: Ints,
) -> None:
    """Decoder, head, and enlarging of the logits to the size of the input."""
    decoder = _Decoder(
        [level.take(rows) for level in levels],
        [(down[rows], across[rows]) for down, across in strides],
        genes.numbers("decoder_width")[rows],
        (genes.numbers("cyclic_padding") != 0)[rows],
        activation[rows],
    )
    features = rule(graph, decoder)
    logits = graph.convolution(features, genes.shapes[rows, 3], (1, 1))
    down, across = genes.strides("stem_stride")
    graph.need_plain(_enlarge(graph, logits, (down[rows], across[rows])))


def _enlarge(graph: KernelGraph, images: Images, stride: tuple[Ints, Ints]) -> Images:
    where = (stride[0] > 1) | (stride[1] > 1)
    return images.put(where, graph.resize(images.take(where), (stride[0][where], stride[1][where])))


def _bilinear_sum(graph: KernelGraph, decoder: _Decoder) -> Images:
    # The convolution of the coarsest level is read by a sum alone where nothing is enlarged.
    result = graph.convolution(decoder.levels[-1], decoder.width, (1, 1))
    for level, stride in zip(decoder.levels[-2::-1], decoder.strides[::-1], strict=True):
        enlarged = _enlarge(graph, result, stride)
        projected = graph.convolution(level, decoder.width, (1, 1))
        result = graph.convolution(
            graph.add(enlarged, projected),
            decoder.width,
            (3, 3),
            is_cyclic=decoder.is_cyclic,
            activation=decoder.activation,
        )
    return result


def _concatenation(graph: KernelGraph, decoder: _Decoder) -> Images:
    height, width = np.ones_like(decoder.width), np.ones_like(decoder.width)
    parts = [decoder.levels[0]]
    for level, stride in zip(decoder.levels[1:], decoder.strides, strict=True):
        height, width = height * stride[0], width * stride[1]
        parts.append(_enlarge(graph, level, (height, width)))
    mixed = graph.concatenate(parts)
    for _ in range(2):
        mixed = graph.convolution(mixed, decoder.width, (1, 1), activation=decoder.activation)
    return mixed


def _learned(
    graph: KernelGraph,
    decoder: _Decoder,
    enlarging: Callable[[KernelGraph, Images, tuple[Ints, Ints], Ints], Images],
) -> Images:
    result = graph.convolution(decoder.levels[-1], decoder.width, (1, 1), activation=decoder.activation)
    for level, stride in zip(decoder.levels[-2::-1], decoder.strides[::-1], strict=True):
        where = (stride[0] > 1) | (stride[1] > 1)
        chosen = (stride[0][where], stride[1][where])
        result = result.put(where, enlarging(graph, result.take(where), chosen, decoder.activation[where]))
        result = graph.convolution(
            graph.concatenate([result, level]),
            decoder.width,
            (3, 3),
            is_cyclic=decoder.is_cyclic,
            activation=decoder.activation,
        )
    return result


def _shuffled(graph: KernelGraph, images: Images, stride: tuple[Ints, Ints], activation: Ints) -> Images:
    widened = images.channels * stride[0] * stride[1]
    return graph.shuffle(graph.convolution(images, widened, (1, 1), activation=activation), stride)


_DECODERS: Mapping[str, Callable[[KernelGraph, _Decoder], Images]] = MappingProxyType(
    {
        "bilinear-sum": _bilinear_sum,
        "concatenation": _concatenation,
        "pixel-shuffle": lambda graph, decoder: _learned(graph, decoder, _shuffled),
        "transposed-convolution": lambda graph, decoder: _learned(
            graph, decoder, lambda low, images, stride, act: low.transposed(images, stride, act)
        ),
    }
)
