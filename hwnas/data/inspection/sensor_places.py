"""Where the sensor stands in some scans of a data set, and which way it travels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from hwnas.arrays import FloatArray
from hwnas.data.geometry.axes import heading_of, middle_of, travel_between, upright
from hwnas.data.geometry.origin import OriginEstimate, find_origin, off_beams
from hwnas.data.scan_files.frames import AnyPoints, axes_of_frame

_BLOCKS_APART_M, _SENSORS_APART_M = 0.5, 1.0
_OWN_REST_SHARE, _LARGE_REST_SHARE = 0.08, 0.3
_MERGED_CONTRAST = 0.4
_PLACES_IN_A_ROW, _MOST_SEQUENCES = 2, 3
_SAME_PLACE_M, _AGREEING_SHARE = 0.75, 0.6
# Beams that lie closer together than this, as in a file that was cut off, meet nearly anywhere.
_LEAST_SPREAD_DEG, _SPREAD_PERCENTS = 5.0, (1.0, 99.0)


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


def places_of(
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
        moved = shifted(points, middle) if middle.any() else points
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
    if min(_spread_deg(moved, place) for place in ((0.0, 0.0, 0.0), origin.place_m)) < _LEAST_SPREAD_DEG:
        return None
    second = _second(moved, origin, ground_m)
    return Place(
        number,
        _three(base + middle),
        origin,
        None if second is None else _three(base + middle + np.asarray(second)),
    )


def _spread_deg(points: FloatArray, place_m: tuple[float, float, float]) -> float:
    """Return how far the elevations of the points spread, seen from a place."""
    x, y, z = shifted(points, np.asarray(place_m)).T
    low, high = np.percentile(np.degrees(np.arctan2(z, np.hypot(x, y))), _SPREAD_PERCENTS)
    return float(high - low)


def place_turned_back(place: Place, turn: npt.NDArray[np.floating], base: npt.NDArray[np.float64]) -> Place:
    """Return the place in a cloud as it was before it was turned.

    Args:
        place: in the turned cloud.
        turn: [3, 3], what turned it.
        base: of its frame, about which it was turned.
    """
    back = np.linalg.inv(turn.astype(np.float64))

    def turned_back(place_m: tuple[float, float, float]) -> tuple[float, float, float]:
        return _three(base + back @ (np.asarray(place_m) - base))

    return replace(
        place,
        middle_m=turned_back(place.middle_m),
        origin=replace(place.origin, place_m=_three(back @ np.asarray(place.origin.place_m))),
        second_m=None if place.second_m is None else turned_back(place.second_m),
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


def heading_between(
    clouds: Sequence[Cloud], local: Sequence[FloatArray], places: Sequence[Place]
) -> str | None:
    """Return the axis along which the sensor travels between scans that follow each other, if it is seen."""
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
            shifted(local[first], shift), shifted(local[second], shift), -ground.height - float(shift[2])
        )
        if move is not None:
            moves.append(move)
    return heading_of(moves)


def in_sensor_frame(
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
    return [shifted(points, shift) for points, shift in zip(local, shifts, strict=True)]


def agreeing(places: Sequence[Place]) -> list[Place]:
    """Return the places near the median of all."""
    if not places:
        return []
    middle = np.median([place.place_m for place in places], axis=0)
    return [place for place in places if np.linalg.norm(place.place_m - middle) < _SAME_PLACE_M]


def moves_between(clouds: Sequence[Cloud], places: Sequence[Place]) -> bool:
    """Whether the sensor stands at different places: in most pairs of a sequence, or in most scans."""
    moves = moves_of(clouds, places)
    moved = sum(move > _SAME_PLACE_M for move in moves)
    return 2 * moved > len(moves) or len(agreeing(places)) < _AGREEING_SHARE * len(places)


def moves_of(clouds: Sequence[Cloud], places: Sequence[Place]) -> list[float]:
    """Return the distances between the places of the sensor in scans of one sequence."""
    return [
        float(np.linalg.norm(one.place_m - other.place_m))
        for one, other in combinations(places, 2)
        if clouds[one.cloud].sequence == clouds[other.cloud].sequence
    ]


def origins_of(places: Sequence[Place], rotation: str) -> dict[str, Any]:
    """Return the fields of `GeometryEstimate` about origins; none where the sensor was not found."""
    if not places:
        return {}
    where = np.array([place.place_m for place in places])
    seconds = [place.second_m for place in places if place.second_m is not None]
    return {
        "origin_m": _three(turned(np.median(where, axis=0), rotation)),
        "origin_spread_m": float(np.sqrt(where.var(axis=0).sum())),
        "origin_scans": len(places),
        "second_origin_m": _three(turned(np.median(seconds, axis=0), rotation))
        if 2 * len(seconds) > len(places)
        else None,
    }


def shifted(points: AnyPoints, middle: npt.NDArray[np.float64]) -> FloatArray:
    """Return points [N, 3] around another place; subtracted in float64, so that far ones stay exact."""
    return np.asarray(points.astype(np.float64) - middle, np.float32)


def turned(vector: npt.NDArray[np.float64], frame: str) -> npt.NDArray[np.float64]:
    """Return a vector [3] with its axes as a frame names them."""
    columns, signs = axes_of_frame(frame)
    return np.asarray(vector[list(columns)] * np.asarray(signs), np.float64)


def _three(vector: npt.NDArray[np.float64]) -> tuple[float, float, float]:
    x, y, z = (float(value) for value in vector)
    return x, y, z
