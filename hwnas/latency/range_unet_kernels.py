"""The kernels of many `range-unet` networks at once; follows `hwnas.models` block by block."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np

from hwnas.architecture import Architecture
from hwnas.latency.kernels import Rows
from hwnas.latency.lowering import HARDSWISH, RELU, Images, Index, Ints, Lowering, Mask
from hwnas.models.blocks import BLOCKS, CONVNEXT_EXPANSION, EXPANSION
from hwnas.models.decoders import DECODERS
from hwnas.search_spaces.range_unet_plan import STRIDES

_ACTIVATIONS = {"relu": RELU, "hardswish": HARDSWISH}
_CODES: Mapping[str, Mapping[str, int]] = MappingProxyType(
    {
        "block": {name: code for code, name in enumerate(BLOCKS)},
        "decoder": {name: code for code, name in enumerate(DECODERS)},
        "activation": _ACTIVATIONS,
        "stride": {name: code for code, name in enumerate(STRIDES)},
    }
)
_STRIDES = np.array(list(STRIDES.values()), np.int32)


def lower_range_unet(architectures: Sequence[Architecture], block: int) -> tuple[Rows, Index]:
    """Return the kernels of all architectures, and for each the index of the architecture it belongs to.

    Args:
        architectures: of `range-unet`.
        block: see `Lowering`.
    """
    genes = _Genes(architectures)
    lowering = Lowering(block)
    levels, strides = _encoder(lowering, genes)
    for name, rule in _DECODERS.items():
        rows = np.flatnonzero(genes.codes("decoder") == _CODES["decoder"][name])
        for depth in range(2, len(levels) + 1):
            chosen = rows[genes.numbers("num_stages")[rows] == depth - 1]
            if len(chosen):
                _decode(lowering, genes, rule, chosen, levels[:depth], strides[: depth - 1])
    return lowering.kernels()


class _Genes:
    """Genes of many architectures by column; absent ones are 0."""

    def __init__(self, architectures: Sequence[Architecture]) -> None:
        self._genes = [dict(architecture.genes) for architecture in architectures]
        self._columns: dict[str, Ints] = {}
        shapes = [(*a.input_shape, a.num_classes) for a in architectures]
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
            known: Mapping[Any, int] = _CODES[gene.rpartition("_")[2]]
            values = (known.get(genes.get(gene), -1) for genes in self._genes)
            self._columns[gene] = np.fromiter(values, np.int32, len(self))
        return self._columns[gene]

    def strides(self, gene: str) -> tuple[Ints, Ints]:
        """Return a gene of strides as height and width; 1 where absent."""
        codes = np.maximum(self.codes(gene), 0)
        return _STRIDES[codes, 0], _STRIDES[codes, 1]


@dataclass(frozen=True)
class _Block:
    """Settings of one block in n networks, as `BlockSettings`, each [n]."""

    channels: Ints
    kernel: Ints
    stride: tuple[Ints, Ints]
    has_excitation: Mask
    is_cyclic: Mask
    activation: Ints

    def take(self, where: Mask | Index) -> _Block:
        down, across = self.stride
        return _Block(
            self.channels[where],
            self.kernel[where],
            (down[where], across[where]),
            self.has_excitation[where],
            self.is_cyclic[where],
            self.activation[where],
        )

    def repeated(self) -> _Block:
        one = np.ones_like(self.channels)
        return replace(self, stride=(one, one))

    def keeps_shape(self, images: Images) -> Mask:
        stays: Mask = (images.channels == self.channels) & (self.stride[0] == 1) & (self.stride[1] == 1)
        return stays


def _encoder(lowering: Lowering, genes: _Genes) -> tuple[list[Images], list[tuple[Ints, Ints]]]:
    """Return the images of all levels, finest first, and the strides between them."""
    channels, height, width, _ = genes.shapes.T
    image = lowering.image(np.arange(len(genes)), channels, height, width, is_blocked=False)
    cyclic, activation = genes.numbers("cyclic_padding") != 0, genes.codes("activation")
    image = lowering.convolution(
        image,
        genes.numbers("stem_width"),
        (3, 3),
        stride=genes.strides("stem_stride"),
        is_cyclic=cyclic,
        activation=activation,
    )
    levels, strides = [image], []
    for stage in range(1, int(genes.numbers("num_stages").max(initial=0)) + 1):
        prefix = f"stage{stage}_"
        block = _Block(
            genes.numbers(prefix + "width"),
            genes.numbers(prefix + "kernel"),
            genes.strides(prefix + "stride"),
            genes.numbers(prefix + "squeeze_excite") != 0,
            cyclic,
            activation,
        )
        strides.append(block.stride)
        levels.append(_stage(lowering, levels[-1], block, genes.codes(prefix + "block"), genes, prefix))
    return levels, strides


def _stage(
    lowering: Lowering, images: Images, block: _Block, kinds: Ints, genes: _Genes, prefix: str
) -> Images:
    depth = genes.numbers(prefix + "depth")
    for name, rule in _BLOCKS.items():
        for repeat in range(int(depth.max(initial=0))):
            where = (kinds == _CODES["block"][name]) & (depth > repeat)
            if where.any():
                chosen = block.take(where) if repeat == 0 else block.take(where).repeated()
                images = images.put(where, rule(lowering, images.take(where), chosen))
    return images


def _excite(lowering: Lowering, images: Images, block: _Block) -> Images:
    where = block.has_excitation
    chosen = images.take(where)
    return images.put(where, lowering.scale_channels(chosen, np.maximum(4, chosen.channels // 4)))


def _shortcut(lowering: Lowering, images: Images, block: _Block, *, is_shared: bool = False) -> Images:
    where = ~block.keeps_shape(images)
    chosen = block.take(where)
    reshaped = lowering.convolution(
        images.take(where), chosen.channels, (1, 1), stride=chosen.stride, is_shared=is_shared
    )
    return images.put(where, reshaped)


def _basic_residual(lowering: Lowering, images: Images, block: _Block) -> Images:
    size = (block.kernel, block.kernel)
    first = lowering.convolution(
        images,
        block.channels,
        size,
        stride=block.stride,
        is_cyclic=block.is_cyclic,
        activation=block.activation,
    )
    second = lowering.convolution(
        first, block.channels, size, is_cyclic=block.is_cyclic, is_shared=block.has_excitation
    )
    body = _excite(lowering, second, block)
    return lowering.add(body, _shortcut(lowering, images, block), block.activation)


def _residual_where_shape_stays(lowering: Lowering, images: Images, body: Images, keeps: Mask) -> Images:
    return body.put(keeps, lowering.add(images.take(keeps), body.take(keeps)))


def _inverted_bottleneck(lowering: Lowering, images: Images, block: _Block) -> Images:
    hidden, keeps = EXPANSION * images.channels, block.keeps_shape(images)
    wide = lowering.convolution(images, hidden, (1, 1), activation=block.activation)
    filtered = lowering.convolution(
        wide,
        hidden,
        (block.kernel, block.kernel),
        stride=block.stride,
        is_depthwise=True,
        is_cyclic=block.is_cyclic,
        activation=block.activation,
    )
    narrow = lowering.convolution(filtered, block.channels, (1, 1), is_shared=block.has_excitation | ~keeps)
    return _residual_where_shape_stays(lowering, images, _excite(lowering, narrow, block), keeps)


def _depthwise_separable(lowering: Lowering, images: Images, block: _Block) -> Images:
    filtered = lowering.convolution(
        images,
        images.channels,
        (block.kernel, block.kernel),
        stride=block.stride,
        is_depthwise=True,
        is_cyclic=block.is_cyclic,
        activation=block.activation,
    )
    mixed = lowering.convolution(filtered, block.channels, (1, 1), activation=block.activation)
    body = _excite(lowering, mixed, block)
    return _residual_where_shape_stays(lowering, images, body, block.keeps_shape(images))


def _dilated_context(lowering: Lowering, images: Images, block: _Block) -> Images:
    cyclic, act = block.is_cyclic, block.activation
    first = lowering.convolution(
        images, block.channels, (3, 3), stride=block.stride, is_cyclic=cyclic, activation=act
    )
    second = lowering.convolution(first, block.channels, (3, 3), dilation=2, is_cyclic=cyclic, activation=act)
    third = lowering.convolution(second, block.channels, (3, 3), dilation=3, is_cyclic=cyclic, activation=act)
    joined = lowering.concatenate([first, second, third])
    fused = lowering.convolution(joined, block.channels, (1, 1), activation=act)
    return lowering.add(_excite(lowering, fused, block), _shortcut(lowering, images, block))


def _convnext(lowering: Lowering, images: Images, block: _Block) -> Images:
    entered = _shortcut(lowering, images, block, is_shared=True)
    filtered = lowering.convolution(
        entered,
        block.channels,
        (block.kernel, block.kernel),
        is_depthwise=True,
        is_cyclic=block.is_cyclic,
    )
    wide = lowering.convolution(
        filtered, CONVNEXT_EXPANSION * block.channels, (1, 1), activation=block.activation
    )
    narrow = lowering.convolution(wide, block.channels, (1, 1), is_shared=block.has_excitation)
    return lowering.add(entered, _excite(lowering, narrow, block))


_BLOCKS: Mapping[str, Callable[[Lowering, Images, _Block], Images]] = MappingProxyType(
    {
        "basic-residual": _basic_residual,
        "inverted-bottleneck": _inverted_bottleneck,
        "depthwise-separable": _depthwise_separable,
        "dilated-context": _dilated_context,
        "convnext": _convnext,
    }
)


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
    genes: _Genes,
    rule: Callable[[Lowering, _Decoder], Images],
    rows: Index,
    levels: list[Images],
    strides: list[tuple[Ints, Ints]],
) -> None:
    """Decoder, head, and enlarging of the logits to the size of the input."""
    decoder = _Decoder(
        [level.take(rows) for level in levels],
        [(down[rows], across[rows]) for down, across in strides],
        genes.numbers("decoder_width")[rows],
        (genes.numbers("cyclic_padding") != 0)[rows],
        genes.codes("activation")[rows],
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
