"""How the coordinates of scan files become metres in the frame of the sensor.

Networks see points in one frame: x forward, y left, z up, in metres, the sensor at 0 0 0. Files that differ
say so in `dataset.yaml` (`unit_m`, `origin_m`, `frame`); a bundle records it, and reads scan files alike.

Python 3.8 syntax, numpy only: this module travels to boards.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any, Dict, Mapping, Tuple

import numpy as np
import numpy.typing as npt

from hwnas.arrays import FloatArray

AnyPoints = npt.NDArray[Any]
"""Of float32 or float64."""

_NAMED = {"x-forward": "x y z", "y-forward": "y -x z", "z-forward": "z -x -y"}
_AXIS = re.compile(r"([+-]?)([xyz])")
MIN_UNIT_M, MAX_UNIT_M = 1e-6, 1e3

FRAMES = tuple(_NAMED)
"""Frames with a name; others are written as the axes that point forward, left and up, such as `x -y -z`."""


def axes_of_frame(frame: str) -> Tuple[Tuple[int, int, int], Tuple[int, int, int]]:
    """Return column and sign of the axes that point forward, left and up.

    Args:
        frame: one of `FRAMES`, or three axes of the file with an optional sign.

    Raises:
        ValueError: if it is neither.
    """
    axes = _NAMED.get(frame, frame).split()
    parsed = [_AXIS.fullmatch(axis) for axis in axes]
    names = [match.group(2) for match in parsed if match is not None]
    if len(axes) != 3 or sorted(names) != ["x", "y", "z"]:
        raise ValueError(
            f"the frame is {frame!r}; expected one of {', '.join(FRAMES)}, or the axes of the file that "
            "point forward, left and up, such as 'x -y -z'"
        )
    columns = tuple("xyz".index(name) for name in names)
    signs = tuple(-1 if axis.startswith("-") else 1 for axis in axes)
    return columns, signs  # type: ignore[return-value]


def meaning_of_frame(frame: str) -> str:
    """Return how the axes of a file point, in words: `x forward, y left, z up`.

    Raises:
        ValueError: if the frame is unknown, see `axes_of_frame`.
    """
    directions = (("forward", "back"), ("left", "right"), ("up", "down"))
    columns, signs = axes_of_frame(frame)
    points_to = {"xyz"[columns[n]]: directions[n][signs[n] < 0] for n in range(3)}
    return ", ".join(f"{axis} {points_to[axis]}" for axis in "xyz")


def composed(first: str, second: str) -> str:
    """Return the frame that turns points as `first` and then `second` would."""
    columns, signs = axes_of_frame(first)
    columns_then, signs_then = axes_of_frame(second)
    names = []
    for place in range(3):
        column = columns_then[place]
        sign = signs_then[place] * signs[column]
        names.append(("-" if sign < 0 else "") + "xyz"[columns[column]])
    return " ".join(names)


def to_our_frame(points: AnyPoints, frame: str) -> AnyPoints:
    """Return points [N, 3] with x forward, y left and z up.

    Args:
        points: [N, 3] in the axes of their file.
        frame: see `axes_of_frame`.

    Raises:
        ValueError: if the frame is unknown.
    """
    columns, signs = axes_of_frame(frame)
    if columns == (0, 1, 2) and signs == (1, 1, 1):
        return points
    return np.ascontiguousarray(points[:, columns] * np.asarray(signs, points.dtype))


@dataclass(frozen=True)
class Coordinates:
    """What the numbers of scan files mean.

    Attributes:
        frame: how the axes point, see `axes_of_frame`.
        unit_m: metres in a unit of the file: 0.001 for millimetres, 0.3048 for feet.
        origin_m: where the sensor stands in the coordinates of the file: its axes, metres.

    Raises:
        ValueError: for an unknown frame, or numbers that are not finite or out of range.
    """

    frame: str = "x-forward"
    unit_m: float = 1.0
    origin_m: Tuple[float, float, float] = (0.0, 0.0, 0.0)

    def __post_init__(self) -> None:
        axes_of_frame(self.frame)
        if not MIN_UNIT_M <= self.unit_m <= MAX_UNIT_M:
            raise ValueError(f"unit_m is {self.unit_m}; expected {MIN_UNIT_M:g} to {MAX_UNIT_M:g} metres")
        if len(self.origin_m) != 3 or not all(math.isfinite(value) for value in self.origin_m):
            raise ValueError(f"origin_m is {list(self.origin_m)}; expected three finite numbers, in metres")

    def to_sensor_frame(self, points: AnyPoints) -> FloatArray:
        """Return points [N, 3] of a file in the frame of the sensor, float32, in metres.

        Points at exactly 0 0 0 stay there: drivers write a beam without return so, wherever the sensor
        stands. Coordinates that are not finite stay so.
        """
        return np.asarray(self.in_sensor_frame(points), np.float32)

    def in_sensor_frame(self, points: AnyPoints) -> AnyPoints:
        """Return what `to_sensor_frame` does in the type of the points: float64 stays unrounded."""
        if self.unit_m != 1.0 or any(self.origin_m):
            # In float64: a far origin is subtracted before anything is rounded to float32 again.
            with np.errstate(over="ignore", invalid="ignore"):
                moved = points.astype(np.float64) * self.unit_m - np.asarray(self.origin_m, np.float64)
                moved[~points.any(axis=1)] = 0.0
                points = moved.astype(points.dtype)
        return to_our_frame(points, self.frame)

    def to_json(self) -> Dict[str, Any]:
        """Return plain JSON values."""
        return {"frame": self.frame, "unit_m": self.unit_m, "origin_m": list(self.origin_m)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Coordinates:
        """Rebuild from a mapping that may hold other keys, too; those of `to_json` that it lacks are usual.

        Raises:
            ValueError, TypeError: for values that mean nothing.
        """
        x, y, z = (float(number) for number in value.get("origin_m", (0.0, 0.0, 0.0)))
        return cls(str(value.get("frame", "x-forward")), float(value.get("unit_m", 1.0)), (x, y, z))
