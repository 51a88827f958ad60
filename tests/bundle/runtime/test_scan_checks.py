"""Each check of a scan by itself, at its edges; whole scans of other sensors are in `test_scan_refusals`."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from hwnas.bundle.runtime.scan_checks import ScanChecks, check_intensity_range, intensity_problem
from hwnas.data.expectations import ANY_ORDER, RING_BY_RING, ScanExpectations, expectations_of
from hwnas.data.expected_intensities import IntensityExpectations
from hwnas.data.sensors import load_sensor
from hwnas.errors import DataError
from hwnas.range_view.rows import BEAMS
from hwnas.scan import Scan
from tests.data.test_geometry import turn_of

RANGE = (200.0, 1000.0)
"""Of which rounding may add 0.00001 parts to either side: 0.008."""


@pytest.mark.parametrize(
    "values", [[], [200.0, 1000.0], [199.993, 1000.007], [np.float32(199.992), np.float32(1000.008)]]
)
def test_intensities_within_the_range_and_rounding_are_accepted(values: list[float]) -> None:
    assert intensity_problem(np.array(values, np.float32), RANGE, "x") is None
    check_intensity_range(np.array(values, np.float32), RANGE, "x")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([199.99, 500.0], "must lie in 200 to 1000.*sensor 'x'.*they are 199.99 to 500"),
        ([500.0, 1000.01], "must lie in 200 to 1000.*they are 500 to 1000.01"),
        ([0.0, 5000.0], "they are 0 to 5000"),
        ([300.0, np.nan, np.inf], "^2 points that have .* expected 200 to 1000. Set it to 200 where"),
    ],
)
def test_other_intensities_are_refused(values: list[float], message: str) -> None:
    with pytest.raises(DataError, match=message):
        check_intensity_range(np.array(values, np.float32), RANGE, "x")


LOW = 100.0
"""Intensity that is remission 0; 99 of 100 of the training lay below 64 more."""
OLD = ScanExpectations(
    "some-16", "x-forward", (LOW, 355.0), LOW + 64.0, None, ANY_ORDER, (90.0, -90.0), None, (1, 9999), 3
)
"""Of a bundle that says nothing about geometry, so that any points will do."""


def check(
    expects: ScanExpectations | None,
    points: np.ndarray,
    intensity: float | np.ndarray = LOW + 64.0,
    *,
    total: int | None = None,
    method: str = "ring",
    image: Any = None,
    ring: np.ndarray | None = None,
    problems: tuple[str, ...] = (),
) -> tuple[str, ...]:
    intensities = np.broadcast_to(np.float32(intensity), len(points))
    total = len(points) if total is None else total
    return ScanChecks(expects, method).check(total, points, intensities, image, ring, problems)


def some(count: int) -> np.ndarray:
    """Points in no order."""
    return np.random.default_rng(0).normal(0, 10, (count, 3)).astype(np.float32)


def test_without_expectations_or_points_only_problems_are_refused() -> None:
    assert check(None, some(9)) == ()
    assert check(None, some(0)) == ()
    assert check(OLD, some(0)) == ("The scan has no points.",)
    for expects, points in ((None, some(9)), (OLD, some(0))):
        with pytest.raises(DataError, match=r"^one Also: two$"):
            check(expects, points, problems=("one", "two"))


@pytest.mark.parametrize(("usable", "total"), [(0, 1), (0, 100), (1, 51), (1, 100), (19, 1000)])
def test_scans_of_which_hardly_a_point_has_a_position_are_refused(usable: int, total: int) -> None:
    with pytest.raises(DataError, match=f"^Only {usable} of {total} points have a position.*check_scans"):
        check(OLD, some(usable), total=total)


@pytest.mark.parametrize(
    ("usable", "total", "is_warned"),
    [
        (1, 50, False),
        (2, 100, True),
        (9, 100, True),
        (10, 100, False),
        (6, 64, True),
        (6, 63, False),
        (9, 9, False),
    ],
)
def test_scans_with_few_positions_are_warned_of(usable: int, total: int, is_warned: bool) -> None:
    warnings = check(OLD, some(usable), total=total)
    assert (f"Only {usable} of {total} points" in warnings[0]) == is_warned
    assert f"With {usable} points it cannot be known" in warnings[-1]


@pytest.mark.parametrize(
    ("above_low", "count", "is_warned", "is_refused"),
    [
        (64.0, 200, False, False),
        (8.0, 200, False, False),  # an eighth of what is usual
        (7.9, 200, True, False),
        (2.0, 200, True, False),  # a 32nd
        (1.9, 200, False, True),
        (1.9, 64, False, True),
        (1.9, 63, True, False),
        (0.0, 200, False, True),
    ],
)
def test_intensities_far_below_those_of_the_training_are_in_another_unit(
    above_low: float, count: int, is_warned: bool, is_refused: bool
) -> None:
    text = (
        f"99 of 100 intensities are at most {LOW + above_low:g}; .* at most 164.*Convert them to 100 to 355"
    )
    if is_refused:
        with pytest.raises(DataError, match=f"{text}.*check_scans=False"):
            check(OLD, some(count), LOW + above_low)
        return
    warnings = check(OLD, some(count), LOW + above_low)
    assert any("intensities" in warning for warning in warnings) == is_warned
    if is_warned:
        assert re.search(text, " ".join(warnings))


def test_one_bright_point_in_200_does_not_hide_another_unit() -> None:
    intensity = np.full(200, LOW + 1.0)
    intensity[7] = 355.0
    with pytest.raises(DataError, match="at most 101"):
        check(OLD, some(200), intensity)


def test_a_unit_is_not_judged_where_intensities_are_refused_anyhow() -> None:
    with pytest.raises(DataError) as refused:
        check(OLD, some(200), LOW, problems=("Intensities are bad.",))
    assert str(refused.value) == "Intensities are bad."


SCALED = replace(OLD, intensities=IntensityExpectations(((LOW + 20.0, LOW + 64.0),) * 5, 0.0))


@pytest.mark.parametrize(
    ("above_low", "count", "said"),
    [
        (40.0, 256, ""),
        (11.0, 256, "10 of 100 intensities are at most 111"),
        (11.0, 255, ""),
        (7.9, 256, "99 of 100 intensities are at most 107.9"),
    ],
)
def test_another_scale_is_warned_of_from_256_points_on_where_the_unit_is_right(
    above_low: float, count: int, said: str
) -> None:
    warnings = [text for text in check(SCALED, some(count), LOW + above_low) if "intensities" in text]
    assert [text.split(";")[0] for text in warnings] == ([said] if said else [])


NEEDS_RINGS = replace(OLD, point_order=RING_BY_RING)


def image_of(method: str, points: np.ndarray) -> Any:
    return SimpleNamespace(method=method, row=np.zeros(len(points), np.int32))


@pytest.mark.parametrize(
    ("rings", "said"), [(None, "known rings"), ((16, 16), "16 rings"), ((15, 16), "15 to 16 rings")]
)
def test_scans_whose_rings_nothing_tells_are_refused(rings: tuple[int, int] | None, said: str) -> None:
    points, expects = some(64), replace(NEEDS_RINGS, rings=rings)
    with pytest.raises(DataError, match=f"no order that tells, .* trained on {said}"):
        check(expects, points, image=image_of("spherical", points))
    # Where the table of the sensor gives the rows, a warning is enough.
    warnings = check(expects, points, image=image_of(BEAMS, points))
    assert "those of the nearest beams" in warnings[0]


@pytest.mark.parametrize("reason", ["few", "given", "rows", "not needed", "spherical", "refused image"])
def test_rings_are_no_matter_where_they_are_known_or_not_needed(reason: str) -> None:
    points = some(63 if reason == "few" else 64)
    expects = OLD if reason == "not needed" else NEEDS_RINGS
    method = "spherical" if reason == "spherical" else "ring"
    image = None
    if reason != "refused image":
        image = image_of("ring" if reason == "rows" else "spherical", points)
    ring = np.zeros(len(points), np.int32) if reason == "given" else None
    assert "rings" not in " ".join(check(expects, points, method=method, image=image, ring=ring))


def test_rings_that_the_points_themselves_tell_are_known() -> None:
    points, _ = turn_of(load_sensor("vlp-16"))
    expects = replace(NEEDS_RINGS, rings=(16, 16))
    assert "order" not in " ".join(check(expects, points, image=image_of("spherical", points)))


def test_the_order_is_named_before_the_unit_and_both_are_refused_together() -> None:
    points = some(64)
    with pytest.raises(DataError, match=r"no order that tells.* Also: 99 of 100 intensities"):
        check(NEEDS_RINGS, points, LOW, image=image_of("spherical", points))


def test_the_geometry_is_compared_from_64_points_on() -> None:
    """What the bundle does not say about geometry is a sentence of its own, once anything is compared."""
    few, enough = check(OLD, some(63)), check(OLD, some(64))
    assert few == (
        "With 63 points it cannot be known for sure whether they come from such a sensor as 'some-16', which "
        "the network was trained for.",
    )
    assert len(enough) == 1
    assert enough[0].startswith("The bundle was exported before")
    assert enough[0].endswith("may pass. Export it again.")


@cache
def expected() -> ScanExpectations:
    turns = [turn_of(load_sensor("vlp-16"), seed=seed)[0] for seed in range(3)]
    scans = [Scan(points, np.full(len(points), 0.5, np.float32), None, None, "") for points in turns]
    return expectations_of(scans, sensor="vlp-16", frame="x-forward", intensity_range=(0.0, 255.0))


@pytest.mark.parametrize(("count", "is_sparse"), [(191, True), (192, False)])
def test_fewer_than_twelve_points_a_beam_are_not_known_for_sure(count: int, is_sparse: bool) -> None:
    points, ring = turn_of(load_sensor("vlp-16"), seed=4)
    some = np.sort(np.random.default_rng(0).permutation(len(points))[:count])
    warnings = check(expected(), points[some], 127.5, ring=ring[some])
    assert (f"With {count} points it cannot be known" in " ".join(warnings)) == is_sparse


def test_the_stated_height_counts_only_where_no_ground_was_seen() -> None:
    points, ring = turn_of(load_sensor("vlp-16"), seed=4)
    geometry = expected().geometry
    assert geometry is not None
    unseen = replace(expected(), geometry=replace(geometry, ground_height_m=None))
    for expects in (expected(), replace(expected(), sensor_height_m=9.0), unseen):
        assert check(expects, points, 127.5, ring=ring) == ()
    with pytest.raises(DataError, match=r"the ground lies .* expected 9 m.*check_scans=False"):
        check(replace(unseen, sensor_height_m=9.0), points, 127.5, ring=ring)


def test_points_between_the_beams_are_found_where_no_ring_is_known() -> None:
    points, ring = turn_of(load_sensor("vlp-16"), seed=4)
    points = points[ring < 8]  # without the ground
    lifted = np.concatenate([points, points + np.outer(np.hypot(*points[:, :2].T), [0, 0, 0.0175])])
    cloud = np.random.default_rng(0).permutation(lifted).astype(np.float32)
    with pytest.raises(DataError, match="of its points lie between the expected 16 beams"):
        check(expected(), cloud, 127.5, image=image_of(BEAMS, cloud))
