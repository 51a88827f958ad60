"""Decoders: from the features of all levels to features at the finest one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hwnas.models.layers import Size, activation, convolution


@dataclass(frozen=True)
class DecoderSettings:
    """What shapes a decoder.

    Attributes:
        channels: of every level, finest first; at least two levels.
        strides: how much coarser each level is than the one before, one fewer than levels.
        width: channels of the decoder's own features.
        is_cyclic: whether left and right edges are neighbours.
        act: activation.
    """

    channels: tuple[int, ...]
    strides: tuple[Size, ...]
    width: int
    is_cyclic: bool = False
    act: str = "relu"


def enlarge(image: Tensor, stride: Size) -> Tensor:
    """Return the image [N, C, H, W] enlarged by whole factors, bilinear between pixel centres."""
    if stride == (1, 1):
        return image
    factors = (float(stride[0]), float(stride[1]))
    return F.interpolate(image, scale_factor=factors, mode="bilinear", align_corners=False)


class PixelShuffle(nn.Module):
    """Enlarges by moving channels to space, by different factors in height and width."""

    def __init__(self, stride: Size) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, image: Tensor) -> Tensor:
        """Return [N, C / (a * b), a * H, b * W] for [N, C, H, W] and stride (a, b)."""
        a, b = self.stride
        if a == b:
            return F.pixel_shuffle(image, a)
        batch, channels, height, width = image.shape
        split = image.reshape(batch, channels // (a * b), a, b, height, width)
        return split.permute(0, 1, 4, 2, 5, 3).reshape(batch, channels // (a * b), a * height, b * width)


class BilinearSum(nn.Module):
    """Project every level to the decoder's width; from the coarsest on enlarge, add and filter."""

    def __init__(self, settings: DecoderSettings) -> None:
        super().__init__()
        self.strides = settings.strides
        self.project = nn.ModuleList(convolution(c, settings.width, 1, act=None) for c in settings.channels)
        self.filter = nn.ModuleList(
            convolution(settings.width, settings.width, 3, is_cyclic=settings.is_cyclic, act=settings.act)
            for _ in settings.strides
        )

    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        """Return [N, width, H, W] of the finest level, given all levels, finest first."""
        result: Tensor = self.project[-1](levels[-1])
        for index in reversed(range(len(self.strides))):
            result = enlarge(result, self.strides[index]) + self.project[index](levels[index])
            result = self.filter[index](result)
        return result


class Concatenation(nn.Module):
    """Enlarge all levels to the finest, concatenate, mix twice, as FIDNet does.

    Source: Zhao et al., "FIDNet: LiDAR Point Cloud Semantic Segmentation with Fully Interpolation
    Decoding", IROS 2021.
    """

    def __init__(self, settings: DecoderSettings) -> None:
        super().__init__()
        self.strides = settings.strides
        self.mix = nn.Sequential(
            convolution(sum(settings.channels), settings.width, 1, act=settings.act),
            convolution(settings.width, settings.width, 1, act=settings.act),
        )

    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        """Return [N, width, H, W] of the finest level, given all levels, finest first."""
        height, width = 1, 1
        enlarged = [levels[0]]
        for level, stride in zip(levels[1:], self.strides, strict=True):
            height, width = height * stride[0], width * stride[1]
            enlarged.append(enlarge(level, (height, width)))
        result: Tensor = self.mix(torch.cat(enlarged, dim=1))
        return result


class LearnedEnlarging(nn.Module):
    """From the coarsest level on enlarge by learned layers, concatenate with the finer level, and filter."""

    def __init__(self, settings: DecoderSettings, enlarging: Callable[[int, Size, str], nn.Module]) -> None:
        super().__init__()
        width = settings.width
        self.enter = convolution(settings.channels[-1], width, 1, act=settings.act)
        self.enlarge = nn.ModuleList(
            nn.Identity() if stride == (1, 1) else enlarging(width, stride, settings.act)
            for stride in settings.strides
        )
        self.fuse = nn.ModuleList(
            convolution(width + c, width, 3, is_cyclic=settings.is_cyclic, act=settings.act)
            for c in settings.channels[:-1]
        )

    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        """Return [N, width, H, W] of the finest level, given all levels, finest first."""
        result: Tensor = self.enter(levels[-1])
        for index in reversed(range(len(self.fuse))):
            enlarged = self.enlarge[index](result)
            result = self.fuse[index](torch.cat([enlarged, levels[index]], dim=1))
        return result


def enlarging_by_shuffle(width: int, stride: Size, act: str) -> nn.Module:
    """Return a convolution to more channels that are then moved to space.

    Source: Shi et al., "Real-Time Single Image and Video Super-Resolution Using an Efficient
    Sub-Pixel Convolutional Neural Network", CVPR 2016.
    """
    return nn.Sequential(
        convolution(width, width * stride[0] * stride[1], 1, act=act),
        PixelShuffle(stride),
    )


def enlarging_by_transposed(width: int, stride: Size, act: str) -> nn.Module:
    """Return a transposed convolution twice as wide as its stride, as in RangeNet++.

    Source: Milioto et al., "RangeNet++: Fast and Accurate LiDAR Semantic Segmentation", IROS 2019.
    """
    kernel = (1 if stride[0] == 1 else 4, 1 if stride[1] == 1 else 4)
    padding = (kernel[0] // 4, kernel[1] // 4)
    return nn.Sequential(
        nn.ConvTranspose2d(width, width, kernel, stride=stride, padding=padding, bias=False),
        nn.BatchNorm2d(width),
        activation(act),
    )


DECODERS: dict[str, Callable[[DecoderSettings], nn.Module]] = {
    "bilinear-sum": BilinearSum,
    "concatenation": Concatenation,
    "pixel-shuffle": partial(LearnedEnlarging, enlarging=enlarging_by_shuffle),
    "transposed-convolution": partial(LearnedEnlarging, enlarging=enlarging_by_transposed),
}
"""Decoders by the name that genes use."""
