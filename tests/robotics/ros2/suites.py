"""Suites for whatever labels clouds in ROS 2, in Python or C++: a test module gives them a node by the fixture `ros`."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from tests.bundle.small_lidar import LABELS
from tests.robotics.bags import lidar_cloud
from tests.robotics.messages import xyzir
from tests.robotics.ros2 import graph
from tests.robotics.ros2.graph import FILTERED, NODE, SEGMENTATION, VISUALIZATION
from tests.robotics.ros2.nodes import (
    MALFORMED,
    Graph,
    Labelling,
    added,
    check_labels,
    counts_of,
    malformed,
    serialised,
    settled,
    warm_up,
)


class LabelSuite:
    """What is published for one cloud; `ros` is a `Labelling` that leaves out the class `ground`."""

    def test_labels_equal_those_of_the_runner(self, ros: Labelling) -> None:
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


class NodeSuite(LabelSuite):
    """A node that is active; `ros` is a `Graph`."""

    has_steps_of_no_time = False
    """Whether a step may be so quick that diagnostics round it to nothing."""

    def test_a_drive_at_10_hz_is_labelled_or_counted(self, ros: Graph) -> None:
        before = settled(ros.peer)
        seeds = range(25)
        took_s = ros.peer.publish([lidar_cloud(seed) for seed in seeds], period_s=0.1)
        assert took_s >= 2.4
        more = added(ros.peer, before, len(seeds))
        assert more["refused"] == more["failed"] == 0
        found = ros.peer.collected(SEGMENTATION, more["labelled"])
        assert len(found) == more["labelled"] >= 1
        check_labels(found, ros.bundle)

    def test_malformed_clouds_are_refused_in_words_and_the_node_lives(self, ros: Graph) -> None:
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

    def test_diagnostics_say_how_the_node_does(self, ros: Graph) -> None:
        ros.peer.publish([lidar_cloud(seed) for seed in range(15)], period_s=0.1)
        found = ros.peer("diagnosis", node=NODE)
        assert found["name"] == f"/{NODE}: segmentation"
        assert found["hardware_id"] == found["values"]["architecture"]
        values = found["values"]
        assert (values["state"], values["bundle"], values["precision"]) == ("active", str(ros.bundle), "fp32")
        for step in ("decode", "wait", "preprocess", "network", "postprocess", "publish", "total"):
            median_ms, p99_ms = float(values[f"{step} median ms"]), float(values[f"{step} p99 ms"])
            assert 0 <= median_ms <= p99_ms
            assert median_ms > 0 or self.has_steps_of_no_time
        assert counts_of(found)["labelled"] > 0
        quiet = ros.peer("diagnosis", node=NODE, after=3)
        assert quiet["level"] == 1
        assert quiet["message"] == "no scan labelled: none arrived"


class LifecycleSuite(NodeSuite):
    """A node with states and parameters that are set while it lives; its last test ends the node of `ros`."""

    out_of_range = "out of range"
    """What is said of a number that is."""

    def refuses_to_be_configured(self, ros: Graph) -> None:
        """Have an active node refuse a transition that it cannot make."""
        assert not ros.peer("change", node=NODE, transition=graph.CONFIGURE)

    def test_parameters_are_described_and_bad_ones_refused_in_words(self, ros: Graph) -> None:
        names = ["threads", "backend", "autostart"]
        threads, backend, autostart = ros.peer("describe", node=NODE, names=names)
        assert threads["range"] == [[0, 1024]]
        assert threads["description"].startswith("Threads of one inference")
        assert backend["constraints"] == "one of onnxruntime, tensorrt, tensorrt-rtx"
        assert autostart["read_only"]
        for values, words in (
            ({"threads": -1}, self.out_of_range),
            ({"threads": "two"}, "type"),
            ({"backend": "cuda"}, "expected one of onnxruntime"),
            ({"remove_classes": ["grond"]}, "Did you mean 'ground'?"),
            ({"intensity_scale": -1.0}, self.out_of_range),
            ({"identity": "fleet@example.com"}, "go together"),
            ({"autostart": False}, "read-only"),
        ):
            ((is_taken, reason),) = ros.peer("set", node=NODE, values=values)
            assert not is_taken
            assert words in reason, (values, reason)
        ((is_taken, _),) = ros.peer("set", node=NODE, values={"intensity": "intensity"})
        assert is_taken

    def test_a_bundle_is_changed_while_scans_arrive(self, ros: Graph, tmp_path: Path) -> None:
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

    def test_transitions(self, ros: Graph) -> None:
        peer = ros.peer
        settled(peer)
        assert peer("state", node=NODE) == "active"
        self.refuses_to_be_configured(ros)
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
