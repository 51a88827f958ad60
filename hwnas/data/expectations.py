"""What a network expects of the scans it is given, in words that people and programs can check.

Python 3.8 syntax, numpy only: this module travels to boards.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Dict, Iterable, List, Mapping, Optional, Tuple

import numpy as np

from hwnas.data.expected_intensities import IntensityExpectations, IntensityRecorder
from hwnas.data.geometry.cloud_geometry import precise_elevation_of
from hwnas.data.geometry.expected_geometry import GeometryExpectations, GeometryRecorder
from hwnas.errors import DataError
from hwnas.range_view.rings import recover_rings
from hwnas.scan import Scan
from hwnas.text import one_line

RING_FIELD, RING_BY_RING, ANY_ORDER = "ring-field", "ring-by-ring", "any"
POINT_ORDERS = (RING_FIELD, RING_BY_RING, ANY_ORDER)
"""Every point says its ring; points come ring by ring, so that rings can be recovered; or neither."""
_OUTER_PERCENT = 0.5


@dataclass(frozen=True)
class ScanExpectations:
    """What scans looked like in training; anything else is another sensor, unit or mounting.

    Attributes:
        sensor: name of the sensor.
        frame: axes of the scan files, see `hwnas.data.scan_files.frames`; the runner takes x forward, y left,
            z up.
        intensity_range: intensities of the sensor that are remission 0 and 1.
        intensity_p99: intensity that 99 percent of the points stay below, in the sensor's unit, from
            `num_scans` scans; tells units apart whose ranges overlap.
        rings: least and most rings of a scan; None where they are neither given nor recoverable.
        point_order: one of `POINT_ORDERS`.
        field_of_view_deg: elevation of the upper and the lower edge, without the outer 0.5 percent of points.
        sensor_height_m: of the sensor above the ground; None where nobody stated it.
        points: least and most points of a scan.
        num_scans: training scans that were read for all that is not stated.
        geometry: beams, coverage, ground and sense of the turn; None in bundles that do not say.
        intensities: how they are distributed; None in bundles that do not say.
    """

    sensor: str
    frame: str
    intensity_range: Tuple[float, float]
    intensity_p99: float
    rings: Optional[Tuple[int, int]]
    point_order: str
    field_of_view_deg: Tuple[float, float]
    sensor_height_m: Optional[float]
    points: Tuple[int, int]
    num_scans: int
    geometry: Optional[GeometryExpectations] = None
    intensities: Optional[IntensityExpectations] = None

    def to_json(self) -> Dict[str, Any]:
        """Return plain JSON values."""
        content = {
            key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()
        }
        return {
            **content,
            "geometry": None if self.geometry is None else self.geometry.to_json(),
            "intensities": None if self.intensities is None else self.intensities.to_json(),
            # For people; it follows from the rest.
            "weaknesses": list(self.weaknesses()),
        }

    def weaknesses(self) -> Tuple[str, ...]:
        """Return by what other scans cannot be told, and what to do about it; a few sentences each."""
        geometry = self.geometry
        if geometry is None:
            return ()
        found = []
        if geometry.beam_elevation_deg is None:
            others = "field of view, ground and distances"
            if geometry.sector_spacing_deg is not None:
                others = f"the spacing of beams in sectors, {others}"
            found.append(
                f"The training scans show no beams, so that other sensors are told by {others} only. "
                "If the sensor has beams, train on points in its own frame, not corrected for motion, or on "
                "points whose rings are given."
            )
        if geometry.ground_height_m is None and self.sensor_height_m is None:
            found.append(
                "The training scans show no ground and no height of the sensor is stated, so that scans in "
                "another unit, from another height or upside down may pass. State `sensor_height_m` in "
                "dataset.yaml."
            )
        if geometry.turn is None and geometry.is_left_in_time is None:
            found.append(
                "The order of the training points does not show which way the sensor turns, so that mirrored "
                "scans pass. Train on points in the order in which the sensor measures them."
            )
        return tuple(found)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> ScanExpectations:
        """Rebuild from `to_json`, also of versions without `geometry`, `intensities` or `weaknesses`.

        Raises:
            KeyError, TypeError or ValueError: for anything else.
        """
        order, rings, height = str(value["point_order"]), value["rings"], value["sensor_height_m"]
        geometry, intensities = value.get("geometry"), value.get("intensities")
        if order not in POINT_ORDERS:
            raise ValueError(f"the point order is {order!r}, not one of {POINT_ORDERS}")
        return cls(
            str(value["sensor"]),
            str(value["frame"]),
            _pair(value["intensity_range"]),
            float(value["intensity_p99"]),
            None if rings is None else _counts(rings),
            order,
            _pair(value["field_of_view_deg"]),
            None if height is None else float(height),
            _counts(value["points"]),
            int(value["num_scans"]),
            None if geometry is None else GeometryExpectations.from_json(geometry),
            None if intensities is None else IntensityExpectations.from_json(intensities),
        )

    def __repr__(self) -> str:
        """Return the figures that matter most, in a line."""
        return one_line(
            self,
            self.sensor,
            "{} to {} points".format(*self.points),
            "{:.1f} to {:.1f} deg".format(*self.field_of_view_deg),
            self.point_order,
        )


def expectations_of(
    scans: Iterable[Scan],
    *,
    sensor: str,
    frame: str,
    intensity_range: Tuple[float, float],
    sensor_height_m: Optional[float] = None,
) -> ScanExpectations:
    """Look at some scans of a training split.

    Args:
        scans: a few, in our axes, remission 0..1; rings as their files say them.
        sensor: name of the sensor.
        frame: axes of their files.
        intensity_range: intensities that are remission 0 and 1.
        sensor_height_m: above the ground, if it is known.

    Raises:
        DataError: if there is no scan with a point.
    """
    low, high = intensity_range
    counts: List[int] = []
    rings: List[Optional[int]] = []
    remission, elevation = [], []
    are_given = True
    recorder, intensities = GeometryRecorder(), IntensityRecorder()
    for scan in scans:
        if not len(scan):
            continue
        ring = scan.ring if scan.ring is not None else recover_rings(scan.points)
        are_given = are_given and scan.ring is not None
        counts.append(len(scan))
        rings.append(None if ring is None else int(ring.max()) + 1)
        remission.append(scan.remission)
        elevation.append(precise_elevation_of(scan.points))
        recorder.add(scan.points, ring, scan.time)
        intensities.add(scan.points, scan.remission)
    if not counts:
        raise DataError("No scan of the training split has a point, so what a network expects is unknown.")
    known = [ring for ring in rings if ring is not None]
    are_known = len(known) == len(rings)
    down, up = np.percentile(np.concatenate(elevation), [_OUTER_PERCENT, 100.0 - _OUTER_PERCENT])
    p99 = low + (high - low) * float(np.percentile(np.concatenate(remission), 99.0))
    return ScanExpectations(
        sensor=sensor,
        frame=frame,
        intensity_range=(float(low), float(high)),
        # Rounded: the last digits differ between versions of numpy and mean nothing.
        intensity_p99=float(f"{p99:.3g}"),
        rings=(min(known), max(known)) if are_known else None,
        point_order=(RING_FIELD if are_given else RING_BY_RING) if are_known else ANY_ORDER,
        field_of_view_deg=(round(float(up), 1), round(float(down), 1)),
        sensor_height_m=sensor_height_m,
        points=(min(counts), max(counts)),
        num_scans=len(counts),
        geometry=recorder.expectations(),
        intensities=intensities.expectations(intensity_range),
    )


def _pair(value: Any) -> Tuple[float, float]:
    first, second = (float(number) for number in value)
    if not (np.isfinite(first) and np.isfinite(second)):
        raise ValueError(f"{value!r} are no finite numbers")
    return first, second


def _counts(value: Any) -> Tuple[int, int]:
    least, most = (int(number) for number in value)
    if not 0 < least <= most < 1 << 40:
        raise ValueError(f"{value!r} are not the least and the most of something")
    return least, most
