"""How the intensities of training scans are distributed, to tell another scale from another place.

Python 3.8 syntax, numpy only: this module travels to boards.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Tuple

import numpy as np

from hwnas.arrays import FloatArray
from hwnas.data.geometry.cloud_geometry import azimuth_of, quantiles
from hwnas.data.stated_numbers import Pair, least_and_most, stated_number
from hwnas.errors import DataError

INTENSITY_PERCENTS = (10.0, 25.0, 50.0, 75.0, 90.0)
"""Of `IntensityExpectations.percentiles`."""
# Quarters of a turn, each overlapping the next by half: what is on one side differs more than whole scans do,
# so that a few scans of one place show how far other places and parts of a turn may differ.
_VIEW_DEG, _VIEW_STRIDE_DEG, _FEWEST_IN_VIEW = 90, 45, 512


@dataclass(frozen=True)
class IntensityExpectations:
    """Intensities of some training scans, as wholes and by quarters of a turn, in the sensor's own unit.

    Attributes:
        percentiles: for each of `INTENSITY_PERCENTS`, the least and the most of any scan or quarter.
        least_spread: least difference between the last and the first percentile of any scan or quarter.
    """

    percentiles: Tuple[Pair, ...]
    least_spread: float

    def to_json(self) -> Dict[str, Any]:
        """Return plain JSON values."""
        return {"percentiles": [list(pair) for pair in self.percentiles], "least_spread": self.least_spread}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> IntensityExpectations:
        """Rebuild from `to_json`; KeyError, TypeError or ValueError for anything else."""
        pairs = value["percentiles"]
        if len(pairs) != len(INTENSITY_PERCENTS):
            raise ValueError(
                f"there must be {len(INTENSITY_PERCENTS)} percentiles, but there are {len(pairs)}"
            )
        percentiles = tuple(least_and_most(pair) for pair in pairs)
        return cls(percentiles, stated_number(value["least_spread"]))


class IntensityRecorder:
    """Collects what scans look like, one after the other."""

    def __init__(self) -> None:
        """Begin with none."""
        self._seen: List[Tuple[float, ...]] = []

    def add(self, points: FloatArray, remission: FloatArray) -> None:
        """Look at a scan: points [N, 3], N > 0, in our axes, and remission [N] in 0..1."""
        azimuth = azimuth_of(points)
        self._seen.append(quantiles(remission, INTENSITY_PERCENTS))
        for start in range(-180, 180, _VIEW_STRIDE_DEG):
            inside = remission[(azimuth - np.float32(start)) % np.float32(360) < _VIEW_DEG]
            if len(inside) >= _FEWEST_IN_VIEW:
                self._seen.append(quantiles(inside, INTENSITY_PERCENTS))

    def expectations(self, low_high: Pair) -> IntensityExpectations:
        """Return what was seen, in the unit of which `low_high` are remission 0 and 1.

        Raises:
            DataError: if no scan was added.
        """
        if not self._seen:
            raise DataError("No scan was given, so what intensities a network expects is unknown.")
        low, span = low_high[0], low_high[1] - low_high[0]
        seen = np.array(self._seen)
        least, most = (low + span * edge(seen, axis=0) for edge in (np.min, np.max))
        return IntensityExpectations(
            tuple((_rounded(least[k]), _rounded(most[k])) for k in range(len(INTENSITY_PERCENTS))),
            _rounded(span * np.min(seen[:, -1] - seen[:, 0])),
        )


def _rounded(value: float) -> float:
    """Return four digits: further ones differ between versions of numpy and mean nothing."""
    return float(f"{value:.4g}")
