from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwnas.data.mixing import mix_scans, swap_bands, swap_sector
from hwnas.scan import Scan


def _scan(seed: int, name: str, *, has_rings: bool = True, has_labels: bool = True) -> Scan:
    rng = np.random.default_rng(seed)
    return Scan(
        points=rng.normal(0, 10, (500, 3)).astype(np.float32),
        remission=np.full(500, seed / 10, np.float32),
        ring=np.sort(rng.integers(0, 16, 500)).astype(np.int32) if has_rings else None,
        labels=np.full(500, seed, np.uint8) if has_labels else None,
        id=name,
    )


FIRST, SECOND = _scan(1, "a"), _scan(2, "b")


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_every_point_is_of_one_of_the_scans_with_all_it_has(seed: int) -> None:
    mixed = mix_scans(FIRST, SECOND, np.random.default_rng(seed))
    known = {
        (point.tobytes(), remission, ring, label)
        for scan in (FIRST, SECOND)
        for point, remission, ring, label in zip(
            scan.points,
            scan.remission.tolist(),
            scan.ring.tolist(),
            scan.labels.tolist(),
            strict=True,
        )
    }
    found = zip(
        mixed.points, mixed.remission.tolist(), mixed.ring.tolist(), mixed.labels.tolist(), strict=True
    )
    assert all((point.tobytes(), *rest) in known for point, *rest in found)
    assert set(mixed.labels.tolist()) == {1, 2}
    assert mixed.id == "a"


@settings(deadline=None)
@given(st.floats(-10, 10), st.floats(0, 2 * np.pi))
def test_a_sector_and_its_rest_are_whole(start_rad: float, angle_rad: float) -> None:
    """What is taken out of one scan is exactly what the other way round keeps."""
    there = swap_sector(FIRST, SECOND, start_rad, angle_rad)
    back = swap_sector(SECOND, FIRST, start_rad, angle_rad)
    assert len(there) + len(back) == len(FIRST) + len(SECOND)


def test_a_sector_holds_only_the_second_scan() -> None:
    mixed = swap_sector(FIRST, SECOND, 0.0, np.pi / 2)
    inside = (mixed.points[:, 0] > 0) & (mixed.points[:, 1] > 0)
    assert (mixed.labels[inside] == 2).all()
    assert (mixed.labels[~inside] == 1).all()


def test_bands_alternate() -> None:
    mixed = swap_bands(FIRST, SECOND, 4)
    assert mixed.ring is not None
    assert mixed.labels is not None
    expected = np.where(mixed.ring // 4 % 2 == 0, 1, 2)
    np.testing.assert_array_equal(mixed.labels, expected)


def test_scans_without_rings_are_mixed_by_sector() -> None:
    first, second = replace(FIRST, ring=None), replace(SECOND, ring=None)
    for seed in range(10):
        mixed = mix_scans(first, second, np.random.default_rng(seed))
        assert mixed.ring is None
        assert set(mixed.labels.tolist()) == {1, 2}
    with pytest.raises(ValueError, match="rings"):
        swap_bands(first, second, 2)


@pytest.mark.parametrize("other", [replace(SECOND, ring=None), replace(SECOND, labels=None)])
def test_scans_that_do_not_fit_are_not_mixed(other: Scan) -> None:
    assert mix_scans(FIRST, other, np.random.default_rng(0)) is FIRST


def test_same_seed_same_scan() -> None:
    one, two = (mix_scans(FIRST, SECOND, np.random.default_rng(7)) for _ in range(2))
    np.testing.assert_array_equal(one.points, two.points)
