"""A drive through a synthetic scene: scans one after the other, taken while the vehicle moves."""

from __future__ import annotations

import os
from concurrent.futures import as_completed
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple

import numpy as np
from numpy.typing import NDArray

from hwnas.arrays import DoubleArray, FloatArray
from hwnas.data import CONFIG_NAME
from hwnas.data.sensors import Sensor, load_sensor
from hwnas.data.synthetic.dataset import copied_sensor
from hwnas.data.synthetic.ground import HALF_SIZE_M, Ground, make_ground
from hwnas.data.synthetic.layout import Layout, draw_layout
from hwnas.data.synthetic.lidar import Caster, Returns
from hwnas.data.synthetic.mesh import Mesh, join
from hwnas.data.synthetic.motion import Motion
from hwnas.data.synthetic.placement import Site
from hwnas.data.synthetic.roadside import furnish
from hwnas.data.synthetic.route import Route, drive, find_route, lane_of
from hwnas.data.synthetic.scene import draw_movers, preset_of
from hwnas.data.synthetic.travelling import TravellingMesh, travelling
from hwnas.errors import ConfigError
from hwnas.files import write_bytes
from hwnas.progress import CountStatus, Listener
from hwnas.worker_pool import worker_pool
from hwnas.yaml_files.writing import dump_yaml

SEQUENCE = "00"
MAX_DRIVE_S = 60.0
MIN_RATE_HZ, MAX_RATE_HZ = 1.0, 50.0
_MOST_SCENES = 200
_TOP_MPS = 13.9
_SCANS_AT_ONCE = 8
_CLEAR_M, _CLEAR_HEIGHT_M = 1.9, 4.4  # room that the vehicle needs to each side and above the road
_MARK_CELL_M = 0.25
# The axes of poses in KITTI, x right, y down, z ahead, of a sensor with x ahead, y left, z up.
_TO_KITTI = np.array([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])


@dataclass(frozen=True)
class DriveSettings:
    """What decides a drive.

    Attributes:
        drive_s: how long it is, seconds.
        rate_hz: scans a second; a scan takes as long as it is until the next.
        sensor: name of a sensor of `hwnas.data.sensors`, or a sensor YAML file.
        seed: decides scene, way and traffic.
    """

    drive_s: float
    rate_hz: float
    sensor: str
    seed: int

    @property
    def num_scans(self) -> int:
        """Scans that are whole at the end of the drive."""
        return int(np.floor(self.drive_s * self.rate_hz + 1e-6))

    @property
    def period_s(self) -> float:
        """Seconds from one scan to the next."""
        return 1 / self.rate_hz

    def check(self) -> None:
        """Refuse what cannot be driven.

        Raises:
            ConfigError: if a number is out of range.
        """
        if not 0 < self.drive_s <= MAX_DRIVE_S:
            raise ConfigError(
                f"A drive takes more than 0 s and at most {MAX_DRIVE_S:g} s, but got {self.drive_s:g}: a "
                f"scene is {2 * HALF_SIZE_M:.0f} m long. Other seeds give other drives."
            )
        if not MIN_RATE_HZ <= self.rate_hz <= MAX_RATE_HZ:
            raise ConfigError(
                f"`rate_hz=` is {self.rate_hz:g}; expected scans a second, {MIN_RATE_HZ:g} to "
                f"{MAX_RATE_HZ:g}."
            )
        if self.num_scans < 1:
            raise ConfigError(
                f"{self.drive_s:g} s at {self.rate_hz:g} Hz are less than one scan; drive longer, or at a "
                "higher rate."
            )
        if self.seed < 0:
            raise ConfigError(f"`seed=` is {self.seed}; expected 0 or more.")


@dataclass(frozen=True, eq=False)
class Drive:
    """A drive as it is written down.

    Attributes:
        settings: that decided it.
        columns: names of the columns of its scan files, float32; `time` is seconds after the scan's stamp.
        motion: of the sensor, in the world, from the first stamp on.
        scans: files of points and of labels, in order.
    """

    settings: DriveSettings
    columns: Tuple[str, ...]
    motion: Motion
    scans: Tuple[Tuple[Path, Path], ...]

    def start_s(self, scan: int) -> float:
        """Return when a scan begins, seconds after the first one does: its stamp."""
        return scan * self.settings.period_s

    def poses(self, time_s: DoubleArray) -> DoubleArray:
        """Return [R, 4, 4]: at each time [R], what takes the sensor's frame into that of the first stamp."""
        first = np.linalg.inv(self.motion.transform(0.0))
        return np.stack([first @ self.motion.transform(float(one)) for one in time_s])


class DrivenScene:
    """A scene with a vehicle on its way, and with traffic."""

    def __init__(self, settings: DriveSettings) -> None:
        """Draw the first scene of a seed in which a vehicle can turn into a crossing road.

        Args:
            settings: of the drive.

        Raises:
            DataError: if the sensor is unknown.
        """
        self.settings, self.sensor = settings, load_sensor(settings.sensor)
        self.scene, layout, ground, route, rng = _place(settings.seed)
        site = Site(layout, ground, rng)
        furnish(site)
        top = min(float(rng.uniform(*layout.preset.speed)), _TOP_MPS)
        self.motion = drive(route, ground, self.sensor.height_m, top, settings.drive_s, rng)
        start = float(self.motion.position[0, 0])
        movers = draw_movers(layout, rng, start, -lane_of(layout.main), top, top * settings.drive_s)
        self.travellers: List[TravellingMesh] = travelling(movers, layout, ground, self.motion)
        self._caster = Caster(_cleared(join(site.meshes), route, ground), ground)

    def scan(self, number: int) -> Returns:
        """Return a scan of the drive; its own seed makes it independent of the others."""
        settings = self.settings
        return self._caster.sweep(
            self.sensor,
            self.motion,
            number * settings.period_s,
            settings.period_s,
            self.travellers,
            np.random.default_rng([settings.seed, self.scene, number]),
        )


def _place(seed: int) -> Tuple[int, Layout, Ground, Route, np.random.Generator]:
    """Return the first scene of a seed with a way, and the generator that has drawn it so far."""
    for scene in range(_MOST_SCENES):
        rng = np.random.default_rng([seed, scene])
        layout = draw_layout(preset_of(scene), rng)
        if layout.cross is None:
            continue
        ground = make_ground(layout, rng)
        route = find_route(layout, ground, rng)
        if route is not None:
            return scene, layout, ground, route, rng
    raise ConfigError(f"None of {_MOST_SCENES} scenes of the seed {seed} has a way; choose another seed.")


def _cleared(mesh: Mesh, route: Route, ground: Ground) -> Mesh:
    """Return the mesh without what reaches into the way of the vehicle, such as branches."""
    size = int(2 * HALF_SIZE_M / _MARK_CELL_M)
    marked: NDArray[np.bool_] = np.zeros((size, size), np.bool_)
    reach = np.arange(-_CLEAR_M, _CLEAR_M + 1e-9, _MARK_CELL_M / 2)
    dx, dy = (one.ravel() for one in np.meshgrid(reach, reach))
    inside = dx * dx + dy * dy < _CLEAR_M * _CLEAR_M
    for x, y in route.xy[:: max(1, len(route.xy) // 600)]:
        marked[_cell(y + dy[inside], size), _cell(x + dx[inside], size)] = True
    corner = mesh.triangles[:, 0]
    near = np.flatnonzero(marked[_cell(corner[:, 1], size), _cell(corner[:, 0], size)])
    level = ground.base_heights(corner[near, 0], corner[near, 1])
    keep = np.ones(len(corner), np.bool_)
    keep[near[corner[near, 2] < level + _CLEAR_HEIGHT_M]] = False
    return Mesh(mesh.triangles[keep], mesh.label[keep], mesh.material[keep], mesh.tint[keep])


def _cell(metres: NDArray[Any], size: int) -> NDArray[np.int64]:
    return np.clip((metres + HALF_SIZE_M) / _MARK_CELL_M, 0, size - 1).astype(np.int64)


def write_drive(
    directory: str | os.PathLike[str],
    settings: DriveSettings,
    *,
    workers: int = 1,
    progress: Listener[CountStatus] | None = None,
) -> Drive:
    """Write the scans of a drive as a data set that `open_dataset` reads, in the layout of SemanticKITTI.

    Scan files hold x, y, z, remission, ring (of sensors that have rings) and time as float32, points in the
    frame of the sensor at their own time. `times.txt` has the stamps, `poses.txt` the poses at these, and
    `calib.txt` the axes of both as KITTI has them.

    Args:
        directory: empty.
        settings: what decides the drive.
        workers: processes; the bytes do not depend on their number.
        progress: is told how many scans are written.

    Raises:
        ConfigError: if a number is out of range.
        DataError: if the sensor is unknown.
    """
    settings.check()
    if workers < 1:
        raise ConfigError(f"`workers=` is {workers}; expected 1 or more.")
    sensor = load_sensor(settings.sensor)
    directory = Path(directory)
    sequence = directory / "sequences" / SEQUENCE
    for part in ("velodyne", "labels"):
        (sequence / part).mkdir(parents=True)
    motion = _render_all(settings, sequence, workers, progress or (lambda _: None))
    made = Drive(
        settings,
        _columns(sensor),
        motion,
        tuple(_files(sequence, number) for number in range(settings.num_scans)),
    )
    _write_poses(made, sequence)
    _describe(directory, made, copied_sensor(settings.sensor, directory) or sensor.name)
    return made


def _columns(sensor: Sensor) -> Tuple[str, ...]:
    return ("x", "y", "z", "intensity", *(("ring",) if sensor.is_rotating else ()), "time")


def _files(sequence: Path, number: int) -> Tuple[Path, Path]:
    return sequence / "velodyne" / f"{number:06d}.bin", sequence / "labels" / f"{number:06d}.label"


def _render_all(
    settings: DriveSettings, sequence: Path, workers: int, report: Listener[CountStatus]
) -> Motion:
    """Write all scans; return the motion of the sensor."""
    done = 0
    if workers == 1:
        scene = DrivenScene(settings)
        for number in range(settings.num_scans):
            _write_scan(scene, sequence, number)
            report(CountStatus(number + 1, settings.num_scans))
        return scene.motion
    chunks = [
        range(first, min(first + _SCANS_AT_ONCE, settings.num_scans))
        for first in range(0, settings.num_scans, _SCANS_AT_ONCE)
    ]
    with worker_pool(min(workers, len(chunks))) as pool:
        futures = [pool.submit(_render, settings, str(sequence), chunk) for chunk in chunks]
        for future in as_completed(futures):
            motion, count = future.result()
            done += count
            report(CountStatus(done, settings.num_scans))
    return motion


@lru_cache(maxsize=1)
def _scene_of(settings: DriveSettings) -> DrivenScene:
    return DrivenScene(settings)  # a worker draws it once


def _render(settings: DriveSettings, sequence: str, numbers: range) -> Tuple[Motion, int]:
    scene = _scene_of(settings)
    for number in numbers:
        _write_scan(scene, Path(sequence), number)
    return scene.motion, len(numbers)


def _write_scan(scene: DrivenScene, sequence: Path, number: int) -> None:
    found = scene.scan(number)
    columns: List[FloatArray] = [found.points, found.remission[:, None]]
    if scene.sensor.is_rotating:
        columns.append(found.ring[:, None].astype(np.float32))
    columns.append((found.turn * np.float32(scene.settings.period_s))[:, None])
    points, labels = _files(sequence, number)
    write_bytes(points, np.concatenate(columns, axis=1).astype("<f4").tobytes())
    write_bytes(labels, found.label.astype("<u4").tobytes())


def _write_poses(made: Drive, sequence: Path) -> None:
    stamps = np.array([made.start_s(number) for number in range(len(made.scans))])
    back = np.linalg.inv(_TO_KITTI)
    poses = _lines((_TO_KITTI @ pose @ back)[:3].ravel() for pose in made.poses(stamps))
    write_bytes(sequence / "poses.txt", poses)
    write_bytes(sequence / "times.txt", _lines(stamps[:, None]))
    write_bytes(sequence / "calib.txt", b"Tr: " + _lines([_TO_KITTI[:3].ravel()]))


def _lines(rows: Iterator[DoubleArray] | List[DoubleArray] | DoubleArray) -> bytes:
    return "".join(" ".join(f"{value + 0.0:.9e}" for value in row) + "\n" for row in rows).encode("ascii")


def _describe(directory: Path, made: Drive, named: str) -> None:
    settings = made.settings
    description: Dict[str, Any] = {
        "schema_version": 1,
        "name": f"synthetic drive, {settings.drive_s:g} s at {settings.rate_hz:g} Hz, seed {settings.seed}",
        "sensor": named,
        "label_map": "semantickitti-19",
        "intensity_range": [0.0, 1.0],
        "format_options": {"columns": list(made.columns)},
        "splits": {"train": [SEQUENCE]},
    }
    write_bytes(directory / CONFIG_NAME, dump_yaml(description).encode("utf-8"))
