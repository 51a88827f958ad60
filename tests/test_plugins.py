import json
import re
import shutil
import sys
import tomllib
from pathlib import Path

import pytest

from hwnas.errors import DataError, PluginError
from hwnas.plugins import (
    GROUPS,
    Blame,
    distribution_of,
    families_in_words,
    load_plugin,
    plugin_names,
    plugin_or_name,
)


@pytest.mark.parametrize("group", GROUPS)
def test_every_built_in_registers_and_loads(group: str) -> None:
    names = plugin_names(group)
    assert names
    assert all(callable(load_plugin(group, name)) for name in names)


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(PluginError, match="Did you mean 'range-unet'"):
        load_plugin("hwnas.search_spaces", "range-unit")


def _distribution(directory, name: str, target: str) -> None:
    metadata = directory / f"{name}-1.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text(f"[hwnas.tasks]\nshapes = {target}\n")


def test_one_name_twice_is_refused(tmp_path, monkeypatch) -> None:
    _distribution(tmp_path, "first", "json:loads")
    _distribution(tmp_path, "second", "json:dumps")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(PluginError, match="more than once"):
        load_plugin("hwnas.tasks", "shapes")


def test_what_is_installed_or_removed_meanwhile_is_noticed(tmp_path, monkeypatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    assert "shapes" not in plugin_names("hwnas.tasks")
    _distribution(tmp_path, "later", "json:loads")
    assert load_plugin("hwnas.tasks", "shapes") is json.loads
    shutil.rmtree(tmp_path / "later-1.dist-info")
    assert "shapes" not in plugin_names("hwnas.tasks")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    _distribution(tmp_path, "here", "json:dumps")
    assert load_plugin("hwnas.tasks", "shapes") is json.dumps


def test_a_plugin_that_fails_to_import_is_named(tmp_path, monkeypatch) -> None:
    _distribution(tmp_path, "broken", "no_such_module_here:make")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(PluginError, match="no_such_module_here"):
        load_plugin("hwnas.tasks", "shapes")


def test_a_fault_of_a_plugin_names_it() -> None:
    task = plugin_or_name("hwnas.tasks", "lidar-segmentation")
    named = r"Plug-in 'lidar-segmentation' of hwnas\.tasks \(hwnas [\d.]+, \S+\): `loss`"
    with pytest.raises(PluginError, match=named + " raised KeyError: 'x'"), Blame(task, "loss"):
        raise KeyError("x")
    expected = named + " must return a tensor, but it raised KeyError"
    with pytest.raises(PluginError, match=expected), Blame(task, "loss", "return a tensor"):
        raise KeyError("x")
    with pytest.raises(PluginError, match="`loss` raised DataError"), Blame(task, "loss"):
        raise DataError("meant for users")
    with pytest.raises(MemoryError), Blame(task, "loss"):
        raise MemoryError
    with pytest.raises(KeyboardInterrupt), Blame(task, "loss"):
        raise KeyboardInterrupt


def test_errors_that_a_user_can_act_on_pass_where_they_are_let() -> None:
    with pytest.raises(DataError, match="meant for users"), Blame("t", "loss", own_errors=True):
        raise DataError("meant for users")
    with pytest.raises(FileNotFoundError), Blame("t", "loss", own_errors=True):
        open("/there/is/none")  # noqa: PTH123, SIM115 - what a plug-in does
    with pytest.raises(PluginError, match="raised OSError"), Blame("t", "loss", own_errors=True):
        raise OSError("no file is named")


def test_an_object_made_by_hand_is_named_by_its_group() -> None:
    assert plugin_or_name("hwnas.tasks", "by-hand") == "'by-hand' of hwnas.tasks"
    assert distribution_of("hwnas.search_spaces", "no-such") is None
    assert str(distribution_of("hwnas.search_spaces", "range-unet")).startswith("hwnas ")


ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "docs/guides/plugins.md"])
def test_pages_list_every_family_in_one_order(page: str) -> None:
    text = " ".join((ROOT / page).read_text(encoding="utf-8").split())
    assert families_in_words().lower() in text.lower()
    table = re.findall(r"\| `(hwnas\.[a-z_]+)` \|", text)
    assert table in ([], list(GROUPS)), "rows of a table of families are those of GROUPS"
    assert bool(table) == (page != "README.md")


def test_every_family_has_an_entry_point_of_ours() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert {group for group in project["entry-points"] if group.startswith("hwnas.")} == set(GROUPS)
