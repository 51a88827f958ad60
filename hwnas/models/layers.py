"""Layers that every runtime takes: convolutions, batch normalisation, simple activations."""

from __future__ import annotations

import torch
from torch import Tensor, nn

Size = tuple[int, int]
"""(height, width)."""


class CyclicPad(nn.Module):
    """Continues an image [N, C, H, W] over its left and right edges, as a turning sensor sees it."""

    def __init__(self, columns: int) -> None:
        super().__init__()
        self.columns = columns

    def forward(self, image: Tensor) -> Tensor:
        """Return [N, C, H, W + 2 * columns]."""
        # Slices and a concatenation: every runtime has them; wrap-mode Pad needs opset 19 and new runtimes.
        return torch.cat([image[..., -self.columns :], image, image[..., : self.columns]], dim=3)


def activation(name: str) -> nn.Module:
    """Return the activation `relu` or `hardswish`."""
    return {"relu": nn.ReLU, "hardswish": nn.Hardswish}[name]()


def convolution(
    in_channels: int,
    out_channels: int,
    kernel: int,
    *,
    stride: Size = (1, 1),
    dilation: int = 1,
    groups: int = 1,
    is_cyclic: bool = False,
    act: str | None = "relu",
) -> nn.Sequential:
    """Return convolution, batch normalisation and (unless None) activation; size / stride, rounded up."""
    margin = dilation * (kernel - 1) // 2
    layers: list[nn.Module] = []
    if is_cyclic and margin:
        layers.append(CyclicPad(margin))
    layers.append(
        nn.Conv2d(
            in_channels,
            out_channels,
            kernel,
            stride=stride,
            padding=(margin, 0 if is_cyclic else margin),
            dilation=dilation,
            groups=groups,
            bias=False,
        )
    )
    layers.append(nn.BatchNorm2d(out_channels))
    if act is not None:
        layers.append(activation(act))
    return nn.Sequential(*layers)


class SqueezeExcite(nn.Module):
    """Weighs channels by what the whole image holds.

    Source: Hu et al., "Squeeze-and-Excitation Networks", CVPR 2018.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = max(4, channels // 4)
        self.weigh = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, hidden, 1),
            nn.ReLU(),
            nn.Conv2d(hidden, channels, 1),
            nn.Hardsigmoid(),
        )

    def forward(self, image: Tensor) -> Tensor:
        """Return an image of the same shape."""
        weighed: Tensor = image * self.weigh(image)
        return weighed
