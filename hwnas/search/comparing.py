"""Compares a run's networks with hand-crafted ones: same data, same recipe, same device, one session."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import torch

from hwnas.architecture import Architecture, Choice
from hwnas.config import RunConfig
from hwnas.errors import ConfigError, MeasurementError, StudyError, TooSlowError, TrainingError
from hwnas.files import write_checked_json
from hwnas.latency.measure.measurements import CandidateMeasurements
from hwnas.latency.measurement import LatencyMeasurement, LatencyMeter
from hwnas.objectives import Objectives
from hwnas.progress import Listener
from hwnas.scratch import ScratchDirectory
from hwnas.search.baselines import Baselines
from hwnas.search.comparison import BaselineComparison, ComparedNetwork
from hwnas.search.final_measurements import export_trained, measured_finally
from hwnas.search.front import objectives_of_front
from hwnas.search.full_training import FullTraining
from hwnas.search.interruption import StopRequest
from hwnas.search.progress import TrainingStatus, silent
from hwnas.search.run_data import refuse_other_data
from hwnas.search.run_directory import RunDirectory, read_record
from hwnas.search.run_target import opened_meter, refuse_other_target
from hwnas.search.storage import DriverLease
from hwnas.search_spaces.base import SearchSpace, make_search_space
from hwnas.search_spaces.hand_crafted import NAME as HAND_CRAFTED
from hwnas.tasks.base import Quality, Task, make_task
from hwnas.text import shown

_REMEDY = "Remove its directory, and `hwnas compare` trains this network again; the others are kept."


@dataclass(frozen=True)
class _Group:
    """Networks of one space, and the run they are trained as."""

    config: RunConfig
    space: SearchSpace
    architectures: list[Architecture]
    is_searched: bool


@dataclass(frozen=True)
class _Trained:
    """A trained network: where its weights lie, and what each seed reached."""

    architecture: Architecture
    space: SearchSpace
    is_searched: bool
    weights: Path
    qualities: tuple[Quality, ...]


@torch.random.fork_rng(devices=[])  # what is drawn here must not change what the caller draws afterwards
def compare_run(
    run_dir: Path,
    baselines: Baselines,
    *,
    seeds: int = 1,
    steps: int | None = None,
    device: str | None = None,
    progress: Listener[TrainingStatus] | None = None,
) -> BaselineComparison:
    """Train hand-crafted networks like the run's own, and measure all of them in one session.

    What was trained with the same data, recipe and seed is kept, also by `hwnas train`; an interrupted
    training goes on from its checkpoint. Writes `comparison.json`.

    Args:
        run_dir: of a run with networks that were trained in full.
        baselines: the hand-crafted networks.
        seeds: trainings of each network, the first with the seed of the run.
        steps: of each training, instead of the run file's.
        device: to train on, instead of the run file's.
        progress: is told how far the trainings are.

    Raises:
        KeyboardInterrupt: if Ctrl-C or another signal ended it; checkpoints are saved before, and the same
            call goes on.
        ConfigError: if there is no such network, `seeds` or `steps` is no whole number from 1, or the task's
            images are not of its kind.
        StudyError: if nothing was trained in full, another process drives the run, or data or target are not
            those of the search.
        TrainingError: if a network cannot be trained.
        MeasurementError: if one cannot be measured.
    """
    _refuse_less_than_one(seeds=seeds, steps=steps)
    run = RunDirectory(run_dir.resolve())
    config = run.load_config()
    if device is not None:
        config = config.model_copy(update={"training": config.training.model_copy(update={"device": device})})
    task = make_task(config.task.name, config.task.settings)
    baselines.refuse_unknown(task.contract.widths)
    recipe = config.training.full.recipe_fields() | ({"steps": steps} if steps is not None else {})
    listener = progress or silent
    with DriverLease(run.driver_lock), StopRequest() as stop:
        front = run.read_front()
        groups = _groups(config, task, _trained_front(run), baselines)
        refuse_other_data(run, task)
        with opened_meter(config, final=True) as meter:
            refuse_other_target(run, meter)  # said before hours of training
        trained = _Trainings(run, task, recipe, seeds, stop, listener).run(groups)
        with opened_meter(config, final=True) as meter:
            refuse_other_target(run, meter)
            found = _measured(trained, task, meter, objectives_of_front(front), config, stop, listener)
        comparison = BaselineComparison(
            networks=tuple(sorted(found, key=lambda network: network.objective)),
            objective=str(front["objectives"][1]),
            unit=str(front["unit"]),
            steps=int(recipe["steps"]),
            seeds=tuple(config.search.seed + number for number in range(seeds)),
        )
        write_checked_json(run.comparison, comparison.to_json())
        stop.raise_if_requested()
    return comparison


def _trained_front(run: RunDirectory) -> list[Architecture]:
    """Return the networks that are compared.

    Raises:
        StudyError: if there is none.
    """
    entries = [entry for entry in run.read_trained()["members"] if entry["on_front"]]
    if not entries:
        raise StudyError(
            f"Comparing needs networks that were trained in full, but {run.path} has none that keeps its "
            "limits. Train some with `hwnas train` first."
        )
    return [Architecture.from_json(entry["architecture"]) for entry in entries]


def _groups(config: RunConfig, task: Task, own: list[Architecture], baselines: Baselines) -> list[_Group]:
    """Return the run's networks and the hand-crafted ones.

    Raises:
        ConfigError: if a hand-crafted network does not take the task's images.
    """
    choices = baselines.choices(sorted({architecture.input_shape[-1] for architecture in own}))
    baseline_config = _with_space(config, HAND_CRAFTED, choices)
    baseline_space = make_search_space(HAND_CRAFTED, task.contract, baseline_config.space.choices)
    space = make_search_space(config.space.name, task.contract, config.space.choices)
    return [
        _Group(config, space, own, is_searched=True),
        _Group(baseline_config, baseline_space, all_architectures(baseline_space), is_searched=False),
    ]


def _refuse_less_than_one(*, seeds: int, steps: int | None) -> None:
    """Refuse counts below 1 before anything is trained.

    Raises:
        ConfigError: naming the number.
    """
    for name, value in (("seeds", seeds), ("steps", 1 if steps is None else steps)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ConfigError(f"`{name}=` is {shown(value)}; expected a whole number from 1.")


def read_comparison(run: RunDirectory) -> BaselineComparison | None:
    """Return what `compare_run` found; None if nothing was compared.

    Raises:
        StudyError: if the file is damaged.
    """
    if not run.comparison.is_file():
        return None
    return BaselineComparison.from_json(read_record(run.comparison, "`hwnas compare` writes it anew."))


def all_architectures(space: SearchSpace) -> list[Architecture]:
    """Return every architecture of a small space, each once."""
    genes = space.choices
    decoded = (space.decode(dict(zip(genes, values, strict=True))) for values in product(*genes.values()))
    return list({architecture.id: architecture for architecture in decoded}.values())


class _Trainings:
    """Trains groups of networks of several spaces, seed by seed; status counts all of them."""

    def __init__(
        self,
        run: RunDirectory,
        task: Task,
        recipe: Mapping[str, Any],
        seeds: int,
        stop: StopRequest,
        listener: Listener[TrainingStatus],
    ) -> None:
        self._run = run
        self._task = task
        self._recipe = dict(recipe)
        self._seeds = seeds
        self._stop = stop
        self._listener = listener

    def run(self, groups: Sequence[_Group]) -> list[_Trained]:
        """Return all networks, trained.

        Raises:
            KeyboardInterrupt: if a signal ended it.
        """
        wanted = self._seeds * sum(len(group.architectures) for group in groups)
        finished = 0
        trained: list[_Trained] = []
        for group in groups:
            places: dict[str, list[Path]] = {each.id: [] for each in group.architectures}
            for number in range(self._seeds):
                before = finished

                def tell(status: TrainingStatus, before: int = before) -> None:
                    self._listener(replace(status, finished=before + status.finished, wanted=wanted))

                seeded = _with_seed(group.config, group.config.search.seed + number)
                found = self._trained(seeded, group.architectures, tell)
                finished += len(group.architectures)
                for name, directory in found.items():
                    places[name].append(directory)
            trained += [_read(each, group, places[each.id]) for each in group.architectures]
        return trained

    def _trained(
        self, config: RunConfig, architectures: list[Architecture], tell: Listener[TrainingStatus]
    ) -> dict[str, Path]:
        """Return the directory of each network, trained with one seed.

        Raises:
            KeyboardInterrupt: if a signal ended it.
        """
        own = FullTraining(self._run, config, self._task, self._recipe, architectures, self._stop, tell)
        kept = {each.id for each in architectures if own.is_trained(each)}
        directory = RunDirectory(self._run.compared(int(self._recipe["steps"]), config.search.seed))
        directory.make()
        others = [architecture for architecture in architectures if architecture.id not in kept]
        training = FullTraining(
            directory,
            config,
            self._task,
            self._recipe,
            others,
            self._stop,
            lambda status: tell(replace(status, finished=status.finished + len(kept))),
        )
        training.run()
        self._stop.raise_if_requested()
        return {
            each.id: (self._run if each.id in kept else directory).checkpoint(each.id)
            for each in architectures
        }


def _read(architecture: Architecture, group: _Group, places: Sequence[Path]) -> _Trained:
    results = [read_record(place / "result.json", _REMEDY) for place in places]
    return _Trained(
        architecture,
        group.space,
        group.is_searched,
        places[0] / "weights.safetensors",
        tuple(Quality.from_json(result["quality"]) for result in results),
    )


def _measured(
    trained: Sequence[_Trained],
    task: Task,
    meter: LatencyMeter,
    objectives: Objectives,
    config: RunConfig,
    stop: StopRequest,
    listener: Listener[TrainingStatus],
) -> list[ComparedNetwork]:
    """Return what is measured of all networks.

    Raises:
        KeyboardInterrupt: if a signal ended it.
        TrainingError: if the weights of a network are damaged.
        MeasurementError: if one cannot be measured.
    """
    found: list[ComparedNetwork] = []
    wanted = sum(len(each.qualities) for each in trained)
    for each in trained:
        stop.raise_if_requested()
        name = each.architecture.id if each.is_searched else name_of(each.architecture)
        place = f"measuring {name} ({len(found) + 1} of {len(trained)})"
        listener(TrainingStatus(wanted, wanted, {}, place))
        with ScratchDirectory("compare") as scratch:
            model = Path(scratch) / "model.onnx"
            try:
                export_trained(each.architecture, each.space, task, each.weights, model)
            except TrainingError as error:
                raise TrainingError(f"{error} {_REMEDY}") from error
            builds = config.measuring.final.builds
            measurements = _figures(name, meter, model, each.architecture, task, objectives, builds)
        found.append(
            ComparedNetwork(
                name=name,
                architecture=each.architecture,
                is_searched=each.is_searched,
                qualities=each.qualities,
                latency=_without_samples(measurements.latency),
                objective=measurements.measurements[str(objectives.objective)],
                measurements=dict(measurements.measurements),
            )
        )
    return found


def _figures(
    name: str,
    meter: LatencyMeter,
    model: Path,
    architecture: Architecture,
    task: Task,
    objectives: Objectives,
    builds: int,
) -> CandidateMeasurements:
    """Measure a network; one that is too slow for the rate of a limit is compared all the same.

    Raises:
        MeasurementError: if it cannot be measured, or its objective is no number that has a ratio.
    """
    objective = objectives.objective
    try:
        found, _ = measured_finally(meter, model, architecture, task, objectives, builds=builds)
    except TooSlowError as error:
        if objective.rate_hz is not None:
            raise TooSlowError(
                f"{name}: {error} Compare with narrower networks (`width_multipliers=`), or without it."
            ) from error
        unlimited = Objectives(objective)
        found, _ = measured_finally(meter, model, architecture, task, unlimited, builds=builds)
    value = found.measurements[str(objective)]
    if not 0 < value < math.inf:
        raise MeasurementError(
            f"{objective} of {name} is {value}, but ratios need a positive, finite number. Compare a run "
            "that minimises another objective."
        )
    return found


def name_of(architecture: Architecture) -> str:
    """Return what people call a hand-crafted network: `salsanext x 0.5, 64 x 512`."""
    genes, (_, height, width) = architecture.genes, architecture.input_shape
    return f"{genes['network']} x {genes['width_multiplier']}, {height} x {width}"


def _without_samples(latency: LatencyMeasurement) -> LatencyMeasurement:
    return replace(latency, samples_ms=())


def _with_space(config: RunConfig, name: str, choices: Mapping[str, list[Choice]]) -> RunConfig:
    section = config.space.model_copy(update={"name": name, "choices": dict(choices)})
    return config.model_copy(update={"space": section})


def _with_seed(config: RunConfig, seed: int) -> RunConfig:
    return config.model_copy(update={"search": config.search.model_copy(update={"seed": seed})})
