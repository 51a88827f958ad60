from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from hwnas.models.blocks import BLOCKS, FIXED_KERNEL, BlockSettings
from hwnas.models.layers import Size, SqueezeExcite, activation, convolution

torch.set_num_threads(1)

STRIDES: list[Size] = [(1, 1), (1, 2), (2, 2)]


@pytest.mark.parametrize("is_cyclic", [False, True])
@pytest.mark.parametrize("stride", STRIDES)
@pytest.mark.parametrize("block", sorted(BLOCKS))
def test_stride_divides_the_size(block: str, stride: Size, is_cyclic: bool) -> None:
    settings = BlockSettings(6, 10, 5, stride, has_squeeze_excite=True, is_cyclic=is_cyclic)
    result = BLOCKS[block](settings)(torch.randn(2, 6, 8, 32))
    assert result.shape == (2, 10, 8 // stride[0], 32 // stride[1])


@pytest.mark.parametrize("block", sorted(BLOCKS))
def test_kernel_changes_the_network_unless_fixed(block: str) -> None:
    counts = {
        sum(parameter.numel() for parameter in BLOCKS[block](BlockSettings(6, 10, kernel)).parameters())
        for kernel in (3, 5, 7)
    }
    assert len(counts) == (1 if block in FIXED_KERNEL else 3)


@pytest.mark.parametrize("stride", STRIDES)
@pytest.mark.parametrize("block", sorted(BLOCKS))
def test_cyclic_blocks_turn_with_their_input(block: str, stride: Size) -> None:
    settings = BlockSettings(6, 6, 3, stride, is_cyclic=True)
    image = torch.randn(1, 6, 8, 64)
    torch.manual_seed(0)
    cyclic = BLOCKS[block](settings).eval()
    torch.manual_seed(0)
    plain = BLOCKS[block](replace(settings, is_cyclic=False)).eval()
    plain.load_state_dict(dict(zip(plain.state_dict(), cyclic.state_dict().values(), strict=True)))
    with torch.no_grad():
        turned = cyclic(image.roll(8, dims=3)).roll(-8 // stride[1], dims=3)
        assert torch.allclose(turned, cyclic(image), atol=1e-5)
        # In the middle, far from the edges, padding makes no difference; at them it does.
        difference = (plain(image) - cyclic(image)).abs().amax(dim=(0, 1, 2))
    assert difference[[len(difference) // 2]].max() < 1e-5
    assert difference[[0, -1]].max() > 1e-3


@pytest.mark.parametrize("block", sorted(BLOCKS))
def test_gradient_reaches_the_input_when_the_body_is_off(block: str) -> None:
    """The shortcut: with all batch normalisation scales at zero the block still passes its input on."""
    module = BLOCKS[block](BlockSettings(6, 6)).eval()
    for layer in module.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            torch.nn.init.zeros_(layer.weight)
    image = torch.rand(1, 6, 4, 8)
    with torch.no_grad():
        assert torch.equal(module(image), image)


@pytest.mark.parametrize(("dilation", "kernel"), [(1, 3), (2, 3), (3, 3), (1, 7)])
def test_convolution_keeps_the_size(dilation: int, kernel: int) -> None:
    for is_cyclic in (False, True):
        layer = convolution(2, 4, kernel, dilation=dilation, is_cyclic=is_cyclic, act="hardswish")
        assert layer(torch.randn(1, 2, 9, 20)).shape == (1, 4, 9, 20)


def test_activations() -> None:
    values = torch.tensor([-4.0, -1.0, 0.0, 1.0, 4.0])
    assert torch.equal(activation("relu")(values), values.clamp(min=0))
    assert torch.allclose(activation("hardswish")(values), values * (values + 3).clamp(0, 6) / 6)


def test_squeeze_excite_weighs_whole_channels_between_0_and_1() -> None:
    torch.manual_seed(0)
    image = torch.rand(2, 8, 5, 7) + 0.1
    weights = SqueezeExcite(8)(image) / image
    assert torch.allclose(weights, weights[..., :1, :1].expand_as(weights), atol=1e-5)
    assert weights.min() >= 0
    assert weights.max() <= 1
    assert not torch.allclose(weights[0], weights[1])
