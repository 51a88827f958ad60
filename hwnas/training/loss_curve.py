"""The losses of a training, thinned to what a curve shows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hwnas.files import read_checked_json
from hwnas.training.checkpoint import STATE_FILE

_POINTS = 200


class LossCurve:
    """Mean losses over equal spans of steps, so that a training of any length has at most 200 points."""

    def __init__(self, steps: int, recorded: Mapping[str, Any] | None = None) -> None:
        """Begin a curve.

        Args:
            steps: of the whole training.
            recorded: what `to_json` gave at a checkpoint that the training goes on from.
        """
        self._span = max(1, -(-steps // _POINTS))
        self._points = [(int(step), float(loss)) for step, loss in recorded["points"]] if recorded else []
        self._sum, self._count = (float(recorded["sum"]), int(recorded["count"])) if recorded else (0.0, 0)

    def add(self, step: int, loss: float) -> None:
        """Take in the loss of a step, counted from 1."""
        self._sum += loss
        self._count += 1
        if self._count == self._span:
            self._points.append((step, self._sum / self._span))
            self._sum, self._count = 0.0, 0

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values; `points` are pairs of the last step of a span and its mean loss."""
        return {"points": [list(point) for point in self._points], "sum": self._sum, "count": self._count}


def losses_of(directory: Path) -> list[tuple[int, float]]:
    """Return the loss curve of the finished training in a directory: pairs of step and mean loss.

    Raises:
        OSError: if there is no training.
        ValueError: if its state is damaged.
    """
    points = read_checked_json(directory / STATE_FILE)["scalars"].get("losses", {}).get("points", [])
    return [(int(step), float(loss)) for step, loss in points]
