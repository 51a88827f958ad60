"""The lifecycle component of rclcpp, where somebody has built it: the tests of the Python node, with its words.

`HWNAS_ROS_COMPONENT` names its executable, `segmentation_node`, built for Jazzy, or a script that runs it where it
finds its libraries. rclcpp is on no package index, so that the tests skip elsewhere.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cpp_runtime.building import Built
from tests.robotics.cpp_node.building import found_by_nodes
from tests.robotics.ros2 import graph
from tests.robotics.ros2.nodes import (
    Graph,
    check_waiting_for_a_bundle,
    hearing,
    warm_up,
)
from tests.robotics.ros2.suites import LifecycleSuite

DISTRIBUTION = "jazzy"


@pytest.fixture(scope="module")
def executable(request: pytest.FixtureRequest) -> Iterator[Path]:
    """What runs the component."""
    name = os.environ.get("HWNAS_ROS_COMPONENT")
    if not name:
        pytest.skip("HWNAS_ROS_COMPONENT does not name the executable of the component")
    if reason := graph.why_missing(DISTRIBUTION):
        pytest.skip(reason)
    built: Built = request.getfixturevalue("built")
    with found_by_nodes(built):
        yield Path(name)


@pytest.fixture(scope="module")
def ros(executable: Path, bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Graph]:
    scratch = tmp_path_factory.mktemp("component")
    given = {"bundle": str(bundle), "remove_classes": ["ground"]}
    with hearing(DISTRIBUTION, scratch, bundle, given, executable=executable) as found:
        warm_up(found.peer)
        yield found


class TestComponent(LifecycleSuite):
    out_of_range = "range"


def test_without_a_bundle_the_component_waits_and_says_so(
    executable: Path, bundle: Path, tmp_path: Path
) -> None:
    with (
        graph.running_peer(DISTRIBUTION, tmp_path) as peer,
        graph.running_node(DISTRIBUTION, tmp_path, {}, (), executable=executable) as node,
    ):
        check_waiting_for_a_bundle(peer, node, bundle)
