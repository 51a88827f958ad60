"""What `hwnas export --for ros2` writes starts the nodes, in Jazzy and Kilted.

Launch is not among the packages that `scripts/prepare_ros2` installs. The files in XML are therefore carried out here,
and launched only where `HWNAS_ROS_LAUNCH` says how, such as `ros2 launch` of the distribution that `ROS_DISTRO` names.
"""

from __future__ import annotations

import os
import re
import shlex
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from hwnas.robotics import PointCloud2
from tests.bundle.integrations.deployed import export_with
from tests.bundle.runtime.other_runtimes import python_of
from tests.cpp_runtime.building import Built
from tests.robotics.bags import lidar_cloud
from tests.robotics.cpp_node.building import found_by_nodes, rcl_node
from tests.robotics.cpp_node.probe import Probe
from tests.robotics.ros2 import graph
from tests.robotics.ros2.graph import SEGMENTATION, TOPIC
from tests.robotics.ros2.nodes import check_labels, distribution_or_skip

CPP, PYTHON = "segmentation_cpp", "segmentation"


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with files for ROS 2."""
    return export_with(tmp_path_factory.mktemp("launched"), "ros2")


@pytest.fixture(params=graph.DISTRIBUTIONS)
def distribution(request: pytest.FixtureRequest) -> Iterator[str]:
    name = distribution_or_skip(request)
    with found_by_nodes(request.getfixturevalue("built")):
        yield name


@pytest.mark.slow(seconds=60)  # with the build of the core
def test_the_core_of_the_cpp_node_declares_all_parameters(exported: Path, probe: Probe) -> None:
    declared = {name for name, *_ in probe.parameters()}
    content = yaml.safe_load((exported / "ros2" / "segmentation.param.yaml").read_text())
    in_file: dict[str, Any] = content["/**"]["ros__parameters"]
    root = ET.parse(exported / "ros2" / f"{CPP}.launch.xml").getroot()
    in_launch_file = {one.attrib["name"]: str(exported) for one in root.iter("param") if "name" in one.attrib}
    assert {*in_file, *in_launch_file} == declared
    probe.settings({**in_file, **in_launch_file})


def command_of(launch_file: Path, arguments: Mapping[str, str]) -> list[str]:
    """Return the command of the only node in a launch file, as launch makes it."""
    root = ET.parse(launch_file).getroot()

    def filled(text: str) -> str:
        return re.sub(r"\$\(dirname\)", str(launch_file.parent), re.sub(r"\$\(var (\w+)\)", value, text))

    def value(found: re.Match[str]) -> str:
        return filled(arguments.get(found[1], defaults[found[1]]))

    defaults = {str(one.get("name")): str(one.get("default")) for one in root.findall("arg")}
    (node,) = root.findall("node")
    command = [filled(node.attrib["exec"]), *shlex.split(node.get("args", "")), "--ros-args"]
    for one in node:
        if one.tag == "remap":
            command += ["-r", f"{one.attrib['from']}:={filled(one.attrib['to'])}"]
        elif one.tag == "param" and "from" in one.attrib:
            command += ["--params-file", filled(one.attrib["from"])]
        elif one.tag == "param":
            command += ["-p", f"{one.attrib['name']}:={filled(one.attrib['value'])}"]
    return command


def labels(command: list[str], distribution: str, scratch: Path, bundle: Path) -> None:
    """Run a command until its node has labelled a cloud, and interrupt it."""
    with graph.running_peer(distribution, scratch) as peer, graph.running(command, scratch) as node:
        node.says("Labels what arrives")
        peer("collect", topic=SEGMENTATION)
        found: list[PointCloud2] = []
        while not found:
            peer.publish([lidar_cloud(1)])
            found = peer.collected(SEGMENTATION, 1, most_s=0.5)
        check_labels(found[:1], bundle)
        assert node.interrupted() == 0, node.text()


def program_of(launched: str, distribution: str, built: Built) -> dict[str, str]:
    """Return the argument that names the program."""
    if launched == CPP:
        return {"executable": str(rcl_node(built, distribution))}
    return {"python": str(python_of(f"ros2-{distribution}"))}


@pytest.mark.slow(seconds=60)  # with the builds of the node
@pytest.mark.parametrize("launched", [PYTHON, CPP])
def test_commands_of_launch_files_label_clouds(
    launched: str, distribution: str, exported: Path, built: Built, tmp_path: Path
) -> None:
    given = {"points": TOPIC, **program_of(launched, distribution, built)}
    command = command_of(exported / "ros2" / f"{launched}.launch.xml", given)
    labels(command, distribution, tmp_path, exported)


@pytest.mark.parametrize("kind", ["py", "xml"])
@pytest.mark.parametrize("launched", [PYTHON, CPP])
def test_launch_files_are_launched(
    launched: str, kind: str, distribution: str, exported: Path, built: Built, tmp_path: Path
) -> None:
    launch = os.environ.get("HWNAS_ROS_LAUNCH")
    if not launch:
        pytest.skip("HWNAS_ROS_LAUNCH does not say how to launch, such as `ros2 launch`")
    if os.environ.get("ROS_DISTRO") != distribution:
        pytest.skip("ROS_DISTRO names another distribution")
    given = {"points": TOPIC, **program_of(launched, distribution, built)}
    arguments = [f"{name}:={value}" for name, value in given.items()]
    command = [*shlex.split(launch), str(exported / "ros2" / f"{launched}.launch.{kind}"), *arguments]
    labels(command, distribution, tmp_path, exported)
