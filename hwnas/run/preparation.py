"""What prepares a search: shared weights, relaxed choices, and how well an estimator ranks."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from hwnas.architecture import Choice
from hwnas.config import RunConfig
from hwnas.errors import ConfigError
from hwnas.estimators.comparison import REPORT_FILE, RESULT_FILES, EstimateStatus
from hwnas.estimators.comparison_result import EstimatorComparison
from hwnas.files import is_json_with, refuse_foreign, refuse_foreign_directory
from hwnas.progress import Listener
from hwnas.rank_correlation import MIN_NETWORKS
from hwnas.search.estimator_report import comparison_of_run
from hwnas.search.relaxing import relax_run
from hwnas.search_spaces.base import make_search_space
from hwnas.tasks.base import make_task
from hwnas.text import counted, one_line
from hwnas.training.checkpoint import STATE_FILE
from hwnas.training.recipe import Recipe
from hwnas.training.relaxed_choices import FILE, RelaxedChoices
from hwnas.training.supernet import HEADER_FILE, seconds_of_supernet, train_supernet


@dataclass(frozen=True)
class StepStatus:
    """How far a training is: steps done, steps in all, and the loss of the last one."""

    step: int
    steps: int
    loss: float


@dataclass(frozen=True)
class SupernetSummary:
    """Shared weights that were trained.

    Attributes:
        directory: the directory that holds them; the estimator `weight-sharing` takes it.
        steps: number of steps that they were trained for.
        parameters: values that the networks of the space share.
        train_s: seconds of all sessions, as far as their checkpoints reach.
    """

    directory: Path
    steps: int
    parameters: int
    train_s: float

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values, as `hwnas supernet --json` prints them."""
        return {
            "directory": str(self.directory),
            "steps": self.steps,
            "parameters": self.parameters,
            "seconds": round(self.train_s, 1),
        }


@dataclass(frozen=True, eq=False)
class RelaxationSummary:
    """Choices that were moved by gradients.

    Attributes:
        directory: the directory that holds them; the strategy `gradient` takes it.
        weights: weights of the logarithm of the latency; a set of choices for each.
        values: every value of each gene.
        probabilities: probabilities of the values of each gene, [weights, values], rows sum to 1.
        likeliest: value of each gene, one for each weight.
        steps: number of steps that were done.
        relax_s: seconds of all sessions.
    """

    directory: Path
    weights: tuple[float, ...]
    values: Mapping[str, tuple[Choice, ...]]
    probabilities: Mapping[str, npt.NDArray[np.float64]]
    likeliest: Mapping[str, tuple[Choice, ...]]
    steps: int
    relax_s: float
    _provenance: Mapping[str, Any] = field(repr=False)

    @classmethod
    def of(cls, directory: Path, found: RelaxedChoices) -> RelaxationSummary:
        """Return the summary of what a relaxation found."""
        values = {gene: tuple(known) for gene, known in found.space["choices"].items()}
        return cls(
            directory=directory,
            weights=found.weights,
            values=values,
            probabilities=found.probabilities,
            likeliest={
                gene: tuple(known[int(row.argmax())] for row in found.probabilities[gene])
                for gene, known in values.items()
            },
            steps=int(found.provenance["steps"]),
            relax_s=float(found.provenance["seconds"]),
            _provenance=found.provenance,
        )

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values, as `hwnas relax --json` prints them."""
        return {
            "directory": str(self.directory),
            "weights": list(self.weights),
            "likeliest": {gene: list(values) for gene, values in self.likeliest.items()},
            "provenance": dict(self._provenance),
        }

    def __repr__(self) -> str:
        """Return the figures that matter most, in a line."""
        return one_line(
            self,
            counted(len(self.values), "gene"),
            f"weights {', '.join(f'{weight:g}' for weight in self.weights)}",
            f"{self.steps} steps",
            f"in {str(self.directory)!r}",
        )


@torch.random.fork_rng(devices=[])  # what is drawn here must not change what the caller draws afterwards
def train_supernet_of(
    config: RunConfig,
    out: Path,
    *,
    steps: int,
    learning_rate: float | None,
    progress: Listener[StepStatus] | None,
) -> SupernetSummary:
    """Train weights that all networks of a space share; see `Run.train_supernet`."""
    refuse_foreign_directory(out, "a supernet", [HEADER_FILE, STATE_FILE])
    out.mkdir(parents=True, exist_ok=True)  # before the work that would be lost where it cannot be made
    task = make_task(config.task.name, config.task.settings)
    space = make_search_space(config.space.name, task.contract, config.space.choices)
    recipe = replace(Recipe(**config.training.proxy.recipe_fields()), steps=steps, average=0.0)
    if learning_rate is not None:
        recipe = replace(recipe, learning_rate=learning_rate)
    shared = train_supernet(
        task, space, recipe, seed=config.search.seed, directory=out, progress=_step_callback(progress)
    )
    parameters = sum(parameter.numel() for parameter in shared.parameters())
    return SupernetSummary(out, steps, parameters, seconds_of_supernet(out))


@torch.random.fork_rng(devices=[])
def relax_choices_of(
    config: RunConfig,
    supernet: Path,
    out: Path,
    *,
    steps: int,
    weights: Sequence[float],
    progress: Listener[StepStatus] | None,
) -> RelaxationSummary:
    """Find likely choices by gradients through shared weights; see `Run.relax`."""
    checked = _checked_weights(weights)
    refuse_foreign_directory(out, "relaxed choices", [FILE, STATE_FILE])
    out.mkdir(parents=True, exist_ok=True)  # as above
    found = relax_run(config, supernet, out, steps=steps, weights=checked, progress=_step_callback(progress))
    return RelaxationSummary.of(out, found)


@torch.random.fork_rng(devices=[])
def estimate_of(
    config: RunConfig,
    out: Path,
    *,
    networks: int,
    estimators: Sequence[str],
    max_gmac: float | None,
    workers: int | None,
    progress: Listener[EstimateStatus] | None,
) -> EstimatorComparison:
    """Say how well estimators of accuracy rank networks; see `Run.estimate`."""
    if networks < MIN_NETWORKS:
        raise ConfigError(f"`networks=` is at least {MIN_NETWORKS}, but got {networks}.")
    refuse_foreign_directory(out, "reports of estimators", [REPORT_FILE, RESULT_FILES])
    if out.is_dir():
        is_own = is_json_with("schema_version", "networks", "estimators")
        refuse_foreign(out / REPORT_FILE, "reports of estimators", is_own)

    comparison = comparison_of_run(config, estimators, networks=networks, max_gmac=max_gmac)
    return comparison.run(out, workers=workers, progress=progress)


def _step_callback(progress: Listener[StepStatus] | None) -> Callable[[int, int, float], None] | None:
    if progress is None:
        return None
    return lambda step, steps, loss: progress(StepStatus(step, steps, loss))


def _checked_weights(weights: Sequence[float]) -> tuple[float, ...]:
    found = tuple(float(weight) for weight in weights)
    if not found or any(not math.isfinite(weight) or weight < 0 for weight in found):
        raise ConfigError(f"`weights=` takes numbers from 0 on, but got {list(weights)}.")
    if len(set(found)) < len(found):
        raise ConfigError(f"`weights=` takes each number once, but got {list(weights)}.")
    return found
