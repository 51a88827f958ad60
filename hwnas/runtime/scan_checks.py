"""Refuses scans that contradict what a network was trained on; they would be labelled, but wrongly.

Python 3.8 syntax, neither torch nor optuna: this module travels to boards.
"""

from __future__ import annotations

from typing import Any, Optional, Tuple

import numpy as np
import numpy.typing as npt

from hwnas.data.expectations import ANY_ORDER, ScanExpectations
from hwnas.data.projection import RangeImage, range_of
from hwnas.data.rings import recover_rings
from hwnas.errors import DataError

FloatArray = npt.NDArray[np.float32]
RingArray = npt.NDArray[np.int32]

_HINT = " (`check_scans=False` lets a runner label it all the same.)"
# Fewer points say little about a sensor.
_FEWEST_TO_JUDGE = 1000
_WHOLE_SHARE = 0.5
# 0..1 and 0..255 are a factor of 255 apart; no weather or scene darkens 99 of 100 points this much.
_LARGEST_UNIT_FACTOR = 32.0
# A ring or two may be lost or split in recovery; sensors differ by a third at least (48 and 64 rings).
_RING_TOLERANCE = 0.15
_ELEVATION_TOLERANCE_DEG = 8.0
_ELEVATION_SAMPLES = 4096
_OUTER_PERCENT = 0.5


def as_points(points: Any, columns: int) -> FloatArray:
    """Return `points` as float32 [N, columns].

    Raises:
        DataError: if they have another shape, or are no real numbers.
    """
    array = np.asarray(points)
    if array.ndim != 2 or array.shape[1] != columns:
        raise DataError(f"Points must have the shape [N, {columns}], but have {list(array.shape)}.")
    if array.dtype.kind not in "fiu":
        raise DataError(f"Points must be real numbers, best float32, but are {array.dtype}.")
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and so has no direction
        return array.astype(np.float32, copy=False)


def as_ring(ring: Any, num_points: int) -> RingArray:
    """Return `ring` as int32 [N].

    Raises:
        DataError: if it has another shape, or does not hold whole numbers.
    """
    array = np.asarray(ring)
    if array.shape != (num_points,) or array.dtype.kind not in "iu":
        raise DataError(
            f"`ring` must hold a whole number for each of the {num_points} points, but has the shape "
            f"{list(array.shape)} and type {array.dtype}."
        )
    if array.size and not 0 <= int(array.min()) <= int(array.max()) <= np.iinfo(np.int32).max:
        raise DataError(f"Rings count from 0, the top one, but are {array.min()} to {array.max()}.")
    return array.astype(np.int32, copy=False)


def has_direction(points: FloatArray) -> npt.NDArray[np.bool_]:
    """Return for points [N, 3] whether they are finite and not at the origin."""
    range_m = range_of(points)
    return np.asarray(np.isfinite(range_m) & (range_m > 0))


def check_intensity_range(values: FloatArray, low_high: Tuple[float, float], sensor: Any) -> None:
    """Refuse intensities that are no numbers or lie outside the sensor's range.

    Raises:
        DataError: if there is one.
    """
    low, high = low_high
    if not np.isfinite(values).all():
        raise DataError(
            f"{np.count_nonzero(~np.isfinite(values))} points that have a position have an intensity that is "
            f"no finite number; expected {low:g} to {high:g}. Set it to {low:g} where the sensor gives none."
        )
    # Rounding when a tool rescaled the intensities; anything beyond is another unit.
    tolerance = 1e-5 * (high - low)
    if values.size and not (low - tolerance <= values.min() and values.max() <= high + tolerance):
        raise DataError(
            f"Intensities must lie in {low:g} to {high:g}, the range of the sensor {sensor!r} that the "
            f"network was trained for, but they are {values.min():g} to {values.max():g}. Convert them to "
            "that unit."
        )


class ScanChecks:
    """Compares scans with what the training scans looked like."""

    def __init__(self, expects: Optional[ScanExpectations], method: str) -> None:
        """Take the expectations of a manifest (None, of older ones, checks nothing) and its projection."""
        self._expects = expects
        self._needs_rings = expects is not None and expects.point_order != ANY_ORDER and method == "ring"

    def check(
        self, points: FloatArray, intensity: FloatArray, image: RangeImage, ring: Optional[RingArray]
    ) -> None:
        """Refuse a scan of another unit, sensor, mounting or order.

        Args:
            points: [M, 3] in metres, all with a direction.
            intensity: [M] in the sensor's own unit.
            image: their projection.
            ring: [M] as it was given; None if it was not.

        Raises:
            DataError: saying what was expected, what was found and what to do.
        """
        expects = self._expects
        if expects is None or len(points) < _FEWEST_TO_JUDGE:
            return
        _check_unit(intensity, expects)
        if len(points) < _WHOLE_SHARE * expects.points[0]:
            return  # part of a turn has fewer rings and another field of view, and rightly so
        _check_field_of_view(points, expects)
        if self._needs_rings:
            _check_rings(points, image, ring, expects)


def _check_unit(intensity: FloatArray, expects: ScanExpectations) -> None:
    low = expects.intensity_range[0]
    found, usual = float(np.percentile(intensity, 99.0)) - low, expects.intensity_p99 - low
    if found * _LARGEST_UNIT_FACTOR < usual:
        raise DataError(
            f"99 of 100 intensities are below {found + low:g}; in the scans of {expects.sensor!r} that the "
            f"network was trained on they were below {expects.intensity_p99:g}. They seem to be in another "
            f"unit, or missing. Convert them to {low:g} to {expects.intensity_range[1]:g}.{_HINT}"
        )


def _check_field_of_view(points: FloatArray, expects: ScanExpectations) -> None:
    some = points[:: max(1, len(points) // _ELEVATION_SAMPLES)].astype(np.float64)
    elevation_deg = np.degrees(np.arctan2(some[:, 2], np.hypot(some[:, 0], some[:, 1])))
    down, up = np.percentile(elevation_deg, [_OUTER_PERCENT, 100.0 - _OUTER_PERCENT])
    usual_up, usual_down = expects.field_of_view_deg
    if max(abs(up - usual_up), abs(down - usual_down)) > _ELEVATION_TOLERANCE_DEG:
        raise DataError(
            f"The points are seen between {up:.1f} and {down:.1f} degrees of elevation; the network was "
            f"trained on {usual_up:.1f} to {usual_down:.1f} degrees ({expects.sensor!r}). Give points in "
            "metres with x forward, y left, z up in the frame of the sensor, or train for this sensor."
            f"{_HINT}"
        )


def _check_rings(
    points: FloatArray, image: RangeImage, ring: Optional[RingArray], expects: ScanExpectations
) -> None:
    if expects.rings is None:
        return
    if ring is None and image.method != "ring":
        ring = recover_rings(points)  # more of them than the image has rows, or none to be told
        if ring is None:
            raise DataError(
                "The rings of the points are not known: they come in no order that tells, while the network "
                f"was trained on {_rings(expects.rings)} rings. Keep the order in which the sensor gives the "
                f"points, or pass the ring of each.{_HINT}"
            )
    count = int((image.row if ring is None else ring).max()) + 1
    fewest, most = expects.rings
    if not fewest * (1.0 - _RING_TOLERANCE) <= count <= most * (1.0 + _RING_TOLERANCE):
        raise DataError(
            f"The scan has {count} rings, but the network was trained on {_rings(expects.rings)} "
            f"({expects.sensor!r}). Give scans of such a sensor, or train for this one.{_HINT}"
        )


def _rings(rings: Tuple[int, int]) -> str:
    return str(rings[0]) if rings[0] == rings[1] else f"{rings[0]} to {rings[1]}"
