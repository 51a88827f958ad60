"""One training in memory: steps, what a checkpoint holds of it, and going on from one."""

from __future__ import annotations

import contextlib
import math
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler

from hwnas.errors import TrainingError
from hwnas.tasks.base import LossFunction
from hwnas.tasks.trees import Tree, mapped, run
from hwnas.training.checkpoint import Checkpoint, prefixed, unprefixed
from hwnas.training.loss_curve import LossCurve
from hwnas.training.optimizers import (
    load_optimizer,
    make_optimizer,
    make_schedule,
    moving_average,
    optimizer_scalars,
    optimizer_tensors,
)
from hwnas.training.precision import choose_precision
from hwnas.training.recipe import Recipe

_WEIGHTS, _AVERAGE, _OPTIMIZER = "weights.", "average.", "optimizer."


class TrainingLoop:
    """A network in training with its optimiser, schedule and moving average."""

    def __init__(self, module: nn.Module, loss: LossFunction, recipe: Recipe, seed: int) -> None:
        """Move the network to the device and make everything that belongs to it.

        Args:
            module: freshly initialised.
            loss: outputs and targets to a scalar.
            recipe: how to train.
            seed: of what is random inside the network, such as dropout.
        """
        # Precision is ours: Accelerator keeps one per process, and several trainings share a process.
        self.accelerator = Accelerator(mixed_precision="no")
        self.device = self.accelerator.device
        self.step = 0
        self._recipe, self._seed, self._loss = recipe, seed, loss
        self._precision = choose_precision(recipe.mixed_precision, self.device, module)
        if self.accelerator.num_processes > 1 and self.device.type == "cuda":
            module = nn.SyncBatchNorm.convert_sync_batchnorm(module)  # type: ignore[no-untyped-call]
        self._plain = module.to(device=self.device, memory_format=self._precision.memory_format)  # type: ignore[call-overload]
        self._optimizer = make_optimizer(self._plain, recipe)
        self._schedule = make_schedule(self._optimizer, recipe)
        self._average = moving_average(self._plain, recipe.average) if recipe.average else None
        self._scaler = GradScaler(self.device.type, enabled=self._precision.name == "fp16")
        self._module = self.accelerator.prepare_model(self._plain)
        self.losses = LossCurve(recipe.steps)

    @property
    def result(self) -> nn.Module:
        """The network to keep: the moving average where there is one."""
        module = self._plain if self._average is None else self._average.module
        assert isinstance(module, nn.Module)  # noqa: S101 - for the type checker
        return module

    @property
    def learning_rate(self) -> float:
        """Learning rate of the next step."""
        return float(self._optimizer.param_groups[0]["lr"])

    def advance(self, inputs: Tree, targets: Tree) -> float:
        """Do one step and return its loss, the mean over all processes.

        Raises:
            TrainingError: if the loss is not finite; names step and learning rate.
        """
        # The state of the generator is a function of seed and step, hence not part of a checkpoint.
        torch.manual_seed((self._seed * 1_000_003 + self.step) * 1_009 + self.accelerator.process_index)
        self._module.train()
        inputs = mapped(inputs, self._moved)
        with self._autocast():
            outputs = run(self._module, inputs)
        loss = self._loss(outputs, mapped(targets, lambda tensor: tensor.to(self.device)))
        mean_loss = float(self.accelerator.reduce(loss.detach(), reduction="mean"))
        if not math.isfinite(mean_loss):
            raise TrainingError(
                f"The loss is {mean_loss} at step {self.step} of {self._recipe.steps}, "
                f"learning rate {self.learning_rate:.3g}. Lower learning_rate or gradient_clip."
            )
        self._optimizer.zero_grad(set_to_none=True)
        self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        self._scaler.unscale_(self._optimizer)
        nn.utils.clip_grad_norm_(self._plain.parameters(), self._recipe.gradient_clip)
        self._scaler.step(self._optimizer)
        self._scaler.update()
        self.step += 1
        if self.step < self._recipe.steps:
            self._schedule.step()
        if self._average is not None:
            self._average.update_parameters(self._plain)
        self.losses.add(self.step, mean_loss)
        return mean_loss

    def checkpoint(self) -> Checkpoint:
        """Return everything that `restore` needs."""
        tensors = prefixed(_WEIGHTS, self._plain.state_dict())
        tensors |= prefixed(_OPTIMIZER, optimizer_tensors(self._optimizer))
        if self._average is not None:
            tensors |= prefixed(_AVERAGE, self._average.state_dict())
        scalars = {
            "groups": optimizer_scalars(self._optimizer),
            "schedule": self._schedule.state_dict(),
            "scaler": self._scaler.state_dict(),
            "precision": self._precision.name,
            "losses": self.losses.to_json(),
        }
        return Checkpoint(self.step, finished=False, tensors=tensors, scalars=scalars)

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go on where `checkpoint` was taken.

        Raises:
            TrainingError: if it was trained in other numbers, so that the result would be neither's.
        """
        if checkpoint.scalars["precision"] != self._precision.name:
            raise TrainingError(
                f"The checkpoint was trained with mixed precision {checkpoint.scalars['precision']!r}, this "
                f"device would use {self._precision.name!r}. Set mixed_precision, or train without resuming."
            )
        self._plain.load_state_dict(unprefixed(_WEIGHTS, checkpoint.tensors))
        load_optimizer(
            self._optimizer, unprefixed(_OPTIMIZER, checkpoint.tensors), checkpoint.scalars["groups"]
        )
        self._schedule.load_state_dict(dict(checkpoint.scalars["schedule"]))
        self._scaler.load_state_dict(dict(checkpoint.scalars["scaler"]))
        if self._average is not None:
            self._average.load_state_dict(unprefixed(_AVERAGE, checkpoint.tensors))
        self.losses = LossCurve(self._recipe.steps, checkpoint.scalars["losses"])
        self.step = checkpoint.step

    def _moved(self, tensor: Tensor) -> Tensor:
        if tensor.ndim != 4:  # only images have an order of their channels
            return tensor.to(self.device)
        return tensor.to(self.device, memory_format=self._precision.memory_format)

    def _autocast(self) -> contextlib.AbstractContextManager[Any]:
        if not self._precision.is_mixed:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, self._precision.autocast_dtype)
