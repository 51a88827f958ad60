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
from tests.robotics import test_ros2_node
from tests.robotics.bags import lidar_cloud
from tests.robotics.ros2 import graph
from tests.robotics.ros2.graph import NODE, SEGMENTATION
from tests.robotics.test_ros2_node import QOS, TOPICS, Graph, check_labels, settled, warm_up

DISTRIBUTION = "jazzy"

test_labels = test_ros2_node.test_labels_equal_those_of_the_runner
test_drive = test_ros2_node.test_a_drive_at_10_hz_is_labelled_or_counted
test_malformed = test_ros2_node.test_malformed_clouds_are_refused_in_words_and_the_node_lives
test_diagnostics = test_ros2_node.test_diagnostics_say_how_the_node_does
test_changed_bundle = test_ros2_node.test_a_bundle_is_changed_while_scans_arrive


@pytest.fixture(scope="module")
def executable(request: pytest.FixtureRequest) -> Iterator[Path]:
    """What runs the component."""
    name = os.environ.get("HWNAS_ROS_COMPONENT")
    if not name:
        pytest.skip("HWNAS_ROS_COMPONENT does not name the executable of the component")
    if reason := graph.why_missing(DISTRIBUTION):
        pytest.skip(reason)
    built: Built = request.getfixturevalue("built")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HWNAS_ONNXRUNTIME_LIBRARY", str(built.onnxruntime))
        yield Path(name)


@pytest.fixture(scope="module")
def ros(executable: Path, bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Graph]:
    scratch = tmp_path_factory.mktemp("component")
    given = {"bundle": str(bundle), "remove_classes": ["ground"], **QOS}
    with (
        graph.running_peer(DISTRIBUTION, scratch) as peer,
        graph.running_node(DISTRIBUTION, scratch, given, (), executable=executable) as node,
    ):
        node.says("Labels what arrives")
        for topic in TOPICS:
            peer("collect", topic=topic)
        warm_up(peer)
        yield Graph(DISTRIBUTION, node, peer, bundle)


def test_parameters_are_described_and_bad_ones_refused_in_words(ros: Graph) -> None:
    threads, backend, autostart = ros.peer("describe", node=NODE, names=["threads", "backend", "autostart"])
    assert threads["range"] == [[0, 1024]]
    assert threads["description"].startswith("Threads of one inference")
    assert backend["constraints"] == "one of onnxruntime, tensorrt, tensorrt-rtx"
    assert autostart["read_only"]
    for values, words in (
        ({"threads": -1}, "range"),
        ({"threads": "two"}, "type"),
        ({"backend": "cuda"}, "expected one of onnxruntime"),
        ({"remove_classes": ["grond"]}, "Did you mean 'ground'?"),
        ({"intensity_scale": -1.0}, "range"),
        ({"identity": "fleet@example.com"}, "go together"),
        ({"autostart": False}, "read-only"),
    ):
        ((is_taken, reason),) = ros.peer("set", node=NODE, values=values)
        assert not is_taken
        assert words in reason, (values, reason)
    ((is_taken, _),) = ros.peer("set", node=NODE, values={"intensity": "intensity"})
    assert is_taken


def test_transitions(ros: Graph) -> None:
    peer = ros.peer
    settled(peer)
    assert peer("state", node=NODE) == "active"
    assert not peer("change", node=NODE, transition=graph.CONFIGURE)
    assert peer("change", node=NODE, transition=graph.DEACTIVATE)
    assert peer("state", node=NODE) == "inactive"
    peer.publish([lidar_cloud(1)])
    assert peer("diagnosis", node=NODE, after=2)["message"] == "configured, not active"
    assert not peer.collected(SEGMENTATION, 1, most_s=0.2)
    assert peer("change", node=NODE, transition=graph.CLEANUP)
    assert peer("state", node=NODE) == "unconfigured"
    assert peer("publishes", topic=SEGMENTATION) == 0
    assert peer("diagnosis", node=NODE)["level"] == 1
    for transition in (graph.CONFIGURE, graph.ACTIVATE):
        assert peer("change", node=NODE, transition=transition)
    assert peer("state", node=NODE) == "active"
    warm_up(peer)
    peer.publish([lidar_cloud(2)])
    check_labels(peer.collected(SEGMENTATION, 1), ros.bundle)
    assert ros.node.interrupted() == 0


def test_without_a_bundle_the_component_waits_and_says_so(
    executable: Path, bundle: Path, tmp_path: Path
) -> None:
    with (
        graph.running_peer(DISTRIBUTION, tmp_path) as peer,
        graph.running_node(DISTRIBUTION, tmp_path, {}, (), executable=executable) as node,
    ):
        node.says("Not configured: `bundle` is empty; name the directory of a bundle")
        diagnosis = peer("diagnosis", node=NODE)
        assert diagnosis["level"] == 2
        assert diagnosis["message"].startswith("`bundle` is empty")
        assert peer("set", node=NODE, values={"bundle": str(bundle)}) == [[True, ""]]
        for transition in (graph.CONFIGURE, graph.ACTIVATE):
            assert peer("change", node=NODE, transition=transition)
        assert peer("state", node=NODE) == "active"
        assert peer("change", node=NODE, transition=graph.SHUTDOWN)
        assert peer("state", node=NODE) == "finalized"
        assert node.interrupted() == 0
