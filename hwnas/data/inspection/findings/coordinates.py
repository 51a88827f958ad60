"""Whether the coordinates of files mean what is stated: axes, unit and origin, and what to state instead."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from hwnas.data.datasets.dataset import DataSource
from hwnas.data.geometry.axes import AS_IT_IS
from hwnas.data.inspection.estimates import LENGTHS, GeometryEstimate
from hwnas.data.inspection.findings.finding import ERROR, WARNING, Finding
from hwnas.data.scan_files.frames import Coordinates, axes_of_frame, composed
from hwnas.text import counted

# The apexes of an HDL-64E's two blocks lie up to half a metre beside what its driver calls the origin.
_ORIGIN_TOLERANCE_M = (0.6, 0.6, 0.4)
_MOVING_M = 1.0
# Far from 0 0 0, coordinates are those of a map; that they are is certain, only how much it moves is not.
_MOVING_FAR_M = 0.75
_PRECISION_M = 0.01
_PLAUSIBLE_RANGE_M = (2.0, 2000.0)
# Without the ground, the place where beams meet is hardly known. Half of the points of an HDL-64E or an
# HDL-32E lie in the lower two thirds of what is below the horizon; without the ground, a quarter and less.
_LEAST_BELOW = 0.3
_LEVEL_DEG = 0.5
# Logarithms of factors: sensors stand up to half as high, or half higher, than usual; 1.3 fits better.
_USUAL_HEIGHT_M, _OTHER_HEIGHT, _LIKELY_HEIGHT = 1.8, 0.6, 0.26
_NEARER_HEIGHT = 0.15  # where what is stated is no unit, as of 1.3: by so much must a unit fit better


def coordinate_findings(source: DataSource, geometry: GeometryEstimate) -> Iterator[Finding]:
    """Yield what contradicts the coordinates that a data set states, with what `corrected` makes of them.

    Args:
        source: the data set.
        geometry: estimated from some scans, read as it states.
    """
    yield from _of_axes(source, geometry)
    yield from _of_axis_tilt(geometry)
    yield from _of_unit(source, geometry)
    yield from _of_origin(source, geometry)


def corrected(coordinates: Coordinates, geometry: GeometryEstimate) -> Coordinates:
    """Return what the files' coordinates must be so that the estimate is unit 1, axes `x y z`, origin 0.

    Args:
        coordinates: what the data set states now, under which the estimate was made.
        geometry: the estimate.
    """
    frame = composed(coordinates.frame, geometry.frame)
    columns, signs = axes_of_frame(frame)
    shift = np.zeros(3)
    if _has_other_origin(geometry):
        shift[list(columns)] = np.asarray(geometry.origin_m) * np.asarray(signs)
    origin = np.asarray(coordinates.origin_m) * geometry.unit_factor + shift
    named = next((name for name in _NAMES if axes_of_frame(name) == (columns, signs)), frame)
    x, y, z = (round(float(value), 2) + 0.0 for value in origin)
    return Coordinates(named, round(coordinates.unit_m * geometry.unit_factor, 9), (x, y, z))


_NAMES = ("x-forward", "y-forward", "z-forward")


def _has_other_origin(geometry: GeometryEstimate) -> bool:
    if geometry.origin_m is None or is_moving(geometry) or geometry.second_origin_m is not None:
        return False
    return _is_aside(geometry.origin_m) and (geometry.origin_is_confirmed or geometry.is_far)


def _is_aside(place_m: Sequence[float]) -> bool:
    return any(abs(value) > most for value, most in zip(place_m, _ORIGIN_TOLERANCE_M, strict=True))


def is_moving(geometry: GeometryEstimate) -> bool:
    """Whether the sensor moves through the coordinates, which are those of the world."""
    return geometry.moves_m > (_MOVING_FAR_M if geometry.is_far else _MOVING_M)


def is_blurred(geometry: GeometryEstimate) -> bool:
    """Whether coordinates were rounded so much that beams can be told no more."""
    return geometry.precision_m > _PRECISION_M


def _changed(before: Coordinates, after: Coordinates, *keys: str) -> dict[str, Any]:
    old, new = before.to_json(), after.to_json()
    return {key: new[key] for key in new if key in keys or new[key] != old[key]}


def _of_axes(source: DataSource, geometry: GeometryEstimate) -> Iterator[Finding]:
    if geometry.frame == AS_IT_IS:
        return
    settings = _changed(source.coordinates, corrected(source.coordinates, geometry), "frame")
    forward, left, up = geometry.frame.split()
    mirrored = (
        "Points alone do not tell a mirrored frame: right-handed axes are assumed. If one axis of the files "
        f"is mirrored, state '{_after(source, geometry, f'{forward} {_opposite(left)} {up}')}'; a picture "
        "(`--picture`) shows whether left is left."
    )
    if up == "z":
        yield Finding(
            "heading",
            WARNING,
            f"Between consecutive scans the sensor travels along {forward}, not along x: as read, x does not "
            "point forward.",
            f"State which axes of the files point forward, left and up. {mirrored}",
            settings,
        )
        return
    seen = (
        "as the sensor travels" if geometry.is_heading_seen else "forward is a guess: check it in a picture"
    )
    yield Finding(
        "axes",
        ERROR,
        f"z does not point up: of the points as they are read, {up} does (the ground lies below along it, "
        f"and the beams turn about it). Forward is {forward} and left is {left} ({seen}).",
        f"State which axes of the files point forward, left and up. {mirrored}",
        settings,
    )


def _opposite(axis: str) -> str:
    return axis[1:] if axis.startswith("-") else f"-{axis}"


def _after(source: DataSource, geometry: GeometryEstimate, frame: str) -> str:
    """Return axes of the files for axes of points as they are read."""
    return corrected(source.coordinates, replace(geometry, frame=frame)).frame


def _of_axis_tilt(geometry: GeometryEstimate) -> Iterator[Finding]:
    if not geometry.axis_tilt_deg:
        return
    levelled = " The ground is level in them: they were levelled." if _is_levelled(geometry) else ""
    yield Finding(
        "axes-tilt",
        WARNING,
        "The axes of the files are tilted against the sensor's by about "
        f"{geometry.axis_tilt_deg:.1f} degrees: along its turn, each beam rises and falls by as much. "
        f"Height, beams and the place where these meet are told after that is taken out.{levelled}",
        "Nothing, if deployment delivers points in the same axes and the files give the ring of each point, "
        "or keep their order. Otherwise turn points back into the axes of the sensor before they are stored: "
        "`frame` cannot state such an angle.",
    )


def _is_levelled(geometry: GeometryEstimate) -> bool:
    """Whether the sensor is tilted against the ground by as much as the axes are against the sensor."""
    roll, pitch = geometry.roll_deg, geometry.pitch_deg
    if roll is None or pitch is None:
        return False
    return (
        abs(float(np.hypot(roll, pitch)) - geometry.axis_tilt_deg) < _LEVEL_DEG + 0.2 * geometry.axis_tilt_deg
    )


def _of_unit(source: DataSource, geometry: GeometryEstimate) -> Iterator[Finding]:
    factor = geometry.unit_factor
    if factor == 1.0:
        low, high = _PLAUSIBLE_RANGE_M
        if not low <= geometry.range_p99_m <= high:
            yield Finding(
                "unit",
                ERROR,
                f"99 percent of the points are nearer than {_amount(geometry.range_p99_m)} m, if these are "
                "metres; a LiDAR sees tens of metres.",
                "State the unit of the coordinates: `unit_m`, the metres in one of them.",
            )
        yield from _of_stated_unit(source, geometry)
        return
    unit = min(LENGTHS, key=lambda name: abs(LENGTHS[name] * factor - 1.0))
    height = geometry.sensor_height_m
    stands = "" if height is None else f", the sensor {_amount(height / factor)} above the ground"
    yield Finding(
        "unit",
        ERROR,
        f"The coordinates seem to be {unit}, not metres: 99 percent of the points are "
        f"nearer than {_amount(geometry.range_p99_m / factor)}{stands}.",
        "State the unit. If they are metres all the same, state the sensor's height as sensor_height_m.",
        _changed(source.coordinates, corrected(source.coordinates, geometry), "unit_m"),
    )


def _of_stated_unit(source: DataSource, geometry: GeometryEstimate) -> Iterator[Finding]:
    """Yield a warning if the sensor stands where one usually does in another unit than the stated one."""
    stated_m, height, table = source.coordinates.unit_m, geometry.sensor_height_m, source.sensor_table
    if stated_m == 1.0 or height is None or height <= 0 or geometry.moves_m or geometry.second_origin_m:
        return
    usual = source.sensor_height_m or (_USUAL_HEIGHT_M if table is None else table.height_m)
    apart = {unit: abs(np.log(height / stated_m / per_metre / usual)) for unit, per_metre in LENGTHS.items()}
    unit = min(apart, key=lambda name: apart[name])
    unit_m = round(1.0 / LENGTHS[unit], 6)
    is_same = bool(np.isclose(unit_m, stated_m, rtol=1e-3))
    # Sensors stand 1.5 to 2.5 m high, so height alone says little; a number that is no unit says more.
    is_a_unit = any(np.isclose(1.0 / per_metre, stated_m, rtol=1e-3) for per_metre in LENGTHS.values())
    other = _OTHER_HEIGHT if is_a_unit else apart[unit] + _NEARER_HEIGHT
    if is_same or abs(np.log(height / usual)) < other or apart[unit] > _LIKELY_HEIGHT:
        return
    yield Finding(
        "unit",
        WARNING,
        f"With `unit_m` {stated_m:g} the sensor stands {height:.2f} m above the ground, usual is "
        f"{usual:.2f} m. Read as {unit} it would stand {height / stated_m * unit_m:.2f} m above it, "
        "and 99 percent of the points would be nearer than "
        f"{_amount(geometry.range_p99_m / stated_m * unit_m)} m.",
        f"State the unit of the files; `unit_m: {unit_m:g}` if they are {unit}. If the sensor stands so, "
        "state its height as sensor_height_m.",
    )


def _amount(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"


def _of_origin(source: DataSource, geometry: GeometryEstimate) -> Iterator[Finding]:
    # Far coordinates are those of a map, ground or not.
    is_doubtful = _is_cropped(source, geometry) and not geometry.is_far
    severity = WARNING if is_doubtful else ERROR
    doubt = ", or the ground was cropped off, so that its place is hardly known" if is_doubtful else ""
    if is_blurred(geometry):
        yield _coarse(geometry)
    if is_moving(geometry):
        yield Finding(
            "world-frame",
            severity,
            f"The sensor moves through the coordinates by up to {geometry.moves_m:.1f} m within a sequence: "
            f"the points are in a frame of the world, not of the sensor{doubt}.",
            "Transform each scan into the frame of the sensor with its pose, in float64, before it is "
            "stored; one origin for all scans cannot.",
        )
    if is_moving(geometry) or is_blurred(geometry) or geometry.origin_m is None:
        return  # an origin would not mend scans that must be written anew
    if geometry.second_origin_m is not None:
        yield _merged(geometry.origin_m, geometry.second_origin_m)
    elif _has_other_origin(geometry):
        yield Finding(
            "origin",
            severity,
            f"The beams do not meet at 0 0 0 but at {_place(geometry.origin_m)} (from "
            f"{counted(geometry.origin_scans, 'scan')}, \u00b1 {geometry.origin_spread_m:.2f} m): the origin "
            f"is that of a vehicle or a map, not of the sensor{doubt}.",
            "State where the sensor stands in the coordinates of the files.",
            _changed(source.coordinates, corrected(source.coordinates, geometry), "origin_m"),
        )
    elif _is_aside(geometry.origin_m):
        yield _unconfirmed(geometry.origin_m)


def _coarse(geometry: GeometryEstimate) -> Finding:
    return Finding(
        "precision",
        ERROR,
        f"Coordinates are so large that the files hold them to {geometry.precision_m:.2g} m only.",
        "Subtract the position of the sensor (such as UTM coordinates) in float64 before points are "
        "stored as float32, or store float64; what was rounded away cannot be brought back.",
    )


def _merged(first_m: Sequence[float], second_m: Sequence[float]) -> Finding:
    apart_m = float(np.linalg.norm(np.subtract(second_m, first_m)))
    return Finding(
        "merged",
        ERROR,
        f"The beams meet in two places {apart_m:.1f} m apart, {_place(first_m)} and {_place(second_m)}: two "
        "sensors are merged in one cloud. A range image has one origin; points of the other sensor cover "
        "each other in it.",
        "Store the points of each sensor in files of their own, each in the frame of its sensor.",
    )


def _unconfirmed(origin_m: Sequence[float]) -> Finding:
    return Finding(
        "origin",
        WARNING,
        f"The beams seem to meet at {_place(origin_m)}, but are not told apart from there: axes tilted "
        "against the sensor's look alike, and so does the origin of a vehicle.",
        "Give the ring of each point, or points in the order in which they were measured: tilt and origin "
        "are then told. No origin is suggested.",
    )


def _is_cropped(source: DataSource, geometry: GeometryEstimate) -> bool:
    """Whether no ground is seen, or hardly any of what the lower beams of the stated sensor see."""
    if not geometry.ground_scans:
        return True
    table = source.sensor_table
    if table is None or not source.sensor_is_stated or not table.is_rotating:
        return False
    is_low = geometry.elevations_deg < min(table.elevation_deg) / 3
    return bool(np.mean(is_low) < _LEAST_BELOW)


def _place(place_m: Sequence[float]) -> str:
    return "({:.2f}, {:.2f}, {:.2f}) m".format(*place_m)
