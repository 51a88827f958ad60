"""The kernels of many `range-unet` networks at once; follows `hwnas.models` block by block."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import numpy as np

from hwnas.architecture import Architecture
from hwnas.kernel_graph.graph import KernelGraph
from hwnas.kernel_graph.images import Images, Index, Ints, Mask
from hwnas.kernel_graph.kernels import Rows
from hwnas.models.blocks import CONVNEXT_EXPANSION, EXPANSION
from hwnas.search_spaces.decoder_kernels import add_decoders
from hwnas.search_spaces.unet_kernels import CODES_OF_GENES, Block, Genes, basic_residual, excite, shortcut


def kernels_of_range_unet(architectures: Sequence[Architecture], block: int) -> tuple[Rows, Index]:
    """Return the kernels of all architectures, and for each the index of the architecture it belongs to.

    Args:
        architectures: of `range-unet`.
        block: see `KernelGraph`.
    """
    genes = Genes(architectures)
    graph = KernelGraph(block)
    levels, strides = _encoder(graph, genes)
    add_decoders(graph, genes, levels, strides, genes.codes("activation"))
    return graph.kernels()


def _encoder(graph: KernelGraph, genes: Genes) -> tuple[list[Images], list[tuple[Ints, Ints]]]:
    """Return the images of all levels, finest first, and the strides between them."""
    channels, height, width, _ = genes.shapes.T
    image = graph.image(np.arange(len(genes)), channels, height, width, is_blocked=False)
    cyclic, activation = genes.numbers("cyclic_padding") != 0, genes.codes("activation")
    image = graph.convolution(
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
        block = Block(
            genes.numbers(prefix + "width"),
            genes.numbers(prefix + "kernel"),
            genes.strides(prefix + "stride"),
            genes.numbers(prefix + "squeeze_excite") != 0,
            cyclic,
            activation,
        )
        strides.append(block.stride)
        levels.append(_stage(graph, levels[-1], block, genes.codes(prefix + "block"), genes, prefix))
    return levels, strides


def _stage(
    graph: KernelGraph, images: Images, block: Block, kinds: Ints, genes: Genes, prefix: str
) -> Images:
    depth = genes.numbers(prefix + "depth")
    for name, rule in _BLOCKS.items():
        for repeat in range(int(depth.max(initial=0))):
            where = (kinds == CODES_OF_GENES["block"][name]) & (depth > repeat)
            if where.any():
                chosen = block.take(where) if repeat == 0 else block.take(where).repeated()
                images = images.put(where, rule(graph, images.take(where), chosen))
    return images


def _residual_where_shape_stays(graph: KernelGraph, images: Images, body: Images, keeps: Mask) -> Images:
    return body.put(keeps, graph.add(images.take(keeps), body.take(keeps)))


def _inverted_bottleneck(graph: KernelGraph, images: Images, block: Block) -> Images:
    hidden, keeps = EXPANSION * images.channels, block.keeps_shape(images)
    wide = graph.convolution(images, hidden, (1, 1), activation=block.activation)
    filtered = graph.convolution(
        wide,
        hidden,
        (block.kernel, block.kernel),
        stride=block.stride,
        is_depthwise=True,
        is_cyclic=block.is_cyclic,
        activation=block.activation,
    )
    narrow = graph.convolution(filtered, block.channels, (1, 1), is_shared=block.has_excitation | ~keeps)
    return _residual_where_shape_stays(graph, images, excite(graph, narrow, block), keeps)


def _depthwise_separable(graph: KernelGraph, images: Images, block: Block) -> Images:
    filtered = graph.convolution(
        images,
        images.channels,
        (block.kernel, block.kernel),
        stride=block.stride,
        is_depthwise=True,
        is_cyclic=block.is_cyclic,
        activation=block.activation,
    )
    mixed = graph.convolution(filtered, block.channels, (1, 1), activation=block.activation)
    body = excite(graph, mixed, block)
    return _residual_where_shape_stays(graph, images, body, block.keeps_shape(images))


def _dilated_context(graph: KernelGraph, images: Images, block: Block) -> Images:
    cyclic, act = block.is_cyclic, block.activation
    first = graph.convolution(
        images, block.channels, (3, 3), stride=block.stride, is_cyclic=cyclic, activation=act
    )
    second = graph.convolution(first, block.channels, (3, 3), dilation=2, is_cyclic=cyclic, activation=act)
    third = graph.convolution(second, block.channels, (3, 3), dilation=3, is_cyclic=cyclic, activation=act)
    joined = graph.concatenate([first, second, third])
    fused = graph.convolution(joined, block.channels, (1, 1), activation=act)
    return graph.add(excite(graph, fused, block), shortcut(graph, images, block))


def _convnext(graph: KernelGraph, images: Images, block: Block) -> Images:
    entered = shortcut(graph, images, block, is_shared=True)
    filtered = graph.convolution(
        entered,
        block.channels,
        (block.kernel, block.kernel),
        is_depthwise=True,
        is_cyclic=block.is_cyclic,
    )
    wide = graph.convolution(
        filtered, CONVNEXT_EXPANSION * block.channels, (1, 1), activation=block.activation
    )
    narrow = graph.convolution(wide, block.channels, (1, 1), is_shared=block.has_excitation)
    return graph.add(entered, excite(graph, narrow, block))


_BLOCKS: Mapping[str, Callable[[KernelGraph, Images, Block], Images]] = MappingProxyType(
    {
        "basic-residual": basic_residual,
        "inverted-bottleneck": _inverted_bottleneck,
        "depthwise-separable": _depthwise_separable,
        "dilated-context": _dilated_context,
        "convnext": _convnext,
    }
)
