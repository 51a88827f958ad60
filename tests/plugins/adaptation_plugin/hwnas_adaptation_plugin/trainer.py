"""The trainer `reptile`: weights from which a few steps lead to any orchard, and figures after these steps.

Source: Nichol, Achiam, Schulman, "On First-Order Meta-Learning Algorithms", arXiv:1803.02999, algorithm 1.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import numpy as np
import torch
from torch import nn

from hwnas.architecture import Architecture
from hwnas.errors import ConfigError, TrainingInterruptedError
from hwnas.tasks.base import Quality
from hwnas.training.checkpoint import (
    WEIGHTS_FILE,
    Checkpoint,
    Identity,
    load_checkpoint,
    load_weights,
    prefixed,
    save_checkpoint,
    save_result,
    unprefixed,
)
from hwnas.training.predict import torch_predict
from hwnas.training.recipe import Recipe
from hwnas.training.trainers import Progress, Trainer, TrainerContext
from hwnas_adaptation_plugin.task import RipeFruit

NAME = "reptile"
_DEFAULTS = {"adaptation_steps": 8, "adaptation_rate": 0.1}
_WEIGHTS = "weights."


class Reptile:
    """See the module; it trains networks of `ripe-fruit` alone."""

    name = NAME
    adapts = True

    def __init__(self, task: RipeFruit, context: TrainerContext, steps: int, rate: float) -> None:
        """Take the family of tasks, and how networks are adapted: so many steps of gradient descent."""
        self._task, self._space, self._steps, self._rate = task, context.space, steps, rate

    def train(
        self,
        architecture: Architecture,
        recipe: Recipe,
        *,
        seed: int,
        directory: Path,
        progress: Progress | None = None,
        is_stopped: Callable[[], bool] | None = None,
        start: Path | None = None,
    ) -> nn.Module:
        """Move the weights towards those adapted to one orchard after the other.

        Of the recipe `steps`, `learning_rate` (of the loss's gradient while adapting it is a setting of the
        trainer) and `checkpoint_every` count; a step is one orchard.

        Raises:
            TrainingError: if `directory` holds another training.
            TrainingInterruptedError: if it was stopped.
        """
        directory.mkdir(parents=True, exist_ok=True)
        begun = f"{recipe.id}-{NAME}-{self._steps}-{self._rate}-{start or 'fresh'}"
        identity = Identity(architecture.id, begun, seed, self._task.fingerprint())
        known = load_checkpoint(directory, identity)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            module = self._space.build(architecture)
        if known is None or not known.finished:
            if known is not None:
                module.load_state_dict(unprefixed(_WEIGHTS, known.tensors))
            elif start is not None:
                load_weights(start, module)
            first = known.step if known is not None else 0
            self._run(module, architecture, recipe, identity, directory, first, progress, is_stopped)
        load_weights(directory / WEIGHTS_FILE, module)
        return module.eval()

    def evaluate(
        self,
        module: nn.Module,
        architecture: Architecture,
        *,
        seed: int = 0,
        split: str = "val",
        limit: int | None = None,
    ) -> Quality:
        """Adapt a copy of the network to each orchard of a split, and evaluate it there."""
        io_spec = self._task.io_spec(architecture)
        predicts = {}
        for orchard in self._task.orchards(split)[:limit]:
            adapted, _ = self._adapted(module, architecture, orchard)
            predicts[orchard] = torch_predict(adapted, io_spec)
        return self._task.quality(predicts)

    def _run(
        self,
        module: nn.Module,
        architecture: Architecture,
        recipe: Recipe,
        identity: Identity,
        directory: Path,
        first: int,
        progress: Progress | None,
        is_stopped: Callable[[], bool] | None,
    ) -> None:
        orchards = self._task.orchards("train")
        for step in range(first, recipe.steps):
            rng = np.random.default_rng([identity.seed, step])
            adapted, loss = self._adapted(module, architecture, orchards[int(rng.integers(len(orchards)))])
            share = 0.5 * (1.0 - step / recipe.steps)
            with torch.no_grad():
                for own, other in zip(module.parameters(), adapted.parameters(), strict=True):
                    own.lerp_(other, share)
                for own, other in zip(module.buffers(), adapted.buffers(), strict=True):
                    own.copy_(other)
            if progress is not None:
                progress(step + 1, recipe.steps, loss)
            ends_here = is_stopped is not None and is_stopped()
            if step + 1 < recipe.steps and (ends_here or (step + 1) % recipe.checkpoint_every == 0):
                tensors = prefixed(_WEIGHTS, module.state_dict())
                save_checkpoint(directory, identity, Checkpoint(step + 1, False, tensors, {}))
            if ends_here and step + 1 < recipe.steps:
                raise TrainingInterruptedError(
                    f"Training of {architecture.id} was stopped at step {step + 1}."
                )
        save_result(directory, identity, recipe.steps, module)

    def _adapted(
        self, module: nn.Module, architecture: Architecture, orchard: int
    ) -> tuple[nn.Module, float]:
        """Return a copy after some steps on the support images of an orchard, and its last loss."""
        adapted = deepcopy(module).cpu().train()
        optimizer = torch.optim.SGD(adapted.parameters(), lr=self._rate, momentum=0.9)
        loss_of = self._task.loss(architecture, Recipe.proxy().loss)
        images, targets = self._task.support(orchard)
        value = 0.0
        for _ in range(self._steps):
            optimizer.zero_grad()
            loss = loss_of(adapted(images), targets)
            loss.backward()
            optimizer.step()
            value = float(loss.detach())
        return adapted, value


def make_trainer(context: TrainerContext) -> Trainer:
    """Return the trainer; its settings are `adaptation_steps` and `adaptation_rate`.

    Raises:
        ConfigError: if a setting is unknown or wrong, or the task is no family of orchards.
    """
    settings = {**_DEFAULTS, **context.settings}
    unknown = sorted(set(settings) - set(_DEFAULTS))
    steps, rate = settings["adaptation_steps"], settings["adaptation_rate"]
    if unknown or type(steps) is not int or steps < 1 or not isinstance(rate, int | float) or not rate > 0:
        raise ConfigError(
            f"{NAME} takes adaptation_steps (a whole number from 1) and adaptation_rate (above 0), "
            f"but got {dict(context.settings)}."
        )
    if not isinstance(context.task, RipeFruit):
        raise ConfigError(f"{NAME} trains networks of 'ripe-fruit', but the task is {context.task.name!r}.")
    return Reptile(context.task, context, steps, float(rate))
