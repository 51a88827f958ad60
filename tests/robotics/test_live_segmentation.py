"""What a node does with clouds, without ROS: the newest is labelled, every one counted, reloads leave no gap."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwnas.bundle.runtime.runner import Runner
from hwnas.errors import BundleError, ConfigError
from hwnas.robotics.labelling import FILTERED, SEGMENTATION, VISUALIZATION
from hwnas.robotics.live_segmentation import LiveSegmentation, open_runner
from hwnas.robotics.node_reports import NODE_STEPS, Counts, Level
from hwnas.robotics.node_settings import NodeSettings
from hwnas.robotics.point_cloud2 import MessageTypes, PointCloud2
from tests.bundle.made_up_bundle import write_bundle
from tests.bundle.small_lidar import make_scan
from tests.robotics.bags import ROS2, lidar_cloud
from tests.robotics.messages import xyzir


class Kept:
    """Keeps what is published and complained of."""

    def __init__(self) -> None:
        self.published: list[Mapping[str, PointCloud2]] = []
        self.errors: list[str] = []
        self.wanted = {VISUALIZATION, FILTERED}

    def wants(self, kind: str) -> bool:
        return kind in self.wanted

    def publish(self, messages: Mapping[str, PointCloud2]) -> None:
        self.published.append(messages)

    def report_error(self, text: str) -> None:
        self.errors.append(text)


class Gate:
    """Opens runners; once it is shut, their networks wait until it is opened."""

    def __init__(self) -> None:
        self.is_shut = False
        self.opened = threading.Event()
        self.entered = threading.Semaphore(0)

    def __call__(self, settings: NodeSettings) -> Runner:
        runner = open_runner(settings)
        network = runner.predict

        def predict(arrays: Any) -> Any:
            if self.is_shut:
                self.entered.release()
                assert self.opened.wait(60)
            return network(arrays)

        runner.predict = predict  # type: ignore[method-assign]
        return runner


class Unreadable:
    """A message that fails in a way nobody thought of."""

    @property
    def header(self) -> Any:
        raise RuntimeError("no memory")


def message(seed: int) -> Any:
    return lidar_cloud(seed).to_message(MessageTypes.of_rosbags(ROS2))


def settings(bundle: Path, **more: Any) -> NodeSettings:
    return NodeSettings.of({"bundle": str(bundle), **more})


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def done(live: LiveSegmentation) -> int:
    counts = live.report().counts
    return counts.labelled + counts.dropped + counts.refused + counts.failed


@pytest.fixture
def sink() -> Kept:
    return Kept()


@pytest.fixture
def live(sink: Kept) -> Iterator[LiveSegmentation]:
    made = LiveSegmentation(sink)
    yield made
    made.cleanup()


def test_labels_are_those_of_the_runner(bundle: Path, live: LiveSegmentation, sink: Kept) -> None:
    live.configure(settings(bundle, remove_classes=["ground", ""]))
    live.activate()
    for seed in range(3):
        live.receive(message(seed))
        until(lambda seed=seed: len(sink.published) > seed)  # type: ignore[misc]
    with Runner(bundle) as runner:
        for seed, found in enumerate(sink.published):
            points, intensity, _ = make_scan(seed)
            expected = runner.segment(points, intensity)
            assert set(found) == {SEGMENTATION, VISUALIZATION, FILTERED}
            labelled = found[SEGMENTATION]
            assert (labelled.stamp_ns, labelled.frame_id) == (lidar_cloud(seed).stamp_ns, "top_lidar")
            assert np.array_equal(labelled.column("class_id"), expected.labels)
            assert np.array_equal(labelled.column("probability"), expected.scores)
            assert len(found[FILTERED]) == np.count_nonzero(expected.labels != 0) < len(points)
    until(lambda: live.report().counts == Counts(received=3, labelled=3))
    report = live.report()
    assert set(report.latency) == set(NODE_STEPS)
    assert report.network["bundle"] == str(bundle)
    level, text = report.status_since(Counts())
    assert level is Level.OK
    assert text.startswith("3 scans labelled, ")
    assert {"state", "precision", "scans labelled", "network median ms", "total p99 ms"} <= set(
        report.values()
    )


def test_what_nobody_listens_to_is_not_made(bundle: Path, live: LiveSegmentation, sink: Kept) -> None:
    sink.wanted = {VISUALIZATION}
    live.configure(settings(bundle, remove_classes=["high"], visualization=True))
    live.activate()
    live.receive(message(0))
    until(lambda: len(sink.published) == 1)
    live.configure(settings(bundle, visualization=False), changed=["visualization"])
    live.receive(message(1))
    until(lambda: len(sink.published) == 2)
    assert [set(one) for one in sink.published] == [{SEGMENTATION, VISUALIZATION}, {SEGMENTATION}]


def test_the_newest_is_labelled_and_the_others_are_counted(bundle: Path, sink: Kept) -> None:
    gate = Gate()
    live = LiveSegmentation(sink, gate)
    live.configure(settings(bundle))
    gate.is_shut = True
    live.activate()
    live.receive(message(0))
    assert gate.entered.acquire(timeout=60)  # the first is under way
    for seed in range(1, 10):
        live.receive(message(seed))
    assert live.report().counts == Counts(received=10, dropped=8)
    gate.opened.set()
    until(lambda: done(live) == 10)
    stamps = [one[SEGMENTATION].stamp_ns for one in sink.published]
    assert stamps == [lidar_cloud(0).stamp_ns, lidar_cloud(9).stamp_ns]
    assert live.report().counts == Counts(received=10, labelled=2, dropped=8)
    level, text = live.report().status_since(Counts())
    assert level is Level.WARN
    assert "8 of 10 scans dropped for newer ones" in text
    live.cleanup()


def test_an_unreadable_message_takes_no_place(bundle: Path, sink: Kept) -> None:
    gate = Gate()
    live = LiveSegmentation(sink, gate)
    live.configure(settings(bundle))
    gate.is_shut = True
    live.activate()
    live.receive(message(0))
    assert gate.entered.acquire(timeout=60)
    live.receive(message(1))
    broken = xyzir()
    broken.data = broken.data[:-1]
    for wrong in (broken, None, object()):
        live.receive(wrong)
    gate.opened.set()
    until(lambda: done(live) == 5)
    assert live.report().counts == Counts(received=5, labelled=2, refused=3)
    assert "cut off" in sink.errors[0]
    assert "expected a sensor_msgs/PointCloud2" in live.report().last_refusal
    live.cleanup()


def test_a_scan_that_the_bundle_refuses_is_counted(bundle: Path, live: LiveSegmentation, sink: Kept) -> None:
    live.configure(settings(bundle, intensity_scale=100.0))
    live.activate()
    live.receive(message(0))
    until(lambda: done(live) == 1)
    assert live.report().counts.refused == 1
    level, text = live.report().status_since(Counts())
    assert level is Level.ERROR, "nothing is labelled"
    assert text.startswith("1 scan refused: ")
    assert "Intensities must lie in" in text
    live.configure(settings(bundle), changed=["intensity_scale"])
    live.receive(message(0))
    until(lambda: done(live) == 2)
    assert live.report().counts.labelled == 1


def test_a_failure_is_named_and_the_next_scan_is_labelled(
    bundle: Path, live: LiveSegmentation, sink: Kept
) -> None:
    failures = iter([ValueError("made up"), BundleError("The network is gone.")])
    publish = sink.publish

    def fail(messages: Mapping[str, PointCloud2]) -> None:
        for failure in failures:
            raise failure
        publish(messages)

    sink.publish = fail  # type: ignore[method-assign]
    live.configure(settings(bundle))
    live.activate()
    live.receive(Unreadable())
    assert sink.errors.pop() == "Scan failed: RuntimeError: no memory"
    for seed in range(3):
        live.receive(message(seed))
        until(lambda seed=seed: done(live) == seed + 2)  # type: ignore[misc]
    assert live.report().counts == Counts(received=4, labelled=1, failed=3)
    assert sink.errors == ["Scan failed: ValueError: made up", "Scan failed: The network is gone."]
    assert live.report().last_failure == "The network is gone."
    assert live.report().status_since(Counts())[0] is Level.WARN


def test_a_bundle_is_changed_without_a_gap(bundle: Path, sink: Kept, tmp_path: Path) -> None:
    other = shutil.copytree(bundle, tmp_path / "other")
    is_opening, may_open = threading.Event(), threading.Event()

    def opener(wanted: NodeSettings) -> Runner:
        if wanted.bundle == other:
            is_opening.set()
            assert may_open.wait(60)
        return open_runner(wanted)

    live = LiveSegmentation(sink, opener)
    live.configure(settings(bundle))
    live.activate()
    change = threading.Thread(target=live.configure, args=(settings(other), ["bundle"]))
    change.start()
    assert is_opening.wait(60)
    for seed in range(3):  # while the other bundle is being opened
        live.receive(message(seed))
        until(lambda seed=seed: live.report().counts.labelled == seed + 1)  # type: ignore[misc]
    assert live.report().network["bundle"] == str(bundle)
    may_open.set()
    change.join(60)
    assert live.report().network["bundle"] == str(other)
    assert live.report().counts.labelled == 3
    assert live.report().latency == {}, "of another network"
    assert live.report().status_since(Counts()) == (Level.OK, "3 scans labelled")
    live.cleanup()


@pytest.mark.parametrize("kind", ["missing", "damaged", "of another task", "unknown class"])
def test_a_bad_change_leaves_all_as_it_was(
    kind: str, bundle: Path, live: LiveSegmentation, sink: Kept, tmp_path: Path
) -> None:
    live.configure(settings(bundle))
    live.activate()
    bad, more = tmp_path / "gone", {}
    if kind == "damaged":
        bad = shutil.copytree(bundle, tmp_path / "damaged")
        (bad / "model.onnx").write_bytes(b"x")
    elif kind == "of another task":
        bad = write_bundle(tmp_path / "arrays")
    elif kind == "unknown class":
        bad, more = bundle, {"remove_classes": ["grond"]}
    with pytest.raises((BundleError, ConfigError)) as refused:
        live.configure(settings(bad, **more))
    if kind == "unknown class":
        assert "Did you mean 'ground'?" in str(refused.value)
    live.receive(message(0))
    until(lambda: live.report().counts.labelled == 1)
    report = live.report()
    assert report.network["bundle"] == str(bundle)
    assert report.problem == str(refused.value)
    level, text = report.status_since(Counts())
    assert level is Level.WARN
    assert text.startswith("goes on as before: ")
    live.configure(settings(bundle))
    assert live.report().problem == ""


def test_states(bundle: Path, live: LiveSegmentation, sink: Kept) -> None:
    with pytest.raises(ConfigError, match="configure"):
        live.activate()
    assert live.report().status_since(Counts()) == (Level.WARN, "not configured: no bundle is open")
    with pytest.raises(ConfigError, match="`bundle` is empty"):
        live.configure(NodeSettings.of({}))
    level, text = live.report().status_since(Counts())
    assert (level, text[:19]) == (Level.ERROR, "`bundle` is empty; ")
    live.configure(settings(bundle))
    live.receive(message(0))
    assert live.report().counts == Counts(), "nothing counts before activation"
    assert live.report().status_since(Counts()) == (Level.OK, "configured, not active")
    for _ in range(2):  # twice is as good as once
        live.activate()
    assert live.report().status_since(Counts()) == (Level.WARN, "no scan labelled: none arrived")
    for _ in range(2):
        live.deactivate()
    assert live.report().state == "inactive"
    live.activate()
    live.receive(message(0))
    live.deactivate()
    assert live.report().counts.received == 1 == done(live), "labelled or dropped"
    live.lose(4)
    assert live.report().counts.lost == 4
    live.cleanup()
    assert (live.report().state, live.report().counts) == ("unconfigured", Counts())
    assert not [one for one in threading.enumerate() if one.name == "labelling"]
