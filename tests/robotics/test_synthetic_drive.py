"""A synthetic drive as a data set and as a bag: the same points, stamps and poses in both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mcap.reader import make_reader
from mcap_ros2.decoder import DecoderFactory
from scipy.spatial.transform import Rotation

import hwnas.robotics.synthetic_drive as module
from hwnas.data.datasets.dataset import open_dataset
from hwnas.errors import ConfigError, DataError
from hwnas.progress import CountStatus
from hwnas.robotics import Bag, SyntheticDrive, points_of_cloud, synthesize_drive
from hwnas.robotics.bag_writing import refuse_output
from hwnas.robotics.synthetic_drive import BAG_NAME, LIDAR_FRAME, ODOM_FRAME, POINTS_TOPIC, START_NS, TF_TOPIC


@pytest.fixture(scope="module")
def drive(tmp_path_factory: pytest.TempPathFactory) -> SyntheticDrive:
    return synthesize_drive(tmp_path_factory.mktemp("drive") / "out", 0.5, sensor="vlp-16", seed=4)


def files_of(directory: Path) -> dict[str, bytes]:
    return {str(p.relative_to(directory)): p.read_bytes() for p in directory.rglob("*") if p.is_file()}


def test_the_bytes_depend_on_the_seed_and_not_on_the_workers(drive: SyntheticDrive, tmp_path: Path) -> None:
    said: list[CountStatus] = []
    two = synthesize_drive(tmp_path / "two", 0.5, sensor="vlp-16", seed=4, workers=2, progress=said.append)
    assert files_of(two.path) == files_of(drive.path)
    assert said[-1] == CountStatus(5, 5)
    other = synthesize_drive(tmp_path / "other", 0.5, sensor="vlp-16", seed=5)
    assert files_of(other.path).keys() == files_of(drive.path).keys()
    assert files_of(other.path) != files_of(drive.path)


def test_the_data_set_has_rings_times_and_labels(drive: SyntheticDrive) -> None:
    scans = open_dataset(drive.path, strict=True).split("train")
    assert len(scans) == drive.scans == 5
    for scan in scans:
        assert scan.ring is not None
        assert scan.labels is not None
        assert set(np.unique(scan.ring)) <= set(range(16))
    raw = np.fromfile(drive.path / "sequences/00/velodyne/000002.bin", "<f4").reshape(-1, 6)
    assert 0 <= raw[:, 5].min() < 0.001 < 0.099 < raw[:, 5].max() < 0.1


def test_the_bag_holds_the_scans_of_the_data_set(drive: SyntheticDrive) -> None:
    assert drive.bag is not None
    with Bag(drive.bag) as bag:
        assert bag.cloud_topic() == POINTS_TOPIC
        messages = list(bag.messages([POINTS_TOPIC]))
        clouds = [bag.cloud_of(one) for one in messages]
    assert [one.log_ns - START_NS for one in messages] == [100_000_000 * n for n in range(1, 6)]
    for number, cloud in enumerate(clouds):
        raw = np.fromfile(drive.path / f"sequences/00/velodyne/{number:06d}.bin", "<f4").reshape(-1, 6)
        found = points_of_cloud(cloud)
        assert cloud.field_names == ("x", "y", "z", "intensity", "ring", "time")
        assert (cloud.frame_id, cloud.stamp_ns) == (LIDAR_FRAME, START_NS + number * 100_000_000)
        assert np.array_equal(found.points, raw[:, :3])
        assert np.array_equal(found.intensity, raw[:, 3])
        assert np.array_equal(found.ring, raw[:, 4])
        assert np.array_equal(found.time_s, raw[:, 5])


def test_a_second_reader_finds_clouds_and_transforms(drive: SyntheticDrive) -> None:
    found: dict[str, list[Any]] = {POINTS_TOPIC: [], TF_TOPIC: []}
    assert drive.bag is not None
    with drive.bag.open("rb") as stream:
        for _, channel, _, message in make_reader(
            stream, decoder_factories=[DecoderFactory()]
        ).iter_decoded_messages():
            found[channel.topic].append(message)
    assert len(found[POINTS_TOPIC]) == 5
    assert [one.header.frame_id for one in found[POINTS_TOPIC]] == [LIDAR_FRAME] * 5
    assert found[POINTS_TOPIC][0].point_step == 22
    transforms = [one.transforms[0] for one in found[TF_TOPIC]]
    assert len(transforms) == 51
    assert {(one.header.frame_id, one.child_frame_id) for one in transforms} == {(ODOM_FRAME, LIDAR_FRAME)}
    to_camera = np.vstack(
        [np.loadtxt(drive.path / "sequences/00/calib.txt", usecols=range(1, 13)).reshape(3, 4), [0, 0, 0, 1]]
    )
    for number, row in enumerate(np.loadtxt(drive.path / "sequences/00/poses.txt")):
        at = transforms[10 * number]
        assert (at.header.stamp.sec, at.header.stamp.nanosec) == divmod(
            START_NS + number * 100_000_000, 10**9
        )
        pose = np.linalg.inv(to_camera) @ np.vstack([row.reshape(3, 4), [0, 0, 0, 1]]) @ to_camera
        place, turn = at.transform.translation, at.transform.rotation
        np.testing.assert_allclose([place.x, place.y, place.z], pose[:3, 3], atol=1e-6)
        matrix = Rotation.from_quat([turn.x, turn.y, turn.z, turn.w]).as_matrix()
        np.testing.assert_allclose(matrix, pose[:3, :3], atol=1e-6)


def test_sensors_without_rings_have_no_ring(tmp_path: Path) -> None:
    made = synthesize_drive(tmp_path / "out", 0.1, sensor="mid-360")
    assert made.bag is not None
    with Bag(made.bag) as bag:
        (message,) = bag.messages([POINTS_TOPIC])
        assert bag.cloud_of(message).field_names == ("x", "y", "z", "intensity", "time")
    (scan,) = open_dataset(made.path, strict=True).all_scans
    assert scan.ring is None


def test_without_rosbags_the_data_set_alone_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing() -> None:
        raise ConfigError("Bags need rosbags")

    monkeypatch.setattr(module, "require_rosbags", missing)
    with pytest.raises(ConfigError, match="rosbags"):
        synthesize_drive(tmp_path / "out", 0.1, sensor="vlp-16")
    assert not list(tmp_path.iterdir())
    made = synthesize_drive(tmp_path / "out", 0.1, sensor="vlp-16", bag=False)
    assert made.bag is None
    assert not (made.path / BAG_NAME).exists()


def test_nothing_is_left_after_an_interruption_or_a_refusal(tmp_path: Path) -> None:
    def stop(status: CountStatus) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        synthesize_drive(tmp_path / "out", 0.2, sensor="vlp-16", progress=stop)
    with pytest.raises(DataError, match="hdl-64e"):
        synthesize_drive(tmp_path / "out", 0.2, sensor="none")
    assert not list(tmp_path.iterdir())
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").touch()
    with pytest.raises(DataError, match="empty directory"):
        synthesize_drive(tmp_path / "out", 0.2, sensor="vlp-16")
    assert [one.name for one in tmp_path.rglob("*")] == ["out", "mine"]


def test_a_replay_does_not_take_the_place_of_a_drive(drive: SyntheticDrive, tmp_path: Path) -> None:
    assert drive.bag is not None
    with pytest.raises(ConfigError, match="did not write as such"):
        refuse_output(drive.bag, tmp_path / "other.mcap", force=True)
