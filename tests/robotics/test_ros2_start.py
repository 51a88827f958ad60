"""How the node begins, and what it does when it is too slow; each test with a node of its own."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.robotics.bags import lidar_cloud
from tests.robotics.ros2 import graph
from tests.robotics.ros2.graph import SEGMENTATION
from tests.robotics.ros2.nodes import (
    QOS,
    added,
    check_labels,
    check_waiting_for_a_bundle,
    distribution_or_skip,
    settled,
)


@pytest.fixture(params=graph.DISTRIBUTIONS)
def distribution(request: pytest.FixtureRequest) -> str:
    return distribution_or_skip(request)


def test_a_slow_network_labels_the_newest_and_counts_the_others(
    distribution: str, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLOW_S", "0.35")
    program = [str(graph.PROGRAMS / "slow_node.py")]
    with (
        graph.running_peer(distribution, tmp_path) as peer,
        graph.running_node(distribution, tmp_path, {"bundle": str(bundle), **QOS}, program) as node,
    ):
        node.says("Labels what arrives")
        peer("collect", topic=SEGMENTATION)
        while not peer.collected(SEGMENTATION, 1, most_s=1.0):
            peer.publish([lidar_cloud(0)])
        before = settled(peer, topics=[SEGMENTATION])
        peer.publish([lidar_cloud(seed) for seed in range(20)], period_s=0.1)
        more = added(peer, before, 20)
        assert more["refused"] == more["failed"] == 0
        assert more["dropped"] >= 10
        found = peer.collected(SEGMENTATION, more["labelled"])
        assert len(found) == more["labelled"] >= 2
        stamps = [one.stamp_ns for one in found]
        assert stamps == sorted(stamps)
        assert stamps[-1] == lidar_cloud(19).stamp_ns, "the newest is never dropped"
        check_labels(found, bundle)


def test_without_a_bundle_the_node_waits_and_says_so(distribution: str, bundle: Path, tmp_path: Path) -> None:
    with (
        graph.running_peer(distribution, tmp_path) as peer,
        graph.running_node(distribution, tmp_path, {}) as node,
    ):
        check_waiting_for_a_bundle(peer, node, bundle)


def test_without_hwnas_the_package_says_what_is_missing(distribution: str, tmp_path: Path) -> None:
    package = graph.ROOT / "export" / "ros2" / "hwnas_ros"
    done = subprocess.run(
        [graph.python_of(f"ros2-{distribution}"), "-m", "hwnas_ros.segmentation_node"],
        env={**graph.environment(tmp_path), "PYTHONPATH": str(package)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("hwnas is missing for ")
    assert "numpy and onnxruntime" in done.stderr


def test_a_value_of_another_type_ends_the_node_in_words(distribution: str, tmp_path: Path) -> None:
    with graph.running_node(distribution, tmp_path, {"threads": "two"}) as node:
        assert node.process.wait(60) == 2
        assert "The node cannot begin: " in node.text()
        assert "Traceback" not in node.text()
