"""Warns of intensities on another scale than in training: another calibration, a factor, a power, a constant.

What lies in range and has much the same brightest points may still be squared, for example, and a network
then labels it worse without a word. `docs/results/scan_refusals.md` says which scales and weathers the
thresholds tell apart.

Python 3.8 syntax, neither torch nor optuna: this module travels to boards.
"""

from __future__ import annotations

from typing import Optional, Sequence

from hwnas.data.expectations import ScanExpectations
from hwnas.data.expected_intensities import INTENSITY_PERCENTS

# Rain and distance darken scans; little brightens them.
_BRIGHTER, _DARKER = 1.3, 1.65
_NARROWER = 3.0
# Nothing is said of how dark the darkest points are: they are rounded, or zero where nothing was measured.
_DARK_OF_BRIGHT, _DARK_OF_RANGE = 32.0, 1024.0
FEWEST_INTENSITIES = 256


def other_scale(percentiles: Sequence[float], expects: ScanExpectations) -> Optional[str]:
    """Return how the intensities of a scan differ from those of the training; None if they do not.

    Args:
        percentiles: `INTENSITY_PERCENTS` of at least `FEWEST_INTENSITIES` intensities in the sensor's unit.
        expects: what the network was trained on; older bundles say nothing about it, so that nothing is said.
    """
    expected = expects.intensities
    if expected is None:
        return None
    low, high = expects.intensity_range
    dark = max((expected.percentiles[-1][1] - low) / _DARK_OF_BRIGHT, (high - low) / _DARK_OF_RANGE)
    if dark <= 0:
        return None
    trained = f"in the scans of {expects.sensor!r} that the network was trained on"
    remedy = f"Give them as in training, from {low:g} to {high:g}."
    spread = percentiles[-1] - percentiles[0]
    if spread * _NARROWER < expected.least_spread:
        return (
            f"80 of 100 intensities lie within {spread:g} of each other; {trained}, they were at least "
            f"{expected.least_spread:g} apart. They seem to be constant, or on another scale. {remedy}"
        )
    off = []
    for found, (least, most) in zip(percentiles, expected.percentiles):  # noqa: B905 - Python 3.8
        here = max(found - low, dark)
        off.append(max(here / max(most - low, dark) / _BRIGHTER, max(least - low, dark) / here / _DARKER))
    worst = off.index(max(off))
    if off[worst] <= 1.0:
        return None
    found, (least, most) = percentiles[worst], expected.percentiles[worst]
    return (
        f"{INTENSITY_PERCENTS[worst]:g} of 100 intensities are at most {found:g}; {trained}, this limit was "
        f"{least:g} to {most:g}. They seem to be on another scale (another calibration, a factor, a gamma "
        f"curve), or some of them missing. {remedy}"
    )
