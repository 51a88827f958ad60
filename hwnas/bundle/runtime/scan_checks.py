"""Refuses scans that contradict what a network was trained on; they would be labelled, but wrongly.

Python 3.8 syntax, neither torch nor optuna: this module travels to boards.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from hwnas.arrays import DoubleArray, FloatArray, IntArray
from hwnas.bundle.runtime.beam_checks import between_beams, is_sparse
from hwnas.bundle.runtime.confirmation import confirmed_findings
from hwnas.bundle.runtime.geometry_checks import findings_of, findings_of_old_bundle
from hwnas.bundle.runtime.intensity_checks import FEWEST_INTENSITIES, other_scale
from hwnas.bundle.runtime.row_checks import check_rows
from hwnas.bundle.runtime.scan_finding import FEWEST_FOR_CHECKS, Finding
from hwnas.data.expectations import ANY_ORDER, ScanExpectations
from hwnas.data.expected_intensities import INTENSITY_PERCENTS
from hwnas.data.geometry.cloud_geometry import elevation_of, geometry_of_usable, is_far, quantiles, sample
from hwnas.data.geometry.expected_geometry import GeometryExpectations
from hwnas.data.scan_files.intensity import are_within
from hwnas.errors import DataError
from hwnas.range_view.angles import range_of
from hwnas.range_view.projection import RangeImage
from hwnas.range_view.rings import recover_rings
from hwnas.range_view.rows import BEAMS, RING

_ALSO = " Also: "
_HINT = " (`check_scans=False` lets a runner label it all the same.)"
# 0..1 and 0..255 are a factor of 255 apart; no weather or scene darkens 99 of 100 points this much.
_LARGEST_UNIT_FACTOR = 32.0
_UNUSUAL_FACTOR = 8.0
# Clouds in rows and columns hold gaps where nothing came back, but some of it does.
_LEAST_USABLE, _USUAL_USABLE = 0.02, 0.1
_FEWEST_FOR_SHARES = 64


def intensity_problem(values: FloatArray, low_high: Tuple[float, float], sensor: Any) -> Optional[str]:
    """Return why intensities [M] cannot be used (not finite, or out of range); None if they can."""
    low, high = low_high
    if not np.isfinite(values).all():
        return (
            f"{np.count_nonzero(~np.isfinite(values))} points that have a position have an intensity that is "
            f"no finite number; expected {low:g} to {high:g}. Set it to {low:g} where the sensor gives none."
        )
    if not are_within(values, low_high):
        return (
            f"Intensities must lie in {low:g} to {high:g}, the range of the sensor {sensor!r} that the "
            f"network was trained for, but they are {values.min():g} to {values.max():g}. Convert them to "
            "that unit."
        )
    return None


def check_intensity_range(values: FloatArray, low_high: Tuple[float, float], sensor: Any) -> None:
    """Refuse intensities that are no numbers or lie outside the sensor's range.

    Raises:
        DataError: if there is one.
    """
    problem = intensity_problem(values, low_high, sensor)
    if problem is not None:
        raise DataError(problem)


class ScanChecks:
    """Compares scans with what the training scans looked like."""

    def __init__(self, expects: Optional[ScanExpectations], method: str) -> None:
        """Take the expectations of a manifest (None, of older ones, checks nothing) and its projection."""
        self._expects = None if expects is None else _with_stated_height(expects)
        self._method = method

    def check(
        self,
        num_points: int,
        points: FloatArray,
        intensity: FloatArray,
        image: Optional[RangeImage],
        ring: Optional[IntArray],
        problems: Sequence[str] = (),
        time: Optional[DoubleArray] = None,
    ) -> Tuple[str, ...]:
        """Refuse a scan of another unit, sensor, mounting or order, for all its reasons at once.

        Geometry is named first: wrong axes, units or sensors are often why the rest is wrong, too.

        Args:
            num_points: N, with those that have no direction.
            points: [M, 3] in metres, all with a direction.
            intensity: [M] in the sensor's own unit.
            image: their projection; None if it was refused, for a reason that `problems` holds.
            ring: [M] as it was given; None if it was not.
            time: [M] when each point was measured; None if that is not known.
            problems: what was found before and has to be refused in any case, such as `intensity_problem`.

        Returns:
            What is unusual, or cannot be known of so few points; sentences.

        Raises:
            DataError: saying what was expected, what was found and what to do.
        """
        expects = self._expects
        if expects is None or not num_points:
            if problems:
                raise DataError(_ALSO.join(problems))
            return () if expects is None else ("The scan has no points.",)
        _refuse_unusable(len(points), num_points)
        warnings = _warning_of_usable(len(points), num_points)
        known = self._known_ring(points, image, ring)
        findings = [*_findings(points, known, time, expects), *_findings_on_rows(points, image, expects)]
        certain = [finding for finding in findings if finding.is_certain]
        reasons = [_refusal(certain, expects)] if certain else []
        checked = [] if problems else [_check_intensities(intensity, expects)]
        needs_rings = expects.point_order != ANY_ORDER and self._method == "ring"
        if image is not None and needs_rings and known is None:
            checked.insert(0, _check_order(len(points), image.method, expects))
        for remark in checked:
            (reasons if remark.is_certain else warnings).extend(remark.texts)
        if reasons or problems:
            hint = "" if problems else _HINT
            raise DataError(_ALSO.join([*reasons, *problems]) + hint)
        if len(points) < FEWEST_FOR_CHECKS or (
            expects.geometry is not None and is_sparse(len(points), expects.geometry)
        ):
            warnings.append(
                f"With {len(points)} points it cannot be known for sure whether they come from such a sensor "
                f"as {expects.sensor!r}, which the network was trained for."
            )
        return (*warnings, *(f"{_start(finding.text)}. {finding.remedy}" for finding in findings))

    def _known_ring(
        self, points: FloatArray, image: Optional[RangeImage], ring: Optional[IntArray]
    ) -> Optional[IntArray]:
        if ring is not None:
            return ring
        if image is not None and image.method == "ring":
            return image.row
        if image is not None and image.method == BEAMS:
            return None  # recovery was tried, and its place taken by the expected table
        # More rings than the image has rows, or an image whose rows are not rings.
        return recover_rings(points)


def _with_stated_height(expects: ScanExpectations) -> ScanExpectations:
    """Return the expectations with the stated height of the sensor where training scans did not show it."""
    geometry, stated_m = expects.geometry, expects.sensor_height_m
    if geometry is None or stated_m is None or geometry.ground_height_m is not None:
        return expects
    return replace(expects, geometry=replace(geometry, ground_height_m=(stated_m, stated_m)))


def _refuse_unusable(num_usable: int, num_points: int) -> None:
    if not num_usable or num_usable < _LEAST_USABLE * num_points:
        raise DataError(
            f"{_usable(num_usable, num_points)}. Expected a scan with positions: check the driver or the "
            f"file.{_HINT}"
        )


def _warning_of_usable(num_usable: int, num_points: int) -> List[str]:
    if num_usable >= _USUAL_USABLE * num_points or num_points < _FEWEST_FOR_SHARES:
        return []
    return [f"{_usable(num_usable, num_points)}."]


def _usable(num_usable: int, num_points: int) -> str:
    return (
        f"Only {num_usable} of {num_points} points have a position; the others are NaN, infinite or at the "
        "origin"
    )


class _Remark(NamedTuple):
    """What is wrong (`is_certain`: and refused) or unusual about a scan; no text if nothing is."""

    texts: Tuple[str, ...] = ()
    is_certain: bool = False


def _check_intensities(intensity: FloatArray, expects: ScanExpectations) -> _Remark:
    *percentiles, p99 = quantiles(intensity[sample(len(intensity))], (*INTENSITY_PERCENTS, 99.0))
    unit = _check_unit(p99, len(intensity), expects)
    if unit.texts or len(intensity) < FEWEST_INTENSITIES:
        return unit
    text = other_scale(percentiles, expects)
    return _Remark() if text is None else _Remark((text,))


def _check_unit(p99: float, num_points: int, expects: ScanExpectations) -> _Remark:
    low = expects.intensity_range[0]
    found, usual = p99 - low, expects.intensity_p99 - low
    if found * _UNUSUAL_FACTOR >= usual:
        return _Remark()
    text = (
        f"99 of 100 intensities are at most {found + low:g}; in the scans of {expects.sensor!r} that the "
        f"network was trained on they were at most {expects.intensity_p99:g}. They seem to be in another "
        f"unit, or missing. Convert them to {low:g} to {expects.intensity_range[1]:g}."
    )
    return _Remark((text,), found * _LARGEST_UNIT_FACTOR < usual and num_points >= _FEWEST_FOR_SHARES)


def _check_order(num_points: int, method: str, expects: ScanExpectations) -> _Remark:
    """Refuse a scan whose rings are not known although the network needs them, unless a table gives rows."""
    if num_points < _FEWEST_FOR_SHARES:
        return _Remark()
    text = (
        "The rings of the points are not known: they come in no order that tells, while the network was "
        f"trained on {_rings(expects.rings)} rings. Keep the order in which the sensor gives the points, or "
        "pass the ring of each."
    )
    if method != BEAMS:
        return _Remark((text,), is_certain=True)
    return _Remark((f"{text} Rows are those of the nearest beams of the sensor's table.",))


def _findings(
    points: FloatArray,
    ring: Optional[IntArray],
    time: Optional[DoubleArray],
    expects: ScanExpectations,
) -> List[Finding]:
    if len(points) < FEWEST_FOR_CHECKS:
        return []
    geometry = expects.geometry
    if geometry is None:
        return findings_of_old_bundle(geometry_of_usable(points, ring), expects)
    found = geometry_of_usable(points, ring, time, near_m=geometry.near_m)
    findings = findings_of(found, geometry)
    if ring is None:
        findings += _between_beams(points, geometry)
    return confirmed_findings(points, found, geometry, findings, are_rings_known=ring is not None)


def _between_beams(points: FloatArray, expects: GeometryExpectations) -> List[Finding]:
    some = points[sample(len(points))]
    some = some[is_far(range_of(some), expects.near_m)]  # as where the expected beams were recorded
    finding = between_beams(elevation_of(some), expects)
    return [] if finding is None else [finding]


def _findings_on_rows(
    points: FloatArray, image: Optional[RangeImage], expects: ScanExpectations
) -> List[Finding]:
    if image is None or image.method != RING or expects.geometry is None:
        return []
    finding = check_rows(points, image.row, len(image.valid), expects.geometry)
    return [] if finding is None else [finding]


def _refusal(findings: Sequence[Finding], expects: ScanExpectations) -> str:
    remedies = dict.fromkeys(finding.remedy for finding in findings)
    return (
        f"The scan is not like those of {expects.sensor!r} that the network was trained on: "
        f"{'; '.join(finding.text for finding in findings)}. {' '.join(remedies)}"
    )


def _start(text: str) -> str:
    return text[:1].upper() + text[1:]


def _rings(rings: Optional[Tuple[int, int]]) -> str:
    if rings is None:
        return "known"
    return str(rings[0]) if rings[0] == rings[1] else f"{rings[0]} to {rings[1]}"
