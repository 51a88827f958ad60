"""Episodes of networks: batches of one task, and the loss of its training."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.func import functional_call

from hwnas.tasks.base import LossFunction
from hwnas.tasks.trees import Tree, arguments
from hwnas.training.meta.batch_norm import keeping_statistics, using_kept_statistics
from hwnas.training.meta.gradients import Episode, Parameters

Batch = tuple[Tree, Tree]
"""Inputs and targets, each with its batch axis."""


def network_episode(
    module: nn.Module, loss: LossFunction, support: Batch, query: Batch, *, steps_on: Sequence[Batch] = ()
) -> Episode:
    """Return the episode of a task.

    Args:
        module: by `with_task_batch_norms`; its parameters are replaced by those that the episode is given.
        loss: of the task.
        support: the few samples, one batch; statistics of batch norms are those of this batch.
        query: other samples of the task.
        steps_on: batches that the inner steps go through in turn; by default `support` in every step.
    """
    batches = tuple(steps_on) or (support,)

    def support_loss(parameters: Parameters, step: int) -> Tensor:
        return _loss(module, loss, parameters, batches[step % len(batches)])

    def query_loss(parameters: Parameters) -> Tensor:
        with keeping_statistics(module):
            functional_call(module, dict(parameters), arguments(support[0]))
        with using_kept_statistics(module):
            return _loss(module, loss, parameters, query)

    return Episode(support_loss, query_loss)


def _loss(module: nn.Module, loss: LossFunction, parameters: Parameters, batch: Batch) -> Tensor:
    inputs, targets = batch
    return loss(functional_call(module, dict(parameters), arguments(inputs)), targets)
