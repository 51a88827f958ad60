"""Confirms findings about beams and ground before a scan is refused for them.

Beams that are found in elevations alone, and the plane that most points lie on, are estimates. Clouds that
were corrected for the motion of their vehicle show a beam at two elevations; beside a wall most points lie on
the wall. Here the question is turned round: do the points bear out what is expected?

Python 3.8 syntax, numpy only: this module travels to boards.
"""

from __future__ import annotations

from dataclasses import replace
from typing import List, Optional, Tuple

import numpy as np

from hwnas.arrays import FloatArray
from hwnas.bundle.runtime.beam_checks import are_other_beams
from hwnas.bundle.runtime.ground_checks import OTHER_UNIT, TILT_REFUSED_DEG
from hwnas.bundle.runtime.scan_finding import (
    BEAMS,
    FEWEST_FOR_CHECKS,
    GROUND,
    OTHER_FRAME,
    OTHER_SENSOR,
    RANGES,
    Finding,
    degrees,
    metres,
)
from hwnas.data.geometry.cloud_geometry import UNITS, CloudGeometry, Ground, sector_beams, sector_pattern
from hwnas.data.geometry.expected_geometry import GeometryExpectations
from hwnas.data.geometry.expected_ground import support_of_ground

_FEWEST_SECTORS, _LEAST_AGREEING = 3, 0.5
_POINTS_PER_BEAM = 24
_SPACING_FACTOR, _COUNT_FACTOR = 1.4, 1.2
_HEIGHT_TOLERANCE, _MOST_OF_TURN = 0.1, 0.75
_Z_DOWN = np.array([1, -1, -1], np.float32)


def confirmed_findings(
    points: FloatArray,
    found: CloudGeometry,
    expects: GeometryExpectations,
    findings: List[Finding],
    *,
    are_rings_known: bool,
) -> List[Finding]:
    """Return the findings that the points themselves confirm, and what confirming them brought to light.

    Args:
        points: [N, 3] in metres, all with a direction.
        found: their geometry.
        expects: geometry of the training scans.
        findings: in which they differ at first sight.
        are_rings_known: whether the ring of each point was given or recovered; their beams are no estimate.
    """
    if len(points) < FEWEST_FOR_CHECKS:
        return findings
    doubtful = any(finding.basis == BEAMS and finding.is_certain for finding in findings)
    if doubtful and not are_rings_known and _are_beams_of_sectors(points, found, expects):
        findings = [finding for finding in findings if finding.basis != BEAMS]
    findings = _with_ground(points, found, expects, findings)
    if any(finding.is_certain for finding in findings):
        return findings
    pattern = _other_pattern(points, expects)
    return findings if pattern is None else [pattern, *findings]


def _are_beams_of_sectors(points: FloatArray, found: CloudGeometry, expects: GeometryExpectations) -> bool:
    """Return whether beams are those that are expected in most sectors that show any."""
    usual = expects.beam_elevation_deg
    if usual is None:
        return False
    # With too few points neighbouring beams look like one, and those of any sensor like the expected ones.
    most = len(usual) if found.beams is None else max(len(usual), len(found.beams.elevation_deg))
    sectors = [
        beams
        for beams in sector_beams(points, expects.near_m)
        if sum(beams.num_points) >= _POINTS_PER_BEAM * most
    ]
    agreeing = sum(not are_other_beams(beams, expects) for beams in sectors)
    return len(sectors) >= _FEWEST_SECTORS and agreeing > _LEAST_AGREEING * len(sectors)


def _with_ground(
    points: FloatArray, found: CloudGeometry, expects: GeometryExpectations, findings: List[Finding]
) -> List[Finding]:
    usual = expects.ground_height_m
    others = [finding for finding in findings if finding.basis not in (GROUND, RANGES)]
    is_usual = len(others) == len(findings) and found.ground is not None
    if usual is None or usual[0] <= 0 or is_usual:
        return findings
    support = support_of_ground(points, usual)
    overhead = support_of_ground(points * _Z_DOWN, usual)
    if support is not None and (overhead is None or support >= overhead):
        return others
    if found.ground is not None and not _is_ground_below(points, found.ground):
        findings = [
            replace(finding, is_certain=finding.is_certain and finding.basis != GROUND)
            for finding in findings
        ]
    if any(finding.is_certain for finding in findings):
        return findings
    other = _other_ground(points, usual, overhead)
    return findings if other is None else [other, *findings]


def _is_ground_below(points: FloatArray, ground: Ground) -> bool:
    """Return whether a steep plane looks like the ground once the cloud is turned so that it is level.

    Where hardly any ground is in view, a steep plane through kerbs, cars and the foot of a wall may hold more
    points than any other one; but it does so on one side only.
    """
    if ground.tilt_deg <= TILT_REFUSED_DEG:
        return True
    if ground.height <= 0:
        return False
    height = (ground.height * (1 - _HEIGHT_TOLERANCE), ground.height * (1 + _HEIGHT_TOLERANCE))
    return support_of_ground(ground.levelled(points), height, _MOST_OF_TURN) is not None


def _other_pattern(points: FloatArray, expects: GeometryExpectations) -> Optional[Finding]:
    """Compare how beams lie in sectors where nothing more is known about them."""
    usual, most = expects.sector_spacing_deg, expects.sector_beams
    if usual is None or most is None:
        return None
    found = sector_pattern(points, expects.near_m)
    if found is None:
        text = (
            "its beams do not show in sectors either, so that a scan of another sensor would not be noticed"
        )
    elif not usual[0] / _SPACING_FACTOR <= found.spacing_deg <= usual[1] * _SPACING_FACTOR:
        text = f"its beams lie {found.spacing_deg:.2f} degrees apart, expected {degrees(usual)}"
    elif found.most > _COUNT_FACTOR * most:
        text = f"it has {found.most} beams, expected at most {most}"
    else:
        return None
    return Finding(text, OTHER_SENSOR, is_certain=found is not None)


def _other_ground(
    points: FloatArray, usual: Tuple[float, float], overhead: Optional[float]
) -> Optional[Finding]:
    """Return what is wrong if the ground is where it is expected once z or the unit is another one."""
    if overhead is not None:
        return Finding(
            f"the ground is seen above the origin, as if z pointed down; expected {metres(usual)} below it",
            OTHER_FRAME,
            basis=GROUND,
        )
    for unit, factor in UNITS.items():
        scaled = (usual[0] * factor, usual[1] * factor)
        if factor != 1.0 and support_of_ground(points, scaled) is not None:
            return Finding(
                f"the ground lies {scaled[0]:.3g} to {scaled[1]:.3g} below it, as if in {unit}; expected "
                f"{metres(usual)}",
                OTHER_UNIT,
                basis=GROUND,
            )
    return None
