"""The kernels of decoders, in many networks at once; follows `hwnas.models.decoders`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from hwnas.kernel_graph.graph import Images, Index, Ints, Lowering, Mask
from hwnas.search_spaces.unet_kernels import CODES_OF_GENES, Genes


def lower_decoders(
    lowering: Lowering,
    genes: Genes,
    levels: list[Images],
    strides: list[tuple[Ints, Ints]],
    activation: Ints,
) -> None:
    """Add decoder, head, and enlarging of the logits of every network.

    Args:
        lowering: collects the kernels.
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
                _decode(lowering, genes, rule, chosen, levels[:depth], strides[: depth - 1], activation)


@dataclass(frozen=True)
class _Decoder:
    """Levels and settings of a decoder in n networks of equal depth."""

    levels: list[Images]
    strides: list[tuple[Ints, Ints]]
    width: Ints
    is_cyclic: Mask
    activation: Ints


def _decode(
    lowering: Lowering,
    genes: Genes,
    rule: Callable[[Lowering, _Decoder], Images],
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
    features = rule(lowering, decoder)
    logits = lowering.convolution(features, genes.shapes[rows, 3], (1, 1))
    down, across = genes.strides("stem_stride")
    lowering.need_plain(_enlarge(lowering, logits, (down[rows], across[rows])))


def _enlarge(lowering: Lowering, images: Images, stride: tuple[Ints, Ints]) -> Images:
    where = (stride[0] > 1) | (stride[1] > 1)
    return images.put(where, lowering.resize(images.take(where), (stride[0][where], stride[1][where])))


def _bilinear_sum(lowering: Lowering, decoder: _Decoder) -> Images:
    # The convolution of the coarsest level is read by a sum alone where nothing is enlarged.
    result = lowering.convolution(decoder.levels[-1], decoder.width, (1, 1))
    for level, stride in zip(decoder.levels[-2::-1], decoder.strides[::-1], strict=True):
        enlarged = _enlarge(lowering, result, stride)
        projected = lowering.convolution(level, decoder.width, (1, 1))
        result = lowering.convolution(
            lowering.add(enlarged, projected),
            decoder.width,
            (3, 3),
            is_cyclic=decoder.is_cyclic,
            activation=decoder.activation,
        )
    return result


def _concatenation(lowering: Lowering, decoder: _Decoder) -> Images:
    height, width = np.ones_like(decoder.width), np.ones_like(decoder.width)
    parts = [decoder.levels[0]]
    for level, stride in zip(decoder.levels[1:], decoder.strides, strict=True):
        height, width = height * stride[0], width * stride[1]
        parts.append(_enlarge(lowering, level, (height, width)))
    mixed = lowering.concatenate(parts)
    for _ in range(2):
        mixed = lowering.convolution(mixed, decoder.width, (1, 1), activation=decoder.activation)
    return mixed


def _learned(
    lowering: Lowering,
    decoder: _Decoder,
    enlarging: Callable[[Lowering, Images, tuple[Ints, Ints], Ints], Images],
) -> Images:
    result = lowering.convolution(decoder.levels[-1], decoder.width, (1, 1), activation=decoder.activation)
    for level, stride in zip(decoder.levels[-2::-1], decoder.strides[::-1], strict=True):
        where = (stride[0] > 1) | (stride[1] > 1)
        chosen = (stride[0][where], stride[1][where])
        result = result.put(where, enlarging(lowering, result.take(where), chosen, decoder.activation[where]))
        result = lowering.convolution(
            lowering.concatenate([result, level]),
            decoder.width,
            (3, 3),
            is_cyclic=decoder.is_cyclic,
            activation=decoder.activation,
        )
    return result


def _shuffled(lowering: Lowering, images: Images, stride: tuple[Ints, Ints], activation: Ints) -> Images:
    widened = images.channels * stride[0] * stride[1]
    return lowering.shuffle(lowering.convolution(images, widened, (1, 1), activation=activation), stride)


_DECODERS: Mapping[str, Callable[[Lowering, _Decoder], Images]] = MappingProxyType(
    {
        "bilinear-sum": _bilinear_sum,
        "concatenation": _concatenation,
        "pixel-shuffle": lambda lowering, decoder: _learned(lowering, decoder, _shuffled),
        "transposed-convolution": lambda lowering, decoder: _learned(
            lowering, decoder, lambda low, images, stride, act: low.transposed(images, stride, act)
        ),
    }
)
