"""Optimisers, the one-cycle schedule, and their state as tensors and plain values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.lr_scheduler import OneCycleLR
from torch.optim.swa_utils import AveragedModel

from hwnas.training.recipe import Recipe

WARM_UP_SHARE = 0.25

_Tensors = tuple[Tensor, ...] | list[Tensor]


def make_optimizer(module: nn.Module, recipe: Recipe) -> Optimizer:
    """Return the recipe's optimiser; weight decay for kernels, none for biases and norms."""
    decayed = [parameter for parameter in module.parameters() if parameter.ndim > 1]
    plain = [parameter for parameter in module.parameters() if parameter.ndim <= 1]
    groups = [
        {"params": decayed, "weight_decay": recipe.weight_decay},
        {"params": plain, "weight_decay": 0.0},
    ]
    if recipe.optimizer == "sgd":
        return SGD(groups, lr=recipe.learning_rate, momentum=0.9, nesterov=True)
    return AdamW(groups, lr=recipe.learning_rate)


def make_schedule(optimizer: Optimizer, recipe: Recipe) -> OneCycleLR:
    """Return the one-cycle schedule (Smith and Topin, 2018) over the recipe's steps."""
    total = max(recipe.steps, 2)
    # OneCycleLR divides by the length of the warm-up minus one step.
    warm_up = max(WARM_UP_SHARE, 2 / total)
    return OneCycleLR(optimizer, max_lr=recipe.learning_rate, total_steps=total, pct_start=warm_up)


def moving_average(module: nn.Module, decay: float) -> AveragedModel:
    """Return a moving average of weights and buffers, of decay min(`decay`, (1 + n) / (10 + n)) at update n.

    The decay grows from 0.1 so that the random initial weights are soon forgotten.
    """

    def average(mean: _Tensors, new: _Tensors, count: Tensor | int) -> None:
        number = float(count)
        share = 1.0 - min(decay, (1.0 + number) / (10.0 + number))
        if mean[0].is_floating_point():
            torch._foreach_lerp_(mean, new, share)
        else:
            torch._foreach_copy_(mean, new)

    return AveragedModel(module, multi_avg_fn=average, use_buffers=True)


def optimizer_tensors(optimizer: Optimizer) -> dict[str, Tensor]:
    """Return the state of all parameters: `<number of the parameter>.<name of the state>`."""
    state = optimizer.state_dict()["state"]
    return {
        f"{number}.{name}": value
        for number, values in state.items()
        for name, value in values.items()
        if isinstance(value, Tensor)
    }


def optimizer_scalars(optimizer: Optimizer) -> list[dict[str, Any]]:
    """Return the settings of every group of parameters, plain JSON values."""
    groups = optimizer.state_dict()["param_groups"]
    return [{key: value for key, value in group.items() if key != "params"} for group in groups]


def load_optimizer(
    optimizer: Optimizer, tensors: Mapping[str, Tensor], scalars: list[dict[str, Any]]
) -> None:
    """Put back what `optimizer_tensors` and `optimizer_scalars` took."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        number, name = key.split(".", 1)
        state.setdefault(int(number), {})[name] = tensor
    groups = optimizer.state_dict()["param_groups"]
    for group, saved in zip(groups, scalars, strict=True):
        group.update({key: tuple(value) if key == "betas" else value for key, value in saved.items()})
    optimizer.load_state_dict({"state": state, "param_groups": groups})
