"""Trains one architecture on one task, and survives being killed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection
from copy import deepcopy
from functools import partial
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import Dataset

from hwnas.architecture import Architecture
from hwnas.errors import ConfigError, TrainingInterruptedError
from hwnas.files import sha256_of_file
from hwnas.search_spaces.base import SearchSpace
from hwnas.tasks.base import Task
from hwnas.tasks.training_parts import TrainingSamples, training_loss
from hwnas.training.checkpoint import (
    WEIGHTS_FILE,
    Identity,
    load_checkpoint,
    load_weights,
    save_checkpoint,
    save_result,
)
from hwnas.training.loop import TrainingLoop
from hwnas.training.recipe import Recipe
from hwnas.training.samples import EndlessDataset, PretrainingDataset, Sample, StepSampler, load_batches
from hwnas.training.trainers import Progress


def train(
    task: Task,
    space: SearchSpace,
    architecture: Architecture,
    recipe: Recipe,
    *,
    seed: int,
    directory: Path,
    resume: bool = True,
    progress: Progress | None = None,
    is_stopped: Callable[[], bool] | None = None,
    start: Path | None = None,
    trainable: Collection[str] | None = None,
) -> nn.Module:
    """Train an architecture and return the network, on the CPU and in evaluation mode.

    The same arguments on the same machine give the same network, whether or not the training was
    interrupted. Started by `accelerate launch`, all processes train one network together; each gets it.

    Args:
        task: gives samples and loss.
        space: builds the network.
        architecture: what to train.
        recipe: how to train.
        seed: of initial weights, order of the samples and augmentation.
        directory: where the checkpoint, and in the end `weights.safetensors` and `state.json`, go.
        resume: go on from the checkpoint in `directory`; a finished training is only read.
        progress: is told after every step.
        is_stopped: is asked after every step whether the training is to end; its checkpoint is saved first.
        start: weights to begin with, safetensors; None for fresh ones.
        trainable: names of the parameters that are trained, while the others stay; None for all. Running
            statistics of batch norms follow the data in any case.

    Raises:
        ConfigError: if the batch cannot be shared equally among the processes.
        TrainingError: if the loss is not finite, or `directory` holds another training.
        TrainingInterruptedError: if it was stopped.
    """
    directory.mkdir(parents=True, exist_ok=True)
    begun = recipe.id if start is None else f"{recipe.id}-from-{sha256_of_file(start)[:16]}"
    if trainable is not None:
        named = "\n".join(sorted(trainable))
        begun += f"-only-{hashlib.sha256(named.encode()).hexdigest()[:16]}"
    identity = Identity(architecture.id, begun, seed, task.fingerprint())
    checkpoint = load_checkpoint(directory, identity) if resume else None
    # What is random here must not change what the caller draws afterwards.
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        module = space.build(architecture)
        if start is not None and checkpoint is None:
            load_weights(start, module)
        if checkpoint is None or not checkpoint.finished:
            loss = training_loss(task, architecture, recipe.loss)
            loop = TrainingLoop(_with_frozen(deepcopy(module), trainable), loss, recipe, seed)
            if checkpoint is not None:
                loop.restore(checkpoint)
            _run(loop, task, architecture, recipe, identity, directory, progress, is_stopped)
    load_weights(directory / WEIGHTS_FILE, module)
    return module.eval()


def _with_frozen(module: nn.Module, trainable: Collection[str] | None) -> nn.Module:
    """Return a module whose other parameters than those named get no gradient."""
    for name, parameter in module.named_parameters():
        parameter.requires_grad_(trainable is None or name in trainable)
    return module


def _run(
    loop: TrainingLoop,
    task: Task,
    architecture: Architecture,
    recipe: Recipe,
    identity: Identity,
    directory: Path,
    progress: Progress | None,
    is_stopped: Callable[[], bool] | None,
) -> None:
    """Do the steps that are left and write the result."""
    accelerator = loop.accelerator
    if recipe.batch_size % accelerator.num_processes:
        raise ConfigError(
            f"batch_size is {recipe.batch_size}; with {accelerator.num_processes} processes it must be "
            "a multiple of their number."
        )
    sampler = StepSampler(
        first_step=loop.step,
        steps=recipe.steps,
        batch_size=recipe.batch_size,
        process=accelerator.process_index,
        num_processes=accelerator.num_processes,
    )
    for inputs, targets in load_batches(
        _samples(task, architecture, recipe, identity.seed), sampler, workers=recipe.workers
    ):
        loss = loop.advance(inputs, targets)
        if progress is not None:
            progress(loop.step, recipe.steps, loss)
        if loop.step == recipe.steps:
            break
        ends_here = is_stopped is not None and is_stopped()
        if ends_here or loop.step % recipe.checkpoint_every == 0:
            if accelerator.is_main_process:
                save_checkpoint(directory, identity, loop.checkpoint())
            accelerator.wait_for_everyone()
        if ends_here:
            raise TrainingInterruptedError(
                f"Training of {architecture.id} was stopped at step {loop.step} of {recipe.steps}; its "
                f"checkpoint is in {directory}."
            )
    if accelerator.is_main_process:
        save_result(directory, identity, loop.step, loop.result, {"losses": loop.losses.to_json()})
    accelerator.wait_for_everyone()


def _samples(task: Task, architecture: Architecture, recipe: Recipe, seed: int) -> Dataset[Sample]:
    """Return the samples of all steps: item i belongs to step i // batch_size."""
    take = partial(TrainingSamples, task, architecture, augmentation=recipe.augmentation, seed=seed)
    own = EndlessDataset(take(), seed)
    if not (recipe.pretraining_steps or recipe.pretraining_share):
        return own
    other = take(is_pretraining=True)
    items = recipe.pretraining_steps * recipe.batch_size
    return PretrainingDataset(
        EndlessDataset(other, seed), items, own, share=recipe.pretraining_share, seed=seed
    )
