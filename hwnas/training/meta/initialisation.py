"""Initial weights that were meta-learned, as a directory: weights, and what they are of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hwnas.architecture import Architecture
from hwnas.errors import TrainingError
from hwnas.files import read_checked_json, sha256_of_file, write_checked_json
from hwnas.text import one_line
from hwnas.training.checkpoint import WEIGHTS_FILE
from hwnas.training.meta.settings import MetaSettings

INITIALISATION_FILE = "initialisation.json"
SCHEMA_VERSION = 1


@dataclass(frozen=True)
class StatedFamily:
    """The family that weights were learned over, as their file states it: see `TaskFamily.to_json`."""

    _content: Mapping[str, Any]

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> StatedFamily:
        """Take over plain JSON values.

        Raises:
            KeyError or TypeError: if they are of no family.
        """
        found = cls(dict(value))
        _ = found.name, found.train, found.held_out
        return found

    @property
    def name(self) -> str:
        """Name of the family."""
        return str(self._content["name"])

    @property
    def train(self) -> tuple[str, ...]:
        """Names of the members that weights were learned over."""
        return tuple(str(member["name"]) for member in self._content["train"])

    @property
    def held_out(self) -> tuple[str, ...]:
        """Names of the members that learning never saw."""
        return tuple(str(member["name"]) for member in self._content["held_out"])

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return dict(self._content)


@dataclass(frozen=True)
class Initialisation:
    """Initial weights that were learned over a family.

    Attributes:
        directory: the directory that holds them.
        settings: settings that they were learned with.
        architecture: architecture of the network.
        class_names: names of the classes that it tells apart; empty for tasks without classes.
        task: name of the kind of task.
        family: the tasks that they were learned over, and those held out.
        started_from: SHA-256 of the weights that learning began with; None for fresh ones.
        before: loss after adaptation on each held-out member with these first weights, on samples that were
            not adapted to.
        after: the same loss with the learned weights.
        train_s: seconds of all sessions, as far as their checkpoints reach.
        weights_sha256: SHA-256 of the file of weights.
    """

    directory: Path
    settings: MetaSettings
    architecture: Architecture
    class_names: tuple[str, ...]
    task: str
    family: StatedFamily
    started_from: str | None
    before: Mapping[str, float]
    after: Mapping[str, float]
    train_s: float
    weights_sha256: str

    @property
    def weights(self) -> Path:
        """The safetensors file."""
        return self.directory / WEIGHTS_FILE

    @property
    def is_better(self) -> bool:
        """Whether the mean loss after adaptation to held-out members fell."""
        return sum(self.after.values()) < sum(self.before.values())

    def __repr__(self) -> str:
        """Return the figures that matter most, in a line."""
        before, after = (sum(losses.values()) / max(len(losses), 1) for losses in (self.before, self.after))
        return one_line(
            self,
            self.settings.method,
            f"family {self.family.name}",
            f"{self.settings.steps} steps",
            f"held-out loss {before:.4g} -> {after:.4g}",
        )

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values, as `hwnas meta-train --json` prints them."""
        return {
            "schema_version": SCHEMA_VERSION,
            "directory": str(self.directory),
            "settings": self.settings.to_json(),
            "architecture": self.architecture.to_json(),
            "architecture_id": self.architecture.id,
            "class_names": list(self.class_names),
            "task": self.task,
            "family": self.family.to_json(),
            "started_from": self.started_from,
            "held_out_loss": {
                name: {"before": value, "after": self.after[name]} for name, value in self.before.items()
            },
            "train_s": self.train_s,
            "weights_sha256": self.weights_sha256,
        }

    def save(self) -> None:
        """Write what the weights are of, atomically; with that the directory is whole."""
        content = {key: value for key, value in self.to_json().items() if key != "directory"}
        write_checked_json(self.directory / INITIALISATION_FILE, content)

    @classmethod
    def load(cls, directory: Path) -> Initialisation:
        """Return what lies in a directory.

        Raises:
            TrainingError: if nothing does, it is not finished, damaged, or its weights are others.
        """
        path = directory / INITIALISATION_FILE
        remedy = "`hwnas meta-train RUN --family FAMILY.yaml -o INIT` makes one, or goes on with it."
        try:
            content = read_checked_json(path)
            losses = content["held_out_loss"]
            found = cls(
                directory=directory,
                settings=MetaSettings.from_json(content["settings"]),
                architecture=Architecture.from_json(content["architecture"]),
                class_names=tuple(map(str, content["class_names"])),
                task=str(content["task"]),
                family=StatedFamily.from_json(content["family"]),
                started_from=content["started_from"],
                before={name: float(each["before"]) for name, each in losses.items()},
                after={name: float(each["after"]) for name, each in losses.items()},
                train_s=float(content["train_s"]),
                weights_sha256=str(content["weights_sha256"]),
            )
        except FileNotFoundError as error:
            raise TrainingError(
                f"{directory} holds no finished initialisation: there is no {INITIALISATION_FILE}. {remedy}"
            ) from error
        except (ValueError, KeyError, TypeError) as error:
            raise TrainingError(
                f"{path} cannot be relied on: {error!r}. Restore it from a copy, or remove {directory}; "
                f"{remedy}"
            ) from error
        if not found.weights.is_file() or sha256_of_file(found.weights) != found.weights_sha256:
            raise TrainingError(
                f"{found.weights} does not hold the weights that {path} states. Restore it from a copy, or "
                f"remove {directory}; {remedy}"
            )
        return found
