"""Rotating LiDAR sensors as data files: beam tables, turn, range, noise and mounting."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, List, Mapping, Tuple, Union

import numpy as np

from hwnas.errors import DataError
from hwnas.yaml_files import read_yaml

_DIRECTORY = Path(__file__).parent
_NUMBERS = ("range_min_m", "range_max_m", "range_noise_m", "height_m", "sensitivity")


@dataclass(frozen=True)
class Sensor:
    """One rotating sensor.

    Attributes:
        name: what `load_sensor` calls it.
        description: make, and where the beam table comes from.
        elevation_deg: elevation of every beam above the horizontal, top beam first.
        azimuth_offset_deg: what is added to every beam's azimuth, in the order of `elevation_deg`.
        azimuth_steps: firings per turn.
        range_min_m: nearest distance that is reported.
        range_max_m: farthest distance that is reported.
        range_noise_m: standard deviation of one distance.
        height_m: usual mounting height above the road.
        sensitivity: signal, relative to a white wall facing the sensor at 1 m, that is seen half of the time.
        intensity_levels: number of steps that the remission is quantised to.
    """

    name: str
    description: str
    elevation_deg: Tuple[float, ...]
    azimuth_offset_deg: Tuple[float, ...]
    azimuth_steps: int
    range_min_m: float
    range_max_m: float
    range_noise_m: float
    height_m: float
    sensitivity: float
    intensity_levels: int

    @property
    def beams(self) -> int:
        """Number of beams, which is the height of the range image."""
        return len(self.elevation_deg)


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
    if path.suffix not in (".yaml", ".yml") or not path.is_file():
        known = ", ".join(sensor_names())
        raise DataError(
            f"expected a sensor ({known}) or a sensor YAML file, found '{name_or_path}'; choose one of these"
        )
    content = read_yaml(path, error=DataError).value
    if not isinstance(content, dict):
        raise DataError(
            f"{path}: expected a mapping of sensor fields; compare with a file of hwnas/data/sensors"
        )
    return _sensor(content, path)


def _sensor(content: Mapping[str, Any], path: Path) -> Sensor:
    fields = set(Sensor.__dataclass_fields__)
    if set(content) != fields:
        wrong = ", ".join(sorted(set(content) ^ fields))
        raise DataError(
            f"{path}: missing or unknown fields: {wrong}; expected exactly {', '.join(sorted(fields))}"
        )
    try:
        sensor = Sensor(
            name=str(content["name"]),
            description=str(content["description"]),
            elevation_deg=tuple(float(value) for value in content["elevation_deg"]),
            azimuth_offset_deg=tuple(float(value) for value in content["azimuth_offset_deg"]),
            azimuth_steps=int(content["azimuth_steps"]),
            intensity_levels=int(content["intensity_levels"]),
            **{key: float(content[key]) for key in _NUMBERS},
        )
    except (TypeError, ValueError) as error:
        raise DataError(
            f"{path}: expected numbers and lists of numbers, found {error}; correct the file"
        ) from error
    problems = _problems(sensor)
    if problems:
        raise DataError(f"{path}: {'; '.join(problems)}; correct the file")
    return sensor


def _problems(sensor: Sensor) -> List[str]:
    elevation = sensor.elevation_deg
    checks = {
        "elevation_deg must hold at least two beams": len(elevation) >= 2,
        "elevation_deg must fall from the top beam to the bottom one": bool(np.all(np.diff(elevation) < 0)),
        "elevation_deg must lie within -90..90": all(-90 < value < 90 for value in elevation),
        "azimuth_offset_deg needs one value for every beam": len(sensor.azimuth_offset_deg) == len(elevation),
        "azimuth_steps must be 16..8192": 16 <= sensor.azimuth_steps <= 8192,
        "0 < range_min_m < range_max_m must hold": 0 < sensor.range_min_m < sensor.range_max_m,
        "range_noise_m must lie within 0..1": 0 <= sensor.range_noise_m <= 1,
        "height_m must lie within 0.2..5": 0.2 <= sensor.height_m <= 5,
        "sensitivity must be positive": sensor.sensitivity > 0,
        "intensity_levels must be at least 2": sensor.intensity_levels >= 2,
    }
    return [problem for problem, holds in checks.items() if not holds]
