"""The package of the C++ node: what it declares, launches and builds with, held against the node itself."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import yaml

from hwnas.robotics.node_settings import NODE_PARAMETERS, NodeSettings
from tests.cpp_runtime.building import ROOT
from tests.robotics.cpp_node.building import SOURCE

PYTHON_PACKAGE = SOURCE.parent / "hwnas_ros"
PLUGIN, EXECUTABLE = "hwnas::ros::SegmentationComponent", "segmentation_node"


def test_parameters_are_those_of_the_node() -> None:
    content = yaml.safe_load((SOURCE / "config" / "segmentation.param.yaml").read_text())
    found: dict[str, Any] = content["/**"]["ros__parameters"]
    assert set(found) == {one.name for one in NODE_PARAMETERS} - {"bundle"}
    assert NodeSettings.of(found) == NodeSettings.of({})


def test_both_packages_launch_alike() -> None:
    """Each is copied into workspaces by itself, so that neither can hold files of the other."""
    name = Path("config", "segmentation.param.yaml")
    assert (SOURCE / name).read_bytes() == (PYTHON_PACKAGE / name).read_bytes()
    for name in (Path("launch", "segmentation.launch.py"), Path("launch", "segmentation.launch.xml")):
        ours, theirs = (" ".join((one / name).read_text().split()) for one in (SOURCE, PYTHON_PACKAGE))
        assert _launching(ours.replace(SOURCE.name, PYTHON_PACKAGE.name)) == _launching(theirs)


def _launching(text: str) -> str:
    """Return a launch file without its first sentence and the blanks that lines are broken at."""
    return re.sub(r'^"""[^.]*\.|[ ,](?=[\])])|(?<=[\[(]) ', "", text)


@pytest.fixture
def _ros(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand-ins for the modules of ROS: every class keeps what it was called with."""

    def keep(kind: str) -> Any:
        return lambda *args, **options: SimpleNamespace(kind=kind, args=args, **options)

    contents = {
        "launch": ("LaunchDescription",),
        "launch.actions": ("DeclareLaunchArgument",),
        "launch.substitutions": ("LaunchConfiguration", "PathJoinSubstitution"),
        "launch_ros": (),
        "launch_ros.actions": ("ComposableNodeContainer", "Node"),
        "launch_ros.descriptions": ("ComposableNode",),
        "launch_ros.substitutions": ("FindPackageShare",),
    }
    for name, kinds in contents.items():
        module = ModuleType(name)
        module.__dict__.update({kind: keep(kind) for kind in kinds})
        monkeypatch.setitem(sys.modules, name, module)


@pytest.mark.usefixtures("_ros")
def test_launch_files_run_what_the_package_builds() -> None:
    build = (SOURCE / "cmake" / "component.cmake").read_text()
    assert f'PLUGIN "{PLUGIN}"' in build
    assert f"EXECUTABLE {EXECUTABLE} " in build
    source = (SOURCE / "component" / "segmentation_component.cpp").read_text()
    assert f"RCLCPP_COMPONENTS_REGISTER_NODE({PLUGIN})" in source
    for name in ("segmentation.launch.py", "segmentation_container.launch.py"):
        launch = runpy.run_path(str(SOURCE / "launch" / name))
        *arguments, node = launch["generate_launch_description"]().args[0]
        assert [one.args[0] for one in arguments] == ["bundle", "points", "params_file"]
        if node.kind == "ComposableNodeContainer":
            assert node.executable == "component_container_mt"
            (node,) = node.composable_node_descriptions
            assert node.plugin == PLUGIN
        else:
            assert node.executable == EXECUTABLE
        assert node.package == "hwnas_ros_cpp"
        assert node.remappings[0][0] == "points"
        assert set(node.parameters[1]) == {"bundle"}
    root = ET.parse(SOURCE / "launch" / "segmentation.launch.xml").getroot()
    assert [one.get("name") for one in root.findall("arg")] == ["bundle", "points", "params_file"]
    (xml_node,) = root.findall("node")
    assert (xml_node.get("pkg"), xml_node.get("exec")) == ("hwnas_ros_cpp", EXECUTABLE)


def test_what_is_included_is_declared() -> None:
    package = ET.parse(SOURCE / "package.xml").getroot()
    assert package.findtext("export/build_type") == "ament_cmake"
    declared = {str(one.text) for one in package.findall("depend")}
    used = set()
    for path in [*(SOURCE / "component").iterdir(), *(SOURCE / "ros").iterdir()]:
        used |= set(re.findall(r"#include <(\w+)/", path.read_text()))
    used |= set(re.findall(r'#include "(hwnas_runtime)/', (SOURCE / "src" / "point_cloud2.cpp").read_text()))
    assert used <= declared
    found = re.search(r"foreach\(package ([\w ]+)\)", (SOURCE / "cmake" / "component.cmake").read_text())
    assert found is not None
    assert set(found[1].split()) == declared - {"hwnas_runtime"}


def test_the_script_says_where_ros_is_not(tmp_path: Path) -> None:
    for name in (str(tmp_path), "humble"):
        found = subprocess.run(
            [ROOT / "scripts" / "build_ros2_node", name], capture_output=True, text=True, check=False
        )
        assert found.returncode == 2
        assert "expected include/rcl there. Run scripts/prepare_ros2, or name the directory" in found.stderr
