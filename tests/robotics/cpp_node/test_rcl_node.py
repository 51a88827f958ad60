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
from tests.cpp_runtime.building import Built
from tests.robotics.bags import lidar_cloud
from tests.robotics.cpp_node.building import found_by_nodes, rcl_node
from tests.robotics.ros2 import graph
from tests.robotics.ros2.graph import FILTERED, NODE, SEGMENTATION, TOPIC, VISUALIZATION
from tests.robotics.ros2.nodes import (
    OUTCOMES,
    QOS,
    Graph,
    after_a_pause,
    distribution_or_skip,
    hearing,
    settled,
    warm_up,
)
from tests.robotics.ros2.suites import NodeSuite

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


@pytest.fixture(scope="module", params=graph.DISTRIBUTIONS)
def distribution(request: pytest.FixtureRequest) -> Iterator[Distribution]:
    name = distribution_or_skip(request)
    built: Built = request.getfixturevalue("built")
    with found_by_nodes(built):
        yield Distribution(name, rcl_node(built, name))


@pytest.fixture(scope="module")
def ros(
    distribution: Distribution, bundle: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Graph]:
    scratch = tmp_path_factory.mktemp(distribution.name)
    program = ("--bundle", str(bundle))
    given = {"remove_classes": ["ground"]}
    with hearing(distribution.name, scratch, bundle, given, *program, executable=distribution.node) as found:
        warm_up(found.peer)
        yield found


@pytest.mark.slow(seconds=20)  # each, with the builds of the node
class TestRclNode(NodeSuite):
    has_steps_of_no_time = True

    def test_an_interrupt_ends_the_node(self, ros: Graph) -> None:
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
    with hearing(distribution.name, tmp_path, bundle, {}, *options, executable=distribution.node) as found:
        peer = found.peer
        while not peer.collected(SEGMENTATION, 1, most_s=0.5):
            peer.publish([lidar_cloud(0)])
        settled(peer)
        peer.publish([lidar_cloud(1)])
        (segmented,) = peer.collected(SEGMENTATION, 1)
        (filtered,) = peer.collected(FILTERED, 1)
        assert len(filtered) == np.count_nonzero(segmented.column("class_id") == 0)
        assert not peer.collected(VISUALIZATION, 1, most_s=0.2)
