"""Training of shared weights by the sandwich rule, resumable, and what is written of them."""

from __future__ import annotations

import hashlib
import json
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import Dataset

from hwnas.architecture import Architecture
from hwnas.errors import ConfigError, TrainingError
from hwnas.files import read_checked_json, write_checked_json
from hwnas.search_spaces.base import SearchSpace, sample_choices
from hwnas.tasks.base import Task
from hwnas.tasks.training_parts import TrainingSamples, training_loss
from hwnas.tasks.trees import Tree
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
from hwnas.training.optimizers import (
    load_optimizer,
    make_optimizer,
    make_schedule,
    optimizer_scalars,
    optimizer_tensors,
)
from hwnas.training.recipe import Recipe
from hwnas.training.samples import EndlessDataset, Sample, StepSampler, load_batches
from hwnas.training.shared_weights import SharedWeights, extreme
from hwnas.training.trainers import Progress

HEADER_FILE = "supernet.json"
SCHEMA_VERSION = 1
_RANDOM = 2
"""Random networks a step, beside the largest and the smallest one."""
_WEIGHTS, _OPTIMIZER = "weights.", "optimizer."


def train_supernet(
    task: Task,
    space: SearchSpace,
    recipe: Recipe,
    *,
    seed: int,
    directory: Path,
    progress: Progress | None = None,
) -> SharedWeights:
    """Train the shared weights of a space; an interrupted training goes on from its checkpoint.

    Every step adds the gradients of the largest network, the smallest, and two random ones on the same batch:
    the sandwich rule (Yu and Huang, "Universally Slimmable Networks", ICCV 2019). Types of blocks, strides
    and other genes that have no order are drawn for each of them.

    Args:
        task: gives samples and loss.
        space: of the networks; all must have one input size.
        recipe: steps, batch, learning rate; its moving average is not used.
        seed: of values, networks and samples.
        directory: where the checkpoint, `supernet.json` and in the end `weights.safetensors` go.
        progress: is told after every step.

    Raises:
        ConfigError: if the space has several input widths.
        TrainingError: if the loss is not finite, or `directory` holds another training.
    """
    header = header_of(task, space, recipe, seed)
    architecture = largest(space, np.random.default_rng(seed))
    directory.mkdir(parents=True, exist_ok=True)
    identity = Identity(header["id"], recipe.id, seed, task.fingerprint())
    checkpoint = load_checkpoint(directory, identity)
    shared = SharedWeights(space, seed=seed)
    if checkpoint is None or not checkpoint.finished:
        write_checked_json(directory / HEADER_FILE, header)
        seconds = _Sandwich(shared, task, space, architecture, recipe, seed).run(
            directory, identity, checkpoint, progress
        )
        write_checked_json(directory / HEADER_FILE, {**header, "seconds": round(seconds, 3)})
    load_weights(directory / WEIGHTS_FILE, shared)
    return shared


def load_supernet(directory: Path, space: SearchSpace, task: Task) -> SharedWeights:
    """Return shared weights that were trained for a space and a task.

    Raises:
        TrainingError: if there are none, they are damaged, or of another space or other data.
    """
    header = read_header(directory)
    wanted = space_of(space)
    if header["space"] != wanted:
        raise TrainingError(
            f"The supernet in {directory} is of another space than this one: {header['space']} instead of "
            f"{wanted}. Train one for this space."
        )
    if header["data"] != task.fingerprint():
        raise TrainingError(
            f"The supernet in {directory} was trained on other data than the task {task.name!r} has now: "
            "samples, labels, settings, or how data are read. Restore them, or train a supernet on these: "
            "`hwnas supernet RUN.yaml --out DIR`."
        )
    shared = SharedWeights(space, seed=header["seed"])
    load_weights(directory / WEIGHTS_FILE, shared)
    return shared


def seconds_of_supernet(directory: Path) -> float:
    """Return what training the shared weights in a directory took; 0 where that is not known.

    Raises:
        TrainingError: as `read_header`.
    """
    return float(read_header(directory).get("seconds", 0.0))


def read_header(directory: Path) -> dict[str, Any]:
    """Return what a supernet is of, see `header_of`.

    Raises:
        TrainingError: if there is none, or it is damaged.
    """
    path = directory / HEADER_FILE
    remedy = "`hwnas supernet RUN.yaml --out DIR` trains one."
    try:
        header = read_checked_json(path)
        found = {"seed": int(header["seed"]), "space": header["space"], "data": str(header["data"])}
    except FileNotFoundError as error:
        raise TrainingError(f"{directory} holds no supernet: there is no {HEADER_FILE}. {remedy}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise TrainingError(
            f"{path} cannot be relied on: {error}. Restore it from a copy, or remove {directory}; {remedy}"
        ) from error
    return {**header, **found}


def header_of(task: Task, space: SearchSpace, recipe: Recipe, seed: int) -> dict[str, Any]:
    """Return what a supernet is of, as plain JSON values.

    Raises:
        ConfigError: if the space has several input widths.
    """
    widths = space.choices.get("input_width", ())
    if len(widths) > 1:
        raise ConfigError(
            f"Weights are shared by networks of one input width, but the space has {list(widths)}. Restrict "
            "space.choices.input_width to one of them."
        )
    content = {
        "schema_version": SCHEMA_VERSION,
        "space": space_of(space),
        "recipe": recipe.to_json(),
        "seed": seed,
        "data": task.fingerprint(),
    }
    digest = hashlib.sha256(json.dumps(content["space"], sort_keys=True).encode("utf-8")).hexdigest()
    return {**content, "id": f"supernet-{digest[:16]}"}


def space_of(space: SearchSpace) -> dict[str, Any]:
    """Return the name and the choices of a space as plain JSON values."""
    plain: dict[str, Any] = json.loads(json.dumps({gene: list(v) for gene, v in space.choices.items()}))
    return {"name": space.name, "choices": plain}


def largest(space: SearchSpace, rng: np.random.Generator) -> Architecture:
    """Return a network whose every number is the largest; what has no order is drawn."""
    return space.decode({**sample_choices(space, rng), **extreme(space, max)})


def smallest(space: SearchSpace, rng: np.random.Generator) -> Architecture:
    """Return a network whose every number is the smallest; what has no order is drawn."""
    return space.decode({**sample_choices(space, rng), **extreme(space, min)})


@dataclass
class _Sandwich:
    """Steps of one training, each a function of its number and the seed alone."""

    shared: SharedWeights
    task: Task
    space: SearchSpace
    architecture: Architecture
    recipe: Recipe
    seed: int

    def __post_init__(self) -> None:
        self._optimizer = make_optimizer(self.shared, self.recipe)
        self._schedule = make_schedule(self._optimizer, self.recipe)
        self._loss = training_loss(self.task, self.architecture, self.recipe.loss)
        self._step = 0
        self._started_s, self._before_s = time.monotonic(), 0.0

    def run(
        self,
        directory: Path,
        identity: Identity,
        checkpoint: Checkpoint | None,
        progress: Progress | None,
    ) -> float:
        """Do the steps that are left; return the seconds that all sessions took up to their checkpoints."""
        recipe = self.recipe
        if checkpoint is not None:
            self._restore(checkpoint)
        sampler = StepSampler(first_step=self._step, steps=recipe.steps, batch_size=recipe.batch_size)
        for inputs, targets in load_batches(self._samples(), sampler, workers=recipe.workers):
            loss = self._advance(inputs, targets)
            if progress is not None:
                progress(self._step, recipe.steps, loss)
            if self._step % recipe.checkpoint_every == 0 and self._step < recipe.steps:
                save_checkpoint(directory, identity, self._checkpoint())
        save_result(directory, identity, self._step, self.shared)
        return self._seconds

    @property
    def _seconds(self) -> float:
        return self._before_s + time.monotonic() - self._started_s

    def _advance(self, inputs: Tree, targets: Tree) -> float:
        """Do one step and return its loss, the mean over its networks.

        Raises:
            TrainingError: if the loss is not finite.
        """
        self._optimizer.zero_grad(set_to_none=True)
        total = 0.0
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed * 1_000_003 + self._step)
            for architecture in self._networks(self._step):
                loss = self._loss(self.shared.outputs(architecture, inputs), targets)
                total += float(loss.detach())
                loss.backward()  # type: ignore[no-untyped-call]
        if not math.isfinite(total):
            raise TrainingError(
                f"The loss of the supernet is {total} at step {self._step} of {self.recipe.steps}. Lower "
                "learning_rate or gradient_clip."
            )
        nn.utils.clip_grad_norm_(self.shared.parameters(), self.recipe.gradient_clip)
        self._optimizer.step()
        self._step += 1
        if self._step < self.recipe.steps:
            self._schedule.step()
        return total / (_RANDOM + 2)

    def _checkpoint(self) -> Checkpoint:
        """Return everything that `_restore` needs."""
        tensors = prefixed(_WEIGHTS, self.shared.state_dict())
        tensors |= prefixed(_OPTIMIZER, optimizer_tensors(self._optimizer))
        scalars = {
            "groups": optimizer_scalars(self._optimizer),
            "schedule": self._schedule.state_dict(),
            "seconds": self._seconds,
        }
        return Checkpoint(self._step, False, tensors, scalars)

    def _restore(self, checkpoint: Checkpoint) -> None:
        self._step, self._before_s = checkpoint.step, float(checkpoint.scalars["seconds"])
        self.shared.load_state_dict(unprefixed(_WEIGHTS, checkpoint.tensors))
        load_optimizer(
            self._optimizer, unprefixed(_OPTIMIZER, checkpoint.tensors), checkpoint.scalars["groups"]
        )
        self._schedule.load_state_dict(dict(checkpoint.scalars["schedule"]))

    def _networks(self, step: int) -> list[Architecture]:
        rng = np.random.default_rng([self.seed, step])
        drawn = [self.space.decode(sample_choices(self.space, rng)) for _ in range(_RANDOM)]
        return [largest(self.space, rng), *drawn, smallest(self.space, rng)]

    def _samples(self) -> Dataset[Sample]:
        dataset = TrainingSamples(
            self.task, self.architecture, augmentation=self.recipe.augmentation, seed=self.seed
        )
        return EndlessDataset(dataset, self.seed)
