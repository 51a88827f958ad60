import pytest

from hwnas.errors import DataError, PluginError
from hwnas.plugins import GROUPS, Blaming, distribution_of, load_plugin, plugin_names


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


def test_a_plugin_that_fails_to_import_is_named(tmp_path, monkeypatch) -> None:
    _distribution(tmp_path, "broken", "no_such_module_here:make")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(PluginError, match="no_such_module_here"):
        load_plugin("hwnas.tasks", "shapes")


def test_a_fault_of_a_plugin_names_it() -> None:
    with (
        pytest.raises(
            PluginError, match=r"`loss` of the task 'lidar-segmentation' of hwnas .*: raised KeyError"
        ),
        Blaming("hwnas.tasks", "lidar-segmentation", "loss"),
    ):
        raise KeyError("x")
    with pytest.raises(DataError, match="meant for users"), Blaming("hwnas.tasks", "t", "loss"):
        raise DataError("meant for users")
    with pytest.raises(KeyboardInterrupt), Blaming("hwnas.tasks", "t", "loss"):
        raise KeyboardInterrupt
    with pytest.raises(FileNotFoundError), Blaming("hwnas.tasks", "t", "loss"):
        open("/there/is/none")  # noqa: PTH123, SIM115 - what a plug-in does
    assert distribution_of("hwnas.search_spaces", "no-such") is None
