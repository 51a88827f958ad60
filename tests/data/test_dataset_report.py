"""A data set is inspected, and a synthetic one is made, in one call each."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

import hwnas
from hwnas.errors import ConfigError, DataError
from hwnas.progress import CountStatus
from tests.data.clouds import write_dataset
from tests.data.scenes import write_scenes


def test_a_report_states_what_is_in_a_data_set(tmp_path: Path) -> None:
    reported: list[CountStatus] = []
    report = hwnas.inspect_dataset(write_dataset(tmp_path), progress=reported.append)
    assert reported == [CountStatus(number, 6) for number in range(1, 7)]
    assert (report.scans, report.points, report.problems) == (6, 6 * 960, ())
    assert report.splits == {"train": ("00", "01"), "val": ("08",)}
    assert {count.name: count.points for count in report.classes}["car"] == 2880
    assert report.rings.scans_by_number_of_rings == {16: 6}
    assert report.is_usable
    assert report.picture().startswith(b"\x89PNG")
    assert report.to_json()["scans"] == 6


def test_a_report_suggests_what_mends_a_data_set(tmp_path: Path) -> None:
    path = write_scenes(tmp_path / "scans", "vlp-16", transform=lambda points, _: points * 1000)
    report = hwnas.inspect_dataset(path, width=256)
    assert not report.is_usable
    assert report.geometry is not None
    assert report.corrected_coordinates is not None
    assert report.corrected_coordinates.unit_m == pytest.approx(0.001)
    assert report.sensor_matches[0].sensor == "vlp-16"
    suggestion = report.suggestion()
    assert yaml.safe_load(suggestion.text)["unit_m"] == 0.001
    with pytest.raises(ConfigError, match="must lie in"):
        suggestion.write(tmp_path / "elsewhere.yaml")
    assert suggestion.write(path / "mended.yaml") == ()
    with pytest.raises(ConfigError, match="exists already"):
        suggestion.write(path / "mended.yaml")
    assert hwnas.inspect_dataset(path / "mended.yaml", width=256).is_usable


def test_a_synthetic_data_set_is_usable(tmp_path: Path) -> None:
    reported: list[CountStatus] = []
    path = hwnas.synthesize_dataset(tmp_path / "new", scans=2, sensor="vlp-16", progress=reported.append)
    assert reported[-1] == CountStatus(2, 2)
    assert hwnas.inspect_dataset(path, width=256).scans == 2
    with pytest.raises(DataError, match="not a data set"):
        hwnas.inspect_dataset(tmp_path)
