"""SalsaNext.

Source: Cortinhal et al., "SalsaNext: Fast, Uncertainty-aware Semantic Segmentation of LiDAR Point
Clouds for Autonomous Driving", ISVC 2020, without the uncertainty.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from hwnas.models.baselines.scaling import scaled

WIDTHS = (32, 64, 128, 256, 256)
DROPOUT = 0.2
NEGATIVE_SLOPE = 0.01


def _layer(in_channels: int, out_channels: int, kernel: int, *, dilation: int = 1) -> nn.Sequential:
    """Convolution, activation, normalisation, in this order; the size stays."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel, padding=dilation * (kernel - 1) // 2, dilation=dilation),
        nn.LeakyReLU(NEGATIVE_SLOPE),
        nn.BatchNorm2d(out_channels),
    )


def _shortcut(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(in_channels, out_channels, 1), nn.LeakyReLU(NEGATIVE_SLOPE))


class _Context(nn.Module):
    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.shortcut = _shortcut(in_channels, out_channels)
        self.body = nn.Sequential(
            _layer(out_channels, out_channels, 3), _layer(out_channels, out_channels, 3, dilation=2)
        )

    def forward(self, image: Tensor) -> Tensor:
        shortcut = self.shortcut(image)
        result: Tensor = shortcut + self.body(shortcut)
        return result


class _Fused(nn.Module):
    """Three layers in a row, the last with an even kernel, and a 1 x 1 layer on all their outputs."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.first = _layer(in_channels, out_channels, 3)
        self.second = _layer(out_channels, out_channels, 3, dilation=2)
        self.third = _layer(out_channels, out_channels, 2, dilation=2)
        self.fuse = _layer(3 * out_channels, out_channels, 1)

    def forward(self, image: Tensor) -> Tensor:
        first = self.first(image)
        second = self.second(first)
        result: Tensor = self.fuse(torch.cat([first, second, self.third(second)], dim=1))
        return result


class _Residual(nn.Module):
    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.shortcut = _shortcut(in_channels, out_channels)
        self.body = _Fused(in_channels, out_channels)

    def forward(self, image: Tensor) -> Tensor:
        result: Tensor = self.shortcut(image) + self.body(image)
        return result


class _Up(nn.Module):
    def __init__(self, in_channels: int, skip_channels: int, out_channels: int, dropout: float) -> None:
        super().__init__()
        self.shuffle = nn.PixelShuffle(2)
        self.dropout = nn.Dropout2d(dropout)
        self.body = _Fused(in_channels // 4 + skip_channels, out_channels)

    def forward(self, image: Tensor, skip: Tensor) -> Tensor:
        enlarged = self.dropout(self.shuffle(image))
        joined = self.dropout(torch.cat([enlarged, skip], dim=1))
        result: Tensor = self.dropout(self.body(joined))
        return result


class SalsaNext(nn.Module):
    """Dilated residual encoder, pixel-shuffle decoder; height and width must be multiples of 16."""

    def __init__(self, in_channels: int = 5, num_classes: int = 20, width_multiplier: float = 1.0) -> None:
        """Build with all channels but those of image and classes times `width_multiplier`."""
        super().__init__()
        widths = scaled(WIDTHS, width_multiplier)
        first, last = widths[0], widths[-1]
        self.context = nn.Sequential(
            _Context(in_channels, first), _Context(first, first), _Context(first, first)
        )
        self.encoder = nn.ModuleList(_Residual(a, b) for a, b in pairwise(widths))
        self.dropout = nn.Dropout2d(DROPOUT)
        self.pool = nn.AvgPool2d(3, stride=2, padding=1)
        self.middle = _Residual(last, last)
        self.decoder = nn.ModuleList()
        # Widths of the decoder: 128, 128, 64, 32 in the network as published.
        wide = last
        for skip, narrow in zip(reversed(widths[1:]), (widths[2], *reversed(widths[:3])), strict=True):
            self.decoder.append(_Up(wide, skip, narrow, 0.0 if narrow == first else DROPOUT))
            wide = narrow
        self.head = nn.Conv2d(first, num_classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Return logits [N, K, H, W] for images [N, C, H, W]."""
        result, skips = self.context(image), []
        for index, block in enumerate(self.encoder):
            skips.append(block(result))
            result = self.pool(self.dropout(skips[-1]) if index else skips[-1])
        result = self.dropout(self.middle(result))
        for block, skip in zip(self.decoder, reversed(skips), strict=True):
            result = block(result, skip)
        logits: Tensor = self.head(result)
        return logits
