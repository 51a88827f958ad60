"""Intensities become remission, and back; training and bundles do it alike."""

from __future__ import annotations

import numpy as np
import pytest

from hwnas.data.scan_files.intensity import are_within, intensity_of, remission_of

RANGE = (200.0, 1000.0)


def test_ends_of_the_range_are_0_and_1_and_rounding_is_cut_off() -> None:
    found = remission_of(np.array([199.993, 200, 400, 1000, 1000.007], np.float32), RANGE)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, [0.0, 0.0, 0.25, 1.0, 1.0])


def test_remission_stays_what_it_is() -> None:
    values = np.random.default_rng(0).random(100).astype(np.float32)
    np.testing.assert_array_equal(remission_of(values, (0.0, 1.0)), values)


@pytest.mark.parametrize("low_high", [(0.0, 1.0), (0.0, 255.0), (-5.0, 5.0), RANGE])
def test_intensities_come_back(low_high: tuple[float, float]) -> None:
    remission = np.linspace(0, 1, 11, dtype=np.float32)
    intensity = intensity_of(remission, low_high)
    assert intensity.dtype == np.float32
    assert (intensity[0], intensity[-1]) == low_high
    assert are_within(intensity, low_high)
    np.testing.assert_allclose(remission_of(intensity, low_high), remission, atol=1e-6)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], True),
        ([199.993, 1000.007], True),
        ([199.98], False),
        ([1000.02], False),
        ([500.0, np.nan], False),
    ],
)
def test_rounding_counts_as_within(values: list[float], expected: bool) -> None:
    assert are_within(np.array(values, np.float32), RANGE) is expected
