"""Heads for any output that a task asks for, on the levels of an encoder."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from hwnas.io_spec import OutputSpec
from hwnas.models.layers import Size, convolution


class VectorHead(nn.Module):
    """Mean over the deepest level, then a linear layer: [N, C, H, W] to [N, channels]."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.linear = nn.Linear(in_channels, channels)

    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        """Return [N, channels]."""
        vector: Tensor = self.linear(levels[-1].mean(dim=(2, 3)))
        return vector


class MapHead(nn.Module):
    """A map of one resolution, from the level next to it and the deepest one, which sees most.

    The sum of both at the finer size is that of Lin et al., "Feature Pyramid Networks", CVPR 2017.
    """

    def __init__(
        self, level_channels: Sequence[int], level: int, channels: int, size: Size, *, is_cyclic: bool
    ) -> None:
        """Build a head.

        Args:
            level_channels: channels of every level of the encoder.
            level: whose resolution is worked at.
            channels: of the map.
            size: of the map; another one than that of the level is interpolated.
            is_cyclic: whether left and right edges are neighbours.
        """
        super().__init__()
        self._level, self._size = level, size
        width = level_channels[level]
        self.deepest = nn.Conv2d(level_channels[-1], width, 1) if level < len(level_channels) - 1 else None
        self.mix = convolution(width, width, 3, is_cyclic=is_cyclic)
        self.out = nn.Conv2d(width, channels, 1)

    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        """Return [N, channels, H, W]."""
        image = levels[self._level]
        if self.deepest is not None:
            image = image + F.interpolate(self.deepest(levels[-1]), size=image.shape[2:], mode="nearest")
        found: Tensor = self.out(self.mix(image))
        if found.shape[2:] != self._size:
            found = F.interpolate(found, size=self._size, mode="bilinear", align_corners=False)
        return found


def make_head(
    output: OutputSpec,
    level_channels: Sequence[int],
    level_strides: Sequence[int],
    input_size: Size,
    *,
    is_cyclic: bool = False,
) -> VectorHead | MapHead:
    """Return what makes one output out of the levels of an encoder, finest first.

    Args:
        output: wanted.
        level_channels: of every level.
        level_strides: input pixels for each pixel of every level.
        input_size: of the network.
        is_cyclic: whether left and right edges are neighbours.
    """
    if output.stride is None:
        return VectorHead(level_channels[-1], output.channels)
    _, height, width = output.shape(*input_size)
    level = map_level(output.stride, level_strides)
    return MapHead(level_channels, level, output.channels, (height, width), is_cyclic=is_cyclic)


def map_level(stride: int, level_strides: Sequence[int]) -> int:
    """Return the coarsest level that is no coarser than a map of `stride`, or else the finest one."""
    fine = [level for level, of_level in enumerate(level_strides) if of_level <= stride]
    return fine[-1] if fine else 0
