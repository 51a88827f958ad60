"""FIDNet and CENet: a ResNet-34 of constant width whose levels are enlarged and concatenated.

Sources: Zhao et al., "FIDNet: LiDAR Point Cloud Semantic Segmentation with Fully Interpolation
Decoding", IROS 2021. Cheng et al., "CENet: Toward Concise and Efficient LiDAR Semantic
Segmentation for Autonomous Driving", ICME 2022, without its heads for training only.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

DEPTHS = (3, 4, 6, 3)
WIDTH = 128
Activation = Callable[[], nn.Module]


def _layer(
    in_channels: int, out_channels: int, kernel: int, act: Activation | None, stride: int = 1
) -> nn.Sequential:
    layers: list[nn.Module] = [
        nn.Conv2d(in_channels, out_channels, kernel, stride=stride, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(out_channels),
    ]
    return nn.Sequential(*layers, *([act()] if act else []))


class _BasicBlock(nn.Module):
    def __init__(self, in_channels: int, stride: int, act: Activation) -> None:
        super().__init__()
        self.body = nn.Sequential(_layer(in_channels, WIDTH, 3, act, stride), _layer(WIDTH, WIDTH, 3, None))
        keeps_shape = in_channels == WIDTH and stride == 1
        self.shortcut = nn.Identity() if keeps_shape else _layer(in_channels, WIDTH, 1, None, stride)
        self.act = act()

    def forward(self, image: Tensor) -> Tensor:
        result: Tensor = self.act(self.body(image) + self.shortcut(image))
        return result


class _Levels(nn.Module):
    """Four stages; returns the input and all their outputs, concatenated at the size of the input."""

    def __init__(self, in_channels: int, act: Activation) -> None:
        super().__init__()
        self.stages = nn.ModuleList()
        for depth, stride in zip(DEPTHS, (1, 2, 2, 2), strict=True):
            first = _BasicBlock(in_channels, stride, act)
            self.stages.append(nn.Sequential(first, *(_BasicBlock(WIDTH, 1, act) for _ in range(depth - 1))))
            in_channels = WIDTH

    def forward(self, image: Tensor) -> Tensor:
        size, levels, level = image.shape[2:], [image], image
        for index, stage in enumerate(self.stages):
            level = stage(level)
            whole = F.interpolate(level, size, mode="bilinear", align_corners=True) if index else level
            levels.append(whole)
        return torch.cat(levels, dim=1)


class FIDNet34(nn.Module):
    """Point-wise embedding, ResNet-34 levels, point-wise classifier.

    Published with eight channels: coordinates, range, remission and a surface normal.
    """

    def __init__(self, in_channels: int = 8, num_classes: int = 20) -> None:
        super().__init__()
        widths = (in_channels, 64, 128, 256, 512)
        act = nn.LeakyReLU
        self.stem = nn.Sequential()
        for a, b in pairwise(widths):
            self.stem.extend([nn.Conv2d(a, b, 1), nn.BatchNorm2d(b), act()])
        self.levels = _Levels(widths[-1], act)
        joined = widths[-1] + len(DEPTHS) * WIDTH
        self.head = nn.Sequential(
            _layer(joined, 512, 1, act), _layer(512, WIDTH, 1, act), nn.Conv2d(WIDTH, num_classes, 1)
        )

    def forward(self, image: Tensor) -> Tensor:
        """Return logits [N, K, H, W] for images [N, C, H, W]."""
        logits: Tensor = self.head(self.levels(self.stem(image)))
        return logits


class CENet34(nn.Module):
    """3 x 3 stem, ResNet-34 levels, 3 x 3 classifier, Hardswish throughout."""

    def __init__(self, in_channels: int = 5, num_classes: int = 20) -> None:
        super().__init__()
        act = nn.Hardswish
        self.stem = nn.Sequential(
            _layer(in_channels, 64, 3, act), _layer(64, WIDTH, 3, act), _layer(WIDTH, WIDTH, 3, act)
        )
        self.levels = _Levels(WIDTH, act)
        joined = (1 + len(DEPTHS)) * WIDTH
        self.head = nn.Sequential(
            _layer(joined, 256, 3, act), _layer(256, WIDTH, 3, act), nn.Conv2d(WIDTH, num_classes, 1)
        )

    def forward(self, image: Tensor) -> Tensor:
        """Return logits [N, K, H, W] for images [N, C, H, W]."""
        logits: Tensor = self.head(self.levels(self.stem(image)))
        return logits
