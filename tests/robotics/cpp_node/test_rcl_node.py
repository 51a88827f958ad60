"""The C++ node in ROS 2, Jazzy and Kilted, beside a peer of rclpy: the tests of the Python node, and its words."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from hwnas.version import __version__
from tests.bundle.small_lidar import LABELS
from tests.cpp_runtime.building import Built
from tests.robotics.bags import lidar_cloud
from tests.robotics.cpp_node.building import rcl_node
from tests.robotics.messages import xyzir
from tests.robotics.ros2 import graph
from tests.robotics.ros2.graph import FILTERED, NODE, SEGMENTATION, TOPIC, VISUALIZATION
from tests.robotics.test_ros2_node import (
    MALFORMED,
    OUTCOMES,
    QOS,
    TOPICS,
    added,
    after_a_pause,
    check_labels,
    counts_of,
    malformed,
    serialised,
    settled,
    warm_up,
)

_MOST_S = 60.0


@dataclass(frozen=True)
class Distribution:
    """A distribution of ROS, and the node built for it."""

    name: str
    node: Path

    def run(self, scratch: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
        """Run the node to its end."""
        command = [str(part) for part in (self.node, *arguments)]
        return subprocess.run(
            command, capture_output=True, text=True, env=graph.environment(scratch), timeout=_MOST_S, check=False
        )  # fmt: skip


@dataclass(frozen=True)
class Graph:
    """A node that labels, and a peer that hears what it publishes."""

    node: graph.Node
    peer: graph.Peer
    bundle: Path


@pytest.fixture(scope="module", params=graph.DISTRIBUTIONS)
def distribution(request: pytest.FixtureRequest) -> Iterator[Distribution]:
    name = str(request.param)
    if reason := graph.why_missing(name):
        pytest.skip(reason)
    built: Built = request.getfixturevalue("built")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HWNAS_ONNXRUNTIME_LIBRARY", str(built.onnxruntime))
        yield Distribution(name, rcl_node(built, name))


@pytest.fixture(scope="module")
def ros(
    distribution: Distribution, bundle: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Graph]:
    scratch = tmp_path_factory.mktemp(distribution.name)
    given = {"remove_classes": ["ground"], **QOS}
    options = ("--bundle", str(bundle))
    with (
        graph.running_peer(distribution.name, scratch) as peer,
        graph.running_node(distribution.name, scratch, given, options, executable=distribution.node) as node,
    ):
        node.says("Labels what arrives")
        for topic in TOPICS:
            peer("collect", topic=topic)
        warm_up(peer)
        yield Graph(node, peer, bundle)


@pytest.mark.slow(seconds=100)  # with the builds of the node
def test_labels_equal_those_of_the_python_runner(ros: Graph) -> None:
    found, coloured, filtered = [], [], []
    for seed in range(3):
        ros.peer.publish([lidar_cloud(seed)])
        found += ros.peer.collected(SEGMENTATION, 1)
        coloured += ros.peer.collected(VISUALIZATION, 1)
        filtered += ros.peer.collected(FILTERED, 1)
    assert [one.stamp_ns for one in found] == [lidar_cloud(seed).stamp_ns for seed in range(3)]
    check_labels(found, ros.bundle)
    for segmented, colours, kept in zip(found, coloured, filtered, strict=True):
        classes = segmented.column("class_id")
        packed = colours.column("rgb").view("<u4")
        red, green, blue = LABELS.colors[0]
        assert set(packed[classes == 0]) <= {red << 16 | green << 8 | blue}
        assert len(kept) == np.count_nonzero(classes != 0)
        assert kept.field_names == ("x", "y", "z", "intensity")


def test_a_drive_at_10_hz_is_labelled_or_counted(ros: Graph) -> None:
    before = settled(ros.peer)
    seeds = range(25)
    ros.peer.publish([lidar_cloud(seed) for seed in seeds], period_s=0.1)
    more = added(ros.peer, before, len(seeds))
    assert more["refused"] == more["failed"] == 0
    found = ros.peer.collected(SEGMENTATION, more["labelled"])
    assert len(found) == more["labelled"] >= 1
    check_labels(found, ros.bundle)


def test_malformed_clouds_are_refused_in_words_and_the_node_lives(ros: Graph) -> None:
    before = settled(ros.peer)
    ros.peer.publish(malformed(), period_s=0.003)
    more = added(ros.peer, before, MALFORMED)
    assert more == {**dict.fromkeys(more, 0), "received": MALFORMED, "refused": MALFORMED}
    assert ros.peer("diagnosis", node=NODE)["values"]["last refusal"].endswith((".", "?"))
    assert "Scan refused: " in ros.node.text()
    # What is no message at all is not delivered, or refused; either way the node goes on.
    whole = serialised(xyzir())
    ros.peer.publish([whole[:length] for length in (1, 4, 30, len(whole) // 2)], period_s=0.01)
    ros.peer.publish([lidar_cloud(5)])
    found = ros.peer.collected(SEGMENTATION, 1)
    check_labels(found, ros.bundle)
    assert len(found) == 1
    assert ros.node.process.poll() is None


def test_diagnostics_say_how_the_node_does(ros: Graph) -> None:
    ros.peer.publish([lidar_cloud(seed) for seed in range(15)], period_s=0.1)
    found = ros.peer("diagnosis", node=NODE)
    assert found["name"] == f"/{NODE}: segmentation"
    assert found["hardware_id"] == found["values"]["architecture"]
    values = found["values"]
    assert (values["state"], values["bundle"], values["precision"]) == ("active", str(ros.bundle), "fp32")
    for step in ("decode", "wait", "preprocess", "network", "postprocess", "publish", "total"):
        assert 0 <= float(values[f"{step} median ms"]) <= float(values[f"{step} p99 ms"])
    assert counts_of(found)["labelled"] > 0
    quiet = ros.peer("diagnosis", node=NODE, after=3)
    assert quiet["level"] == 1
    assert quiet["message"] == "no scan labelled: none arrived"


def test_an_interrupt_ends_the_node(ros: Graph) -> None:
    assert ros.node.interrupted() == 0


def test_scans_that_a_queue_of_one_cannot_hold_are_received_or_counted_as_lost(
    distribution: Distribution, bundle: Path, tmp_path: Path
) -> None:
    qos = {**QOS, f"qos_overrides.{TOPIC}.subscription.depth": 1}
    given = {"bundle": str(bundle), **qos}
    with (
        graph.running_peer(distribution.name, tmp_path) as peer,
        graph.running_node(distribution.name, tmp_path, given, (), executable=distribution.node) as node,
    ):
        node.says("Labels what arrives")
        peer("collect", topic=SEGMENTATION)
        while not peer.collected(SEGMENTATION, 1, most_s=0.5):
            peer.publish([lidar_cloud(0)])
        more = after_a_pause(node, peer)
        assert more["received"] + more["lost"] == 13, more
        assert more["lost"] >= 1
        assert more["received"] == sum(more[one] for one in OUTCOMES)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ((), 2, "The node cannot begin: `bundle` is empty; name the directory of a bundle"),
        (("--bundl", "b"), 2, "There is no option '--bundl'. Did you mean '--bundle'?"),
        (("--threads", "two"), 2, "`threads` is 'two'; expected a whole number."),
        (("--threads",), 2, "--threads takes a value."),
        (("bundle",), 2, "Expected options, found 'bundle'."),
        (("--bundle", "/nowhere"), 7, "The node cannot begin: A bundle is a directory with a manifest.json"),
        (("--ros-args", "-p", "threads:=[1, 2]"), 2, "`threads` is a list of something else than texts"),
        (("--ros-args", "-p", "threads:=two"), 2, "`threads` is 'two'; expected a whole number."),
        (("--ros-args", "-p"), 2, "The node has ended: "),
        (("--ros-args", "--nonsense"), 2, "ROS does not understand 1 of its arguments."),
        (
            ("--ros-args", "-p", "qos_overrides./points.subscription.depth:=0"),
            2,
            "must be a whole number from 1",
        ),
    ],
)
def test_what_cannot_be_used_ends_the_node_in_words(
    distribution: Distribution, tmp_path: Path, arguments: tuple[str, ...], code: int, words: str
) -> None:
    more = ("--bundle", "/nowhere") if "qos" in "".join(arguments) else ()
    found = distribution.run(tmp_path, *more, *arguments)
    assert found.returncode == code
    assert words in found.stderr


def test_help_and_version(distribution: Distribution, tmp_path: Path) -> None:
    assert distribution.run(tmp_path, "--version").stdout.strip() == f"hwnas_segmentation_node {__version__}"
    text = distribution.run(tmp_path, "--help").stdout
    assert "--remove-classes" in text
    assert "Threads of one inference on the CPU" in text


def test_parameter_files_count_where_no_option_says_otherwise(
    distribution: Distribution, bundle: Path, tmp_path: Path
) -> None:
    content: dict[str, Any] = {
        "/**": {"ros__parameters": {"bundle": "/nowhere", "threads": 2}},
        f"/{NODE}": {"ros__parameters": {"visualization": False, "remove_classes": ["high", "low"]}},
        "/another": {"ros__parameters": {"backend": "tensorrt"}},
    }
    (tmp_path / "parameters.yaml").write_text(yaml.safe_dump(content))
    options = (
        "--bundle",
        str(bundle),
        "--ros-args",
        "--params-file",
        str(tmp_path / "parameters.yaml"),
        "--",
    )
    with (
        graph.running_peer(distribution.name, tmp_path) as peer,
        graph.running_node(distribution.name, tmp_path, QOS, options, executable=distribution.node) as node,
    ):
        node.says("Labels what arrives")
        for topic in TOPICS:
            peer("collect", topic=topic)
        while not peer.collected(SEGMENTATION, 1, most_s=0.5):
            peer.publish([lidar_cloud(0)])
        settled(peer)
        peer.publish([lidar_cloud(1)])
        (segmented,) = peer.collected(SEGMENTATION, 1)
        (filtered,) = peer.collected(FILTERED, 1)
        assert len(filtered) == np.count_nonzero(segmented.column("class_id") == 0)
        assert not peer.collected(VISUALIZATION, 1, most_s=0.2)
