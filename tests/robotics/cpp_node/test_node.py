"""The core of the C++ node: the labels and messages of the Python node, and scans that are dropped or refused."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from hwnas.data.sensors import load_sensor
from hwnas.errors import HwnasError
from hwnas.robotics.labelling import FILTERED, SEGMENTATION, VISUALIZATION
from hwnas.robotics.live_segmentation import LiveSegmentation
from hwnas.robotics.node_reports import NODE_STEPS, Counts, NodeReport
from hwnas.robotics.node_settings import NodeSettings
from hwnas.robotics.point_cloud2 import PointCloud2
from tests.bundle.small_lidar import make_scan
from tests.cpp_runtime.building import Built, run
from tests.cpp_runtime.clouds import random_cloud
from tests.cpp_runtime.lidar_bundle import CLASSES, deployment_of, spec_of, write_lidar_bundle
from tests.data.sensor_clouds import Turn, scan_of
from tests.robotics.cpp_node.clouds import scan_message
from tests.robotics.cpp_node.probe import CppNode, CppRefusalError, Probe
from tests.robotics.messages import xyzir

Columns = dict[str, npt.NDArray[Any]]
KINDS = (SEGMENTATION, VISUALIZATION, FILTERED)
pytestmark = pytest.mark.filterwarnings("ignore::hwnas.scan.DataWarning")


class Kept:
    """Keeps what a node of Python publishes and complains of."""

    def __init__(self) -> None:
        self.published: list[Mapping[str, PointCloud2]] = []
        self.errors: list[str] = []

    def wants(self, kind: str) -> bool:
        return True

    def publish(self, messages: Mapping[str, PointCloud2]) -> None:
        self.published.append(messages)

    def report_error(self, text: str) -> None:
        self.errors.append(text)


@pytest.fixture(autouse=True)
def onnxruntime(built: Built, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "HWNAS_ONNXRUNTIME_LIBRARY", str(built.onnxruntime))


@pytest.fixture
def node(probe: Probe) -> Iterator[CppNode]:
    made = CppNode(probe)
    yield made
    made.close()


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def done(counts: Mapping[str, int]) -> int:
    return sum(counts[name] for name in ("labelled", "dropped", "refused", "failed"))


def small_columns(seed: int) -> Columns:
    points, intensity, _ = make_scan(seed)
    return {axis: points[:, place] for place, axis in enumerate("xyz")} | {"intensity": intensity}


def compare(node: CppNode, values: Mapping[str, Any], messages: list[SimpleNamespace]) -> int:
    """Give both nodes the same messages, one after the other; return how many are labelled."""
    kept = Kept()
    live = LiveSegmentation(kept)
    live.configure(NodeSettings.of(values))
    live.activate()
    node.configure(values)
    node.activate()
    try:
        for number, made in enumerate(messages):
            live.receive(made)
            node.receive(made)
            until(lambda number=number: done(vars(live.report().counts)) > number)  # type: ignore[misc]
            until(lambda number=number: done(node.report().counts) > number)  # type: ignore[misc]
            assert node.errors == kept.errors
            assert len(node.published) == len(kept.published)
            if node.report().values.get("last warning", "") or live.report().last_warning:
                assert node.report().values["last warning"] == live.report().values()["last warning"]
    finally:
        live.cleanup()
    for cpp, python in zip(node.published, kept.published, strict=True):
        same_messages(cpp, python)
    assert node.report().counts == vars(live_counts(kept, len(messages)))
    return len(kept.published)


def live_counts(kept: Kept, received: int) -> Counts:
    refused = sum(text.startswith("Scan refused: ") for text in kept.errors)
    return Counts(
        received, len(kept.published), refused=refused, failed=received - len(kept.published) - refused
    )


def same_messages(cpp: Mapping[str, PointCloud2], python: Mapping[str, PointCloud2]) -> None:
    assert set(cpp) == set(python)
    for kind, one in cpp.items():
        other = python[kind]
        for name in vars(other):
            if name not in ("data", "records"):
                counts = [max(1, field.count) for field in other.fields]
                assert [field.count for field in one.fields] == counts
                if name != "fields":
                    assert getattr(one, name) == getattr(other, name), f"{kind}: {name}"
        assert one.field_names == other.field_names
        if kind != SEGMENTATION:
            assert one.data.tobytes() == other.data.tobytes()
            continue
        for name in ("x", "y", "z", "class_id"):
            np.testing.assert_array_equal(one.column(name), other.column(name))
        np.testing.assert_allclose(
            one.column("probability"), other.column("probability"), rtol=2e-6, atol=1e-9
        )


def test_labels_are_those_of_the_python_node_in_every_layout(node: CppNode, bundle: Path) -> None:
    messages = []
    for seed in range(12):
        columns = small_columns(seed)
        kind = (np.float32, np.float64)[seed % 2]
        columns |= {axis: columns[axis].astype(kind) for axis in "xyz"}
        if seed % 3 == 0:
            columns["intensity"] = columns["intensity"].astype(np.uint8)
        if seed % 4 == 0:
            columns["ring"] = np.repeat(np.arange(16, dtype=np.uint16), 180)
        if seed % 5 == 0:
            columns["t"] = np.tile(np.arange(180, dtype=np.uint32), 16)
        messages.append(scan_message(columns, seed, shape=(16, 180) if seed % 2 else None))
    values = {"bundle": str(bundle), "remove_classes": ["ground", ""]}
    assert compare(node, values, messages) == len(messages)
    assert all(set(one) == set(KINDS) for one in node.published)
    classes = np.concatenate([one[SEGMENTATION].column("class_id") for one in node.published])
    assert len(np.unique(classes)) >= 2


@pytest.mark.parametrize("name", ["vlp-16", "hdl-32e"])
def test_random_clouds_are_labelled_or_refused_as_by_the_python_node(
    node: CppNode, tmp_path: Path, name: str
) -> None:
    sensor = load_sensor(name)
    bundle = write_lidar_bundle(tmp_path / "bundle", spec_of(sensor, 256))
    messages = []
    for seed in range(60):
        points, intensity, ring = random_cloud(sensor, seed)
        if not len(points):
            continue
        columns = {axis: points[:, place] for place, axis in enumerate("xyz")} | {"intensity": intensity}
        if ring is not None:
            columns["ring"] = ring.astype(np.uint16)
        messages.append(scan_message(columns, seed))
    assert compare(node, {"bundle": str(bundle)}, messages) > 20


STORED: tuple[dict[str, Any], ...] = (
    {"frame": "y-forward"},
    {"unit_m": 0.001, "origin_m": [0.5, -1.0, 2.0]},
    {"frame": "z-forward", "unit_m": 0.3048},
    {"scan_format": {"name": "rosbag", "options": {"x": "lon", "intensity": "amp", "intensity_scale": 0.5}}},
    {"scan_format": {"name": "rosbag", "options": {"x": None, "intensity": 5}}},
    {"scan_format": {"name": "rosbag", "options": {"intensity_scale": "2", "time_unit": "years"}}},
    {"scan_format": {"name": "rosbag", "options": {"time_unit": "years"}}},
    {"scan_format": {"name": "bin", "options": {"x": "lon"}}},
)


@pytest.mark.parametrize("stated", STORED)
def test_what_the_bundle_states_of_clouds_counts(
    node: CppNode, tmp_path: Path, stated: dict[str, Any]
) -> None:
    sensor = load_sensor("vlp-16")
    bundle = write_lidar_bundle(tmp_path / "bundle", spec_of(sensor, 256), **stated)
    messages = []
    for seed in range(4):
        points, _ = scan_of(sensor, Turn(dropped=0.05, seed=seed))
        points = points.astype((np.float32, np.float64)[seed % 2])
        names = ("lon" if seed > 1 else "x", "y", "z", "amp" if seed > 1 else "intensity")
        columns = dict(zip(names, [*points.T, np.full(len(points), 0.4, np.float32)], strict=True))
        messages.append(scan_message(columns, seed))
    compare(node, {"bundle": str(bundle)}, messages)


def test_a_cloud_with_rows_keeps_the_grid_of_the_sensor(node: CppNode, tmp_path: Path) -> None:
    sensor = load_sensor("vlp-16")
    bundle = write_lidar_bundle(tmp_path / "bundle", spec_of(sensor, 256))
    points, _ = scan_of(sensor, Turn(order="column"))
    points[np.random.default_rng(3).random(len(points)) < 0.4] = np.nan
    shape = (len(points) // sensor.beams, sensor.beams)
    columns = {axis: points[:, place] for place, axis in enumerate("xyz")}
    columns["intensity"] = np.full(len(points), 0.25, np.float32)
    messages = [
        scan_message(columns, 0, shape=shape),
        scan_message(columns, 1, shape=shape[::-1]),
        scan_message(columns, 2),
    ]
    assert compare(node, {"bundle": str(bundle)}, messages) == 3


def test_colours_of_classes_without_one_are_those_of_python(node: CppNode, tmp_path: Path) -> None:
    sensor = load_sensor("vlp-16")
    labels = deployment_of(spec_of(sensor, 256))["label_map"]
    for number, entry in enumerate(labels["classes"]):
        del entry["color"]
        if number == 2:
            entry["color"] = "#0a0bFF"
    bundle = write_lidar_bundle(tmp_path / "bundle", spec_of(sensor, 256), label_map=labels)
    points, _ = scan_of(sensor, Turn())
    columns = {axis: points[:, place] for place, axis in enumerate("xyz")}
    columns["intensity"] = np.random.default_rng(0).random(len(points)).astype(np.float32)
    assert compare(node, {"bundle": str(bundle)}, [scan_message(columns, 0)]) == 1
    assert len(np.unique(node.published[0][VISUALIZATION].column("rgb").view("<u4"))) > 2


def test_what_nobody_listens_to_is_not_made(node: CppNode, bundle: Path) -> None:
    node.want(FILTERED, is_wanted=False)
    node.configure({"bundle": str(bundle), "remove_classes": ["high"]})
    node.activate()
    node.receive(scan_message(small_columns(0), 0))
    until(lambda: done(node.report().counts) == 1)
    assert set(node.published[0]) == {SEGMENTATION, VISUALIZATION}


class Gate:
    """Lets the labelling thread wait at its end, once it has been shut."""

    def __init__(self) -> None:
        self.entered, self.opened = threading.Semaphore(0), threading.Semaphore(0)

    def __call__(self) -> None:
        self.entered.release()
        assert self.opened.acquire(timeout=60)


def test_the_newest_scan_is_labelled_and_older_ones_are_counted_as_dropped(
    node: CppNode, bundle: Path
) -> None:
    gate = Gate()
    node.before_publishing(gate)
    node.configure({"bundle": str(bundle)})
    node.activate()
    node.receive(scan_message(small_columns(0), 0))
    assert gate.entered.acquire(timeout=60)
    for seed in range(1, 8):
        node.receive(scan_message(small_columns(seed), seed))
    broken = xyzir()
    broken.data = broken.data[:-1]
    node.receive(broken)  # takes no other's place
    for _ in range(2):
        gate.opened.release()
    until(lambda: len(node.published) == 2)
    until(lambda: done(node.report().counts) == 9)
    stamps = [one[SEGMENTATION].stamp_ns // 10**9 - 1_700_000_000 for one in node.published]
    assert stamps == [0, 7]
    counts = node.report().counts
    assert counts == {"received": 9, "labelled": 2, "dropped": 6, "refused": 1, "failed": 0, "lost": 0}


def test_every_cloud_is_counted_once_while_threads_change_the_node(
    built: Built, probe: Probe, tmp_path: Path
) -> None:
    spec = spec_of(load_sensor("vlp-16"), 256)
    bundle = write_lidar_bundle(tmp_path / "bundle", spec)
    program = probe.path.parent / "live_threads"
    found = run(program, bundle, spec.height, spec.width, CLASSES)
    assert found.stdout.startswith("received ")


def test_deactivation_finishes_the_scan_under_way_and_drops_the_one_that_waits(
    node: CppNode, bundle: Path
) -> None:
    gate = Gate()
    node.before_publishing(gate)
    node.configure({"bundle": str(bundle)})
    node.activate()
    node.receive(scan_message(small_columns(0), 0))
    assert gate.entered.acquire(timeout=60)
    node.receive(scan_message(small_columns(1), 1))
    ending = threading.Thread(target=node.deactivate)
    ending.start()
    until(lambda: node.report().values["state"] == "inactive")
    gate.opened.release()
    ending.join(60)
    assert not ending.is_alive()
    node.receive(scan_message(small_columns(2), 2))  # of which nothing becomes
    node.lose(3)
    counts = node.report().counts
    assert (counts["received"], counts["labelled"], counts["dropped"], counts["lost"]) == (2, 1, 1, 0)
    gate.opened.release()
    node.activate()
    node.receive(scan_message(small_columns(3), 3))
    until(lambda: node.report().counts["labelled"] == 2)
    node.cleanup()
    report = node.report()
    assert (report.values["state"], report.counts["received"]) == ("unconfigured", 0)
    assert (report.level, report.message) == (1, "not configured: no bundle is open")
    with pytest.raises(CppRefusalError, match="No bundle is open: configure the node before it is activated"):
        node.activate()


def test_a_bundle_that_cannot_be_opened_leaves_the_one_before(
    node: CppNode, bundle: Path, tmp_path: Path
) -> None:
    with pytest.raises(CppRefusalError, match="`bundle` is empty"):
        node.configure({})
    assert node.report().level == 2
    node.configure({"bundle": str(bundle)})
    node.activate()
    for values in (
        {"bundle": str(tmp_path / "gone")},
        {"bundle": str(bundle), "remove_classes": ["grond"]},
        {"bundle": str(bundle), "precision": "int3"},
    ):
        with pytest.raises(HwnasError) as expected:
            LiveSegmentation(Kept()).configure(NodeSettings.of(values))
        with pytest.raises(CppRefusalError) as refused:
            node.configure(values)
        assert str(refused.value) == str(expected.value)
    report = node.report()
    assert (report.values["bundle"], report.values["state"]) == (str(bundle), "active")
    assert report.message == f"goes on as before: {report.values['problem']}"
    node.configure({"bundle": str(bundle), "remove_classes": ["ground"]}, opens=False)
    assert "problem" not in node.report().values
    node.receive(scan_message(small_columns(0), 0))
    until(lambda: len(node.published) == 1)
    assert FILTERED in node.published[0]


def test_reports_say_what_those_of_python_say(node: CppNode, bundle: Path) -> None:
    node.configure({"bundle": str(bundle)})
    assert node.report().message == "configured, not active"
    node.activate()
    assert (node.report().level, node.report().message) == (1, "no scan labelled: none arrived")
    for seed in range(3):
        node.receive(scan_message(small_columns(seed), seed))
        until(lambda seed=seed: node_labelled(node) > seed)  # type: ignore[misc]
    values = node.report().values
    for step in NODE_STEPS:
        assert 0.0 <= float(values[f"{step} median ms"]) <= float(values[f"{step} p99 ms"])
    assert float(values["total median ms"]) > 0.0
    assert values["architecture"] == node_network(bundle)["architecture"]
    node.lose(2)
    report = node.report()
    # The words of Python for the same counts since the report before; only the time differs.
    expected = NodeReport(
        is_configured=True, is_active=True, counts=Counts(lost=2), latency={}, network={}
    ).status_since(Counts())[1]
    assert report.message.replace(f", which takes {float(values['total median ms']):.0f} ms", "") == expected
    broken = xyzir()
    broken.fields[0].name = "X\x1b"
    node.receive(broken)
    report = node.report()
    assert (report.level, report.message) == (2, f"1 scan refused: {node.errors[0][14:]}")
    assert "\x1b" not in report.values["last refusal"]


def node_labelled(node: CppNode) -> int:
    return node.report().counts["labelled"]


def node_network(bundle: Path) -> Mapping[str, str]:
    live = LiveSegmentation(Kept())
    live.configure(NodeSettings.of({"bundle": str(bundle)}))
    network = live.report().network
    live.cleanup()
    return network
