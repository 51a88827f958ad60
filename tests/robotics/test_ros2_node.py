"""The node in ROS 2: Jazzy and Kilted from the package index, with a peer in a process of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.robotics.bags import lidar_cloud
from tests.robotics.ros2 import graph
from tests.robotics.ros2.graph import NODE, SEGMENTATION, TOPIC
from tests.robotics.ros2.nodes import (
    OUTCOMES,
    QOS,
    Graph,
    after_a_pause,
    distribution_or_skip,
    hearing,
    warm_up,
)
from tests.robotics.ros2.suites import LifecycleSuite


@pytest.fixture(scope="module", params=graph.DISTRIBUTIONS)
def ros(
    request: pytest.FixtureRequest, bundle: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Graph]:
    distribution = distribution_or_skip(request)
    given = {"bundle": str(bundle), "remove_classes": ["ground"]}
    with hearing(distribution, tmp_path_factory.mktemp(distribution), bundle, given) as found:
        warm_up(found.peer)
        yield found


class TestPythonNode(LifecycleSuite):
    def refuses_to_be_configured(self, ros: Graph) -> None:
        if ros.distribution != "jazzy":
            super().refuses_to_be_configured(ros)
            return
        with pytest.raises(AssertionError, match="waited"):  # whose rclpy raises, and answers nothing
            ros.peer("change", node=NODE, transition=graph.CONFIGURE, most_s=0.5)
        ros.node.says("A request was not answered: ")


@pytest.mark.parametrize("distribution", graph.DISTRIBUTIONS)
def test_scans_that_a_queue_of_one_cannot_hold_are_received_or_counted_as_lost(
    distribution: str, bundle: Path, tmp_path: Path
) -> None:
    if reason := graph.why_missing(distribution):
        pytest.skip(reason)
    qos = {**QOS, f"qos_overrides.{TOPIC}.subscription.depth": 1}
    with (
        graph.running_peer(distribution, tmp_path) as peer,
        graph.running_node(distribution, tmp_path, {"bundle": str(bundle), **qos}) as node,
    ):
        node.says("Labels what arrives")
        peer("collect", topic=SEGMENTATION)
        for _ in range(60):
            peer.publish([lidar_cloud(0)])
            if peer.collected(SEGMENTATION, 1, most_s=0.5):
                break
        # Before Kilted nothing is counted where another publisher is seen for a moment, as on a busy machine.
        for _ in range(3):
            more = after_a_pause(node, peer)
            if more["received"] + more["lost"] == 13:
                break
        assert more["received"] + more["lost"] == 13, more
        assert more["received"] == sum(more[one] for one in OUTCOMES)
