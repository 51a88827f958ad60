"""A synthetic drive as a data set and as a bag: what a spinning sensor on a vehicle would have sent."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hwnas.errors import DataError
from hwnas.progress import CountStatus, Listener
from hwnas.robotics.bag_types import typestore_of
from hwnas.robotics.bag_writing import BagOutput
from hwnas.robotics.bags import require_rosbags
from hwnas.robotics.cloud_making import CloudHeader, cloud_of_columns
from hwnas.scratch import ScratchDirectory

if TYPE_CHECKING:
    from hwnas.data.synthetic.drive import Drive

BAG_NAME = "drive.mcap"
MARK = "hwnas.drive"
"""Key of the metadata of the bag, with what decides the drive."""
POINTS_TOPIC, TF_TOPIC = "/lidar/points", "/tf"
LIDAR_FRAME, ODOM_FRAME = "lidar", "odom"
START_NS = 1_700_000_000_000_000_000
"""The first stamp, nanoseconds since the epoch: the same for all drives."""

_TF_TYPE = "tf2_msgs/msg/TFMessage"
_TF_PERIOD_S = 0.01
_NS_PER_S = 1_000_000_000


@dataclass(frozen=True)
class SyntheticDrive:
    """A drive that was written.

    Attributes:
        path: the data set.
        bag: the bag in it; None if none was wanted.
        scans: how many.
        length_m: metres that the vehicle went.
        turned_deg: degrees by which its direction changed, positive to the left.
    """

    path: Path
    bag: Path | None
    scans: int
    length_m: float
    turned_deg: float

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values, as `hwnas data synthesize --json` prints them."""
        return {
            "path": str(self.path),
            "bag": None if self.bag is None else str(self.bag),
            "scans": self.scans,
            "length_m": round(self.length_m, 3),
            "turned_deg": round(self.turned_deg, 2),
        }


def synthesize_drive(
    directory: str | os.PathLike[str],
    drive_s: float = 10.0,
    *,
    rate_hz: float = 10.0,
    sensor: str = "hdl-64e",
    seed: int = 0,
    workers: int = 1,
    bag: bool = True,
    progress: Listener[CountStatus] | None = None,
) -> SyntheticDrive:
    """Write a drive through a synthetic scene as a data set, and as a bag of ROS 2 in it, `drive.mcap`.

    A vehicle drives along a road, brakes, turns into another one and speeds up again, among other traffic.
    The sensor turns meanwhile: every point is in the frame of the sensor at its own time. Scan files hold x,
    y, z, remission, ring (of sensors that have rings) and time as float32, the time in seconds after the
    stamp of the scan; beside them are labels, `times.txt`, `poses.txt` and `calib.txt` as KITTI has them. The
    bag holds the same as `sensor_msgs/PointCloud2` on `/lidar/points`, each recorded when its turn was over,
    and on `/tf`, every 10 ms, where the sensor is.

    The bytes depend on the arguments except `workers`.

    Args:
        directory: the directory to write to; must not exist or be an empty directory.
        drive_s: how long the drive is, seconds above 0, to 60.
        rate_hz: scans a second, 1 to 50.
        sensor: name of a sensor of `hwnas.data.sensors`, or a sensor YAML file.
        seed: decides scene, way and traffic, >= 0.
        workers: processes that cast rays; 1 casts in this process.
        bag: write the bag; False needs no rosbags.
        progress: is told how many scans are written.

    Raises:
        ConfigError: for numbers out of range, or if rosbags is missing.
        DataError: if `directory` holds something already, or the sensor is unknown.
        OSError: if it cannot be written.
    """
    from hwnas.data.synthetic.drive import DriveSettings, write_drive

    if bag:
        require_rosbags()
    settings = DriveSettings(drive_s, rate_hz, str(sensor), seed)
    settings.check()
    directory = Path(directory)
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise DataError(
            f"{directory}: expected a new or empty directory, found files; name another or remove it"
        )
    directory.parent.mkdir(parents=True, exist_ok=True)
    with ScratchDirectory("synthesize", parent=str(directory.parent)) as scratch:
        temporary = Path(scratch, "result")
        temporary.mkdir()  # the one around it is private; a result is as readable as any other of the user
        made = write_drive(temporary, settings, workers=workers, progress=progress)
        if bag:
            _write_bag(temporary / BAG_NAME, made)
        temporary.replace(directory)
    motion = made.motion
    return SyntheticDrive(
        path=directory,
        bag=directory / BAG_NAME if bag else None,
        scans=len(made.scans),
        length_m=float(np.linalg.norm(np.diff(motion.position, axis=0), axis=1).sum()),
        turned_deg=float(np.rad2deg(motion.angles[-1, 0] - motion.angles[0, 0])),
    )


def _write_bag(path: Path, made: Drive) -> None:
    """Write clouds and transforms in the order of their recording."""
    settings = made.settings
    facts = {
        "drive_s": settings.drive_s,
        "rate_hz": settings.rate_hz,
        "sensor": Path(settings.sensor).name,
        "seed": settings.seed,
    }
    with BagOutput(path, json.dumps(facts), mark=MARK) as output:
        output.add_topic(POINTS_TOPIC)
        output.add_topic(TF_TOPIC, _TF_TYPE)
        transforms = _transforms(made)
        time_ns, content = next(transforms)
        for number, (points, _) in enumerate(made.scans):
            stamp_ns = _ns(made.start_s(number))
            over_ns = _ns(made.start_s(number + 1))
            while time_ns <= over_ns:
                output.write(TF_TOPIC, START_NS + time_ns, content)
                time_ns, content = next(transforms, (over_ns + 1, b""))
            values = np.fromfile(points, "<f4").reshape(-1, len(made.columns))
            columns: dict[str, npt.NDArray[Any]] = dict(zip(made.columns, values.T, strict=True))
            if "ring" in columns:
                columns["ring"] = columns["ring"].astype(np.uint16)
            header = CloudHeader(START_NS + stamp_ns, LIDAR_FRAME)
            output.write_clouds(START_NS + over_ns, {POINTS_TOPIC: cloud_of_columns(columns, header)})


def _transforms(made: Drive) -> Iterator[tuple[int, bytes]]:
    """Yield where the sensor is when, for `/tf`: nanoseconds after the first stamp, and the message."""
    store = typestore_of(is_ros1=False)
    types = store.types
    time, header, vector, quaternion, transform, stamped, message = (
        types[name]
        for name in (
            "builtin_interfaces/msg/Time",
            "std_msgs/msg/Header",
            "geometry_msgs/msg/Vector3",
            "geometry_msgs/msg/Quaternion",
            "geometry_msgs/msg/Transform",
            "geometry_msgs/msg/TransformStamped",
            _TF_TYPE,
        )
    )
    end_s = made.start_s(len(made.scans))
    at = np.arange(round(np.ceil(end_s / _TF_PERIOD_S - 1e-6)) + 1) * _TF_PERIOD_S
    for one, pose in zip(at, made.poses(at), strict=True):
        time_ns = _ns(float(one))
        seconds, nanoseconds = divmod(START_NS + time_ns, _NS_PER_S)
        place = vector(*(float(value) for value in pose[:3, 3]))
        turn = quaternion(*(float(value) for value in _quaternion(pose[:3, :3])))
        made_message = stamped(
            header(time(seconds, nanoseconds), ODOM_FRAME), LIDAR_FRAME, transform(place, turn)
        )
        yield time_ns, bytes(store.serialize_cdr(message([made_message]), _TF_TYPE))


def _quaternion(rotation: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return x, y, z, w of a rotation matrix."""
    from scipy.spatial.transform import Rotation

    found: npt.NDArray[np.float64] = Rotation.from_matrix(rotation).as_quat(canonical=True)
    return found


def _ns(seconds: float) -> int:
    return round(seconds * _NS_PER_S)
