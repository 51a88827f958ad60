from __future__ import annotations

import pytest
import torch
from torch import nn

from hwnas.bundle.adaptation.weights import transferred
from hwnas.errors import TrainingError


def network(classes: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(2, 4, 1), nn.BatchNorm2d(4), nn.Conv2d(4, classes, 1))


HEAD = frozenset({"2.weight", "2.bias"})


def test_rows_of_known_classes_are_kept_and_others_stay_as_initialised() -> None:
    torch.manual_seed(0)
    old, new = network(3), network(4)
    fresh = new[2].weight.detach().clone()
    transferred(old.state_dict(), new, HEAD, trained=("a", "b", "c"), wanted=("c", "new", "a", "other"))
    assert torch.equal(new[0].weight, old[0].weight)
    assert torch.equal(new[2].weight[0], old[2].weight[2])
    assert torch.equal(new[2].weight[2], old[2].weight[0])
    assert torch.equal(new[2].bias[2], old[2].bias[0])
    assert torch.equal(new[2].weight[[1, 3]], fresh[[1, 3]])


def test_weights_of_another_network_are_refused() -> None:
    other = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Conv2d(4, 3, 1))
    with pytest.raises(TrainingError, match=r"\['0.weight'\] differ"):
        transferred(other.state_dict(), network(3), HEAD, trained=("a",) * 3, wanted=("a",) * 3)
    with pytest.raises(TrainingError, match="another network"):
        transferred(nn.Conv2d(2, 4, 1).state_dict(), network(3), HEAD, trained=("a",) * 3, wanted=("a",) * 3)
