"""Which axis of a cloud points up, which way its sensor travels, and where its middle is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hwnas.arrays import FloatArray
from hwnas.data.geometry.cloud_geometry import Ground, elevation_of, ground_of, sample
from hwnas.data.scan_files.frames import to_our_frame

AS_IT_IS = "x y z"
# Rotations (never mirror images) that bring each axis up; of the four for each, one whose heading is usual.
_UPWARD = {"z": AS_IT_IS, "-z": "x -y -z", "y": "x -z y", "-y": "z -x -y", "x": "y z x", "-x": "-z y -x"}
_STEEP_DEG = 50.0
_CLEAR_SHARE, _CLEAR_GAIN = 0.9, 0.1
_GROUND_BAND = 0.15
_UPSIDE_DOWN_FACTOR = 3.0
_MIDDLE_SAMPLES, _MIDDLE_STEPS = 8192, 20


@dataclass(frozen=True)
class Upright:
    """How a cloud must be turned so that z is up.

    Attributes:
        frame: axes that point forward, left and up, as in `hwnas.data.scan_files.frames`; the heading is a
            guess where the cloud does not stand upright already.
        ground: of the cloud, once it is turned; None where there is none.
    """

    frame: str
    ground: Ground | None


def upright(points: FloatArray) -> Upright:
    """Return how to turn a cloud upright.

    A rotating sensor sees all around but hardly up or down, so its axis is the one along which the fewest
    points lie; the ground is then below it, and nearly everything else above the ground.

    Args:
        points: [N, 3] in any unit, the sensor not far from 0 0 0.
    """
    some = points[sample(len(points))]
    shares = {axis: _flat_share(to_our_frame(some, _UPWARD[axis])) for axis in "zyx"}
    best = max(shares, key=lambda axis: shares[axis])
    if shares["z"] >= _CLEAR_SHARE and shares[best] < shares["z"] + _CLEAR_GAIN:
        best = "z"
    turned = to_our_frame(some, _UPWARD[best])
    ground, overhead = ground_of(turned), ground_of(to_our_frame(some, _UPWARD[f"-{best}"]))
    if overhead is not None and (ground is None or _is_upside_down(turned, ground)):
        best, ground = f"-{best}", overhead
    return Upright(_UPWARD[best], ground)


def _flat_share(points: FloatArray) -> float:
    return float(np.mean(np.abs(elevation_of(points)) < _STEEP_DEG))


def _is_upside_down(points: FloatArray, ground: Ground) -> bool:
    height = ground.above(points)
    distance = np.hypot(points[:, 0], points[:, 1])
    # A road may rise or fall with the distance; what is near it at its distance is ground.
    band = _GROUND_BAND * np.median(distance) * 0.3 + 0.05 * distance
    return bool(np.mean(height < -band) > _UPSIDE_DOWN_FACTOR * np.mean(height > band))


def middle_of(points: FloatArray) -> npt.NDArray[np.float64]:
    """Return x, y, z of the middle of a cloud, metres: the geometric median of x and y, the median of z.

    Where points lie all around a sensor evenly, the unit vectors to them sum to zero, which is what the
    geometric median is (Weiszfeld's algorithm, Tohoku Mathematical Journal 43, 1937). Sky and occlusion move
    it by a metre or two.

    Args:
        points: [N, 3], metres, z up; anywhere.
    """
    some = points[sample(len(points), _MIDDLE_SAMPLES)].astype(np.float64)
    middle = np.median(some, axis=0)
    for _ in range(_MIDDLE_STEPS):
        distance = np.hypot(some[:, 0] - middle[0], some[:, 1] - middle[1])
        weight = 1.0 / np.maximum(distance, 0.5)
        middle[:2] = (some[:, :2] * weight[:, None]).sum(axis=0) / weight.sum()
    return middle


# Travel -----------------------------------------------------------------------------------------------------

_CELL_M, _CELLS = 0.5, 256
_ABOVE_GROUND_M = (0.5, 4.0)
_FARTHEST_SHIFT_M = 20.0
_LEAST_TRAVEL_M = 0.8
_CLEAR_PEAK = 1.25


def travel_between(first: FloatArray, second: FloatArray, ground_m: float) -> tuple[float, float] | None:
    """Return how far the sensor moved between two scans, x and y in metres, in its own frame.

    The standing things around it move the other way; where they fit best is the peak of the
    cross-correlation of what is occupied above the ground. Turning between the scans blurs it.

    Args:
        first: [N, 3], metres, z up, sensor at 0 0 0.
        second: [M, 3], the next scan.
        ground_m: z of the ground.

    Returns:
        None where no shift fits clearly better than others.
    """
    one, other = (np.fft.rfft2(_occupied(points, ground_m)) for points in (first, second))
    match = np.fft.fftshift(np.fft.irfft2(one * np.conj(other), s=(_CELLS, _CELLS)))
    reach, middle = int(_FARTHEST_SHIFT_M / _CELL_M), _CELLS // 2
    window = match[middle - reach : middle + reach + 1, middle - reach : middle + reach + 1]
    row, column = np.unravel_index(int(window.argmax()), window.shape)
    elsewhere = window.copy()
    elsewhere[max(0, row - 3) : row + 4, max(0, column - 3) : column + 4] = 0
    if window.max() < _CLEAR_PEAK * max(float(elsewhere.max()), 1.0):
        return None
    return (int(row) - reach) * _CELL_M, (int(column) - reach) * _CELL_M


def _occupied(points: FloatArray, ground_m: float) -> npt.NDArray[np.float32]:
    low, high = (ground_m + value for value in _ABOVE_GROUND_M)
    standing = points[(points[:, 2] > low) & (points[:, 2] < high)]
    place = np.floor(standing[:, :2] / _CELL_M).astype(np.int64) + _CELLS // 2
    inside = ((place >= 0) & (place < _CELLS)).all(axis=1)
    cells = np.zeros((_CELLS, _CELLS), np.float32)
    cells[place[inside, 0], place[inside, 1]] = 1.0
    return cells


def heading_of(travel_m: Sequence[tuple[float, float]]) -> str | None:
    """Return the axis, such as `x` or `-y`, along which a sensor travels; None where it is not clear."""
    moves = np.asarray([move for move in travel_m if np.hypot(*move) >= _LEAST_TRAVEL_M], np.float64)
    if len(moves) < 2:
        return None
    names = ("x", "-x", "y", "-y")
    along = np.stack([moves[:, 0], -moves[:, 0], moves[:, 1], -moves[:, 1]])
    agrees = np.mean(along > 0.9 * np.hypot(moves[:, 0], moves[:, 1]), axis=1)
    best = int(agrees.argmax())
    return names[best] if agrees[best] >= 0.75 else None
