from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwnas.data.datasets.dataset import open_dataset
from hwnas.data.datasets.subsets import Subset, folds_of, spread_choice
from hwnas.errors import ConfigError, DataError
from hwnas.labels import IGNORED_LABEL
from hwnas.scan import Scan
from hwnas.tasks.lidar_settings import parse_settings
from tests.tasks.lidar_data import write_scans


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 5))
def test_scans_are_drawn_from_equal_stretches(size: int, count: int, seed: int) -> None:
    ids = [f"00/{number:06d}" for number in range(size)]
    if count > size:
        with pytest.raises(DataError, match=f"{count} labelled scans are wanted .* which has {size}"):
            spread_choice(ids, count, seed=seed)
        return
    chosen = spread_choice(ids, count, seed=seed)
    assert len(set(chosen)) == count
    assert list(chosen) == sorted(chosen)
    places = [ids.index(name) for name in chosen]
    assert all(place <= (number + 1) * size / count + 0.5 for number, place in enumerate(places))


@given(st.integers(2, 12), st.integers(2, 5))
def test_each_scan_is_held_out_once_and_never_trained_on_then(size: int, count: int) -> None:
    ids = tuple(f"00/{number}" for number in range(size))
    folds = folds_of(ids, count)
    assert len(folds) == min(size, count)
    assert sorted(name for _, held_out in folds for name in held_out.scans or ()) == sorted(ids)
    for train, held_out in folds:
        assert sorted([*(train.scans or ()), *(held_out.scans or ())]) == sorted(ids)


def test_one_scan_is_divided_by_directions(tmp_path: Path) -> None:
    source = open_dataset(write_scans(tmp_path / "data"))
    name = source.split("train").ids[0]
    whole = source.restricted({"train": Subset((name,))}).split("train")
    assert whole.ids == (name,)
    labels = whole[0].labels
    assert labels is not None
    for train, held_out in folds_of([name], 2):
        parts = source.restricted({"train": train, "val": held_out})
        first, second = parts.split("train")[0].labels, parts.split("val")[0].labels
        assert first is not None
        assert second is not None
        has_first, has_second = first != IGNORED_LABEL, second != IGNORED_LABEL
        assert not (has_first & has_second).any()
        np.testing.assert_array_equal(np.where(has_first, first, second), labels)
        assert parts.split("train").fingerprint() != parts.split("val").fingerprint()
        assert parts.split("train").fingerprint() != whole.fingerprint()


def test_nothing_is_trained_on_and_validated_on(tmp_path: Path) -> None:
    source = open_dataset(write_scans(tmp_path / "data"))  # 08 is the validation split
    with pytest.raises(DataError, match="names scans of the sequence '08', which is not in that split"):
        source.restricted({"train": Subset(("08/000000",))})
    with pytest.raises(DataError, match="names scans of the sequence '08'"):
        source.restricted({"train": Subset(("08/000000",)), "val": Subset(None, ((0.0, 90.0),))})
    one = Subset(("00/000000",))
    with pytest.raises(DataError, match="both hold the scan '00/000000', in the same directions"):
        source.restricted({"train": one, "val": one})
    left, ahead = Subset(one.scans, ((0.0, 90.0),)), Subset(one.scans, ((45.0, 50.0),))
    with pytest.raises(DataError, match="in the same directions"):
        source.restricted({"train": left, "val": ahead})
    assert (
        len(source.restricted({"train": left, "val": Subset(one.scans, ((90.0, 180.0),))}).split("val")) == 1
    )


def test_a_sector_that_holds_nothing_is_refused() -> None:
    for sector in ([170.0, -170.0], [30.0, 30.0]):
        with pytest.raises(ConfigError, match="holds nothing; give the smaller azimuth first"):
            parse_settings({"data": "d", "train_subset": {"azimuths_deg": [sector]}})


def test_straight_behind_belongs_to_the_first_sector() -> None:
    points = np.array([[-1, 0, 0], [1, 0, 0]], np.float32)
    scan = Scan(points, np.zeros(2, np.float32), None, np.array([3, 4], np.uint8), "")
    assert Subset(None, ((-180.0, -120.0),)).masked(scan).labels.tolist() == [3, IGNORED_LABEL]


def test_a_scan_that_is_not_there_is_named(tmp_path: Path) -> None:
    source = open_dataset(write_scans(tmp_path / "data"))
    with pytest.raises(DataError, match=r"'val' names the scan '99/000000'.*such as '00/000000'"):
        source.restricted({"train": Subset(("00/000000",)), "val": Subset(("99/000000",))}).split("val")
