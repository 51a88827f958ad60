"""Compares the geometry of a scan with that of the scans that a network was trained on.

Nothing here depends on how many points a scan has, except how sure one can be.

Python 3.8 syntax, numpy only: this module travels to boards.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Callable, List, Optional, Tuple

from hwnas.bundle.runtime.beam_checks import POINTS_PER_BEAM, check_beams
from hwnas.bundle.runtime.ground_checks import (
    OTHER_MOUNTING,
    check_height,
    check_ranges,
    check_tilt,
    check_unit,
    height_of,
)
from hwnas.bundle.runtime.scan_finding import (
    BEAMS,
    ELSE,
    FEWEST_FOR_CHECKS,
    GROUND,
    OTHER_FRAME,
    OTHER_SENSOR,
    RANGES,
    Finding,
    degrees,
)
from hwnas.data.expectations import ScanExpectations
from hwnas.data.geometry.cloud_geometry import BY_COLUMN, ELEVATION_PERCENTS, CloudGeometry
from hwnas.data.geometry.expected_geometry import GeometryExpectations

# Quantiles of fewer points than this are those of single points; coarser ones take their place.
_FEWEST_FOR_EDGES, _FEWEST_FOR_LOWEST = 400, 2000
# Another specimen of a sensor, and the difference between its data sheet and its calibration.
_EDGE_WARNED_DEG, _EDGE_REFUSED_DEG = 3.0, 6.0
# The horizon is in every scan; a view that ends below it was cut.
_HORIZON_DEG = -2.0
# Clouds that were levelled on a slope are tilted against their sensor by a few degrees.
_SPREAD_FACTOR, _SPREAD_WARNED_DEG, _SPREAD_REFUSED_DEG = 2.0, 1.5, 4.5
_OLD_TOLERANCE_DEG, _OLD_RINGS_OFF = 8.0, 0.15

_WAYS = ("to the right", "to the left")
_OTHER_HAND = "Give points with y to the left, in the order in which the sensor measures them."


def findings_of(found: CloudGeometry, expects: GeometryExpectations) -> List[Finding]:
    """Return all in which the geometry of a scan differs from what is expected, the surest first."""
    checks: Tuple[Tuple[Callable[[CloudGeometry, GeometryExpectations], Optional[Finding]], str], ...] = (
        (check_unit, GROUND),
        (check_ranges, RANGES),
        (check_height, GROUND),
        (check_tilt, GROUND),
        (_spread, ELSE),
        (check_beams, BEAMS),
        (_upper_edge, ELSE),
        (_lower_edge, ELSE),
        (_turn, ELSE),
    )
    findings = [(check(found, expects), basis) for check, basis in checks]
    named = [replace(finding, basis=basis) for finding, basis in findings if finding is not None]
    return sorted(named, key=lambda finding: not finding.is_certain)


def findings_of_old_bundle(found: CloudGeometry, expects: ScanExpectations) -> List[Finding]:
    """Return in what a scan differs from the expectations of a bundle that says little about geometry."""
    findings = [
        Finding(
            "the bundle was exported before bundles described beams, ground and sense of the turn, so other "
            "sensors may pass",
            "Export it again.",
            is_certain=False,
        )
    ]
    upper, lower = expects.field_of_view_deg
    edges = _edges(found)
    if edges is not None and (edges[1] > upper + _OLD_TOLERANCE_DEG or edges[0] < lower - _OLD_TOLERANCE_DEG):
        findings.append(
            Finding(
                f"points are seen from {edges[1]:.1f} down to {edges[0]:.1f} degrees of elevation, expected "
                f"{upper:.1f} to {lower:.1f}",
                OTHER_SENSOR,
            )
        )
    height, usual = height_of(found.ground), expects.sensor_height_m
    if height is not None and usual is not None and not 0.5 * usual <= height <= 2.0 * usual:
        findings.append(
            Finding(f"the ground lies {height:.2f} m below the origin, expected {usual:g} m", OTHER_MOUNTING)
        )
    beams = found.beams
    enough = beams is not None and found.num_points >= POINTS_PER_BEAM * len(beams.elevation_deg)
    if beams is not None and beams.are_given and expects.rings is not None and enough:
        fewest, most = expects.rings
        if not fewest * (1 - _OLD_RINGS_OFF) <= len(beams.elevation_deg) <= most * (1 + _OLD_RINGS_OFF):
            findings.append(
                Finding(f"it has {len(beams.elevation_deg)} rings, expected {fewest} to {most}", OTHER_SENSOR)
            )
    return findings


def _spread(found: CloudGeometry, expects: GeometryExpectations) -> Optional[Finding]:
    beams = found.beams
    if beams is None or not beams.are_given:
        return None
    usual = _SPREAD_FACTOR * expects.beam_spread_deg
    if beams.spread_deg <= usual + _SPREAD_WARNED_DEG:
        return None
    return Finding(
        f"the elevation of a beam scatters by {beams.spread_deg:.1f} degrees, expected at most "
        f"{expects.beam_spread_deg:.1f}, as if the origin or the axes were not those of the sensor",
        OTHER_FRAME,
        beams.spread_deg > usual + _SPREAD_REFUSED_DEG,
    )


def _upper_edge(found: CloudGeometry, expects: GeometryExpectations) -> Optional[Finding]:
    edges = _edges(found)
    if edges is None:
        return None
    upper, usual = edges[1], expects.upper_edge_deg
    beyond = upper - usual[1]
    if beyond > _EDGE_WARNED_DEG:
        text = f"points are seen up to {upper:.1f} degrees of elevation, expected {degrees(usual)}"
        return Finding(text, OTHER_SENSOR, beyond > _EDGE_REFUSED_DEG)
    if usual[0] - upper <= _EDGE_WARNED_DEG:
        return None
    lowest = expects.edges_deg(found.azimuth_coverage)[1]
    is_cut = upper < min(_HORIZON_DEG, lowest - _EDGE_WARNED_DEG)
    if not is_cut and (_is_part(found, expects) or found.num_points < _FEWEST_FOR_EDGES):
        return None
    text = f"points are seen up to {upper:.1f} degrees of elevation only, expected {degrees(usual)}"
    return Finding(text, OTHER_SENSOR, is_cut)


def _lower_edge(found: CloudGeometry, expects: GeometryExpectations) -> Optional[Finding]:
    edges = _edges(found)
    if edges is None:
        return None
    lower, usual = edges[0], expects.lower_edge_deg
    beyond = usual[0] - lower
    if beyond > _EDGE_WARNED_DEG:
        text = f"points are seen down to {lower:.1f} degrees of elevation, expected {degrees(usual)}"
        return Finding(text, OTHER_SENSOR, beyond > _EDGE_REFUSED_DEG)
    if lower - usual[1] <= _EDGE_WARNED_DEG:
        return None
    # The lowest beams are few and lie apart; of few points hardly any come from them.
    slack = _EDGE_WARNED_DEG if found.num_points >= _FEWEST_FOR_LOWEST else 1.5 * _EDGE_WARNED_DEG
    is_cut = lower > expects.edges_deg(found.azimuth_coverage)[0] + slack
    if found.num_points < _FEWEST_FOR_EDGES and not (is_cut and lower > _HORIZON_DEG):
        return None
    text = f"points are seen down to {lower:.1f} degrees of elevation only, expected {degrees(usual)}"
    return Finding(text, OTHER_SENSOR, is_cut)


def _turn(found: CloudGeometry, expects: GeometryExpectations) -> Optional[Finding]:
    in_time = found.is_left_in_time
    if in_time is not None and expects.is_left_in_time is not None:
        return None if in_time == expects.is_left_in_time else _mirrored("their times", is_left=in_time)
    usual = expects.turn
    if usual is None or found.turn is None:
        return Finding(
            "the order of its points does not show which way the sensor turns, so that a mirrored scan would "
            "not be noticed",
            _OTHER_HAND,
            is_certain=False,
        )
    is_same_way = found.turn.is_left == usual.is_left
    if (found.turn.order == BY_COLUMN) == (usual.order == BY_COLUMN):
        return None if is_same_way else _mirrored("their order", is_left=found.turn.is_left)
    # Files sorted by ring may run either way, whatever that of the sensor, so that the two do not compare.
    return Finding(
        f"its points come {found.turn.order} and run round the sensor {_WAYS[found.turn.is_left]}, those of "
        f"the training came {usual.order} and ran {_WAYS[usual.is_left]}: a mirrored scan would not be "
        "noticed",
        _OTHER_HAND,
        is_certain=False,
    )


def _mirrored(basis: str, *, is_left: bool) -> Finding:
    return Finding(
        f"by {basis} the points run round the sensor {_WAYS[is_left]} (seen from above), expected "
        f"{_WAYS[not is_left]}: the scan seems to be mirrored",
        _OTHER_HAND,
    )


def _edges(found: CloudGeometry) -> Optional[Tuple[float, float]]:
    if found.elevation_deg is None or found.num_points < FEWEST_FOR_CHECKS:
        return None
    outer = 0.5 if found.num_points >= _FEWEST_FOR_EDGES else 5.0
    low, high = (ELEVATION_PERCENTS.index(percent) for percent in (outer, 100.0 - outer))
    return found.elevation_deg[low], found.elevation_deg[high]


def _is_part(found: CloudGeometry, expects: GeometryExpectations) -> bool:
    return found.azimuth_coverage < 0.9 * expects.azimuth_coverage[0]
