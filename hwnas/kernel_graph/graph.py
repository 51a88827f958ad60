"""What ONNX Runtime's processor kernels make of many networks at once.

On processors with wide registers ONNX Runtime keeps images blocked: channels in groups of 8 or 16 that lie
side by side. Convolutions, sums and resizing work on blocked images; other operators need plain ones, and a
`reorder` stands wherever an image changes over. This module follows the images of many networks through that
rule, one array element a network, and writes down the kernels that run.

Source of the rules: onnxruntime/core/optimizer/nchwc_transformer.cc; the tests compare with graphs that
ONNX Runtime has optimised itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from hwnas.kernel_graph.images import Images, Index, Ints, Mask
from hwnas.kernel_graph.kernels import (
    ACTIVATION,
    ACTIVATIONS,
    ADDS,
    CODES,
    COLUMNS,
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

RELU, HARDSWISH, HARDSIGMOID = (ACTIVATIONS[name] for name in ("Relu", "HardSwish", "HardSigmoid"))


class KernelGraph:
    """Follows images and collects kernels."""

    def __init__(self, block: int) -> None:
        """Start with no network.

        Args:
            block: channels of a block, 16 or 8; 1 where the backend keeps images plain.
        """
        self.block = block
        self._rows: list[Rows] = []
        self._owners: list[Index] = []
        self._num_rows = 0
        self._num_images = 0
        self._is_blocked = np.zeros(0, bool)
        self._is_plain = np.zeros(0, bool)
        self._has_copy = np.zeros(0, bool)
        self._fusable = np.zeros(0, np.intp)
        # What was made of an image is made once: by activation, by pooling, by going on over its edges.
        self._made = {how: np.zeros(0, np.intp) for how in ("relu", "pool", "continued")}
        self._margins = np.zeros(0, np.int32)
        self._sums: list[tuple[Index, Ints]] = []

    def kernels(self) -> tuple[Rows, Index]:
        """Return all rows and, for each, the number of the network it belongs to."""
        if not self._rows:
            return np.zeros((0, len(COLUMNS)), np.int32), np.zeros(0, np.intp)
        rows = np.concatenate(self._rows)
        for index, activation in self._sums:
            rows[index, ADDS] = 1
            rows[index, ACTIVATION] = activation
        return rows, np.concatenate(self._owners)

    def image(
        self, networks: Index, channels: Ints, height: Ints, width: Ints, *, is_blocked: bool | Mask
    ) -> Images:
        """Return new images that no kernel has written yet; plain ones unless `is_blocked`."""
        count = len(networks)
        ids = np.arange(self._num_images, self._num_images + count)
        self._num_images += count
        if self._num_images > len(self._is_blocked):
            room = max(self._num_images, 2 * len(self._is_blocked)) - len(self._is_blocked)
            self._is_blocked = np.concatenate([self._is_blocked, np.zeros(room, bool)])
            self._is_plain = np.concatenate([self._is_plain, np.zeros(room, bool)])
            self._has_copy = np.concatenate([self._has_copy, np.zeros(room, bool)])
            self._fusable = np.concatenate([self._fusable, np.full(room, -1)])
            self._margins = np.concatenate([self._margins, np.zeros(room, np.int32)])
            for how, made in self._made.items():
                self._made[how] = np.concatenate([made, np.full(room, -1)])
        self._is_blocked[ids] = is_blocked
        self._is_plain[ids] = np.logical_not(is_blocked)
        self._has_copy[ids] = False
        self._fusable[ids] = -1
        return Images(networks, ids, channels, height, width)

    def convolution(
        self,
        images: Images,
        out_channels: Ints,
        kernel: tuple[Ints | int, Ints | int],
        *,
        stride: tuple[Ints | int, Ints | int] = (1, 1),
        dilation: Ints | int = 1,
        is_depthwise: bool = False,
        is_cyclic: Mask | bool = False,
        activation: Ints | int = 0,
        is_shared: Mask | bool = False,
    ) -> Images:
        """Convolve; the activation is part of the kernel.

        Args:
            images: read; continued over left and right first where `is_cyclic` and the kernel is wide.
            out_channels: of the result.
            kernel: taps in height and width.
            stride: in height and width.
            dilation: of the taps.
            is_depthwise: one filter a channel.
            is_cyclic: whether left and right edges are neighbours.
            activation: code.
            is_shared: whether anything but a sum that comes next reads the result.
        """
        height, width = images.height // stride[0], images.width // stride[1]
        margin = np.broadcast_to(np.asarray(dilation) * (np.asarray(kernel[1]) - 1) // 2, len(width))
        images = self._continued(images, margin * np.asarray(is_cyclic))
        is_direct = np.zeros(len(width), bool) if is_depthwise else images.channels < self.block
        reads_blocked = ~is_direct & (self.block > 1)
        self.need_blocked(images.take(reads_blocked))
        self.need_plain(images.take(~reads_blocked))
        in_channels = np.where(is_direct, images.channels, self._padded(images.channels))
        padded = self._padded(out_channels)
        kind = self._convolution_kinds(in_channels, height * width, np.multiply(*kernel), is_depthwise)
        first = self._emit(
            images.networks,
            kind,
            {
                IN: in_channels,
                OUT: padded,
                HEIGHT: height,
                WIDTH: width,
                KERNEL_H: kernel[0],
                KERNEL_W: kernel[1],
                STRIDE_H: stride[0],
                STRIDE_W: stride[1],
                DILATION: dilation,
                ACTIVATION: activation,
            },
        )
        result = self.image(images.networks, out_channels, height, width, is_blocked=self.block > 1)
        is_fusable = (np.broadcast_to(activation, len(width)) == 0) & ~np.broadcast_to(is_shared, len(width))
        self._fusable[result.ids] = np.where(is_fusable, first + np.arange(len(width)), -1)
        return result

    def add(self, first: Images, second: Images, activation: Ints | int = 0) -> Images:
        """Add two images, into a convolution where one of them is its only use, and activate."""
        activation = np.broadcast_to(np.asarray(activation, np.int32), len(first.ids))
        are_blocked = self._is_blocked[first.ids] & self._is_blocked[second.ids]
        into_first = are_blocked & (self._fusable[first.ids] >= 0)
        into_second = are_blocked & ~into_first & (self._fusable[second.ids] >= 0)
        is_fused = into_first | into_second
        rows = np.where(into_first, self._fusable[first.ids], self._fusable[second.ids])
        self._sums.append((rows[is_fused], activation[is_fused]))
        for images in (first, second):
            self.need_plain(images.take(~are_blocked))
        alone = ~is_fused
        padded = np.where(are_blocked, self._padded(first.channels), first.channels)
        self._emit_elementwise(first.take(alone), "add", padded[alone])
        result = self.image(first.networks, first.channels, first.height, first.width, is_blocked=are_blocked)
        is_left = (activation != 0) & ~is_fused
        return result.put(is_left, self.activate(result.take(is_left), activation[is_left]))

    def rectified(self, images: Images) -> Images:
        """Return ReLU of images, by kernels of its own that run once for each image."""
        relu = np.full(len(images.ids), RELU)
        return self._once("relu", images, lambda fresh: self.activate(fresh, relu[: len(fresh.ids)]))

    def is_rectified(self, images: Images) -> None:
        """Remember that a kernel has rectified these already."""
        self._made["relu"][images.ids] = images.ids

    def pool(self, images: Images, is_cyclic: Mask) -> Images:
        """Return the mean of 3 x 3 pixels, once for each image; blocked where it fills its blocks.

        Args:
            images: read; continued over left and right first where `is_cyclic`.
            is_cyclic: whether left and right edges are neighbours.
        """
        margins = np.zeros(len(self._margins), np.int32)
        margins[images.ids] = is_cyclic
        return self._once("pool", images, lambda fresh: self._pooled(fresh, margins[fresh.ids]))

    def _pooled(self, images: Images, margin: Ints) -> Images:
        read = self._continued(images, margin)
        is_blocked = (images.channels % self.block == 0) & (self.block > 1)
        self.need_blocked(read.take(is_blocked))
        self.need_plain(read.take(~is_blocked))
        self._emit_elementwise(images, "pool")
        return self.image(
            images.networks, images.channels, images.height, images.width, is_blocked=is_blocked
        )

    def _once(self, how: str, images: Images, make: Callable[[Images], Images]) -> Images:
        """Return what `make` makes of images, anew only for those that it was not made of yet."""
        fresh = images.take(self._made[how][images.ids] < 0)
        made = make(fresh)
        self._made[how][fresh.ids] = made.ids
        return replace(images, ids=self._made[how][images.ids])

    def activate(self, images: Images, activation: Ints) -> Images:
        """Activate by kernels of their own."""
        is_relu = activation == RELU
        own = images.take(is_relu)
        channels = np.where(self._is_blocked[own.ids], self._padded(own.channels), own.channels)
        self._emit_elementwise(own, "activation", channels, activation=RELU)
        rest = images.take(~is_relu)
        self.need_plain(rest)
        # ONNX Runtime has no such kernel: it multiplies with a hard sigmoid.
        self._emit_elementwise(rest, "activation", activation=HARDSIGMOID)
        self._emit_elementwise(rest, "multiply")
        is_blocked = self._is_blocked[images.ids] & is_relu
        return self.image(
            images.networks, images.channels, images.height, images.width, is_blocked=is_blocked
        )

    def scale_channels(self, images: Images, hidden: Ints) -> Images:
        """Weigh channels by the image's mean: two convolutions of one pixel, and a product."""
        self.need_plain(images)
        self._emit_elementwise(images, "mean")
        one = np.ones_like(images.height)
        mean = self.image(images.networks, images.channels, one, one, is_blocked=False)
        narrow = self.convolution(mean, hidden, (1, 1), activation=RELU)
        weights = self.convolution(narrow, images.channels, (1, 1), activation=HARDSIGMOID)
        self.need_plain(weights)
        self._emit_elementwise(images, "scale")
        return self.image(images.networks, images.channels, images.height, images.width, is_blocked=False)

    def resize(self, images: Images, stride: tuple[Ints, Ints]) -> Images:
        """Enlarge, bilinear, in the layout that the image has."""
        is_blocked = self._is_blocked[images.ids]
        channels = np.where(is_blocked, self._padded(images.channels), images.channels)
        height, width = images.height * stride[0], images.width * stride[1]
        values = {IN: channels, OUT: channels, HEIGHT: height, WIDTH: width}
        kinds = np.where(is_blocked, CODES["blocked-resize"], CODES["resize"])
        self._emit(images.networks, kinds, {**values, STRIDE_H: stride[0], STRIDE_W: stride[1]})
        return self.image(images.networks, images.channels, height, width, is_blocked=is_blocked)

    def transposed(self, images: Images, stride: tuple[Ints, Ints], activation: Ints) -> Images:
        """Enlarge by a transposed convolution twice as wide as its stride, and activate."""
        self.need_plain(images)
        height, width = images.height * stride[0], images.width * stride[1]
        self._emit(
            images.networks,
            CODES["transposed-convolution"],
            {
                IN: images.channels,
                OUT: images.channels,
                HEIGHT: height,
                WIDTH: width,
                KERNEL_H: np.where(stride[0] == 1, 1, 4),
                KERNEL_W: np.where(stride[1] == 1, 1, 4),
                STRIDE_H: stride[0],
                STRIDE_W: stride[1],
                DILATION: 1,
            },
        )
        result = self.image(images.networks, images.channels, height, width, is_blocked=False)
        return self.activate(result, activation)

    def shuffle(self, images: Images, stride: tuple[Ints, Ints]) -> Images:
        """Move channels to space; plain."""
        self.need_plain(images)
        channels = images.channels // (stride[0] * stride[1])
        height, width = images.height * stride[0], images.width * stride[1]
        values = {IN: 1, OUT: 1, HEIGHT: 1, WIDTH: channels * height * width}
        self._emit(images.networks, CODES["move"], {**values, STRIDE_H: stride[0], STRIDE_W: stride[1]})
        return self.image(images.networks, channels, height, width, is_blocked=False)

    def concatenate(self, parts: list[Images]) -> Images:
        """Concatenate channels: blocked where all parts are and fill their blocks."""
        channels: Ints = np.stack([part.channels for part in parts]).sum(axis=0)
        blocked = [self._is_blocked[part.ids] & (part.channels % self.block == 0) for part in parts]
        is_blocked = np.logical_and.reduce(blocked) & (self.block > 1)
        for part in parts:
            self.need_plain(part.take(~is_blocked))
        first = parts[0]
        self._emit_elementwise(first, "concatenation", channels)
        return self.image(first.networks, channels, first.height, first.width, is_blocked=is_blocked)

    def need_plain(self, images: Images) -> None:
        """Write a plain copy of those that have none."""
        missing = images.take(~self._is_plain[images.ids])
        self._emit_elementwise(missing, "reorder-output", self._padded(missing.channels))
        self._is_plain[missing.ids] = True

    def need_blocked(self, images: Images) -> None:
        """Write a blocked copy of those that have none."""
        missing = images.take(~(self._is_blocked | self._has_copy)[images.ids])
        self._emit_elementwise(missing, "reorder-input")
        # A copy serves convolutions only; sums, resizing and concatenation look at the original.
        self._has_copy[missing.ids] = True

    def _continued(self, images: Images, margin: Ints) -> Images:
        """Return the images continued by `margin` columns on both sides: two slices and a concatenation."""
        where = margin > 0
        wide, columns = images.take(where), margin[where]
        is_there = (self._made["continued"][wide.ids] >= 0) & (self._margins[wide.ids] == columns)
        there, margins = wide.take(is_there), columns[is_there]
        known = replace(there, ids=self._made["continued"][there.ids], width=there.width + 2 * margins)
        images = images.put(np.flatnonzero(where)[is_there], known)
        where = np.flatnonzero(where)[~is_there]
        wide, columns = wide.take(~is_there), columns[~is_there]
        self.need_plain(wide)
        for _ in range(2):
            values = {IN: wide.channels, OUT: wide.channels, HEIGHT: wide.height, WIDTH: columns}
            self._emit(wide.networks, CODES["slice"], values)
        result = self.image(
            wide.networks, wide.channels, wide.height, wide.width + 2 * columns, is_blocked=False
        )
        self._emit_elementwise(result, "pad")
        self._made["continued"][wide.ids] = result.ids
        self._margins[wide.ids] = columns
        return images.put(where, result)

    def _convolution_kinds(
        self,
        in_channels: Ints,
        pixels: Ints,
        taps: Ints | int,
        is_depthwise: bool,  # noqa: FBT001
    ) -> Ints:
        """Return the codes that `convolution_kind` names."""
        if is_depthwise:
            return np.full(len(pixels), CODES["depthwise"], np.int32)
        kinds = np.where(np.asarray(taps) == 1, CODES["pointwise"], CODES["convolution"])
        kinds = np.where((in_channels % 4 != 0) | (in_channels < 16), CODES["direct-convolution"], kinds)
        return np.where(pixels == 1, CODES["vector-convolution"], kinds).astype(np.int32)

    def _padded(self, channels: Ints) -> Ints:
        return -(-channels // self.block) * self.block

    def _emit_elementwise(
        self, images: Images, kind: str, channels: Ints | None = None, activation: int = 0
    ) -> None:
        count = images.channels if channels is None else channels
        values: dict[int, Ints | int] = {
            IN: count,
            OUT: count,
            HEIGHT: images.height,
            WIDTH: images.width,
            ACTIVATION: activation,
        }
        self._emit(images.networks, CODES[kind], values)

    def _emit(self, networks: Index, kind: Ints | int, values: Mapping[int, Ints | int]) -> int:
        """Add one kernel for each network and return the number of the first one."""
        rows = np.zeros((len(networks), len(COLUMNS)), np.int32)
        rows[:, KIND] = kind
        for column, value in values.items():
            rows[:, column] = value
        first = self._num_rows
        self._rows.append(rows)
        self._owners.append(networks)
        self._num_rows += len(networks)
        return first
