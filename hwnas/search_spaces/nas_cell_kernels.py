"""The kernels of many `nas-cell` networks at once; follows `hwnas.models` block by block.

What two edges make of one image alike is made once: backends merge equal operators. All copies of a cell in
a network are alike, so that who reads which image is counted once for a network.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hwnas.architecture import Architecture
from hwnas.kernel_graph.graph import RELU, KernelGraph
from hwnas.kernel_graph.images import Images, Index, Ints, Mask
from hwnas.kernel_graph.kernels import Rows
from hwnas.search_spaces.cells import EDGES, OPERATIONS
from hwnas.search_spaces.decoder_kernels import add_decoders
from hwnas.search_spaces.unet_kernels import Block, Genes, basic_residual

_SKIP, _POOL = OPERATIONS.index("skip_connect"), OPERATIONS.index("avg_pool_3x3")
_KERNELS = {OPERATIONS.index("nor_conv_1x1"): 1, OPERATIONS.index("nor_conv_3x3"): 3}
_INTO = tuple([index for index, edge in enumerate(EDGES) if edge[1] == node] for node in range(4))
_CONVOLVED, _SUMMED, _POOLED, _ABSENT = 10, 100, 1000, -1
"""Labels of images: 0 the input of a cell, then by what made them; those of pools add up."""


def kernels_of_nas_cell(architectures: Sequence[Architecture], block: int) -> tuple[Rows, Index]:
    """Return the kernels of all architectures, and for each the index of the architecture it belongs to.

    Args:
        architectures: of `nas-cell`.
        block: see `KernelGraph`.
    """
    genes = Genes(architectures)
    graph = KernelGraph(block)
    channels, height, width, _ = genes.shapes.T
    image = graph.image(np.arange(len(genes)), channels, height, width, is_blocked=False)
    cyclic, relu = genes.numbers("cyclic_padding") != 0, np.full(len(genes), RELU, np.int32)
    stem, stride = genes.numbers("stem_width"), genes.strides("stem_stride")
    image = graph.convolution(image, stem, (3, 3), stride=stride, is_cyclic=cyclic, activation=relu)
    levels, strides, cells = [image], [], _Cells(genes)
    for stage in range(1, int(genes.numbers("num_stages").max(initial=0)) + 1):
        where = np.flatnonzero(genes.numbers("num_stages") >= stage)
        strides.append(genes.strides(f"stage{stage}_stride"))
        residual = Block(
            stem * 2 ** (stage - 1),
            np.full_like(stem, 3),
            strides[-1],
            np.zeros(len(stem), bool),
            cyclic,
            relu,
        )
        made = basic_residual(graph, levels[-1].take(where), residual.take(where))
        levels.append(cells.stacked(graph, levels[-1].put(where, made), where))
    add_decoders(graph, genes, levels, strides, relu)
    return graph.kernels()


class _Cells:
    """The cells of n networks, and who reads the images in them."""

    def __init__(self, genes: Genes) -> None:
        self._operations = np.stack(
            [genes.operations(f"edge{number}") for number in range(1, len(EDGES) + 1)], axis=1
        )
        self._copies = genes.numbers("cells")
        self._is_cyclic = genes.numbers("cyclic_padding") != 0
        count = len(self._operations)
        self._sources = np.zeros((count, len(EDGES)), np.int64)
        self._made = np.zeros((count, len(EDGES)), np.int64)
        self._sums: list[tuple[Ints, Ints, Ints]] = []
        nodes = [np.zeros(count, np.int64)]
        for into in _INTO[1:]:
            nodes.append(self._label_node(into, nodes))
        self._output = nodes[-1]

    def stacked(self, graph: KernelGraph, images: Images, where: Index) -> Images:
        """Return images after all copies of the cell, in the networks `where` alone."""
        copies = self._copies[where]
        # The residual block in front ends in a ReLU. Simplifying drops one that alone follows it, and does so
        # before equal ones are merged.
        count, rectifies = self._readers(where, np.zeros(len(where), np.int64))
        convolves = np.isin(self._operations[where], list(_KERNELS)) & (self._sources[where] == 0)
        is_dropped = (count == 1) & rectifies & (convolves.sum(axis=1) == 1)
        graph.is_rectified(images.take(where[is_dropped]))
        for copy in range(int(copies.max(initial=0))):
            rows = where[copies > copy]
            follows = self._copies[rows] > copy + 1
            images = images.put(rows, self._cell(graph, images.take(rows), rows, follows))
        return images

    def _label_node(self, into: list[int], nodes: list[Ints]) -> Ints:
        """Label what the edges into a node make, and their sums; return the label of the node."""
        label = np.full(len(nodes[0]), _ABSENT, np.int64)
        for edge in into:
            operation, source = self._operations[:, edge], nodes[EDGES[edge][0]]
            is_convolved = np.isin(operation, list(_KERNELS))
            made = np.where(operation == _POOL, source + _POOLED, source)
            made = np.where(is_convolved, _CONVOLVED + edge, made)
            made = np.where(operation == 0, _ABSENT, made)
            self._sources[:, edge], self._made[:, edge] = source, made
            label = self._label_sum(edge, label, made)
        return label

    def _label_sum(self, edge: int, first: Ints, second: Ints) -> Ints:
        """Label the sum of what a node has so far and what an edge makes; equal sums are one."""
        is_sum = (first != _ABSENT) & (second != _ABSENT)
        label = np.full(len(first), _SUMMED + edge, np.int64)
        is_new = is_sum.copy()
        for one, two, known in self._sums:
            is_same = is_new & (one == first) & (two == second)
            label = np.where(is_same, known, label)
            is_new &= ~is_same
        absent = np.full_like(first, _ABSENT)
        self._sums.append((np.where(is_new, first, absent), np.where(is_new, second, absent), label))
        return np.where(is_sum, label, np.where(first == _ABSENT, second, first))

    def _readers(self, rows: Index, label: Ints) -> tuple[Ints, Mask]:
        """Return how many kernels of a cell read the image of a label, and whether one rectifies it."""
        operations, sources = self._operations[rows], self._sources[rows]
        reads = sources == label[:, None]
        rectifies = (reads & np.isin(operations, list(_KERNELS))).any(axis=1)
        count = rectifies.astype(np.int64) + (reads & (operations == _POOL)).any(axis=1)
        for first, second, _ in self._sums:
            count += (first[rows] == label).astype(np.int64) + (second[rows] == label)
        return count, rectifies

    def _use(self, rows: Index, label: Ints, follows: Mask) -> tuple[Ints, Mask]:
        """Return the activation that becomes part of a kernel, and whether anything but a sum reads it."""
        count, rectifies = self._readers(rows, label)
        is_output = label == self._output[rows]
        more, more_rectifies = self._readers(rows, np.zeros(len(rows), np.int64))
        # Behind the last copy both the next stage, or the decoder, and others read the image.
        count = count + is_output * np.where(follows, more, 2)
        rectifies = rectifies | (is_output & follows & more_rectifies)
        is_fused = (count == 1) & rectifies
        return np.where(is_fused, RELU, 0), count != 1

    def _cell(self, graph: KernelGraph, images: Images, rows: Index, follows: Mask) -> Images:
        nodes = [images]
        for into in _INTO[1:]:
            nodes.append(self._node(graph, nodes, into, rows, follows))
        return nodes[-1]

    def _node(
        self, graph: KernelGraph, nodes: list[Images], into: list[int], rows: Index, follows: Mask
    ) -> Images:
        """Return the sum of what the edges into a node make; any image where there is none."""
        node, label = nodes[0], np.full(len(rows), _ABSENT, np.int64)
        for edge in into:
            made = self._edge(graph, nodes[EDGES[edge][0]], edge, rows, follows)
            is_there = self._made[rows, edge] != _ABSENT
            is_first, is_sum = is_there & (label == _ABSENT), is_there & (label != _ABSENT)
            node = node.put(is_first, made.take(is_first))
            label = np.where(is_first, self._made[rows, edge], label)
            sums = self._sums[edge][2][rows]
            # Only the sum of node 2 can come again, at node 3.
            is_known = is_sum & (sums != _SUMMED + edge)
            node = node.put(is_known, nodes[2].take(is_known)) if is_known.any() else node
            label = np.where(is_sum, sums, label)
            is_sum &= ~is_known
            if is_sum.any():
                added = self._sum(
                    graph,
                    node.take(is_sum),
                    made.take(is_sum),
                    rows[is_sum],
                    sums[is_sum],
                    follows[is_sum],
                )
                node = node.put(is_sum, added)
        return node

    def _sum(
        self, graph: KernelGraph, first: Images, second: Images, rows: Index, label: Ints, follows: Mask
    ) -> Images:
        activation, _ = self._use(rows, label, follows)
        added = graph.add(first, second, activation)
        graph.is_rectified(added.take(activation == RELU))
        return added

    def _edge(self, graph: KernelGraph, images: Images, edge: int, rows: Index, follows: Mask) -> Images:
        """Return what an edge makes of the image it comes from; the image itself where it does nothing."""
        operation, result = self._operations[rows, edge], images
        pooled = operation == _POOL
        result = result.put(pooled, graph.pool(images.take(pooled), self._is_cyclic[rows][pooled]))
        for code, size in _KERNELS.items():
            own = operation == code
            chosen = images.take(own)
            activation, is_shared = self._use(rows[own], np.full(own.sum(), _CONVOLVED + edge), follows[own])
            made = graph.convolution(
                graph.rectified(chosen),
                chosen.channels,
                (size, size),
                is_cyclic=self._is_cyclic[rows][own],
                activation=activation,
                is_shared=is_shared,
            )
            graph.is_rectified(made.take(activation == RELU))
            result = result.put(own, made)
        return result
