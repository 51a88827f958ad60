from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import nn

from hwnas.estimators.zero_cost import grad_norm, jacob_cov, naswot, snip, synflow


def test_synflow_of_two_layers_by_hand() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 1, bias=False), nn.ReLU(), nn.Conv2d(2, 1, 1, bias=False))
    with torch.no_grad():
        network[0].weight.copy_(torch.tensor([2.0, -3.0]).reshape(2, 1, 1, 1))
        network[2].weight.copy_(torch.tensor([-5.0, 7.0]).reshape(1, 2, 1, 1))
    # Each layer's weights times slopes sum to R = 4 pixels * (2 * 5 + 3 * 7).
    assert synflow(network, [(1, 2, 2)]) == pytest.approx(2 * 4 * 31)
    assert float(network[0].weight.min()) == -3.0


def test_naswot_by_hand() -> None:
    images = torch.tensor([[1.0, -1.0, 1.0], [1.0, 1.0, -1.0]]).reshape(2, 3, 1, 1)
    # Of three units both agree on one: K = [[3, 1], [1, 3]].
    assert naswot(nn.Sequential(nn.ReLU()), images) == pytest.approx(math.log(8.0))
    assert naswot(nn.Sequential(nn.ReLU()), images[:1].repeat(2, 1, 1, 1)) == -math.inf


def linear_network() -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(2, 3, 1), nn.ReLU(), nn.Conv2d(3, 2, 1)).double()
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(4, 2, 2, 3, dtype=torch.float64, generator=generator)
    return network, images, torch.randint(0, 2, (4, 2, 3), generator=generator)


def numeric_slopes(network: nn.Module, weight: torch.Tensor, loss: Callable[[], float]) -> torch.Tensor:
    """Slopes by central differences."""
    slopes, step = torch.zeros_like(weight), 1e-5
    with torch.no_grad():
        for index in range(weight.numel()):
            before = float(weight.view(-1)[index])
            weight.view(-1)[index] = before + step
            above = loss()
            weight.view(-1)[index] = before - step
            slopes.view(-1)[index] = (above - loss()) / (2 * step)
            weight.view(-1)[index] = before
    return slopes


def test_snip_and_grad_norm_by_differences() -> None:
    network, images, targets = linear_network()
    loss = nn.functional.cross_entropy
    weights = [network[0].weight, network[2].weight]
    slopes = [
        numeric_slopes(network, weight, lambda: float(loss(network(images), targets))) for weight in weights
    ]
    sensitivity = sum(float((w.detach() * s).abs().sum()) for w, s in zip(weights, slopes, strict=True))
    assert snip(network, images, targets, loss) == pytest.approx(sensitivity, rel=1e-6)
    norms = sum(float((slope**2).sum().sqrt()) for slope in slopes)
    assert grad_norm(network, images, targets, loss) == pytest.approx(norms, rel=1e-6)


def test_jacob_cov_of_equal_slopes_and_of_uncorrelated_ones() -> None:
    images = torch.ones(3, 2, 1, 2, dtype=torch.float64)
    linear = nn.Conv2d(2, 2, 1, bias=False).double()
    # One eigenvalue is 3, the others 0.
    equal = -(math.log(3 + 1e-5) + 1 / (3 + 1e-5) + 2 * (math.log(1e-5) + 1e5))
    assert jacob_cov(linear, images) == pytest.approx(equal, rel=1e-6)

    class Square(nn.Module):
        def forward(self, values: torch.Tensor) -> torch.Tensor:
            return values**2 / 2  # the slope is the value itself

    rows = torch.tensor([[1.0, -1.0, 1.0, -1.0], [1.0, 1.0, -1.0, -1.0], [1.0, -1.0, -1.0, 1.0]])
    apart = jacob_cov(Square(), rows.reshape(3, 1, 2, 2).double())
    assert apart == pytest.approx(-3 * (math.log(1 + 1e-5) + 1 / (1 + 1e-5)), rel=1e-6)
    assert apart > equal
