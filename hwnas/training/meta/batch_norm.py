"""Batch norms of networks that are adapted to a task from few samples.

Running statistics mix tasks, so no task has them during meta-learning. Instead, each task has statistics of
its own, those of its support batch under the present weights: support samples are normalised with them, and
so are query samples, as samples are after an adaptation to these support samples. They take part in the
gradients.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


class TaskBatchNorm(nn.Module):
    """A batch norm without running statistics; its parameters have the names of those that it replaces.

    Attributes:
        kept: mean and unbiased variance [C] of the last batch that was seen while `keeps` was set.
        keeps: whether statistics of batches are kept.
        uses_kept: whether batches are normalised with `kept` in place of their own statistics.
    """

    def __init__(self, layer: _BatchNorm) -> None:
        super().__init__()
        self.weight, self.bias, self._eps = layer.weight, layer.bias, layer.eps
        self.kept: tuple[Tensor, Tensor] | None = None
        self.keeps = self.uses_kept = False

    def forward(self, batch: Tensor) -> Tensor:
        """Normalise a batch [N, C, ...]."""
        if self.uses_kept and self.kept is not None:
            mean, variance = self.kept
        else:
            axes = [0, *range(2, batch.ndim)]
            mean, variance = batch.mean(axes), batch.var(axes, correction=0)
            if self.keeps:
                count = batch.numel() // batch.shape[1]
                self.kept = mean, variance * (count / max(1, count - 1))  # unbiased, as PyTorch's running one
        shape = (1, -1, *[1] * (batch.ndim - 2))
        scale = torch.rsqrt(variance + self._eps)
        if self.weight is not None:
            scale = scale * self.weight
        normalised = (batch - mean.view(shape)) * scale.view(shape)
        return normalised if self.bias is None else normalised + self.bias.view(shape)


def with_task_batch_norms(module: nn.Module) -> nn.Module:
    """Return a copy whose batch norms have statistics of a task.

    Names and values of parameters stay. All else is as in evaluation: dropout is off, nothing is random.
    """
    copy = deepcopy(module).eval()
    if isinstance(copy, _BatchNorm):
        return TaskBatchNorm(copy)
    for parent in list(copy.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, _BatchNorm):
                setattr(parent, name, TaskBatchNorm(layer))
    return copy


@contextmanager
def keeping_statistics(module: nn.Module) -> Iterator[None]:
    """Keep the statistics of the batch that is run within, one batch."""
    with _set(module, "keeps"):
        yield


@contextmanager
def using_kept_statistics(module: nn.Module) -> Iterator[None]:
    """Normalise with the statistics that were kept, and forget them afterwards."""
    with _set(module, "uses_kept"):
        try:
            yield
        finally:
            for layer in _layers(module):
                layer.kept = None


@contextmanager
def _set(module: nn.Module, name: str) -> Iterator[None]:
    for layer in _layers(module):
        setattr(layer, name, True)
    try:
        yield
    finally:
        for layer in _layers(module):
            setattr(layer, name, False)


def _layers(module: nn.Module) -> list[TaskBatchNorm]:
    return [layer for layer in module.modules() if isinstance(layer, TaskBatchNorm)]


def set_running_statistics(module: nn.Module, task_module: nn.Module) -> None:
    """Write the statistics that a copy by `with_task_batch_norms` kept into the network that it is of."""
    kept = {name: layer for name, layer in task_module.named_modules() if isinstance(layer, TaskBatchNorm)}
    for name, layer in module.named_modules():
        if isinstance(layer, _BatchNorm) and layer.track_running_stats:
            statistics = kept[name].kept
            assert statistics is not None  # noqa: S101 - a batch was run, for the type checker
            assert layer.running_mean is not None and layer.running_var is not None  # noqa: S101, PT018
            layer.running_mean.copy_(statistics[0].detach())
            layer.running_var.copy_(statistics[1].detach())
