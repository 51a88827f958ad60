"""Initial weights of a network, learned over a family of tasks; resumable."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence, Sized
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import nn
from torch.utils.data import Dataset, default_collate

from hwnas.architecture import Architecture
from hwnas.errors import ConfigError, DataError
from hwnas.files import sha256_of_file
from hwnas.search_spaces.base import make_search_space
from hwnas.tasks.base import LossFunction, LossSettings, Task
from hwnas.tasks.families.family import FamilyMember, TaskFamily
from hwnas.training.batch_norms import re_estimate_batch_norms
from hwnas.training.checkpoint import (
    WEIGHTS_FILE,
    Checkpoint,
    Identity,
    load_checkpoint,
    load_weights,
    save_checkpoint,
    save_result,
)
from hwnas.training.heads import head_parameters
from hwnas.training.meta.batch_norm import with_task_batch_norms
from hwnas.training.meta.gradients import ANIL, REPTILE, Episode, InnerLoop
from hwnas.training.meta.initialisation import INITIALISATION_FILE, Initialisation, StatedFamily
from hwnas.training.meta.network_episode import Batch, network_episode
from hwnas.training.meta.outer_loop import OuterLoop
from hwnas.training.meta.settings import MetaSettings
from hwnas.training.samples import Sample
from hwnas.training.trainers import Progress

CHECKPOINT_EVERY = 10
_MEMBERS_FOR_STATISTICS = 8
_HELD_OUT = 1 << 40
"""Where a step stands that is none of the outer loop's: draws of held-out members are their own."""


@dataclass(frozen=True)
class MetaNetwork:
    """The network whose initial weights are learned.

    Attributes:
        architecture: for any of the tasks; input height and outputs become those of each.
        task: name of the kind of task.
        settings: of it that all members share.
        space: name of the search space.
        restrictions: of the space.
        loss: weights of its parts.
        weights: to begin with, of the same architecture and classes; None for fresh ones.
    """

    architecture: Architecture
    task: str
    settings: Mapping[str, Any]
    space: str
    restrictions: Mapping[str, Sequence[Any]]
    loss: LossSettings
    weights: Path | None = None


class _Member:
    """A task of the family, with the network as that task needs it."""

    def __init__(self, member: FamilyMember, network: MetaNetwork) -> None:
        self.name = member.name
        self.task: Task = member.task(network.task, network.settings)
        self._network = network

    @cached_property
    def architecture(self) -> Architecture:
        contract, own = self.task.contract, self._network.architecture
        shape = (contract.in_channels, contract.height, own.input_shape[2])
        return replace(own, input_shape=shape, outputs=contract.outputs)

    def build(self) -> nn.Module:
        """Return the network, of fresh weights."""
        network = self._network
        space = make_search_space(network.space, self.task.contract, network.restrictions)
        return space.build(self.architecture)

    @cached_property
    def module(self) -> nn.Module:
        """The network in which episodes replace the parameters."""
        with torch.random.fork_rng(devices=[]):
            return with_task_batch_norms(self.build())

    @cached_property
    def head(self) -> frozenset[str]:
        network = self._network
        space = make_search_space(network.space, self.task.contract, network.restrictions)
        return head_parameters(space, self.task, self.architecture)

    @cached_property
    def samples(self) -> Dataset[Sample]:
        return self.task.train_dataset(self.architecture, augmentation=0.0, seed=0)

    @cached_property
    def loss(self) -> LossFunction:
        return self.task.loss(self.architecture, self._network.loss)

    def batches(self, shots: int, draw: Sequence[int]) -> tuple[Batch, Batch]:
        """Return samples to adapt to, and others.

        Args:
            shots: how many of each; fewer others where there are too few.
            draw: decides which.

        Raises:
            DataError: if there are too few for both.
        """
        count = len(cast("Sized", self.samples))
        if count <= shots:
            raise DataError(
                f"The member {self.name!r} of the family has {count} labelled training samples, but {shots} "
                "are adapted to and others are needed besides. Give it more, or lower `shots`."
            )
        order = [int(place) for place in np.random.default_rng(draw).permutation(count)]
        return self._batch(order[:shots]), self._batch(order[shots : 2 * shots])

    def _batch(self, places: Sequence[int]) -> Batch:
        inputs, targets = default_collate([self.samples[place] for place in places])
        return inputs, targets

    def episode(self, settings: MetaSettings, draw: Sequence[int]) -> Episode:
        """Return an episode of this task; Reptile goes through all its samples in turn, as published."""
        support, query = self.batches(settings.shots, draw)
        steps_on = (support, query) if settings.method == REPTILE else ()
        return network_episode(self.module, self.loss, support, query, steps_on=steps_on)


def meta_train(
    network: MetaNetwork,
    family: TaskFamily,
    settings: MetaSettings,
    directory: Path,
    *,
    progress: Progress | None = None,
    say: Callable[[str], None] | None = None,
) -> Initialisation:
    """Learn initial weights over the members of a family that are not held out.

    The same arguments on the same machine give the same weights, whether or not it was interrupted.
    Batch norms have the statistics of each task's support samples, see `hwnas.training.meta.batch_norm`; the
    running ones that are written are the mean over some members whose images have one size, and whoever
    adapts the network replaces them. There is no augmentation.

    Args:
        network: what is learned.
        family: whose synthetic scans are drawn already.
        settings: how.
        directory: where the checkpoint, and in the end the weights and `initialisation.json` go; goes on with
            what it holds.
        progress: is told after every step of the outer loop.
        say: is told in words what is done besides.

    Raises:
        ConfigError: if members have other classes or inputs than the network.
        DataError: if a member has too few samples.
        TrainingError: if a loss is not finite, or `directory` holds another training.
    """
    say = say or _silent
    say(f"opening {len(family.members)} members of {family.name}")
    train = [_Member(member, network) for member in family.train]
    held_out = [_Member(member, network) for member in family.held_out]
    _refuse_unlike([*train, *held_out])
    started_from = None if network.weights is None else sha256_of_file(network.weights)
    fingerprints = "\n".join(member.task.fingerprint() for member in (*train, *held_out))
    identity = Identity(
        network.architecture.id,
        f"meta-{settings.id}-from-{'nothing' if started_from is None else started_from[:16]}",
        settings.seed,
        hashlib.sha256(f"{family.id}\n{fingerprints}".encode()).hexdigest(),
    )
    directory.mkdir(parents=True, exist_ok=True)
    checkpoint = load_checkpoint(directory, identity)
    if checkpoint is not None and checkpoint.finished and (directory / INITIALISATION_FILE).is_file():
        return Initialisation.load(directory)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        module = train[0].build()
        if network.weights is not None:
            load_weights(network.weights, module)
        training = _MetaTraining(train, held_out, settings, module)
        say("adapting to held-out members from the first weights")
        before = training.held_out_losses()
        if checkpoint is None or not checkpoint.finished:
            train_s = training.run(directory, identity, checkpoint, progress)
        else:
            train_s = float(checkpoint.scalars["seconds"])
        load_weights(directory / WEIGHTS_FILE, module)
        training.restart_from(module)
        say("adapting to held-out members from the learned weights")
        found = Initialisation(
            directory=directory,
            settings=settings,
            architecture=network.architecture,
            class_names=train[0].task.class_names,
            task=network.task,
            family=StatedFamily.from_json(family.to_json()),
            started_from=started_from,
            before=before,
            after=training.held_out_losses(),
            train_s=round(train_s, 3),
            weights_sha256=sha256_of_file(directory / WEIGHTS_FILE),
        )
    found.save()
    return found


def _silent(_message: str) -> None:
    """Hear nothing."""


def _refuse_unlike(members: Sequence[_Member]) -> None:
    """Refuse members whose networks cannot have one set of weights.

    Raises:
        ConfigError: naming two that differ.
    """
    first = members[0]
    for member in members[1:]:
        if member.task.class_names != first.task.class_names:
            raise ConfigError(
                f"All members of a family must have the same classes, but {first.name!r} has "
                f"{list(first.task.class_names)} and {member.name!r} {list(member.task.class_names)}. Name a "
                "`label_map` in the file of the family."
            )
        shapes = [
            {name: tuple(parameter.shape) for name, parameter in each.module.named_parameters()}
            for each in (first, member)
        ]
        if shapes[0] != shapes[1]:
            raise ConfigError(
                f"The network has other parameters for {member.name!r} than for {first.name!r}. Members of a "
                "family need inputs of the same channels and outputs of the same number."
            )


class _MetaTraining:
    """Steps of one meta-training, each a function of its number and the seed alone."""

    def __init__(
        self, train: Sequence[_Member], held_out: Sequence[_Member], settings: MetaSettings, module: nn.Module
    ) -> None:
        self._train, self._held_out, self._settings = train, held_out, settings
        self._module = module
        self._inner = InnerLoop(
            settings.inner_steps,
            settings.inner_learning_rate,
            only=train[0].head if settings.method == ANIL else None,
        )
        self.restart_from(module)

    def restart_from(self, module: nn.Module) -> None:
        """Take other weights as initial ones."""
        self._outer = OuterLoop(
            dict(module.named_parameters()), learning_rate=self._settings.learning_rate, gradient_clip=1.0
        )

    def held_out_losses(self) -> dict[str, float]:
        """Return the loss on other samples of each held-out member after adaptation to few."""
        losses = {}
        for place, member in enumerate(self._held_out):
            episode = member.episode(self._settings, [self._settings.seed, _HELD_OUT, place])
            adapted = self._inner.adapted(self._outer.parameters, episode.support)
            with torch.no_grad():
                losses[member.name] = float(episode.query(adapted))
        return losses

    def run(
        self,
        directory: Path,
        identity: Identity,
        checkpoint: Checkpoint | None,
        progress: Progress | None,
    ) -> float:
        """Do the steps that are left, write the weights, and return the seconds of all sessions."""
        before_s, started_s = 0.0, time.monotonic()
        if checkpoint is not None:
            self._outer.restore(checkpoint)
            before_s = float(checkpoint.scalars["seconds"])
        while self._outer.step < self._settings.steps:
            loss = self._outer.advance(self._settings.method, self._episodes(), self._inner)
            step = self._outer.step
            if progress is not None:
                progress(step, self._settings.steps, loss)
            if step % CHECKPOINT_EVERY == 0 and step < self._settings.steps:
                state = self._outer.checkpoint()
                seconds = before_s + time.monotonic() - started_s
                save_checkpoint(
                    directory, identity, replace(state, scalars={**state.scalars, "seconds": seconds})
                )
        seconds = before_s + time.monotonic() - started_s
        self._write_into_module()
        save_result(directory, identity, self._outer.step, self._module, {"seconds": seconds})
        return seconds

    def _episodes(self) -> list[Episode]:
        settings, step = self._settings, self._outer.step
        draw = np.random.default_rng([settings.seed, step])
        count = min(settings.tasks_per_step, len(self._train))
        places = [int(place) for place in draw.permutation(len(self._train))[:count]]
        return [self._train[place].episode(settings, [settings.seed, step, place]) for place in places]

    def _write_into_module(self) -> None:
        """Give the network the learned weights, and running statistics of some members."""
        with torch.no_grad():
            for name, parameter in self._module.named_parameters():
                parameter.copy_(self._outer.parameters[name])
        alike = [member for member in self._train if member.architecture == self._train[0].architecture]
        inputs = [
            member.batches(self._settings.shots, [self._settings.seed, _HELD_OUT, place])[0][0]
            for place, member in enumerate(alike[:_MEMBERS_FOR_STATISTICS])
        ]
        re_estimate_batch_norms(self._module, inputs)
