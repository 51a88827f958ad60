from __future__ import annotations

import pytest
import torch

from hwnas.models.decoders import DECODERS, DecoderSettings, PixelShuffle, enlarge
from hwnas.models.layers import CyclicPad, convolution

torch.set_num_threads(1)


@pytest.mark.parametrize("decoder", sorted(DECODERS))
@pytest.mark.parametrize("strides", [((1, 2),), ((2, 2), (1, 1)), ((1, 2), (2, 2), (1, 2))])
def test_size_is_that_of_the_finest_level(decoder: str, strides: tuple[tuple[int, int], ...]) -> None:
    channels = (6, 8, 10, 12)[: len(strides) + 1]
    levels, height, width = [], 8, 32
    for count, stride in zip(channels, ((1, 1), *strides), strict=True):
        height, width = height // stride[0], width // stride[1]
        levels.append(torch.randn(2, count, height, width))
    network = DECODERS[decoder](DecoderSettings(channels, strides, width=4))
    assert network(levels).shape == (2, 4, 8, 32)


@pytest.mark.parametrize("stride", [(1, 2), (2, 1), (2, 2), (3, 2)])
def test_pixel_shuffle_puts_each_channel_at_its_place(stride: tuple[int, int]) -> None:
    a, b = stride
    image = torch.arange(2 * a * b * 3 * 4.0).reshape(1, 2 * a * b, 3, 4)
    shuffled = PixelShuffle(stride)(image)
    assert shuffled.shape == (1, 2, 3 * a, 4 * b)
    for channel in range(2):
        for i in range(a):
            for j in range(b):
                expected = image[0, channel * a * b + i * b + j]
                assert torch.equal(shuffled[0, channel, i::a, j::b], expected)


def test_enlarging_keeps_a_ramp_between_pixel_centres() -> None:
    ramp = torch.arange(8.0).expand(1, 1, 2, 8)
    inner = enlarge(ramp, (1, 2))[0, 0, 0, 1:-1]
    assert torch.allclose(inner, torch.arange(14) * 0.5 + 0.25)


def test_cyclic_padding_continues_over_the_edges_in_width_only() -> None:
    image = torch.randn(1, 2, 3, 8)
    assert torch.equal(CyclicPad(2)(image), torch.nn.functional.pad(image, (2, 2, 0, 0), mode="circular"))
    layer = convolution(2, 4, 5, dilation=1, is_cyclic=True).eval()
    assert layer(image).shape == (1, 4, 3, 8)
    assert torch.allclose(layer(image.roll(3, dims=3)), layer(image).roll(3, dims=3), atol=1e-6)
