"""The contract of everything that says how good an architecture is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from hwnas.architecture import Architecture
from hwnas.tasks.base import Quality


@dataclass(frozen=True)
class Estimate:
    """A quality with what it cost.

    Attributes:
        quality: the estimate.
        cost_s: wall-clock seconds spent on it.
    """

    quality: Quality
    cost_s: float

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {"quality": self.quality.to_json(), "cost_s": self.cost_s}


@runtime_checkable
class AccuracyEstimator(Protocol):
    """Says how good an architecture is."""

    @property
    def name(self) -> str:
        """Short name for tables, such as `training-400-steps`."""
        ...

    def estimate(self, architecture: Architecture, *, seed: int, directory: Path) -> Estimate:
        """Judge one architecture.

        Args:
            architecture: what to judge.
            seed: for initial weights, order of the data and augmentation.
            directory: where intermediate files may go; exists and is the caller's to delete.

        Raises:
            TrainingError: if no number can be given, with the reason.
        """
        ...
