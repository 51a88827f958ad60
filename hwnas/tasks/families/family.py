"""A family of tasks: what is learned over, and what is held out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hwnas.progress import CountStatus, Listener
from hwnas.tasks.base import Task, make_task
from hwnas.tasks.families.synthetic_members import SyntheticScans


@dataclass(frozen=True)
class FamilyMember:
    """One task of a family.

    Attributes:
        name: that patterns of `held_out` are compared with.
        settings: of the task, which go over those of the network's own: `data`, and whatever else differs.
        scans: what `data` is drawn from where it is synthetic; None where it is there already.
    """

    name: str
    settings: Mapping[str, Any]
    scans: SyntheticScans | None = field(default=None, repr=False)

    def task(self, name: str, settings: Mapping[str, Any]) -> Task:
        """Return the task.

        Args:
            name: of the kind of task, as registered.
            settings: that all members share.

        Raises:
            ConfigError: if a setting is unknown or wrong.
            DataError: if the data cannot be used.
        """
        return make_task(name, {**settings, **self.settings})

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        scans = None if self.scans is None else self.scans.to_json()
        return {"name": self.name, "settings": dict(self.settings), "scans": scans}


@dataclass(frozen=True)
class TaskFamily:
    """Tasks of one kind.

    Attributes:
        name: of the family.
        train: members that initial weights are learned over, at least two.
        held_out: members that learning never sees, at least one.
    """

    name: str
    train: tuple[FamilyMember, ...]
    held_out: tuple[FamilyMember, ...]

    @property
    def members(self) -> tuple[FamilyMember, ...]:
        """All of them."""
        return (*self.train, *self.held_out)

    def draw(self, *, workers: int = 1, progress: Listener[CountStatus] | None = None) -> None:
        """Draw the synthetic scans that are not there yet; does nothing in other families.

        Each member's scans appear at once and whole, so that an interrupted call is made again.

        Args:
            workers: processes that draw scenes, at least 1.
            progress: is told how many members are there.

        Raises:
            ConfigError: if something else lies where scans belong.
        """
        wanted = [member.scans for member in self.members if member.scans is not None]
        for number, scans in enumerate(wanted, start=1):
            scans.draw(workers=workers)
            if progress is not None:
                progress(CountStatus(number, len(wanted)))

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "name": self.name,
            "train": [member.to_json() for member in self.train],
            "held_out": [member.to_json() for member in self.held_out],
        }

    @property
    def id(self) -> str:
        """16 hexadecimal digits that differ for families that differ in a member."""
        return hashlib.sha256(json.dumps(self.to_json(), sort_keys=True).encode("utf-8")).hexdigest()[:16]
