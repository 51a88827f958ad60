"""What is odd about a data set, with figures, and what to write into `dataset.yaml` about it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from hwnas.data.axes import AS_IT_IS
from hwnas.data.dataset import DataSource
from hwnas.data.estimates import LENGTHS, GeometryEstimate
from hwnas.data.finding import ERROR, NOTE, WARNING, ContentFacts, Finding
from hwnas.data.frames import Coordinates, axes_of_frame, composed
from hwnas.data.image_findings import image_findings
from hwnas.data.image_loss import ImageLoss
from hwnas.data.sensor_findings import sensor_findings
from hwnas.data.sensors import COUNTER_CLOCKWISE
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
_TILT_DEG = 5.0
_COVERAGE = 0.9
_HEIGHT_TOLERANCE, _HEIGHT_TOLERANCE_M = 0.2, 0.3
_POOR_INTENSITY = 0.02
_SECOND_RETURNS = 0.05
_INTENSITY_SCALES = (1.0, 255.0, 4095.0, 65535.0)


def find_oddities(
    source: DataSource,
    facts: ContentFacts,
    geometry: GeometryEstimate | None,
    image: ImageLoss | None = None,
) -> tuple[Finding, ...]:
    """Return all findings, errors first."""
    found = [*_of_splits(source), *_of_content(source, facts)]
    if geometry is not None:
        found += _of_geometry(source, geometry, facts)
    if all(finding.severity != ERROR for finding in found):  # which would be why, and must be mended first
        found += image_findings(source, facts, image)
    order = (ERROR, WARNING, NOTE)
    return tuple(sorted(found, key=lambda finding: order.index(finding.severity)))


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
    if geometry.origin_m is None or _is_moving(geometry) or geometry.second_origin_m is not None:
        return False
    return any(abs(value) > most for value, most in zip(geometry.origin_m, _ORIGIN_TOLERANCE_M, strict=True))


def _is_moving(geometry: GeometryEstimate) -> bool:
    return geometry.moves_m > (_MOVING_FAR_M if geometry.is_far else _MOVING_M)


def _is_blurred(geometry: GeometryEstimate) -> bool:
    """Whether coordinates were rounded so much that beams can be told no more."""
    return geometry.precision_m > _PRECISION_M


def _changed(before: Coordinates, after: Coordinates, *keys: str) -> dict[str, Any]:
    old, new = before.to_json(), after.to_json()
    return {key: new[key] for key in new if key in keys or new[key] != old[key]}


def _of_geometry(source: DataSource, geometry: GeometryEstimate, facts: ContentFacts) -> Iterator[Finding]:
    yield from _of_axes(source, geometry)
    yield from _of_unit(source, geometry)
    yield from _of_origin(source, geometry)
    yield from _of_mounting(source, geometry)
    if geometry.second_origin_m is None and not _is_blurred(geometry):
        yield from sensor_findings(source, geometry, facts)
    if not geometry.is_far:  # seen from far away, all points lie in one direction
        yield from _of_returns(facts)
    if geometry.azimuth_coverage < _COVERAGE:
        yield Finding(
            "coverage",
            NOTE,
            f"The points cover {360 * geometry.azimuth_coverage:.0f} of 360 degrees of azimuth; the other "
            f"columns of a range image stay empty.",
            "Nothing, if the sensor sees no more. Otherwise look for points that were cut away.",
        )
    yield from _of_turn(source, geometry)


def _of_turn(source: DataSource, geometry: GeometryEstimate) -> Iterator[Finding]:
    if len(set(geometry.turns_left)) > 1:
        left = sum(geometry.turns_left)
        yield Finding(
            "turn",
            WARNING,
            f"{left} of {len(geometry.turns_left)} scans run to the left around the sensor, the others "
            "to the right: some are mirrored, or of another sensor.",
            "Keep scans of one sensor, in one frame, in one data set.",
        )

    table = source.sensor_table
    if table is None or not source.sensor_is_stated or not geometry.turns_are_timed:
        return
    if set(geometry.turns_left) == {table.rotation != COUNTER_CLOCKWISE}:
        yield Finding(
            "mirrored",
            WARNING,
            f"By the times of its points the sensor turns {'left' if geometry.turns_left[0] else 'right'} "
            f"(seen from above), but a {source.sensor} turns {table.rotation}: all scans seem mirrored.",
            "State the axes as they are (`frame`). Nothing, if the sensor is mounted upside down and its "
            "points were turned.",
        )


def _of_axes(source: DataSource, geometry: GeometryEstimate) -> Iterator[Finding]:
    if geometry.frame == AS_IT_IS:
        return
    settings = _changed(source.coordinates, corrected(source.coordinates, geometry), "frame")
    forward, left, up = geometry.frame.split()
    if up == "z":
        yield Finding(
            "heading",
            WARNING,
            f"Between consecutive scans the sensor travels along {forward}, not along x: as read, x does not "
            "point forward.",
            "State which axes of the files point forward, left and up.",
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
        "State which axes of the files point forward, left and up.",
        settings,
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


def _amount(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"


def _of_origin(source: DataSource, geometry: GeometryEstimate) -> Iterator[Finding]:
    if _is_blurred(geometry):
        yield Finding(
            "precision",
            ERROR,
            f"Coordinates are so large that the files hold them to {geometry.precision_m:.2g} m only.",
            "Subtract the position of the sensor (such as UTM coordinates) in float64 before points are "
            "stored as float32, or store float64; what was rounded away cannot be brought back.",
        )
    # Far coordinates are those of a map, ground or not.
    is_doubtful = _is_cropped(source, geometry) and not geometry.is_far
    severity = WARNING if is_doubtful else ERROR
    doubt = ", or the ground was cropped off, so that its place is hardly known" if is_doubtful else ""
    if _is_moving(geometry):
        yield Finding(
            "world-frame",
            severity,
            f"The sensor moves through the coordinates by up to {geometry.moves_m:.1f} m within a sequence: "
            f"the points are in a frame of the world, not of the sensor{doubt}.",
            "Transform each scan into the frame of the sensor with its pose, in float64, before it is "
            "stored; one origin for all scans cannot.",
        )
    if _is_moving(geometry) or _is_blurred(geometry):
        return  # an origin would not mend scans that must be written anew
    if geometry.second_origin_m is not None and geometry.origin_m is not None:
        apart_m = float(np.linalg.norm(np.subtract(geometry.second_origin_m, geometry.origin_m)))
        yield Finding(
            "merged",
            ERROR,
            f"The beams meet in two places {apart_m:.1f} m apart, {_place(geometry.origin_m)} and "
            f"{_place(geometry.second_origin_m)}: two sensors are merged in one cloud. A range image has one "
            "origin; points of the other sensor cover each other in it.",
            "Store the points of each sensor in files of their own, each in the frame of its sensor.",
        )
        return
    if not _has_other_origin(geometry) or geometry.origin_m is None:
        return
    yield Finding(
        "origin",
        severity,
        f"The beams do not meet at 0 0 0 but at {_place(geometry.origin_m)} (from "
        f"{counted(geometry.origin_scans, 'scan')}, \u00b1 {geometry.origin_spread_m:.2f} m): the origin is "
        f"that of a vehicle or a map, not of the sensor{doubt}.",
        "State where the sensor stands in the coordinates of the files.",
        _changed(source.coordinates, corrected(source.coordinates, geometry), "origin_m"),
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


def _of_mounting(source: DataSource, geometry: GeometryEstimate) -> Iterator[Finding]:
    height, stated = geometry.sensor_height_m, source.sensor_height_m
    is_settled = not _is_moving(geometry) and geometry.second_origin_m is None
    if (
        height is not None
        and stated is not None
        and is_settled
        and abs(height - stated) > max(_HEIGHT_TOLERANCE_M, _HEIGHT_TOLERANCE * stated)
    ):
        yield Finding(
            "height",
            WARNING,
            f"The sensor stands {height:.2f} m above the ground, not {stated:.2f} m as stated.",
            "State the height that is found, or look for what is wrong with the coordinates.",
            {"sensor_height_m": round(height, 2)},
        )
    roll, pitch = geometry.roll_deg, geometry.pitch_deg
    if roll is not None and pitch is not None and is_settled and float(np.hypot(roll, pitch)) > _TILT_DEG:
        yield Finding(
            "tilt",
            WARNING,
            f"The sensor is tilted against the ground: roll {roll:.1f}, pitch {pitch:.1f} degrees (median of "
            f"{geometry.ground_scans} scans).",
            "Nothing, if it is mounted so in the vehicle that the network is for, too.",
        )


def _of_splits(source: DataSource) -> Iterator[Finding]:
    scans = source.all_scans
    has_labels = scans.reader.embedded_labels or any(one.labels is not None for one in scans.files)
    missing = [name for name in ("train", "val") if name not in source.sequences_of]
    if not has_labels or not missing:
        return
    sequences = sorted({one.sequence for one in scans.files})
    yield Finding(
        "splits",
        NOTE if source.splits_are_stated else ERROR,
        f"No scan is in the split {' or '.join(map(repr, missing))}: nothing can be "
        f"{'trained' if 'train' in missing else 'validated'}. The sequences are {' '.join(sequences[:10])}.",
        "Splits are made of whole sequences, since neighbouring scans are nearly the same scan. Put the "
        'scans of each drive into a directory of its own and write `scans: "{sequence}/{scan}.bin"` and '
        '`labels: "{sequence}/{scan}.label"`, or list them: '
        "`scans: [{points: a.bin, labels: a.label, sequence: drive-1}, ...]`; then `splits: {train: "
        "[drive-1], val: [drive-2]}`.",
    )


def _of_content(source: DataSource, facts: ContentFacts) -> Iterator[Finding]:
    if not facts.num_scans:
        return
    yield from _of_intensity(source, facts)
    yield from _of_labels(source, facts)
    if facts.num_duplicates:
        one, other = facts.duplicates[0]
        yield Finding(
            "duplicates",
            WARNING,
            f"{counted(facts.num_duplicates, 'scan')} with the points of an earlier one "
            f"(such as {one} and {other}).",
            "Remove the copies; above all, keep copies of training scans out of `val`.",
        )


_LARGEST_INTENSITY = 2.0**32
"""Counts of 32 bits; anything larger is no intensity."""


def _of_intensity(source: DataSource, facts: ContentFacts) -> Iterator[Finding]:
    low, high = facts.intensity
    stated_low, stated_high = source.intensity_range
    if facts.num_constant_intensity == facts.num_scans:
        yield Finding(
            "constant-intensity",
            WARNING,
            f"The intensity is the same ({low:g}) for all points of every scan: the network learns nothing "
            "from it, and other values in deployment mislead it.",
            "Look for the column that holds the intensity (`format_options`), or give 0 in deployment, too.",
        )
        return
    is_outside = low < stated_low - 1e-5 or high > stated_high * (1 + 1e-5)
    is_dark = (high - stated_low) < _POOR_INTENSITY * (stated_high - stated_low)
    if not (is_outside or is_dark) or not np.isfinite([low, high]).all():
        return
    if max(abs(low), abs(high)) > _LARGEST_INTENSITY:
        yield Finding(
            "intensity-range",
            ERROR,
            f"Intensities are {low:g} to {high:g}, which no sensor gives: the numbers are read wrongly.",
            "Look at columns, type and byte order of the files (`format_options`; `.bin` is little-endian).",
        )
        return
    wanted = _scale_of(source, low, high)
    yield Finding(
        "intensity-range",
        ERROR,
        f"Intensities are {low:g} to {high:g}, but {stated_low:g} to {stated_high:g} is stated: they are in "
        "another unit" + (", and nearly all remissions become 0." if is_dark else "."),
        "State the range of the sensor's intensities. If values are negative or no column fits, look at "
        "`format_options` first.",
        {"intensity_range": wanted},
    )


def _scale_of(source: DataSource, low: float, high: float) -> list[float]:
    """Return the range that a sensor with such intensities has: that of its table where it fits."""
    table = source.sensor_table
    if table is not None and source.sensor_is_stated:
        least, most = table.intensity_range
        if least <= low and _POOR_INTENSITY * (most - least) < high - least <= most - least:
            return [least, most]
    if low < 0:
        return [low, high]
    return [0.0, next((scale for scale in _INTENSITY_SCALES if high <= scale), high)]


def _of_returns(facts: ContentFacts) -> Iterator[Finding]:
    if facts.second_return_share < _SECOND_RETURNS:
        return
    yield Finding(
        "dual-return",
        NOTE,
        f"{facts.second_return_share:.0%} of the points lie in the very direction of another one: these are "
        "second returns of one firing. Both share a pixel, which the nearer one wins; the other gets its "
        "label from its neighbours.",
        "Nothing, if deployment delivers both returns, too; a sensor file says so with `returns: 2`. "
        "Otherwise keep the return that deployment delivers.",
    )


def _of_labels(source: DataSource, facts: ContentFacts) -> Iterator[Finding]:
    points = np.asarray(facts.points_of_class)
    total = int(points.sum()) if len(points) else 0
    if not total:
        return
    if points[:-1].sum() == 0:
        yield Finding(
            "labels",
            ERROR,
            f"All {total:,} labelled points are ignored: the label map {source.label_map.name} knows their "
            "ids only as ignored.",
            "Use the label map that these labels were made with (`label_map`), and the right `label_dtype`.",
        )
    elif np.count_nonzero(points[:-1]) == 1:
        name = source.label_map.class_names[int(points[:-1].argmax())]
        yield Finding(
            "labels",
            WARNING,
            f"Every labelled point that counts is {name!r}; nothing can be learnt from one class.",
            "Look at the label files, `label_dtype` and `label_map`.",
        )
