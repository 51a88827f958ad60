"""Estimates, from some of its scans, how a data set's coordinates relate to the frame of its sensor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from hwnas.data.axes import AS_IT_IS, heading_of, middle_of, travel_between, upright
from hwnas.data.frames import AnyPoints, axes_of_frame, composed, to_our_frame
from hwnas.data.geometry import (
    UNITS,
    CloudGeometry,
    azimuth_coverage,
    elevation_of,
    geometry_of,
    quantiles,
    sample,
)
from hwnas.data.origin import OriginEstimate, find_origin, off_beams
from hwnas.range_view.rings import recover_rings

FloatArray = npt.NDArray[np.float32]

_FEWEST_POINTS = 2_000
# Middles of clouds in the frame of the sensor lie within a few metres of it.
_FAR_SPREADS = 2.0
_USUAL_HEIGHT_M, _HEIGHT_FACTOR_SPREAD, _STATED_HEIGHT_SPREAD = 1.8, 0.3, 0.1
_USUAL_RANGE_M, _RANGE_FACTOR_SPREAD = 35.0, 0.7
# Metres are what nearly all scans are in; other units must explain a scan much better (natural logarithm).
_METRES_PRIOR, _WHOLE_NUMBERS_GAIN = 7.0, 5.0
_OWN_REST_SHARE, _LARGE_REST_SHARE = 0.08, 0.3
_BLOCKS_APART_M, _SENSORS_APART_M = 0.5, 1.0
_MERGED_CONTRAST = 0.4
_PLACES_IN_A_ROW, _MOST_SEQUENCES = 2, 3
_SAME_PLACE_M, _AGREEING_SHARE = 0.75, 0.6
# So near to what the files call the origin, their own frame shows rings better than an estimate of another.
_OWN_FRAME_M = 0.6
LENGTHS = {**UNITS, "kilometres": 0.001}
"""How many of a unit are one metre."""


@dataclass(frozen=True, eq=False)
class Cloud:
    """A scan that is looked at in detail.

    Attributes:
        sequence: that it belongs to.
        number: place in the data set; scans of one sequence with neighbouring numbers follow each other.
        points: [N, 3], float64 where the files hold that, as the settings turn them; metres, x forward,
            y left, z up, if these are right.
        ring: [N] as the file gives it; None if it does not.
        largest: absolute value of the largest coordinate in the file.
        unit_m: metres in a unit of the file, as the settings state it.
        are_whole: whether all coordinates in the file are whole numbers.
        time: [N] when each point was measured; None if the file does not say.
    """

    sequence: str
    number: int
    points: AnyPoints
    ring: npt.NDArray[np.int32] | None
    largest: float
    unit_m: float
    are_whole: bool
    time: npt.NDArray[np.float64] | None = None


@dataclass(frozen=True)
class Place:
    """Where the sensor stands in one cloud, in the frame of the cloud, metres after the unit was corrected.

    Attributes:
        cloud: index of the cloud.
        middle_m: middle of the cloud, from which the beams were sought.
        origin: of the beams, seen from there.
        second_m: place of a second sensor, from 0 0 0; None where there is none.
    """

    cloud: int
    middle_m: tuple[float, float, float]
    origin: OriginEstimate
    second_m: tuple[float, float, float] | None

    @property
    def place_m(self) -> npt.NDArray[np.float64]:
        """x, y, z of the sensor in the frame of the cloud, turned upright."""
        return np.asarray(np.add(self.middle_m, self.origin.place_m), np.float64)


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
    clouds = [cloud for cloud in clouds if len(cloud.points) >= _FEWEST_POINTS]
    if not clouds:
        return None
    middles = [middle_of(cloud.points) for cloud in clouds]
    is_far = _are_far(clouds, middles)
    local = [
        _shifted(cloud.points, middle) if is_far else np.asarray(cloud.points, np.float32)
        for cloud, middle in zip(clouds, middles, strict=True)
    ]
    frame = _common([upright(points).frame for points in local])
    local = [to_our_frame(points, frame) for points in local]
    factor = _unit_factor(clouds, local, sensor_height_m)
    local = [points * np.float32(factor) for points in local]
    bases = [_turned(middle, frame) * factor if is_far else np.zeros(3) for middle in middles]
    places = _places(clouds, local, bases)
    heading = _heading(clouds, local, places)
    rotation = _rotation_of(heading)
    is_moving = _is_moving(clouds, places)
    same = places if is_moving else _agreeing(places)
    centred = _in_sensor_frame(local, bases, same, is_moving=is_moving)
    final = [to_our_frame(points, rotation) for points in centred]
    as_read = [to_our_frame(points, rotation) for points in local]
    found = _summary(clouds, final, as_read, factor)
    return replace(
        found,
        frame=composed(frame, rotation),
        is_heading_seen=heading is not None,
        is_far=is_far,
        moves_m=max(_moves(clouds, places), default=0.0) if is_moving else 0.0,
        **_origins(same, rotation),
    )


def _are_far(clouds: Sequence[Cloud], middles: Sequence[npt.NDArray[np.float64]]) -> bool:
    """Whether most clouds lie aside from 0 0 0, in whatever unit."""
    far = []
    for cloud, middle in zip(clouds, middles, strict=True):
        some = cloud.points[sample(len(cloud.points), 2048)].astype(np.float64)
        spread = float(np.median(np.hypot(some[:, 0] - middle[0], some[:, 1] - middle[1])))
        far.append(float(np.hypot(middle[0], middle[1])) > _FAR_SPREADS * spread)
    return bool(np.mean(far) > 0.5)


def _shifted(points: AnyPoints, middle: npt.NDArray[np.float64]) -> FloatArray:
    return np.asarray(points.astype(np.float64) - middle, np.float32)


def _turned(vector: npt.NDArray[np.float64], frame: str) -> npt.NDArray[np.float64]:
    columns, signs = axes_of_frame(frame)
    return np.asarray(vector[list(columns)] * np.asarray(signs), np.float64)


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


def _places(
    clouds: Sequence[Cloud], local: Sequence[FloatArray], bases: Sequence[npt.NDArray[np.float64]]
) -> list[Place]:
    """Return where the sensor stands in the first clouds, and in one of every sequence after that."""
    places: list[Place] = []
    last_m: npt.NDArray[np.float64] | None = None
    seen: set[str] = set()
    for number, (cloud, points, base) in enumerate(zip(clouds, local, bases, strict=True)):
        if number >= _PLACES_IN_A_ROW and (cloud.sequence in seen or len(seen) >= _MOST_SEQUENCES):
            continue
        seen.add(cloud.sequence)
        place = _place(number, points, base, np.zeros(3) if last_m is None else last_m - base)
        if place is not None:
            places.append(place)
            last_m = place.place_m
    return places


def _place(
    number: int, points: FloatArray, base: npt.NDArray[np.float64], hint: npt.NDArray[np.float64]
) -> Place | None:
    """Return where the sensor stands: sought where it was before, around 0 0 0 and around the middle.

    Args:
        number: of the cloud.
        points: [N, 3], metres, z up.
        base: what was subtracted from the points.
        hint: where the sensor was in the cloud before, in the frame of the points.
    """
    found = None
    tried: list[npt.NDArray[np.float64]] = []
    for middle in (hint, np.zeros(3), middle_of(points) * (1.0, 1.0, 0.0)):
        if any(np.array_equal(middle, other) for other in tried):
            continue
        tried.append(middle)
        moved = _shifted(points, middle) if middle.any() else points
        ground = upright(moved).ground
        ground_m = None if ground is None else -ground.height
        origin = find_origin(moved, ground_m)
        if origin is None:
            continue  # too few points around here; another place may have more
        if found is None or origin.sharpness > found[0].sharpness:
            found = origin, moved, middle, ground_m
        if origin.is_close:
            break
    if found is None or not found[0].is_clear:
        return None
    origin, moved, middle, ground_m = found
    second = _second(moved, origin, ground_m)
    return Place(
        number,
        _three(base + middle),
        origin,
        None if second is None else _three(base + middle + np.asarray(second)),
    )


def _second(
    points: FloatArray, origin: OriginEstimate, ground_m: float | None
) -> tuple[float, float, float] | None:
    """Return where the beams of those points meet that are on no beam of the first sensor."""
    if origin.sharpness - origin.background < _MERGED_CONTRAST:
        return None
    rest = off_beams(points, origin)
    share = len(rest) / len(points)
    if share < _OWN_REST_SHARE:
        return None
    second = find_origin(rest, ground_m)
    if second is None or second.sharpness - second.background < _MERGED_CONTRAST:
        return None
    apart_m = float(np.linalg.norm(np.subtract(second.place_m, origin.place_m)))
    # The two blocks of an HDL-64E are half a metre apart at most, and a fifth of its points between beams.
    is_other = apart_m > (_BLOCKS_APART_M if share > _LARGE_REST_SHARE else _SENSORS_APART_M)
    return second.place_m if is_other else None


def _heading(clouds: Sequence[Cloud], local: Sequence[FloatArray], places: Sequence[Place]) -> str | None:
    offsets = {place.cloud: np.asarray(place.origin.place_m) for place in places}
    moves = []
    for first, second in zip(range(len(clouds)), range(1, len(clouds)), strict=False):
        one, other = clouds[first], clouds[second]
        if one.sequence != other.sequence or other.number != one.number + 1:
            continue
        shift = offsets.get(first, np.zeros(3))
        ground = upright(local[first]).ground
        if ground is None:
            continue
        move = travel_between(
            _shifted(local[first], shift), _shifted(local[second], shift), -ground.height - float(shift[2])
        )
        if move is not None:
            moves.append(move)
    return heading_of(moves)


def _in_sensor_frame(
    local: Sequence[FloatArray],
    bases: Sequence[npt.NDArray[np.float64]],
    places: Sequence[Place],
    *,
    is_moving: bool,
) -> list[FloatArray]:
    """Return the clouds around the sensor; around its usual place where a cloud does not show its own."""
    if not places:
        return list(local)
    own = {place.cloud: place.place_m - bases[place.cloud] for place in places}
    usual = np.median(list(own.values()), axis=0)
    if is_moving:
        shifts = [own.get(number, usual) for number in range(len(local))]
    else:  # one place, better known from all scans together
        place_m = np.median([place.place_m for place in places], axis=0)
        shifts = [place_m - base for base in bases]
    return [_shifted(points, shift) for points, shift in zip(local, shifts, strict=True)]


def _agreeing(places: Sequence[Place]) -> list[Place]:
    """Return the places near the median of all."""
    if not places:
        return []
    middle = np.median([place.place_m for place in places], axis=0)
    return [place for place in places if np.linalg.norm(place.place_m - middle) < _SAME_PLACE_M]


def _is_moving(clouds: Sequence[Cloud], places: Sequence[Place]) -> bool:
    """Whether the sensor stands at different places: in most pairs of a sequence, or in most scans."""
    moves = _moves(clouds, places)
    moved = sum(move > _SAME_PLACE_M for move in moves)
    return 2 * moved > len(moves) or len(_agreeing(places)) < _AGREEING_SHARE * len(places)


def _moves(clouds: Sequence[Cloud], places: Sequence[Place]) -> list[float]:
    """Return the distances between the places of the sensor in scans of one sequence."""
    return [
        float(np.linalg.norm(one.place_m - other.place_m))
        for one, other in combinations(places, 2)
        if clouds[one.cloud].sequence == clouds[other.cloud].sequence
    ]


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


def _origins(places: Sequence[Place], rotation: str) -> dict[str, Any]:
    if not places:
        return {}
    where = np.array([place.place_m for place in places])
    seconds = [place.second_m for place in places if place.second_m is not None]
    return {
        "origin_m": _three(_turned(np.median(where, axis=0), rotation)),
        "origin_spread_m": float(np.sqrt(where.var(axis=0).sum())),
        "origin_scans": len(places),
        "second_origin_m": _three(_turned(np.median(seconds, axis=0), rotation))
        if 2 * len(seconds) > len(places)
        else None,
    }


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


def _three(vector: npt.NDArray[np.float64]) -> tuple[float, float, float]:
    x, y, z = (float(value) for value in vector)
    return x, y, z
