"""`hwnas ros run` over DDS: with ROS 2 Jazzy and Kilted, and with a publisher without ROS, as processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hwnas.errors import ConfigError
from hwnas.processes import kill_group, start
from hwnas.robotics import LiveOptions, LiveRun, PointCloud2, live_run, run_live
from hwnas.robotics.dds import DdsGraph
from hwnas.robotics.point_cloud2 import TYPE_NAME
from hwnas.robotics.serialised_clouds import bytes_of_cloud, cloud_of_bytes
from tests.bundle.runtime.other_runtimes import ROOT
from tests.robotics.bags import lidar_cloud
from tests.robotics.messages import xyzir
from tests.robotics.ros2 import graph
from tests.robotics.ros2.graph import NODE, SEGMENTATION, TOPIC
from tests.robotics.ros2.nodes import (
    TOPICS,
    Labelling,
    check_labels,
    counts_of,
    distribution_or_skip,
    malformed,
    serialised,
    settled,
    warm_up,
)
from tests.robotics.ros2.suites import LabelSuite

pytest.importorskip("cyclonedds", reason="no Cyclone DDS: `pip install hwnas[dds]`, where it has a wheel")

# Fast DDS of Kilted says types in a way that Cyclone DDS takes for damage, unless it is told to say none.
NO_TYPES = """<?xml version="1.0" encoding="UTF-8"?>
<dds xmlns="http://www.eprosima.com"><profiles><participant profile_name="names" is_default_profile="true"><rtps>
<propertiesPolicy><properties><property><name>fastdds.type_propagation</name><value>disabled</value></property>
</properties></propertiesPolicy></rtps></participant></profiles></dds>
"""
"""As docs/guides/ros.md has it."""


@dataclass(frozen=True)
class Running:
    """A process of the command, and where it writes."""

    process: subprocess.Popen[bytes]
    out: Path
    log: Path

    def ended(self) -> tuple[int, dict[str, Any]]:
        """End it as Ctrl-C does; return its exit code and what it says of itself."""
        self.process.send_signal(signal.SIGINT)
        code = self.process.wait(60)
        return code, json.loads(self.out.read_text())


@contextmanager
def running(bundle: Path, scratch: Path, *more: str) -> Iterator[Running]:
    """Run the command on `TOPIC` until the end of the context."""
    out, log = scratch / "run.json", scratch / "run.log"
    command = [sys.executable, "-m", "hwnas", "ros", "run", "--bundle", str(bundle), "--topic", TOPIC]
    with out.open("wb") as stdout, log.open("wb") as stderr:
        process = start(
            [*command, "--json", *more], env=graph.environment(scratch), stdout=stdout, stderr=stderr
        )
    try:
        yield Running(process, out, log)
    finally:
        kill_group(process)
        process.wait()


@pytest.fixture(scope="module", params=graph.DISTRIBUTIONS)
def ros(
    request: pytest.FixtureRequest, bundle: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Labelling]:
    """A peer in ROS that hears what the command publishes."""
    distribution = distribution_or_skip(request)
    scratch = tmp_path_factory.mktemp(distribution)
    profile = scratch / "no-types.xml"
    profile.write_text(NO_TYPES)
    with (
        pytest.MonkeyPatch.context() as patched,
        running(bundle, scratch, "--remove-class", "ground") as run,
    ):
        patched.setenv("FASTDDS_DEFAULT_PROFILES_FILE", str(profile))
        with graph.running_peer(distribution, scratch) as peer:
            for topic in TOPICS:
                peer("collect", topic=topic)
            warm_up(peer)
            yield Labelling(peer, bundle)
            code, said = run.ended()
            assert code == 0, run.log.read_text()
            assert said["counts"]["labelled"] >= 1
            assert said["latency"]["total"]["median_ms"] > 0


class TestLiveRun(LabelSuite):
    pass


def test_malformed_messages_are_refused_and_the_next_is_labelled(ros: Labelling) -> None:
    before = settled(ros.peer, TOPICS)
    messages = malformed()[:60]
    whole = serialised(xyzir())
    messages += [whole[:length] for length in (30, len(whole) // 2)]
    ros.peer.publish(messages, period_s=0.01)
    after = settled(ros.peer, TOPICS)
    more = {name: count - before[name] for name, count in after.items()}
    # What arrives is counted; best effort may lose some, and another middleware may not send what is cut off.
    assert more["received"] == more["refused"] >= 30
    assert more["received"] + more["lost"] <= len(messages)
    ros.peer.publish([lidar_cloud(5)])
    found = ros.peer.collected(SEGMENTATION, 1)
    assert len(found) == 1
    check_labels(found, ros.bundle)
    assert counts_of(ros.peer("diagnosis", node=NODE))["failed"] == 0


PUBLISHER = """
import sys, time
from pathlib import Path
from hwnas.robotics.dds import DdsGraph
from hwnas.robotics.point_cloud2 import TYPE_NAME

domain, topic, period_s, *files = sys.argv[1:]
contents = [Path(one).read_bytes() for one in files]
with DdsGraph(int(domain), is_local=True) as graph:
    publisher = graph.publisher(topic, TYPE_NAME)
    while not publisher.has_subscribers:
        time.sleep(0.01)
    began = time.monotonic()
    for number, content in enumerate(contents):
        time.sleep(max(0.0, began + number * float(period_s) - time.monotonic()))
        publisher.publish(content)
    time.sleep(1.0)
"""


def test_a_drive_between_two_processes_without_ros(bundle: Path, tmp_path: Path) -> None:
    seeds = range(20)
    files = []
    for seed in seeds:
        path = tmp_path / f"{seed}.cdr"
        path.write_bytes(bytes_of_cloud(lidar_cloud(seed)))
        files.append(str(path))
    domain = int(graph.environment(tmp_path)["ROS_DOMAIN_ID"])
    heard: list[PointCloud2] = []
    ends = threading.Event()

    def listen() -> None:
        with DdsGraph(domain, is_local=True) as other:
            other.subscribe(SEGMENTATION, TYPE_NAME, lambda content: heard.append(cloud_of_bytes(content)))
            while not ends.is_set():
                other.take(0.1)

    listener = threading.Thread(target=listen)
    listener.start()
    command = [sys.executable, "-c", PUBLISHER, str(domain), TOPIC, "0.1", *files]
    publisher = start(command, env={**os.environ, "PYTHONPATH": str(ROOT)})
    try:
        found = run_live(
            bundle,
            TOPIC,
            LiveOptions(domain=domain, localhost=True, duration_s=120),
            stop=lambda: publisher.poll() is not None,
        )
        time.sleep(0.5)
    finally:
        ends.set()
        listener.join()
        kill_group(publisher)
        publisher.wait()
    counts = found.counts
    assert counts.received + counts.lost <= len(seeds)
    assert counts.received == counts.labelled + counts.dropped >= 1
    assert counts.refused == counts.failed == 0
    assert 1 <= len(heard) <= counts.labelled
    check_labels(heard, bundle)


def refused(arguments: Sequence[str], **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "hwnas", "ros", "run", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )


def test_nothing_that_arrives_is_said_with_where_to_look(bundle: Path, tmp_path: Path) -> None:
    environment = {name: graph.environment(tmp_path)[name] for name in ("ROS_DOMAIN_ID",)}
    done = refused(
        ["-b", str(bundle), "--topic", "/nobody", "--localhost", "--duration", "0.5"], **environment
    )
    assert done.returncode == 3
    assert "0 labelled" in done.stdout
    text = " ".join(done.stderr.split())
    assert f"No cloud arrived on /nobody in the domain {environment['ROS_DOMAIN_ID']}" in text


@pytest.mark.parametrize("topic", ["points", "/", "/lidar//points", "/9", "/a b", "~/points", ""])
def test_a_topic_that_is_no_full_name_is_refused(bundle: Path, topic: str) -> None:
    with pytest.raises(ConfigError, match="expected a full name of ROS"):
        run_live(bundle, topic, LiveOptions(localhost=True, duration_s=1))


@pytest.mark.parametrize("domain", [-1, 102])
def test_a_domain_out_of_range_is_refused(bundle: Path, domain: int) -> None:
    with pytest.raises(ConfigError, match="expected 0 to 101"):
        run_live(bundle, TOPIC, LiveOptions(domain=domain))


def test_domain_and_range_are_those_of_the_environment_where_none_are_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = graph.environment(tmp_path)
    own = int(environment["ROS_DOMAIN_ID"])
    monkeypatch.setenv("ROS_DOMAIN_ID", str(own))
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    made: list[tuple[int, bool]] = []

    class Noted(DdsGraph):
        def __init__(self, domain: int, *, is_local: bool = False) -> None:
            made.append((domain, is_local))
            super().__init__(domain, is_local=is_local)

    monkeypatch.setattr(live_run, "DdsGraph", Noted)
    for options in (LiveOptions(), LiveOptions(domain=own, localhost=True)):
        with options.graph() as joined:
            assert joined.domain == own
    monkeypatch.delenv("ROS_AUTOMATIC_DISCOVERY_RANGE")
    LiveOptions().graph().close()
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    LiveOptions(localhost=False).graph().close()
    assert made == [(own, True), (own, True), (own, False), (own, False)]
    monkeypatch.setenv("ROS_DOMAIN_ID", "five")
    with pytest.raises(ConfigError, match=r"ROS_DOMAIN_ID is 'five'; expected a whole number.*`domain=`"):
        LiveOptions().graph()


@pytest.mark.parametrize("duration", [0.0, -1.0, float("nan"), float("inf")])
def test_a_duration_that_is_none_is_refused(duration: float) -> None:
    with pytest.raises(ConfigError, match="expected seconds above 0"):
        LiveOptions(duration_s=duration)


@pytest.mark.parametrize(
    ("options", "reported"),
    [
        ({"domain": "5"}, "expected a whole number"),
        ({"format_options": {"threads": 4}}, "`format_options=` holds 'threads'"),
        ({"remove_classes": "ground"}, "expected a list of texts"),
    ],
)
def test_options_of_the_wrong_kind_are_refused(options: dict[str, Any], reported: str) -> None:
    with pytest.raises(ConfigError, match=reported):
        LiveOptions(**options).settings("bundle", None)


def test_without_cyclone_dds_the_remedy_is_said(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cyclonedds.core", None)
    with pytest.raises(ConfigError, match=r"pip install 'hwnas\[dds\]'"):
        run_live(bundle, TOPIC, LiveOptions(localhost=True))


def test_results_become_json(bundle: Path, tmp_path: Path) -> None:
    domain = int(graph.environment(tmp_path)["ROS_DOMAIN_ID"])
    found = run_live(bundle, TOPIC, LiveOptions(domain=domain, localhost=True, duration_s=0.2))
    assert isinstance(found, LiveRun)
    told = json.loads(json.dumps(found.to_json()))
    assert told["counts"]["received"] == 0
    assert told["output_topics"] == list(TOPICS)
    assert told["network"]["bundle"] == str(bundle)
