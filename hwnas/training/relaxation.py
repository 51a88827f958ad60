"""Choices of a space as probabilities, moved by gradients through the shared weights; resumable.

For each weight w of the latency there are logits of its own for all genes. The loss of a set is

    L = E[task loss] + w * E[ln latency],

the first over mixtures of two options a gene (see `relaxed_network`), the second over networks drawn from the
probabilities, with latencies from a table. Where options cannot be mixed, one is drawn, and the gradient is
that of the logarithm of its probability times how much worse the loss was than usual (Williams, "Simple
Statistical Gradient-Following Algorithms", Machine Learning 8, 1992); the same for the latency, against the
mean of the other networks that were drawn. The shared weights stay as they are.

Source: Liu et al., "DARTS", ICLR 2019; Cai et al., "ProxylessNAS", ICLR 2019 (two paths, expected latency);
Wu et al., "FBNet", CVPR 2019 (table of latencies in the loss).
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from hwnas.architecture import Architecture
from hwnas.errors import TrainingError
from hwnas.search_spaces.base import SearchSpace
from hwnas.tasks.base import Task
from hwnas.tasks.training_parts import TrainingSamples, training_loss
from hwnas.tasks.trees import Tree
from hwnas.training.checkpoint import (
    Checkpoint,
    Identity,
    load_checkpoint,
    prefixed,
    save_checkpoint,
    unprefixed,
)
from hwnas.training.optimizers import load_optimizer, optimizer_scalars, optimizer_tensors
from hwnas.training.recipe import Recipe
from hwnas.training.relaxed_choices import WEIGHTS, RelaxedChoices
from hwnas.training.relaxed_network import Options, RelaxedNetwork
from hwnas.training.samples import EndlessDataset, StepSampler, load_batches
from hwnas.training.shared_weights import SharedWeights
from hwnas.training.supernet import space_of
from hwnas.training.trainers import Progress

Latencies = Callable[[Sequence[Architecture]], npt.NDArray[np.float64]]
"""Latencies of networks in milliseconds; NaN for those that are not known."""

_LOGITS, _OPTIMIZER = "logits.", "optimizer."
_BETAS = (0.5, 0.999)
"""As in DARTS: probabilities must be able to turn around."""
_FORGETTING = 0.9


@dataclass(frozen=True)
class RelaxationSettings:
    """How to relax.

    Attributes:
        steps: each moves every set once.
        weights: of the latency, one for each set.
        learning_rate: of the logits, by Adam.
        drawn: networks whose latencies a step takes, for each set.
        entropy: weight of the entropy of all genes, against deciding too early.
        checkpoint_every: steps.
    """

    steps: int = 100
    weights: tuple[float, ...] = WEIGHTS
    learning_rate: float = 0.1
    drawn: int = 64
    entropy: float = 0.001
    checkpoint_every: int = 10


def relax(
    task: Task,
    space: SearchSpace,
    shared: SharedWeights,
    latencies: Latencies,
    recipe: Recipe,
    settings: RelaxationSettings,
    *,
    seed: int,
    directory: Path,
    provenance: dict[str, Any],
    progress: Progress | None = None,
) -> RelaxedChoices:
    """Move the choices of a space; an interrupted relaxation goes on from its checkpoint.

    Args:
        task: gives samples and loss.
        space: that the shared weights were trained for.
        shared: trained weights; they stay as they are.
        latencies: from a table.
        recipe: gives batch size, loss and augmentation; the rest of it is not used.
        settings: steps and weights.
        seed: of everything drawn.
        directory: where the checkpoint and in the end `relaxed.json` go.
        provenance: what else to note there; must be the same on resume.
        progress: is told after every step.

    Raises:
        TrainingError: if the table knows none of the networks, the loss is not finite, or `directory` holds
            another relaxation.
    """
    content = [space_of(space), recipe.to_json(), asdict(settings), provenance]
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode("utf-8")).hexdigest()
    identity = Identity(f"relaxation-{digest[:16]}", recipe.id, seed, task.fingerprint())
    directory.mkdir(parents=True, exist_ok=True)
    for tensor in shared.parameters():
        tensor.requires_grad_(False)
    relaxation = _Relaxation(task, space, RelaxedNetwork(space, shared), latencies, recipe, settings, seed)
    checkpoint = load_checkpoint(directory, identity)
    if checkpoint is not None:
        relaxation.restore(checkpoint)
    relaxation.run(directory, identity, progress)
    found = RelaxedChoices(
        space_of(space),
        settings.weights,
        relaxation.probabilities(),
        {**provenance, "steps": settings.steps, "seconds": round(relaxation.seconds, 3)},
        task.fingerprint(),
    )
    found.save(directory)
    return found


class _Relaxation:
    """Logits, their optimiser, and steps that are a function of their number and the seed alone."""

    def __init__(
        self,
        task: Task,
        space: SearchSpace,
        network: RelaxedNetwork,
        latencies: Latencies,
        recipe: Recipe,
        settings: RelaxationSettings,
        seed: int,
    ) -> None:
        self._space, self._network, self._latencies = space, network, latencies
        self._recipe, self._settings, self._seed = recipe, settings, seed
        sets = len(settings.weights)
        self._logits = {
            gene: torch.zeros(sets, len(values), requires_grad=True) for gene, values in space.choices.items()
        }
        self._optimizer = torch.optim.Adam(
            list(self._logits.values()), lr=settings.learning_rate, betas=_BETAS
        )
        self._usual: list[float | None] = [None] * sets
        self._step, self.seconds = 0, 0.0
        # Sizes of inputs and outputs are the same for all networks of the space.
        some = space.decode({gene: values[0] for gene, values in space.choices.items()})
        self._loss = training_loss(task, some, recipe.loss)
        self._samples = EndlessDataset(
            TrainingSamples(task, some, augmentation=recipe.augmentation, seed=seed), seed
        )

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go on where `checkpoint` was taken."""
        for gene, tensor in unprefixed(_LOGITS, checkpoint.tensors).items():
            self._logits[gene].data.copy_(tensor)
        load_optimizer(
            self._optimizer, unprefixed(_OPTIMIZER, checkpoint.tensors), checkpoint.scalars["groups"]
        )
        self._usual = list(checkpoint.scalars["usual"])
        self._step, self.seconds = checkpoint.step, float(checkpoint.scalars["seconds"])

    def run(self, directory: Path, identity: Identity, progress: Progress | None) -> None:
        """Do the steps that are left."""
        settings = self._settings
        sampler = StepSampler(first_step=self._step, steps=settings.steps, batch_size=self._recipe.batch_size)
        for inputs, targets in load_batches(self._samples, sampler, workers=self._recipe.workers):
            started_s = time.perf_counter()
            mean = self._advance(inputs, targets)
            self._step += 1
            self.seconds += time.perf_counter() - started_s
            if progress is not None:
                progress(self._step, settings.steps, mean)
            if self._step % settings.checkpoint_every == 0 or self._step == settings.steps:
                save_checkpoint(directory, identity, self._checkpoint())

    def probabilities(self) -> dict[str, npt.NDArray[np.float64]]:
        """Return the probabilities of every gene, [sets, values]."""
        return {
            gene: logits.detach().double().softmax(dim=1).numpy() for gene, logits in self._logits.items()
        }

    def _checkpoint(self) -> Checkpoint:
        tensors = prefixed(_LOGITS, {gene: logits.detach() for gene, logits in self._logits.items()})
        tensors |= prefixed(_OPTIMIZER, optimizer_tensors(self._optimizer))
        scalars = {
            "groups": optimizer_scalars(self._optimizer),
            "usual": self._usual,
            "seconds": self.seconds,
        }
        return Checkpoint(self._step, finished=False, tensors=tensors, scalars=scalars)

    def _advance(self, inputs: Tree, targets: Tree) -> float:
        """Move every set once; return the mean task loss."""
        self._optimizer.zero_grad(set_to_none=True)
        losses = []
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self._seed * 1_000_003 + self._step)
            for index, weight in enumerate(self._settings.weights):
                rng = np.random.default_rng([self._seed, self._step, index])
                logs = {gene: logits[index].log_softmax(dim=0) for gene, logits in self._logits.items()}
                task_loss, surrogate = self._task_part(index, logs, rng, inputs, targets)
                entropy = -sum(((log * log.exp()).sum() for log in logs.values()), torch.zeros(()))
                total = surrogate + weight * self._latency_part(logs, rng) - self._settings.entropy * entropy
                if not math.isfinite(float(total.detach())):
                    raise TrainingError(
                        f"The loss of the relaxation is {float(total.detach())} at step {self._step}. Train "
                        "the supernet longer, or with a lower learning rate."
                    )
                total.backward()  # type: ignore[no-untyped-call]
                losses.append(task_loss)
        self._optimizer.step()
        return float(np.mean(losses))

    def _task_part(
        self, index: int, logs: dict[str, Tensor], rng: np.random.Generator, inputs: Tree, targets: Tree
    ) -> tuple[float, Tensor]:
        """Return the task loss of a mixture, and what has the gradient of its expectation."""
        options, positions = self._drawn_options(logs, rng)
        mixed = self._network.mixable(options)
        shares = {
            gene: torch.sigmoid(logs[gene][positions[gene][0]] - logs[gene][positions[gene][1]])
            for gene in sorted(mixed)
        }
        loss = self._loss(self._network.outputs(options, shares, inputs), targets)
        value = float(loss.detach())
        usual = self._usual[index]
        known = value if usual is None else usual
        self._usual[index] = _FORGETTING * known + (1 - _FORGETTING) * value
        active = self._space.decode(options.first).genes
        chance = sum(
            (logs[gene][positions[gene][0]] for gene in logs if gene in active and gene not in mixed),
            torch.zeros(()),
        )
        return value, loss + (value - known) * chance

    def _drawn_options(
        self, logs: dict[str, Tensor], rng: np.random.Generator
    ) -> tuple[Options, dict[str, tuple[int, int]]]:
        """Draw two different options of every gene that has them, and their positions."""
        first, second, positions = {}, {}, {}
        for gene, values in self._space.choices.items():
            chances = logs[gene].detach().double().exp().numpy()
            one = int(rng.choice(len(values), p=chances / chances.sum()))
            first[gene] = values[one]
            others = np.where(np.arange(len(values)) == one, 0.0, np.maximum(chances, 1e-9))
            other = int(rng.choice(len(values), p=others / others.sum())) if len(values) > 1 else one
            if other != one:
                second[gene] = values[other]
            positions[gene] = (one, other)
        return Options(first, second), positions

    def _latency_part(self, logs: dict[str, Tensor], rng: np.random.Generator) -> Tensor:
        """Return what has the gradient of the expected logarithm of the latency."""
        drawn = {
            gene: rng.choice(len(log), self._settings.drawn, p=_chances(log)) for gene, log in logs.items()
        }
        choices = self._space.choices
        networks = [
            self._space.decode({gene: choices[gene][at[number]] for gene, at in drawn.items()})
            for number in range(self._settings.drawn)
        ]
        logarithms = np.log(self._latencies(networks))
        known = np.flatnonzero(np.isfinite(logarithms))
        if len(known) < 2:
            raise TrainingError(
                f"The latency table knows {len(known)} of {len(networks)} networks of the space. Make one "
                f"for "
                "this space with `hwnas profile --run`."
            )
        others = (logarithms[known].sum() - logarithms[known]) / (len(known) - 1)
        advantages = torch.from_numpy(logarithms[known] - others).float()
        chances = torch.zeros(len(known))
        for gene, log in logs.items():
            active = torch.tensor([float(gene in networks[number].genes) for number in known])
            chances = chances + active * log[torch.from_numpy(drawn[gene][known])]
        return (advantages * chances).mean()


def _chances(log: Tensor) -> npt.NDArray[np.float64]:
    chances = log.detach().double().exp().numpy()
    return np.asarray(chances / chances.sum())
