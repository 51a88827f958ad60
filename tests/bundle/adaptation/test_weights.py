from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from hwnas.bundle.adaptation.weights import head_parameters, re_estimate_batch_norms, transferred
from hwnas.errors import TrainingError
from hwnas.search_spaces.base import make_search_space
from hwnas.tasks.base import make_task
from tests.tasks.lidar_data import write_scans

SPACES = ("range-unet", "nas-cell", "hand-crafted")


@pytest.mark.parametrize("space_name", SPACES)
def test_the_head_of_any_space_is_found(space_name: str, tmp_path: Path) -> None:
    data = write_scans(tmp_path / "data", scans=1)
    task = make_task("lidar-segmentation", {"data": str(data), "label_map": "merged-8", "widths": [256]})
    space = make_search_space(space_name, task.contract)
    architecture = space.decode({gene: values[0] for gene, values in space.choices.items()})
    head = head_parameters(space, task, architecture)
    shapes = {name: tensor.shape for name, tensor in space.build(architecture).named_parameters()}
    assert head
    assert {shapes[name][0] for name in head} == {8}


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
