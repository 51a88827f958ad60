"""What a scan has otherwise than those that a network was trained on, and what to do about it.

Python 3.8 syntax: this module travels to boards.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Tuple

OTHER_SENSOR = "Give scans of that sensor in its own frame, or adapt the network to this one."
OTHER_FRAME = "Give points with x forward, y left, z up, in the frame of the sensor, level to a few degrees."
BEAMS, GROUND, RANGES, ELSE = "beams", "ground", "ranges", "else"
"""What a finding rests on. That beams are missing or other ones, or that the ground or the farthest points
lie elsewhere, is an estimate, which a closer look may not bear out (`hwnas.bundle.runtime.confirmation`)."""
FEWEST_FOR_CHECKS = 64
"""Of fewer points nothing is compared; a scan that has no more is labelled with a warning."""


@dataclass(frozen=True)
class Finding:
    """Something that a scan has otherwise than those of the training.

    Attributes:
        text: what was found and what was expected, a clause without a full stop.
        remedy: what to do, a sentence.
        is_certain: whether the scan must be refused; a warning otherwise.
        basis: what was estimated to find it: `BEAMS`, `GROUND`, `RANGES` or `ELSE`.
    """

    text: str
    remedy: str
    is_certain: bool = True
    basis: str = ELSE


def metres(pair: Tuple[float, float]) -> str:
    """Return a range of lengths in words."""
    return _span(pair, "m")


def degrees(pair: Tuple[float, float]) -> str:
    """Return a range of angles in words."""
    return _span(pair, "degrees")


def _span(pair: Tuple[float, float], unit: str) -> str:
    low, high = (f"{value:.3g}" for value in pair)
    return f"{low} {unit}" if low == high else f"{low} to {high} {unit}"
