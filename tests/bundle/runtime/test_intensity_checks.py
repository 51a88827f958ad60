"""When intensities count as being on another scale; whole scans are in `test_scan_refusals`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwnas.bundle.runtime.intensity_checks import other_scale
from hwnas.data.expectations import ANY_ORDER, ScanExpectations
from hwnas.data.expected_intensities import IntensityExpectations

LOW = 100.0
USUAL = (10.0, 20.0, 30.0, 40.0, 48.0)
"""Percentiles above `LOW`, of which the training saw half and twice as much."""


def expects_of(low: float = LOW, unit: float = 1.0, least_spread: float = 30.0) -> ScanExpectations:
    return ScanExpectations(
        "some-16",
        "x-forward",
        (low, low + 255.0 * unit),
        low + 128.0 * unit,
        None,
        ANY_ORDER,
        (90.0, -90.0),
        None,
        (1, 9999),
        3,
        None,
        IntensityExpectations(
            tuple((low + unit * value / 2, low + unit * value * 2) for value in USUAL), least_spread * unit
        ),
    )


def say(*above_low: float, least_spread: float = 30.0) -> str:
    expects = expects_of(least_spread=least_spread)
    return other_scale([LOW + value for value in above_low], expects) or ""


def test_bundles_that_say_nothing_of_it_warn_of_nothing() -> None:
    assert other_scale([LOW] * 5, replace(expects_of(), intensities=None)) is None


@pytest.mark.parametrize("number", range(5))
@pytest.mark.parametrize(
    ("factor", "is_warned"),
    [
        (1.0, False),
        (2.0 * 1.29, False),
        (2.0 * 1.31, True),
        (0.5 / 1.64, False),
        (0.5 / 1.66, True),
    ],
)
def test_each_percentile_may_leave_the_range_by_a_factor(number: int, factor: float, is_warned: bool) -> None:
    found = [*USUAL]
    found[number] *= factor
    text = say(*found, least_spread=0.0)
    assert bool(text) == is_warned
    if is_warned:
        percent = (10, 25, 50, 75, 90)[number]
        assert text.startswith(
            f"{percent} of 100 intensities are at most {LOW + found[number]:g}; in the scans of 'some-16' that "
            f"the network was trained on, this limit was {LOW + USUAL[number] / 2:g} to "
            f"{LOW + USUAL[number] * 2:g}. They seem to be on another scale"
        )
        assert text.endswith("Give them as in training, from 100 to 355.")


def test_the_factor_itself_is_no_other_scale() -> None:
    assert say(26.0, *USUAL[1:]) == ""
    assert say(26.01, *USUAL[1:]).startswith("10 of 100")


def test_the_percentile_that_is_most_off_is_named() -> None:
    assert say(40.0, 60.0, 120.0, 200.0, 200.0).startswith("75 of 100")
    assert say(30.0, 60.0, 90.0, 120.0, 144.0).startswith("10 of 100")  # the first of those that are alike


@pytest.mark.parametrize(("spread", "is_warned"), [(10.1, False), (9.9, True), (0.0, True)])
def test_constant_intensities_are_named_as_such(spread: float, is_warned: bool) -> None:
    text = say(20.0, 20.0, 20.0 + spread / 4, 20.0 + spread / 2, 20.0 + spread)
    assert ("seem to be constant" in text) == is_warned
    if is_warned:
        assert text.startswith(
            f"80 of 100 intensities lie within {spread:g} of each other; in the scans of 'so"
        )
        assert "they were at least 30 apart" in text


def test_nothing_is_said_of_how_dark_the_darkest_are() -> None:
    """Below a 32nd of the brightest percentile of the training, here 3, all are alike."""
    narrow = IntensityExpectations(((LOW + 2.0, LOW + 2.0), *expects_of().intensities.percentiles[1:]), 0.0)  # type: ignore[union-attr]
    expects = replace(expects_of(), intensities=narrow)
    for darkest in (0.0, 1.0, 3.0 * 1.299):
        assert other_scale([LOW + darkest, *(LOW + value for value in USUAL[1:])], expects) is None
    assert other_scale([LOW + 3.0 * 1.301, *(LOW + value for value in USUAL[1:])], expects) is not None


def test_a_network_trained_without_intensities_is_warned_of_them() -> None:
    none = replace(expects_of(), intensities=IntensityExpectations(((LOW, LOW),) * 5, 0.0))
    assert other_scale([LOW] * 5, none) is None
    # Darker than a 1024th of the range is as dark as nothing.
    assert other_scale([LOW + 1.3 * 255 / 1024.1] * 5, none) is None
    assert other_scale([LOW + 1.3 * 255 / 1023.9] * 5, none) is not None
    assert "10 of 100 intensities are at most 110" in str(
        other_scale([LOW + value for value in (10.0,) * 5], none)
    )


def test_a_range_without_extent_says_nothing() -> None:
    empty = IntensityExpectations(((LOW, LOW),) * 5, 0.0)
    expects = replace(expects_of(), intensity_range=(LOW, LOW), intensities=empty)
    assert other_scale([LOW, LOW, LOW, LOW, LOW + 9], expects) is None


PERCENTILES = st.lists(st.floats(0, 255, width=32), min_size=5, max_size=5).map(sorted)


@given(PERCENTILES)
def test_the_unit_and_where_it_begins_do_not_matter(found: list[float]) -> None:
    for low, unit in ((0.0, 1.0), (0.0, 2.0**-8), (-64.0, 2.0**8)):
        text = other_scale([low + unit * value for value in found], expects_of(low, unit))
        assert (text is None) == (other_scale(found, expects_of(0.0)) is None)


@given(st.lists(st.floats(0, 1), min_size=5, max_size=5))
def test_what_the_training_showed_is_never_warned_of(shares: list[float]) -> None:
    expects = expects_of(least_spread=0.0)
    assert expects.intensities is not None
    edges = np.array(expects.intensities.percentiles)
    found = np.minimum(edges[:, 0] + np.array(shares) * (edges[:, 1] - edges[:, 0]), edges[:, 1])
    assert other_scale(found.tolist(), expects) is None
