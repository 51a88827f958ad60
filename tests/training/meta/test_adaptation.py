"""Adaptation from meta-learned weights: the inner loop of the meta-training, written into a network."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hwnas.training.meta.adaptation import DivergedError, adapt_by_gradient_steps
from hwnas.training.meta.batch_norm import with_task_batch_norms
from hwnas.training.meta.gradients import InnerLoop
from hwnas.training.meta.network_episode import network_episode


def _network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3), nn.ReLU(), nn.Conv2d(3, 2, 1)).eval()


def _batch(seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(3, 2, 4, 5, generator=generator)
    return inputs, (inputs.sum(1) > 0).long()


def test_the_adapted_network_is_the_one_whose_query_loss_was_lowered() -> None:
    module, support, query = _network(), _batch(1), _batch(2)
    inner = InnerLoop(5, 0.5)
    copy = with_task_batch_norms(module)
    episode = network_episode(copy, F.cross_entropy, support, query)
    initial = {name: tensor.detach() for name, tensor in copy.named_parameters()}
    expected = float(episode.query(inner.adapted(initial, episode.support)))
    with torch.no_grad():
        before = float(F.cross_entropy(module(query[0]), query[1]))
    adapt_by_gradient_steps(module, F.cross_entropy, support, inner)
    with torch.no_grad():
        found = float(F.cross_entropy(module(query[0]), query[1]))
    assert found == pytest.approx(expected, rel=1e-5)
    assert found < before
    assert not module.training


def test_the_head_alone_is_adapted() -> None:
    module = _network()
    before = {name: tensor.clone() for name, tensor in module.named_parameters()}
    adapt_by_gradient_steps(
        module, F.cross_entropy, _batch(1), InnerLoop(2, 0.5, only={"3.weight", "3.bias"})
    )
    moved = {name for name, tensor in module.named_parameters() if not torch.equal(tensor, before[name])}
    assert moved == {"3.weight", "3.bias"}


def test_weights_that_are_not_finite_are_refused_and_the_network_stays() -> None:
    module = _network()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    with pytest.raises(DivergedError, match="After 40 steps of gradient descent of size 1e\\+30"):
        adapt_by_gradient_steps(module, F.cross_entropy, _batch(1), InnerLoop(40, 1e30))
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())
