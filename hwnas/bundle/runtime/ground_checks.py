"""Compares unit, height and tilt of a scan with those of the training scans, by its ground and its distances.

Python 3.8 syntax, numpy only: this module travels to boards.
"""

from __future__ import annotations

from typing import Optional

from hwnas.bundle.runtime.scan_finding import OTHER_FRAME, Finding, metres
from hwnas.data.geometry.cloud_geometry import RANGE_PERCENTS, CloudGeometry, Ground, unit_of
from hwnas.data.geometry.expected_geometry import GeometryExpectations

_CLEAR_SUPPORT, _POOR_SUPPORT = 0.25, 0.12
_HEIGHT_REFUSED, _HEIGHT_WARNED = 0.4, 0.2
_HEIGHT_SLACK_M = 0.1
TILT_REFUSED_DEG, _TILT_WARNED_DEG = 14.0, 8.0
# What is seen may end at a wall nearby, but no network is trained in a field and used in a cupboard.
_FARTHER_FACTOR, _NEARER_FACTOR = 2.5, 20.0
_MEDIAN, _FAR = (RANGE_PERCENTS.index(percent) for percent in (50.0, 99.0))

OTHER_UNIT = "Give points in metres."
OTHER_MOUNTING = "Put the origin into the sensor and mount it as in training, or train for this mounting."


def check_unit(found: CloudGeometry, expects: GeometryExpectations) -> Optional[Finding]:
    """Compare heights above the ground, which hardly vary, in other units."""
    height = height_of(found.ground)
    usual = expects.ground_height_m
    if height is not None and usual is not None and usual[0] > 0:
        unit = unit_of(height, 0.5 * (usual[0] + usual[1]))
        if unit not in (None, "metres"):
            return Finding(
                f"the ground lies {height:.4g} below it, as if in {unit}; expected {metres(usual)}",
                OTHER_UNIT,
            )
    return None


def check_ranges(found: CloudGeometry, expects: GeometryExpectations) -> Optional[Finding]:
    """Compare distances, which vary much, and least of all the farthest ones."""
    if found.range_quantiles is None:
        return None
    middle, far = found.range_quantiles[_MEDIAN], found.range_quantiles[_FAR]
    if far > _FARTHER_FACTOR * expects.far_range_m[1] or far < expects.far_range_m[0] / _NEARER_FACTOR:
        return Finding(
            f"the points are {middle:.3g} away (median; 99 percent within {far:.3g}), expected "
            f"{metres(expects.median_range_m)} ({metres(expects.far_range_m)})",
            OTHER_UNIT,
        )
    return None


def check_height(found: CloudGeometry, expects: GeometryExpectations) -> Optional[Finding]:
    """Compare the height of the origin above the ground."""
    usual, ground = expects.ground_height_m, found.ground
    if usual is None or usual[0] <= 0 or ground is None or ground.support < _POOR_SUPPORT:
        return None
    text = f"the ground lies {ground.height:.2f} m below the origin, expected {metres(usual)}"
    if ground.height < 0:
        text = f"the ground lies {-ground.height:.2f} m above the origin, expected {metres(usual)} below it"
    for share, is_certain in ((_HEIGHT_REFUSED, True), (_HEIGHT_WARNED, False)):
        low = (1 - share) * usual[0] - _HEIGHT_SLACK_M
        high = (1 + share) * usual[1] + _HEIGHT_SLACK_M
        if not low <= ground.height <= high:
            return Finding(text, OTHER_MOUNTING, is_certain and ground.support >= _CLEAR_SUPPORT)
    return None


def check_tilt(found: CloudGeometry, expects: GeometryExpectations) -> Optional[Finding]:
    """Compare how far the ground is tilted."""
    ground = found.ground
    if ground is None or expects.ground_tilt_deg is None or ground.support < _POOR_SUPPORT:
        return None
    tilt = ground.tilt_deg
    if tilt <= _TILT_WARNED_DEG + expects.ground_tilt_deg:
        return None
    is_large = tilt > TILT_REFUSED_DEG + 0.5 * expects.ground_tilt_deg
    return Finding(
        f"the ground is tilted by {tilt:.0f} degrees (roll {ground.roll_deg:.0f}, pitch "
        f"{ground.pitch_deg:.0f}), expected at most {expects.ground_tilt_deg:.0f}",
        OTHER_FRAME,
        is_large and ground.support >= _CLEAR_SUPPORT,
    )


def height_of(ground: Optional[Ground]) -> Optional[float]:
    """Return the height of the origin above a ground that is seen well enough."""
    return None if ground is None or ground.support < _POOR_SUPPORT else ground.height
