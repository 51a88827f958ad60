"""Compares the beams of a scan with those of the training scans.

Python 3.8 syntax, numpy only: this module travels to boards.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Tuple

import numpy as np
import numpy.typing as npt

from hwnas.arrays import DoubleArray, FloatArray
from hwnas.bundle.runtime.scan_finding import BEAMS, FEWEST_FOR_CHECKS, OTHER_SENSOR, Finding
from hwnas.data.geometry.cloud_geometry import Beams, CloudGeometry
from hwnas.data.geometry.expected_geometry import GeometryExpectations

POINTS_PER_BEAM = 12.0
"""With fewer points a beam may happen to have none."""
_BEAMS_OFF, _BEAMS_OFF_SHARE = 2.5, 0.03
_NEIGHBOURS = 4
_SURPRISE, _SURPRISE_PER_BEAM = 20.0, 0.5
_POINTS_PER_UNGIVEN_BEAM = 60.0
_FEWEST_WITHOUT_BEAMS = 2000
_CLEAR_SPREAD, _MEDIANS_SPREAD = 0.2, 0.5
# Points spread evenly would lie there to one half.
_BETWEEN_BEAMS = 0.25


def check_beams(found: CloudGeometry, expects: GeometryExpectations) -> Optional[Finding]:
    """Compare how many beams there are up to each elevation, where both see any."""
    usual, beams = expects.beam_elevation_deg, found.beams
    if usual is None:
        return None
    if beams is None:
        return _missing_beams(found, expects, usual)
    if not are_other_beams(beams, expects):
        return None
    return Finding(f"it has {_described(beams.elevation_deg)}, expected {_described(usual)}", OTHER_SENSOR)


def are_other_beams(beams: Beams, expects: GeometryExpectations) -> bool:
    """Return whether beams cannot be those that are expected; False where none are expected."""
    if expects.beam_elevation_deg is None:
        return False
    usual = np.asarray(expects.beam_elevation_deg)[::-1]
    spread = max(beams.spread_deg, expects.beam_spread_deg)
    # Of few points of a beam that scatters, the median may be nearer to a neighbour of that beam.
    do_overlap = spread >= _CLEAR_SPREAD * float(np.median(np.diff(usual)))
    overlap = _overlap(usual, beams, _MEDIANS_SPREAD * spread if do_overlap else 0.0)
    most = max(len(overlap.usual), len(overlap.found))
    allowed = _BEAMS_OFF + _BEAMS_OFF_SHARE * most
    # Where beams scatter, or all are tilted by a few degrees, one is found that much away from where it is.
    allowed += spread / float(np.median(np.diff(usual)))
    is_dense = int(overlap.counts.sum()) >= POINTS_PER_BEAM * most
    if (is_dense and overlap.off > allowed) or overlap.surplus > allowed:
        return True
    return not is_dense and overlap.surprise > _SURPRISE + _SURPRISE_PER_BEAM * len(overlap.usual)


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
        OTHER_SENSOR,
    )


@dataclass(frozen=True, eq=False)
class _Overlap:
    """Beams where both the expected and the found ones see something.

    Attributes:
        usual: [E] elevations of expected beams in degrees, growing.
        found: [F] elevations of found beams in degrees, growing.
        counts: [E] points near each expected beam.
        around: [E] mean of `counts` over the neighbours of each expected beam.
        is_empty: [E] whether no beam is found where it could be that one.
    """

    usual: DoubleArray
    found: DoubleArray
    counts: DoubleArray
    around: DoubleArray
    is_empty: npt.NDArray[np.bool_]

    @property
    def surprise(self) -> float:
        """Points that expected beams should have, as their neighbours do, and have not.

        Were points spread over beams at random (Poisson), a beam without a point among neighbours with n
        points would have the probability exp(-n), so that this is the negative logarithm of all of them.
        """
        return float(self.around[self.is_empty].sum())

    @property
    def surplus(self) -> float:
        """How many more beams are found than expected."""
        return float(len(self.found) - len(self.usual))

    @property
    def off(self) -> float:
        """How far the numbers of beams come apart going up; beams that happen to have no points left out."""
        usual = self.usual[(self.counts > 0) | (self.around >= POINTS_PER_BEAM / 2)]
        steps = np.concatenate([usual, self.found])
        found, expected = (np.searchsorted(beams, steps, "right") for beams in (self.found, usual))
        return float(np.abs(found - expected).max(initial=0))


def _overlap(usual: DoubleArray, beams: Beams, slack_deg: float) -> _Overlap:
    found, points = np.asarray(beams.elevation_deg)[::-1], np.asarray(beams.num_points, np.float64)[::-1]
    slack = 0.75 * float(np.median(np.diff(usual)))
    low, high = max(usual[0], found[0]) - slack, min(usual[-1], found[-1]) + slack
    inside = (found >= low) & (found <= high)
    usual, found, points = usual[(usual >= low) & (usual <= high)], found[inside], points[inside]
    if not len(usual) or not len(found):
        nothing = np.zeros(len(usual))
        return _Overlap(usual, found, nothing, nothing, nothing > 0)
    nearest = np.searchsorted(0.5 * (usual[1:] + usual[:-1]), found)
    counts = np.bincount(nearest, points, minlength=len(usual)).astype(np.float64)
    kernel = np.ones(2 * _NEIGHBOURS + 1)
    kernel[_NEIGHBOURS] = 0.0
    around = np.convolve(np.pad(counts, _NEIGHBOURS), kernel, "valid")
    around /= np.convolve(np.pad(np.ones(len(usual)), _NEIGHBOURS), kernel, "valid").clip(min=1)
    apart = np.abs(usual[:, None] - found).min(axis=1)
    gap = np.diff(usual, prepend=usual[0] - 1e3, append=usual[-1] + 1e3)
    is_empty = (counts == 0) & (apart > 0.5 * np.minimum(gap[1:], gap[:-1]) + slack_deg)
    return _Overlap(usual, found, counts, around, is_empty)


def between_beams(elevation_deg: FloatArray, expects: GeometryExpectations) -> Optional[Finding]:
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
        OTHER_SENSOR,
        basis=BEAMS,
    )


def is_sparse(num_points: int, expects: GeometryExpectations) -> bool:
    """Return whether so few points may hide what tells sensors apart."""
    beams = expects.beam_elevation_deg
    return num_points < (
        _FEWEST_WITHOUT_BEAMS if beams is None else max(FEWEST_FOR_CHECKS, POINTS_PER_BEAM * len(beams))
    )
