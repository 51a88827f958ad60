"""What meta-learned weights are for: a few steps of gradient descent on the samples of a new task."""

from __future__ import annotations

import torch
from torch import nn
from torch.func import functional_call

from hwnas.errors import TrainingError
from hwnas.tasks.base import LossFunction
from hwnas.tasks.trees import arguments
from hwnas.training.meta.batch_norm import (
    keeping_statistics,
    set_running_statistics,
    with_task_batch_norms,
)
from hwnas.training.meta.gradients import InnerLoop
from hwnas.training.meta.network_episode import Batch, network_episode


class DivergedError(TrainingError):
    """Gradient descent on the samples of a task diverged."""


def adapt_by_gradient_steps(module: nn.Module, loss: LossFunction, support: Batch, inner: InnerLoop) -> None:
    """Adapt a network exactly as the inner loop of its meta-training did.

    Args:
        module: with the initial weights; is changed, running statistics of batch norms included, and left in
            evaluation mode.
        loss: of the task.
        support: all samples of the task that are labelled, one batch.
        inner: steps, and which parameters they change.

    Raises:
        DivergedError: if the weights do not stay finite; they are left as they were.
    """
    copy = with_task_batch_norms(module)
    initial = {name: parameter.detach() for name, parameter in copy.named_parameters()}
    adapted = inner.adapted(initial, network_episode(copy, loss, support, support).support)
    if not all(bool(torch.isfinite(tensor).all()) for tensor in adapted.values()):
        raise DivergedError(
            f"After {inner.steps} steps of gradient descent of size {inner.learning_rate:g} the weights are "
            "not finite. Take fewer steps, or meta-train with a lower inner learning rate."
        )
    with torch.no_grad():
        with keeping_statistics(copy):
            functional_call(copy, adapted, arguments(support[0]))
        for name, parameter in module.named_parameters():
            parameter.copy_(adapted[name])
        set_running_statistics(module, copy)
    module.eval()
