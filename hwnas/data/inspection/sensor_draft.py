"""Drafts the YAML file of a sensor that hwnas has no table of, from the beams that its scans show."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from hwnas.data.inspection.estimates import GeometryEstimate
from hwnas.data.inspection.findings.finding import ContentFacts
from hwnas.data.sensors import CLOCKWISE, COUNTER_CLOCKWISE
from hwnas.text import counted
from hwnas.yaml_files.writing import dump_yaml

_FEWEST_STEPS, _MOST_STEPS = 16, 8192
_LEAST_GAP_DEG = 0.001
_LOWEST_M, _HIGHEST_M, _USUAL_HEIGHT_M = 0.2, 5.0, 1.8
_USUAL_SENSITIVITY = 2.5e-6


def draft_of_sensor(
    geometry: GeometryEstimate, facts: ContentFacts, intensity_range: tuple[float, float]
) -> str:
    """Return the text of a sensor file.

    Args:
        geometry: the beams, the height and the sense of the turn.
        facts: points of the fullest ring, which is about the number of firings per turn, and the farthest.
        intensity_range: as the data set states it.
    """
    beams = _falling(geometry.beams_deg)
    steps = round(facts.points_per_turn / max(geometry.azimuth_coverage, 0.01))
    height_m = _USUAL_HEIGHT_M if geometry.sensor_height_m is None else geometry.sensor_height_m
    turns = geometry.turns_left
    measured: dict[str, Any] = {
        "elevation_deg": beams,
        "azimuth_steps": int(np.clip(steps, _FEWEST_STEPS, _MOST_STEPS)),
        "height_m": round(float(np.clip(height_m, _LOWEST_M, _HIGHEST_M)), 2),
        "rotation": COUNTER_CLOCKWISE if 2 * sum(turns) > len(turns) else CLOCKWISE,
        "intensity_range": [float(value) for value in intensity_range],
        "range_max_m": float(np.ceil(max(facts.max_range_m * geometry.unit_factor, 10.0))),
    }
    assumed: dict[str, Any] = {
        "azimuth_offset_deg": [0.0] * len(beams),
        "range_min_m": 0.5,
        "range_noise_m": 0.02,
        "sensitivity": _USUAL_SENSITIVITY,
        "intensity_levels": 256,
    }
    lines = [
        "# Drafted by `hwnas data info --suggest`: compare it with the data sheet of the sensor.",
        f"name: sensor-{len(beams)}-beams",
        f"description: drafted from {counted(geometry.num_scans, 'scan')}",
        "source: estimated",
        "# Measured in the scans:",
        *(f"{key}: {dump_yaml(value, on_one_line=True)}" for key, value in measured.items()),
        "# Usual values, not measured; synthetic scans depend on them, training on real scans does not:",
        *(f"{key}: {dump_yaml(value, on_one_line=True)}" for key, value in assumed.items()),
    ]
    return "\n".join(lines) + "\n"


def free_name(directory: Path, stem: str) -> str:
    """Return a name `STEM.yaml`, or with a number, that no file in a directory has."""
    number = 1
    while os.path.lexists(directory / _numbered(stem, number)):
        number += 1
    return _numbered(stem, number)


def _numbered(stem: str, number: int) -> str:
    return f"{stem}.yaml" if number == 1 else f"{stem}-{number}.yaml"


def _falling(beams_deg: tuple[float, ...]) -> list[float]:
    """Return elevations in thousandths of a degree that fall strictly, as a sensor file must list them."""
    falling: list[float] = []
    for beam in beams_deg:
        value = round(beam, 3)
        falling.append(min(value, round(falling[-1] - _LEAST_GAP_DEG, 3)) if falling else value)
    return falling
