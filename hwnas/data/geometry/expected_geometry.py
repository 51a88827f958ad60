"""What the geometry of scans looked like in training, so that scans of other sensors can be told apart.

Python 3.8 syntax, numpy only: this module travels to boards.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np
import numpy.typing as npt

from hwnas.arrays import FloatArray, IntArray
from hwnas.data.geometry import cloud_geometry
from hwnas.data.geometry.cloud_geometry import CloudGeometry, Turn
from hwnas.data.stated_numbers import Pair, least_and_most, stated_number, stated_pair
from hwnas.range_view.angles import range_of

SECTORS_DEG = (60.0, 120.0, 180.0, 240.0)
"""Widths of the sectors of `GeometryExpectations.sector_edges`."""
_WHOLE_TURN = 0.9
_ORDERS = (cloud_geometry.BY_RING, cloud_geometry.BY_COLUMN)
_MAX_BEAMS = 1024
# A plane that few of the near points lie on may be a wall's foot or a hedge.
_LEAST_SUPPORT = 0.2
_MEDIAN, _FAR = (cloud_geometry.RANGE_PERCENTS.index(percent) for percent in (50.0, 99.0))
_DECIMALS = 3


@dataclass(frozen=True)
class GeometryExpectations:
    """The geometry of some training scans; pairs are the least and the most of any scan.

    Attributes:
        beam_elevation_deg: elevation of every beam, top beam first; None where no beams were found, or
            where they do not strictly fall.
        beam_spread_deg: how far the elevations of one beam's points scatter at most, see `beams.Beams`.
        lower_edge_deg: elevation that 0.5 percent of the points stay below.
        upper_edge_deg: elevation that 99.5 percent of the points stay below.
        sector_edges: for each of `SECTORS_DEG`, the highest lower and the lowest upper edge of any sector of
            that width, degrees of elevation; the sensor's own vehicle hides the lowest beams from some.
        azimuth_coverage: share of the turn in which points lie, 0..1.
        median_range_m: median distance of the points.
        far_range_m: distance that 99 percent of the points stay below.
        ground_height_m: of the sensor above the plane of the ground; None where it was not seen.
        ground_tilt_deg: largest angle between that plane and the sensor; None where it was not seen.
        turn: which way round and in which order points follow each other; None where they do not.
        is_left_in_time: whether azimuth grows along the times of the points; None where they do not tell.
        sector_spacing_deg: median distance between neighbouring beams in narrow sectors, see
            `cloud_geometry.SectorPattern`; None where beams show anyhow, or not even in sectors.
        sector_beams: most beams in such a sector; None likewise.
    """

    beam_elevation_deg: Optional[Tuple[float, ...]]
    beam_spread_deg: float
    lower_edge_deg: Pair
    upper_edge_deg: Pair
    sector_edges: Tuple[Pair, ...]
    azimuth_coverage: Pair
    median_range_m: Pair
    far_range_m: Pair
    ground_height_m: Optional[Pair]
    ground_tilt_deg: Optional[float]
    turn: Optional[Turn]
    sector_spacing_deg: Optional[Pair] = None
    sector_beams: Optional[int] = None
    is_left_in_time: Optional[bool] = None

    @property
    def near_m(self) -> float:
        """Distance in metres up to which elevations were left out of the expectations; see `is_far`."""
        return cloud_geometry.NEAR_FACTOR * self.median_range_m[1]

    def to_json(self) -> Dict[str, Any]:
        """Return plain JSON values."""
        content = {
            key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()
        }
        return {**content, "sector_edges": [list(edges) for edges in self.sector_edges]}

    def edges_deg(self, azimuth_coverage: float) -> Tuple[float, float]:
        """Return how far a view of that share of the turn reaches at least, down and up, in degrees."""
        lower, upper = self.lower_edge_deg[1], self.upper_edge_deg[0]
        if azimuth_coverage >= _WHOLE_TURN * self.azimuth_coverage[0]:
            return lower, upper
        fitting = [number for number, width in enumerate(SECTORS_DEG) if width <= 360 * azimuth_coverage]
        sector = self.sector_edges[fitting[-1] if fitting else 0]
        return max(lower, sector[0]), min(upper, sector[1])

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> GeometryExpectations:
        """Rebuild from `to_json`; KeyError, TypeError or ValueError for anything else."""
        beams, height, tilt, turn = (
            value[key] for key in ("beam_elevation_deg", "ground_height_m", "ground_tilt_deg", "turn")
        )
        # Bundles of older versions do not say these.
        spacing, sector_beams = value.get("sector_spacing_deg"), value.get("sector_beams")
        return cls(
            None if beams is None else _beams(beams),
            stated_number(value["beam_spread_deg"]),
            least_and_most(value["lower_edge_deg"]),
            least_and_most(value["upper_edge_deg"]),
            _sectors(value["sector_edges"]),
            least_and_most(value["azimuth_coverage"]),
            least_and_most(value["median_range_m"]),
            least_and_most(value["far_range_m"]),
            None if height is None else least_and_most(height),
            None if tilt is None else stated_number(tilt),
            None if turn is None else _turn(turn),
            None if spacing is None else least_and_most(spacing),
            None if sector_beams is None else _count(sector_beams),
            _answer(value.get("is_left_in_time")),
        )


class GeometryRecorder:
    """Takes in training scans one after the other and says what their geometry has in common."""

    def __init__(self) -> None:
        self._found: List[CloudGeometry] = []
        self._sectors: List[Tuple[Pair, ...]] = []
        self._elevations: List[FloatArray] = []
        self._rings: List[Optional[IntArray]] = []
        self._patterns: List[cloud_geometry.SectorPattern] = []

    def add(
        self,
        points: FloatArray,
        ring: Optional[IntArray],
        time: Optional[npt.NDArray[np.float64]] = None,
    ) -> None:
        """Take in a scan.

        Args:
            points: [N, 3] in metres, N > 0; x forward, y left, z up.
            ring: [N] as given or recovered; None if neither.
            time: [N] when each point was measured; None where that is not known.
        """
        found = cloud_geometry.geometry_of(points, ring, time)
        edges = [cloud_geometry.sector_edges_deg(points, width) for width in SECTORS_DEG]
        sectors = tuple(edge for edge in edges if edge is not None)
        if found.elevation_deg is None or len(sectors) < len(edges):
            return  # too few points to learn anything from
        self._found.append(found)
        self._sectors.append(sectors)
        some = cloud_geometry.sample(len(points))
        some = some[cloud_geometry.is_far(range_of(points[some]))]
        self._elevations.append(cloud_geometry.elevation_of(points[some]))
        self._rings.append(None if ring is None else ring[some])
        pattern = cloud_geometry.sector_pattern(points) if ring is None else None
        self._patterns += [] if pattern is None else [pattern]

    def expectations(self) -> Optional[GeometryExpectations]:
        """Return what the scans have in common; None if no scan held enough points."""
        if not self._found:
            return None
        edges = [found.elevation_deg for found in self._found if found.elevation_deg is not None]
        ranges = [found.range_quantiles for found in self._found if found.range_quantiles is not None]
        grounds = [
            found.ground
            for found in self._found
            if found.ground is not None and found.ground.support >= _LEAST_SUPPORT
        ]
        beams = self._beams()
        patterns = self._patterns if beams is None else []
        return GeometryExpectations(
            beam_elevation_deg=beams,
            beam_spread_deg=_rounded(max((f.beams.spread_deg for f in self._found if f.beams), default=0.0)),
            lower_edge_deg=_least_most([edge[0] for edge in edges]),
            upper_edge_deg=_least_most([edge[-1] for edge in edges]),
            sector_edges=tuple(
                (_rounded(max(low for low, _ in edges)), _rounded(min(high for _, high in edges)))
                for edges in zip(*self._sectors)  # noqa: B905 - Python 3.8
            ),
            azimuth_coverage=_least_most([found.azimuth_coverage for found in self._found]),
            median_range_m=_least_most([range_[_MEDIAN] for range_ in ranges]),
            far_range_m=_least_most([range_[_FAR] for range_ in ranges]),
            ground_height_m=_least_most([ground.height for ground in grounds]) if grounds else None,
            ground_tilt_deg=_rounded(max(ground.tilt_deg for ground in grounds)) if grounds else None,
            turn=self._turn(),
            sector_spacing_deg=_least_most([pattern.spacing_deg for pattern in patterns])
            if patterns
            else None,
            sector_beams=max((pattern.most for pattern in patterns), default=None),
            is_left_in_time=self._is_left_in_time(),
        )

    def _beams(self) -> Optional[Tuple[float, ...]]:
        rings = [ring for ring in self._rings if ring is not None]
        if len(rings) < len(self._rings):
            beams = cloud_geometry.beams_of(np.concatenate(self._elevations))
        else:
            beams = cloud_geometry.beams_of_rings(np.concatenate(self._elevations), np.concatenate(rings))
        if beams is None:
            return None
        elevation_deg = tuple(_rounded(elevation) for elevation in beams.elevation_deg)
        # A constant column is no ring, and rings of one elevation are not beams that scans can be checked by.
        return elevation_deg if _are_beams(elevation_deg) else None

    def _is_left_in_time(self) -> Optional[bool]:
        ways = {found.is_left_in_time for found in self._found}
        return ways.pop() if len(ways) == 1 else None

    def _turn(self) -> Optional[Turn]:
        turns = {found.turn for found in self._found}
        return turns.pop() if len(turns) == 1 else None


def _least_most(values: Sequence[float]) -> Pair:
    return _rounded(min(values)), _rounded(max(values))


def _rounded(value: float) -> float:
    # The last digits differ between versions of numpy and mean nothing.
    return round(float(value), _DECIMALS)


def _count(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{value!r} is no number of beams")
    return value


def _answer(value: Any) -> Optional[bool]:
    if value is not None and not isinstance(value, bool):
        raise ValueError(f"{value!r} is neither true nor false")
    return value


def _sectors(value: Any) -> Tuple[Pair, ...]:
    edges = tuple(stated_pair(pair) for pair in value)
    if len(edges) != len(SECTORS_DEG):
        raise ValueError(f"there must be edges of {len(SECTORS_DEG)} sectors, but there are {len(edges)}")
    return edges


def _beams(value: Any) -> Tuple[float, ...]:
    beams = tuple(stated_number(number) for number in value)
    if not _are_beams(beams):
        raise ValueError("beam_elevation_deg does not fall from the top beam to the bottom one")
    return beams


def _are_beams(elevation_deg: Tuple[float, ...]) -> bool:
    return 2 <= len(elevation_deg) <= _MAX_BEAMS and bool((np.diff(elevation_deg) < 0).all())


def _turn(value: Mapping[str, Any]) -> Turn:
    is_left, order = value["is_left"], value["order"]
    if not isinstance(is_left, bool) or order not in _ORDERS:
        raise ValueError(f"{value!r} is no sense of a turn")
    return Turn(is_left, str(order))
