"""LiDAR sensors as data files: beam tables, turn, range, noise and mounting."""

from __future__ import annotations

import math
import os
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple, Union

import numpy as np

from hwnas.errors import DataError, did_you_mean
from hwnas.files import is_yaml
from hwnas.text import may_hold_secret, shown
from hwnas.yaml_files.reading import YamlDocument, read_yaml

ROTATING, NON_REPETITIVE = "rotating", "non-repetitive"
CLOCKWISE, COUNTER_CLOCKWISE = "clockwise", "counter-clockwise"
POINT_ORDERS = ("ring", "column", "any")
_DIRECTORY = Path(__file__).parent
_NUMBERS = ("range_min_m", "range_max_m", "range_noise_m", "height_m", "sensitivity", "first_azimuth_deg")
_MAX_PROBLEMS = 20
_SHAPE_NO_IMAGE = {"name", "description", "source", "range_noise_m", "sensitivity", "intensity_levels"}
"""Fields that are for people, or for synthetic scans alone."""
_TEXTS = ("name", "description", "source", "pattern", "rotation", "point_order")
_LISTS = ("elevation_deg", "azimuth_offset_deg", "field_of_view_deg", "intensity_range")


@dataclass(frozen=True)
class Sensor:
    """One sensor.

    Attributes:
        name: what `load_sensor` calls it.
        azimuth_steps: firings per turn; with a pattern that never repeats, points per turn and row.
        range_min_m: nearest distance that is reported.
        range_max_m: farthest distance that is reported.
        height_m: usual mounting height above the road.
        range_noise_m: standard deviation of one distance. This and the next two shape synthetic scans only.
        sensitivity: signal, relative to a white wall facing the sensor at 1 m, that is seen half of the time.
        intensity_levels: number of steps that the remission is quantised to.
        description: make and model, and what was chosen where there is a choice.
        elevation_deg: elevation of every beam above the horizontal, top beam first; empty for a pattern that
            never repeats.
        azimuth_offset_deg: what is added to the azimuth of every beam, in the order of `elevation_deg`;
            positive to the left. Files may give one number for all beams, 0 by default. Beams that fire
            together at different azimuths are called staggered.
        source: where the beam table comes from.
        pattern: `rotating`, with fixed beams, or `non-repetitive`, without rows.
        field_of_view_deg: elevation of the upper and the lower edge of the image; by default half a spacing
            of the beams above the top one and below the bottom one.
        rows: rows of the image of a non-repetitive pattern; by default one for each beam.
        rotation: `clockwise` or `counter-clockwise`, seen from above.
        first_azimuth_deg: where a turn begins: 0 ahead, 90 left.
        point_order: how drivers usually order points: `ring` by ring, `column` by column, or `any`.
        returns: most returns that are reported of one firing: 2 for dual return. Both lie on one beam, so
            that they share a pixel of the image, which the nearer one wins.
        intensity_range: least and largest intensity that the sensor reports.
    """

    name: str
    azimuth_steps: int
    range_min_m: float
    range_max_m: float
    height_m: float
    range_noise_m: float = 0.02
    sensitivity: float = 5e-6
    intensity_levels: int = 256
    description: str = ""
    elevation_deg: Tuple[float, ...] = ()
    azimuth_offset_deg: Tuple[float, ...] = ()
    source: str = ""
    pattern: str = ROTATING
    field_of_view_deg: Tuple[float, ...] = ()
    rows: int = 0
    rotation: str = CLOCKWISE
    first_azimuth_deg: float = 0.0
    point_order: str = "any"
    returns: int = 1
    intensity_range: Tuple[float, ...] = (0.0, 1.0)

    @property
    def beams(self) -> int:
        """Number of beams, which is the height of the range image; of a non-repetitive pattern, its rows."""
        return len(self.elevation_deg) or self.rows

    @property
    def is_rotating(self) -> bool:
        """Whether beams have fixed elevations, so that every point belongs to a row."""
        return self.pattern == ROTATING

    @property
    def edges_deg(self) -> Tuple[float, float]:
        """Elevation of the upper and the lower edge of the image."""
        if self.field_of_view_deg:
            return self.field_of_view_deg[0], self.field_of_view_deg[1]
        table = self.elevation_deg
        upper, lower = (table[0] - table[1]) / 2, (table[-2] - table[-1]) / 2
        return min(table[0] + upper, 90.0), max(table[-1] - lower, -90.0)


_KNOWN = tuple(field.name for field in fields(Sensor))
_MEANINGS = {
    "name": "text",
    "azimuth_steps": "columns of a turn, such as 1800",
    "range_min_m": "nearest distance, metres",
    "range_max_m": "farthest distance, metres",
    "height_m": "usual height above the road, metres",
    "elevation_deg": "a list, degrees, top beam first",
    "field_of_view_deg": "upper and lower edge, degrees",
}


def sensor_names() -> Tuple[str, ...]:
    """Return the names of the sensors that come with hwnas, sorted."""
    return tuple(sorted(path.stem for path in _DIRECTORY.glob("*.yaml")))


def load_sensor(name_or_path: Union[str, Path]) -> Sensor:
    """Return a sensor by its name (see `sensor_names`) or from a YAML file.

    Raises:
        DataError: for an unknown name, an unreadable file or values that no sensor can have.
    """
    path = _DIRECTORY / f"{name_or_path}.yaml"
    if not path.is_file():
        path = Path(name_or_path)
    if not is_yaml(path) or not path.is_file():
        known = ", ".join(sensor_names())
        raise DataError(
            f"expected a sensor ({known}) or a sensor YAML file, found {shown(str(name_or_path))}; "
            "choose one of these"
        )
    document = read_yaml(path, error=DataError)
    if not isinstance(document.value, dict):
        raise DataError(
            f"{path}: expected a mapping of sensor fields; compare with a file of hwnas/data/sensors"
        )
    return _sensor(document)


def find_sensor(name: str, directory: Optional[Path] = None) -> Optional[Sensor]:
    """Return the sensor of a data set: by name, or a YAML file that counts from `directory`; None if unknown.

    Raises:
        DataError: if a file is named that does not describe a sensor.
    """
    if name in sensor_names():
        return load_sensor(name)
    if is_yaml(name):
        return load_sensor((directory or Path()) / os.path.expanduser(name))
    return None


def shaping_fields(sensor: Sensor) -> Dict[str, Any]:
    """Return what shapes images of a sensor's scans and what is expected of them, as plain JSON values."""
    values = {field.name: getattr(sensor, field.name) for field in fields(Sensor)}
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in values.items()
        if name not in _SHAPE_NO_IMAGE
    }


def _sensor(document: YamlDocument) -> Sensor:
    """Build a sensor of a file; everything that is wrong with its fields is said at once."""
    content = document.value
    problems = _problems_of_keys(document)
    values = {}
    for key in content:
        if key in _KNOWN:
            try:
                values[key] = _value(key, content[key])
            except ValueError as error:
                problems.append(f"{document.at((key,))}: {error}")
    if problems:
        raise DataError("\n".join(problems[:_MAX_PROBLEMS]))
    offsets = values.get("azimuth_offset_deg", (0.0,))
    if len(offsets) == 1 and values.get("pattern", ROTATING) == ROTATING:
        values["azimuth_offset_deg"] = offsets * len(values.get("elevation_deg", ()))
    sensor = Sensor(**values)
    problems = _problems(sensor)
    if problems:
        named = next((key for key in content if key in problems[0].split()), None)
        where = document.at(() if named is None else (named,))
        raise DataError(f"{where}: {'; '.join(problems)}; correct the file")
    return sensor


def _problems_of_keys(document: YamlDocument) -> List[str]:
    """Return what is said of unknown keys and of all that is missing."""
    path, content = document.path, document.value
    problems = []
    for key in content:
        if key not in _KNOWN:
            name = "..." if may_hold_secret(key) else key[:80]
            hint = did_you_mean(key, _KNOWN)
            problems.append(f"{document.at((key,))}: unknown key {name!r}.{hint} Valid: {', '.join(_KNOWN)}.")
    needed = [field.name for field in fields(Sensor) if field.default is MISSING]
    needed.append("elevation_deg" if content.get("pattern", ROTATING) == ROTATING else "field_of_view_deg")
    missing = [f"`{name}` ({_MEANINGS[name]})" for name in needed if name not in content]
    if missing:
        problems.append(
            f"{path}: {', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing; give "
            f"{'it a value' if len(missing) == 1 else 'them values'}. See docs/concepts/sensors-and-rows.md."
        )
    return problems


def _value(key: str, value: Any) -> Any:
    """Return the value of a field.

    Raises:
        ValueError: if it has another type.
    """
    if key == "azimuth_offset_deg" and _is_number(value):
        return (float(value),)
    if key in _LISTS:
        what, fits = "a list of numbers", isinstance(value, list) and all(_is_number(item) for item in value)
    elif key in _NUMBERS:
        what, fits = "a number", _is_number(value)
    elif key in _TEXTS:
        what, fits = "text", isinstance(value, str)
    else:
        what, fits = "a whole number", isinstance(value, int) and not isinstance(value, bool)
    if not fits:
        raise ValueError(f"`{key}` must be {what}, found {shown(value)}; correct the file")
    if key in _LISTS:
        return tuple(float(item) for item in value)
    return float(value) if key in _NUMBERS else value


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _problems(sensor: Sensor) -> List[str]:
    checks = {
        "azimuth_steps must be 16..8192": 16 <= sensor.azimuth_steps <= 8192,
        "0 < range_min_m < range_max_m must hold": 0 < sensor.range_min_m < sensor.range_max_m,
        "range_noise_m must lie within 0..1": 0 <= sensor.range_noise_m <= 1,
        "height_m must lie within 0.2..5": 0.2 <= sensor.height_m <= 5,
        "sensitivity must be positive": sensor.sensitivity > 0,
        "intensity_levels must be at least 2": sensor.intensity_levels >= 2,
        f"pattern must be {ROTATING} or {NON_REPETITIVE}": sensor.pattern in (ROTATING, NON_REPETITIVE),
        f"rotation must be {CLOCKWISE} or {COUNTER_CLOCKWISE}": sensor.rotation
        in (CLOCKWISE, COUNTER_CLOCKWISE),
        f"point_order must be one of {', '.join(POINT_ORDERS)}": sensor.point_order in POINT_ORDERS,
        "first_azimuth_deg must lie within -360..360": -360 <= sensor.first_azimuth_deg <= 360,
        "returns must be 1 or 2": sensor.returns in (1, 2),
        "intensity_range needs two numbers, the smaller one first": _rises(sensor.intensity_range),
        "field_of_view_deg needs two elevations, the upper one first, within -90..90": _is_view(sensor),
    }
    checks.update(_table_checks(sensor))
    return [problem for problem, holds in checks.items() if not holds]


def _table_checks(sensor: Sensor) -> Dict[str, bool]:
    table, offsets = sensor.elevation_deg, sensor.azimuth_offset_deg
    if not sensor.is_rotating:
        return {
            "a non-repetitive pattern has no elevation_deg and no azimuth_offset_deg": not table
            and not offsets,
            "a non-repetitive pattern needs field_of_view_deg": bool(sensor.field_of_view_deg),
            "a non-repetitive pattern needs rows, 16..128": 16 <= sensor.rows <= 128,
        }
    return {
        "elevation_deg must hold at least two beams": len(table) >= 2,
        "elevation_deg must fall from the top beam to the bottom one": bool(np.all(np.diff(table) < 0)),
        "elevation_deg must lie within -90..90": all(-90 < value < 90 for value in table),
        "azimuth_offset_deg needs one number, or one for every beam": len(offsets) == len(table),
        "rows follow from the beams of a rotating sensor": sensor.rows == 0,
    }


def _rises(values: Tuple[float, ...]) -> bool:
    return len(values) == 2 and bool(np.isfinite(values).all()) and values[0] < values[1]


def _is_view(sensor: Sensor) -> bool:
    view = sensor.field_of_view_deg
    return not view or (len(view) == 2 and -90 <= view[1] < view[0] <= 90)
