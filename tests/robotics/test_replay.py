"""Bags through a bundle: the same labels as `infer`, read back by another library."""

from __future__ import annotations

import json
import sqlite3
import struct
import subprocess
import sys
import time
import warnings
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from rosbags.rosbag2 import Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from typer.testing import CliRunner

import hwnas
from hwnas.cli.main import make_app
from hwnas.errors import (
    BundleError,
    ConfigError,
    DataError,
)
from hwnas.robotics import (
    BagTopic,
    CloudHeader,
    PointCloud2,
    Replay,
    ReplayOptions,
    ReplayStatus,
    cloud_of_columns,
    replay,
)
from hwnas.robotics.bag_writing import BagOutput
from hwnas.robotics.bags import Bag, BagMessage
from hwnas.robotics.replay_results import STEPS
from tests.bundle.made_up_bundle import write_bundle
from tests.bundle.small_lidar import CLASSES, LABELS, make_scan
from tests.robotics.bags import (
    START_NS,
    STEP_NS,
    TEXT,
    TOPIC,
    TYPE_NAME,
    cloud_bytes,
    lidar_cloud,
    lidar_items,
    text_item,
    write_bag,
)
from tests.robotics.replayed import SEEDS, SEGMENTATION, clouds_of, column, types_of


@pytest.fixture(scope="module")
def inferred(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[int, np.ndarray]:
    """What `hwnas infer` says of the scans, from .bin files."""
    directory = tmp_path_factory.mktemp("inferred")
    labels = {}
    for seed in SEEDS:
        points, intensity, _ = make_scan(seed)
        path = directory / f"{seed}.bin"
        np.hstack([points, intensity[:, None]]).astype("<f4").tofile(path)
        hwnas.Bundle(bundle).infer(path, directory / "out", ids="train")
        labels[seed] = np.fromfile(directory / "out" / f"{seed}.label", np.uint32)
    return labels


@pytest.mark.parametrize("name", ["in.mcap", "in.db3", "in.bag", "in_mcap", "in_sqlite"])
def test_labels_are_those_of_infer(
    name: str, bundle: Path, inferred: dict[int, np.ndarray], tmp_path: Path
) -> None:
    bag = write_bag(tmp_path / name, lidar_items(SEEDS, ros1=name.endswith(".bag")))
    told: list[ReplayStatus] = []
    found = replay(bag, bundle, tmp_path / "out.mcap", progress=told.append)
    assert (found.scans, found.labelled, found.refused) == (3, 3, ())
    assert [(one.number, one.wanted) for one in told] == [(1, 3), (2, 3), (3, 3)]
    clouds = clouds_of(tmp_path / "out.mcap", SEGMENTATION)
    assert [log for log, _ in clouds] == [START_NS + seed * STEP_NS + 3_000_000 for seed in SEEDS]
    for seed, (_, message) in zip(SEEDS, clouds, strict=True):
        points, intensity, _ = make_scan(seed)
        np.testing.assert_array_equal(column(message, "class_id"), inferred[seed])
        runner = hwnas.Bundle(bundle).runner()
        np.testing.assert_array_equal(
            column(message, "probability"), runner.segment(points, intensity).scores
        )
        for place, axis in enumerate("xyz"):
            np.testing.assert_array_equal(column(message, axis).astype(np.float32), points[:, place])
        assert message.header.frame_id == "top_lidar"
        assert (message.header.stamp.sec, message.header.stamp.nanosec) == divmod(
            START_NS + seed * STEP_NS + 7, 10**9
        )
        assert (message.point_step, message.is_dense, message.is_bigendian) == (17, True, False)
    assert set(found.latency) == set(STEPS)
    assert 0 < found.latency["total"].median_ms <= found.latency["total"].p99_ms
    assert max(one.median_ms for one in found.latency.values()) == found.latency["total"].median_ms


def test_everything_that_can_be_written(
    bundle: Path, inferred: dict[int, np.ndarray], tmp_path: Path
) -> None:
    items = [
        *lidar_items(SEEDS),
        text_item("note", START_NS + STEP_NS),
        text_item("other", START_NS, topic="/o"),
    ]
    bag = write_bag(tmp_path / "in.mcap", items)
    options = ReplayOptions(visualization=True, remove_classes=["ground"], keep_topics=["/notes", TOPIC])
    found = replay(bag, bundle, tmp_path / "out.mcap", options)
    assert found.output_topics == tuple(
        f"{TOPIC}/{kind}" for kind in ("segmentation", "visualization", "filtered")
    )
    assert (found.copied_topics, found.copied_messages) == (("/notes", TOPIC), 4)
    assert types_of(tmp_path / "out.mcap") == {
        **dict.fromkeys([*found.output_topics, TOPIC], TYPE_NAME),
        "/notes": "std_msgs/msg/String",
    }
    ((log_ns, note),) = clouds_of(tmp_path / "out.mcap", "/notes")
    assert (log_ns, note.data) == (START_NS + STEP_NS, "note")
    coloured = clouds_of(tmp_path / "out.mcap", f"{TOPIC}/visualization")
    filtered = clouds_of(tmp_path / "out.mcap", f"{TOPIC}/filtered")
    for seed, (_, shown), (_, rest) in zip(SEEDS, coloured, filtered, strict=True):
        rgb = np.frombuffer(bytes(shown.data), np.uint8).reshape(-1, 16)[:, [14, 13, 12]]
        expected = np.array(LABELS.colors)[inferred[seed].astype(int)]
        np.testing.assert_array_equal(rgb, expected)
        cloud = PointCloud2.from_message(rest)
        kept = inferred[seed] != CLASSES.index("ground")
        assert 0 < len(cloud) == kept.sum()
        np.testing.assert_array_equal(cloud.column("intensity"), make_scan(seed)[1][kept])
    # What it was made by stands in the metadata.
    with Bag(tmp_path / "out.mcap") as written:
        assert [topic.num_messages for topic in written.topics.values()] == [3, 3, 3, 3, 1]
    assert b"architecture_id" in (tmp_path / "out.mcap").read_bytes()


def test_topics_of_ros1_are_kept_as_those_of_ros2(bundle: Path, tmp_path: Path) -> None:
    items = [*lidar_items((0,), ros1=True), text_item("hello", START_NS, ros1=True)]
    bag = write_bag(tmp_path / "in.bag", items)
    replay(bag, bundle, tmp_path / "out.mcap", ReplayOptions(keep_topics=["all"]))
    ((_, note),) = clouds_of(tmp_path / "out.mcap", "/notes")
    assert note.data == "hello"
    ((_, cloud),) = clouds_of(tmp_path / "out.mcap", TOPIC)
    assert bytes(cloud.data) == lidar_cloud(0).data.tobytes()
    assert cloud.header.frame_id == "top_lidar"


def test_types_that_only_the_bag_defines_are_kept(bundle: Path, tmp_path: Path) -> None:
    kind, definition = "rover_msgs/msg/Mood", "string name\nfloat32[3] level\n"
    store = get_typestore(Stores.ROS2_JAZZY)
    store.register(get_types_from_msg(definition, kind))
    mood = store.types[kind]("calm", np.array([1, 2, 3], np.float32))
    with Writer(tmp_path / "in", version=8) as writer:
        clouds = writer.add_connection(TOPIC, TYPE_NAME, typestore=store)
        moods = writer.add_connection("/mood", kind, typestore=store)
        ((_, _, log_ns, content),) = lidar_items((0,))
        writer.write(clouds, log_ns, content)
        writer.write(moods, log_ns, store.serialize_cdr(mood, kind))
    replay(tmp_path / "in", bundle, tmp_path / "out.mcap", ReplayOptions(keep_topics=["/mood"]))
    ((_, found),) = clouds_of(tmp_path / "out.mcap", "/mood")
    assert (found.name, found.level) == ("calm", [1, 2, 3])
    # Of a bag that does not define its types, as those before Iron, only ROS 2's own are known.
    database = next((tmp_path / "in").glob("*.db3"))
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("DELETE FROM message_definitions")
        connection.commit()
    assert replay(tmp_path / "in", bundle, tmp_path / "two.mcap").labelled == 1
    with pytest.raises(DataError, match="its type 'rover_msgs/msg/Mood' is not defined"):
        replay(tmp_path / "in", bundle, tmp_path / "three.mcap", ReplayOptions(keep_topics=["all"]))
    assert not (tmp_path / "three.mcap").exists()


def test_organised_clouds_with_gaps_are_labelled_as_infer_does(bundle: Path, tmp_path: Path) -> None:
    points, intensity, _ = make_scan(0)
    points = points.astype(np.float64)
    points[5:2000:7] = np.nan
    columns = {"i": intensity, "z": points[:, 2], "y": points[:, 1], "x": points[:, 0]}
    cloud = cloud_of_columns(columns, CloudHeader(START_NS, "lidar", (16, 180)))
    bag = write_bag(tmp_path / "in.mcap", [(TOPIC, TYPE_NAME, START_NS, cloud_bytes(cloud))])
    (inferred,) = hwnas.Bundle(bundle).infer(bag, tmp_path / "labels", ids="train").files
    replay(bag, bundle, tmp_path / "out.mcap", ReplayOptions(remove_classes=["ground", "low"]))
    ((_, message),) = clouds_of(tmp_path / "out.mcap", SEGMENTATION)
    labels = np.fromfile(inferred.result, np.uint32)
    np.testing.assert_array_equal(column(message, "class_id"), labels)
    assert (message.height, message.width, message.is_dense) == (16, 180, False)
    assert (labels[5:2000:7] == 255).all()
    ((_, rest),) = clouds_of(tmp_path / "out.mcap", f"{TOPIC}/filtered")
    assert (rest.height, rest.width, rest.point_step) == (1, int((labels >= 2).sum()), 28)


def test_scans_that_are_refused_are_named_and_the_others_go_on(bundle: Path, tmp_path: Path) -> None:
    good = lidar_items(SEEDS)
    bright = lidar_cloud(3)
    bright = PointCloud2(**{**vars(bright), "data": bright.data.copy()})
    bright.records["intensity"][:] = 1e6
    torn = good[0][3][:-10_000]
    unknown = PointCloud2(**{**vars(lidar_cloud(4)), "fields": lidar_cloud(4).fields[:3]})
    bad = [
        (TOPIC, TYPE_NAME, START_NS + (10 + n) * STEP_NS, content)
        for n, content in enumerate((torn, b"", cloud_bytes(bright), cloud_bytes(unknown)))
    ]
    bag = write_bag(tmp_path / "in.mcap", [*good, *bad])
    out = tmp_path / "out.mcap"
    done = CliRunner().invoke(
        make_app(), ["ros", "replay", str(bag), "-b", str(bundle), "-o", str(out), "--json"]
    )
    assert isinstance(done.exception, DataError)
    assert done.exception.exit_code == 3
    text = str(done.exception)
    assert text.startswith("4 of 7 scans could not be labelled.")
    assert "scan 4, recorded at" in text
    assert "no field for the intensity" in text
    report = json.loads(done.stdout)
    assert (report["labelled"], [one["scan"] for one in report["refused"]]) == (3, [4, 5, 6, 7])
    assert "Intensities must lie in 0 to 255" in report["refused"][2]["message"]
    assert len(clouds_of(out, SEGMENTATION)) == 3
    # If nothing is labelled, nothing is written.
    none = write_bag(tmp_path / "none.mcap", [*bad, text_item("note", START_NS)])
    found = replay(none, bundle, tmp_path / "none_out.mcap", ReplayOptions(keep_topics=["all"]))
    assert (found.out, found.labelled, found.latency) == (None, 0, {})
    assert not (tmp_path / "none_out.mcap").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mcap", "none.mcap", "out.mcap"]


def test_a_stamp_that_ros2_cannot_hold_costs_its_scan_only(bundle: Path, tmp_path: Path) -> None:
    """Seconds of ROS 1 have 32 bits without a sign, those of ROS 2 with one."""
    items = lidar_items(SEEDS, ros1=True)
    topic, kind, log_ns, content = items[1]
    seconds = struct.pack("<I", 2**31)
    items[1] = (topic, kind, log_ns, content[:4] + seconds + content[8:])
    bag = write_bag(tmp_path / "in.bag", items)
    options = ReplayOptions(visualization=True, remove_classes=["ground"])
    found = replay(bag, bundle, tmp_path / "out.mcap", options)
    assert (found.scans, found.labelled) == (3, 2)
    ((number, at_ns, message),) = [(one.number, one.log_ns, one.message) for one in found.refused]
    assert (number, at_ns) == (2, log_ns)
    assert "is outside what a header of ROS 2 holds" in message
    for name in found.output_topics:
        assert [at for at, _ in clouds_of(tmp_path / "out.mcap", name)] == [items[0][2], items[2][2]]


def test_what_is_unusual_is_counted_and_no_warning_of_python(bundle: Path, tmp_path: Path) -> None:
    points, intensity, _ = make_scan(0)
    draw = np.random.default_rng(0)
    points = draw.permutation(points)  # and no ring, by order or elevation
    points[:, 2] += draw.uniform(-1.0, 1.0, len(points)).astype(np.float32)
    columns = {axis: points[:, place] for place, axis in enumerate("xyz")}
    cloud = cloud_of_columns({**columns, "intensity": intensity}, CloudHeader(START_NS, "lidar"))
    bag = write_bag(tmp_path / "in.mcap", [(TOPIC, TYPE_NAME, START_NS, cloud_bytes(cloud))])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = replay(bag, bundle, tmp_path / "out.mcap")
        (inferred,) = hwnas.Bundle(bundle).infer(bag, tmp_path / "labels").files
    assert len(found.warnings) == 1
    assert set(found.warnings) == set(inferred.warnings)


def test_the_topic_is_found_or_chosen(bundle: Path, tmp_path: Path) -> None:
    items = [*lidar_items((0,)), *lidar_items((1, 2), topic="/rear"), text_item("n", START_NS)]
    bag = write_bag(tmp_path / "in.mcap", items, topics=[("/empty", TYPE_NAME)])
    out = tmp_path / "out.mcap"
    with pytest.raises(
        DataError, match=r"several topics with clouds: /lidar/points \(.*, 1\), /rear \(.*, 2\)"
    ):
        replay(bag, bundle, out)
    assert replay(bag, bundle, out, ReplayOptions(topic="/rear")).labelled == 2
    for wrong, words in (
        ("/raer", "Did you mean '/rear'"),
        ("/notes", r"holds 'std_msgs/msg/String'; expected"),
        ("/empty", "holds no message"),
    ):
        with pytest.raises(DataError, match=words):
            replay(bag, bundle, tmp_path / "no.mcap", ReplayOptions(topic=wrong))
    only = write_bag(tmp_path / "only.mcap", [text_item("n", START_NS)], topics=[("/empty", TYPE_NAME)])
    with pytest.raises(DataError, match=r"holds no sensor_msgs.*/empty .* without messages"):
        replay(only, bundle, tmp_path / "no.mcap")
    empty = write_bag(tmp_path / "empty.mcap", [])
    with pytest.raises(DataError, match="Its topics: none"):
        replay(empty, bundle, tmp_path / "no.mcap")
    assert not (tmp_path / "no.mcap").exists()


def test_a_text_is_one_name(bundle: Path, tmp_path: Path) -> None:
    """And no sequence of letters, in which `all` may be found."""
    items = [*lidar_items((0,)), text_item("n", START_NS, topic="/small"), text_item("n", START_NS)]
    bag = write_bag(tmp_path / "in.mcap", items)
    found = replay(
        bag, bundle, tmp_path / "a.mcap", ReplayOptions(keep_topics="/small", remove_classes="low")
    )
    assert found.copied_topics == ("/small",)
    assert found.output_topics == (SEGMENTATION, f"{TOPIC}/filtered")


def test_a_topic_does_not_make_a_line_of_its_own(bundle: Path, tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "in.mcap", lidar_items((0,), topic="/a\nforged"))
    arguments = ["ros", "replay", str(bag), "--bundle", str(bundle), "-o", str(tmp_path / "out.mcap")]
    done = CliRunner().invoke(make_app(), arguments)
    assert r"1 of 1 scan of /a\nforged labelled" in done.stdout.replace(r"\x0a", r"\n")


def test_of_a_topic_with_two_types_clouds_are_labelled_and_all_is_copied(
    bundle: Path, tmp_path: Path
) -> None:
    texts = [text_item(str(n), START_NS + n, topic=TOPIC) for n in (0, 9 * STEP_NS)]
    bag = write_bag(tmp_path / "in.mcap", [texts[0], *lidar_items((0, 1)), texts[1]])
    for rate in ("fast", "recorded"):
        found = replay(bag, bundle, tmp_path / f"{rate}.mcap", ReplayOptions(rate=rate))
        assert (found.scans, found.labelled, found.refused) == (2, 2, ())
    found = replay(bag, bundle, tmp_path / "all.mcap", ReplayOptions(keep_topics="all"))
    assert (found.labelled, found.copied_messages) == (2, 4)
    with Bag(tmp_path / "all.mcap") as copied:
        assert copied.topics[TOPIC] == BagTopic(TOPIC, TYPE_NAME, 2, (TEXT,))
        assert [one.content for one in copied.messages([TOPIC])][::3] == [text[3] for text in texts]


@pytest.mark.parametrize("name", ["in.bag", "in.mcap", "in.db3"])
def test_endings_may_be_in_capitals(name: str, bundle: Path, tmp_path: Path) -> None:
    bag = write_bag(tmp_path / name, lidar_items((0, 1), ros1=name.endswith(".bag")))
    bag = bag.rename(tmp_path / name.upper())
    for out in (tmp_path / "OUT.MCAP", tmp_path / "OUT.Db3"):
        assert replay(bag, bundle, out).labelled == 2
        assert replay(bag, bundle, out, ReplayOptions(force=True)).labelled == 2
        assert out.is_file()
        with Bag(out) as written:
            assert [one.num_messages for one in written.topics.values()] == [2]
    assert len(clouds_of(tmp_path / "OUT.MCAP", SEGMENTATION)) == 2
    with pytest.raises(ConfigError, match="a bag of ROS 1"):
        replay(bag, bundle, tmp_path / "OUT.BAG")
    found = hwnas.Bundle(bundle).infer(bag, tmp_path / "labels")
    assert (len(found.files), found.problems) == (2, ())


def test_the_recorded_rate_waits(bundle: Path, tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "in.mcap", lidar_items((0, 2, 4)))
    start = time.perf_counter()
    found = replay(bag, bundle, tmp_path / "out.mcap", ReplayOptions(rate="recorded"))
    assert time.perf_counter() - start >= 4 * STEP_NS * 1e-9
    assert found.max_lag_ms is not None
    assert found.latency["total"].p99_ms < 200  # what was waited is not counted
    assert replay(bag, bundle, tmp_path / "fast.mcap").max_lag_ms is None


def test_times_that_are_no_drive_are_not_waited_for(bundle: Path, tmp_path: Path) -> None:
    """A first message at time 0, the next one at today's: half a century."""
    bag = write_bag(tmp_path / "in.mcap", lidar_items((0, 20_000)))
    told: list[ReplayStatus] = []
    with pytest.raises(DataError, match=r"Scan 2 of .* s after the one before; at most 600 s.*`rate=` fast"):
        replay(bag, bundle, tmp_path / "out.mcap", ReplayOptions(rate="recorded"), progress=told.append)
    assert told == []  # before any work is done, and lost
    assert not (tmp_path / "out.mcap").exists()
    assert replay(bag, bundle, tmp_path / "out.mcap").scans == 2


def test_neither_copies_nor_progress_count_as_reading(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bag = write_bag(tmp_path / "in.mcap", lidar_items(SEEDS))
    copy = BagOutput.copy

    def slow_copy(output: BagOutput, message: BagMessage) -> None:
        time.sleep(0.3)
        copy(output, message)

    monkeypatch.setattr(BagOutput, "copy", slow_copy)
    options = ReplayOptions(keep_topics=[TOPIC])
    found = replay(bag, bundle, tmp_path / "out.mcap", options, progress=lambda _: time.sleep(0.3))
    assert 0 < found.latency["read"].median_ms < 300
    assert found.latency["total"].median_ms < 600


def test_wrong_settings_are_refused_before_the_work(bundle: Path, tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "in.mcap", [*lidar_items((0,)), *lidar_items((1,), topic=SEGMENTATION)])
    out = tmp_path / "out.mcap"
    for options, error, words in (
        ({"rate": "slow"}, ConfigError, "`rate=` is fast or recorded"),
        ({"keep_topics": ["/nots"]}, ConfigError, "`keep_topics=` names '/nots'"),
        ({"keep_topics": ["all"]}, ConfigError, "would be copied and written"),
        ({"remove_classes": ["grond"]}, ConfigError, "Did you mean 'ground'"),
        ({"format_options": {"topics": 1}}, DataError, "Unknown key 'topics'"),
        ({"format_options": {"intensity": 3}}, DataError, "the name of a field"),
        ({"format_options": {"intensity_scale": "a"}}, DataError, "a number"),
        ({"precision": "int4"}, BundleError, "int4"),
    ):
        with pytest.raises(error, match=words):
            replay(bag, bundle, out, ReplayOptions(**{"topic": TOPIC, **options}))
    with pytest.raises(BundleError):
        replay(bag, write_bundle(tmp_path / "other"), out, ReplayOptions(topic=TOPIC))
    assert not out.exists()


def test_the_command_says_what_came_of_it(bundle: Path, tmp_path: Path) -> None:
    items = [*lidar_items((0, 1)), text_item("n", START_NS)]
    bag = write_bag(tmp_path / "in.mcap", items)
    arguments = ["ros", "replay", str(bag), "--bundle", str(bundle), "--keep-topics", "/notes"]
    done = CliRunner().invoke(make_app(), [*arguments, "-o", str(tmp_path / "a.mcap"), "--rate", "recorded"])
    assert done.exit_code == 0, done.output
    assert f"2 of 2 scans of {TOPIC} labelled, 1 message copied." in done.stdout
    assert "network" in done.stdout
    assert "after its time" in done.stdout
    done = CliRunner().invoke(make_app(), [*arguments, "-o", str(tmp_path / "b.mcap"), "--json"])
    report = json.loads(done.stdout)
    assert (report["labelled"], report["output_topics"]) == (2, [SEGMENTATION])
    assert set(report) == set(Replay.__dataclass_fields__)


def test_neither_torch_nor_ros_nor_the_search_is_imported(bundle: Path, tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "in.mcap", lidar_items((0,)))
    script = f"""
import sys
from hwnas.robotics import replay
print(replay({str(bag)!r}, {str(bundle)!r}, {str(tmp_path / "out.mcap")!r}).labelled)
print(sorted({{"torch", "optuna", "rclpy", "sensor_msgs", "pydantic"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "1\n[]\n", "")


def test_without_rosbags_an_error_says_what_to_install(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bag = write_bag(tmp_path / "in.mcap", lidar_items((0,)))
    monkeypatch.setitem(sys.modules, "rosbags.rosbag2", None)
    with pytest.raises(ConfigError, match=r"pip install 'hwnas\[ros\]'"):
        replay(bag, bundle, tmp_path / "out.mcap")
