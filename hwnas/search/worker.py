"""What runs in a worker process: exporting, training and evaluating one network at a time.

Started by `LocalExecutor` as `python -m hwnas.processes hwnas.search.worker COMMANDS REPLIES`, with two
inherited pipes. The first line tells what to load; every further line is a job and gets
one reply, `{"result": …}` or `{"error": {"kind": …, "message": …}}`, perhaps after `{"progress": …}`.
Anything else than an `HwnasError` ends the process: the executor reports that and starts another.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import torch

from hwnas.architecture import Architecture
from hwnas.errors import HwnasError, file_access_error
from hwnas.estimators.base import (
    AccuracyEstimator,
    EstimatorContext,
    checked_estimate,
    make_evaluating_estimator,
)
from hwnas.onnx_graphs.export import export_onnx
from hwnas.onnx_graphs.metadata import graph_metadata
from hwnas.onnxruntime_loading import disable_telemetry
from hwnas.plugins import blame_of_foreign
from hwnas.search.executors.base import STOP_FILE
from hwnas.search.records import FINGERPRINT
from hwnas.search_spaces.base import SearchSpace, make_search_space
from hwnas.tasks.base import Task, make_task
from hwnas.training.device import choose_device, device_name, training_device
from hwnas.training.loss_curve import losses_of
from hwnas.training.recipe import Recipe
from hwnas.training.tensorboard_log import TensorBoardLog
from hwnas.training.trainers import BY_DEFAULT, Trainer, TrainerSpec, evaluate_network
from hwnas.training.trainers import GROUP as TRAINERS

_PROGRESS_INTERVAL_S = 1.0


@dataclass(frozen=True)
class Jobs:
    """The jobs that a worker knows, over one task and space.

    The `estimators` evaluate candidates, the `trainer` what is trained at full budget.
    """

    task: Task
    space: SearchSpace
    trainer: Trainer
    estimators: Sequence[AccuracyEstimator]
    report: Callable[[Mapping[str, Any]], None]

    def run(self, job: Mapping[str, Any]) -> dict[str, Any]:
        """Do one job, named by its `job` field."""
        architecture = Architecture.from_json(job["architecture"])
        if job["job"] == "export":
            return self.export(architecture, Path(job["path"]), seed=job["seed"])
        if job["job"] == "estimate":
            estimator = self.estimators[job["estimator"]]
            return self.estimate(architecture, estimator, Path(job["directory"]), seed=job["seed"])
        log_dir = Path(job["log_dir"]) if job.get("log_dir") else None
        return self.train_fully(
            architecture, Path(job["directory"]), job["recipe"], seed=job["seed"], log_dir=log_dir
        )

    def export(self, architecture: Architecture, path: Path, *, seed: int) -> dict[str, Any]:
        """Write an untrained network as ONNX, to be clocked."""
        started = time.monotonic()
        torch.manual_seed(seed)
        module = self.space.build(architecture).eval()
        io_spec, metadata = self.task.io_spec(architecture), {"architecture_id": architecture.id}
        export_onnx(module, io_spec, path, metadata=metadata)
        return {
            "parameters": sum(parameter.numel() for parameter in module.parameters()),
            "export_s": time.monotonic() - started,
        }

    def estimate(
        self, architecture: Architecture, estimator: AccuracyEstimator, directory: Path, *, seed: int
    ) -> dict[str, Any]:
        """Evaluate an architecture."""
        directory.mkdir(parents=True, exist_ok=True)
        estimate = checked_estimate(
            estimator, architecture, seed=seed, directory=directory, metric=self.task.words.metric
        )
        return {**estimate.to_json(), "estimator": estimator.name}

    def train_fully(
        self,
        architecture: Architecture,
        directory: Path,
        recipe: Mapping[str, Any],
        *,
        seed: int,
        log_dir: Path | None = None,
    ) -> dict[str, Any]:
        """Train at full budget, going on from a checkpoint, and leave weights and an ONNX file.

        A file `STOP_FILE` in the directory ends the training after its present step, with a checkpoint.
        """
        started = time.monotonic()
        directory.mkdir(parents=True, exist_ok=True)
        stop_file = directory / STOP_FILE
        with blame_of_foreign(TRAINERS, self.trainer.name, "train"):
            module = self.trainer.train(
                architecture,
                Recipe(**recipe),
                seed=seed,
                directory=directory,
                progress=self._progress(log_dir),
                is_stopped=stop_file.exists,
            )
        train_s = time.monotonic() - started
        quality = evaluate_network(self.trainer, module, architecture, seed=seed)
        if log_dir is not None:
            with TensorBoardLog(log_dir) as log:
                log.add(int(recipe["steps"]), {quality.metric: quality.value})
        # The very file that a bundle will hold, so that the bundle can state what is measured on it.
        metadata = graph_metadata(self.task, architecture)
        export_onnx(module, self.task.io_spec(architecture), directory / "model.onnx", metadata=metadata)
        return {
            "quality": quality.to_json(),
            "train_s": train_s,
            "losses": losses_of(directory),
            FINGERPRINT: self.task.fingerprint(),  # the driver's data may be others
        }

    def _progress(self, log_dir: Path | None) -> Callable[[int, int, float], None]:
        last = 0.0
        device = device_name(training_device())
        log = None if log_dir is None else TensorBoardLog(log_dir)

        def progress(step: int, steps: int, loss: float) -> None:
            nonlocal last
            if time.monotonic() - last > _PROGRESS_INTERVAL_S or step == steps:
                last = time.monotonic()
                self.report({"progress": {"step": step, "steps": steps, "loss": loss, "device": device}})
                if log is not None:
                    log.add(step, {"loss": loss})

        return progress


def estimator_of_search(
    task: Task,
    space: SearchSpace,
    recipe: Recipe,
    name: str,
    settings: Mapping[str, Any],
    trainer: TrainerSpec = BY_DEFAULT,
) -> AccuracyEstimator:
    """Return the estimator that evaluates candidates; `recipe` is that of `training`.

    Raises:
        PluginError: if the name is unknown.
        ConfigError: if a setting is wrong, or the estimator only orders networks and evaluates none.
    """
    own = {**recipe.to_json(), **settings} if name == "training" else settings
    return make_evaluating_estimator(name, EstimatorContext(task, space, own, trainer))


def serve(commands: IO[bytes], replies: IO[bytes]) -> None:
    """Load what the first line names, then do one job a line until the pipe closes."""

    def send(message: Mapping[str, Any]) -> None:
        replies.write(json.dumps(message, allow_nan=False).encode("ascii") + b"\n")
        replies.flush()

    def refuse(error: HwnasError) -> None:
        send({"error": {"kind": type(error).__name__, "message": str(error)}})

    setup = json.loads(commands.readline())
    os.sched_setaffinity(0, setup["cores"])
    torch.set_num_threads(setup["threads"])
    try:
        choose_device(setup["device"])
        task = make_task(setup["task"]["name"], setup["task"]["settings"])
        space = make_search_space(setup["space"]["name"], task.contract, setup["space"]["choices"])
        recipe = Recipe(**setup["recipe"])
        spec = TrainerSpec.from_json(setup["trainer"])
        estimators = [
            estimator_of_search(task, space, recipe, **each, trainer=spec) for each in setup["estimators"]
        ]
        jobs = Jobs(task, space, spec.make(task, space), estimators, send)
    except HwnasError as error:
        refuse(error)
        return
    send({"ready": True})
    for line in commands:
        try:
            send({"result": jobs.run(json.loads(line))})
        except HwnasError as error:
            refuse(error)
        except OSError as error:
            refused = file_access_error(error)
            if refused is None:
                raise
            refuse(refused)


def main(arguments: list[str]) -> None:
    """Serve the pipes that the pool handed over."""
    disable_telemetry()
    commands, replies = (int(argument) for argument in arguments)
    with os.fdopen(commands, "rb") as incoming, os.fdopen(replies, "wb") as outgoing:
        serve(incoming, outgoing)


if __name__ == "__main__":
    main(sys.argv[1:])
