"""How points become a range image: its size, and what gives points their rows.

Two methods:

* `ring`: the row of a point is the row of the sensor that measured it. It keeps more points than
  any formula, because real beams are not equally spaced. Where files do not say the ring, it is
  recovered from the points (`recover_rings`); where that is impossible, the row is that of the
  nearest beam of the sensor's table. See `hwnas.range_view.rows`.
* `spherical`: the row follows from the elevation angle (Milioto et al., RangeNet++, IROS 2019,
  section III-B). For sensors without fixed beams.

Python 3.8 syntax, numpy only: this module travels to boards.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Dict, Mapping, Optional, Tuple

import numpy as np

from hwnas.errors import DataError

METHODS = ("ring", "spherical")
MIN_HEIGHT, MAX_HEIGHT = 16, 128
MIN_WIDTH, MAX_WIDTH = 256, 2048


@dataclass(frozen=True)
class ProjectionSpec:
    """How points become an image.

    Attributes:
        height: rows, 16..128; with the method `ring`, at least the number of rings of the sensor.
        width: columns, 256..2048; one turn.
        method: `ring` or `spherical`.
        fov_up_deg: elevation of the upper edge of the image, see `beams_deg`.
        fov_down_deg: elevation of the lower edge of the image; both are needed by `spherical`.
        beams_deg: elevation of the beam of each row, from the top; at most `height`. With `ring`, scans
            whose rings are neither given nor recoverable take rows from these, or without them from the
            field of view. Where none of these is known such scans are refused.

    Raises:
        DataError: if a value is outside its range.
    """

    height: int
    width: int
    method: str = "ring"
    fov_up_deg: Optional[float] = None
    fov_down_deg: Optional[float] = None
    beams_deg: Optional[Tuple[float, ...]] = None

    def __post_init__(self) -> None:
        if type(self.height) is not int or type(self.width) is not int:
            raise DataError(
                f"Expected whole numbers of rows and columns, found {self.height!r}, {self.width!r}."
            )
        if not MIN_HEIGHT <= self.height <= MAX_HEIGHT:
            raise DataError(f"The image height is {self.height}; expected {MIN_HEIGHT} to {MAX_HEIGHT} rows.")
        if not MIN_WIDTH <= self.width <= MAX_WIDTH:
            raise DataError(f"The image width is {self.width}; expected {MIN_WIDTH} to {MAX_WIDTH} columns.")
        if self.method not in METHODS:
            raise DataError(f"The projection method is {self.method!r}; expected one of {list(METHODS)}.")
        _check_view(self.fov_up_deg, self.fov_down_deg, is_needed=self.method == "spherical")
        if self.beams_deg is not None:
            _check_beams(self.beams_deg, self.height)

    @property
    def fov_deg(self) -> Tuple[float, float]:
        """Elevation of the upper and the lower edge; NaN where they are not known."""
        if self.fov_up_deg is None or self.fov_down_deg is None:
            return np.nan, np.nan
        return self.fov_up_deg, self.fov_down_deg

    def to_json(self) -> Dict[str, Any]:
        """Return plain JSON values."""
        value = asdict(self)
        return {**value, "beams_deg": None if self.beams_deg is None else list(self.beams_deg)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> ProjectionSpec:
        """Rebuild from `to_json`; TypeError for other keys."""
        beams = value.get("beams_deg")
        return cls(**{**value, "beams_deg": None if beams is None else tuple(float(beam) for beam in beams)})


def _check_view(up: Optional[float], down: Optional[float], *, is_needed: bool) -> None:
    if up is None and down is None and not is_needed:
        return
    if up is None or down is None:
        raise DataError(
            "The vertical field of view is not known: state both fov_up_deg and fov_down_deg, the elevations "
            "of the upper and the lower edge of the image, or name a sensor that hwnas has a table of."
        )
    if not -90.0 <= down < up <= 90.0:
        raise DataError(
            f"The vertical field of view is {down} to {up} degrees; "
            "expected -90 <= fov_down_deg < fov_up_deg <= 90."
        )


def _check_beams(beams_deg: Tuple[float, ...], height: int) -> None:
    within = bool(beams_deg) and beams_deg[-1] >= -90.0 and beams_deg[0] <= 90.0
    if not within or not np.all(np.diff(beams_deg) < 0) or not 2 <= len(beams_deg) <= height:
        raise DataError(
            f"Expected 2 to {height} beams with elevations that fall within 90 to -90 degrees, found "
            f"{list(beams_deg)}."
        )
