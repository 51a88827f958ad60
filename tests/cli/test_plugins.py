from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

import hwnas
from hwnas.cli.main import make_app
from hwnas.errors import PluginError
from hwnas.plugins import GROUPS, installed_plugins


def run(*arguments: str):
    return CliRunner().invoke(make_app(), ["plugins", *arguments])


def test_every_registration_is_listed_with_where_it_comes_from() -> None:
    found = json.loads(run("--json").stdout)
    assert [(one["group"], one["name"]) for one in found] == [
        (group, plugin.name) for group in GROUPS for plugin in installed_plugins(group)
    ]
    (own,) = [one for one in found if one["name"] == "range-unet"]
    assert own["distribution"] == "hwnas"
    assert own["import_path"] == "hwnas.search_spaces.range_unet:make_range_unet"
    assert "status" not in own


def test_the_list_reads_well_without_colour() -> None:
    said = run().stdout
    assert "hwnas.search_spaces\n" in said
    assert "range-unet" in said


@pytest.fixture
def acme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    def install(source: str) -> None:
        info = tmp_path / "acme-2.1.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 2.1\n")
        (info / "entry_points.txt").write_text("[hwnas.data_formats]\nacme = acme_reader:read\n")
        (tmp_path / "acme_reader.py").write_text(source)
        monkeypatch.syspath_prepend(str(tmp_path))

    return install


def test_checking_names_what_is_broken(acme: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> None:
    acme("def read(path):\n    return path\n")
    # The others take seconds, and are tried one by one elsewhere.
    monkeypatch.setattr("hwnas.plugins.GROUPS", {"hwnas.data_formats": ""})
    done = run("--check", "--json")
    found = {one["name"]: one for one in json.loads(done.stdout)}
    assert found["npy"]["status"] == "passed"
    assert found["acme"]["status"] == "broken"
    assert "acme 2.1, acme_reader:read): `read` must take (path, options)" in found["acme"]["problem"]
    assert isinstance(done.exception, PluginError)
    assert "1 of 8 plug-ins" in str(done.exception)


def test_plugins_are_listed_and_checked_in_python(monkeypatch: pytest.MonkeyPatch) -> None:
    assert {plugin.group for plugin in hwnas.installed_plugins()} == set(GROUPS)
    monkeypatch.setattr("hwnas.plugins.GROUPS", {"hwnas.data_formats": ""})
    reported: list[str] = []
    checked = hwnas.check_plugins(progress=lambda plugin: reported.append(plugin.name))
    assert (
        reported
        == [one.plugin.name for one in checked]
        == [
            "bag",
            "bin",
            "db3",
            "mcap",
            "npy",
            "pcd",
            "rosbag",
        ]
    )
    assert {one.status for one in checked} == {"passed"}
