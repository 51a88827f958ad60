"""Estimates, from some of its scans, how a data set's coordinates relate to the frame of its sensor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from hwnas.arrays import FloatArray
from hwnas.data.geometry.axes import AS_IT_IS, middle_of, upright
from hwnas.data.geometry.beam_cones import BeamCones, cones_of, turn_to_z
from hwnas.data.geometry.cloud_geometry import (
    UNITS,
    CloudGeometry,
    azimuth_coverage,
    elevation_of,
    geometry_of,
    quantiles,
    sample,
)
from hwnas.data.geometry.origin import FEWEST_POINTS
from hwnas.data.inspection.sensor_places import (
    Cloud,
    agreeing,
    heading_between,
    in_sensor_frame,
    moves_between,
    moves_of,
    origins_of,
    place_turned_back,
    places_of,
    shifted,
    turned,
)
from hwnas.data.scan_files.frames import composed, to_our_frame
from hwnas.range_view.rings import recover_rings
from hwnas.text import counted, one_line

# Middles of clouds in the frame of the sensor lie within a few metres of it.
_FAR_SPREADS = 2.0
_USUAL_HEIGHT_M, _HEIGHT_FACTOR_SPREAD, _STATED_HEIGHT_SPREAD = 1.8, 0.3, 0.1
_USUAL_RANGE_M, _RANGE_FACTOR_SPREAD = 35.0, 0.7
# Metres are what nearly all scans are in; other units must explain a scan much better (natural logarithm).
_METRES_PRIOR, _WHOLE_NUMBERS_GAIN = 7.0, 5.0
# So near to what the files call the origin, their own frame shows rings better than an estimate of another.
_OWN_FRAME_M = 0.6
# Axes of right scans are known to about a tenth of a degree; a tilt of one moves the place where the beams of
# an HDL-64E seem to meet by less than half a metre.
_LEAST_TILT_DEG = 0.7
LENGTHS = {**UNITS, "kilometres": 0.001}
"""How many of a unit are one metre."""


@dataclass(frozen=True, eq=False)
class GeometryEstimate:
    """What is estimated of the sensor; lengths in metres after the unit was corrected.

    Attributes:
        num_scans: scans that were looked at.
        unit_factor: metres in what is read as a metre; 1 if all is well.
        precision_m: distance of neighbouring values at the largest coordinate, in the type of the files.
        sensor_height_m: above the ground; None where no ground was found.
        ground_scans: scans with a ground.
        roll_deg: median tilt of the sensor over the ground about x; None without a ground.
        pitch_deg: about y.
        azimuth_coverage: median share of the turn that is covered, 0..1.
        elevation_deg: lower and upper edge without the outer 0.5 percent of points.
        elevations_deg: [N] of some points of every scan.
        beams_deg: elevation of every beam, top first; empty where they are not known.
        beams_are_given: whether rings were given or recovered; False where beams were found in elevations.
        turns_left: of each scan whose times or order tell, whether azimuth grows along it.
        turns_are_timed: whether it is times that tell in all of them.
        range_p50_m: median distance of points.
        range_p99_m: distance that 99 percent of points stay below.
        frame: axes of clouds as they are read that should point forward, left and up; `x y z` if right.
        is_heading_seen: whether the way that the sensor travels tells which axis points forward.
        is_far: whether the clouds lie far from 0 0 0.
        origin_m: where the sensor stands in the frame of the cloud, its axes put right; None where no
            beams show.
        origin_spread_m: standard deviation of that place over scans.
        origin_scans: scans whose beams meet clearly.
        moves_m: greatest distance between the places of the sensor in scans of one sequence; 0 where most
            scans agree on one.
        second_origin_m: where a second sensor stands; None where there is none.
        rings_are_stated: whether the files state the rings of all these scans.
        axis_tilt_deg: median angle between z and the axis that the beams turn about; 0 where it is not known
            or too small to matter. Everything else is estimated after it is removed.
        ring_agreement: median share of how elevations vary that the rings of the files explain, 0..1; None
            where the files state none.
        rings_contradict: whether it is so small that these rings are not those of the points; everything else
            is estimated without them.
        origin_is_confirmed: whether beams show around that place and turn about z there: where axes are
            tilted and neither rings nor the order of points tell, beams seem to meet elsewhere.
    """

    num_scans: int
    unit_factor: float
    precision_m: float
    sensor_height_m: float | None
    ground_scans: int
    roll_deg: float | None
    pitch_deg: float | None
    azimuth_coverage: float
    elevation_deg: tuple[float, float]
    elevations_deg: FloatArray
    beams_deg: tuple[float, ...]
    beams_are_given: bool
    turns_left: tuple[bool, ...]
    range_p50_m: float
    range_p99_m: float
    frame: str = AS_IT_IS
    is_heading_seen: bool = False
    is_far: bool = False
    origin_m: tuple[float, float, float] | None = None
    origin_spread_m: float = 0.0
    origin_scans: int = 0
    moves_m: float = 0.0
    second_origin_m: tuple[float, float, float] | None = None
    turns_are_timed: bool = False
    rings_are_stated: bool = False
    axis_tilt_deg: float = 0.0
    ring_agreement: float | None = None
    rings_contradict: bool = False
    origin_is_confirmed: bool = True

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        low, high = self.elevation_deg
        return {
            "scans": self.num_scans,
            "axes_forward_left_up": self.frame.split(),
            "unit_factor": self.unit_factor,
            "sensor_origin_m": _listed(self.origin_m),
            "sensor_origin_spread_m": self.origin_spread_m,
            "sensor_origin_scans": self.origin_scans,
            "second_sensor_origin_m": _listed(self.second_origin_m),
            "sensor_moves_m": self.moves_m,
            "coordinate_precision_m": self.precision_m,
            "sensor_height_m": self.sensor_height_m,
            "roll_deg": self.roll_deg,
            "pitch_deg": self.pitch_deg,
            "axis_tilt_deg": self.axis_tilt_deg,
            "ring_agreement": self.ring_agreement,
            "azimuth_coverage_deg": 360.0 * self.azimuth_coverage,
            "elevation_low_deg": low,
            "elevation_high_deg": high,
            "num_beams": len(self.beams_deg) or None,
            "beams_deg": [round(value, 3) for value in self.beams_deg],
            "beams_from": "rings" if self.beams_are_given else "elevations",
            "turns_left": list(self.turns_left),
            "turns_from": "times" if self.turns_are_timed else "order",
            "range_p50_m": self.range_p50_m,
            "range_p99_m": self.range_p99_m,
        }

    def __repr__(self) -> str:
        """Return the figures that matter most, in a line."""
        return one_line(
            self,
            counted(self.num_scans, "scan"),
            counted(len(self.beams_deg), "beam") if self.beams_deg else "",
            "{:.1f} to {:.1f} deg".format(*self.elevation_deg),
            f"{self.sensor_height_m:.2f} m above ground" if self.sensor_height_m is not None else "",
            f"axes {self.frame}",
        )


def _listed(values: tuple[float, ...] | None) -> list[float] | None:
    return None if values is None else list(values)


def estimate_geometry(
    clouds: Sequence[Cloud], *, sensor_height_m: float | None = None
) -> GeometryEstimate | None:
    """Estimate the geometry of a data set from some of its scans.

    Args:
        clouds: some scans; those with fewer than 2,000 points tell nothing and are left out.
        sensor_height_m: above the ground, if it is stated; it settles the unit.

    Returns:
        None if no scan has enough points.
    """
    clouds = [cloud for cloud in clouds if len(cloud.points) >= FEWEST_POINTS]
    if not clouds:
        return None
    middles = [middle_of(cloud.points) for cloud in clouds]
    is_far = _are_far(clouds, middles)
    local = [
        shifted(cloud.points, middle) if is_far else np.asarray(cloud.points, np.float32)
        for cloud, middle in zip(clouds, middles, strict=True)
    ]
    frame = _common([upright(points).frame for points in local])
    local = [to_our_frame(points, frame) for points in local]
    factor = _unit_factor(clouds, local, sensor_height_m)
    local = [points * np.float32(factor) for points in local]
    bases = [turned(middle, frame) * factor if is_far else np.zeros(3) for middle in middles]
    rings = _RingsOfClouds.of(clouds, local)
    clouds, turns = rings.clouds, rings.turns
    level = [points @ turn.T for points, turn in zip(local, turns, strict=True)]
    places = places_of(clouds, level, bases)
    heading = heading_between(clouds, level, places)
    places = [place_turned_back(one, turns[one.cloud], bases[one.cloud]) for one in places]
    rotation = _rotation_of(heading)
    is_moving = moves_between(clouds, places)
    same = places if is_moving else agreeing(places)
    centred = in_sensor_frame(local, bases, same, is_moving=is_moving)
    final = [to_our_frame(points @ turn.T, rotation) for points, turn in zip(centred, turns, strict=True)]
    as_read = [to_our_frame(points, rotation) for points in level]
    found = _summary(clouds, final, as_read, factor)
    is_aside = any(float(np.linalg.norm(place.place_m)) > _OWN_FRAME_M for place in same)
    return replace(
        found,
        frame=composed(frame, rotation),
        is_heading_seen=heading is not None,
        is_far=is_far,
        moves_m=max(moves_of(clouds, places), default=0.0) if is_moving else 0.0,
        axis_tilt_deg=rings.tilt_deg,
        ring_agreement=rings.agreement,
        rings_contradict=rings.contradict,
        origin_is_confirmed=not is_aside or _are_upright(clouds, final, found.beams_deg),
        **origins_of(same, rotation),
    )


@dataclass(frozen=True, eq=False)
class _RingsOfClouds:
    """What the rings of clouds, given or recovered, say about them.

    Attributes:
        clouds: without the rings that are given, where these contradict the points.
        turns: [3, 3] of each that brings the axis of the sensor to z; nothing turns where that is z already.
        tilt_deg: median angle of these turns.
        agreement: see `GeometryEstimate.ring_agreement`.
        contradict: whether given rings contradict the points.
    """

    clouds: Sequence[Cloud]
    turns: Sequence[FloatArray]
    tilt_deg: float
    agreement: float | None
    contradict: bool

    @classmethod
    def of(cls, clouds: Sequence[Cloud], local: Sequence[FloatArray]) -> _RingsOfClouds:
        """Look at clouds, upright and in metres."""
        given = [_cones(points, cloud.ring) for cloud, points in zip(clouds, local, strict=True)]
        known = [cones for cones in given if cones is not None]
        agreement = float(np.median([max(cones.agreement, 0.0) for cones in known])) if known else None
        contradict = 2 * sum(cones.contradict_rings for cones in known) > len(known)
        if contradict:
            clouds = [replace(cloud, ring=None) for cloud in clouds]
        found = [
            _cones(points, recover_rings(points)) if cloud.ring is None else cones
            for cloud, points, cones in zip(clouds, local, given, strict=True)
        ]
        turns, tilt_deg = _turns_of(found)
        return cls(clouds, turns, tilt_deg, agreement, contradict)


def _cones(points: FloatArray, ring: npt.NDArray[np.int32] | None) -> BeamCones | None:
    return None if ring is None else cones_of(points, ring)


def _turns_of(found: Sequence[BeamCones | None]) -> tuple[list[FloatArray], float]:
    """Return the turn of each cloud that brings its sensor's axis to z, and the median of their angles."""
    clear = [cones for cones in found if cones is not None and cones.is_clear]
    tilt_deg = float(np.median([cones.tilt_deg for cones in clear])) if clear else 0.0
    none = np.eye(3, dtype=np.float32)
    if tilt_deg < _LEAST_TILT_DEG or 2 * len(clear) <= len(found):
        return [none] * len(found), 0.0
    usual = np.median([cones.axis for cones in clear], axis=0)
    usual /= np.linalg.norm(usual)
    axes = [cones.axis if cones is not None and cones.is_clear else usual for cones in found]
    return [np.asarray(turn_to_z(axis), np.float32) for axis in axes], tilt_deg


def _are_upright(clouds: Sequence[Cloud], final: Sequence[FloatArray], beams: Sequence[float]) -> bool:
    """Whether beams are known in clouds around the sensor and, as far as rings tell, turn about z."""
    found = [
        _cones(points, cloud.ring if cloud.ring is not None else recover_rings(points))
        for cloud, points in zip(clouds, final, strict=True)
    ]
    clear = [cones.tilt_deg for cones in found if cones is not None and cones.is_clear]
    return bool(beams) and (not clear or float(np.median(clear)) < _LEAST_TILT_DEG)


def _are_far(clouds: Sequence[Cloud], middles: Sequence[npt.NDArray[np.float64]]) -> bool:
    """Whether most clouds lie aside from 0 0 0, in whatever unit."""
    far = []
    for cloud, middle in zip(clouds, middles, strict=True):
        some = cloud.points[sample(len(cloud.points), 2048)].astype(np.float64)
        spread = float(np.median(np.hypot(some[:, 0] - middle[0], some[:, 1] - middle[1])))
        far.append(float(np.hypot(middle[0], middle[1])) > _FAR_SPREADS * spread)
    return bool(np.mean(far) > 0.5)


def _common(frames: Sequence[str]) -> str:
    best = max(sorted(set(frames)), key=frames.count)
    return best if frames.count(best) > len(frames) / 2 else AS_IT_IS


def _unit_factor(
    clouds: Sequence[Cloud], local: Sequence[FloatArray], sensor_height_m: float | None
) -> float:
    """Return the metres in what is read as a metre, from the height above the ground and the distances."""
    heights, ranges = [], []
    for points in local:
        some = points[sample(len(points))]
        ground = upright(some).ground
        if ground is not None:
            heights.append(ground.height)
        ranges.append(float(np.percentile(np.hypot(some[:, 0], some[:, 1]), 95)))
    range_ = float(np.median(ranges))
    # A sensor that seems to stand on the ground tells no unit: its origin is elsewhere.
    height = float(np.median(heights)) if heights and np.median(heights) > 0.02 * range_ else None
    are_whole = all(cloud.are_whole for cloud in clouds)
    scores = {}
    for unit, per_metre in LENGTHS.items():
        score = _METRES_PRIOR if unit == "metres" else 0.0
        score += _WHOLE_NUMBERS_GAIN if are_whole and unit in ("millimetres", "centimetres") else 0.0
        score -= 0.5 * (np.log(range_ / per_metre / _USUAL_RANGE_M) / _RANGE_FACTOR_SPREAD) ** 2
        if height is not None:
            usual = sensor_height_m or _USUAL_HEIGHT_M
            spread = _STATED_HEIGHT_SPREAD if sensor_height_m else _HEIGHT_FACTOR_SPREAD
            score -= 0.5 * (np.log(height / per_metre / usual) / spread) ** 2
        scores[1.0 / per_metre] = score
    best = max(scores, key=lambda factor: scores[factor])
    return round(best, 6) if best != 1.0 else 1.0


def _summary(
    clouds: Sequence[Cloud], final: Sequence[FloatArray], as_read: Sequence[FloatArray], factor: float
) -> GeometryEstimate:
    """Describe clouds in the frame of the sensor; where that is, is filled in afterwards."""
    rings = [_ring_of(*each) for each in zip(clouds, final, as_read, strict=True)]
    found = [
        geometry_of(points, ring, cloud.time)
        for cloud, points, ring in zip(clouds, final, rings, strict=True)
    ]
    in_time = tuple(one.is_left_in_time for one in found if one.is_left_in_time is not None)
    are_timed = len(in_time) == len(found)
    grounds = [one.ground for one in found if one.ground is not None and one.ground.height > 0]
    elevation = np.concatenate([elevation_of(points[sample(len(points))]) for points in final])
    range_ = np.concatenate([np.linalg.norm(points[sample(len(points))], axis=1) for points in final])
    beams, are_given = _beams(found)
    are_stated = are_given and all(cloud.ring is not None for cloud in clouds)
    low, high = quantiles(np.asarray(elevation, np.float32), (0.5, 99.5))
    precision = max(
        float(np.spacing(cloud.points.dtype.type(cloud.largest * cloud.unit_m * factor))) for cloud in clouds
    )
    return GeometryEstimate(
        num_scans=len(clouds),
        unit_factor=factor,
        precision_m=precision,
        sensor_height_m=float(np.median([ground.height for ground in grounds])) if grounds else None,
        ground_scans=len(grounds),
        roll_deg=float(np.median([ground.roll_deg for ground in grounds])) if grounds else None,
        pitch_deg=float(np.median([ground.pitch_deg for ground in grounds])) if grounds else None,
        azimuth_coverage=float(np.median([azimuth_coverage(points) for points in final])),
        elevation_deg=(low, high),
        elevations_deg=np.asarray(elevation, np.float32),
        beams_deg=beams,
        beams_are_given=are_given,
        rings_are_stated=are_stated,
        turns_left=in_time if are_timed else tuple(one.turn.is_left for one in found if one.turn is not None),
        turns_are_timed=are_timed,
        range_p50_m=float(np.median(range_)),
        range_p99_m=float(np.percentile(range_, 99)),
    )


def _ring_of(cloud: Cloud, points: FloatArray, as_read: FloatArray) -> npt.NDArray[np.int32] | None:
    if cloud.ring is not None:
        return cloud.ring
    is_near = float(np.abs(as_read[0] - points[0]).max()) < _OWN_FRAME_M
    ring = recover_rings(as_read) if is_near else None
    return recover_rings(points) if ring is None else ring


def _beams(found: Sequence[CloudGeometry]) -> tuple[tuple[float, ...], bool]:
    """Return the median elevation of every beam over the scans that agree on their number."""
    tables = [(one.beams.elevation_deg, one.beams.are_given) for one in found if one.beams is not None]
    if not tables:
        return (), False
    counts = [len(table) for table, _ in tables]
    usual = max(sorted(set(counts), reverse=True), key=counts.count)
    same = [table for table, _ in tables if len(table) == usual]
    return tuple(float(value) for value in np.median(same, axis=0)), all(given for _, given in tables)


def _rotation_of(heading: str | None) -> str:
    """Return which axes of an upright frame point forward, left and up, from the axis of travel."""
    return {"-x": "-x -y z", "y": "y -x z", "-y": "-y x z"}.get(heading or "x", AS_IT_IS)
