"""Sensors that are not the stated one are found, and get a table where there is none."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from hwnas.data import sensors
from hwnas.data.datasets.dataset import find_config, open_dataset
from hwnas.data.inspection.dataset_report import DatasetReport
from hwnas.data.inspection.findings.finding import ERROR
from hwnas.data.inspection.inspection import Inspection
from hwnas.data.inspection.sensor_match import SensorMatch, match_sensors
from hwnas.data.sensors import Sensor, load_sensor
from hwnas.errors import DataError
from tests.data.findings.inspected import inspect, severe, suggest
from tests.data.scenes import write_scenes


def test_a_wrong_sensor_name_is_found_and_mended(tmp_path: Path) -> None:
    path = write_scenes(tmp_path, "vlp-32c", config={"sensor": "hdl-64e"})
    found = inspect(path)
    assert severe(found) == {"sensor"}
    (path / "dataset.yaml").write_text(suggest(path, found))
    assert open_dataset(path).sensor == "vlp-32c"
    assert severe(inspect(path)) == set()


def odd_sensor(root: Path, beams: int = 40) -> Sensor:
    """Return a sensor like none that comes with hwnas, whose beams thin out downwards."""
    table = yaml.safe_load((Path(sensors.__file__).parent / "vlp-16.yaml").read_text())
    near, far = np.linspace(8.0, -6.0, beams - 9), np.linspace(-7.0, -22.0, 9)
    table["elevation_deg"] = [round(float(value), 3) for value in (*near, *far)]
    table["azimuth_offset_deg"] = [0.0] * beams
    path = root / "odd.yaml"
    path.write_text(yaml.safe_dump(table))
    return load_sensor(path)


@pytest.mark.parametrize("named", ["vlp-32c", "hdl-64e", None])
def test_a_sensor_without_a_table_gets_a_draft_of_one(named: str | None, tmp_path: Path) -> None:
    sensor = odd_sensor(tmp_path)
    path = write_scenes(tmp_path / "scans", str(tmp_path / "odd.yaml"), config={"sensor": named or "hdl-64e"})
    if named is None:
        (path / "dataset.yaml").write_text("{}")
    found = inspect(path)
    (finding,) = [finding for finding in found.findings if finding.kind == "sensor"]
    assert finding.severity == ERROR
    assert ("No sensor is named; hdl-64e is assumed" in finding.message) == (named is None)
    assert "no table fits" in finding.message
    ((name, text),) = finding.files.items()
    assert finding.settings == {"sensor": name}
    assert not any(match["fits"] for match in sensor_matches(path, found))
    (path / name).write_text(text)
    (path / "dataset.yaml").write_text(suggest(path, found))
    drafted = load_sensor(path / name)
    np.testing.assert_allclose(drafted.elevation_deg, sensor.elevation_deg, atol=0.05)
    assert drafted.azimuth_steps == pytest.approx(400, rel=0.1)
    again = inspect(path)
    assert severe(again) == set()
    assert again.image is not None
    assert again.image.spec.height == 40


def test_an_unknown_sensor_is_no_finding(tmp_path: Path) -> None:
    odd_sensor(tmp_path)
    for name in (None, "unknown"):
        path = write_scenes(tmp_path / str(name), str(tmp_path / "odd.yaml"), config={"sensor": name})
        assert open_dataset(path).sensor == "unknown"
        assert severe(inspect(path)) == set()


@settings(max_examples=40, deadline=None)
@given(st.sampled_from([name for name in sensors.sensor_names() if load_sensor(name).is_rotating]), st.data())
def test_a_table_matches_both_ways_or_not_at_all(name: str, data: st.DataObject) -> None:
    beams = sorted(load_sensor(name).elevation_deg, reverse=True)

    def own(found: Sequence[float]) -> SensorMatch:
        matches = match_sensors(found, np.zeros(0, np.float32), are_given=True)
        return next(match for match in matches if match.sensor == name)

    assert own(beams).fits
    extra = data.draw(st.integers(max(2, len(beams) // 4), len(beams)))
    between = np.linspace(beams[-1], beams[0], extra + 2)[1:-1]
    more = own(sorted([*beams, *(float(value) for value in between)], reverse=True))
    assert more.is_contradicted
    assert not more.fits
    assert own(beams[: len(beams) // 4]).score < 0.75


def write_table(path: Path, sensor: str, raised_deg: float = 0.0) -> None:
    table = yaml.safe_load((Path(sensors.__file__).parent / f"{sensor}.yaml").read_text())
    table["elevation_deg"] = [round(value + raised_deg, 3) for value in load_sensor(sensor).elevation_deg]
    path.write_text(yaml.safe_dump(table))


def test_the_beams_of_a_sensor_file_are_compared(tmp_path: Path) -> None:
    path = write_scenes(tmp_path, "pandar64", sequences=1, config={"sensor": "ours.yaml"})
    write_table(path / "ours.yaml", "pandar64")
    found = inspect(path)
    assert [finding for finding in found.findings if finding.kind == "sensor"] == []
    assert yaml.safe_load(suggest(path, found))["sensor"] == "ours.yaml"
    assert found.image is not None
    assert found.image.spec.height == 64
    assert found.image.spec.fov_deg == load_sensor("pandar64").edges_deg
    assert "ours.yaml" in [match["sensor"] for match in sensor_matches(path, found)]
    write_table(path / "ours.yaml", "vlp-16", raised_deg=25.0)
    found = inspect(path)
    (finding,) = [finding for finding in found.findings if finding.kind == "sensor"]
    assert finding.severity == ERROR
    assert finding.settings == {"sensor": "pandar64"}


def sensor_matches(path: Path, found: Inspection) -> Any:
    return DatasetReport.of(open_dataset(path), found, find_config(path)[1]).to_json()["geometry"][
        "sensor_matches"
    ]


def test_a_sensor_file_that_is_wrong_is_refused(tmp_path: Path) -> None:
    path = write_scenes(tmp_path, "vlp-16", steps=40, config={"sensor": "ours.yaml"})
    with pytest.raises(DataError, match=r"dataset\.yaml:1: `sensor` is 'ours\.yaml': there is no such file"):
        open_dataset(path)
    (path / "ours.yaml").write_text("beams: 64\n")
    with pytest.raises(DataError, match=r"dataset\.yaml:1.*ours\.yaml:1: unknown key 'beams'"):
        open_dataset(path)
    write_table(path / "ours.yaml", "vlp-16")
    table = yaml.safe_load((path / "ours.yaml").read_text())
    for key, value, said in (
        ("height_m", "tall", "`height_m` must be a number"),
        ("returns", 7, "returns must be 1 or 2"),
    ):
        text = yaml.safe_dump({**table, key: value})
        (path / "ours.yaml").write_text(text)
        line = 1 + [line.split(":")[0] for line in text.splitlines()].index(key)
        with pytest.raises(DataError, match=rf"ours\.yaml:{line}: {said}"):
            open_dataset(path)
