"""The node in ROS 2: Jazzy and Kilted from the package index, with a peer in a process of its own."""

from __future__ import annotations

import random
import re
import shutil
import signal
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwnas.bundle.runtime.runner import Runner
from hwnas.robotics import PointCloud2
from hwnas.robotics.point_cloud2 import TYPE_NAME
from tests.bundle.small_lidar import LABELS, make_scan
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
class Graph:
    """A node that is active, and a peer that hears what it publishes."""

    distribution: str
    node: Node
    peer: Peer
    bundle: Path


@pytest.fixture(scope="module", params=graph.DISTRIBUTIONS)
def ros(
    request: pytest.FixtureRequest, bundle: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Graph]:
    distribution = str(request.param)
    if reason := graph.why_missing(distribution):
        pytest.skip(reason)
    scratch = tmp_path_factory.mktemp(distribution)
    given = {"bundle": str(bundle), "remove_classes": ["ground"], **QOS}
    with (
        graph.running_peer(distribution, scratch) as peer,
        graph.running_node(distribution, scratch, given) as node,
    ):
        node.says("Labels what arrives")
        for topic in TOPICS:
            peer("collect", topic=topic)
        warm_up(peer)
        yield Graph(distribution, node, peer, bundle)


def warm_up(peer: Peer) -> None:
    """Publish until all that the node publishes arrives, and take it."""
    for topic in TOPICS:
        for _ in range(60):
            peer.publish([lidar_cloud(0)])
            if peer.collected(topic, 1, most_s=0.5):
                break
        else:
            pytest.fail(f"nothing arrives on {topic}")
    settled(peer)


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


def test_labels_equal_those_of_the_runner(ros: Graph) -> None:
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
    took_s = ros.peer.publish([lidar_cloud(seed) for seed in seeds], period_s=0.1)
    assert took_s >= 2.4
    more = added(ros.peer, before, len(seeds))
    assert more["refused"] == more["failed"] == 0
    found = ros.peer.collected(SEGMENTATION, more["labelled"])
    assert len(found) == more["labelled"] >= 1
    check_labels(found, ros.bundle)


def test_malformed_clouds_are_refused_in_words_and_the_node_lives(ros: Graph) -> None:
    before = settled(ros.peer)
    messages = malformed()
    assert len(messages) == MALFORMED
    ros.peer.publish(messages, period_s=0.003)
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


def test_diagnostics_say_how_the_node_does(ros: Graph) -> None:
    ros.peer.publish([lidar_cloud(seed) for seed in range(15)], period_s=0.1)
    found = ros.peer("diagnosis", node=NODE)
    assert found["name"] == f"/{NODE}: segmentation"
    assert found["hardware_id"] == found["values"]["architecture"]
    values = found["values"]
    assert (values["state"], values["bundle"], values["precision"]) == ("active", str(ros.bundle), "fp32")
    for step in ("decode", "wait", "preprocess", "network", "postprocess", "publish", "total"):
        assert 0 < float(values[f"{step} median ms"]) <= float(values[f"{step} p99 ms"])
    assert counts_of(found)["labelled"] > 0
    quiet = ros.peer("diagnosis", node=NODE, after=3)
    assert quiet["level"] == 1
    assert quiet["message"] == "no scan labelled: none arrived"


def test_parameters_are_described_and_bad_ones_refused_in_words(ros: Graph) -> None:
    threads, backend, autostart = ros.peer("describe", node=NODE, names=["threads", "backend", "autostart"])
    assert threads["range"] == [[0, 1024]]
    assert threads["description"].startswith("Threads of one inference")
    assert backend["constraints"] == "one of onnxruntime, tensorrt, tensorrt-rtx"
    assert autostart["read_only"]
    for values, words in (
        ({"threads": -1}, "out of range"),
        ({"threads": "two"}, "type"),
        ({"backend": "cuda"}, "expected one of onnxruntime"),
        ({"remove_classes": ["grond"]}, "Did you mean 'ground'?"),
        ({"intensity_scale": -1.0}, "out of range"),
        ({"identity": "fleet@example.com"}, "go together"),
        ({"autostart": False}, "read-only"),
    ):
        ((is_taken, reason),) = ros.peer("set", node=NODE, values=values)
        assert not is_taken
        assert words in reason, (values, reason)
    ((is_taken, _),) = ros.peer("set", node=NODE, values={"intensity": "intensity"})
    assert is_taken


def test_a_bundle_is_changed_while_scans_arrive(ros: Graph, tmp_path: Path) -> None:
    other = shutil.copytree(ros.bundle, tmp_path / "other")
    ((is_taken, reason),) = ros.peer("set", node=NODE, values={"bundle": str(tmp_path / "gone")})
    assert not is_taken
    assert "manifest.json" in reason
    diagnosis = ros.peer("diagnosis", node=NODE)
    assert diagnosis["values"]["bundle"] == str(ros.bundle)
    assert "goes on as before" in diagnosis["message"]
    ros.peer("set", node=NODE, values={"bundle": str(other)})
    diagnosis = ros.peer("diagnosis", node=NODE)
    assert diagnosis["values"]["bundle"] == str(other)
    assert "problem" not in diagnosis["values"]
    ros.peer.collected(SEGMENTATION, 0)
    ros.peer.publish([lidar_cloud(7)])
    check_labels(ros.peer.collected(SEGMENTATION, 1), other)
    ((is_taken, _),) = ros.peer("set", node=NODE, values={"bundle": str(ros.bundle)})
    assert is_taken


def test_transitions(ros: Graph) -> None:
    peer = ros.peer
    settled(peer)
    assert peer("state", node=NODE) == "active"
    if ros.distribution == "jazzy":  # whose rclpy raises, and answers nothing
        with pytest.raises(AssertionError, match="waited"):
            peer("change", node=NODE, transition=graph.CONFIGURE, most_s=0.5)
        ros.node.says("A request was not answered: ")
    else:
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


def after_a_pause(node: graph.Node, peer: graph.Peer) -> dict[str, int]:
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
