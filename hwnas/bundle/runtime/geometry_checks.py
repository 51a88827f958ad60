"""Compares the geometry of a scan with that of the scans that a network was trained on.

Nothing here depends on how many points a scan has, except how sure one can be.

Python 3.8 syntax, numpy only: this module travels to boards.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, List, Optional, Tuple

import numpy as np
import numpy.typing as npt

from hwnas.data.expectations import ScanExpectations
from hwnas.data.expected_geometry import GeometryExpectations
from hwnas.data.geometry import (
    BY_COLUMN,
    ELEVATION_PERCENTS,
    RANGE_PERCENTS,
    Beams,
    CloudGeometry,
    Ground,
    unit_of,
)

FloatArray = npt.NDArray[np.float64]
ElevationArray = npt.NDArray[np.float32]

# Quantiles of fewer points than this are those of single points; coarser ones take their place.
_FEWEST_FOR_EDGES = 400
FEWEST_FOR_CHECKS = 64
"""Of fewer points nothing is compared; a scan that has no more is labelled with a warning."""
"""With fewer points hardly anything about a sensor can be known."""
# Another specimen of a sensor, and the difference between its data sheet and its calibration.
_EDGE_WARNED_DEG, _EDGE_REFUSED_DEG = 3.0, 6.0
# The horizon is in every scan; a view that ends below it was cut.
_HORIZON_DEG = -2.0
_BEAMS_OFF, _BEAMS_OFF_SHARE = 2.5, 0.03
_POINTS_PER_BEAM = 12.0
_NEIGHBOURS = 4
_SURPRISE, _SURPRISE_PER_BEAM = 20.0, 0.5
_POINTS_PER_UNGIVEN_BEAM = 60.0
_CLEAR_SPREAD = 0.2
# Points spread evenly would lie there to one half.
_BETWEEN_BEAMS = 0.25
# Clouds that were levelled on a slope are tilted against their sensor by a few degrees.
_SPREAD_FACTOR, _SPREAD_WARNED_DEG, _SPREAD_REFUSED_DEG = 2.0, 1.5, 4.5
_CLEAR_SUPPORT, _POOR_SUPPORT = 0.25, 0.12
_HEIGHT_REFUSED, _HEIGHT_WARNED = 0.4, 0.2
_HEIGHT_SLACK_M = 0.1
_TILT_REFUSED_DEG, _TILT_WARNED_DEG = 14.0, 8.0
_RANGE_FACTOR = 2.5
_OLD_TOLERANCE_DEG, _OLD_RINGS_OFF = 8.0, 0.15
_MEDIAN, _FAR = (RANGE_PERCENTS.index(percent) for percent in (50.0, 99.0))

_OTHER_SENSOR = "Give scans of that sensor in its own frame, or train for this one."
_OTHER_FRAME = "Give points with x forward, y left, z up, in the frame of the sensor, level to a few degrees."
_OTHER_UNIT = "Give points in metres."
_OTHER_MOUNTING = "Put the origin into the sensor and mount it as in training, or train for this mounting."
_OTHER_HAND = "Give points with y to the left, in the order in which the sensor measures them."


@dataclass(frozen=True)
class Finding:
    """Something that a scan has otherwise than those of the training.

    Attributes:
        text: what was found and what was expected, a clause without a full stop.
        remedy: what to do, a sentence.
        is_certain: whether the scan must be refused; a warning otherwise.
    """

    text: str
    remedy: str
    is_certain: bool = True


def findings_of(found: CloudGeometry, expects: GeometryExpectations) -> List[Finding]:
    """Return all in which the geometry of a scan differs from what is expected, the surest first."""
    checks: Tuple[Callable[[CloudGeometry, GeometryExpectations], Optional[Finding]], ...] = (
        _unit,
        _height,
        _tilt,
        _spread,
        _beams,
        _upper_edge,
        _lower_edge,
        _turn,
    )
    findings = [finding for finding in (check(found, expects) for check in checks) if finding is not None]
    return sorted(findings, key=lambda finding: not finding.is_certain)


def between_beams(elevation_deg: ElevationArray, expects: GeometryExpectations) -> Optional[Finding]:
    """Return what speaks against rows by the nearest beam: points that lie between the expected beams.

    Args:
        elevation_deg: [N] of points whose rings are not known.
        expects: geometry of the training scans.
    """
    if expects.beam_elevation_deg is None or len(elevation_deg) < FEWEST_FOR_CHECKS:
        return None
    usual = np.asarray(expects.beam_elevation_deg)[::-1]
    spacing = np.diff(usual)
    if expects.beam_spread_deg >= _CLEAR_SPREAD * float(np.median(spacing)):
        return None  # neighbouring beams overlap, so that points lie everywhere
    nearest = np.searchsorted(0.5 * (usual[1:] + usual[:-1]), elevation_deg)
    gap = np.minimum(np.append(spacing, spacing[-1]), np.insert(spacing, 0, spacing[0]))[nearest]
    share = float(np.mean(np.abs(elevation_deg - usual[nearest]) > 0.25 * np.minimum(gap, 2.0)))
    if share <= _BETWEEN_BEAMS:
        return None
    return Finding(
        f"{share:.0%} of its points lie between the expected {_described(expects.beam_elevation_deg)}",
        _OTHER_SENSOR,
    )


def is_sparse(num_points: int, expects: GeometryExpectations) -> bool:
    """Return whether so few points may hide what tells sensors apart."""
    beams = expects.beam_elevation_deg
    return num_points < max(FEWEST_FOR_CHECKS, 0 if beams is None else _POINTS_PER_BEAM * len(beams))


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
                _OTHER_SENSOR,
            )
        )
    height, usual = _height_of(found.ground), expects.sensor_height_m
    if height is not None and usual is not None and not 0.5 * usual <= height <= 2.0 * usual:
        findings.append(
            Finding(f"the ground lies {height:.2f} m below the origin, expected {usual:g} m", _OTHER_MOUNTING)
        )
    beams = found.beams
    enough = beams is not None and found.num_points >= _POINTS_PER_BEAM * len(beams.elevation_deg)
    if beams is not None and beams.are_given and expects.rings is not None and enough:
        fewest, most = expects.rings
        if not fewest * (1 - _OLD_RINGS_OFF) <= len(beams.elevation_deg) <= most * (1 + _OLD_RINGS_OFF):
            findings.append(
                Finding(
                    f"it has {len(beams.elevation_deg)} rings, expected {fewest} to {most}", _OTHER_SENSOR
                )
            )
    return findings


def _unit(found: CloudGeometry, expects: GeometryExpectations) -> Optional[Finding]:
    """Compare heights first, which hardly vary, then distances, which do."""
    height = _height_of(found.ground)
    usual = expects.ground_height_m
    if height is not None and usual is not None and usual[0] > 0:
        unit = unit_of(height, 0.5 * (usual[0] + usual[1]))
        if unit not in (None, "metres"):
            return Finding(
                f"the ground lies {height:.4g} below it, as if in {unit}; expected {_m(usual)}", _OTHER_UNIT
            )
    if found.range_quantiles is None:
        return None
    middle, far = found.range_quantiles[_MEDIAN], found.range_quantiles[_FAR]
    if far > _RANGE_FACTOR * expects.far_range_m[1] or far < expects.far_range_m[0] / (4 * _RANGE_FACTOR):
        return Finding(
            f"the points are {middle:.3g} away (median; 99 percent within {far:.3g}), expected "
            f"{_m(expects.median_range_m)} ({_m(expects.far_range_m)})",
            _OTHER_UNIT,
        )
    return None


def _height(found: CloudGeometry, expects: GeometryExpectations) -> Optional[Finding]:
    usual, ground = expects.ground_height_m, found.ground
    if usual is None or usual[0] <= 0 or ground is None or ground.support < _POOR_SUPPORT:
        return None
    text = f"the ground lies {ground.height:.2f} m below the origin, expected {_m(usual)}"
    if ground.height < 0:
        text = f"the ground lies {-ground.height:.2f} m above the origin, expected {_m(usual)} below it"
    for share, is_certain in ((_HEIGHT_REFUSED, True), (_HEIGHT_WARNED, False)):
        low = (1 - share) * usual[0] - _HEIGHT_SLACK_M
        high = (1 + share) * usual[1] + _HEIGHT_SLACK_M
        if not low <= ground.height <= high:
            return Finding(text, _OTHER_MOUNTING, is_certain and ground.support >= _CLEAR_SUPPORT)
    return None


def _tilt(found: CloudGeometry, expects: GeometryExpectations) -> Optional[Finding]:
    ground = found.ground
    if ground is None or expects.ground_tilt_deg is None or ground.support < _POOR_SUPPORT:
        return None
    tilt = ground.tilt_deg
    if tilt <= _TILT_WARNED_DEG + expects.ground_tilt_deg:
        return None
    is_large = tilt > _TILT_REFUSED_DEG + 0.5 * expects.ground_tilt_deg
    return Finding(
        f"the ground is tilted by {tilt:.0f} degrees (roll {ground.roll_deg:.0f}, pitch "
        f"{ground.pitch_deg:.0f}), expected at most {expects.ground_tilt_deg:.0f}",
        _OTHER_FRAME,
        is_large and ground.support >= _CLEAR_SUPPORT,
    )


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
        _OTHER_FRAME,
        beams.spread_deg > usual + _SPREAD_REFUSED_DEG,
    )


def _beams(found: CloudGeometry, expects: GeometryExpectations) -> Optional[Finding]:
    """Compare how many beams there are up to each elevation, where both see any."""
    usual, beams = expects.beam_elevation_deg, found.beams
    if usual is None:
        return None
    if beams is None:
        return _missing_beams(found, expects, usual)
    overlap = _overlap(np.asarray(usual)[::-1], beams)
    most = max(len(overlap.usual), len(overlap.found))
    allowed = _BEAMS_OFF + _BEAMS_OFF_SHARE * most
    # Where beams scatter, or all are tilted by a few degrees, one is found that much away from where it is.
    allowed += max(beams.spread_deg, expects.beam_spread_deg) / float(np.median(-np.diff(usual)))
    is_dense = int(overlap.counts.sum()) >= _POINTS_PER_BEAM * most
    if (is_dense and overlap.off > allowed) or overlap.surplus > allowed:
        is_other = True
    else:
        is_other = not is_dense and overlap.surprise > _SURPRISE + _SURPRISE_PER_BEAM * len(overlap.usual)
    if not is_other:
        return None
    return Finding(f"it has {_described(beams.elevation_deg)}, expected {_described(usual)}", _OTHER_SENSOR)


def _described(beams: Tuple[float, ...]) -> str:
    return f"{len(beams)} beams from {beams[0]:.1f} to {beams[-1]:.1f} degrees"


def _missing_beams(
    found: CloudGeometry, expects: GeometryExpectations, usual: Tuple[float, ...]
) -> Optional[Finding]:
    are_clear = expects.beam_spread_deg < _CLEAR_SPREAD * float(np.median(-np.diff(usual)))
    if not are_clear or found.num_points < _POINTS_PER_UNGIVEN_BEAM * len(usual):
        return None
    return Finding(
        f"its points lie on no beams that could be told apart, expected {_described(usual)}",
        _OTHER_SENSOR,
    )


@dataclass(frozen=True, eq=False)
class _Overlap:
    """Beams where both the expected and the found ones see something.

    Attributes:
        usual: [E] elevations of expected beams in degrees, growing.
        found: [F] elevations of found beams in degrees, growing.
        counts: [E] points near each expected beam.
        around: [E] mean of `counts` over the neighbours of each expected beam.
    """

    usual: FloatArray
    found: FloatArray
    counts: FloatArray
    around: FloatArray

    @property
    def surprise(self) -> float:
        """Points that expected beams should have, as their neighbours do, and have not.

        Were points spread over beams at random (Poisson), a beam without a point among neighbours with n
        points would have the probability exp(-n), so that this is the negative logarithm of all of them.
        """
        return float(self.around[self.counts == 0].sum())

    @property
    def surplus(self) -> float:
        """How many more beams are found than expected."""
        return float(len(self.found) - len(self.usual))

    @property
    def off(self) -> float:
        """How far the numbers of beams come apart going up; beams that happen to have no points left out."""
        usual = self.usual[(self.counts > 0) | (self.around >= _POINTS_PER_BEAM / 2)]
        steps = np.concatenate([usual, self.found])
        found, expected = (np.searchsorted(beams, steps, "right") for beams in (self.found, usual))
        return float(np.abs(found - expected).max(initial=0))


def _overlap(usual: FloatArray, beams: Beams) -> _Overlap:
    found, points = np.asarray(beams.elevation_deg)[::-1], np.asarray(beams.num_points, np.float64)[::-1]
    slack = 0.75 * float(np.median(np.diff(usual)))
    low, high = max(usual[0], found[0]) - slack, min(usual[-1], found[-1]) + slack
    inside = (found >= low) & (found <= high)
    usual, found, points = usual[(usual >= low) & (usual <= high)], found[inside], points[inside]
    if not len(usual) or not len(found):
        return _Overlap(usual, found, np.zeros(len(usual)), np.zeros(len(usual)))
    nearest = np.searchsorted(0.5 * (usual[1:] + usual[:-1]), found)
    counts = np.bincount(nearest, points, minlength=len(usual)).astype(np.float64)
    kernel = np.ones(2 * _NEIGHBOURS + 1)
    kernel[_NEIGHBOURS] = 0.0
    around = np.convolve(np.pad(counts, _NEIGHBOURS), kernel, "valid")
    around /= np.convolve(np.pad(np.ones(len(usual)), _NEIGHBOURS), kernel, "valid").clip(min=1)
    return _Overlap(usual, found, counts, around)


def _upper_edge(found: CloudGeometry, expects: GeometryExpectations) -> Optional[Finding]:
    edges = _edges(found)
    if edges is None:
        return None
    upper, usual = edges[1], expects.upper_edge_deg
    beyond = upper - usual[1]
    if beyond > _EDGE_WARNED_DEG:
        text = f"points are seen up to {upper:.1f} degrees of elevation, expected {_deg(usual)}"
        return Finding(text, _OTHER_SENSOR, beyond > _EDGE_REFUSED_DEG)
    if usual[0] - upper <= _EDGE_WARNED_DEG:
        return None
    lowest = expects.edges_deg(found.azimuth_coverage)[1]
    is_cut = upper < min(_HORIZON_DEG, lowest - _EDGE_WARNED_DEG)
    if not is_cut and (_is_part(found, expects) or found.num_points < _FEWEST_FOR_EDGES):
        return None
    text = f"points are seen up to {upper:.1f} degrees of elevation only, expected {_deg(usual)}"
    return Finding(text, _OTHER_SENSOR, is_cut)


def _lower_edge(found: CloudGeometry, expects: GeometryExpectations) -> Optional[Finding]:
    edges = _edges(found)
    if edges is None:
        return None
    lower, usual = edges[0], expects.lower_edge_deg
    beyond = usual[0] - lower
    if beyond > _EDGE_WARNED_DEG:
        text = f"points are seen down to {lower:.1f} degrees of elevation, expected {_deg(usual)}"
        return Finding(text, _OTHER_SENSOR, beyond > _EDGE_REFUSED_DEG)
    if lower - usual[1] <= _EDGE_WARNED_DEG:
        return None
    is_cut = lower > expects.edges_deg(found.azimuth_coverage)[0] + _EDGE_WARNED_DEG
    if found.num_points < _FEWEST_FOR_EDGES and not (is_cut and lower > _HORIZON_DEG):
        return None
    text = f"points are seen down to {lower:.1f} degrees of elevation only, expected {_deg(usual)}"
    return Finding(text, _OTHER_SENSOR, is_cut)


def _turn(found: CloudGeometry, expects: GeometryExpectations) -> Optional[Finding]:
    usual = expects.turn
    if usual is None or found.turn is None:
        return Finding(
            "the order of its points does not show which way the sensor turns, so that a mirrored scan would "
            "not be noticed",
            _OTHER_HAND,
            is_certain=False,
        )
    if found.turn.is_left == usual.is_left:
        return None
    ways = ("to the right", "to the left")
    return Finding(
        f"the points run round the sensor {ways[found.turn.is_left]} (seen from above), expected "
        f"{ways[usual.is_left]}: the scan seems to be mirrored",
        _OTHER_HAND,
        # Files that are sorted another way than those of the training may rightly run the other way, too.
        is_certain=(found.turn.order == BY_COLUMN) == (usual.order == BY_COLUMN),
    )


def _edges(found: CloudGeometry) -> Optional[Tuple[float, float]]:
    if found.elevation_deg is None or found.num_points < FEWEST_FOR_CHECKS:
        return None
    outer = 0.5 if found.num_points >= _FEWEST_FOR_EDGES else 5.0
    low, high = (ELEVATION_PERCENTS.index(percent) for percent in (outer, 100.0 - outer))
    return found.elevation_deg[low], found.elevation_deg[high]


def _is_part(found: CloudGeometry, expects: GeometryExpectations) -> bool:
    return found.azimuth_coverage < 0.9 * expects.azimuth_coverage[0]


def _height_of(ground: Optional[Ground]) -> Optional[float]:
    return None if ground is None or ground.support < _POOR_SUPPORT else ground.height


def _m(pair: Tuple[float, float]) -> str:
    return _span(pair, "m")


def _deg(pair: Tuple[float, float]) -> str:
    return _span(pair, "degrees")


def _span(pair: Tuple[float, float], unit: str) -> str:
    low, high = (f"{value:.3g}" for value in pair)
    return f"{low} {unit}" if low == high else f"{low} to {high} {unit}"
