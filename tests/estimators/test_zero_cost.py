from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from hwnas.estimators.zero_cost import naswot, synflow


def test_synflow_of_two_layers_by_hand() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 1, bias=False), nn.ReLU(), nn.Conv2d(2, 1, 1, bias=False))
    with torch.no_grad():
        network[0].weight.copy_(torch.tensor([2.0, -3.0]).reshape(2, 1, 1, 1))
        network[2].weight.copy_(torch.tensor([-5.0, 7.0]).reshape(1, 2, 1, 1))
    # Each layer's weights times slopes sum to R = 4 pixels * (2 * 5 + 3 * 7).
    assert synflow(network, (1, 2, 2)) == pytest.approx(2 * 4 * 31)
    assert float(network[0].weight.min()) == -3.0


def test_naswot_by_hand() -> None:
    images = torch.tensor([[1.0, -1.0, 1.0], [1.0, 1.0, -1.0]]).reshape(2, 3, 1, 1)
    # Of three units both agree on one: K = [[3, 1], [1, 3]].
    assert naswot(nn.Sequential(nn.ReLU()), images) == pytest.approx(math.log(8.0))
    assert naswot(nn.Sequential(nn.ReLU()), images[:1].repeat(2, 1, 1, 1)) == -math.inf
