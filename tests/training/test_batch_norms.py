from __future__ import annotations

import torch
from torch import nn

from hwnas.training.batch_norms import re_estimate_batch_norms


def network(classes: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(2, 4, 1), nn.BatchNorm2d(4), nn.Conv2d(4, classes, 1))


def test_statistics_become_those_of_the_inputs() -> None:
    torch.manual_seed(0)
    module = network(3)
    batches = [torch.randn(1, 2, 4, 4) + 3.0 for _ in range(5)]
    assert re_estimate_batch_norms(module, batches) == 1
    with torch.no_grad():
        features = [module[0](batch) for batch in batches]
    means = torch.stack([each.mean(dim=(0, 2, 3)) for each in features]).mean(dim=0)
    variances = torch.stack([each.var(dim=(0, 2, 3)) for each in features]).mean(dim=0)
    torch.testing.assert_close(module[1].running_mean, means)
    torch.testing.assert_close(module[1].running_var, variances)
    assert module[1].momentum == 0.1
    assert not module[1].training


def test_a_network_without_batch_norms_stays_as_it_is() -> None:
    module = nn.Conv2d(2, 3, 1)
    before = module.weight.detach().clone()
    assert re_estimate_batch_norms(module, [torch.randn(1, 2, 4, 4)]) == 0
    assert torch.equal(module.weight, before)
