"""Blocks of an encoder: [N, C_in, H, W] to [N, C_out, H / stride, W / stride]."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hwnas.models.layers import Size, SqueezeExcite, activation, convolution

EXPANSION = 3
"""Widening of the inverted bottleneck."""
CONVNEXT_EXPANSION = 4


@dataclass(frozen=True)
class BlockSettings:
    """Everything that shapes one block; `kernel` is 3 where the block has a fixed one."""

    in_channels: int
    out_channels: int
    kernel: int = 3
    stride: Size = (1, 1)
    has_squeeze_excite: bool = False
    is_cyclic: bool = False
    act: str = "relu"

    @property
    def keeps_shape(self) -> bool:
        """Whether output and input can be added as they are."""
        return self.in_channels == self.out_channels and self.stride == (1, 1)


def _shortcut(settings: BlockSettings) -> nn.Module:
    if settings.keeps_shape:
        return nn.Identity()
    return convolution(settings.in_channels, settings.out_channels, 1, stride=settings.stride, act=None)


def _excite(settings: BlockSettings) -> nn.Module:
    return SqueezeExcite(settings.out_channels) if settings.has_squeeze_excite else nn.Identity()


class BasicResidual(nn.Module):
    """Two k x k convolutions and a shortcut.

    Source: He et al., "Deep Residual Learning for Image Recognition", CVPR 2016.
    """

    def __init__(self, settings: BlockSettings) -> None:
        super().__init__()
        c, k, cyclic = settings.out_channels, settings.kernel, settings.is_cyclic
        self.body = nn.Sequential(
            convolution(
                settings.in_channels, c, k, stride=settings.stride, is_cyclic=cyclic, act=settings.act
            ),
            convolution(c, c, k, is_cyclic=cyclic, act=None),
            _excite(settings),
        )
        self.shortcut = _shortcut(settings)
        self.act = activation(settings.act)

    def forward(self, image: Tensor) -> Tensor:
        """Return the block's output."""
        result: Tensor = self.act(self.body(image) + self.shortcut(image))
        return result


class InvertedBottleneck(nn.Module):
    """Widen, filter each channel, narrow; a shortcut where the shape stays.

    Source: Sandler et al., "MobileNetV2", CVPR 2018.
    """

    def __init__(self, settings: BlockSettings) -> None:
        super().__init__()
        hidden = EXPANSION * settings.in_channels
        self.body = nn.Sequential(
            convolution(settings.in_channels, hidden, 1, act=settings.act),
            convolution(
                hidden,
                hidden,
                settings.kernel,
                stride=settings.stride,
                groups=hidden,
                is_cyclic=settings.is_cyclic,
                act=settings.act,
            ),
            convolution(hidden, settings.out_channels, 1, act=None),
            _excite(settings),
        )
        self.is_residual = settings.keeps_shape

    def forward(self, image: Tensor) -> Tensor:
        """Return the block's output."""
        result: Tensor = self.body(image)
        return image + result if self.is_residual else result


class DepthwiseSeparable(nn.Module):
    """Filter each channel, then mix them; a shortcut where the shape stays.

    Source: Howard et al., "MobileNets", arXiv 1704.04861.
    """

    def __init__(self, settings: BlockSettings) -> None:
        super().__init__()
        c = settings.in_channels
        self.body = nn.Sequential(
            convolution(
                c,
                c,
                settings.kernel,
                stride=settings.stride,
                groups=c,
                is_cyclic=settings.is_cyclic,
                act=settings.act,
            ),
            convolution(c, settings.out_channels, 1, act=settings.act),
            _excite(settings),
        )
        self.is_residual = settings.keeps_shape

    def forward(self, image: Tensor) -> Tensor:
        """Return the block's output."""
        result: Tensor = self.body(image)
        return image + result if self.is_residual else result


class DilatedContext(nn.Module):
    """Three 3 x 3 convolutions of growing dilation, fused, beside a 1 x 1 shortcut.

    After SalsaNext's residual block, with odd kernels throughout, since accelerators lack
    dilated even ones.

    Source: Cortinhal et al., "SalsaNext", ISVC 2020.
    """

    def __init__(self, settings: BlockSettings) -> None:
        super().__init__()
        c, cyclic, act = settings.out_channels, settings.is_cyclic, settings.act
        self.first = convolution(
            settings.in_channels, c, 3, stride=settings.stride, is_cyclic=cyclic, act=act
        )
        self.second = convolution(c, c, 3, dilation=2, is_cyclic=cyclic, act=act)
        self.third = convolution(c, c, 3, dilation=3, is_cyclic=cyclic, act=act)
        self.fuse = nn.Sequential(convolution(3 * c, c, 1, act=act), _excite(settings))
        self.shortcut = _shortcut(settings)

    def forward(self, image: Tensor) -> Tensor:
        """Return the block's output."""
        first = self.first(image)
        second = self.second(first)
        third = self.third(second)
        result: Tensor = self.fuse(torch.cat([first, second, third], dim=1)) + self.shortcut(image)
        return result


class ConvNextLike(nn.Module):
    """Depthwise k x k, then a two-layer perceptron at every pixel, and a shortcut.

    Batch instead of layer normalisation, so that runtimes fold it into the convolution.

    Source: Liu et al., "A ConvNet for the 2020s", CVPR 2022.
    """

    def __init__(self, settings: BlockSettings) -> None:
        super().__init__()
        c = settings.out_channels
        self.entry = _shortcut(settings)
        self.body = nn.Sequential(
            convolution(c, c, settings.kernel, groups=c, is_cyclic=settings.is_cyclic, act=None),
            convolution(c, CONVNEXT_EXPANSION * c, 1, act=settings.act),
            convolution(CONVNEXT_EXPANSION * c, c, 1, act=None),
            _excite(settings),
        )

    def forward(self, image: Tensor) -> Tensor:
        """Return the block's output."""
        entered: Tensor = self.entry(image)
        result: Tensor = entered + self.body(entered)
        return result


BLOCKS: dict[str, Callable[[BlockSettings], nn.Module]] = {
    "basic-residual": BasicResidual,
    "inverted-bottleneck": InvertedBottleneck,
    "depthwise-separable": DepthwiseSeparable,
    "dilated-context": DilatedContext,
    "convnext": ConvNextLike,
}
"""Block types by the name that genes use."""

FIXED_KERNEL = frozenset({"dilated-context"})
"""Block types that have no kernel gene."""
