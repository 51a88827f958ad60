"""What a replay leaves: a whole bag in its place, or what was there before."""

from __future__ import annotations

import itertools
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from rosbags.highlevel import AnyReader
from rosbags.rosbag2 import Writer

from hwnas import directory_replacing
from hwnas.errors import (
    ConfigError,
    FileAccessError,
    PointCloudError,
    file_access_error,
)
from hwnas.robotics import (
    PointCloud2,
    ReplayOptions,
    ReplayStatus,
    filtered_cloud,
    replay,
)
from tests.bundle.small_lidar import make_scan
from tests.robotics.bags import (
    lidar_items,
    write_bag,
)
from tests.robotics.replayed import SEEDS, SEGMENTATION, clouds_of


@pytest.mark.parametrize("out", ["out.db3", "out"])
def test_other_storages_are_read_by_rosbags(out: str, bundle: Path, tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "in.mcap", lidar_items((0, 1)))
    replay(bag, bundle, tmp_path / out)
    with AnyReader([tmp_path / out]) as reader:
        assert [one.topic for one in reader.connections] == [SEGMENTATION]
        assert reader.connections[0].digest in (
            "",
            "RIHS01_9198cabf7da3796ae6fe19c4cb3bdd3525492988c70522628af5daa124bae2b5",
        )
        messages = [reader.deserialize(raw, one.msgtype) for one, _, raw in reader.messages()]
    assert [len(PointCloud2.from_message(message)) for message in messages] == [len(make_scan(0)[0])] * 2
    if out == "out":
        assert sorted(path.name for path in (tmp_path / out).iterdir()) == ["metadata.yaml", "out.mcap"]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["in.mcap", out])


def test_all_outputs_of_a_scan_are_written_or_none(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bag = write_bag(tmp_path / "in.mcap", lidar_items(SEEDS))
    numbers = itertools.count(1)

    def second_fails(*arguments: Any) -> PointCloud2:
        if next(numbers) == 2:
            raise PointCloudError("made up")
        return filtered_cloud(*arguments)

    monkeypatch.setattr(sys.modules["hwnas.robotics.labelling"], "filtered_cloud", second_fails)
    out = tmp_path / "out.mcap"
    found = replay(bag, bundle, out, ReplayOptions(visualization=True, remove_classes=["ground"]))
    assert [(one.number, one.message) for one in found.refused] == [(2, "made up")]
    assert [len(clouds_of(out, name)) for name in found.output_topics] == [2, 2, 2]


def test_an_output_of_others_is_never_replaced(bundle: Path, tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "in.mcap", lidar_items((0,)))
    force = ReplayOptions(force=True)
    for name in ("a.mcap", "b.db3", "c"):
        out = tmp_path / name
        replay(bag, bundle, out)
        with pytest.raises(ConfigError, match="exists already"):
            replay(bag, bundle, out)
        assert replay(bag, bundle, out, force).labelled == 1
    foreign = write_bag(tmp_path / "foreign", lidar_items((0,)))
    (tmp_path / "text.mcap").write_text("notes")
    (tmp_path / "empty.mcap").touch()
    (tmp_path / "text.db3").write_text("notes")
    (tmp_path / "c" / "notes.txt").write_text("mine")
    before = bag.read_bytes()
    copied = tmp_path / "copy.mcap"
    copied.write_bytes(before)
    for out in (
        foreign,
        copied,
        tmp_path / "text.mcap",
        tmp_path / "empty.mcap",
        tmp_path / "text.db3",
        tmp_path / "c",
    ):
        with pytest.raises(ConfigError, match="did not write as such"):
            replay(bag, bundle, out, force)
    for out, words in (
        (bag, "is the bag that is read"),
        (tmp_path, "is the bag that is read"),
        (tmp_path / "x.bag", "a bag of ROS 1"),
        (tmp_path / "missing" / "x.mcap", "no directory that can be written"),
    ):
        with pytest.raises(ConfigError, match=words):
            replay(bag, bundle, out, force)
    assert bag.read_bytes() == before


def test_an_output_inside_the_bag_that_is_read_is_refused(bundle: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    replay(write_bag(tmp_path / "in.mcap", lidar_items((0,))), bundle, own)
    (tmp_path / "linked").symlink_to(own)
    stored = (own / "own.mcap").read_bytes()
    fields = {"intensity": "probability"}
    for source, out in (
        (own, own / "own.mcap"),
        (own, own / "other.mcap"),
        (own, tmp_path / "linked" / "own.mcap"),
        (tmp_path / "linked", own / "own.mcap"),
    ):
        with pytest.raises(ConfigError, match="is in the bag that is read"):
            replay(source, bundle, out, ReplayOptions(force=True, format_options=fields))
    assert (own / "own.mcap").read_bytes() == stored
    assert sorted(file.name for file in own.iterdir()) == ["metadata.yaml", "own.mcap"]


def test_nothing_is_left_after_a_failure(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bag = write_bag(tmp_path / "in.mcap", lidar_items(SEEDS))

    def stop(status: ReplayStatus) -> None:
        if status.number == 3:
            raise KeyboardInterrupt

    for out in ("out.mcap", "out.db3", "out"):
        with pytest.raises(KeyboardInterrupt):
            replay(bag, bundle, tmp_path / out, progress=stop)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mcap"]

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left") as refused:
        replay(bag, bundle, tmp_path / "out.mcap")
    assert refused.value.filename == str(tmp_path / "out.mcap")
    assert isinstance(file_access_error(refused.value), FileAccessError)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mcap"]


@pytest.mark.parametrize("name", ["out", "out.mcap"])
def test_the_former_bag_is_kept_if_the_new_one_cannot_be_moved(
    name: str, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bag, out = write_bag(tmp_path / "in.mcap", lidar_items((0,))), tmp_path / name
    replay(bag, bundle, out)
    former = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    rename = os.rename

    def refuse_new(path: Path, target: Path) -> Path:
        if target == out and not path.name.startswith("out.former-"):
            raise OSError(5, "Input/output error")
        rename(path, target)
        return target

    monkeypatch.setattr(Path, "rename", refuse_new)
    monkeypatch.setattr(Path, "replace", refuse_new)
    monkeypatch.setattr(directory_replacing, "_renameat2", lambda: None)
    with pytest.raises(OSError, match="Input/output error"):
        replay(bag, bundle, out, ReplayOptions(force=True))
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == former


@pytest.mark.parametrize("name", ["out.mcap", "out.db3"])
def test_a_bag_that_cannot_be_finished_gives_its_file_back(
    name: str, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bag = write_bag(tmp_path / "in.mcap", lidar_items((0,)))
    aborted: list[Writer] = []
    abort = Writer.abort

    def full(writer: Writer) -> None:
        raise OSError(28, "No space left on device")

    def told(writer: Writer) -> None:
        aborted.append(writer)
        abort(writer)

    monkeypatch.setattr(Writer, "close", full)
    monkeypatch.setattr(Writer, "abort", told)
    with pytest.raises(OSError, match="No space left"):
        replay(bag, bundle, tmp_path / name)
    assert len(aborted) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["in.mcap"]
