"""Members that are drawn: once, whole, and never mistaken for others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from hwnas.data.datasets.dataset import open_dataset
from hwnas.errors import ConfigError
from hwnas.progress import CountStatus
from hwnas.tasks.families.family import FamilyMember, TaskFamily
from hwnas.tasks.families.synthetic_members import SyntheticScans


@pytest.mark.slow(seconds=15)
def test_scans_are_drawn_once_and_as_they_are_stated(tmp_path: Path) -> None:
    scans = SyntheticScans(tmp_path / "scans" / "one", 4, 0, "vlp-16", "rural", 2.4, 0.02)
    family = TaskFamily("f", (FamilyMember(scans.name, {"data": str(scans.directory)}, scans),), ())
    said: list[CountStatus] = []
    family.draw(progress=said.append)
    assert said == [CountStatus(1, 1)]
    source = open_dataset(scans.directory)
    assert len(source.all_scans) == 4
    assert source.sensor == "vlp-16"
    assert source.sensor_height_m == 2.4
    assert [path.name for path in scans.directory.parent.iterdir()] == ["one"]
    drawn = {path: path.stat().st_mtime_ns for path in scans.directory.rglob("*")}
    family.draw()
    assert drawn == {path: path.stat().st_mtime_ns for path in scans.directory.rglob("*")}

    with pytest.raises(ConfigError, match=r"holds scans of another extinction_per_m .*Remove it"):
        replace(scans, extinction_per_m=0.0).draw()
    (scans.directory / "drawn.json").write_text("{}")
    with pytest.raises(ConfigError, match=r"drawn.json is damaged .*Remove"):
        scans.draw()
    (scans.directory / "drawn.json").unlink()
    with pytest.raises(ConfigError, match="holds something else"):
        scans.draw()


def test_names_say_what_is_not_as_usual(tmp_path: Path) -> None:
    scans = SyntheticScans(tmp_path, 4, 0, "vlp-16", "rural", None, 0.0)
    assert scans.name == "vlp-16-rural"
    assert replace(scans, height_m=2.4, extinction_per_m=0.02).name == "vlp-16-rural-2.4m-extinction-0.02"


def test_another_table_of_a_sensor_is_another_member(tmp_path: Path) -> None:
    table = tmp_path / "ours.yaml"
    table.write_text("a: 1")
    scans = SyntheticScans(tmp_path, 4, 0, str(table), "rural", None, 0.0)
    before = scans.to_json()
    table.write_text("a: 2")
    assert scans.to_json() != before
    assert scans.name == "ours-rural"
