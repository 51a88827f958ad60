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

from hwnas.models.baselines.scaling import scaled

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
    def __init__(self, in_channels: int, width: int, stride: int, act: Activation) -> None:
        super().__init__()
        self.body = nn.Sequential(_layer(in_channels, width, 3, act, stride), _layer(width, width, 3, None))
        keeps_shape = in_channels == width and stride == 1
        self.shortcut = nn.Identity() if keeps_shape else _layer(in_channels, width, 1, None, stride)
        self.act = act()

    def forward(self, image: Tensor) -> Tensor:
        result: Tensor = self.act(self.body(image) + self.shortcut(image))
        return result


class _Levels(nn.Module):
    """Four stages; returns the input and all their outputs, concatenated at the size of the input."""

    def __init__(self, in_channels: int, width: int, act: Activation) -> None:
        super().__init__()
        self.stages = nn.ModuleList()
        for depth, stride in zip(DEPTHS, (1, 2, 2, 2), strict=True):
            others = (_BasicBlock(width, width, 1, act) for _ in range(depth - 1))
            self.stages.append(nn.Sequential(_BasicBlock(in_channels, width, stride, act), *others))
            in_channels = width

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

    def __init__(self, in_channels: int = 8, num_classes: int = 20, width_multiplier: float = 1.0) -> None:
        """Build with all channels but those of image and classes times `width_multiplier`."""
        super().__init__()
        width, *embedded = scaled((WIDTH, 64, 128, 256, 512), width_multiplier)
        widths = (in_channels, *embedded)
        act = nn.LeakyReLU
        self.stem = nn.Sequential()
        for a, b in pairwise(widths):
            self.stem.extend([nn.Conv2d(a, b, 1), nn.BatchNorm2d(b), act()])
        self.levels = _Levels(widths[-1], width, act)
        joined, mixed = widths[-1] + len(DEPTHS) * width, widths[-1]
        self.head = nn.Sequential(
            _layer(joined, mixed, 1, act), _layer(mixed, width, 1, act), nn.Conv2d(width, num_classes, 1)
        )

    def forward(self, image: Tensor) -> Tensor:
        """Return logits [N, K, H, W] for images [N, C, H, W]."""
        logits: Tensor = self.head(self.levels(self.stem(image)))
        return logits


class CENet34(nn.Module):
    """3 x 3 stem, ResNet-34 levels, 3 x 3 classifier, Hardswish throughout."""

    def __init__(self, in_channels: int = 5, num_classes: int = 20, width_multiplier: float = 1.0) -> None:
        """Build with all channels but those of image and classes times `width_multiplier`."""
        super().__init__()
        width, narrow, wide = scaled((WIDTH, 64, 256), width_multiplier)
        act = nn.Hardswish
        self.stem = nn.Sequential(
            _layer(in_channels, narrow, 3, act), _layer(narrow, width, 3, act), _layer(width, width, 3, act)
        )
        self.levels = _Levels(width, width, act)
        joined = (1 + len(DEPTHS)) * width
        self.head = nn.Sequential(
            _layer(joined, wide, 3, act), _layer(wide, width, 3, act), nn.Conv2d(width, num_classes, 1)
        )

    def forward(self, image: Tensor) -> Tensor:
        """Return logits [N, K, H, W] for images [N, C, H, W]."""
        logits: Tensor = self.head(self.levels(self.stem(image)))
        return logits
