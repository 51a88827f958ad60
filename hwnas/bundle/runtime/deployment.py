"""Reads what a manifest says about the scans that a network is deployed for.

Each function raises KeyError, TypeError, ValueError, OverflowError or AttributeError where the section does
not say it in a way that could be meant. Python 3.8 syntax, no more than numpy: this module travels to boards.
"""

from __future__ import annotations

import math
from typing import Any, Mapping, Tuple

from hwnas.data.scan_files.frames import Coordinates


def coordinates_of(deployment: Mapping[str, Any]) -> Coordinates:
    """Return what the numbers of scan files mean."""
    return Coordinates.from_json(deployment)


def intensity_range_of(deployment: Mapping[str, Any]) -> Tuple[float, float]:
    """Return the intensities that are remission 0 and 1."""
    low, high = (float(value) for value in deployment["intensity_range"])
    if not 0.0 < high - low < math.inf:
        raise ValueError(f"the intensity range is {low} to {high}")
    return low, high


def scan_format_of(deployment: Mapping[str, Any]) -> Tuple[str, Mapping[str, Any]]:
    """Return name and options of the format of the scans that the network was trained on."""
    stated = deployment.get("scan_format", {})
    name, options = stated.get("name", ""), stated.get("options", {})
    if not isinstance(options, dict):
        raise TypeError(f"the options of the scan format are {options!r}")
    return str(name), options
