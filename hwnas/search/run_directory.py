"""Where everything of one run lies. Names only: nothing here needs torch or optuna."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from hwnas.config import RunConfig, load_config
from hwnas.errors import StudyError
from hwnas.files import read_checked_json
from hwnas.search.records import FrontRecord, TrainedRecord

_NUMBER = re.compile(r"(0|[1-9][0-9]{0,17})\Z")
SCHEMA_VERSION = 2
"""Of all JSON files of a run."""


class RunDirectory:
    """The directory of one run.

    ```
    run.yaml        the resolved run file
    study.journal   what was asked and told: the one source of truth
    identity.json   what must not change within the study, in case the journal loses it
    driver.lock     names the process that drives the study
    front.json      all trials in short, members of the Pareto front in full
    prescreening.json  what was predicted, and what of it was chosen to be trained
    warm_start.json the first candidates, taken over from earlier runs and initial architectures
    learned_from.json  trained networks of earlier runs that the strategy learns from
    trained.json    members trained at full budget
    comparison.json the front beside hand-crafted networks
    events.jsonl    what happened, one JSON object a line
    log.txt         the same for people
    workers/N.log   what worker process N printed
    rungs/R/        front.json and trials/ of a shorter training, or of what prescreening learns from
    trials/N/       trial.json with everything measured in trial N
    checkpoints/ID/ weights.safetensors of architecture ID at full budget
    bundles/ID/     what a vehicle can run
    compared/S/N/   checkpoints/ID/ of the networks that were trained to compare them, for S steps with seed N
    rebases/G/      measurements before and after the rebase that began generation G of the study
    report.html
    ```
    """

    def __init__(self, path: Path | str) -> None:
        """Name a run directory; nothing is read or made."""
        self.path = Path(path)
        self.config = self.path / "run.yaml"
        self.study_journal = self.path / "study.journal"
        self.driver_lock = self.path / "driver.lock"
        self.identity = self.path / "identity.json"
        self.front = self.path / "front.json"
        self.trained = self.path / "trained.json"
        self.comparison = self.path / "comparison.json"
        self.prescreening = self.path / "prescreening.json"
        self.warm_start = self.path / "warm_start.json"
        self.learned_from = self.path / "learned_from.json"
        self.events = self.path / "events.jsonl"
        self.log = self.path / "log.txt"
        self.report = self.path / "report.html"
        self.trials_dir = self.path / "trials"
        self.workers_dir = self.path / "workers"
        self.checkpoints_dir = self.path / "checkpoints"
        self.bundles_dir = self.path / "bundles"
        self.rebases_dir = self.path / "rebases"
        self.rungs_dir = self.path / "rungs"

    def trial(self, number: int) -> Path:
        """Directory of one trial."""
        return self.trials_dir / str(number)

    def trial_record(self, number: int) -> Path:
        """JSON file with everything measured in one trial."""
        return self.trial(number) / "trial.json"

    def rung(self, number: int) -> RunDirectory:
        """Where the trials and the front of a shorter training lie, counted from 1, the shortest."""
        return RunDirectory(self.rungs_dir / str(number))

    def rebase(self, generation: int) -> Path:
        """Directory of the rebase that began a generation of the study."""
        return self.rebases_dir / str(generation)

    def checkpoint(self, architecture_id: str) -> Path:
        """Directory of the weights of one architecture at full budget."""
        return self.checkpoints_dir / architecture_id

    def compared(self, steps: int, seed: int) -> Path:
        """Directory of what was trained for so many steps with a seed to compare it."""
        return self.path / "compared" / str(steps) / str(seed)

    def bundle(self, architecture_id: str) -> Path:
        """Directory of the bundle of one architecture."""
        return self.bundles_dir / architecture_id

    def make(self) -> None:
        """Create the directory and those that are always there."""
        for directory in (
            self.path,
            self.trials_dir,
            self.workers_dir,
            self.checkpoints_dir,
            self.bundles_dir,
        ):
            directory.mkdir(parents=True, exist_ok=True)

    @property
    def written_later(self) -> Sequence[Path]:
        """Files that are written, or appended to, only after `run.yaml` is there."""
        return (
            self.front,
            self.prescreening,
            self.warm_start,
            self.learned_from,
            self.trained,
            self.comparison,
            self.events,
            self.log,
            self.report,
        )

    @property
    def exists(self) -> bool:
        """Whether a run was started here."""
        return self.config.is_file()

    def load_config(self) -> RunConfig:
        """Return the run as resolved when it was started.

        Raises:
            StudyError: if there is no run here.
            ConfigError: if the run file was damaged.
        """
        if not self.exists:
            raise StudyError(
                f"A run directory holds run.yaml, but {self.path} does not. "
                "Start a run with `hwnas search run.yaml --out DIR`."
            )
        return load_config(self.config)

    def read_front(self) -> FrontRecord:
        """Return `front.json`.

        Raises:
            StudyError: if it is missing, unreadable or of another schema version.
        """
        remedy = "`hwnas search` writes it; `hwnas search RUN --resume` writes that of a run anew."
        return cast("FrontRecord", read_record(self.front, remedy))

    def read_trained(self) -> TrainedRecord:
        """Return `trained.json`.

        Raises:
            StudyError: if it is missing, unreadable or of another schema version.
        """
        remedy = "`hwnas train` writes it, and keeps the networks that are trained already."
        return cast("TrainedRecord", read_record(self.trained, remedy))

    def read_trial(self, number: int) -> dict[str, Any]:
        """Return everything measured in one trial.

        Raises:
            StudyError: if there is no record or it cannot be read.
        """
        return read_record(
            self.trial_record(number), "Restore it from a copy; nothing else holds its content."
        )

    def trial_numbers(self) -> list[int]:
        """Return the numbers of the trials that have a directory, ascending; their records may be missing."""
        if not self.trials_dir.is_dir():
            return []
        return sorted(
            int(path.name) for path in self.trials_dir.iterdir() if _NUMBER.match(path.name) and path.is_dir()
        )


def read_record(path: Path, remedy: str) -> dict[str, Any]:
    """Return what a file of a run holds, if it is as it was written.

    Args:
        path: of a file that `hwnas.files.write_checked_json` wrote.
        remedy: what to do where it is missing or damaged; ends the message.

    Raises:
        StudyError: if it is missing, damaged or of another schema version.
    """
    try:
        value = read_checked_json(path)
    except FileNotFoundError as error:
        raise StudyError(f"{path} does not exist. {remedy}") from error
    except ValueError as error:
        raise StudyError(f"{path} cannot be relied on: {error}. {remedy}") from error
    if value.get("schema_version") != SCHEMA_VERSION:
        raise StudyError(
            f"{path} must have schema version {SCHEMA_VERSION}, but has {value.get('schema_version')!r}; "
            "another version of hwnas wrote it. Continue the run with that version, or start it anew."
        )
    return value


def read_record_if_any(path: Path, remedy: str) -> dict[str, Any] | None:
    """Return what a file of a run holds, see `read_record`; None where there is no file."""
    return read_record(path, remedy) if path.is_file() else None
