"""Batch norms during meta-learning: statistics of a task, and what is left in the network."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from hwnas.training.meta.batch_norm import (
    TaskBatchNorm,
    keeping_statistics,
    set_running_statistics,
    using_kept_statistics,
    with_task_batch_norms,
)


def _network() -> nn.Module:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3), nn.Dropout(0.5), nn.Sequential(nn.BatchNorm2d(3, affine=False))
    )
    for parameter in network.parameters():
        nn.init.normal_(parameter)
    return network


def test_batches_are_normalised_with_their_own_statistics_and_nothing_is_random() -> None:
    network, batch = _network(), torch.randn(4, 2, 3, 5)
    with torch.no_grad():
        found = with_task_batch_norms(network.train())(batch)
        network[2].eval()
        assert torch.allclose(found, network(batch), atol=1e-5)


def test_queries_are_normalised_as_after_an_adaptation_to_the_support() -> None:
    network, support, query = _network(), torch.randn(4, 2, 3, 5), 3.0 + torch.randn(2, 2, 3, 5)
    copy = with_task_batch_norms(network)
    with torch.no_grad():
        with keeping_statistics(copy):
            copy(support)
        set_running_statistics(network, copy)
        with using_kept_statistics(copy):
            found = copy(query)
        assert torch.allclose(found, network.eval()(query), atol=1e-5)
        assert not torch.allclose(found, copy(query), atol=0.1)  # they are forgotten
    assert all(layer.kept is None for layer in copy.modules() if isinstance(layer, TaskBatchNorm))


def test_running_statistics_are_those_that_pytorch_has_after_one_batch() -> None:
    network, batch = _network(), torch.randn(4, 2, 3, 5)
    copy = with_task_batch_norms(network)
    with torch.no_grad(), keeping_statistics(copy):
        copy(batch)
    reference = _network().train()
    reference[2].eval()
    for layer in reference.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = 1.0
    reference(batch)
    set_running_statistics(network, copy)
    for name, buffer in network.named_buffers():
        if "num_batches" not in name:
            assert torch.allclose(buffer, dict(reference.named_buffers())[name], atol=1e-5), name


def test_names_and_values_of_parameters_stay() -> None:
    network = _network()
    copy = with_task_batch_norms(network)
    assert [name for name, _ in copy.named_parameters()] == [name for name, _ in network.named_parameters()]
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in copy.modules())
    assert sum(isinstance(layer, nn.BatchNorm2d) for layer in network.modules()) == 2


@pytest.mark.parametrize("layer", [nn.BatchNorm1d(3), nn.BatchNorm2d(3)])
def test_a_network_may_be_a_batch_norm_itself(layer: nn.Module) -> None:
    assert isinstance(with_task_batch_norms(layer), TaskBatchNorm)
