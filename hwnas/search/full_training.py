"""The best candidates at full budget: trained, evaluated and clocked again, as `trained.json`."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from hwnas.architecture import Architecture
from hwnas.config import RunConfig
from hwnas.errors import ConfigError, FileAccessError, TrainingError, TrainingInterruptedError
from hwnas.files import write_checked_json
from hwnas.latency.measure.measurements import NOT_MEASURED
from hwnas.latency.measurement import LatencyMeter
from hwnas.objectives import Objectives
from hwnas.progress import Listener
from hwnas.search.components import executor_of_run, trainer_of_run, worker_setup
from hwnas.search.executors.base import STOP_FILE, Executor, Reply, Worker, error_from_reply
from hwnas.search.executors.local import usable_cores
from hwnas.search.final_measurements import export_trained, measured_finally
from hwnas.search.front import objectives_of_front
from hwnas.search.interruption import StopRequest
from hwnas.search.picking import Pick, picked
from hwnas.search.progress import MemberProgress, TrainingStatus, silent
from hwnas.search.records import FINGERPRINT, TrainedRecord
from hwnas.search.run_data import refuse_other_data
from hwnas.search.run_directory import SCHEMA_VERSION, RunDirectory, read_record, read_record_if_any
from hwnas.search.run_log import RunLog
from hwnas.search.run_target import opened_meter, refuse_other_target
from hwnas.search.storage import DriverLease
from hwnas.search.trained_list import REMEDY, is_of_target, listed, merged_members
from hwnas.search_spaces.base import make_search_space
from hwnas.tasks.base import Quality, Task, make_task
from hwnas.text import figure
from hwnas.training.checkpoint import STATE_FILE
from hwnas.training.tensorboard_log import summary_writer_type
from hwnas.training.trainers import BY_DEFAULT

_ATTEMPTS = 2
_STOP_S = 60.0
"""So long those that train are waited for after Ctrl-C, until their checkpoints are saved."""


@dataclass(frozen=True)
class FullTrainingResult:
    """What full training leaves behind: content of `trained.json`, and whether Ctrl-C ended it."""

    trained: TrainedRecord
    interrupted: bool


@torch.random.fork_rng(devices=[])  # what is drawn here must not change what the caller draws afterwards
def train_front(
    run_dir: Path,
    *,
    pick: Pick | None = None,
    steps: int | None = None,
    device: str | None = None,
    log_dir: Path | None = None,
    progress: Listener[TrainingStatus] | None = None,
) -> FullTrainingResult:
    """Train the best candidates of a run at full budget and measure them with the final protocol.

    Members that were finished with the same data, recipe and seed are kept; an interrupted one goes
    on from its checkpoint.

    Args:
        run_dir: of a run with a front.
        pick: which candidates, see `hwnas.search.picking.picked`; the run file's choice if None.
        steps: training steps instead of the recipe's.
        device: to train on, instead of the run file's `training.device`.
        log_dir: directory for events of TensorBoard, one directory below for each network.
        progress: is told how far it is.

    Raises:
        ConfigError: if `log_dir` is given and workers run on other machines.
        StudyError: if there is no front, another process drives the run, or data or target are not
            those of the search.
        TrainingError: if a member cannot be trained.
        MeasurementError: if a member cannot be measured.
    """
    run = RunDirectory(run_dir.resolve())
    config = run.load_config()
    if device is not None:
        config = config.model_copy(update={"training": config.training.model_copy(update={"device": device})})
    if log_dir is not None:
        if not executor_of_run(config, run, worker_setup(config), workers=None).is_local:
            raise ConfigError(
                "A log directory needs workers on this machine, but this run trains with the executor "
                f"{config.search.executor.name!r}, whose workers would write it on their own disks. Leave "
                "out `log_dir=`."
            )
        summary_writer_type()  # a missing package is said before anything is trained
    with DriverLease(run.driver_lock), StopRequest() as stop:
        front = run.read_front()
        chosen = picked(front, pick if pick is not None else config.training.full.pick)
        recipe = config.training.full.recipe_fields() | ({"steps": steps} if steps is not None else {})
        architectures = [Architecture.from_json(member["architecture"]) for member in chosen]
        task = make_task(config.task.name, config.task.settings)
        refuse_other_data(run, task)
        training = FullTraining(run, config, task, recipe, architectures, stop, progress or silent, log_dir)
        training.run()
        if stop.requested:
            return FullTrainingResult(listed(run), interrupted=True)
        with opened_meter(config, final=True) as meter:
            refuse_other_target(run, meter)
            training.measure(meter, objectives_of_front(front))
        return FullTrainingResult(listed(run), interrupted=stop.requested)


class FullTraining:
    """Trains several architectures, each in one worker, and keeps a result file for each.

    Where it works, `checkpoints/ID` of a run directory, is of one data set, recipe and seed.
    """

    def __init__(
        self,
        run: RunDirectory,
        config: RunConfig,
        task: Task,
        recipe: Mapping[str, Any],
        architectures: list[Architecture],
        stop: StopRequest,
        listener: Listener[TrainingStatus],
        log_dir: Path | None = None,
    ) -> None:
        """Name what is to be trained; nothing is written before `run`.

        Args:
            run: whose directory gets the checkpoints.
            config: task, space, seed, trainer and workers.
            task: of `config`, made.
            recipe: of the trainings.
            architectures: of the space of `config`.
            stop: ends it.
            listener: is told how far it is.
            log_dir: directory for events of TensorBoard.
        """
        self._log_dir = log_dir
        self._run = run
        self._config = config
        self._task = task
        self._recipe = dict(recipe)
        self._trainer = trainer_of_run(config).to_json()
        self._architectures = architectures
        self._stop = stop
        self._listener = listener
        self._log = RunLog(run)
        self._message = "starting workers"
        self._under_way: dict[str, MemberProgress] = {}
        self._begun: dict[str, tuple[float, int]] = {}
        self._failures: dict[str, str] = {}

    def run(self) -> None:
        """Train what is not trained yet.

        Raises:
            TrainingError: if a member cannot be trained; the others are finished first.
        """
        waiting = [each for each in self._architectures if not self.is_trained(each)]
        cores = len(usable_cores())
        threads = self._config.search.threads_per_worker
        most = self._config.search.workers or max(1, cores // threads)
        workers = min(len(waiting), most)
        if workers == 0:
            return
        # Fewer members than workers: let each have the cores of those that are not there.
        setup = worker_setup(self._config, threads=max(threads, cores // workers))
        with executor_of_run(self._config, self._run, setup, workers=workers) as pool:
            self._train(waiting, pool)
        if self._failures:
            listing = "; ".join(f"{name}: {reason}" for name, reason in self._failures.items())
            raise TrainingError(
                f"Every picked member must train, but {len(self._failures)} did not: {listing}. "
                "Change the recipe under training.full, or pick other members."
            )

    def _train(self, waiting: list[Architecture], pool: Executor) -> None:
        attempts: dict[str, int] = {}
        running: dict[Worker, Architecture] = {}
        stopping_since: float | None = None
        while waiting or running:
            if self._stop.requested:
                stopping_since = self._stopping(running, pool, stopping_since)
                waiting.clear()
                if not running or time.monotonic() - stopping_since > _STOP_S:
                    return
            for worker in pool.idle[: len(waiting)]:
                architecture = waiting.pop(0)
                attempts[architecture.id] = attempts.get(architecture.id, 0) + 1
                running[worker] = architecture
                pool.submit(worker, self._job(architecture))
            for reply in pool.wait(0.5):
                if reply.worker not in running:
                    continue
                architecture = running[reply.worker]
                if reply.kind == "progress":
                    self._advance(architecture, reply.value)
                    continue
                del running[reply.worker]
                if not self._finish(architecture, reply) and attempts[architecture.id] < _ATTEMPTS:
                    waiting.append(architecture)
            self._tell()

    def _advance(self, architecture: Architecture, reached: Mapping[str, Any]) -> None:
        now, step = time.monotonic(), int(reached["step"])
        begun_s, first = self._begun.setdefault(architecture.id, (now, step))
        rate = (step - first) / (now - begun_s) if step > first and now > begun_s else None
        self._under_way[architecture.id] = MemberProgress(
            step, int(reached["steps"]), float(reached["loss"]), str(reached["device"]), rate
        )
        if step >= int(reached["steps"]):
            self._message = f"{architecture.id} is trained: evaluating and exporting it"

    def _stopping(
        self, running: Mapping[Worker, Architecture], pool: Executor, since_s: float | None
    ) -> float:
        """Ask those that train to save a checkpoint and end; return when they were asked first."""
        if since_s is not None:
            return since_s
        for worker in running:
            pool.stop(worker)
        self._message = "saving checkpoints"
        self._tell()
        return time.monotonic()

    def _job(self, architecture: Architecture) -> dict[str, Any]:
        directory = self._run.checkpoint(architecture.id)
        request = {"recipe": self._recipe, "seed": self._config.search.seed}
        recorded = {
            "schema_version": SCHEMA_VERSION,
            **request,
            "trainer": self._trainer,
            FINGERPRINT: self._task.fingerprint(),
        }
        if _read(directory / "request.json") != recorded:
            shutil.rmtree(directory, ignore_errors=True)
            directory.mkdir(parents=True)
            write_checked_json(directory / "request.json", recorded)
        (directory / STOP_FILE).unlink(missing_ok=True)  # of an earlier session
        goes_on = "goes on from its checkpoint" if (directory / STATE_FILE).is_file() else "begins"
        self._message = f"training of {architecture.id} {goes_on}"
        return {
            "log_dir": None if self._log_dir is None else str(self._log_dir / architecture.id),
            "job": "train",
            "architecture": architecture.to_json(),
            "directory": str(directory),
            **request,
        }

    def _finish(self, architecture: Architecture, reply: Reply) -> bool:
        """Keep a result or note a failure; False if another attempt may help."""
        self._under_way.pop(architecture.id, None)
        self._begun.pop(architecture.id, None)
        if reply.kind == "result" and reply.value[FINGERPRINT] != self._task.fingerprint():
            return self._refuse(architecture)
        if reply.kind == "result":
            self._failures.pop(architecture.id, None)
            self._keep(architecture, {**reply.value, "latency": None})
            quality = Quality.from_json(reply.value["quality"])
            self._note(
                "fully-trained",
                f"{architecture.id}: {quality.shown} in {reply.value['train_s']:.0f} s",
            )
            return True
        if reply.kind == "error" and reply.value["kind"] == FileAccessError.__name__:
            raise error_from_reply(reply.value)
        if reply.kind == "error" and reply.value["kind"] == TrainingInterruptedError.__name__:
            self._note("full-training-stopped", str(reply.value["message"]))
            return True
        died = reply.kind == "died"
        reason = str(reply.value) if died else str(reply.value["message"])
        self._failures[architecture.id] = reason
        self._note("full-training-failed", f"{architecture.id}: {reason}")
        return not died

    def _refuse(self, architecture: Architecture) -> bool:
        """Remove what a worker trained on other data, and note it as a failure that no attempt mends."""
        shutil.rmtree(self._run.checkpoint(architecture.id), ignore_errors=True)
        reason = (
            "its worker trained it on other data than those of the run: they changed meanwhile, or it reads "
            "another copy. Its weights are removed; make the data the same everywhere and train again."
        )
        self._failures[architecture.id] = reason
        self._note("full-training-failed", f"{architecture.id}: {reason}")
        return True

    def measure(self, meter: LatencyMeter, objectives: Objectives) -> None:
        """Measure every trained network that has no final measurements yet, and list all of them.

        A signal ends it between two networks; those that were measured stay so.

        Raises:
            MeasurementError: if one cannot be measured.
        """
        for architecture in self._architectures:
            if self._stop.requested:
                return
            self._measure_one(architecture, meter, objectives)
            self._tell()
        ids = [architecture.id for architecture in self._architectures]
        write_checked_json(
            self._run.trained, merged_members(self._run, ids, self._task.fingerprint(), objectives, meter)
        )

    def _measure_one(self, architecture: Architecture, meter: LatencyMeter, objectives: Objectives) -> None:
        task = self._task
        directory = self._run.checkpoint(architecture.id)
        result = read_record(directory / "result.json", REMEDY)
        if result["latency"] is not None and is_of_target(result["latency"], meter):
            return
        self._message = f"measuring {architecture.id}"
        self._tell()
        model = directory / "model.onnx"
        if not model.is_file():  # weights that were measured on a target that has changed since
            space = make_search_space(self._config.space.name, task.contract, self._config.space.choices)
            export_trained(architecture, space, task, directory / "weights.safetensors", model)
        found, builds = measured_finally(
            meter, model, architecture, task, objectives, builds=self._config.measuring.final.builds
        )
        reported = None if builds is None else builds.to_json()
        self._keep(architecture, {**result, **found.to_json(), "builds": reported})
        model.unlink()
        shown = ", ".join(
            f"{metric} {figure(found.measurements[str(metric)])}" for metric in objectives.metrics
        )
        if builds is not None:
            shown += f", fastest of {len(builds.made)} builds that differ by {builds.spread:.1%}"
        self._note("measured", f"{architecture.id}: {shown}")

    def _keep(self, architecture: Architecture, result: Mapping[str, Any]) -> None:
        directory = self._run.checkpoint(architecture.id)
        kept = {
            "schema_version": SCHEMA_VERSION,
            "architecture": architecture.to_json(),
            "checkpoint": str((directory / "weights.safetensors").relative_to(self._run.path)),
            "recipe": self._recipe,
            "seed": self._config.search.seed,
            "trainer": self._trainer,
            FINGERPRINT: self._task.fingerprint(),
            "quality": result["quality"],
            **{key: result.get(key, empty) for key, empty in NOT_MEASURED.items()},
            "builds": result.get("builds"),
            "losses": result["losses"],
            "train_s": result["train_s"],
        }
        write_checked_json(directory / "result.json", kept)

    def is_trained(self, architecture: Architecture) -> bool:
        """Return whether a network was trained here with these data, recipe, seed and trainer."""
        directory = self._run.checkpoint(architecture.id)
        result = _read(directory / "result.json")
        return (
            result is not None
            and result.get(FINGERPRINT) == self._task.fingerprint()
            and result["recipe"] == self._recipe
            and result["seed"] == self._config.search.seed
            and result.get("trainer", BY_DEFAULT.to_json()) == self._trainer
            and (directory / "weights.safetensors").is_file()
            and (result["latency"] is not None or (directory / "model.onnx").is_file())
        )

    def _note(self, kind: str, message: str) -> None:
        self._message = message
        self._log.event(kind, message)

    def _tell(self) -> None:
        finished = sum(self.is_trained(each) for each in self._architectures)
        status = TrainingStatus(finished, len(self._architectures), dict(self._under_way), self._message)
        self._listener(status)


def _read(path: Path) -> dict[str, Any] | None:
    """Return what a file beside a checkpoint holds, or None where there is no file.

    Raises:
        StudyError: if it is damaged.
    """
    return read_record_if_any(path, REMEDY)
