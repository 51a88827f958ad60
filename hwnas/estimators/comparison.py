"""How well estimators rank on a task and a space, from networks that are trained in full for it.

Every network is trained in full once and evaluated by every estimator; each result is a file of its own, so
that a comparison that was stopped goes on where it was. `estimator_report.json` holds what came out, for
searches to state.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import as_completed
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hwnas.architecture import Architecture
from hwnas.errors import ConfigError, TrainingError
from hwnas.estimators.base import (
    GROUP,
    EstimatorContext,
    SupportsPreparation,
    checked_estimate,
    make_estimator,
)
from hwnas.estimators.comparison_result import EstimatorComparison, RankedEstimator
from hwnas.estimators.kept_results import digest_of, read_result, space_json
from hwnas.estimators.report import EstimatorReport, report_on
from hwnas.files import read_checked_json, write_checked_json
from hwnas.models.cost import count_macs, count_parameters
from hwnas.plugin_settings import settings_by_content
from hwnas.progress import Listener
from hwnas.scratch import ScratchDirectory
from hwnas.search_spaces.base import SearchSpace, make_search_space, sample_choices
from hwnas.tasks.base import make_task
from hwnas.training.dry_run import dry_run
from hwnas.training.trainers import BY_DEFAULT, TrainerSpec
from hwnas.worker_pool import worker_pool

REPORT_FILE = "estimator_report.json"
RESULT_FILES = f"{'[0-9a-f]' * 16}-*-{'[0-9a-f]' * 12}.json"
"""Pattern of the names of single results, see `_Job.file`."""
_DRAWS_PER_NETWORK = 500


@dataclass(frozen=True)
class EstimateStatus:
    """How far a comparison of estimators is: evaluations done, evaluations in all, what the last one gave."""

    finished: int
    wanted: int
    message: str


"""Jobs done, jobs in all, and what the last one gave."""


@dataclass(frozen=True)
class Compared:
    """One estimator with its settings, under the name that tables give it.

    Attributes:
        label: that name.
        estimator: name of the plug-in.
        settings: of the estimator.
        other_seed: added to the seed of full training; with the settings of full training this tells how well
            two trainings of the same networks agree, more than which nothing can reach.
    """

    label: str
    estimator: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    other_seed: int = 0


@dataclass(frozen=True)
class EstimatorBenchmark:
    """What is compared on what.

    Attributes:
        task: name and settings, as in a run.
        space: name and choices, as in a run.
        full: settings of the estimator `training` that are full training.
        estimators: each with a label of its own.
        networks: to be trained in full.
        max_gmac: larger ones are passed over; None for none.
        seed: of the draws; network n is trained with seed + n.
        trainer: that trains and evaluates.
    """

    task: Mapping[str, Any]
    space: Mapping[str, Any]
    full: Mapping[str, Any]
    estimators: tuple[Compared, ...]
    networks: int = 32
    max_gmac: float | None = 5.0
    seed: int = 0
    trainer: TrainerSpec = BY_DEFAULT

    def run(
        self, directory: Path, *, workers: int | None = None, progress: Listener[EstimateStatus] | None = None
    ) -> EstimatorComparison:
        """Do what is missing, and return and write what came out.

        Args:
            directory: where everything goes.
            workers: processes with one thread each; as many as processors if not given.
            progress: is called after every job.

        Returns:
            What `estimator_report.json` holds then.

        Raises:
            ConfigError: if too few networks are small enough, a setting is wrong, two labels are the same, or
                a result in the directory is damaged.
            TrainingError: if full training of a network fails.
        """
        full = Compared("full", "training", self.full)
        compared = (full, *self.estimators)
        if len({one.label for one in compared}) < len(compared):
            raise ConfigError(f"Estimators need different labels, but got {[one.label for one in compared]}.")
        task, space = self._made()
        networks = list(islice(self._drawn(space), self.networks))
        if len(networks) < self.networks:
            raise ConfigError(
                f"Expected {self.networks} different networks of at most {self.max_gmac} GMAC, but found "
                f"{len(networks)}. Raise `max_gmac=` or compare fewer."
            )
        prepared_s = {}
        for one in self.estimators:  # wrong settings are told before anything is trained
            made = make_estimator(
                one.estimator, EstimatorContext(task, space, dict(one.settings), self.trainer)
            )
            prepared_s[one.label] = made.prepared_s if isinstance(made, SupportsPreparation) else 0.0
        directory.mkdir(parents=True, exist_ok=True)
        data = task.fingerprint()
        digests = {
            one.label: digest_of(one.estimator, one.settings, data, space, self.trainer) for one in compared
        }
        jobs = [
            _Job(self, one, number, network, digests[one.label])
            for number, network in enumerate(networks)
            for one in compared
        ]
        missing = [job for job in jobs if not job.file(directory).is_file()]
        _results([job for job in jobs if job.file(directory).is_file()], directory)  # damage is told first
        if len(missing) == len(jobs):
            dry_run(task, space, self.trainer)
        _run(missing, directory, workers, progress)
        found = self._found(_results(jobs, directory), networks, space, data, prepared_s)
        write_checked_json(directory / REPORT_FILE, found.to_json())
        return found

    def _made(self) -> tuple[Any, SearchSpace]:
        task = make_task(self.task["name"], self.task["settings"])
        return task, make_search_space(self.space["name"], task.contract, self.space["choices"])

    def _drawn(self, space: SearchSpace) -> Iterator[Architecture]:
        """Yield different architectures that are small enough."""
        rng = np.random.default_rng(self.seed)
        seen: set[str] = set()
        for _ in range(_DRAWS_PER_NETWORK * self.networks):
            architecture = space.decode(sample_choices(space, rng))
            if architecture.id in seen:
                continue
            seen.add(architecture.id)
            macs = count_macs(space.build(architecture), architecture.input_shape)
            if self.max_gmac is None or macs <= self.max_gmac * 1e9:
                yield architecture

    def _found(
        self,
        results: Mapping[str, Sequence[Mapping[str, Any]]],
        networks: Sequence[Architecture],
        space: SearchSpace,
        fingerprint: str,
        prepared_s: Mapping[str, float],
    ) -> EstimatorComparison:
        modules = [space.build(network) for network in networks]
        macs = [count_macs(module, one.input_shape) for module, one in zip(modules, networks, strict=True)]
        parameters = [count_parameters(module) for module in modules]
        failed = [result["reason"] for result in results["full"] if result["score"] is None]
        if failed:
            raise TrainingError(
                f"{len(failed)} of {len(networks)} networks could not be trained in full; the first: "
                f"{failed[0]} Change the recipe, and compare in another directory."
            )
        truth = [1.0 - result["quality"]["value"] for result in results["full"]]
        estimators = []
        for one in self.estimators:
            said = results[one.label]
            kept = [number for number, result in enumerate(said) if result["score"] is not None]
            report = report_on(
                one.label,
                [-said[number]["score"] for number in kept],
                [truth[number] for number in kept],
                macs=[macs[number] for number in kept],
                parameters=[parameters[number] for number in kept],
                cost_s=float(np.mean([said[number]["cost_s"] for number in kept])) if kept else 0.0,
            )
            no_score = len(said) - len(kept)
            settings = settings_by_content(GROUP, one.estimator, one.settings)
            estimators.append(
                RankedEstimator(one.label, one.estimator, settings, no_score, prepared_s[one.label], report)
            )
        return EstimatorComparison(
            task=fingerprint,
            space=space_json(space),
            full_settings=settings_by_content(GROUP, "training", self.full),
            full_s=float(np.mean([result["cost_s"] for result in results["full"]])),
            networks=tuple(network.id for network in networks),
            errors=tuple(truth),
            gmacs=tuple(value / 1e9 for value in macs),
            estimators=tuple(estimators),
        )


def read_estimator_report(
    directory: Path, *, estimator: str, settings: Mapping[str, Any], space: SearchSpace, task: str
) -> EstimatorReport:
    """Return the report on an estimator, as it was found for a space and a task.

    Args:
        directory: of a comparison.
        estimator: its registered name.
        settings: of it; what is in the files that they name counts, not where they lie.
        space: searched.
        task: fingerprint.

    Raises:
        ConfigError: if there is none, it is damaged, or of other data, or another space or estimator.
    """
    path = directory / REPORT_FILE
    try:
        content = read_checked_json(path)
        found = (content["task"], content["space"])
        known = {label: (one["estimator"], one["settings"]) for label, one in content["estimators"].items()}
        reports = {
            label: EstimatorReport.from_json(one["report"]) for label, one in content["estimators"].items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"{path} does not say how well estimators rank ({error}). `hwnas estimate RUN.yaml --out DIR` "
            "writes it."
        ) from error
    if found[0] != task:
        raise ConfigError(
            f"The report in {path} is of another task than this run: other data, or other settings of them. "
            "Estimate again."
        )
    if found[1] != space_json(space):
        raise ConfigError(f"The report in {path} is of another space than this run. Estimate again.")
    wanted = settings_by_content(GROUP, estimator, settings)
    for label, one in known.items():
        if one == (estimator, wanted):
            return reports[label]
    raise ConfigError(
        f"{path} says how well {sorted(known)} rank, but nothing of {estimator!r} with {wanted}. "
        "Compare it, too: `hwnas estimate RUN.yaml --out DIR` with this run file."
    )


@dataclass(frozen=True)
class _Job:
    """One estimator on one network; `digest` stands for all that else its result depends on."""

    comparison: EstimatorBenchmark
    compared: Compared
    number: int
    network: Architecture
    digest: str

    @property
    def seed(self) -> int:
        """Of the estimate."""
        return self.comparison.seed + self.compared.other_seed + self.number

    def file(self, directory: Path) -> Path:
        """Return where its result goes: a name that says all that it depends on."""
        return directory / f"{self.network.id}-{self.seed}-{self.compared.estimator}-{self.digest}.json"


def _results(jobs: Sequence[_Job], directory: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the results of jobs that are done, by label."""
    found: dict[str, list[dict[str, Any]]] = {}
    for job in jobs:
        found.setdefault(job.compared.label, []).append(read_result(job.file(directory)))
    return found


def _run(
    jobs: Sequence[_Job], directory: Path, workers: int | None, progress: Listener[EstimateStatus] | None
) -> None:
    if not jobs:
        return
    count = workers or len(os.sched_getaffinity(0))
    with worker_pool(count) as pool:
        futures = [pool.submit(_estimate, job, directory) for job in jobs]
        for number, future in enumerate(as_completed(futures), start=1):
            line = future.result()
            if progress is not None:
                progress(EstimateStatus(number, len(jobs), line))


def _estimate(job: _Job, directory: Path) -> str:
    """Do one job with one thread and write its file; a network that gets no score is told, not left out."""
    torch.set_num_threads(1)
    task, space = job.comparison._made()  # noqa: SLF001 - of this module
    context = EstimatorContext(task, space, dict(job.compared.settings), job.comparison.trainer)
    estimator = make_estimator(job.compared.estimator, context)
    with ScratchDirectory("estimate") as scratch:
        try:
            found = checked_estimate(estimator, job.network, seed=job.seed, directory=Path(scratch))
            result: dict[str, Any] = found.to_json()
        except TrainingError as error:
            result = {"score": None, "cost_s": 0.0, "reason": str(error)}
    write_checked_json(job.file(directory), result)
    return f"{job.compared.label} of {job.network.id}: {result['score']} in {result['cost_s']:.1f} s"
