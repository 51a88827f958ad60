"""Files of families: what members they give, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from hwnas.data.sensors import sensor_names
from hwnas.data.synthetic.presets import PRESETS
from hwnas.errors import ConfigError, HwnasError
from hwnas.tasks.families.family import TaskFamily
from hwnas.tasks.families.family_file import fits, load_family
from tests.tasks.lidar_data import write_scans


def _family(directory: Path, text: str) -> TaskFamily:
    path = directory / "family.yaml"
    path.write_text(text)
    return load_family(path)


def test_all_sensors_places_heights_and_weathers_are_crossed(tmp_path: Path) -> None:
    family = _family(
        tmp_path,
        "synthetic: {members: null, heights_m: [null, 2.4], extinctions_per_m: [0, 0.02]}\nheld_out: ['vlp-16-*']\n",
    )
    assert len(family.members) == len(sensor_names()) * len(PRESETS) * 2 * 2
    assert {member.scans.sensor for member in family.held_out} == {"vlp-16"}  # type: ignore[union-attr]
    assert len(family.held_out) == len(PRESETS) * 2 * 2
    assert len({member.scans.seed for member in family.members}) == len(family.members)  # type: ignore[union-attr]
    names = [member.name for member in family.members]
    assert "hdl-64e-urban" in names
    assert "hdl-64e-urban-2.4m-extinction-0.02" in names
    assert family.members[0].settings["data"] == str(tmp_path / "family-scans" / names[0])
    assert not (tmp_path / "family-scans").exists()


def test_some_of_all_combinations_hold_every_value_equally_often(tmp_path: Path) -> None:
    text = (
        "synthetic: {sensors: [os1-64, pandar64, vlp-16], places: [urban, rural], heights_m: [null, 2.4], "
        "members: 6}\nheld_out: ['*-rural']\n"
    )
    family = _family(tmp_path, text)
    scans = [member.scans for member in family.members if member.scans is not None]
    assert len(scans) == 6
    for values, times in (
        ([one.sensor for one in scans], 2),
        ([one.place for one in scans], 3),
        ([one.height_m for one in scans], 3),
    ):
        assert {values.count(value) for value in values} == {times}
    assert family == _family(tmp_path, text)
    assert family.id == _family(tmp_path, text).id
    assert family.id != _family(tmp_path, text.replace("members: 6", "members: 6, seed: 1")).id


def test_sequences_are_places_of_their_own(tmp_path: Path) -> None:
    write_scans(tmp_path / "data")
    family = _family(tmp_path, "label_map: merged-8\nsequences: {data: data}\nheld_out: ['08']\n")
    assert [member.name for member in family.train] == ["00", "01"]
    assert [member.name for member in family.held_out] == ["08"]
    for member in family.members:
        task = member.task("lidar-segmentation", {"widths": [256]})
        assert task.settings["train_sequences"] == [member.name]
        assert task.settings["val_sequences"] != [member.name]
        assert len(task.class_names) == 8


def test_data_sets_are_listed_with_settings_of_their_own(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        write_scans(tmp_path / name, scans=1)
    family = _family(
        tmp_path,
        "name: three\nlabel_map: merged-8\ndata_sets:\n"
        "  - {name: a, data: a}\n  - {name: b, data: b, settings: {height: 32}}\n  - {name: c, data: ./c}\nheld_out: [c]\n",
    )
    assert family.name == "three"
    assert family.train[1].settings == {"label_map": "merged-8", "height": 32, "data": str(tmp_path / "b")}
    assert family.train[1].task("lidar-segmentation", {"widths": [256]}).contract.height == 32
    family.draw()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[]", "must hold one of the sections synthetic, sequences, data_sets"),
        ("held_out: [a]", "exactly one of synthetic, sequences, data_sets .*found none"),
        ("synthetic: {}\nsequences: {data: x}\nheld_out: [a]", "found synthetic and sequences"),
        ("synthetic: {}", "held_out"),
        ("synthetic: {}\nheld_out: []", "held_out"),
        ("synthetic: {sensor: [os1-64]}\nheld_out: [a]", r"family.yaml:1: .*sensor.*sensors"),
        ("synthetic: {sensors: [os1-65]}\nheld_out: [a]", r"family.yaml:1: the sensor 'os1-65' is not known.*os1-64"),
        ("synthetic: {sensors: [ours.yaml]}\nheld_out: [a]", "ours.yaml.*no such file"),
        ("synthetic: {places: [city]}\nheld_out: [a]", "places"),
        ("synthetic: {heights_m: [-1]}\nheld_out: [a]", "heights_m"),
        ("synthetic: {extinctions_per_m: [3]}\nheld_out: [a]", "extinctions_per_m"),
        ("synthetic: {scans: 2}\nheld_out: [a]", "scans"),
        ("synthetic: {sensors: [vlp-16]}\nheld_out:\n  - vlp-61*", r"family.yaml:3: no member is called 'vlp-61\*'; there are vlp-16-"),
        ("synthetic: {sensors: [vlp-16]}\nheld_out: ['*']", "of 4 members 0 would be left"),
        ("sequences: {data: nowhere}\nheld_out: [a]", "nowhere.*no such file or directory"),
        ("sequences: {data: data, names: ['00', '07']}\nheld_out: ['00']", "no labelled sequence '07'"),
        ("sequences: {data: data, names: ['00']}\nheld_out: ['00']", "needs several"),
        ("data_sets: [{name: a, data: data}, {name: a, data: data}]\nheld_out: [a]", "two members are called 'a'"),
        ("data_sets: [{name: a, data: data, settings: {data: x}}]\nheld_out: [a]", "`data` stands beside `settings`"),
        ("data_sets: [{name: a, data: data, settings: {label_map: m.yaml}}]\nheld_out: [a]", r"family.yaml:1: 'm.yaml' looks like a path"),
        ("data_sets: [{name: a, data: data, colour: 1}]\nheld_out: [a]", "colour"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_refused_with_what_to_do(text: str, words: str, tmp_path: Path) -> None:
    write_scans(tmp_path / "data", scans=1)
    with pytest.raises(HwnasError, match=words):
        _family(tmp_path, text + "\n")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"family.yaml cannot be read"):
        load_family(tmp_path / "family.yaml")


@pytest.mark.parametrize(
    ("name", "pattern", "expected"),
    [
        ("os1-64", "os1-64", True),
        ("os1-64-urban", "os1-64", False),
        ("os1-64-urban", "os1-64*", True),
        ("os1-64-urban", "*urban", True),
        ("os1-64-urban", "os*-*urban", True),
        ("os1-64-urban", "os*rural*", False),
        ("aba", "ab*ba", False),
        ("a.b", "a?b", False),
        ("", "*", True),
    ],
)
def test_stars_stand_for_anything(name: str, pattern: str, expected: bool) -> None:
    assert fits(name, pattern) is expected


def test_patterns_with_many_stars_are_fast() -> None:
    assert not fits("a" * 2000, "*a" * 500 + "b")
