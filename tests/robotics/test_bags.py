"""Bags that are damaged, cut off, empty or no bags at all: words, or what was stored."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from hwnas.errors import DataError, PointCloudError
from hwnas.robotics import BagTopic, PointCloud2
from hwnas.robotics.bag_format import read_rosbag
from hwnas.robotics.bags import Bag
from tests.robotics.bags import (
    START_NS,
    STEP_NS,
    TEXT,
    TOPIC,
    TYPE_NAME,
    lidar_cloud,
    lidar_items,
    text_item,
    write_bag,
)

KINDS = ("in.mcap", "in.db3", "in.bag", "in_mcap", "in_sqlite")


def made(tmp_path: Path, name: str) -> Path:
    ros1 = name.endswith(".bag")
    return write_bag(tmp_path / name, [*lidar_items((0, 1), ros1=ros1), text_item("n", START_NS, ros1=ros1)])


@pytest.mark.parametrize("name", KINDS)
def test_topics_and_clouds_are_those_that_were_written(name: str, tmp_path: Path) -> None:
    path = made(tmp_path, name)
    with Bag(path) as bag:
        assert bag.topics == {
            "/notes": BagTopic("/notes", TEXT, 1),
            TOPIC: BagTopic(TOPIC, TYPE_NAME, 2),
        }
        assert bag.cloud_topic() == TOPIC
        messages = list(bag.messages([TOPIC]))
        assert [one.log_ns for one in messages] == [START_NS + n * STEP_NS + 3_000_000 for n in (0, 1)]
        for seed, message in enumerate(messages):
            cloud, expected = bag.cloud_of(message), lidar_cloud(seed)
            assert (cloud.fields, cloud.stamp_ns, cloud.frame_id) == (
                expected.fields,
                expected.stamp_ns,
                expected.frame_id,
            )
            assert cloud.data.tobytes() == expected.data.tobytes()
        later = list(bag.messages([TOPIC], start_ns=messages[1].log_ns))
        assert [one.log_ns for one in later] == [messages[1].log_ns]
        assert list(bag.messages(["/nothing"])) == []


def read_all(path: Path) -> int:
    """Read every message and cloud of a bag; return how many clouds there are."""
    count = 0
    with Bag(path) as bag:
        topic = bag.cloud_topic()
        for message in bag.messages(list(bag.topics)):
            if message.topic == topic:
                try:
                    count += isinstance(bag.cloud_of(message), PointCloud2)
                except PointCloudError:
                    continue
    return count


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("seed", range(4))
def test_damaged_bags_give_words_or_what_can_be_read(name: str, seed: int, tmp_path: Path) -> None:
    path = made(tmp_path, name)
    if path.is_dir() and seed == 0:
        file = path / "metadata.yaml"
    else:
        file = path if path.is_file() else next(one for one in path.iterdir() if one.suffix != ".yaml")
    whole = file.read_bytes()
    draw = random.Random(f"{name} {seed}")
    refused: list[str] = []
    for _ in range(12):
        content = bytearray(whole)
        if draw.random() < 0.4:
            del content[draw.randrange(len(content)) :]
        for _ in range(draw.choice([1, 4, 30])):
            if content:
                near = draw.choice([0, max(0, len(content) - 1500)])
                content[near + draw.randrange(min(1500, len(content) - near))] = draw.randrange(256)
        file.write_bytes(content)
        try:
            assert 0 <= read_all(path) <= 2
        except DataError as error:
            refused.append(str(error))
    assert refused
    assert all(str(path) in text and len(text) < 1000 for text in refused)
    file.write_bytes(whole)
    assert read_all(path) == 2


@pytest.mark.parametrize("name", KINDS[:3])
def test_a_bag_that_was_cut_off_says_so(name: str, tmp_path: Path) -> None:
    path = made(tmp_path, name)
    path.write_bytes(path.read_bytes()[:-20_000])
    with pytest.raises(DataError, match=f"{path} cannot be read: .* cut off"):
        read_all(path)


def test_what_is_no_bag_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("notes")
    (tmp_path / "directory").mkdir()
    (tmp_path / "broken.mcap").symlink_to(tmp_path / "nowhere")
    for name, words in (
        ("missing.mcap", "There is no bag"),
        ("broken.mcap", "There is no bag"),
        ("notes.txt", r"expected a file that ends in one of \['.bag', '.db3', '.mcap'\]"),
        ("directory", "holds no metadata.yaml"),
    ):
        with pytest.raises(DataError, match=words):
            Bag(tmp_path / name)
    for name in ("empty.mcap", "empty.db3", "empty.bag"):
        (tmp_path / name).touch()
        with pytest.raises(DataError, match="cannot be read"):
            Bag(tmp_path / name)
    (tmp_path / "directory" / "metadata.yaml").write_text("rosbag2_bagfile_information: {version: 99}")
    with pytest.raises(DataError, match="version 99 not supported"):
        Bag(tmp_path / "directory")


@pytest.mark.parametrize("name", KINDS)
def test_bags_without_messages_are_open_and_empty(name: str, tmp_path: Path) -> None:
    path = write_bag(tmp_path / name, [], topics=[(TOPIC, TYPE_NAME)])
    with Bag(path) as bag:
        assert sum(topic.num_messages for topic in bag.topics.values()) == 0
        with pytest.raises(DataError, match="holds no sensor_msgs"):
            bag.cloud_topic()


@pytest.mark.parametrize("name", ["in.mcap", "in.db3"])
def test_of_a_topic_with_two_types_the_clouds_are_read(name: str, tmp_path: Path) -> None:
    texts = [text_item("n", START_NS + n, topic=TOPIC) for n in (0, STEP_NS, 9 * STEP_NS)]
    path = write_bag(tmp_path / name, [texts[0], *lidar_items((0, 1)), *texts[1:]])
    with Bag(path) as bag:
        assert bag.topics == {TOPIC: BagTopic(TOPIC, TYPE_NAME, 2, (TEXT,))}
        assert bag.cloud_topic() == bag.cloud_topic(TOPIC) == TOPIC
        clouds = [bag.cloud_of(one) for one in bag.clouds(TOPIC)]
        assert [one.stamp_ns for one in clouds] == [lidar_cloud(seed).stamp_ns for seed in (0, 1)]
        assert len(list(bag.messages([TOPIC]))) == 5
    scans = read_rosbag.scans_in(path, {})
    assert len(scans) == 2
    assert len(read_rosbag(path / scans[1].name, {}).points) == len(lidar_cloud(1))
