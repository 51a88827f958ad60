"""Bags for tests, written by rosbags itself."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rosbags.rosbag1 import Writer as Writer1
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from hwnas.robotics import CloudHeader, PointCloud2, cloud_of_columns
from hwnas.robotics.point_cloud2 import TYPE_NAME
from tests.bundle.small_lidar import make_scan

ROS2, ROS1 = get_typestore(Stores.ROS2_JAZZY), get_typestore(Stores.ROS1_NOETIC)
TOPIC = "/lidar/points"
START_NS = 1_700_000_000_000_000_000
STEP_NS = 100_000_000
TEXT = "std_msgs/msg/String"


def lidar_cloud(seed: int, **extra: np.ndarray) -> PointCloud2:
    """Return a scan of the small LiDAR as a cloud with x, y, z, intensity."""
    points, intensity, _ = make_scan(seed)
    columns = {axis: points[:, place] for place, axis in enumerate("xyz")} | {"intensity": intensity, **extra}
    return cloud_of_columns(columns, CloudHeader(START_NS + seed * STEP_NS + 7, "top_lidar"))


def cloud_bytes(cloud: PointCloud2, *, ros1: bool = False) -> bytes:
    """Return a cloud serialised by rosbags, its message built by hand."""
    store = ROS1 if ros1 else ROS2
    seconds, nanoseconds = divmod(cloud.stamp_ns, 10**9)
    types = store.types
    stamp = types["builtin_interfaces/msg/Time"](seconds, nanoseconds)
    sequence = (5,) if ros1 else ()
    header = types["std_msgs/msg/Header"](*sequence, stamp, cloud.frame_id)
    fields = [
        types["sensor_msgs/msg/PointField"](one.name, one.offset, one.datatype, one.count)
        for one in cloud.fields
    ]
    message = types[TYPE_NAME](
        header, cloud.height, cloud.width, fields, cloud.is_bigendian, cloud.point_step, cloud.row_step,
        cloud.data, cloud.is_dense,
    )  # fmt: skip
    return bytes(
        store.serialize_ros1(message, TYPE_NAME) if ros1 else store.serialize_cdr(message, TYPE_NAME)
    )


def scan_file_items(scans: Iterable[Path], names: Sequence[str] = ("x", "y", "z", "intensity")) -> list[Item]:
    """Scans of `.bin` files with columns of these names, a tenth of a second apart."""
    items = []
    for number, path in enumerate(scans):
        columns = dict(zip(names, np.fromfile(path, "<f4").reshape(-1, len(names)).T, strict=True))
        time_ns = START_NS + number * STEP_NS
        cloud = cloud_of_columns(columns, CloudHeader(time_ns, "top_lidar"))
        items.append((TOPIC, TYPE_NAME, time_ns, cloud_bytes(cloud)))
    return items


Item = tuple[str, str, int, bytes]
"""Topic, type, time of recording in ns, content."""


def text_item(text: str, log_ns: int, *, topic: str = "/notes", ros1: bool = False) -> Item:
    store = ROS1 if ros1 else ROS2
    message = store.types[TEXT](text)
    content = store.serialize_ros1(message, TEXT) if ros1 else store.serialize_cdr(message, TEXT)
    return topic, TEXT, log_ns, bytes(content)


def lidar_items(seeds: Iterable[int], *, topic: str = TOPIC, ros1: bool = False) -> list[Item]:
    """Scans of the small LiDAR, recorded 3 ms after their stamp."""
    return [
        (topic, TYPE_NAME, START_NS + seed * STEP_NS + 3_000_000, cloud_bytes(lidar_cloud(seed), ros1=ros1))
        for seed in seeds
    ]


def write_bag(path: Path, items: Sequence[Item], *, topics: Sequence[tuple[str, str]] = ()) -> Path:
    """Write a bag as its name says: `.bag` for ROS 1, `.mcap` or `.db3` for one file, else a directory.

    Args:
        path: of the bag.
        items: messages.
        topics: names and types of further topics, without messages.
    """
    pairs = list(dict.fromkeys([*topics, *((topic, kind) for topic, kind, *_ in items)]))
    if path.suffix == ".bag":
        with Writer1(path) as writer1:
            known = {pair: writer1.add_connection(*pair, typestore=ROS1) for pair in pairs}
            for topic, kind, log_ns, content in items:
                writer1.write(known[topic, kind], log_ns, content)
        return path
    plugin = StoragePlugin.SQLITE3 if path.suffix == ".db3" or "sqlite" in path.name else StoragePlugin.MCAP
    directory = path.with_suffix("") if path.suffix else path
    with Writer(directory, version=9, storage_plugin=plugin) as writer:
        known2: dict[Any, Any] = {pair: writer.add_connection(*pair, typestore=ROS2) for pair in pairs}
        for topic, kind, log_ns, content in items:
            writer.write(known2[topic, kind], log_ns, content)
    if path.suffix:
        (directory / f"{directory.name}{path.suffix}").rename(path)
        (directory / "metadata.yaml").unlink()
        directory.rmdir()
    return path
