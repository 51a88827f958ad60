"""The format `rosbag` of data sets: scans in bags, and their labels in other bags."""

from __future__ import annotations

import os
import re
import struct
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hwnas.data.scan_files.containers import ContainedScan, StoredLabels
from hwnas.data.scan_files.formats import RawScan
from hwnas.errors import DataError
from hwnas.robotics.bags import Bag, BagMessage, has_bag_ending
from hwnas.robotics.cloud_scans import (
    CLOUD_OPTIONS,
    cloud_fields_of,
    label_ids_of,
    refuse_unknown_options,
    scan_of_cloud,
)
from hwnas.robotics.point_cloud2 import PointCloud2
from hwnas.text import shown

RAW, CLASSES = "raw", "classes"
_OWN_OPTIONS = ("topic", "every", "start_s", "end_s", "label_topic", "label_field", "label_ids")
_MOST_OPEN = 4
_NS_PER_S = 1_000_000_000
_NAME = re.compile(r"(\d{1,20})(?:-(\d{1,9}))?", re.ASCII)
"""Names of scans, see `_name_of`."""


class _Key(NamedTuple):
    """What tells a bag, and whether it has changed: name, time of change and size of each of its files."""

    path: str
    files: tuple[tuple[str, int, int], ...]


class _Recorded(NamedTuple):
    """When a cloud was recorded, and the stamp of its header; None where the message is too short for one."""

    log_ns: int
    stamp_ns: int | None


@dataclass(frozen=True)
class _Choice:
    """Which clouds of a bag are scans, and where their labels are."""

    topic: str | None
    every: int
    start_s: float
    end_s: float
    label_topic: str | None
    label_field: str | None
    label_ids: str

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> _Choice:
        """Return what format_options say.

        Raises:
            DataError: if a key is unknown, or a value is of another kind.
        """
        refuse_unknown_options(options, (*_OWN_OPTIONS, *CLOUD_OPTIONS), "a rosbag")
        cloud_fields_of(options)
        every = options.get("every", 1)
        if isinstance(every, bool) or not isinstance(every, int) or every < 1:
            raise DataError(f"format_options.every is {shown(every)}; expected a whole number from 1.")
        start, end = (_seconds(options, name) for name in ("start_s", "end_s"))
        if not (start or 0.0) < (np.inf if end is None else end):
            raise DataError(f"format_options.end_s is {end}; expected more than start_s, {start or 0.0}.")
        kind = options.get("label_ids", RAW)
        if kind not in (RAW, CLASSES):
            raise DataError(f"format_options.label_ids is {shown(kind)}; expected {RAW} or {CLASSES}.")
        topic, label_topic, label_field = (
            _name(options, key) for key in ("topic", "label_topic", "label_field")
        )
        return cls(topic, every, start or 0.0, np.inf if end is None else end, label_topic, label_field, kind)


def _seconds(options: Mapping[str, Any], name: str) -> float | None:
    value = options.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < np.inf:
        raise DataError(f"format_options.{name} is {shown(value)}; expected seconds from the first scan on.")
    return float(value)


def _name(options: Mapping[str, Any], key: str) -> str | None:
    value = options.get(key)
    if value is not None and not isinstance(value, str):
        raise DataError(f"format_options.{key} is {shown(value)}; expected a name.")
    return value


@dataclass
class _OpenBags:
    """Bags that this process has open: data sets read them scan by scan, in any order."""

    bags: OrderedDict[_Key, Bag] = field(default_factory=OrderedDict)
    recorded: dict[tuple[_Key, str], tuple[_Recorded, ...]] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)

    @contextmanager
    def use(self, path: Path) -> Iterator[tuple[_Key, Bag]]:
        """Open a bag, or go on with it, while no other thread does."""
        with self.lock:
            key = _key_of(path)
            bag = self.bags.pop(key, None)
            if bag is None:
                self._drop_former(key)
                bag = Bag(path)
            self.bags[key] = bag
            while len(self.bags) > _MOST_OPEN:
                self.bags.popitem(last=False)[1].close()
            yield key, bag

    def recorded_on(self, path: Path, topic: str | None) -> tuple[str, tuple[_Recorded, ...]]:
        """Return a topic with clouds, and when they were recorded; reads the whole bag the first time."""
        with self.use(path) as (key, bag):
            name = bag.cloud_topic(topic)
            if (key, name) not in self.recorded:
                messages = bag.clouds(name)
                self.recorded[key, name] = tuple(
                    _Recorded(one.log_ns, _stamp_ns(one.content, is_ros1=bag.is_ros1)) for one in messages
                )
            return name, self.recorded[key, name]

    def _drop_former(self, key: _Key) -> None:
        """Drop what was read of a bag before it changed."""
        for other in [one for one in self.bags if one.path == key.path]:
            self.bags.pop(other).close()
        for place in [one for one in self.recorded if one[0].path == key.path and one[0] != key]:
            del self.recorded[place]

    def forget(self) -> None:
        """Begin anew in a forked process: its files share their position with those of its parent."""
        self.bags, self.recorded, self.lock = OrderedDict(), {}, threading.RLock()


_open = _OpenBags()
os.register_at_fork(after_in_child=_open.forget)


def _key_of(path: Path) -> _Key:
    try:
        files = []
        for one in _files_of(path):
            found = one.stat()
            files.append((one.name, found.st_mtime_ns, found.st_size))
    except OSError:
        return _Key(str(path), ())  # opening it says what is wrong
    return _Key(str(path.resolve()), tuple(files))


def _files_of(path: Path) -> Sequence[Path]:
    return sorted(one for one in path.iterdir() if one.is_file()) if path.is_dir() else [path]


class RosbagFormat:
    """Reads clouds of bags as scans; their names are the times of their recording in nanoseconds.

    Options beside those of `CloudFields`: `topic`, with the clouds (default: the only one with any); `every`,
    to take each n-th; `start_s` and `end_s`, seconds after the first cloud of the topic; `label_topic` and
    `label_field` of bags with labels (default: `TOPIC/segmentation` or the only one; `class_id` or `label`);
    `label_ids`, `raw` for ids of the label map, `classes` for indices of classes, as hwnas writes them.
    """

    name = "rosbag"

    def __call__(self, path: Path, options: Mapping[str, Any]) -> RawScan:
        """Read one scan.

        Raises:
            DataError: if it is missing or malformed, or an option is wrong.
        """
        choice = _Choice.of(options)
        if path.exists() or has_bag_ending(path):  # the bag itself, and no scan in it
            names = [one.name for one in self.scans_in(path, options)]
            raise DataError(
                f"{path} is a bag with {len(names)} scans; name one of them, such as {path / names[0]}."
            )
        cloud = _cloud_at(path, choice.topic)
        try:
            scan = scan_of_cloud(cloud, cloud_fields_of(options), choice.label_field)
        except DataError as error:
            raise DataError(f"{path}: {error}") from error
        return replace(scan, labels_are_classes=choice.label_ids == CLASSES)

    def scans_in(
        self, path: Path, options: Mapping[str, Any], labels: Path | None = None
    ) -> Sequence[ContainedScan]:
        """Return the scans of a bag that options choose.

        Raises:
            DataError: if a bag is missing, malformed or lacks the topic, or no scan is chosen.
        """
        choice = _Choice.of(options)
        topic, recorded = _open.recorded_on(path, choice.topic)
        stamps = set() if labels is None else {one.stamp_ns for one in _labels_in(labels, topic, choice)[1]}
        first = recorded[0].log_ns if recorded else 0
        found, seen = [], {one.log_ns: 0 for one in recorded}
        for one in recorded:
            seen[one.log_ns] += 1
            after_s = (one.log_ns - first) / _NS_PER_S
            if choice.start_s <= after_s < choice.end_s:
                is_labelled = one.stamp_ns is not None and one.stamp_ns in stamps
                found.append(ContainedScan(_name_of(one.log_ns, seen[one.log_ns]), is_labelled))
        if not found:
            last_s = (recorded[-1].log_ns - first) / _NS_PER_S if recorded else 0.0
            raise DataError(
                f"{path} has no scan from {choice.start_s:g} to {choice.end_s:g} s: its {len(recorded)} "
                f"scans on {shown(topic)} take {last_s:g} s. Correct start_s and end_s in format_options."
            )
        return found[:: choice.every]

    def labels_of(self, scan: Path, labels: Path, options: Mapping[str, Any]) -> StoredLabels:
        """Return the labels of a scan: those of the cloud with the same stamp.

        Raises:
            DataError: if there is none, or two, or it has no such field.
        """
        choice = _Choice.of(options)
        with _open.use(scan.parent) as (_, bag):
            scan_topic = bag.cloud_topic(choice.topic)
            stamp_ns = bag.cloud_of(_message_at(bag, scan, scan_topic)).stamp_ns
        topic, recorded = _labels_in(labels, scan_topic, choice)
        found = [one for one in recorded if one.stamp_ns == stamp_ns]
        if len(found) != 1:
            raise DataError(
                f"{labels} has {len(found)} clouds on {shown(topic)} with the stamp of {scan} "
                f"({stamp_ns} ns); expected one."
            )
        with _open.use(labels) as (_, bag):
            at = (one for one in _messages_at(bag, topic, found[0].log_ns))
            cloud = next(one for one in map(bag.cloud_of, at) if one.stamp_ns == stamp_ns)
        try:
            return StoredLabels(label_ids_of(cloud, choice.label_field), choice.label_ids == CLASSES)
        except DataError as error:
            raise DataError(f"{labels}, topic {shown(topic)}: {error}") from error

    def files_of(self, path: Path) -> Sequence[Path]:
        """Return the files of a bag."""
        return _files_of(path)


def _labels_in(path: Path, topic: str, choice: _Choice) -> tuple[str, tuple[_Recorded, ...]]:
    """Return the topic with the labels in a bag, and when they were recorded."""
    wanted = choice.label_topic
    if wanted is None:
        usual = f"{topic.rstrip('/')}/segmentation"  # as `hwnas ros replay` names it
        with _open.use(path) as (_, bag):
            wanted = usual if usual in bag.topics else None
    return _open.recorded_on(path, wanted)


def _cloud_at(path: Path, topic: str | None) -> PointCloud2:
    with _open.use(path.parent) as (_, bag):
        message = _message_at(bag, path, bag.cloud_topic(topic))
        try:
            return bag.cloud_of(message)
        except DataError as error:
            raise DataError(f"{path}: {error}") from error


def _message_at(bag: Bag, path: Path, topic: str) -> BagMessage:
    """Return the message that a path names.

    Raises:
        DataError: if there is none.
    """
    named = _NAME.fullmatch(path.name)
    number = int(named[2] or 1) if named else 0
    found = None
    if named and number:
        found = next(islice(_messages_at(bag, topic, int(named[1])), number - 1, None), None)
    if found is None:
        raise DataError(f"{bag.path} has no scan {shown(path.name)} on the topic {shown(topic)}.")
    return found


def _messages_at(bag: Bag, topic: str, log_ns: int) -> Iterator[BagMessage]:
    return bag.clouds(topic, log_ns, log_ns + 1)


def _name_of(log_ns: int, place: int) -> str:
    """Return the name of a scan; a second one of the same time is told apart by a number."""
    return f"{log_ns:019d}" if place == 1 else f"{log_ns:019d}-{place}"


def _stamp_ns(content: bytes, *, is_ros1: bool) -> int | None:
    """Return the stamp of a serialised message that begins with a header, without reading the rest."""
    order = "<" if is_ros1 or content[1:2] == b"\x01" else ">"
    try:
        seconds, nanoseconds = struct.unpack_from(f"{order}{'I' if is_ros1 else 'i'}I", content, 4)
    except struct.error:
        return None
    return int(seconds) * _NS_PER_S + int(nanoseconds)


read_rosbag = RosbagFormat()
