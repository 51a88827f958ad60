"""RangeNet++ with its Darknet encoders.

Source: Milioto et al., "RangeNet++: Fast and Accurate LiDAR Semantic Segmentation", IROS 2019.
"""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from hwnas.models.baselines.scaling import scaled

WIDTHS = (32, 64, 128, 256, 512, 1024)
DROPOUT = 0.01
MOMENTUM = 0.01


def _after(channels: int) -> list[nn.Module]:
    return [nn.BatchNorm2d(channels, momentum=MOMENTUM), nn.LeakyReLU(0.1)]


def _layer(in_channels: int, out_channels: int, kernel: int, width_stride: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(
        in_channels, out_channels, kernel, stride=(1, width_stride), padding=kernel // 2, bias=False
    )
    return nn.Sequential(convolution, *_after(out_channels))


class _Unit(nn.Module):
    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.body = nn.Sequential(_layer(channels, hidden, 1), _layer(hidden, channels, 3))

    def forward(self, image: Tensor) -> Tensor:
        result: Tensor = image + self.body(image)
        return result


class RangeNet(nn.Module):
    """Halves the width five times and doubles it again; the width must be a multiple of 32."""

    def __init__(
        self,
        depths: tuple[int, ...],
        in_channels: int = 5,
        num_classes: int = 20,
        width_multiplier: float = 1.0,
    ) -> None:
        """Build with `depths` residual units in the five stages of the encoder.

        All channels but those of image and classes are multiplied by `width_multiplier`.
        """
        super().__init__()
        widths = scaled(WIDTHS, width_multiplier)
        self.stem = _layer(in_channels, widths[0], 3)
        self.encoder = nn.ModuleList()
        self.decoder = nn.ModuleList()
        for narrow, wide, depth in zip(widths, widths[1:], depths, strict=False):
            units = [_Unit(wide, narrow) for _ in range(depth)]
            self.encoder.append(
                nn.Sequential(_layer(narrow, wide, 3, width_stride=2), *units, nn.Dropout2d(DROPOUT))
            )
            enlarging = nn.ConvTranspose2d(wide, narrow, (1, 4), stride=(1, 2), padding=(0, 1))
            self.decoder.insert(0, nn.Sequential(enlarging, *_after(narrow), _Unit(narrow, wide)))
        self.head = nn.Sequential(nn.Dropout2d(DROPOUT), nn.Conv2d(widths[0], num_classes, 3, padding=1))

    def forward(self, image: Tensor) -> Tensor:
        """Return logits [N, K, H, W] for images [N, C, H, W]."""
        result, skips = self.stem(image), []
        for stage in self.encoder:
            skips.append(result)
            result = stage(result)
        for stage, skip in zip(self.decoder, reversed(skips), strict=True):
            # The original lets no gradient through its skips.
            result = stage(result) + skip.detach()
        logits: Tensor = self.head(result)
        return logits


RangeNet21 = partial(RangeNet, (1, 1, 2, 2, 1))
"""(channels of the image, number of classes, width multiplier) to RangeNet++ with 21 layers."""
RangeNet53 = partial(RangeNet, (1, 2, 8, 8, 4))
"""(channels of the image, number of classes, width multiplier) to RangeNet++ with 53 layers."""
