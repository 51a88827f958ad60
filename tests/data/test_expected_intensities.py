import json

import numpy as np
import pytest

from hwnas.data.expected_intensities import INTENSITY_PERCENTS, IntensityExpectations, IntensityRecorder
from hwnas.errors import DataError


def around(count: int) -> np.ndarray:
    """Points on a circle, evenly spread, that begins behind the sensor."""
    azimuth = -np.pi + (np.arange(count) + 0.5) * 2 * np.pi / count
    return np.stack([10 * np.cos(azimuth), 10 * np.sin(azimuth), 0 * azimuth], axis=1).astype(np.float32)


def seen(*remissions: np.ndarray, low_high: tuple[float, float] = (0.0, 1.0)) -> IntensityExpectations:
    recorder = IntensityRecorder()
    for remission in remissions:
        recorder.add(around(len(remission)), remission.astype(np.float32))
    return recorder.expectations(low_high)


def test_percentiles_are_the_least_and_the_most_of_scans_in_the_unit_of_the_sensor() -> None:
    even = np.random.default_rng(0).permutation(np.linspace(0.0, 1.0, 101))
    found = seen(even, even / 2, low_high=(100.0, 300.0))
    for percent, pair in zip(INTENSITY_PERCENTS, found.percentiles, strict=True):
        assert pair == pytest.approx((100 + percent, 100 + 2 * percent))
    assert found.least_spread == pytest.approx(80.0)


@pytest.mark.parametrize(("in_quarter", "is_looked_at"), [(511, False), (512, True)])
def test_quarters_of_a_turn_are_scans_of_their_own_if_they_hold_enough(
    in_quarter: int, is_looked_at: bool
) -> None:
    """The quarter ahead is bright: the median of that quarter, but not that of the scan."""
    count = 4 * in_quarter
    azimuth = np.degrees(np.arctan2(*around(count).T[1::-1]))
    found = seen(np.where(np.abs(azimuth) < 45, 0.9, 0.1))
    assert found.percentiles[2] == pytest.approx((0.1, 0.9 if is_looked_at else 0.1))
    assert found.least_spread == pytest.approx(0.0 if is_looked_at else 0.8)


def test_they_are_written_and_read() -> None:
    found = seen(np.random.default_rng(0).random(5000), low_high=(0.0, 255.0))
    assert IntensityExpectations.from_json(json.loads(json.dumps(found.to_json()))) == found


@pytest.mark.parametrize(
    "update",
    [
        {"percentiles": [[0, 1]] * 4},
        {"percentiles": [[0, 1]] * 6},
        {"percentiles": [[0, 1]] * 4 + [[2, 1]]},
        {"percentiles": [[0, 1]] * 4 + [[0, float("nan")]]},
        {"percentiles": [[0, 1]] * 4 + [["0", 1]]},
        {"percentiles": [[0, 1]] * 4 + [[1]]},
        {"percentiles": 5},
        {"least_spread": float("inf")},
        {"least_spread": None},
        {"least_spread": True},
    ],
)
def test_others_are_refused(update: dict[str, object]) -> None:
    with pytest.raises((ValueError, TypeError)):
        IntensityExpectations.from_json({**seen(np.ones(9)).to_json(), **update})


def test_no_scan_says_nothing() -> None:
    with pytest.raises(DataError, match="No scan was given"):
        IntensityRecorder().expectations((0.0, 1.0))
