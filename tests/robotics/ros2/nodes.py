"""What tests of nodes share, in Python or C++: a peer that hears them, what is sent, and what is counted."""

from __future__ import annotations

import random
import re
import signal
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwnas.bundle.runtime.runner import Runner
from hwnas.robotics import PointCloud2
from hwnas.robotics.point_cloud2 import TYPE_NAME
from tests.bundle.small_lidar import make_scan
from tests.robotics.bags import ROS2, START_NS, STEP_NS, lidar_cloud
from tests.robotics.messages import xyzir
from tests.robotics.ros2 import graph
from tests.robotics.ros2.graph import FILTERED, NODE, SEGMENTATION, TOPIC, VISUALIZATION, Node, Peer
from tests.robotics.test_malformed_clouds import FAULTS

# Reliable and deep: the tests count, and the machine may be busy.
QOS = {
    f"qos_overrides.{TOPIC}.subscription.reliability": "reliable",
    f"qos_overrides.{TOPIC}.subscription.depth": 500,
}
MALFORMED = 200
TOPICS = (SEGMENTATION, VISUALIZATION, FILTERED)
OUTCOMES = ("labelled", "dropped", "refused", "failed")


@dataclass(frozen=True)
class Labelling:
    """A peer that hears what is labelled with a bundle."""

    peer: Peer
    bundle: Path


@dataclass(frozen=True)
class Graph(Labelling):
    """A node that is active, and a peer that hears what it publishes."""

    distribution: str
    node: Node


def distribution_or_skip(request: pytest.FixtureRequest) -> str:
    """Return the distribution that a fixture is asked for; skip where it is not installed."""
    distribution = str(request.param)
    if reason := graph.why_missing(distribution):
        pytest.skip(reason)
    return distribution


@contextmanager
def hearing(
    distribution: str, scratch: Path, bundle: Path, given: Mapping[str, Any], *program: str, **how: Any
) -> Iterator[Graph]:
    """Run a node, and a peer that hears all of its topics.

    Args:
        distribution: of ROS.
        scratch: a directory for what they write.
        bundle: that the node labels with.
        given: parameters of the node, beside `QOS`.
        program: of `graph.running_node`; its own where there is none.
        how: of `graph.running_node`.
    """
    if program or how:
        how["program"] = program
    with (
        graph.running_peer(distribution, scratch) as peer,
        graph.running_node(distribution, scratch, {**QOS, **given}, **how) as node,
    ):
        node.says("Labels what arrives")
        for topic in TOPICS:
            peer("collect", topic=topic)
        yield Graph(peer, bundle, distribution, node)


def warm_up(peer: Peer, topics: Sequence[str] = TOPICS) -> None:
    """Publish until all that is published arrives, and take it."""
    for topic in topics:
        for _ in range(60):
            peer.publish([lidar_cloud(0)])
            if peer.collected(topic, 1, most_s=0.5):
                break
        else:
            pytest.fail(f"nothing arrives on {topic}")
    settled(peer, topics)


def settled(peer: Peer, topics: Sequence[str] = TOPICS) -> dict[str, int]:
    """Return the counts of the node once all that it received is done; forget what it published."""
    before: dict[str, int] = {}
    for _ in range(60):
        counts = counts_of(peer("diagnosis", node=NODE))
        if counts == before and counts["received"] == sum(counts[one] for one in OUTCOMES):
            break
        before = counts
    for topic in topics:
        peer.collected(topic, 0)
    return before


def counts_of(diagnosis: dict[str, Any]) -> dict[str, int]:
    """Return how many scans became what."""
    values = diagnosis["values"]
    return {
        name.removeprefix("scans "): int(text) for name, text in values.items() if name.startswith("scans ")
    }


def added(peer: Peer, before: dict[str, int], received: int) -> dict[str, int]:
    """Wait until so many more are received and done; return what was added."""
    for _ in range(60):
        counts = counts_of(peer("diagnosis", node=NODE))
        more = {name: count - before[name] for name, count in counts.items()}
        if more["received"] == received == sum(more[one] for one in OUTCOMES):
            return more
    pytest.fail(f"{received} scans were sent, but {more} counted")


def check_labels(clouds: Sequence[PointCloud2], bundle: Path) -> None:
    """Hold segmented clouds of the small LiDAR against what the runner says of the same scans."""
    with Runner(bundle) as runner:
        for cloud in clouds:
            points, intensity, _ = make_scan((cloud.stamp_ns - START_NS) // STEP_NS)
            expected = runner.segment(points, intensity)
            assert cloud.frame_id == "top_lidar"
            assert np.array_equal(cloud.column("class_id"), expected.labels)
            assert np.allclose(cloud.column("probability"), expected.scores, atol=1e-6)
            assert np.array_equal(np.stack([cloud.column(axis) for axis in "xyz"], axis=1), points)


def malformed() -> list[bytes]:
    """Return faulty messages that ROS can carry: another type or sign of a value is none of them."""
    carried = [
        name for name in FAULTS if not re.search(" no (number|text)|none$|negative|gaps|other|missing", name)
    ]
    found = []
    for seed in range(20):
        for name in [*carried, "a coordinate missing", "a coordinate called otherwise", "point_step none"]:
            fault, _ = FAULTS[name]
            made = xyzir(seed=seed)
            fault(made, random.Random(f"{name} {seed}"))
            try:
                found.append(serialised(made))
            except (struct.error, TypeError, ValueError, AttributeError, OverflowError):
                continue
    return found[:MALFORMED]


def serialised(made: Any) -> bytes:
    """Return a message as DDS carries it."""
    types = ROS2.types
    stamp = types["builtin_interfaces/msg/Time"](made.header.stamp.sec, made.header.stamp.nanosec)
    header = types["std_msgs/msg/Header"](stamp, made.header.frame_id)
    fields = [
        types["sensor_msgs/msg/PointField"](one.name, one.offset, one.datatype, one.count)
        for one in made.fields
    ]
    data = np.frombuffer(made.data, np.uint8)
    message = types[TYPE_NAME](
        header, made.height, made.width, fields, made.is_bigendian, made.point_step, made.row_step, data, made.is_dense,
    )  # fmt: skip
    return bytes(ROS2.serialize_cdr(message, TYPE_NAME))


def after_a_pause(node: Node, peer: Peer) -> dict[str, int]:
    """Stop a node, publish 13 scans, of which the last when it goes on; return what is counted more than before."""
    before = settled(peer, [SEGMENTATION])
    node.process.send_signal(signal.SIGSTOP)  # so that nothing is fetched
    peer.publish([lidar_cloud(seed) for seed in range(12)], period_s=0.02)
    node.process.send_signal(signal.SIGCONT)
    peer.publish([lidar_cloud(12)])
    for _ in range(60):
        counts = settled(peer, [SEGMENTATION])
        more = {name: count - before[name] for name, count in counts.items()}
        if more["received"] + more["lost"] == 13:
            break
    return more


def check_waiting_for_a_bundle(peer: Peer, node: Node, bundle: Path) -> None:
    """Have a node that was started without a bundle say so, take one, and go through its life."""
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
