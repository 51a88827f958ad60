from __future__ import annotations

import torch
from torch import Tensor, nn

from hwnas.models.cost import count_macs, count_parameters


def test_convolution() -> None:
    layer = nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2)
    assert count_parameters(layer) == 6 * 2 * 9 + 6
    assert count_macs(layer, (4, 8, 10)) == 6 * 2 * 9 * 4 * 5


def test_transposed_convolution_counts_positions_of_its_input() -> None:
    assert count_macs(nn.ConvTranspose2d(4, 6, (1, 4), stride=(1, 2), padding=(0, 1)), (4, 8, 10)) == 96 * 80


def test_linear() -> None:
    assert count_macs(nn.Linear(3, 5), (7, 3)) == 7 * 15
    assert count_macs(nn.Sequential(nn.Flatten(), nn.Linear(12, 5, bias=False)), (3, 4)) == 60


def test_shared_layers_count_each_time_but_their_parameters_once() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Conv2d(2, 2, 1, bias=False)

        def forward(self, image: Tensor) -> Tensor:
            return self.layer(self.layer(image))

    assert count_macs(Twice(), (2, 3, 3)) == 2 * 4 * 9
    assert count_parameters(Twice()) == 4


def test_module_stays_as_it_is() -> None:
    module = nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1), nn.Dropout(0.5)).train()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    count_macs(module, (1, 4, 4))
    assert module.training
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())
    assert not module[0]._forward_hooks
