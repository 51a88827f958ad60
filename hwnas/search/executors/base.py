"""What every executor does: hand jobs to workers and collect their replies.

A job and its reply are JSON objects, see `hwnas.search.worker`. The driver alone talks to the study and the
target; executors only export, train and evaluate.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, Self

from hwnas import errors
from hwnas.errors import ConfigError, HwnasError, did_you_mean
from hwnas.plugins import made_by

GROUP = "hwnas.executors"

STOP_FILE = "stop"
"""In the directory of a training, where its worker sees it: asks for the training to end."""


@dataclass(frozen=True)
class WorkerSetup:
    """What every worker is made with.

    Attributes:
        task: registered name and settings, as `{"name": …, "settings": {…}}`.
        space: registered name and restrictions, as `{"name": …, "choices": {…}}`.
        recipe: fields of the recipe that candidates are trained with.
        threads: computing threads and cores of one worker.
        estimators: registered name and settings of everything that evaluates candidates; jobs name one by its
            position.
        device: that networks are trained on, see `hwnas.training.device`.
        trainer: registered name and settings of what trains and evaluates.
    """

    task: Mapping[str, Any]
    space: Mapping[str, Any]
    recipe: Mapping[str, Any]
    threads: int
    estimators: Sequence[Mapping[str, Any]] = ({"name": "training", "settings": {}},)
    device: str = "auto"
    trainer: Mapping[str, Any] = field(default_factory=lambda: {"name": "supervised", "settings": {}})

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "task": dict(self.task),
            "space": dict(self.space),
            "recipe": dict(self.recipe),
            "threads": self.threads,
            "estimators": [dict(estimator) for estimator in self.estimators],
            "device": self.device,
            "trainer": dict(self.trainer),
        }


@dataclass(eq=False)
class Worker:
    """What takes one job at a time.

    Attributes:
        slot: from 0; a worker that takes the place of a lost one has its slot.
        is_ready: whether it has loaded its task.
        is_busy: whether it has a job.
    """

    slot: int
    is_ready: bool = False
    is_busy: bool = False


ReplyKind = Literal["ready", "result", "error", "progress", "died"]


@dataclass(frozen=True)
class Reply:
    """What became of a job.

    Attributes:
        worker: that had it.
        kind: `ready` when it has loaded its task, which executors keep to themselves; `progress` may come
            before the end of a job; its end is one of `result`, `error` (an `HwnasError`, as `kind` and
            `message`) or `died` (with the reason).
        value: what was said.
    """

    worker: Worker
    kind: ReplyKind
    value: Any


class Executor(Protocol):
    """Keeps workers alive, hands them jobs and collects their replies.

    It is a context: entering starts the workers, leaving ends them and whatever they run.

    Attributes:
        size: how many workers there are, or will be.
        is_local: whether all workers run on this machine and so write to its disks.
    """

    size: int
    is_local: bool

    def __enter__(self) -> Self:
        """Start all workers; they load their task meanwhile."""

    def __exit__(self, *_error: object) -> None:
        """End all workers; whoever wants their results collects them before."""

    @property
    def idle(self) -> list[Worker]:
        """Workers that can take a job."""

    def submit(self, worker: Worker, job: Mapping[str, Any]) -> None:
        """Hand a job to an idle worker; paths in it are of the driver's machine.

        A worker that is lost with its job may be replaced and given it again, so often as the executor's
        settings say; if that is over, `wait` tells that it died.
        """

    def kill(self, worker: Worker) -> None:
        """End a job at once; `wait` will say that its worker died, without another attempt."""

    def stop(self, worker: Worker) -> None:
        """Ask a training to save a checkpoint and end soon, wherever it runs; other jobs go on to their end.

        `wait` will say that it ended with a `TrainingInterruptedError`, or with its result if it was done.
        """

    def wait(self, timeout_s: float) -> list[Reply]:
        """Return what workers say within `timeout_s`; those that died are replaced.

        Raises:
            HwnasError: if a worker cannot load its task, with its reason.
            StudyError: if workers keep dying while they start.
        """

    def paused(self) -> AbstractContextManager[None]:
        """Stop all workers on this machine for the duration of a block, so that a clock runs undisturbed."""


@dataclass(frozen=True)
class ExecutorContext:
    """What an executor is made of.

    Attributes:
        setup: of every worker.
        workers: how many; None lets the executor choose.
        logs: directory for what workers print.
        options: settings of the run file, as the executor defines them.
    """

    setup: WorkerSetup
    workers: int | None
    logs: Path
    options: Mapping[str, Any]


ExecutorFactory = Callable[[ExecutorContext], Executor]
"""What plug-ins register in `hwnas.executors`."""


def make_executor(name: str, context: ExecutorContext) -> Executor:
    """Return the registered executor `name`; entering it starts its workers.

    Raises:
        PluginError: if the name is unknown, or what is registered makes no executor.
        ConfigError: if its settings are wrong.
    """
    expected = "make an executor of a context"
    made: Executor = made_by(
        GROUP, name, context, expected=expected, interface=Executor, extra=("__enter__", "__exit__")
    )
    return made


def refuse_unknown_options(name: str, options: Mapping[str, Any], known: tuple[str, ...]) -> None:
    """Check the names of an executor's settings.

    Raises:
        ConfigError: if one is unknown.
    """
    for option in options:
        if option not in known:
            listing = ", ".join(known) if known else "none"
            raise ConfigError(
                f"The executor {name!r} has no setting {option!r}.{did_you_mean(option, list(known))} "
                f"Its settings: {listing}."
            )


def request_stop(job: Mapping[str, Any]) -> None:
    """Create the file that asks a training on this machine to end; for any other job do nothing."""
    if job["job"] == "train":
        directory = Path(job["directory"])
        directory.mkdir(parents=True, exist_ok=True)
        (directory / STOP_FILE).touch()


def error_from_reply(value: Mapping[str, str]) -> HwnasError:
    """Rebuild the error that a worker reported."""
    kind = getattr(errors, value["kind"], HwnasError)
    return kind(value["message"]) if issubclass(kind, HwnasError) else HwnasError(value["message"])
